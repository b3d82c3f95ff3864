"""Which rows a stretch of events touched: those that it brought, and those whose reservation it changed.

What was lodged brings rows of its own. What was changed, withdrawn or taken back speaks of rows that came
earlier; so does any kind of event that this file does not know, to be on the safe side. What was erased has
no rows any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from registry.blocks import Block
from registry.index import Entries, RowKeys, place_of
from registry.store import grants, imports, index_rows, mentions, receipts
from registry.store.events import KEY_OPS
from registry.store.sql import portions, table_of
from registry.tables import Event, ImportPart, UrlRuleRow, Work

__all__ = ["Touched"]

_BRING = ("register", "works", "part", "import")
_SPEAK_OF_NO_WORK = (*KEY_OPS, *grants.OPS, *receipts.OPS, *mentions.OPS)
_ROWS = 20_000

_EVENT, _WORK, _RULE, _PART = (table_of(one) for one in (Event, Work, UrlRuleRow, ImportPart))


@dataclass(frozen=True, slots=True)
class Touched:
    """What the events ``after < seq <= upto`` touched: ``count`` rows, no fewer.

    ``changed`` are records of which earlier rows are meant. ``erases`` says that rows are gone.
    """

    after: int
    upto: int
    count: int
    changed: tuple[str, ...]
    erases: bool

    @property
    def removes(self) -> bool:
        """Whether anything that was said may not be said any more."""
        return bool(self.changed)

    @classmethod
    def read(cls, connection: Connection, after: int, upto: int) -> "Touched":
        """Count what the events touched. Raises :class:`registry.errors.StaleIndexError` when some miss."""
        between = (_EVENT.c.seq > after) & (_EVENT.c.seq <= upto)
        others = select(_EVENT.c.record, _EVENT.c.op).distinct()
        others = others.where(between, _EVENT.c.op.not_in([*_BRING, *_SPEAK_OF_NO_WORK]))
        found = connection.execute(others).all()
        changed = tuple(sorted({record for record, _ in found}))
        count = sum(_brought(connection, table, after, upto) for table in (_WORK, _RULE))
        count += _imported(connection, after, upto)
        count += sum(_held(connection, record) for record in changed)
        return cls(after, upto, count, changed, any(op == "erase" for _, op in found))

    def entries(self, connection: Connection) -> Iterator[Entries]:
        """Yield the keys of the rows, some at a time."""
        with index_rows.entries_between(connection, self.after, self.upto, 0) as batches:
            yield from batches
        for some in portions(self.changed):
            yield from _of_records(connection, some)


def _brought(connection: Connection, table: Table, after: int, upto: int) -> int:
    counted = select(func.count()).select_from(table)
    counted = counted.where(table.c.from_seq > after, table.c.from_seq <= upto)
    return int(connection.execute(counted).scalar_one())


def _imported(connection: Connection, after: int, upto: int) -> int:
    """Return how many works became visible with their import."""
    joined = _PART.join(_EVENT, _EVENT.c.record == _PART.c.batch_id)
    visible = (_EVENT.c.op == "import") & (_EVENT.c.seq > after) & (_EVENT.c.seq <= upto)
    counted = select(func.coalesce(func.sum(_PART.c.works), 0)).select_from(joined).where(visible)
    return int(connection.execute(counted).scalar_one())


def _held(connection: Connection, record: str) -> int:
    counts = [
        connection.execute(
            select(func.count()).select_from(table).where(table.c.reservation_id == record)
        ).scalar_one()
        for table in (_WORK, _RULE)
    ]
    return sum(map(int, counts)) + imports.count_of(connection, record)


def _of_records(connection: Connection, records: Sequence[str]) -> Iterator[Entries]:
    for table, columns, is_rule in (
        (_WORK, (_WORK.c.url_key, _WORK.c.sha256, _WORK.c.packed), False),
        (_RULE, (_RULE.c.key,), True),
    ):
        wanted = select(table.c.from_seq, table.c.ordinal, *columns)
        wanted = wanted.where(table.c.reservation_id.in_(records))
        with connection.execution_options(yield_per=_ROWS).execute(wanted) as rows:
            for some in rows.partitions():
                yield Entries.of(
                    RowKeys(place_of(seq, ordinal, is_rule=is_rule), *(key and bytes(key) for key in keys))
                    for seq, ordinal, *keys in some
                )
    blocks = select(_PART.c.seq, _PART.c.blob).where(
        _PART.c.batch_id.in_(records), func.length(_PART.c.blob) > 0
    )
    for seq, blob in connection.execute(blocks.order_by(_PART.c.seq)):
        yield Block.load(bytes(blob)).entries(seq)
