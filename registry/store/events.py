"""Events: what happened, in order and without gaps."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from registry.errors import StaleIndexError
from registry.store import Transaction
from registry.store.sql import table_of
from registry.tables import Event

__all__ = ["append", "count_between", "history", "leaves_between"]

_EVENT = table_of(Event)


def append(tx: Transaction, *, op: str, record: str, at: int, salt: bytes, leaf: bytes) -> None:
    """Append the event of this transaction."""
    tx.connection.execute(
        insert(_EVENT).values(seq=tx.seq, op=op, record=record, at=at, salt=salt, leaf=leaf)
    )


def count_between(connection: Connection, after: int, upto: int) -> int:
    """Return how many events have ``after < seq <= upto``; fewer than the difference means a gap."""
    counted = select(func.count()).select_from(_EVENT).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    return int(connection.execute(counted).scalar_one())


def leaves_between(connection: Connection, after: int, upto: int) -> list[bytes]:
    """Return the leaves of the events ``after < seq <= upto``, oldest first.

    Raises :class:`StaleIndexError` when events are missing.
    """
    wanted = select(_EVENT.c.seq, _EVENT.c.leaf).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    rows = connection.execute(wanted.order_by(_EVENT.c.seq)).all()
    if [row.seq for row in rows] != list(range(after + 1, upto + 1)):
        raise StaleIndexError(f"{upto - after} events were due after {after}, and {len(rows)} are there")
    return [bytes(row.leaf) for row in rows]


def history(connection: Connection, record: str) -> Sequence[Any]:
    """Return (seq, op, at) of every event of ``record``, oldest first."""
    wanted = select(_EVENT.c.seq, _EVENT.c.op, _EVENT.c.at).where(_EVENT.c.record == record)
    return connection.execute(wanted.order_by(_EVENT.c.seq)).all()
