"""What registries can say of a receipt that is shown, alone or in the header of a model.

Everything that :mod:`registry.model_checks` finds, and what only registries know: what they countersigned,
and whether the states that the receipt and the countersignatures name are ones that their logs had. A log has
one past; a receipt that names another is of a log that forked, or was made up.

The whole has one verdict: ``not ok`` when anything is wrong; ``not told`` when nothing is, but a model's
tensors are still to be compared with the hash that its receipt is bound to; else ``ok``.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from registry.countersignature import (
    MAX_COUNTERSIGNATURES,
    Countersignature,
    open_countersignature,
    parse_countersignature,
)
from registry.dsse import Envelope
from registry.errors import ProofError, RegistryError
from registry.merkle import HashReader, consistency_proof, require_consistency, root_hash
from registry.model_checks import SKEW, TENSORS, Check, Policy, Result, check_model, check_receipt, is_ok
from registry.model_receipt import (
    MODEL_KEY,
    RECEIPT_KEY,
    Signed,
    carried_countersignatures,
    open_binding,
    open_receipt,
)
from registry.note import Checkpoint, Verifier, open_note, parse_checkpoint
from registry.receipt import Receipt, seconds_of
from registry.safetensors import parse_header

__all__ = [
    "COUNTERSIGNED",
    "Dated",
    "KnownLog",
    "Registries",
    "Verified",
    "check_state",
    "verdict_of",
    "verify_header",
    "verify_metadata",
    "verify_receipt",
]

COUNTERSIGNED = "countersignature"
"""The check of each countersignature, or that there is none."""


class Dated(Protocol):
    """What names a state of a registry: an event, and the signed state of its log."""

    @property
    def as_of_seq(self) -> int | None: ...  # noqa: D102
    @property
    def checkpoint(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log as it is now: its name, its last event, and the hashes of the ``size`` leaves under ``root``.

    ``keys`` are those that sign it. What ``reader`` gives need not be right: it must lead to ``root``.
    ``is_copy`` is of a mirror's, which may be behind.
    """

    origin: str
    head: int
    size: int
    root: bytes
    reader: HashReader
    keys: Sequence[Verifier] = ()
    is_copy: bool = False


def _none(_: Signed) -> Sequence[Envelope]:
    return ()


@dataclass(frozen=True, slots=True)
class Registries:
    """What registries know of a receipt beyond what is shown: their logs, and what they countersigned.

    ``countersigned`` gives the countersignatures that are known of a receipt which is shown without any.
    """

    logs: Sequence[KnownLog] = ()
    countersigned: Callable[[Signed], Sequence[Envelope]] = _none


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
    data: bytes, policy: Policy, registries: Registries, given: Sequence[Envelope] = ()
) -> Verified:
    """Check a receipt, an envelope as it was written, and the countersignatures ``given`` with it."""
    signed, checks = check_receipt(data, policy)
    checks = [*checks, *_by_registries(signed, given, policy, registries)]
    return Verified(verdict_of(checks), checks, signed)


def verify_header(data: bytes, tensors: str | None, policy: Policy, registries: Registries) -> Verified:
    """Check a model by its header, the eight bytes before it included; ``tensors`` is its tensor hash.

    Raises :class:`ModelError` for what is no header.
    """
    header = parse_header(data)
    said = f"{len(header.tensors):,} tensors of {header.data_size:,} bytes, which are not here"
    found = verify_metadata(header.metadata or {}, tensors, policy, registries)
    checks = [Check("header", Result.OK, said), *found.checks]
    return replace(found, checks=checks)


def verify_metadata(
    metadata: Mapping[str, str], tensors: str | None, policy: Policy, registries: Registries
) -> Verified:
    """Check what the metadata of a model say; ``tensors`` is its tensor hash, None where it was not read."""
    checks = check_model(metadata, tensors, policy)
    signed = bound = None
    # Why one of them does not hold stands among the checks.
    with contextlib.suppress(ProofError, KeyError):
        signed = open_receipt(_written(metadata[RECEIPT_KEY]), policy.keys)
        bound = open_binding(_written(metadata[MODEL_KEY]), signed).tensors
    try:
        given = carried_countersignatures(metadata)
    except ProofError as error:
        given = ()
        checks.append(Check(COUNTERSIGNED, Result.NOT_OK, error.message))
    checks += _by_registries(signed, given, policy, registries)
    return Verified(verdict_of(checks), checks, signed, bound)


def verdict_of(checks: Sequence[Check]) -> Result:
    """Return the verdict over all checks."""
    if not is_ok(checks):
        return Result.NOT_OK
    open_ = any(one.name == TENSORS and one.result is Result.NOT_TOLD for one in checks)
    return Result.NOT_TOLD if open_ else Result.OK


def _by_registries(
    signed: Signed | None, given: Sequence[Envelope], policy: Policy, registries: Registries
) -> Iterator[Check]:
    if signed is None:
        return
    yield from _states(signed.receipt, registries.logs)
    envelopes = given or registries.countersigned(signed)
    if not envelopes:
        yield Check(
            COUNTERSIGNED, Result.NOT_TOLD, "none is here: that a registry was asked only the maker says"
        )
    if len(envelopes) > MAX_COUNTERSIGNATURES:
        text = f"{len(envelopes):,} of them; at most {MAX_COUNTERSIGNATURES} are read"
        yield Check(COUNTERSIGNED, Result.NOT_OK, text)
        return
    seen: set[tuple[str, str]] = set()
    for one in envelopes:
        yield _countersigned(one, signed, policy, registries.logs, seen)


def _countersigned(
    envelope: Envelope,
    signed: Signed,
    policy: Policy,
    logs: Sequence[KnownLog],
    seen: set[tuple[str, str]],
) -> Check:
    """Check one countersignature; ``seen`` are the runs that those before it are about."""
    try:
        said = parse_countersignature(envelope.payload)
        known = any(key.name == said.registry for key in policy.log_keys)
        if known:
            open_countersignature(envelope, signed, policy.log_keys)
        _require_now(said, signed, policy.now, seen)
    except ProofError as error:
        return Check(COUNTERSIGNED, Result.NOT_OK, error.message)
    seen.add((said.registry, said.run))
    if not known:
        text = f"by the log {said.registry}, no key of which is known here"
        return Check(COUNTERSIGNED, Result.NOT_TOLD, text)
    wrong = [one.text for one in _held(said, logs) if one.result is Result.NOT_OK]
    if wrong:
        return Check(COUNTERSIGNED, Result.NOT_OK, f"signed by {said.registry}, but {wrong[0]}")
    text = f"{said.registry} answered {said.requests:,} requests about {said.items:,} items, as of event "
    return Check(COUNTERSIGNED, Result.OK, f"{text}{said.as_of_seq:,}, from {said.first} to {said.last}")


def _require_now(said: Countersignature, signed: Signed, now: int, seen: set[tuple[str, str]]) -> None:
    """Raise :class:`ProofError` for what needs no key to be found wrong."""
    if said.receipt != signed.sha256:
        raise ProofError(f"it is of the receipt {said.receipt}, and this one is {signed.sha256}")
    if not any(one.origin == said.registry and said.run in one.runs for one in signed.receipt.registries):
        raise ProofError(f"the receipt does not name the run {said.run} at the log {said.registry}")
    if seconds_of(said.last) > now + SKEW:
        raise ProofError(f"from the future: the last answer of {said.last}")
    if (said.registry, said.run) in seen:
        raise ProofError(f"there twice: what {said.registry} answered to this run counts once")


def _held(said: Countersignature, logs: Sequence[KnownLog]) -> Iterator[Check]:
    return (check_state(said, log) for log in logs if log.origin == said.registry)


def _states(receipt: Receipt, logs: Sequence[KnownLog]) -> Iterator[Check]:
    if not logs:
        yield Check("log", Result.NOT_TOLD, "no log is known here, to hold the states against")
    for log in logs:
        own = [one for one in receipt.registries if one.origin == log.origin]
        if not own:
            text = f"the run did not ask the registry of {log.origin} by the name of its log"
            yield Check("log", Result.NOT_TOLD, text)
        for one in own:
            yield check_state(one, log)


def check_state(said: Dated, log: KnownLog) -> Check:
    """Hold what a receipt or a countersignature says of a registry against its log as it is now.

    Tiles that do not make the log's root, or that a registry did not give, are ``not ok``; what else
    reading them raises is not caught.
    """
    name = f"log of {log.origin}"
    if log.is_copy and said.as_of_seq is not None and said.as_of_seq > log.size:
        text = f"as of event {said.as_of_seq:,}, and this copy of the log has {log.size:,}: ask the registry"
        return Check(name, Result.NOT_TOLD, text)
    if said.as_of_seq is not None and said.as_of_seq > log.head:
        text = f"from the future: as of event {said.as_of_seq:,}, and this registry has had {log.head:,}"
        return Check(name, Result.NOT_OK, text)
    if said.checkpoint is None:
        return Check(name, Result.NOT_TOLD, "there is no signed state of this log in it")
    try:
        then = parse_checkpoint(said.checkpoint[: said.checkpoint.index("\n\n") + 1])
    except (ProofError, ValueError):
        return Check(name, Result.NOT_OK, "its checkpoint is no state of a log")
    if log.is_copy and then.size > log.size:
        text = f"a state of {then.size:,} events, and this copy of the log has {log.size:,}: ask the registry"
        return Check(name, Result.NOT_TOLD, text)
    try:
        wrong = _contradiction(then, log, signed=_is_signed(said.checkpoint, log.keys))
    except (ProofError, RegistryError) as error:
        return Check(name, Result.NOT_OK, f"it cannot be held against the log: {error.message}")
    if wrong:
        return Check(name, Result.NOT_OK, wrong)
    return Check(
        name, Result.OK, f"the state of its checkpoint, of {then.size:,} events, is one this log had"
    )


def _contradiction(then: Checkpoint, log: KnownLog, *, signed: bool) -> str:
    """Say why ``then`` is no beginning of a log; empty when it is. What is signed the log itself said."""
    if then.size > log.size:
        if signed:
            text = f"a log that shrank: it signed {then.size:,} events, and has published {log.size:,}"
            return f"{text}; a mirror may be behind, ask the registry itself"
        return f"its checkpoint has {then.size:,} events, and this log has published {log.size:,}"
    proof = consistency_proof(log.reader, then.size, log.size)
    if _is_beginning(then, log, proof):
        return ""
    found = replace(then, root=root_hash(log.reader, then.size))
    if not _is_beginning(found, log, proof):
        raise ProofError("the tiles of the log do not make the root of its checkpoint")
    text = f"a log that forked: this one never had the state of its checkpoint, of {then.size:,} events"
    return f"{text}, which it signed" if signed else f"made up, or of {text}"


def _is_beginning(then: Checkpoint, log: KnownLog, proof: Sequence[bytes]) -> bool:
    try:
        require_consistency(then.size, log.size, then.root, log.root, proof)
    except ProofError:
        return False
    return True


def _is_signed(note: str, keys: Sequence[Verifier]) -> bool:
    try:
        open_note(note, keys)
    except ProofError:
        return False
    return bool(keys)


def _written(text: str) -> bytes:
    return text.encode() + b"\n"
