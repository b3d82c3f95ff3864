"""Parquet files row by row: their columns of text, and the file without some of its rows.

The schema stays with its metadata (the ``huggingface`` key, without which an image column silently becomes a
struct), and so do the row groups. Needs the extra ``[parquet]``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.errors import DatasetError, FormatError

__all__ = [
    "MAX_COLUMN_BYTES",
    "ParquetEntries",
    "all_but",
    "batches_of",
    "gathered",
    "opened_parquet",
    "pyarrow_modules",
    "read_columns",
    "rewrite_parquet",
    "texts_of",
]

MAX_COLUMN_BYTES = 256 * 1024 * 1024
"""A larger column is not read: a small file can hold any size, and what it says of that need not be true."""

_BATCH = 4096
_MOST_ROWS, _BATCH_BYTES = 1 << 15, 64 << 20
_BUFFER = 1 << 20
"""Bytes that are read of a column at a time."""
_NUMBER_BYTES = 8


def pyarrow_modules() -> tuple[Any, Any]:
    """Return ``pyarrow`` and ``pyarrow.parquet``; raises :class:`FormatError` when they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FormatError(
            "tables need pyarrow, which is not installed", hint="pip install 'caveat-registry[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet


class ParquetEntries:
    """The rows of a parquet file; ``where`` names it in errors.

    ``columns`` are those of texts, of lists of texts and of whole numbers, ``size`` is the number of rows.
    Raises :class:`DatasetError` for what cannot be read, :class:`FormatError` without pyarrow.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self._arrow, self._parquet = pyarrow_modules()
        self._data, self._where = data, where
        with self._reading() as file:
            self.size: int = file.metadata.num_rows
            self.columns = [field.name for field in file.schema_arrow if self._is_plain(field.type)]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column. Raises :class:`DatasetError` when it is over its largest size."""
        with self._reading() as file:
            try:
                return [row[name] for row in read_columns(file, [name], self._where)]
            except (OSError, ValueError) as error:
                raise self._unread(error) from error

    def rows(self, columns: Iterable[str]) -> list[dict[str, Any]]:
        """Return every row with the values of ``columns``."""
        values = {name: self.column(name) for name in columns}
        return [{name: column[number] for name, column in values.items()} for number in range(self.size)]

    def without(self, lost: frozenset[int]) -> bytes:
        """Return the file without the rows of these numbers, from 0; the same bytes when there are none."""
        if not lost:
            return self._data
        sink = self._arrow.BufferOutputStream()
        rewrite_parquet(self._arrow.BufferReader(self._data), sink, all_but(lost), [])
        return bytes(sink.getvalue())

    def _reading(self) -> Any:
        try:
            return self._parquet.ParquetFile(self._arrow.BufferReader(self._data))
        except (OSError, ValueError) as error:
            raise self._unread(error) from error

    def _unread(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self._where} is not a parquet file that can be read: {error}")

    def _is_plain(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_list(kind) or types.is_large_list(kind):
            kind = kind.value_type
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))


def read_columns(file: Any, names: Sequence[str], where: str) -> list[dict[str, Any]]:
    """Return the rows of an open parquet file with the values of some columns, a batch at a time.

    Raises :class:`DatasetError` when these columns are larger than :data:`MAX_COLUMN_BYTES` unpacked.
    """
    rows: list[dict[str, Any]] = []
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=list(names)):
        size += batch.nbytes
        if size > MAX_COLUMN_BYTES:
            raise DatasetError(
                f"{where}: over {MAX_COLUMN_BYTES:,} bytes unpacked: the columns {', '.join(names)}"
            )
        rows += batch.to_pylist()
    return rows


class Part(NamedTuple):
    """Rows of a parquet file: the number of the first, that of their row group, and a record batch."""

    first: int
    group: int
    rows: Any


PartsKept: TypeAlias = AbstractContextManager[Iterator[tuple[NDArray[np.bool_], Part]]]


def all_but(lost: Collection[int]) -> Callable[[Iterator[Part]], PartsKept]:
    """Return what keeps all rows but those of these numbers, for :func:`rewrite_parquet`."""
    numbers = np.fromiter(lost, np.int64, len(lost))

    def kept(part: Part) -> NDArray[np.bool_]:
        return ~np.isin(np.arange(part.first, part.first + part.rows.num_rows), numbers)

    return lambda parts: nullcontext((kept(part), part) for part in parts)


def rewrite_parquet(
    source: Any, target: Any | None, keep: Callable[[Iterator[Part]], PartsKept], columns: Sequence[str]
) -> None:
    """Read a parquet file once, and write the rows that stay to ``target``, row group by row group.

    ``keep`` is given parts, with ``columns`` at least, and says of each which rows stay, ``bool[n]``.
    Without ``target`` nothing is written, and no other column is read. A row group of more than
    :data:`MAX_COLUMN_BYTES` becomes several. Raises :class:`DatasetError` for a file that cannot be read.
    """
    arrow, parquet = pyarrow_modules()
    with opened_parquet(source) as file:
        wanted, schema = list(columns) if target is None else None, file.schema_arrow
        held: list[Any] = []
        group = 0
        with (
            nullcontext() if target is None else parquet.ParquetWriter(target, schema) as out,
            keep(_parts(source, file, wanted)) as kept,
        ):
            for stays, part in kept:
                if out is None:
                    continue
                if part.group != group or sum(one.nbytes for one in held) > MAX_COLUMN_BYTES:
                    _write_rows(out, held, schema)
                    held, group = [], part.group
                held.append(part.rows.filter(arrow.array(stays)))
            if out is not None:
                _write_rows(out, held, schema)


def _parts(source: Any, file: Any, columns: Sequence[str] | None) -> Iterator[Part]:
    first = 0
    for group in range(file.num_row_groups):
        for rows in batches_of(source, file, group, columns):
            yield Part(first, group, rows)
            first += rows.num_rows


def opened_parquet(source: Any) -> Any:
    """Open a parquet file so that its columns are streamed: a row group is never in memory whole.

    ``source`` is a path or an Arrow file. Raises :class:`DatasetError` for what is no parquet file.
    """
    _, parquet = pyarrow_modules()
    with _named(source):
        return parquet.ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER)


def batches_of(source: Any, file: Any, group: int, columns: Sequence[str] | None) -> Iterator[Any]:
    """Yield the rows of a row group, some 64 MB of them at a time; ``file`` is ``source``, open.

    Raises :class:`DatasetError` for a file that cannot be read.
    """
    rows = _rows_at_once(source, file.metadata, group, columns)
    yield from gathered(
        _named_batches(source, file.iter_batches(rows, row_groups=[group], columns=columns)), rows
    )


def gathered(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Put batches of at most ``rows`` rows together, to some 64 MB or 65,536 rows."""
    arrow, _ = pyarrow_modules()
    held: list[Any] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= _BATCH_BYTES or len(held) * rows >= _MOST_ROWS:
            yield from arrow.Table.from_batches(held).combine_chunks().to_batches()
            held, size = [], 0
    if held:
        yield from arrow.Table.from_batches(held).combine_chunks().to_batches()


def _named_batches(source: Any, batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        with _named(source):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _named(source: Any) -> Iterator[None]:
    """Give the errors of Arrow the name of the file."""
    arrow, _ = pyarrow_modules()
    try:
        yield
    except (OSError, ValueError, MemoryError, arrow.ArrowException) as error:
        name = source if isinstance(source, str | Path) else "it"
        raise DatasetError(f"{name} is not a parquet file that can be read: {error}") from error


def _rows_at_once(source: Any, metadata: Any, number: int, columns: Sequence[str] | None) -> int:
    """Return how many rows of a row group are at most some 64 MB.

    A value that stands in a dictionary once can fill any number of rows, so the longest there counts for
    all; a list can have any number of values in a row, so these are counted.
    """
    group = metadata.row_group(number)
    chunks = [group.column(at) for at in range(group.num_columns)]
    if columns is not None:
        chunks = [one for one in chunks if _is_below(one.path_in_schema, columns)]
    size = sum(
        max(one.total_uncompressed_size, one.num_values * _longest(source, metadata, number, one))
        for one in chunks
    )
    return int(min(max(_BATCH_BYTES // max(1, size // max(1, group.num_rows)), 1), _MOST_ROWS))


def _is_below(path: str, columns: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _longest(source: Any, metadata: Any, group: int, chunk: Any) -> int:
    """Return how many bytes a value of a column may have that does not stand there for itself."""
    _, parquet = pyarrow_modules()
    if chunk.physical_type != "BYTE_ARRAY":
        return _NUMBER_BYTES
    if "DELTA_BYTE_ARRAY" in chunk.encodings:
        # Each value may begin as the one before it does, so a long one costs nothing more.
        return int(chunk.total_uncompressed_size)
    if not chunk.has_dictionary_page:
        return 0
    path = chunk.path_in_schema
    with (
        _named(source),
        parquet.ParquetFile(
            source, metadata=metadata, read_dictionary=[path], pre_buffer=False, buffer_size=_BUFFER
        ) as file,
    ):
        batch = next(file.iter_batches(1, row_groups=[group], columns=[path]), None)
        return 0 if batch is None else _longest_in(batch.column(0), int(chunk.total_uncompressed_size))


def _longest_in(array: Any, otherwise: int) -> int:
    """Return the length of the longest value in the dictionary of an array."""
    from pyarrow import compute

    arrow, _ = pyarrow_modules()
    while isinstance(array, arrow.StructArray | arrow.ListArray | arrow.LargeListArray):
        array = array.field(0) if isinstance(array, arrow.StructArray) else array.values
    if not isinstance(array, arrow.DictionaryArray):
        return otherwise
    return int(compute.max(compute.binary_length(array.dictionary)).as_py() or 0)


def texts_of(array: Any) -> list[Any]:
    """Return the values of an Arrow array of texts or bytes as texts; what is not UTF-8 stays bytes."""
    arrow, _ = pyarrow_modules()
    if arrow.types.is_string(array.type) or arrow.types.is_large_string(array.type):
        try:
            texts: list[Any] = array.to_pylist()
        except UnicodeDecodeError:
            array = array.cast(arrow.large_binary())
        else:
            return texts
    return [_text(value) for value in array.to_pylist()]


def _text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _write_rows(out: Any, held: Sequence[Any], schema: Any) -> None:
    arrow, _ = pyarrow_modules()
    table = arrow.Table.from_batches(held, schema)
    if table.num_rows:
        out.write_table(table)
