"""Reservations, their works and their URL rules: versioned rows, read as they held at an event."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from registry.store import Transaction, imported_works, imports
from registry.store.sql import holds, portions, table_of
from registry.tables import ReservationVersion, UrlRuleRow, Work

__all__ = [
    "close_version",
    "count_works",
    "current",
    "erase_rows",
    "insert_rules",
    "insert_version",
    "insert_works",
    "owned_by",
    "rules_at",
    "rules_of",
    "versions_at",
    "works_at",
    "works_of",
]

VERSION = table_of(ReservationVersion)
WORK = table_of(Work)
RULE = table_of(UrlRuleRow)
_T = TypeVar("_T")


def insert_version(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Begin a version of a reservation with this transaction's event."""
    tx.connection.execute(insert(VERSION).values(from_seq=tx.seq, to_seq=None, **values))


def close_version(tx: Transaction, reservation_id: str) -> None:
    """End the current version of a reservation with this transaction's event."""
    open_one = (VERSION.c.reservation_id == reservation_id) & VERSION.c.to_seq.is_(None)
    tx.connection.execute(update(VERSION).where(open_one).values(to_seq=tx.seq))


def erase_rows(tx: Transaction, reservation_id: str) -> None:
    """Delete every row of a reservation, those of its past too."""
    for table in (VERSION, WORK, RULE):
        tx.connection.execute(delete(table).where(table.c.reservation_id == reservation_id))


def insert_works(tx: Transaction, works: Sequence[Mapping[str, Any]]) -> None:
    """Add works that begin with this transaction's event, in order."""
    _insert_numbered(tx, WORK, works)


def insert_rules(tx: Transaction, rules: Sequence[Mapping[str, Any]]) -> None:
    """Add URL rules that begin with this transaction's event, in order."""
    _insert_numbered(tx, RULE, rules)


def current(connection: Connection, reservation_id: str) -> Row[Any] | None:
    """Return the version that holds now, or None when there is no such reservation."""
    wanted = select(VERSION).where(VERSION.c.reservation_id == reservation_id, VERSION.c.to_seq.is_(None))
    return connection.execute(wanted).one_or_none()


def owned_by(connection: Connection, principal_id: str, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return up to ``limit`` current versions of a principal that began after event ``after``, in order.

    A submission's events each begin one version, so an event is a place to go on from.
    """
    mine = (VERSION.c.principal_id == principal_id) & VERSION.c.to_seq.is_(None)
    wanted = select(VERSION).where(mine, VERSION.c.from_seq > after)
    return connection.execute(wanted.order_by(VERSION.c.from_seq).limit(limit)).all()


def count_works(connection: Connection, reservation_id: str) -> int:
    """Return how many works a reservation has now, those of an import among them."""
    counted = select(func.count()).select_from(WORK)
    counted = counted.where(WORK.c.reservation_id == reservation_id, WORK.c.to_seq.is_(None))
    return int(connection.execute(counted).scalar_one()) + imports.count_of(connection, reservation_id)


def works_of(
    connection: Connection, reservation_id: str, after: tuple[int, int], limit: int
) -> Sequence[Any]:
    """Return up to ``limit`` works of a reservation that come after (event, ordinal) ``after``.

    Those of an import come first: single ones can be added once it is complete.
    """
    imported = imported_works.works_of(connection, reservation_id, after, limit)
    seq, ordinal = after
    later = or_(WORK.c.from_seq > seq, (WORK.c.from_seq == seq) & (WORK.c.ordinal > ordinal))
    wanted = select(WORK).where(WORK.c.reservation_id == reservation_id, WORK.c.to_seq.is_(None), later)
    wanted = wanted.order_by(WORK.c.from_seq, WORK.c.ordinal).limit(limit - len(imported))
    return [*imported, *connection.execute(wanted)]


def rules_of(connection: Connection, reservation_id: str) -> Sequence[Row[Any]]:
    """Return the URL rules of a reservation that hold now."""
    wanted = select(RULE).where(RULE.c.reservation_id == reservation_id, RULE.c.to_seq.is_(None))
    return connection.execute(wanted.order_by(RULE.c.from_seq, RULE.c.ordinal)).all()


def works_at(connection: Connection, places: Sequence[tuple[int, int]], seq: int) -> Sequence[Row[Any]]:
    """Return the works at these (event, ordinal) that hold at event ``seq``."""
    columns = (WORK.c.from_seq, WORK.c.ordinal, WORK.c.reservation_id, WORK.c.title, WORK.c.sha256)
    return _at(connection, WORK, columns, places, seq)


def rules_at(connection: Connection, places: Sequence[tuple[int, int]], seq: int) -> Sequence[Row[Any]]:
    """Return the URL rules at these (event, ordinal) that hold at event ``seq``."""
    columns = (RULE.c.from_seq, RULE.c.ordinal, RULE.c.reservation_id, RULE.c.kind)
    return _at(connection, RULE, columns, places, seq)


def versions_at(connection: Connection, ids: Sequence[str], seq: int) -> Sequence[Row[Any]]:
    """Return the version of each of these reservations that holds at event ``seq``."""
    found: list[Row[Any]] = []
    for some in portions(ids):
        wanted = select(VERSION).where(VERSION.c.reservation_id.in_(some), holds(VERSION, seq))
        found += connection.execute(wanted).all()
    return found


def _at(
    connection: Connection,
    table: Table,
    columns: Sequence[Column[Any]],
    places: Sequence[tuple[int, int]],
    seq: int,
) -> Sequence[Row[Any]]:
    found: list[Row[Any]] = []
    for some in portions(places):
        here = tuple_(table.c.from_seq, table.c.ordinal).in_(some)
        found += connection.execute(select(*columns).where(here, holds(table, seq))).all()
    return found


def _insert_numbered(tx: Transaction, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    numbered = [
        {**row, "from_seq": tx.seq, "ordinal": ordinal, "to_seq": None} for ordinal, row in enumerate(rows)
    ]
    if numbered:
        tx.connection.execute(insert(table), numbered)
