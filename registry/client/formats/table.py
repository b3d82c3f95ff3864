"""Tables of URLs: CSV, TSV and parquet, one row a sample.

Kept CSV rows come out byte for byte; parquet keeps its schema with its metadata (the ``huggingface`` key,
without which an image column silently becomes a struct) and its row groups. Needs the extra ``[parquet]``.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from itertools import compress
from pathlib import Path
from typing import Any

from registry.client.formats.base import Keeping, Rows, Sample
from registry.client.formats.entries import Row, csv_batches
from registry.client.formats.metadata import url_columns
from registry.client.formats.parquet_entries import pyarrow_modules, rewrite_parquet
from registry.errors import DatasetError, FormatError

__all__ = ["DELIMITERS", "CsvTable", "ParquetTable", "pyarrow_modules"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}


class CsvTable:
    """A CSV or TSV file with a header that names a URL column."""

    size: int | None = None

    def __init__(self, path: Path) -> None:
        pyarrow_modules()
        self.path = path
        self.name = path.suffix.lower().removeprefix(".")
        with closing(self._rows()) as batches:
            head = next((batch[0] for batch in batches if batch), None)
        if head is None:
            raise DatasetError(f"{path} is empty")
        names = head[0]
        columns = url_columns(names)
        if not columns:
            raise _no_url_column(path, names)
        self._head, self._columns = head[1], [at for at, name in enumerate(names) if name in columns]
        self.why = f"has a header with {' and '.join(columns)}"

    def samples(self) -> Iterator[Sample]:
        """Yield each row under the header, numbered from 0."""
        for rows, _ in self._batches():
            yield from map(rows.sample, range(len(rows)))

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Write header and kept rows as they were."""
        with nullcontext() if target is None else target.open("w", encoding="utf-8", newline="") as out:
            if out is not None:
                out.write(self._head)
            for rows, raws in self._batches():
                kept = keep(rows).tolist()
                if out is not None:
                    out.writelines(compress(raws, kept))

    def _batches(self) -> Iterator[tuple[Rows, list[str]]]:
        """Yield the rows under the header, some at a time, with the text of each."""
        first = -1
        for batch in self._rows():
            if first < 0 and batch:
                del batch[0]
                first = 0
            if batch:
                urls = tuple([_cell(values, at) for values, _ in batch] for at in self._columns)
                yield Rows(first, urls), [raw for _, raw in batch]
                first += len(batch)

    def _rows(self) -> Generator[list[Row], None, None]:
        try:
            with self.path.open(encoding="utf-8", newline="") as lines:
                yield from csv_batches(lines, str(self.path), DELIMITERS[self.path.suffix.lower()])
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.path} is not UTF-8: {error.reason}", hint="Save it as UTF-8."
            ) from error


class ParquetTable:
    """A parquet file with a URL column."""

    name = "parquet"

    def __init__(self, path: Path) -> None:
        _, parquet = pyarrow_modules()
        self.path = path
        try:
            with parquet.ParquetFile(path) as file:
                names = list(file.schema_arrow.names)
                self.size: int | None = file.metadata.num_rows
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path} is not a parquet file that can be read: {error}") from error
        self._columns = url_columns(names)
        if not self._columns:
            raise _no_url_column(path, names)
        self.why = f"has {' and '.join(self._columns)}"

    def samples(self) -> Iterator[Sample]:
        """Yield each row, numbered from 0."""
        _, parquet = pyarrow_modules()
        first = 0
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(columns=self._columns):
                rows = self._rows(first, batch)
                yield from map(rows.sample, range(len(rows)))
                first += len(rows)

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Write the kept rows, a row group at a time, under the schema of the source."""
        _, parquet = pyarrow_modules()
        with parquet.ParquetFile(self.path) as file:
            rewrite_parquet(file, target, lambda first, one: keep(self._rows(first, one)), self._columns)

    def _rows(self, first: int, batch: Any) -> Rows:
        return Rows(first, tuple(_texts(batch.column(name).to_pylist()) for name in self._columns))


def _cell(values: Sequence[str], at: int) -> str | None:
    return values[at] if at < len(values) else None


def _texts(values: list[Any]) -> list[str | None]:
    """Return a column without what is no text."""
    return [value if isinstance(value, str) else None for value in values]


def _no_url_column(path: Path, names: list[str]) -> FormatError:
    return FormatError(
        f"{path} has no column of URLs; its columns are {', '.join(names)}",
        hint="Name it url, image_url, img_url or src.",
    )
