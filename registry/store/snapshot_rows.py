"""What a snapshot is made of: the works, URL rules and reservations that hold at one event.

Rows carry the events that began and ended them, so the state at an event is exact while later events are
being written. What a withdrawn reservation brought does not hold; what was erased since is not there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, or_, select

from registry.errors import LogError
from registry.preference import State
from registry.store import events, index_rows
from registry.store.sql import table_of
from registry.tables import Event, ReservationVersion, UrlRuleRow, Work

__all__ = ["count_between", "last_leaf", "rules_between", "versions_between", "works_between"]

_EVENT, _VERSION, _WORK, _RULE = (table_of(one) for one in (Event, ReservationVersion, Work, UrlRuleRow))
_ROWS = 20_000
_SAID = tuple(_VERSION.c[name] for name in ("preferences", "evidence_level", "state", "at"))

count_between = index_rows.count_between

_Rows = Iterator[Sequence[Row[Any]]]


def last_leaf(connection: Connection, seq: int) -> bytes:
    """Return the leaf of event ``seq``, once it is sure that all events up to it are here.

    Raises :class:`LogError`, :class:`StaleIndexError`.
    """
    leaf = connection.execute(select(_EVENT.c.leaf).where(_EVENT.c.seq == seq)).scalar_one_or_none()
    if leaf is None:
        raise LogError(
            f"the log was signed with {seq} events, and the database has no event {seq}",
            hint="An older copy of the database was put in its place; restore the newer one.",
        )
    events.require_between(connection, 0, seq)
    return bytes(leaf)


def works_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    """Yield the works that the events ``after < from_seq <= upto`` brought and that hold at ``seq``.

    Some rows at a time, with the columns of the work and what its reservation says then.
    """
    columns = (_WORK.c.url, _WORK.c.url_key, _WORK.c.sha256, _WORK.c.packed)
    yield from _rows_between(connection, _WORK, columns, (after, upto, seq))


def rules_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    """Yield the URL rules, as :func:`works_between` does the works."""
    columns = (_RULE.c.kind, _RULE.c.surt, _RULE.c.key)
    yield from _rows_between(connection, _RULE, columns, (after, upto, seq))


def versions_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    """Yield the versions of reservations that began with these events and hold at ``seq``."""
    wanted = select(_VERSION).where(_VERSION.c.from_seq > after, _VERSION.c.from_seq <= upto)
    wanted = wanted.where(_holds(_VERSION, seq), _VERSION.c.state != State.WITHDRAWN)
    yield from _partitions(connection, wanted.order_by(_VERSION.c.from_seq, _VERSION.c.reservation_id))


def _rows_between(
    connection: Connection, table: Table, columns: Sequence[Any], span: tuple[int, int, int]
) -> _Rows:
    after, upto, seq = span
    joined = table.join(_VERSION, table.c.reservation_id == _VERSION.c.reservation_id)
    wanted = select(table.c.from_seq, table.c.ordinal, table.c.reservation_id, *columns, *_SAID)
    wanted = wanted.select_from(joined).where(table.c.from_seq > after, table.c.from_seq <= upto)
    wanted = wanted.where(_holds(table, seq), _holds(_VERSION, seq), _VERSION.c.state != State.WITHDRAWN)
    yield from _partitions(connection, wanted.order_by(table.c.from_seq, table.c.ordinal))


def _holds(table: Table, seq: int) -> Any:
    return and_(table.c.from_seq <= seq, or_(table.c.to_seq.is_(None), table.c.to_seq > seq))


def _partitions(connection: Connection, wanted: Select[Any]) -> _Rows:
    with connection.execution_options(yield_per=_ROWS).execute(wanted) as rows:
        yield from rows.partitions()
