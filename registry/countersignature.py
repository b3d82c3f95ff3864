"""Countersignatures: what a registry answered to the run of a receipt, as the registry itself says.

The receipt is the maker's word. A countersignature is an in-toto statement about it, by the key of the
registry's log, that holds no word of the maker's: how many requests of the run it answered, about how many
items, when, as of which event, and the hashes over all of them. Both are kept in one file, a bundle:

    {"countersignatures":[ENVELOPE, …],"receipt":ENVELOPE}

The receipt names the runs that the tickets are of, so that no other receipt is countersigned with them.

Read strictly: what is accepted is what would have been written, RFC 8785.

Source: in-toto Statement v1; DSSE; RFC 6962.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from registry import dsse
from registry.dsse import Envelope
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.merkle import root_of
from registry.model_receipt import Signed
from registry.note import Signer, Verifier
from registry.receipt import PAYLOAD_TYPE, Asked, predicate_of, seconds_of, statement_of, timestamp
from registry.strictly import parsed, wire_of
from registry.tickets import Ticket, root_of_runs

__all__ = [
    "ABOUT",
    "MAX_COUNTERSIGNATURES",
    "PREDICATE",
    "Bundle",
    "Countersignature",
    "countersign",
    "open_countersignature",
    "parse_countersignature",
]

PREDICATE = "urn:caveat:countersignature:1"
"""What the statement says; a name that claims nobody's domain."""

ABOUT = (
    "Shows that this registry answered these requests, which whoever sent them says were those of the run "
    "that the receipt tells of. Does not show that the run asked about all of its input, nor that what the "
    "receipt counts is true."
)
"""What every countersignature says of itself, to the letter."""

MAX_COUNTERSIGNATURES = 100
"""Most countersignatures of one receipt: each is of one registry, and of 10,000 runs at most."""

_SKEW = 300
"""Seconds by which the maker's clock may be wrong."""
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEMBERS = {"receipt", "countersignatures"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersignature:
    """What ``registry``, by the name of its log, answered to the run of ``receipt``, a statement's SHA-256.

    ``run`` is the root by which the receipt names what the tickets are of, ``runs`` how many these are: a
    process that asks is one. ``asked`` and ``answered`` are the RFC 6962 roots over the requests and the
    answers, hexadecimal; over several runs those of the tree in which the root of each stands for a leaf's
    hash. ``as_of_seq`` is the lowest event of the answers; ``first`` and ``last`` are RFC 3339.
    ``checkpoint`` is the log's state when this was signed, None before the first.
    """

    about: str = ABOUT
    registry: str
    receipt: str
    run: str
    runs: int
    requests: int
    items: int
    asked: str
    answered: str
    as_of_seq: int
    first: str
    last: str
    checkpoint: str | None

    def __post_init__(self) -> None:
        if self.about != ABOUT:
            raise ProofError(
                f"about: says {self.about[:80]!r}; a countersignature says what it does not show"
            )
        for name in ("receipt", "run", "asked", "answered"):
            if not _HEX.fullmatch(getattr(self, name)):
                raise ProofError(f"{name}: {getattr(self, name)[:70]!r} is no SHA-256")
        if seconds_of(self.first) > seconds_of(self.last):
            raise ProofError(f"the last answer of {self.last}, before the first of {self.first}")
        if not 1 <= self.runs <= self.requests:
            raise ProofError(f"requests: {self.requests} were answered, to {self.runs} runs")

    def to_statement(self) -> bytes:
        """Return the statement about the receipt: RFC 8785, without a newline."""
        return statement_of({"name": "receipt", "digest": {"sha256": self.receipt}}, PREDICATE, wire_of(self))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A receipt and its countersignatures."""

    receipt: Envelope
    countersignatures: tuple[Envelope, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        signed = [one.to_wire() for one in self.countersignatures]
        return {"receipt": self.receipt.to_wire(), "countersignatures": signed}

    def to_json(self) -> bytes:
        """Return the JSON form as it is stored: RFC 8785, and a newline."""
        return rfc8785.dumps(self.to_wire()) + b"\n"

    @classmethod
    def from_wire(cls, wire: object) -> "Bundle":
        """Read the JSON form. Raises :class:`ProofError`, which names the member."""
        if not isinstance(wire, Mapping) or set(wire) != _MEMBERS:
            raise ProofError("not a bundle: expected receipt and countersignatures")
        listed = wire["countersignatures"]
        if not isinstance(listed, list) or len(listed) > MAX_COUNTERSIGNATURES:
            raise ProofError(f"countersignatures: expected a list of at most {MAX_COUNTERSIGNATURES}")
        return cls(Envelope.from_wire(wire["receipt"]), tuple(map(Envelope.from_wire, listed)))

    @classmethod
    def from_json(cls, data: bytes) -> "Bundle":
        """Undo :meth:`to_json`. Raises :class:`ProofError`, also for the same in other bytes."""
        if len(data) > dsse.MAX_BYTES:
            raise ProofError(f"a bundle of {len(data):,} bytes; at most {dsse.MAX_BYTES:,} are read")
        try:
            bundle = cls.from_wire(strict_json(data))
        except ProofError:
            raise
        except InputError as error:
            raise ProofError(f"not a bundle: {error.message}") from error
        if bundle.to_json() != data:
            raise ProofError("not a bundle as it is written: other spaces, or another order of its members")
        return bundle


def countersign(
    signed: Signed, tickets: Sequence[Ticket], signer: Signer, checkpoint: str | None
) -> tuple[Countersignature, Envelope]:
    """Return what the registry whose log ``signer`` signs answered to the run of a receipt, signed.

    ``tickets`` are as :func:`registry.tickets.merge_runs` returns them. Raises :class:`ProofError` unless the
    receipt names their runs, and says that this registry was asked, in the time of the tickets, and as of no
    later event than they say.
    """
    run = root_of_runs(one.run for one in tickets).hex()
    _require_same_run(signed, tickets, _asked(signed, signer.name, run))
    said = Countersignature(
        registry=signer.name,
        receipt=signed.sha256,
        run=run,
        runs=len(tickets),
        requests=sum(one.end for one in tickets),
        items=sum(one.items for one in tickets),
        asked=root_of(one.asked for one in tickets).hex(),
        answered=root_of(one.answered for one in tickets).hex(),
        as_of_seq=min(one.as_of_seq for one in tickets),
        first=timestamp(min(one.first for one in tickets)),
        last=timestamp(max(one.last for one in tickets)),
        checkpoint=checkpoint,
    )
    statement = said.to_statement()
    # Read back as anybody would: what would be refused is not signed.
    parse_countersignature(statement)
    return said, dsse.sign(PAYLOAD_TYPE, statement, [signer])


def parse_countersignature(payload: bytes) -> Countersignature:
    """Undo :meth:`Countersignature.to_statement`. Raises :class:`ProofError`, which names the member."""
    try:
        wire = strict_json(payload)
    except InputError as error:
        raise ProofError(f"not a statement: {error.message}") from error
    said = parsed(Countersignature, predicate_of(wire, PREDICATE), "predicate")
    if said.to_statement() != payload:
        raise ProofError("not a countersignature as it is written: of another receipt, or written anew")
    return said


def open_countersignature(envelope: Envelope, signed: Signed, keys: Sequence[Verifier]) -> Countersignature:
    """Read the countersignature of a receipt, signed by one of ``keys``.

    Raises :class:`ProofError`, also when it is of another receipt, when another log's key signed it than that
    of the registry it names, or when the receipt says that this registry was not asked, or not in this run.
    """
    said = parse_countersignature(envelope.payload)
    named = [one for one in keys if one.name == said.registry]
    dsse.verify(envelope, named, PAYLOAD_TYPE)
    if said.receipt != signed.sha256:
        raise ProofError(f"it is of the receipt {said.receipt}, and this one is {signed.sha256}")
    asked = _asked(signed, said.registry, said.run)
    if asked.as_of_seq is not None and asked.as_of_seq > said.as_of_seq:
        raise ProofError(_LATER.format(receipt=asked.as_of_seq, registry=said.as_of_seq))
    return said


_LATER = "the receipt says as of event {receipt:,}, and the registry answered as of event {registry:,}"


def _asked(signed: Signed, origin: str, run: str) -> Asked:
    """Return what the receipt says of the registry whose log has this name, and that was asked in ``run``."""
    found = [one for one in signed.receipt.registries if one.origin == origin]
    if not found:
        raise ProofError(f"the receipt does not say that the registry with the log {origin} was asked")
    if all(one.asked == "snapshot" for one in found):
        raise ProofError(
            "the run asked a snapshot: nothing was sent, so there is nothing to countersign",
            hint="A run that works offline has no countersignature.",
        )
    # A mirror has the log of the registry that it follows, and gives no tickets.
    named = next((one for one in found if run in one.runs), None)
    if named is None:
        raise ProofError(
            f"the receipt does not name the run of these tickets, {run}",
            hint="A receipt is signed with the names of its runs; tickets of others prove nothing of it.",
        )
    return named


def _require_same_run(signed: Signed, tickets: Sequence[Ticket], asked: Asked) -> None:
    receipt = signed.receipt
    as_of_seq = min(one.as_of_seq for one in tickets)
    if asked.as_of_seq is None:
        raise ProofError("the receipt says that this registry was asked about nothing")
    if asked.as_of_seq > as_of_seq:
        raise ProofError(_LATER.format(receipt=asked.as_of_seq, registry=as_of_seq))
    first, last = min(one.first for one in tickets), max(one.last for one in tickets)
    # Shards that were resumed had their answers before this run began.
    begun = 0 if receipt.resumed else seconds_of(receipt.started) - _SKEW
    if first < begun or last > seconds_of(receipt.finished) + _SKEW:
        raise ProofError(
            f"answers from {timestamp(first)} to {timestamp(last)}; the run says from "
            f"{receipt.started} to {receipt.finished}"
        )
