"""Who is calling: from the Authorization header to a :class:`Caller`.

``API <key>`` and ``Bearer <key>`` are the same; a recovery code stands for a key. It is looked up in the
database at every request, so a revoked key is refused by every worker at once.
"""

from flask import request

from api.codes import read_code
from api.keys import is_well_formed, key_sha256
from api.state import state
from registry.errors import ForbiddenError, UnauthenticatedError
from registry.registrar import Caller
from registry.store import principals

__all__ = ["has_scope", "optional_caller", "require_caller"]

_HINT = "Send the header 'Authorization: API <key>'; the registry's operator gives out keys."


def optional_caller() -> Caller | None:
    """Return the caller, or None without an Authorization header.

    Raises :class:`UnauthenticatedError` for a key that is not known: a wrong key is never anonymous.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, key = header.partition(" ")
    key = key.strip()
    key = key if is_well_formed(key) else read_code(key) or ""
    if scheme.lower() not in ("api", "bearer") or not key:
        raise UnauthenticatedError("the Authorization header holds no key of this registry", hint=_HINT)
    with state().store.read() as connection:
        row = principals.find_credential(connection, key_sha256(key))
    if row is None:
        raise UnauthenticatedError("the key is not known here, or was revoked", hint=_HINT)
    return Caller(row.principal_id, frozenset(row.scopes.split()), row.evidence_level)


def has_scope(scope: str) -> bool:
    """Return whether the caller's key has ``scope``; without a key it is False.

    Raises :class:`UnauthenticatedError` for a key that is not known.
    """
    caller = optional_caller()
    return caller is not None and scope in caller.scopes


def require_caller(*scopes: str) -> Caller:
    """Return the caller whose key has one of ``scopes``.

    Raises :class:`UnauthenticatedError` without a known key, :class:`ForbiddenError` without the scope.
    """
    caller = optional_caller()
    if caller is None:
        raise UnauthenticatedError("a key is needed", hint=_HINT)
    if caller.scopes.isdisjoint(scopes):
        names = " or ".join(map(repr, scopes))
        raise ForbiddenError(f"this key has no scope {names}", hint="Ask the registry's operator for it.")
    return caller
