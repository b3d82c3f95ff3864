"""Events: what happened, in order and without gaps."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from registry.errors import StaleIndexError
from registry.store import Transaction
from registry.store.sql import table_of
from registry.tables import Event

__all__ = ["append", "history", "leaves_between", "require_between"]

_EVENT = table_of(Event)


def append(tx: Transaction, *, op: str, record: str, at: int, salt: bytes, leaf: bytes) -> None:
    """Append the event of this transaction."""
    tx.connection.execute(
        insert(_EVENT).values(seq=tx.seq, op=op, record=record, at=at, salt=salt, leaf=leaf)
    )


def require_between(connection: Connection, after: int, upto: int) -> None:
    """Raise :class:`StaleIndexError` unless every event ``after < seq <= upto`` is there."""
    counted = select(func.count()).select_from(_EVENT).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    count = connection.execute(counted).scalar_one()
    if count != upto - after:
        raise StaleIndexError(f"{upto - after} events were due after {after}, and {count} are there")


def leaves_between(connection: Connection, after: int, upto: int) -> list[bytes]:
    """Return the leaves of the events ``after < seq <= upto``, oldest first.

    Raises :class:`StaleIndexError` when events are missing.
    """
    require_between(connection, after, upto)
    wanted = select(_EVENT.c.leaf).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    return [bytes(leaf) for leaf in connection.execute(wanted.order_by(_EVENT.c.seq)).scalars()]


def history(connection: Connection, record: str) -> Sequence[Any]:
    """Return (seq, op, at) of every event of ``record``, oldest first."""
    wanted = select(_EVENT.c.seq, _EVENT.c.op, _EVENT.c.at).where(_EVENT.c.record == record)
    return connection.execute(wanted.order_by(_EVENT.c.seq)).all()
