"""Leaves: what the log says of each event, in the open, and what it commits to, under a salt.

    {"commitment":"5f…","op":"register","record":"k3…","scope":"record","seq":7,"v":1}

A leaf of scope ``record`` commits to the payload of its event by HMAC-SHA256 under a random salt of 16 bytes;
one of scope ``part`` to some thousand works at once, by the RFC 6962 root over a commitment to each. So a
payload can be destroyed with its salt, and the log verifies as before and tells nothing. A leaf of scope
``log`` announces a key of the log itself, in the open.

Canonical JSON (RFC 8785); bytes stand in it as hexadecimal digits.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from registry.errors import InputError, ProofError
from registry.jsontext import strict_json

__all__ = ["SALT_BYTES", "Leaf", "commit", "format_leaf", "parse_leaf", "plain"]

SALT_BYTES = 16
_VERSION = 1
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Leaf:
    """Event ``seq`` did ``op`` to ``record``; ``commitment`` 32 bytes; ``key`` for scope ``log`` only."""

    seq: int
    op: str
    record: str
    commitment: bytes
    scope: str = "record"
    key: str = ""


def commit(salt: bytes, payload: Mapping[str, Any]) -> bytes:
    """Return the commitment to ``payload`` under ``salt``, 32 bytes."""
    return hmac.digest(salt, rfc8785.dumps(plain(payload)), hashlib.sha256)


def format_leaf(leaf: Leaf) -> bytes:
    """Return the canonical JSON."""
    wire: dict[str, Any] = {
        "v": _VERSION,
        "seq": leaf.seq,
        "op": leaf.op,
        "record": leaf.record,
        "scope": leaf.scope,
        "commitment": leaf.commitment.hex(),
    }
    return rfc8785.dumps(wire | ({"key": leaf.key} if leaf.key else {}))


def parse_leaf(data: bytes) -> Leaf:
    """Undo :func:`format_leaf`. Raises :class:`ProofError` for anything else."""
    try:
        wire = strict_json(data)
        texts = [wire[name] for name in ("op", "record", "commitment", "scope")] + [wire.get("key", "")]
        if type(wire["seq"]) is int and all(isinstance(text, str) for text in texts):
            op, record, digits, scope, key = texts
            leaf = Leaf(wire["seq"], op, record, bytes.fromhex(digits), scope, key)
            if len(leaf.commitment) == _HASH_BYTES and format_leaf(leaf) == data:
                return leaf
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise ProofError(f"not a leaf of this kind of log: {data[:80]!r}")


def plain(value: Any) -> Any:
    """Return ``value`` with bytes as hexadecimal digits, ready for canonical JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, str) else value
