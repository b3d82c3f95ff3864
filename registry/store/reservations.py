"""Reservations, their works and their URL rules: versioned rows, read by the events that touched them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, or_, select, update

from registry.store import Transaction
from registry.store.sql import table_of
from registry.tables import ReservationVersion, UrlRuleRow, Work

__all__ = [
    "changed_between",
    "close_version",
    "count_works",
    "current",
    "insert_rules",
    "insert_version",
    "insert_works",
    "owned_by",
    "rules_of",
    "works_of",
]

VERSION = table_of(ReservationVersion)
WORK = table_of(Work)
RULE = table_of(UrlRuleRow)


def insert_version(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Begin a version of a reservation with this transaction's event."""
    tx.connection.execute(insert(VERSION).values(from_seq=tx.seq, to_seq=None, **values))


def close_version(tx: Transaction, reservation_id: str) -> None:
    """End the current version of a reservation with this transaction's event."""
    open_one = (VERSION.c.reservation_id == reservation_id) & VERSION.c.to_seq.is_(None)
    tx.connection.execute(update(VERSION).where(open_one).values(to_seq=tx.seq))


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
    """Return how many works a reservation has now."""
    counted = select(func.count()).select_from(WORK)
    counted = counted.where(WORK.c.reservation_id == reservation_id, WORK.c.to_seq.is_(None))
    return int(connection.execute(counted).scalar_one())


def works_of(
    connection: Connection, reservation_id: str, after: tuple[int, int], limit: int
) -> Sequence[Row[Any]]:
    """Return up to ``limit`` works of a reservation that come after (event, ordinal) ``after``."""
    seq, ordinal = after
    later = or_(WORK.c.from_seq > seq, (WORK.c.from_seq == seq) & (WORK.c.ordinal > ordinal))
    wanted = select(WORK).where(WORK.c.reservation_id == reservation_id, WORK.c.to_seq.is_(None), later)
    return connection.execute(wanted.order_by(WORK.c.from_seq, WORK.c.ordinal).limit(limit)).all()


def rules_of(connection: Connection, reservation_id: str) -> Sequence[Row[Any]]:
    """Return the URL rules of a reservation that hold now."""
    wanted = select(RULE).where(RULE.c.reservation_id == reservation_id, RULE.c.to_seq.is_(None))
    return connection.execute(wanted.order_by(RULE.c.from_seq, RULE.c.ordinal)).all()


def changed_between(
    connection: Connection, after: int, upto: int
) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Return the versions, works and rules that an event with ``after < seq <= upto`` began or ended.

    A row's ``to_seq`` may lie beyond ``upto``: at ``upto`` it still held.
    """
    found = []
    for table in (VERSION, WORK, RULE):
        began = (table.c.from_seq > after) & (table.c.from_seq <= upto)
        ended = (table.c.to_seq > after) & (table.c.to_seq <= upto)
        found.append(
            connection.execute(select(table).where(or_(began, ended)).order_by(table.c.from_seq)).all()
        )
    versions, works, rules = found
    return versions, works, rules


def _insert_numbered(tx: Transaction, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    numbered = [
        {**row, "from_seq": tx.seq, "ordinal": ordinal, "to_seq": None} for ordinal, row in enumerate(rows)
    ]
    if numbered:
        tx.connection.execute(insert(table), numbered)
