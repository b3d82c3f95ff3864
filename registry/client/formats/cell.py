"""Pictures in cells of a table: found again by file, column and row, one after the other.

While a table is filtered the bytes go along with their place, so no worker process opens the table. They do
not stay with it: the report reads the few pictures that it shows once more.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.client.formats.lance_files import LanceFiles
from registry.client.formats.leaves import Leaf, leaves_of
from registry.client.formats.parquet_entries import opened_parquet
from registry.client.place import MAX_FILE_BYTES, Place, sized

__all__ = ["Cell"]

_STEP = 16
"""Rows that are read together when a picture is looked for."""


@dataclass(frozen=True, slots=True)
class Cell(Place):
    """The picture in a row of a column of the table at ``path``; ``item`` is its number among several.

    ``data`` are its bytes while they are at hand; they do not count when places are compared.
    """

    sidecars: tuple[Place, ...] | None = ()
    column: str = ""
    row: int = 0
    item: int = 0
    data: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def bare(self) -> "Cell":
        """The same place without the bytes."""
        return replace(self, data=None)

    def read(self, most: int = MAX_FILE_BYTES) -> bytes:
        """Return the bytes; raises OSError when they are more than ``most``, or are not there any more."""
        data = _reader(self.path, self.column).picture(self) if self.data is None else self.data
        if len(data) > most:
            raise OSError(errno.EFBIG, f"larger than {sized(most)}")
        return data


class _Reader:
    """Reads the pictures of a column in the order of their rows; going back begins anew."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._first, self._next = 0, 0
        self._held: list[list[Any]] = []
        self._rows: Iterator[list[list[Any]]] = iter(())

    def picture(self, cell: Cell) -> bytes:
        """Return the bytes in a cell."""
        with suppress(LookupError, StopIteration):
            if not self._held or cell.row < self._first:
                self._begin(cell.row)
            while cell.row >= self._next:
                self._first = self._next
                self._held = next(self._rows)
                self._next += len(self._held)
            data = self._held[cell.row - self._first][cell.item]
            if isinstance(data, bytes):
                return data
        raise OSError(errno.EIO, "it is not there any more")

    def _begin(self, row: int) -> None:
        """Begin with the row group that ``row`` is in."""
        file = opened_parquet(self._path)
        [leaf] = [one for one in leaves_of(file.schema_arrow) if one.name == self._column]
        self._first = self._next = group = 0
        while row >= self._next + (size := file.metadata.row_group(group).num_rows):
            self._next += size
            group += 1
        self._held, self._rows = [], self._read(file, leaf, group)

    @staticmethod
    def _read(file: Any, leaf: Leaf, group: int) -> Iterator[list[list[Any]]]:
        with file:
            groups = list(range(group, file.num_row_groups))
            for batch in file.iter_batches(_STEP, row_groups=groups, columns=[leaf.top]):
                found: list[list[Any]] = [[] for _ in range(batch.num_rows)]
                values, of = leaf.values(batch)
                for value, row in zip(values.to_pylist(), of.tolist(), strict=True):
                    found[row].append(value)
                yield found


class _LanceReader:
    """Reads the pictures of a column of a Lance dataset, in any order."""

    def __init__(self, path: Path, column: str) -> None:
        self._files, self._column = LanceFiles(path), column

    def picture(self, cell: Cell) -> bytes:
        """Return the bytes in a cell."""
        values = self._files.values(self._column, cell.row)
        if cell.item < len(values) and isinstance(values[cell.item], bytes):
            return bytes(values[cell.item])
        raise OSError(errno.EIO, "it is not there any more")


@lru_cache(maxsize=1)
def _reader(path: Path, column: str) -> _Reader | _LanceReader:
    """Return the reader of a column: a report shows pictures in the order of their rows."""
    return _LanceReader(path, column) if path.is_dir() else _Reader(path, column)
