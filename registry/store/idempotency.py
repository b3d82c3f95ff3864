"""Answers given to requests with an Idempotency-Key, so that a repeated request gets the same one."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from registry.store.sql import table_of
from registry.tables import Idempotency

__all__ = ["find", "remember"]

_TABLE = table_of(Idempotency)


def find(connection: Connection, principal_id: str, key: str) -> Row[Any] | None:
    """Return what was answered to ``key``, or None."""
    return connection.execute(
        select(_TABLE).where(_TABLE.c.principal_id == principal_id, _TABLE.c.key == key)
    ).one_or_none()


def remember(
    connection: Connection, *, principal_id: str, key: str, request_sha256: bytes, answer: str, at: int
) -> None:
    """Store the answer to ``key`` with the write that it acknowledges."""
    connection.execute(
        insert(_TABLE).values(
            principal_id=principal_id, key=key, request_sha256=request_sha256, answer=answer, at=at
        )
    )
