"""What a registry can say of a receipt that is shown to it, alone or in the header of a model.

Everything that :mod:`registry.model_checks` finds, and what only the registry itself knows: whether the state
that the receipt names is one that its log had. A log has one past; a receipt that names another is of a log
that forked, or was made up.

The whole has one verdict: ``not ok`` when anything is wrong; ``not told`` when nothing is, but a model's
tensors are still to be compared with the hash that its receipt is bound to; else ``ok``.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from registry.countersignature import open_countersignature, parse_countersignature
from registry.dsse import Envelope
from registry.errors import ProofError
from registry.merkle import HashReader, root_hash
from registry.model_checks import Check, Policy, Result, check_model, check_receipt, is_ok
from registry.model_receipt import MODEL_KEY, RECEIPT_KEY, Signed, open_binding, open_receipt
from registry.note import parse_checkpoint
from registry.receipt import Asked, Receipt
from registry.safetensors import parse_header

__all__ = [
    "TENSORS",
    "Countersigned",
    "KnownLog",
    "Verified",
    "check_state",
    "verdict_of",
    "verify_header",
    "verify_receipt",
]

Countersigned = Callable[[Signed], Sequence[Envelope]]
"""Gives the countersignatures of a receipt that are known."""

TENSORS = "tensor hash"
"""The check that needs more of a model than its header."""

_COUNTERSIGNED = "countersignature"


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log as whoever keeps it knows it: its name, its last event, and the hashes of ``size`` leaves."""

    origin: str
    head: int
    size: int
    reader: HashReader


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: ``signed`` is the receipt where its signature is right.

    ``tensors`` is the tensor hash that it is bound to; None without a model, and where that does not hold.
    """

    verdict: Result
    checks: Sequence[Check]
    signed: Signed | None
    tensors: str | None = None


def verify_receipt(
    data: bytes, policy: Policy, log: KnownLog | None, countersigned: Countersigned | None = None
) -> Verified:
    """Check a receipt, an envelope as it was written."""
    signed, checks = check_receipt(data, policy)
    checks = [*checks, *_by_registries(signed, policy, log, countersigned)]
    return Verified(verdict_of(checks), checks, signed)


def verify_header(
    data: bytes,
    tensors: str | None,
    policy: Policy,
    log: KnownLog | None,
    countersigned: Countersigned | None = None,
) -> Verified:
    """Check a model by its header, the eight bytes before it included; ``tensors`` is its tensor hash.

    Raises :class:`ModelError` for what is no header.
    """
    header = parse_header(data)
    metadata = header.metadata or {}
    said = f"{len(header.tensors):,} tensors of {header.data_size:,} bytes, which are not here"
    checks = [Check("header", Result.OK, said), *check_model(metadata, tensors, policy)]
    signed = bound = None
    # Why one of them does not hold stands among the checks.
    with contextlib.suppress(ProofError, KeyError):
        signed = open_receipt(_written(metadata[RECEIPT_KEY]), policy.keys)
        bound = open_binding(_written(metadata[MODEL_KEY]), signed).tensors
    checks += _by_registries(signed, policy, log, countersigned)
    return Verified(verdict_of(checks), checks, signed, bound)


def verdict_of(checks: Sequence[Check]) -> Result:
    """Return the verdict over all checks."""
    if not is_ok(checks):
        return Result.NOT_OK
    open_ = any(one.name == TENSORS and one.result is Result.NOT_TOLD for one in checks)
    return Result.NOT_TOLD if open_ else Result.OK


def _by_registries(
    signed: Signed | None, policy: Policy, log: KnownLog | None, countersigned: Countersigned | None
) -> Iterator[Check]:
    if signed is None:
        return
    yield from _states(signed.receipt, log)
    envelopes = [] if countersigned is None else countersigned(signed)
    if not envelopes:
        yield Check(
            _COUNTERSIGNED, Result.NOT_TOLD, "none is here: that a registry was asked only the maker says"
        )
    for one in envelopes:
        yield _countersigned(one, signed, policy)


def _countersigned(envelope: Envelope, signed: Signed, policy: Policy) -> Check:
    try:
        said = parse_countersignature(envelope.payload)
        if not any(key.name == said.registry for key in policy.log_keys):
            text = f"by the log {said.registry}, no key of which is known here"
            return Check(_COUNTERSIGNED, Result.NOT_TOLD, text)
        open_countersignature(envelope, signed, policy.log_keys)
    except ProofError as error:
        return Check(_COUNTERSIGNED, Result.NOT_OK, error.message)
    text = f"{said.registry} answered {said.requests:,} requests about {said.items:,} items, as of event "
    return Check(_COUNTERSIGNED, Result.OK, f"{text}{said.as_of_seq:,}, from {said.first} to {said.last}")


def _states(receipt: Receipt, log: KnownLog | None) -> Iterator[Check]:
    own = [] if log is None else [one for one in receipt.registries if one.origin == log.origin]
    if log is None or not own:
        yield Check("log", Result.NOT_TOLD, "the run did not ask this registry by the name of its log")
        return
    for one in own:
        yield check_state(one, log)


def check_state(asked: Asked, log: KnownLog) -> Check:
    """Hold what a receipt says of this registry against its log, whose tiles may raise when they are read."""
    name = f"log of {log.origin}"
    if asked.as_of_seq is not None and asked.as_of_seq > log.head:
        text = f"from the future: as of event {asked.as_of_seq:,}, and this registry has had {log.head:,}"
        return Check(name, Result.NOT_OK, text)
    if asked.checkpoint is None:
        return Check(name, Result.NOT_TOLD, "the receipt has no signed state of this log")
    try:
        then = parse_checkpoint(asked.checkpoint[: asked.checkpoint.index("\n\n") + 1])
    except (ProofError, ValueError):
        return Check(name, Result.NOT_OK, "its checkpoint is no state of a log")
    if then.size > log.size:
        text = f"its checkpoint has {then.size:,} events, and this log has published {log.size:,}"
        return Check(name, Result.NOT_OK, text)
    if root_hash(log.reader, then.size) != then.root:
        text = f"a log that forked: this one never had the state of its checkpoint, of {then.size:,} events"
        return Check(name, Result.NOT_OK, text)
    return Check(
        name, Result.OK, f"the state of its checkpoint, of {then.size:,} events, is one this log had"
    )


def _written(text: str) -> bytes:
    return text.encode() + b"\n"
