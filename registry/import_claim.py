"""What a partner declares of an import, and signs: the text, and the digest in it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Claim", "digest_of", "statement_of"]


@dataclass(frozen=True, slots=True)
class Claim:
    """How many parts and works an import has, its digest (32 bytes), and the signed note that says so."""

    parts: int
    works: int
    digest: bytes
    note: str = ""


def digest_of(bodies: Sequence[bytes]) -> bytes:
    """Return the digest of an import: SHA-256 over the SHA-256 of each part's body, in their order."""
    return hashlib.sha256(b"".join(bodies)).digest()


def statement_of(namespace: str, batch_id: str, claim: Claim) -> str:
    """Return the text that a partner signs, as a C2SP signed note."""
    lines = (namespace, batch_id, str(claim.parts), str(claim.works), claim.digest.hex())
    return "caveat-import/v1\n" + "".join(f"{line}\n" for line in lines)
