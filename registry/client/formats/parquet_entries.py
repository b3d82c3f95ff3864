"""Parquet files row by row: their columns of text, and the file without some of its rows.

The schema stays with its metadata (the ``huggingface`` key, without which an image column silently becomes a
struct), and so do the row groups. Needs the extra ``[parquet]``.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.errors import DatasetError, FormatError

__all__ = [
    "MAX_COLUMN_BYTES",
    "ParquetEntries",
    "all_but",
    "pyarrow_modules",
    "read_columns",
    "rewrite_parquet",
]

MAX_COLUMN_BYTES = 256 * 1024 * 1024
"""A larger column is not read: a small file can hold any size, and what it says of that need not be true."""

_BATCH = 4096
_MOST_ROWS, _BATCH_BYTES = 1 << 16, 64 << 20


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
        with self._reading() as file:
            rewrite_parquet(file, sink, all_but(lost), [])
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


def all_but(lost: Collection[int]) -> Callable[[int, Any], NDArray[np.bool_]]:
    """Return what keeps all rows but those of these numbers, for :func:`rewrite_parquet`."""
    numbers = np.fromiter(lost, np.int64, len(lost))
    return lambda first, batch: ~np.isin(np.arange(first, first + batch.num_rows), numbers)


def rewrite_parquet(
    file: Any, target: Any | None, keep: Callable[[int, Any], NDArray[np.bool_]], columns: Sequence[str]
) -> None:
    """Read an open parquet file once, and write the rows that stay to ``target``, row group by row group.

    ``keep`` is given the number of a batch's first row and the batch, with ``columns`` at least, and says
    which rows stay, ``bool[n]``. Without ``target`` nothing is written, and no other column is read. A row
    group of more than :data:`MAX_COLUMN_BYTES` becomes several.
    """
    arrow, parquet = pyarrow_modules()
    wanted, schema, first = list(columns) if target is None else None, file.schema_arrow, 0
    with nullcontext() if target is None else parquet.ParquetWriter(target, schema) as out:
        for group in range(file.num_row_groups):
            held: list[Any] = []
            size = _rows_at_once(file.metadata.row_group(group))
            for batch in file.iter_batches(size, row_groups=[group], columns=wanted):
                kept = arrow.array(keep(first, batch))
                first += batch.num_rows
                held += [] if out is None else [batch.filter(kept)]
                if sum(one.nbytes for one in held) > MAX_COLUMN_BYTES:
                    _write_rows(out, held, schema)
                    held = []
            if out is not None:
                _write_rows(out, held, schema)


def _rows_at_once(group: Any) -> int:
    """Return how many rows of a row group are some 64 MB, as far as its own figures go."""
    fit = _BATCH_BYTES // max(1, group.total_byte_size // max(1, group.num_rows))
    return int(min(max(fit, 64), _MOST_ROWS))


def _write_rows(out: Any, held: Sequence[Any], schema: Any) -> None:
    arrow, _ = pyarrow_modules()
    table = arrow.Table.from_batches(held, schema)
    if table.num_rows:
        out.write_table(table)
