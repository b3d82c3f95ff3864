"""Tickets: what a registry answered, so noted that whoever asked can show it the registry again.

The registry keeps nothing of who asked what. Who wants to prove later what it answered names a run in the
request, and gets a ticket with the answer: a line that only the registry can have written.

    1.RUN.BEGIN.END.ITEMS.AS_OF_SEQ.FIRST.LAST.ASKED.ANSWERED.MAC

RUN is 128 random bits of the asker's, a secret. The requests of a run are numbered from 0 on by whoever sends
them; a ticket stands for those with BEGIN <= number < END. ASKED and ANSWERED are RFC 6962 hashes over these
requests and answers, so that tickets in a row are merged into one, and the hashes over a whole run are the
same whichever of them were merged on the way. A leaf is the run and the message: nobody without the run can
guess a request by its hash. AS_OF_SEQ is the lowest event of the answers, FIRST and LAST are seconds since
1970, MAC is HMAC-SHA256 over the rest.

Several processes that ask are several runs, each with numbers of its own; their tickets are countersigned
together, and the root over the runs says which these are, and in which order.

Nothing here asks whether a number was taken twice: a run that asks anew under an old number proves less, not
more.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from registry.errors import InputError, ProofError
from registry.merkle import leaf_hash, node_hash, root_of

__all__ = [
    "MAX_TICKETS",
    "RUN_HEADER",
    "TICKET_HEADER",
    "Ticket",
    "format_run",
    "issue",
    "merge",
    "merge_runs",
    "message_hash",
    "open_ticket",
    "parse_run",
    "read_ticket",
    "root_of_runs",
    "ticket_key",
]

RUN_HEADER, TICKET_HEADER = "Caveat-Run", "Caveat-Ticket"

MAX_TICKETS = 10_000
"""Most tickets that are merged at once."""

_LABEL = b"caveat ticket 1"
_RUN_BYTES = 16
_RUN = re.compile(r"([0-9a-f]{32})/(0|[1-9][0-9]{0,14})", re.ASCII)
_NUMBER = r"\.(0|[1-9][0-9]{0,14})"
_DIGITS = r"\.([0-9a-f]{64})"
_TICKET = re.compile(rf"1\.([0-9a-f]{{32}}){_NUMBER * 6}{_DIGITS * 3}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The answers to the requests ``begin <= number < end`` of a run.

    ``items`` counts what was asked about; ``as_of_seq`` is the lowest event; ``first`` and ``last`` are
    seconds since 1970; ``asked`` and ``answered`` are 32 bytes.
    """

    run: bytes
    begin: int
    end: int
    items: int
    as_of_seq: int
    first: int
    last: int
    asked: bytes
    answered: bytes

    @property
    def text(self) -> str:
        """The line without its MAC."""
        numbers = (self.begin, self.end, self.items, self.as_of_seq, self.first, self.last)
        parts = ("1", self.run.hex(), *map(str, numbers), self.asked.hex(), self.answered.hex())
        return ".".join(parts)


def ticket_key(private: bytes) -> bytes:
    """Return the key for tickets, 32 bytes, that follows from a log's private key and tells nothing of it."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(private)


def parse_run(text: str) -> tuple[bytes, int]:
    """Return the run and the number of a request from its header. Raises :class:`InputError`."""
    found = _RUN.fullmatch(text)
    if found is None:
        raise InputError(
            f"{RUN_HEADER}: expected 32 hexadecimal digits, a slash and the number of the request, "
            f"got {text[:60]!r}"
        )
    return bytes.fromhex(found[1]), int(found[2])


def format_run(run: bytes, number: int) -> str:
    """Undo :func:`parse_run`."""
    return f"{run.hex()}/{number}"


def message_hash(run: bytes, message: bytes) -> bytes:
    """Return the leaf of a request or an answer, 32 bytes.

    A request is its method, a space, its path with what follows it, a newline, and its body; an answer is its
    body.
    """
    return leaf_hash(run + message)


def issue(ticket: Ticket, key: bytes) -> str:
    """Return the line of a ticket."""
    return f"{ticket.text}.{_mac(ticket.text, key)}"


def open_ticket(text: str, keys: Sequence[bytes]) -> Ticket:
    """Undo :func:`issue`, by whichever of ``keys``. Raises :class:`ProofError`."""
    ticket, (said, _, mac) = read_ticket(text), text.rpartition(".")
    if not any(hmac.compare_digest(_mac(said, key), mac) for key in keys):
        raise ProofError(
            f"a ticket that this registry did not write, for the requests from {ticket.begin} on",
            hint="Send each ticket to the registry that gave it, as it gave it.",
        )
    return ticket


def read_ticket(text: str) -> Ticket:
    """Read a ticket of which only the registry can say that it is right. Raises :class:`ProofError`."""
    found = _TICKET.fullmatch(text)
    if found is None:
        raise ProofError(f"not a ticket: {text[:80]!r}")
    begin, end, items, as_of_seq, first, last = (int(found[place]) for place in range(2, 8))
    run, asked, answered = (bytes.fromhex(found[place]) for place in (1, 8, 9))
    return Ticket(
        run=run,
        begin=begin,
        end=end,
        items=items,
        as_of_seq=as_of_seq,
        first=first,
        last=last,
        asked=asked,
        answered=answered,
    )


def merge(tickets: Sequence[Ticket]) -> Ticket:
    """Return the one ticket that stands for all of these, which follow each other without a gap.

    Raises :class:`ProofError` unless they are of one run, each but the last stands for a power of two of
    requests, and each, and the whole, begins at a multiple of its size made up to a power of two: so the
    hashes are those of the tree over the whole run.
    """
    if not 1 <= len(tickets) <= MAX_TICKETS:
        raise ProofError(f"{len(tickets)} tickets; expected 1 to {MAX_TICKETS:,}")
    for one, following in pairwise(tickets):
        if following.run != one.run:
            raise ProofError("tickets of two runs")
        if following.begin != one.end:
            raise ProofError(
                f"after the requests up to {one.end} come those from {following.begin} on",
                hint="Sort the tickets by their numbers; each request of a run has one.",
            )
        if _filled(one) != one.end - one.begin:
            raise ProofError(f"{one.end - one.begin} requests in a ticket that is not the last")
    whole = replace(
        tickets[0],
        end=tickets[-1].end,
        items=sum(one.items for one in tickets),
        as_of_seq=min(one.as_of_seq for one in tickets),
        first=min(one.first for one in tickets),
        last=max(one.last for one in tickets),
        asked=_root([(one.end - one.begin, one.asked) for one in tickets]),
        answered=_root([(one.end - one.begin, one.answered) for one in tickets]),
    )
    for one in (*tickets, whole):
        if one.begin % _filled(one):
            raise ProofError(f"{one.end - one.begin} requests from {one.begin} on are no part of the tree")
    return whole


def merge_runs(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Return a ticket a run, each from its request 0 on, in the order in which the runs stand.

    Raises :class:`ProofError` as :func:`merge`, also for a run whose tickets do not stand side by side.
    """
    if not 1 <= len(tickets) <= MAX_TICKETS:
        raise ProofError(f"{len(tickets)} tickets; expected 1 to {MAX_TICKETS:,}")
    whole = [merge(list(group)) for _, group in groupby(tickets, attrgetter("run"))]
    if len({one.run for one in whole}) < len(whole):
        raise ProofError(
            "the tickets of a run do not stand side by side, or a run stands there twice",
            hint="Sort the tickets by their runs, and those of a run by their numbers.",
        )
    for one in whole:
        if one.begin:
            raise ProofError(f"the tickets begin with request {one.begin}; a run begins with 0")
    return whole


def root_of_runs(runs: Iterable[bytes]) -> bytes:
    """Return the RFC 6962 root over runs, 32 bytes: what a receipt names them by."""
    return root_of(map(leaf_hash, runs))


def _filled(ticket: Ticket) -> int:
    """Return how many requests a ticket stands for, made up to a power of two."""
    return 1 << (ticket.end - ticket.begin - 1).bit_length()


def _root(parts: Sequence[tuple[int, bytes]]) -> bytes:
    stack: list[tuple[int, bytes]] = []
    for size, one in parts:
        stack.append((size, one))
        while len(stack) > 1 and stack[-2][0] == stack[-1][0] and not size & (size - 1):
            (_, right), (left_size, left) = stack.pop(), stack.pop()
            stack.append((2 * left_size, node_hash(left, right)))
    _, root = stack.pop()
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root


def _mac(said: str, key: bytes) -> str:
    return hmac.digest(key, said.encode(), hashlib.sha256).hex()
