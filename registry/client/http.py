"""Asking and telling a registry over HTTP.

Every answer is matched by id, never by place, and checked before anything follows from it: one that is
short, doubled, of unknown words, or that contradicts itself is :class:`RegistryAnswerError`. How a request is
sent, and what it raises, is :mod:`registry.client.transport`'s. Nothing is ever taken for "nobody has said
anything".
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import requests
from numpy.typing import NDArray

from registry.client.ticket_book import TicketBook
from registry.client.transport import Request, Transport
from registry.decision import decide
from registry.errors import RegistryAnswerError
from registry.fingerprint import VERSION, Fingerprint
from registry.keys import distinct
from registry.preference import Preference, Status, Use
from registry.statement import Statement

__all__ = ["BATCH", "MARKS", "Asked", "Known", "Marks", "RegistryClient"]

BATCH = 1000
"""Items in one request."""

MARKS = 200_000
"""Keys in one request for marks."""

_SEQ = re.compile(r"[0-9]{1,16}", re.ASCII)
_MARKS = "/api/v1/marks"
_RECEIPTS = "/api/v1/receipts"
_GRANTS = "/api/v1/grants"
_SUBSCRIPTIONS = "/api/v1/subscriptions"
_KEYS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One item to look up, by any of its keys."""

    url: str | None = None
    fingerprint: Fingerprint | None = None

    def to_wire(self, id_: str) -> dict[str, Any]:
        """Return the JSON form of the item."""
        wire: dict[str, Any] = {"id": id_}
        if self.url is not None:
            wire["url"] = self.url
        if self.fingerprint is not None:
            if self.fingerprint.sha256 is not None:
                wire["sha256"] = self.fingerprint.sha256.hex()
            wire["fingerprint"] = self.fingerprint.to_wire()
        return wire


@dataclass(frozen=True, slots=True)
class Known:
    """What one registry answered about one item, as of one event."""

    status: Status
    reason: str
    statements: tuple[Statement, ...]
    as_of_seq: int


class Marks(NamedTuple):
    """Which keys have anything standing under them, ``marked: bool[n]``, as of one event.

    True means that the key is to be looked up, False that nothing was said under it by then.
    """

    as_of_seq: int
    marked: NDArray[np.bool_]


class RegistryClient:
    """One registry at ``url``; ``key`` is an API key, needed to write and to see details.

    ``timeout`` is in seconds, for the connection and for each read; ``retries`` counts further tries.
    ``max_items`` and ``max_marks`` are how many items and keys one request may hold, known after
    :meth:`check_parameters`, as is ``max_tickets``: 0 where it gives no tickets, None where it knows none.

    One that is pickled, for another process, takes all of this along, the API key too, and connects anew.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 60.0, retries: int = 4) -> None:
        self._transport = Transport(url, key, timeout, retries)
        self.max_items, self.max_marks = BATCH, MARKS
        self.max_tickets: int | None = None

    @property
    def book(self) -> TicketBook | None:
        """Where the tickets of every look-up are kept, None where none are."""
        return self._transport.book

    @book.setter
    def book(self, book: TicketBook | None) -> None:
        self._transport.book = book

    @property
    def url(self) -> str:
        """The registry's address, without a slash at its end."""
        return self._transport.url

    def __reduce__(self) -> tuple[Any, ...]:
        limits = (self.max_items, self.max_marks, self.max_tickets)
        return _connected_anew, (self.url, self._transport.settings, limits)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> "RegistryClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lookup(
        self,
        items: Sequence[Asked],
        use: Use,
        *,
        review: bool = True,
        grants: Sequence[str] = (),
        as_of_seq: int | None = None,
    ) -> list[Known]:
        """Look up ``items`` in batches; one answer an item, in their order.

        Without ``review`` possible copies, which ask for a second look, are not searched for. Statements that
        one of ``grants``, identifiers, covers are marked with it. With ``as_of_seq`` it is asked what was
        known at an earlier event.

        Raises :class:`RegistryUnreachableError`, :class:`RegistryRefusedError`, :class:`RegistryAnswerError`.
        """
        known: list[Known] = []
        for start in range(0, len(items), min(BATCH, self.max_items)):
            batch = items[start : start + min(BATCH, self.max_items)]
            wires = [item.to_wire(str(number)) for number, item in enumerate(batch)]
            body: dict[str, Any] = {"use": str(use), "items": wires}
            body |= {} if review else {"review": False}
            body |= {"grants": list(grants)} if grants else {}
            body |= {} if as_of_seq is None else {"as_of_seq": as_of_seq}
            answer = self._call("POST", "/api/v1/lookup", body)
            known.extend(self._matched(answer, len(batch), use))
        strange = {one.grant for item in known for one in item.statements} - {"", *grants}
        if strange:
            raise self._transport.wrong(f"a grant that was not asked about, {min(strange)[:40]!r}")
        return known

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Ask which of ``keys: uint64[n, 2]`` anything stands under; equal ones are sent once.

        ``of`` is ``rule``, for keys as :func:`registry.urlkeys.url_keys` makes them, or ``sha256``, for its
        first 16 bytes. Raises as :meth:`lookup`; a registry that is too old for it is refused by name.
        """
        asked, place = distinct(keys)
        parts = [
            self._marks(asked[start : start + self.max_marks], of)
            for start in range(0, len(asked) or 1, self.max_marks)
        ]
        marked = np.concatenate([part.marked for part in parts])
        return Marks(min(part.as_of_seq for part in parts), marked[place])

    def check_parameters(self) -> Mapping[str, Any]:
        """Ask what the registry takes; :class:`RegistryAnswerError` when our fingerprints are not live."""
        parameters = self._call("GET", "/api/v1/parameters")
        live = parameters.get("fingerprint_versions")
        if not isinstance(live, list) or VERSION not in live:
            raise RegistryAnswerError(
                f"{self.url} takes fingerprint versions {live!r}; this client makes version {VERSION}",
                hint="Update the client: pip install --upgrade caveat-registry.",
            )
        limits = {"max_items": BATCH, "max_marks": MARKS}
        for name, usual in limits.items():
            limits[name] = parameters.get(name, usual)
            if type(limits[name]) is not int or limits[name] < 1:
                raise self._transport.wrong(f"{name} {limits[name]!r}")
        self.max_items, self.max_marks = limits.values()
        self.max_tickets = parameters.get("max_tickets")
        if self.max_tickets is not None and type(self.max_tickets) is not int:
            raise self._transport.wrong(f"max_tickets {self.max_tickets!r}")
        return parameters

    def keep_tickets(self) -> TicketBook:
        """Keep the tickets of every look-up from now on; return the book that they are in."""
        self.book = book = TicketBook(self._merged)
        return book

    def ask_nothing(self) -> None:
        """Send a look-up of nothing, which takes the number of a request that failed."""
        self._call("POST", "/api/v1/lookup", {"items": []})

    def tell_receipts(self, body: Mapping[str, Any], path: str = "") -> dict[str, Any]:
        """Send one request to ``/api/v1/receipts`` and return the answer."""
        return self._call("POST", f"{_RECEIPTS}{path}", body)

    def tell_subscriptions(
        self, method: str, path: str = "", body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send one request to ``/api/v1/subscriptions`` and return the answer."""
        return self._call(method, f"{_SUBSCRIPTIONS}{path}", body)

    def wrong(self, what: str) -> RegistryAnswerError:
        """Return the error for an answer from which nothing can follow; ``what`` it was."""
        return self._transport.wrong(what)

    def register(self, reservation: Mapping[str, Any]) -> dict[str, Any]:
        """Lodge a reservation (the JSON of ``POST /api/v1/reservations``); return the acknowledgement."""
        return self._write("POST", "/api/v1/reservations", reservation)

    def add_works(self, id_: str, works: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Add works to an own reservation; return the acknowledgement."""
        return self._write("POST", f"{_place(id_)}/works", {"works": list(works)})

    def withdraw(self, id_: str) -> dict[str, Any]:
        """Withdraw an own reservation; return the acknowledgement."""
        return self._write("DELETE", _place(id_), None)

    def erase(self, id_: str, *, keep: bool = False) -> dict[str, Any]:
        """Destroy an own reservation and its past; return the acknowledgement.

        With ``keep`` works and rules are lodged anew under the same identifier, without names.
        """
        return self._write("POST", f"{_place(id_)}/erase", {"keep": keep})

    def grant(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Grant works of an own reservation (the JSON of ``POST /api/v1/grants``); return what is told."""
        return self._write("POST", _GRANTS, wanted)

    def show_grant(self, id_: str) -> dict[str, Any]:
        """Return a grant and how it stands (``GET /api/v1/grants/{id}``)."""
        return self._call("GET", f"{_GRANTS}/{quote(id_, safe='')}")

    def revoke_grant(self, id_: str) -> dict[str, Any]:
        """Take back a grant of an own reservation; return the acknowledgement."""
        return self._write("DELETE", f"{_GRANTS}/{quote(id_, safe='')}", None)

    def show(self, id_: str) -> dict[str, Any]:
        """Return an own reservation as it stands."""
        shown = self._call("GET", _place(id_))
        kinds = {"id": str, "label": str, "works": int, "rules": list, "history": list}
        if not all(isinstance(shown.get(name), kind) for name, kind in kinds.items()):
            raise self._transport.wrong("a reservation that cannot be read")
        return shown

    def works(self, id_: str) -> Iterator[dict[str, Any]]:
        """Yield the works of an own reservation, asked for a page at a time, with what is known of each."""
        path, after = f"{_place(id_)}/works", ""
        while True:
            page = self._call("GET", path + (after and f"?after={quote(after)}"))
            works, following = page.get("works"), page.get("next")
            if not isinstance(works, list) or not isinstance(following, str | None):
                raise self._transport.wrong("works that are no page of them")
            yield from works
            if following is None:
                return
            if not works or following == after:
                raise self._transport.wrong("a page of works that leads nowhere")
            after = following

    def tell_import(
        self, method: str, path: str = "", body: Mapping[str, Any] | bytes | None = None, kind: str = ""
    ) -> dict[str, Any]:
        """Send one request to ``/api/v1/imports`` and return the answer; ``kind`` is of a body of bytes."""
        return self._call(method, f"/api/v1/imports{path}", body, {"Content-Type": kind} if kind else None)

    def evidence(self, id_: str, works: Sequence[str] = ()) -> dict[str, Any]:
        """Return what the log proves about a reservation, as :mod:`registry.evidence` has it.

        ``works`` are works of an import, each told with its own proof.
        """
        return self._call("GET", f"{_place(id_)}/evidence{_asking(works)}")

    def evidence_paper(self, id_: str, works: Sequence[str] = ()) -> bytes:
        """Return the same for people, as PDF, as the registry made it."""
        path = f"{_place(id_)}/evidence.pdf{_asking(works)}"
        return self._transport.exchange(Request("GET", path, too_old="write evidence for people"))[0]

    def events_at(self, time: str) -> dict[str, Any]:
        """Return which event was the last at ``time``, quoted (``GET /api/v1/events/at``)."""
        request = Request("GET", f"/api/v1/events/at?time={time}", too_old="say what it knew on a day")
        return self._transport.call(request)

    def log_keys(self) -> dict[str, Any]:
        """Return the log's public keys, and the evidence of their announcement."""
        return self._call("GET", "/api/v1/log/keys")

    def fetch(self, path: str, largest: int) -> bytes:
        """Return what is published at ``path``, at most ``largest`` bytes: a checkpoint, a tile."""
        return self._transport.exchange(Request("GET", path, largest=largest))[0]

    def reading(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[requests.Response]:
        """Open the file at ``path``; the caller reads its body, as it is stored, or the part of it.

        Raises :class:`RegistryUnreachableError`, also when the connection is lost while the block reads, and
        :class:`RegistryRefusedError`.
        """
        return self._transport.reading(path, headers)

    def _write(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        # A key of its own a call: a retry after a lost answer is not a second reservation.
        answer = self._call(method, path, body, {"Idempotency-Key": uuid.uuid4().hex})
        if not isinstance(answer.get("id"), str) or not isinstance(answer.get("seq"), int):
            raise self._transport.wrong("an acknowledgement without id and seq")
        return answer

    def _merged(self, tickets: Sequence[str]) -> str:
        ticket = self.tell_receipts({"tickets": list(tickets)}, "/tickets").get("ticket")
        if not isinstance(ticket, str):
            raise self._transport.wrong("no ticket for many")
        return ticket

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        return self._transport.call(Request(method, path, body, headers))

    def _marks(self, keys: NDArray[np.uint64], of: str) -> Marks:
        sent = keys.astype(">u8").tobytes()
        length = -(-len(keys) // 8)
        asked = Request("POST", f"{_MARKS}?of={of}", sent, _KEYS, too_old="say which keys it knows")
        data, headers = self._transport.exchange(asked)
        seq = headers.get("Caveat-As-Of-Seq", "")
        if not _SEQ.fullmatch(seq):
            raise self._transport.wrong(f"marks as of event {seq[:40]!r}")
        if headers.get("Content-Type") != _KEYS["Content-Type"] or len(data) != length:
            raise self._transport.wrong(
                f"{len(data)} bytes of {headers.get('Content-Type')}, not {length} of marks"
            )
        bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.bool_)
        if bits[len(keys) :].any():
            raise self._transport.wrong("marks of more keys than were asked for")
        return Marks(int(seq), bits[: len(keys)])

    def _matched(self, answer: Mapping[str, Any], count: int, use: Use) -> Iterator[Known]:
        """Yield the answers by id, in order, after checking that each is there once."""
        results, seq = answer.get("results"), answer.get("as_of_seq")
        if not isinstance(results, list) or type(seq) is not int or seq < 0:
            raise self._transport.wrong("a look-up without results or as_of_seq")
        by_id: dict[str, Mapping[str, Any]] = {}
        for result in results:
            id_ = result.get("id") if isinstance(result, dict) else None
            if not isinstance(id_, str) or id_ in by_id:
                raise self._transport.wrong(f"an item without an id of its own: {id_!r}")
            by_id[id_] = result
        if by_id.keys() != {str(number) for number in range(count)}:
            raise self._transport.wrong(
                f"{len(by_id)} answers to {count} items, or to others than were asked"
            )
        # Of many rows of one site the same is said: it is read once.
        read: dict[str, Known] = {}
        for number in range(count):
            said = {name: value for name, value in by_id[str(number)].items() if name != "id"}
            text = repr(said)
            if text not in read:
                read[text] = self._known(said, seq, use)
            yield read[text]

    def _known(self, result: Mapping[str, Any], seq: int, use: Use) -> Known:
        try:
            status = Status(result["status"])
            preference = None if result["preference"] is None else Preference(result["preference"])
            statements = tuple(Statement.from_wire(wire, registry=self.url) for wire in result["statements"])
            reason = result["reason"]
            if not isinstance(reason, str):
                raise TypeError("the reason is no text")
        except RegistryAnswerError as error:
            raise self._transport.wrong(error.message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.wrong(f"an item that cannot be read ({error!r})") from error
        if (status is Status.OK) != (preference is not None):
            raise self._transport.wrong(f"status {status} with preference {preference}")
        if preference is not None and decide(statements, use).preference is not preference:
            raise self._transport.wrong(f"preference {preference}, which its statements do not bear out")
        return Known(status, reason, statements, seq)


def _connected_anew(
    url: str, settings: tuple[str | None, float, int], limits: tuple[int, int, int | None]
) -> RegistryClient:
    key, timeout, retries = settings
    client = RegistryClient(url, key, timeout=timeout, retries=retries)
    client.max_items, client.max_marks, client.max_tickets = limits
    return client


def _asking(works: Sequence[str]) -> str:
    return "?" * bool(works) + "&".join(f"work={quote(one, safe='')}" for one in works)


def _place(id_: str) -> str:
    """Return where a reservation stands; whatever was given stays one part of the path."""
    return f"/api/v1/reservations/{quote(id_, safe='')}"
