"""Whether an import may be written to, and whether it is what its partner declares and signs.

Foreign and missing imports look the same. What differs is named: parts, works, digest, signature.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from registry.errors import ConflictError, ForbiddenError, InputError, NotFoundError, ProofError
from registry.import_claim import Claim, digest_of, statement_of
from registry.note import Verifier, open_note
from registry.registrar import Caller
from registry.store import imports, principals

__all__ = [
    "may_import",
    "own_batch",
    "places_of",
    "require_claimed",
    "verifier_of",
]

_NOT_YOURS = "no such import of yours"
_HINT = "Check the identifier, and that the key has the scope of its namespace."
_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)
_NAMED = 10
"""Parts that are named when they are missing."""


def may_import(caller: Caller, namespace: str) -> bool:
    """Say whether the caller's key is scoped for the namespace."""
    return f"import:{namespace}" in caller.scopes


def own_batch(connection: Connection, caller: Caller, batch_id: str) -> Row[Any]:
    """Return the caller's own import; foreign, missing and impossible ones look the same."""
    row = imports.batch_of(connection, batch_id) if _ID.fullmatch(batch_id) else None
    if row is None or row.principal_id != caller.principal_id or not may_import(caller, row.namespace):
        raise NotFoundError(_NOT_YOURS, hint=_HINT)
    return row


def verifier_of(connection: Connection, caller: Caller) -> Verifier:
    """Return the key that signs the caller's imports. Raises :class:`ForbiddenError` if there is none."""
    text = principals.import_key_of(connection, caller.principal_id)
    if text is None:
        raise ForbiddenError(
            "no key is registered that could sign your imports",
            hint="Send the public half of your signing key to the operator, who registers it with "
            f"caveat api-keys create --principal {caller.principal_id} --import-key.",
        )
    return Verifier.parse(text)


def require_claimed(connection: Connection, caller: Caller, batch_id: str, claim: Claim) -> int:
    """Raise :class:`ConflictError`, :class:`ForbiddenError` unless the import is what ``claim`` declares.

    Returns the event of its last part.
    """
    batch = own_batch(connection, caller, batch_id)
    parts = imports.parts_of(connection, batch_id)
    _require_parts([part.number for part in parts], claim.parts)
    works = sum(part.works for part in parts)
    if works != claim.works:
        raise ConflictError(f"{claim.works} works were declared, and the parts hold {works}")
    digest = digest_of([bytes(part.body_sha256) for part in parts])
    if digest != claim.digest:
        raise ConflictError(
            f"the digest {claim.digest.hex()} was declared, and the parts have {digest.hex()}",
            hint="One of the parts is not what was cut from the list: compare their SHA-256.",
        )
    _require_signed(
        verifier_of(connection, caller), statement_of(batch.namespace, batch_id, claim), claim.note
    )
    return max(int(part.seq) for part in parts)


def _require_parts(numbers: Sequence[int], declared: int) -> None:
    if not declared:
        raise InputError("parts: an import of nothing", hint="DELETE the import instead.")
    there = set(numbers)
    missing = [str(number) for number in range(1, declared + 1) if number not in there]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ConflictError(f"missing parts: {', '.join(missing[:_NAMED])}{more}", hint="Send them.")
    if len(numbers) > declared:
        beyond = [str(number) for number in numbers if number > declared]
        raise ConflictError(f"{declared} parts were declared, and there is part {beyond[0]}")


def _require_signed(verifier: Verifier, wanted: str, note: str) -> None:
    hint = f"The note must say what this import is, signed by {verifier.text}."
    try:
        text, _ = open_note(note, [verifier])
    except ProofError as error:
        raise ForbiddenError(f"note: {error.message}", hint=hint) from error
    if text != wanted:
        raise ForbiddenError("note: it is signed, and says something else than this import is", hint=hint)


def places_of(
    connection: Connection, caller: Caller, batch_id: str, works: Sequence[tuple[int, int]]
) -> tuple[set[tuple[int, int]], dict[tuple[int, int], int]]:
    """Return the places of these works, and of all that were withdrawn before, with the event."""
    batch = own_batch(connection, caller, batch_id)
    if batch.state != imports.COMPLETE:
        raise ConflictError(f"this import is {batch.state}", hint="Single works of a complete one can go.")
    parts = {part.number: part for part in imports.parts_of(connection, batch_id)}
    for number, ordinal in works:
        if number not in parts or not 0 <= ordinal < parts[number].works:
            raise NotFoundError(f"no work {ordinal} in part {number} of this import")
    places = {(parts[number].seq, ordinal) for number, ordinal in works}
    return places, imports.withdrawn_of(connection, batch_id)
