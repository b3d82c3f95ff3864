"""What the index is made of: the keys of the rows that events brought."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Connection, func, select

from registry.errors import SegmentError
from registry.index import Entries, RowKeys, place_of
from registry.index_folder import Part, mark_of
from registry.store import events, imports
from registry.store.sql import table_of
from registry.tables import Event, Head, UrlRuleRow, Work

__all__ = ["count_between", "entries_between", "head_and_mark", "mark_at", "require_mark"]

_EVENT, _HEAD, _WORK, _RULE = (table_of(one) for one in (Event, Head, Work, UrlRuleRow))
_ROWS = 20_000


@contextmanager
def entries_between(
    connection: Connection, after: int, upto: int, beyond: int | None = None
) -> Iterator[Iterator[Entries]]:
    """Yield the entries of the rows that the events ``after < seq <= upto`` brought, some rows at a time.

    Parts of imports come with their events, visible or not; with ``beyond``, when the event that made them
    visible is among these, and then only those after event ``beyond``: the earlier ones are in segments.

    The cursor is closed with the block. Raises :class:`StaleIndexError` when events are missing.
    """
    events.require_between(connection, after, upto)
    with closing(_batches(connection, after, upto, beyond)) as batches:
        yield batches


def _batches(
    connection: Connection, after: int, upto: int, beyond: int | None
) -> Generator[Entries, None, None]:
    for table, columns, is_rule in (
        (_WORK, (_WORK.c.url_key, _WORK.c.sha256, _WORK.c.packed), False),
        (_RULE, (_RULE.c.key,), True),
    ):
        wanted = select(table.c.from_seq, table.c.ordinal, *columns)
        wanted = wanted.where(table.c.from_seq > after, table.c.from_seq <= upto)
        wanted = wanted.order_by(table.c.from_seq, table.c.ordinal)
        with connection.execution_options(yield_per=_ROWS).execute(wanted) as rows:
            for some in rows.partitions():
                yield Entries.of(
                    RowKeys(place_of(seq, ordinal, is_rule=is_rule), *(key and bytes(key) for key in keys))
                    for seq, ordinal, *keys in some
                )
    if beyond is None:
        blocks = imports.blocks_between(connection, after, upto)
    else:
        blocks = imports.blocks_completed(connection, after, upto, beyond)
    for seq, block in blocks:
        yield block.entries(seq)


def count_between(connection: Connection, after: int, upto: int) -> int:
    """Return how many works and rules the events ``after < seq <= upto`` brought, parts of imports too."""
    total = imports.count_between(connection, after, upto)
    for table in (_WORK, _RULE):
        counted = select(func.count()).select_from(table)
        total += connection.execute(
            counted.where(table.c.from_seq > after, table.c.from_seq <= upto)
        ).scalar_one()
    return total


def head_and_mark(connection: Connection, seq: int) -> tuple[int, str]:
    """Return the number of the last event, and the mark of event ``seq``."""
    head = connection.execute(select(_HEAD.c.n)).scalar_one()
    return int(head), mark_at(connection, seq)


def mark_at(connection: Connection, seq: int) -> str:
    """Return the mark of event ``seq``; empty when there is no such event."""
    leaf = connection.execute(select(_EVENT.c.leaf).where(_EVENT.c.seq == seq)).scalar_one_or_none()
    return "" if leaf is None else mark_of(bytes(leaf))


def require_mark(connection: Connection, part: Part) -> None:
    """Raise :class:`SegmentError` unless the last event of ``part`` is one of this database."""
    if not part.mark or mark_at(connection, part.upto) != part.mark:
        raise SegmentError(f"{part.file}: of another database: its event {part.upto} is not the one here")
