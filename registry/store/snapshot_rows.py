"""What a snapshot is made of: the works, URL rules and reservations that hold at one event.

Rows carry the events that began and ended them, so the state at an event is exact while later events are
being written. What a withdrawn reservation brought does not hold; what was erased since is not there.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, Table, func, select

from registry.blocks import Block
from registry.errors import LogError
from registry.preference import State
from registry.store import events, index_rows
from registry.store.sql import holds, table_of
from registry.tables import Event, ImportPart, ReservationVersion, UrlRuleRow, WithdrawnWork, Work

__all__ = ["count_between", "last_leaf", "rules_between", "versions_between", "works_between"]

_EVENT, _VERSION, _WORK, _RULE = (table_of(one) for one in (Event, ReservationVersion, Work, UrlRuleRow))
_PART, _WITHDRAWN = table_of(ImportPart), table_of(WithdrawnWork)
_ROWS = 20_000
_BLOCKS = 4
"""Blocks of works held at once."""
_SAID = tuple(_VERSION.c[name] for name in ("preferences", "evidence_level", "state", "at"))

count_between = index_rows.count_between

_Rows = Iterator[Sequence[Any]]


class _Imported(NamedTuple):
    """A work of an import, with the columns of the rows of single works."""

    from_seq: int
    reservation_id: str
    url: str | None
    url_key: bytes | None
    sha256: bytes | None
    packed: bytes | None
    preferences: str
    evidence_level: int
    state: str
    at: int


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

    Some rows at a time, with the columns of the work and what its reservation says then; those of imports
    last. An import that was not complete at ``seq`` says nothing.
    """
    columns = (_WORK.c.url, _WORK.c.url_key, _WORK.c.sha256, _WORK.c.packed)
    yield from _rows_between(connection, _WORK, columns, (after, upto, seq))
    yield from _imported_between(connection, after, upto, seq)


def rules_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    """Yield the URL rules, as :func:`works_between` does the works."""
    columns = (_RULE.c.kind, _RULE.c.surt, _RULE.c.key)
    yield from _rows_between(connection, _RULE, columns, (after, upto, seq))


def versions_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    """Yield the versions of reservations that began with these events and hold at ``seq``."""
    wanted = select(_VERSION).where(_VERSION.c.from_seq > after, _VERSION.c.from_seq <= upto)
    wanted = wanted.where(holds(_VERSION, seq), _VERSION.c.state != State.WITHDRAWN)
    yield from _partitions(connection, wanted.order_by(_VERSION.c.from_seq, _VERSION.c.reservation_id))


def _rows_between(
    connection: Connection, table: Table, columns: Sequence[Any], span: tuple[int, int, int]
) -> _Rows:
    after, upto, seq = span
    joined = table.join(_VERSION, table.c.reservation_id == _VERSION.c.reservation_id)
    wanted = select(table.c.from_seq, table.c.ordinal, table.c.reservation_id, *columns, *_SAID)
    wanted = wanted.select_from(joined).where(table.c.from_seq > after, table.c.from_seq <= upto)
    wanted = wanted.where(holds(table, seq), holds(_VERSION, seq), _VERSION.c.state != State.WITHDRAWN)
    yield from _partitions(connection, wanted.order_by(table.c.from_seq, table.c.ordinal))


def _imported_between(connection: Connection, after: int, upto: int, seq: int) -> _Rows:
    gone = select(_WITHDRAWN.c.from_seq, _WITHDRAWN.c.ordinal).where(
        _WITHDRAWN.c.from_seq > after, _WITHDRAWN.c.from_seq <= upto, _WITHDRAWN.c.to_seq <= seq
    )
    withdrawn = {(from_seq, ordinal) for from_seq, ordinal in connection.execute(gone)}
    joined = _PART.join(_VERSION, _PART.c.batch_id == _VERSION.c.reservation_id)
    wanted = select(_PART.c.seq, _PART.c.batch_id, _PART.c.blob, *_SAID).select_from(joined)
    wanted = wanted.where(_PART.c.seq > after, _PART.c.seq <= upto, func.length(_PART.c.blob) > 0)
    wanted = wanted.where(holds(_VERSION, seq), _VERSION.c.state != State.WITHDRAWN)
    with connection.execution_options(yield_per=_BLOCKS).execute(wanted.order_by(_PART.c.seq)) as parts:
        for part in parts:
            yield [
                work for ordinal, work in enumerate(_works_of(part)) if (part.seq, ordinal) not in withdrawn
            ]


def _works_of(part: Row[Any]) -> Iterator[_Imported]:
    said = (part.preferences, part.evidence_level, part.state, part.at)
    for row in Block.load(bytes(part.blob)).batch.to_pylist():
        sha256 = row["sha256"] if row["has_sha256"] else None
        keys = (row["url"], row["url_key"], sha256, row["packed"] or None)
        yield _Imported(part.seq, part.batch_id, *keys, *said)


def _partitions(connection: Connection, wanted: Select[Any]) -> _Rows:
    with connection.execution_options(yield_per=_ROWS).execute(wanted) as rows:
        yield from rows.partitions()
