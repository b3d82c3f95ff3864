"""Principals and their credentials; of a key only its SHA-256 is stored."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from registry.store.sql import table_of
from registry.tables import Credential, Principal

__all__ = [
    "add_credential",
    "add_principal",
    "ensure_principal",
    "find_credential",
    "has_principal",
    "import_key_of",
    "list_credentials",
    "revoke_credential",
    "set_import_key",
]

PRINCIPAL = table_of(Principal)
CREDENTIAL = table_of(Credential)


def add_principal(connection: Connection, values: Mapping[str, Any]) -> None:
    """Add a principal."""
    connection.execute(insert(PRINCIPAL).values(**values))


def ensure_principal(connection: Connection, principal_id: str, at: int) -> None:
    """Add a principal without a name unless there is one: a mirror knows no more of them."""
    if not has_principal(connection, principal_id):
        add_principal(connection, {"id": principal_id, "name": "", "created_at": at})


def has_principal(connection: Connection, principal_id: str) -> bool:
    """Say whether there is such a principal."""
    return (
        connection.execute(select(PRINCIPAL.c.id).where(PRINCIPAL.c.id == principal_id)).first() is not None
    )


def import_key_of(connection: Connection, principal_id: str) -> str | None:
    """Return the public key that signs a principal's imports, or None."""
    wanted = select(PRINCIPAL.c.import_key).where(PRINCIPAL.c.id == principal_id)
    key: str | None = connection.execute(wanted).scalar_one_or_none()
    return key


def set_import_key(connection: Connection, principal_id: str, key: str) -> None:
    """Replace the public key that signs a principal's imports."""
    connection.execute(update(PRINCIPAL).where(PRINCIPAL.c.id == principal_id).values(import_key=key))


def add_credential(connection: Connection, values: Mapping[str, Any]) -> None:
    """Add a credential of a principal."""
    connection.execute(insert(CREDENTIAL).values(**values))


def find_credential(connection: Connection, sha256: bytes) -> Row[Any] | None:
    """Return the live credential with this hash, or None."""
    wanted = select(CREDENTIAL).where(CREDENTIAL.c.sha256 == sha256, CREDENTIAL.c.revoked_at.is_(None))
    return connection.execute(wanted).one_or_none()


def list_credentials(connection: Connection) -> Sequence[Row[Any]]:
    """Return every credential with its principal's name, oldest first."""
    joined = CREDENTIAL.join(PRINCIPAL, CREDENTIAL.c.principal_id == PRINCIPAL.c.id)
    wanted = select(CREDENTIAL, PRINCIPAL.c.name).select_from(joined)
    return connection.execute(wanted.order_by(CREDENTIAL.c.created_at, CREDENTIAL.c.id)).all()


def revoke_credential(connection: Connection, credential_id: str, at: int) -> bool:
    """Revoke a live credential; say whether there was one."""
    live = (CREDENTIAL.c.id == credential_id) & CREDENTIAL.c.revoked_at.is_(None)
    return bool(connection.execute(update(CREDENTIAL).where(live).values(revoked_at=at)).rowcount)
