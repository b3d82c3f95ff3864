"""What a receipt, and a model with one in its header, say when somebody checks them.

Each check has a name, a result and a sentence. The whole is ``ok`` unless one of them is ``not ok``. What the
file does not say is ``not told``. Nothing here reads a file or a clock, so that a platform can
check an upload by the bytes of its header alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry.dsse import keyid_of
from registry.errors import CaveatError, InputError, ProofError
from registry.jsontext import strict_json
from registry.model_receipt import MODEL_KEY, RECEIPT_KEY, Signed, Trust, open_binding, open_receipt
from registry.note import Verifier, open_note, parse_checkpoint
from registry.receipt import Asked, Receipt, seconds_of

__all__ = [
    "MAX_AGE_DAYS",
    "SKEW",
    "TENSORS",
    "Check",
    "Policy",
    "Result",
    "check_model",
    "check_receipt",
    "is_ok",
]

MAX_AGE_DAYS = 90
"""Days after which the state that a receipt names counts as old."""

TENSORS = "tensor hash"
"""Name of the check of the tensors against the receipt."""

_DAY = 86_400
_DIGITS = 15
"""Most digits of a count that a trainer wrote."""

SKEW = 300
"""Seconds by which another clock may be ahead."""


class Result(StrEnum):
    """What a check found."""

    OK = "ok"
    NOT_OK = "not ok"
    NOT_TOLD = "not told"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, and what was found."""

    name: str
    result: Result
    text: str

    def to_wire(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"name": self.name, "result": str(self.result), "text": self.text}


@dataclass(frozen=True, slots=True)
class Policy:
    """By what is checked: whose receipts are believed, the keys of logs, the time, and the age taken."""

    keys: Sequence[Verifier]
    now: int
    log_keys: Sequence[Verifier] = ()
    max_age_days: float = MAX_AGE_DAYS


def is_ok(checks: Sequence[Check]) -> bool:
    """Say whether nothing is wrong; of nothing that was checked it is not."""
    return bool(checks) and all(one.result is not Result.NOT_OK for one in checks)


def check_receipt(data: bytes, policy: Policy) -> tuple[Signed | None, list[Check]]:
    """Check ``receipt.dsse.json``; returns it where its signature is right, and what was found."""
    try:
        signed = open_receipt(data, policy.keys)
    except ProofError as error:
        return None, [Check("receipt", Result.NOT_OK, error.message)]
    receipt = signed.receipt
    said = f"of {receipt.counts.samples:,} samples, finished {receipt.finished}"
    found = [Check("receipt", Result.OK, said), _signature(signed), _age(receipt, policy)]
    found += [_state(one, policy.log_keys) for one in receipt.registries]
    return signed, found


def check_model(metadata: Mapping[str, str], tensors: str | None, policy: Policy) -> list[Check]:
    """Check what the header of a model says; ``tensors`` is its tensor hash, None where it was not read."""
    if RECEIPT_KEY not in metadata:
        return [Check("receipt", Result.NOT_OK, f"there is none: no {RECEIPT_KEY} in the header")]
    signed, found = check_receipt(metadata[RECEIPT_KEY].encode() + b"\n", policy)
    found.append(_declared(metadata, tensors))
    if signed is None:
        return found
    found += _binding(metadata, signed, tensors, policy.now)
    return [*found, _training(metadata, signed.receipt), _counts(metadata, signed.receipt)]


def _signature(signed: Signed) -> Check:
    name = keyid_of(signed.signer)
    if signed.trust is Trust.KNOWN:
        return Check("signature", Result.OK, f"by {name}, which is known here")
    text = f"right by the key that the receipt names itself, {name}; nobody here vouches for that key"
    return Check("signature", Result.NOT_OK, f"{text} ({signed.signer.text})")


def _age(receipt: Receipt, policy: Policy) -> Check:
    age = policy.now - seconds_of(receipt.finished)
    if age < -SKEW:
        return Check("age", Result.NOT_OK, f"from the future: it says {receipt.finished}")
    days = max(age, 0) / _DAY
    text = f"the state is {days:,.0f} days old"
    if days > policy.max_age_days:
        return Check("age", Result.NOT_OK, f"{text}; at most {policy.max_age_days:g} are taken")
    return Check("age", Result.OK, text)


def _state(asked: Asked, log_keys: Sequence[Verifier]) -> Check:
    name = f"state of {asked.origin or asked.url}"
    said = "asked about nothing" if asked.as_of_seq is None else f"as of event {asked.as_of_seq:,}"
    if asked.checkpoint is None:
        return Check(name, Result.NOT_TOLD, f"{said}; it gave no signed state of its log")
    known = [key for key in log_keys if key.name == asked.origin]
    try:
        if known:
            open_note(asked.checkpoint, known)
        log = parse_checkpoint(asked.checkpoint[: asked.checkpoint.index("\n\n") + 1])
    except (ProofError, ValueError) as error:
        told = error.message if isinstance(error, ProofError) else "not a signed note"
        return Check(name, Result.NOT_OK, f"{said}; its checkpoint does not hold: {told}")
    if log.origin != asked.origin:
        return Check(name, Result.NOT_OK, f"{said}; its checkpoint is of the log {log.origin}")
    said += f", and its log had {log.size:,} then"
    if not known:
        return Check(name, Result.NOT_TOLD, f"{said}; no key of this log is known here: give --log-key")
    return Check(name, Result.OK, f"{said}, signed by the log's key")


def _declared(metadata: Mapping[str, str], tensors: str | None) -> Check:
    """Hold the hashes that a file gives of itself against its tensors."""
    told = {
        name: metadata[name].lower().removeprefix("0x")
        for name in ("sshs_model_hash", "modelspec.hash_sha256")
        if metadata.get(name, "None") not in ("", "None")
    }
    if tensors is None or not told:
        what = "the tensors were not read" if tensors is None else "it gives no hash of itself"
        return Check("declared hashes", Result.NOT_TOLD, what)
    other = [name for name, value in told.items() if value != tensors]
    if other:
        return Check("declared hashes", Result.NOT_OK, f"{other[0]} is not that of the tensors, {tensors}")
    return Check("declared hashes", Result.OK, f"{' and '.join(told)}: that of the tensors")


def _binding(metadata: Mapping[str, str], signed: Signed, tensors: str | None, now: int) -> Iterator[Check]:
    name = TENSORS
    if MODEL_KEY not in metadata:
        yield Check(name, Result.NOT_OK, f"the receipt is bound to no model: no {MODEL_KEY} in the header")
        return
    try:
        binding = open_binding(metadata[MODEL_KEY].encode() + b"\n", signed)
    except ProofError as error:
        yield Check(name, Result.NOT_OK, f"{MODEL_KEY} does not hold: {error.message}")
        return
    if tensors is None:
        yield Check(name, Result.NOT_TOLD, f"bound to {binding.tensors}; the tensors were not read")
    elif binding.tensors != tensors:
        text = f"the receipt is bound to {binding.tensors}, and these tensors are {tensors}"
        yield Check(name, Result.NOT_OK, text)
    else:
        yield Check(name, Result.OK, f"bound to these tensors, {tensors}")
    if seconds_of(binding.attached) > now + SKEW:
        yield Check("attached", Result.NOT_OK, f"from the future: it says {binding.attached}")


def _training(metadata: Mapping[str, str], receipt: Receipt) -> Check:
    name, told = "training", metadata.get("ss_training_started_at", "None")
    if told == "None":
        return Check(name, Result.NOT_TOLD, "no ss_training_started_at")
    try:
        began = float(told)
    except ValueError:
        began = math.nan
    if not math.isfinite(began):
        return Check(name, Result.NOT_OK, f"ss_training_started_at is no time: {told[:40]!r}")
    if began + SKEW < seconds_of(receipt.finished):
        return Check(name, Result.NOT_OK, f"began before the filter had finished, {receipt.finished}")
    return Check(name, Result.OK, "began after the filter had finished")


def _counts(metadata: Mapping[str, str], receipt: Receipt) -> Check:
    name, kept = "pictures", receipt.counts.kept
    try:
        pictures, with_repeats = _trained(metadata)
    except InputError as error:
        return Check(name, Result.NOT_OK, error.message)
    if pictures is None:
        if with_repeats is not None and with_repeats <= kept:
            return Check(name, Result.OK, f"{with_repeats:,} with their repeats, of {kept:,} kept")
        return Check(name, Result.NOT_TOLD, f"{kept:,} kept; the model does not tell its pictures")
    if with_repeats is not None and with_repeats < pictures:
        text = f"ss_dataset_dirs has {pictures:,}, and ss_num_train_images {with_repeats:,} with repeats"
        return Check(name, Result.NOT_OK, text)
    if pictures > kept:
        return Check(name, Result.NOT_OK, f"trained on {pictures:,}, and {kept:,} were kept")
    return Check(name, Result.OK, f"trained on {pictures:,} of {kept:,} kept")


def _trained(metadata: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return how many pictures kohya's metadata tell of, and how many with their repeats."""
    with_repeats = _number(metadata, "ss_num_train_images")
    told = metadata.get("ss_dataset_dirs", "None")
    if told in ("None", "", "{}"):
        return None, with_repeats
    try:
        folders = strict_json(told.encode())
        counts = [one["img_count"] for one in folders.values()]
    except (CaveatError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"ss_dataset_dirs cannot be read: {told[:60]!r}") from error
    if not all(_is_count(one) for one in counts):
        raise InputError(f"ss_dataset_dirs has an img_count that is none: {told[:60]!r}")
    return sum(counts), with_repeats


def _number(metadata: Mapping[str, str], name: str) -> int | None:
    told = metadata.get(name, "None")
    if told == "None":
        return None
    if not (told.isascii() and told.isdigit() and len(told) <= _DIGITS):
        raise InputError(f"{name} is no number: {told[:40]!r}")
    return int(told)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 10**_DIGITS
