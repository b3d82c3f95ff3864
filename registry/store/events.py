"""Events: what happened, in order and without gaps."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from registry.errors import StaleIndexError
from registry.leaf import SALT_BYTES, Leaf, commit, format_leaf
from registry.store import Transaction
from registry.store.sql import portions, table_of
from registry.tables import Event

__all__ = [
    "KEY_OPS",
    "append",
    "between",
    "commit_to",
    "destroy_salts",
    "erased_since",
    "key_leaves",
    "leaves_between",
    "of_record",
    "require_between",
    "standing",
]

KEY_OPS = ("key", "revoke-key")
"""What happens to keys of the log."""

_EVENT = table_of(Event)


def append(
    tx: Transaction,
    *,
    op: str,
    record: str,
    at: int,
    salt: bytes,
    leaf: bytes,
    erased_by: int | None = None,
) -> None:
    """Append the event of this transaction."""
    values = {"op": op, "record": record, "at": at, "salt": salt, "leaf": leaf, "erased_by": erased_by}
    tx.connection.execute(insert(_EVENT).values(seq=tx.seq, **values))


def commit_to(
    tx: Transaction, op: str, record: str, payload: Mapping[str, Any], at: int, *, key: str = ""
) -> None:
    """Append the event of this transaction, whose leaf commits to ``payload`` under a salt of its own.

    ``key`` is for events about a key of the log, which their leaf tells in the open.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    leaf = Leaf(tx.seq, op, record, commit(salt, payload), "log" if key else "record", key)
    append(tx, op=op, record=record, at=at, salt=salt, leaf=format_leaf(leaf))


def key_leaves(connection: Connection, after: int, upto: int) -> list[bytes]:
    """Return the leaves of the events ``after < seq <= upto`` about keys of the log, oldest first."""
    wanted = select(_EVENT.c.leaf).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    wanted = wanted.where(_EVENT.c.op.in_(KEY_OPS)).order_by(_EVENT.c.seq)
    return [bytes(leaf) for leaf in connection.execute(wanted).scalars()]


def destroy_salts(tx: Transaction, record: str) -> None:
    """Note that this transaction's event erases every earlier one of ``record``, and forget their salts."""
    earlier = (_EVENT.c.record == record) & (_EVENT.c.seq < tx.seq)
    whole = earlier & _EVENT.c.erased_by.is_(None)
    tx.connection.execute(update(_EVENT).where(whole).values(salt=b"", erased_by=tx.seq))


def erased_since(connection: Connection, seq: int) -> list[tuple[int, int]]:
    """Return (seq, erased_by) of the events that a later one than ``seq`` erased."""
    wanted = select(_EVENT.c.seq, _EVENT.c.erased_by).where(_EVENT.c.erased_by > seq)
    return [(seq, by) for seq, by in connection.execute(wanted.order_by(_EVENT.c.seq))]


def require_between(connection: Connection, after: int, upto: int) -> None:
    """Raise :class:`StaleIndexError` unless every event ``after < seq <= upto`` is there."""
    counted = select(func.count()).select_from(_EVENT).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    count = connection.execute(counted).scalar_one()
    if count != upto - after:
        raise StaleIndexError(f"{upto - after} events were due after {after}, and {count} are there")


def standing(connection: Connection, seqs: Collection[int]) -> set[int]:
    """Return those of ``seqs`` of which every row must be there: not erased, and no part of an import.

    An event that is not there itself is among them.
    """
    found = set(seqs)
    for some in portions(sorted(seqs)):
        gone = select(_EVENT.c.seq).where(_EVENT.c.seq.in_(some))
        gone = gone.where(or_(_EVENT.c.erased_by.is_not(None), _EVENT.c.op == "part"))
        found.difference_update(connection.execute(gone).scalars())
    return found


def leaves_between(connection: Connection, after: int, upto: int) -> list[bytes]:
    """Return the leaves of the events ``after < seq <= upto``, oldest first.

    Raises :class:`StaleIndexError` when events are missing.
    """
    require_between(connection, after, upto)
    wanted = select(_EVENT.c.leaf).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    return [bytes(leaf) for leaf in connection.execute(wanted.order_by(_EVENT.c.seq)).scalars()]


def of_record(connection: Connection, record: str) -> Sequence[Row[Any]]:
    """Return every event of ``record``, oldest first."""
    return connection.execute(select(_EVENT).where(_EVENT.c.record == record).order_by(_EVENT.c.seq)).all()


def between(connection: Connection, after: int, upto: int) -> Sequence[Row[Any]]:
    """Return the events ``after < seq <= upto``, oldest first.

    Raises :class:`StaleIndexError` when events are missing.
    """
    require_between(connection, after, upto)
    wanted = select(_EVENT).where(_EVENT.c.seq > after, _EVENT.c.seq <= upto)
    return connection.execute(wanted.order_by(_EVENT.c.seq)).all()
