"""The header ``Idempotency-Key``: by it a write that was sent twice is done once."""

import hashlib

from flask import request

from registry.errors import InputError
from registry.registrar import Repeatable

__all__ = ["repeatable"]


def repeatable() -> Repeatable | None:
    """Return the key of this request and what it stands for, or None. Raises :class:`InputError`."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= 200 or not key.isascii() or not key.isprintable():
        raise InputError("Idempotency-Key: expected 1 to 200 printable ASCII characters")
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.get_data())
    return Repeatable(key, digest.digest())
