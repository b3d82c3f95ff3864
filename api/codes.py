"""Recovery codes: what somebody lodges under who has no key, and by which they come back.

A code is 128 random bits and their CRC-32, as 32 letters and digits (base32, RFC 4648) in groups of four:
``ABCD-EFGH-…``. It is made by the page before anything is lodged, kept by the browser, and comes to life with
the first works lodged under it. Only its SHA-256 is stored, as of a key; it is worth a key of the scope
``register``, and is sent as one: ``Authorization: Bearer CODE``.

A 0 is read as O, a 1 as I, an 8 as B; case, spaces and hyphens do not matter.
"""

import base64
import binascii
import hashlib
import secrets
import zlib

from registry.errors import StorageError
from registry.registrar import Caller
from registry.store import Store, principals

__all__ = ["begin_code", "caller_by_code", "code_sha256", "new_code", "read_code"]

SCOPES = "register"
_BYTES, _CHECK = 16, 4
_GROUP = 4
_LEVEL = 0
"""Whoever comes with a code has shown nothing: nothing is known of who said it."""
_NAME = "by recovery code"


def new_code() -> str:
    """Return a code that nobody has."""
    return _spelled(secrets.token_bytes(_BYTES))


def read_code(text: str) -> str | None:
    """Return the one spelling of the code that ``text`` is, or None where it is none or was mistyped."""
    plain = "".join(text.split()).replace("-", "").upper().replace("8", "B")
    try:
        data = base64.b32decode(plain, map01="I")
    except (binascii.Error, ValueError):
        return None
    bits = data[:_BYTES]
    return _spelled(bits) if data == bits + _check(bits) and len(bits) == _BYTES else None


def code_sha256(code: str) -> bytes:
    """Return what is stored of a code."""
    return hashlib.sha256(code.encode()).digest()


def caller_by_code(store: Store, text: str) -> Caller | None:
    """Return who lodges under a code, or None for one that nothing was lodged under.

    The database is asked whatever ``text`` is, so that a mistyped code takes as long as an unknown one.
    """
    with store.read() as connection:
        row = principals.find_credential(connection, code_sha256(read_code(text) or "mistyped"))
    return (
        None if row is None else Caller(row.principal_id, frozenset(row.scopes.split()), row.evidence_level)
    )


def begin_code(store: Store, code: str, at: int) -> Caller:
    """Return who lodges under ``code``, from now on if it is new; ``at`` in seconds since 1970.

    Two requests at once begin it once. Raises :class:`StorageError`.
    """
    found = caller_by_code(store, code)
    if found is not None:
        return found
    try:
        return _begun(store, code, at)
    except StorageError:
        # The other of two was quicker; or the database is out of reach, and says so again.
        found = caller_by_code(store, code)
        if found is None:
            raise
        return found


def _begun(store: Store, code: str, at: int) -> Caller:
    principal = secrets.token_hex(8)
    with store.administer() as connection:
        principals.add_principal(connection, {"id": principal, "name": _NAME, "created_at": at})
        principals.add_credential(
            connection,
            {
                "id": secrets.token_hex(8),
                "principal_id": principal,
                "sha256": code_sha256(code),
                "scopes": SCOPES,
                "evidence_level": _LEVEL,
                "created_at": at,
                "revoked_at": None,
            },
        )
    return Caller(principal, frozenset(SCOPES.split()), _LEVEL)


def _check(bits: bytes) -> bytes:
    return zlib.crc32(bits).to_bytes(_CHECK, "big")


def _spelled(bits: bytes) -> str:
    text = base64.b32encode(bits + _check(bits)).decode()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
