"""``/receipt``: what holds of a receipt that somebody has, or of a model with one in it.

A receipt or a bundle is pasted, or sent as a file; of a model its beginning is enough. What is sent is read
in memory, checked and forgotten. A small model can be sent whole: then its tensors are compared too.
"""

import re
from typing import Any

from flask import Response

from api.state import state
from api.web.pages import is_page, shown
from api.web.sending import Form, read_form
from api.web.verifying import checked_bundle, checked_header, told
from api.web.words import CHECKS, standing_of
from registry.countersignature import Bundle
from registry.dsse import Envelope
from registry.errors import InputError, PayloadTooLargeError
from registry.jsontext import strict_json
from registry.note import Verifier
from registry.receipt_checks import Verified
from registry.safetensors import LENGTH_BYTES, header_size, parse_header, tensor_hash

__all__ = ["check_receipt_page", "receipt_form"]

_MOST = 16 * 1024 * 1024
"""Bytes of a file that are taken: a receipt, or the beginning of a model."""
_KEYS = 20
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HINT = "Of a model its header is enough: a browser with scripts sends no more. Or: caveat receipt verify."


def receipt_form() -> Response:
    """Show the form."""
    return _page({}, {})


def check_receipt_page() -> Response:
    """Say what holds of what was sent."""
    fields: dict[str, str] = {}
    try:
        form = read_form(_MOST, "the file", _HINT)
        fields = form.fields
        data, name = _sent(form)
        found = _checked(data, fields)
    except (InputError, PayloadTooLargeError) as error:
        if not is_page():
            raise
        status = 413 if isinstance(error, PayloadTooLargeError) else 422
        return _page({}, fields, status, error=error)
    return _page(told(found), {"key": fields.get("key", "")}, name=name or "the receipt")


def _page(wire: dict[str, Any], fields: dict[str, str], status: int = 200, **more: Any) -> Response:
    standing = standing_of(wire["checks"], wire["verdict"]) if wire else None
    more |= {"fields": fields, "most": _MOST // 2**20, "standing": standing, "CHECKS": CHECKS}
    if is_page():
        return shown("verify.html", wire, status, scripts=True, **more)
    return shown("verify.html", wire, status)


def _sent(form: Form) -> tuple[bytes, str]:
    """Return what was sent as a file, else what was pasted, and the name of the file."""
    data, name = form.file("file")
    data = data or form.fields.get("receipt", "").strip().encode()
    if not data:
        raise InputError("nothing was sent", hint="Paste a receipt, or choose a file.")
    return data, name


def _checked(data: bytes, fields: dict[str, str]) -> Verified:
    keys = _keys(fields.get("key", ""))
    # The length before a header has zeros in it, and JSON has none.
    if b"\0" in data[:8]:
        return _checked_model(data, fields.get("tensor_hash", ""), keys)
    wire = strict_json(data)
    bundled = isinstance(wire, dict) and "receipt" in wire
    return checked_bundle(Bundle.from_wire(wire) if bundled else Bundle(Envelope.from_wire(wire), ()), keys)


def _checked_model(data: bytes, said: str, keys: list[Verifier]) -> Verified:
    size, most = header_size(data), LENGTH_BYTES + state().settings.max_header_bytes
    if size > min(len(data), most):
        raise InputError(
            f"the header announces {size:,} bytes; {len(data):,} were sent, and {most:,} are read here",
            hint="Check this file with the command line: caveat receipt verify.",
        )
    header = parse_header(data[:size])
    whole = len(data) == size + header.data_size
    if len(data) != size and not whole:
        wanted = f"a header of {size:,} bytes or a model of {size + header.data_size:,}"
        raise InputError(
            f"expected {wanted}, got {len(data):,}",
            hint="The file is cut off, or something follows it.",
        )
    if said and not _HEX.fullmatch(said):
        raise InputError(f"tensor_hash: expected 64 hexadecimal digits in lower case, got {said[:80]!r}")
    tensors = tensor_hash([data[size:]]) if whole else said or None
    return checked_header(data[:size], tensors, keys)


def _keys(text: str) -> list[Verifier]:
    words = text.split()
    if len(words) > _KEYS:
        raise InputError(f"key: {len(words)} keys; at most {_KEYS}")
    try:
        return [Verifier.parse(word) for word in words]
    except InputError as error:
        raise InputError(f"key: {error.message}", hint="Give what caveat receipt key prints.") from error
