"""Works of imports, read one by one out of the blocks that hold some thousand each.

A look-up needs the SHA-256 and the title of a work, a few bytes at known places of its block
(:class:`registry.blocks.Layout`), and reads no more: a block has a megabyte.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, LargeBinary, func, literal_column, select, tuple_

from registry.blocks import HEAD_BYTES, Block, Layout
from registry.errors import StorageError
from registry.store.imports import withdrawn_of
from registry.store.sql import portions, table_of
from registry.tables import ImportPart, WithdrawnWork

__all__ = ["ImportedWork", "ListedWork", "works_at", "works_of"]

_PART, _WITHDRAWN = table_of(ImportPart), table_of(WithdrawnWork)
_PIECE = (
    f"SELECT asked.number, substr({_PART.c.blob.name}, asked.at, asked.size)"  # noqa: S608 - no one else's text
    f" FROM asked JOIN {_PART.name} ON {_PART.name}.{_PART.c.seq.name} = asked.seq"
)
_HOLDS = func.length(_PART.c.blob) > 0
_T = TypeVar("_T")


class ImportedWork(NamedTuple):
    """A work in a part, with the names that the rows of single works have; ``sha256`` zeros if none."""

    from_seq: int
    ordinal: int
    reservation_id: str
    title: str
    sha256: bytes


class ListedWork(NamedTuple):
    """A work of an import with the names that the rows of single works have."""

    from_seq: int
    ordinal: int
    title: str
    url: str | None
    sha256: bytes | None
    packed: bytes | None


def works_at(connection: Connection, places: Sequence[tuple[int, int]], seq: int) -> Sequence[ImportedWork]:
    """Return the works at these (event, ordinal) that hold at event ``seq``.

    Only the few bytes that each needs are read, not its block.
    """
    gone = _gone(connection, places, seq)
    held = sorted(place for place in places if place[0] <= seq and place not in gone)
    read = _read_in_sqlite if connection.dialect.name == "sqlite" else _read_in_pieces
    return list(read(connection, held))


def works_of(connection: Connection, batch_id: str, after: tuple[int, int], limit: int) -> list[ListedWork]:
    """Return up to ``limit`` works of an import that hold and come after (event, ordinal) ``after``."""
    gone = withdrawn_of(connection, batch_id)
    wanted = select(_PART.c.seq, _PART.c.blob).where(_PART.c.batch_id == batch_id, _HOLDS)
    wanted = wanted.where(_PART.c.seq >= after[0]).order_by(_PART.c.seq)
    found: list[ListedWork] = []
    with connection.execution_options(yield_per=1).execute(wanted) as parts:
        for seq, blob in parts:
            block = Block.load(bytes(blob))
            begin = after[1] + 1 if seq == after[0] else 0
            held = (at for at in range(begin, len(block)) if (seq, at) not in gone)
            for ordinal in islice(held, limit - len(found)):
                row = block.row(ordinal)
                keys = (row["title"], row["url"], row["sha256"], row["packed"])
                found.append(ListedWork(seq, ordinal, *keys))
            if len(found) == limit:
                break
    return found


def _read_in_pieces(connection: Connection, held: Sequence[tuple[int, int]]) -> Iterator[ImportedWork]:
    """Read works by parts of the blocks: PostgreSQL fetches no more of a value than is asked for."""
    parts = _layouts(connection, sorted({place[0] for place in held}))
    found = [(at, ordinal) for at, ordinal in held if at in parts and ordinal < parts[at][1].works]
    hashes = _pieces(connection, [(at, *parts[at][1].sha256(ordinal)) for at, ordinal in found])
    ends = _pieces(connection, [(at, *parts[at][1].title_ends(ordinal)) for at, ordinal in found])
    titles = _pieces(
        connection, [(at, *parts[at][1].title(end)) for (at, _), end in zip(found, ends, strict=True)]
    )
    for (at, ordinal), sha256, title in zip(found, hashes, titles, strict=True):
        yield ImportedWork(at, ordinal, parts[at][0], title.decode(), sha256)


def _read_in_sqlite(connection: Connection, held: Sequence[tuple[int, int]]) -> Iterator[ImportedWork]:
    """Read works through handles on the blocks: SQLite's own substr would load each block whole."""
    driver: Any = connection.connection.driver_connection
    open_blob = getattr(driver, "open_blob", None) or partial(_standard_blob, driver)
    rows = {}
    for some in portions(sorted({place[0] for place in held})):
        wanted = select(literal_column("rowid"), _PART.c.seq, _PART.c.batch_id, _PART.c.works)
        for rowid, at, batch_id, works in connection.execute(wanted.where(_PART.c.seq.in_(some), _HOLDS)):
            rows[at] = rowid, batch_id, works
    try:
        for at, group in groupby(held, key=itemgetter(0)):
            if at in rows:
                rowid, batch_id, works = rows[at]
                with closing(open_blob(_PART.name, _PART.c.blob.name, rowid, True)) as blob:
                    layout = Layout.of(_piece(blob, 0, HEAD_BYTES), works)
                    for _, ordinal in group:
                        if ordinal < works:
                            title = layout.title(_piece(blob, *layout.title_ends(ordinal)))
                            sha256 = _piece(blob, *layout.sha256(ordinal))
                            text = _piece(blob, *title).decode()
                            yield ImportedWork(at, ordinal, batch_id, text, sha256)
    except driver.Error as error:
        raise StorageError("the database did not give the works of an import") from error


def _standard_blob(driver: Any, table: str, column: str, row: int, readonly: bool) -> Any:
    """Open a blob with the standard library's module, which has another name for it than pysqlite3."""
    return driver.blobopen(table, column, row, readonly=readonly)


def _piece(blob: Any, at: int, size: int) -> bytes:
    blob.seek(at)
    data: bytes = blob.read(size)
    return data


def _gone(connection: Connection, places: Sequence[tuple[int, int]], seq: int) -> set[tuple[int, int]]:
    """Return which of these (event, ordinal) were withdrawn alone by event ``seq``."""
    gone: set[tuple[int, int]] = set()
    for some in portions(places):
        here = tuple_(_WITHDRAWN.c.from_seq, _WITHDRAWN.c.ordinal).in_(some)
        wanted = select(_WITHDRAWN.c.from_seq, _WITHDRAWN.c.ordinal).where(here, _WITHDRAWN.c.to_seq <= seq)
        gone |= {(row.from_seq, row.ordinal) for row in connection.execute(wanted)}
    return gone


def _layouts(connection: Connection, seqs: Sequence[int]) -> dict[int, tuple[str, Layout]]:
    """Return the import and the layout of each part of ``seqs`` that has works."""
    found = {}
    for some in portions(seqs):
        head = func.substr(_PART.c.blob, 1, HEAD_BYTES, type_=LargeBinary)
        wanted = select(_PART.c.seq, _PART.c.batch_id, _PART.c.works, head).where(
            _PART.c.seq.in_(some), _HOLDS
        )
        for seq, batch_id, works, data in connection.execute(wanted):
            found[seq] = batch_id, Layout.of(bytes(data), works)
    return found


def _pieces(connection: Connection, wanted: Sequence[tuple[int, int, int]]) -> list[bytes]:
    """Return the bytes at each (event, place, length) of the blocks."""
    found = [b""] * len(wanted)
    asked = [(number, *one) for number, one in enumerate(wanted) if one[2]]
    for some in portions(asked):
        # Numbers of our own stand in the text: to compile a parameter for each takes longer than the reading.
        rows = ", ".join(f"({number:d}, {seq:d}, {at + 1:d}, {size:d})" for number, seq, at, size in some)
        asking = f"WITH asked (number, seq, at, size) AS (VALUES {rows}) " + _PIECE
        for number, data in connection.exec_driver_sql(asking):
            found[number] = bytes(data)
    return found
