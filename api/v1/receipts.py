"""``/api/v1/receipts``: receipts of filter runs, checked for whoever is shown one.

``POST …/verify`` is for a platform to which a model is uploaded: it sends the receipt, or no more of the
model than its header. The checks are those of ``caveat receipt verify``, and what only this registry knows:
whether its log ever had the state that the receipt names. Nothing of a request is kept.
"""

import re
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from api.auth import optional_caller
from api.operations import Operation, operation
from api.state import published_log, state
from api.v1.published import published_bundle
from registry.countersignature import Bundle
from registry.dsse import Envelope
from registry.errors import (
    InputError,
    LogError,
    NotFoundError,
    PayloadTooLargeError,
    ProofError,
    UnsupportedMediaTypeError,
)
from registry.jsontext import strict_json
from registry.model_checks import MAX_AGE_DAYS, Policy
from registry.model_receipt import Signed, Trust
from registry.note import Verifier, open_note, parse_checkpoint
from registry.receipt_checks import KnownLog, Registries, Verified, verify_header, verify_receipt
from registry.safetensors import LENGTH_BYTES, header_size
from registry.tiles import TileReader

__all__ = ["blueprint", "known_log"]

blueprint = Blueprint("receipts", __name__, url_prefix="/api/v1/receipts")

_BYTES, _JSON = "application/octet-stream", "application/json"
_MOST_KEYS = 100
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DAYS = re.compile(r"[0-9]{1,6}", re.ASCII)


class CheckAnswer(BaseModel):
    """One thing that was checked: ``ok``, ``not ok``, or ``not told``, with what was found."""

    name: str
    result: str
    text: str


class VerifyAnswer(BaseModel):
    """What was found; ``receipt`` is the SHA-256 of its statement, null where its signature is wrong.

    ``tensor_hash`` is the one that the receipt is bound to, to be compared with that of the model.
    """

    verdict: str
    receipt: str | None
    key: str | None
    key_known: bool
    tensor_hash: str | None
    checks: list[CheckAnswer]


@blueprint.post("/verify")
@operation(
    Operation(
        "Check a receipt, or a model by its header",
        answer=VerifyAnswer,
        body="A receipt or a bundle (JSON), or a safetensors header with the eight bytes before it.",
        scope="optional",
        errors=(400, 401, 413, 415, 422, 503),
        query=("key", "max_age_days", "tensor_hash"),
        kinds=(_JSON, _BYTES),
    )
)
def verify() -> Response:
    """Say what holds of a receipt."""
    optional_caller()
    policy, log = _policy(), known_log()
    registries = Registries([] if log is None else [log], _published)
    if request.mimetype == _BYTES:
        found = verify_header(_header(), _tensors(), policy, registries)
    elif request.is_json:
        if "tensor_hash" in request.args:
            raise InputError("tensor_hash: of a receipt without a model", hint="Send the model's header.")
        bundle = _bundle()
        found = verify_receipt(bundle.receipt.to_json(), policy, registries, bundle.countersignatures)
    else:
        raise UnsupportedMediaTypeError(
            f"expected {_JSON} or {_BYTES}, got {request.mimetype or 'no Content-Type'}",
            hint=f"Send a receipt with 'Content-Type: {_JSON}', the header of a model with '{_BYTES}'.",
        )
    return jsonify(_wire(found))


def _wire(found: Verified) -> dict[str, Any]:
    signed = found.signed
    return {
        "verdict": str(found.verdict),
        "receipt": None if signed is None else signed.sha256,
        "key": None if signed is None else signed.signer.text,
        "key_known": signed is not None and signed.trust is Trust.KNOWN,
        "tensor_hash": found.tensors,
        "checks": [one.to_wire() for one in found.checks],
    }


def _policy() -> Policy:
    log = state().log
    return Policy(
        keys=_keys(),
        now=int(state().now()),
        log_keys=[] if log is None else log.verifiers(),
        max_age_days=_max_age(),
    )


def _keys() -> list[Verifier]:
    """Return the keys whose receipts whoever asks believes: this registry vouches for no maker."""
    texts = request.args.getlist("key")
    if len(texts) > _MOST_KEYS:
        raise PayloadTooLargeError(f"{len(texts)} keys; at most {_MOST_KEYS} in one request")
    try:
        return [Verifier.parse(text) for text in texts]
    except ProofError as error:
        raise InputError(
            f"key: {error.message}", hint="Give what caveat receipt key prints, each + written as %2B."
        ) from error


def _max_age() -> int:
    text = request.args.get("max_age_days", str(MAX_AGE_DAYS))
    if not _DAYS.fullmatch(text) or int(text) == 0:
        raise InputError(f"max_age_days: expected days from 1 to 999999, got {text[:40]!r}")
    return int(text)


def _tensors() -> str | None:
    text = request.args.get("tensor_hash")
    if text is not None and not _HEX.fullmatch(text):
        raise InputError(f"tensor_hash: expected 64 hexadecimal digits in lower case, got {text[:80]!r}")
    return text


def _header() -> bytes:
    """Return the header that was sent, and nothing after it."""
    most = LENGTH_BYTES + state().settings.max_header_bytes
    # One byte more tells a body that is too long without reading all of it.
    data = request.stream.read(most + 1)
    size = header_size(data)
    if size > most:
        length, taken = size - LENGTH_BYTES, most - LENGTH_BYTES
        raise PayloadTooLargeError(
            f"the header announces {length:,} bytes; at most {taken:,} are read here",
            hint="Check this file with the command line: caveat receipt verify.",
        )
    if len(data) > size:
        raise InputError(
            f"body: goes on after the header, which has {size:,} bytes", hint="Send the header alone."
        )
    return data


def _bundle() -> Bundle:
    """Return the receipt that was sent, alone or with its countersignatures."""
    wire = strict_json(request.get_data())
    if isinstance(wire, dict) and "receipt" in wire:
        return Bundle.from_wire(wire)
    return Bundle(Envelope.from_wire(wire), ())


def _published(signed: Signed) -> tuple[Envelope, ...]:
    bundle = published_bundle(signed)
    return () if bundle is None else bundle.countersignatures


def known_log() -> KnownLog | None:
    """Return this registry's log as it stands; None where it publishes none, or none yet."""
    try:
        folder = published_log()
    except NotFoundError:
        return None
    note, keys = folder.checkpoint(), folder.verifiers()
    if note is None or not keys:
        return None
    try:
        last = parse_checkpoint(open_note(note, keys)[0])
    except ProofError as error:
        raise LogError(
            f"the log's own checkpoint does not hold: {error.message}", hint="caveat log fsck says where."
        ) from error
    reader = _Tiles(last.size, folder.read_tile)
    is_copy = bool(state().settings.mirror)
    return KnownLog(last.origin, state().store.head(), last.size, last.root, reader, keys, is_copy)


class _Tiles(TileReader):
    """The tiles of this registry's log: one that cannot be read says nothing about a receipt."""

    def read(self, level: int, index: int) -> bytes:
        try:
            return super().read(level, index)
        except ProofError as error:
            raise LogError(error.message, hint="caveat log fsck says what is missing.") from error
