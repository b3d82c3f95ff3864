"""Tables of URLs: CSV, TSV and parquet, one row a sample.

Kept CSV rows come out byte for byte; parquet keeps its schema with its metadata (the ``huggingface`` key,
without which an image column silently becomes a struct) and its row groups. Needs the extra ``[parquet]``.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from registry.client.formats.base import Plan, Sample
from registry.client.formats.entries import csv_rows
from registry.client.formats.metadata import url_columns
from registry.client.formats.parquet_entries import copy_kept, pyarrow_modules
from registry.errors import DatasetError, FormatError

__all__ = ["DELIMITERS", "CsvTable", "ParquetTable", "pyarrow_modules"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}


class CsvTable:
    """A CSV or TSV file with a header that names a URL column."""

    is_table = True
    size: int | None = None

    def __init__(self, path: Path) -> None:
        pyarrow_modules()
        self.path = path
        self.name = path.suffix.lower().removeprefix(".")
        rows = self._rows()
        head = next(rows, None)
        rows.close()
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
        for number, (values, _) in enumerate(self._body()):
            yield _row_sample(number, (values[at] for at in self._columns if at < len(values)))

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Let each row go alone."""
        return Plan(dropped)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write header and kept rows as they were."""
        with target.open("w", encoding="utf-8", newline="") as out:
            out.write(self._head)
            for number, (_, raw) in enumerate(self._body()):
                if str(number) not in plan.gone:
                    out.write(raw)

    def _body(self) -> Iterator[tuple[list[str], str]]:
        rows = self._rows()
        next(rows, None)
        return rows

    def _rows(self) -> Generator[tuple[list[str], str], None, None]:
        try:
            with self.path.open(encoding="utf-8", newline="") as lines:
                yield from csv_rows(lines, str(self.path), DELIMITERS[self.path.suffix.lower()])
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.path} is not UTF-8: {error.reason}", hint="Save it as UTF-8."
            ) from error


class ParquetTable:
    """A parquet file with a URL column."""

    is_table = True
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
        number = 0
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(columns=self._columns):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield _row_sample(number, values)
                    number += 1

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Let each row go alone."""
        return Plan(dropped)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the kept rows, a row group at a time, under the schema of the source."""
        _, parquet = pyarrow_modules()
        with parquet.ParquetFile(self.path) as file:
            copy_kept(file, target, lambda number: str(number) not in plan.gone)


def _row_sample(number: int, values: Iterable[object]) -> Sample:
    urls = tuple(value for value in values if isinstance(value, str) and value)
    return Sample(str(number), urls=urls, fault="" if urls else "the row has no URL")


def _no_url_column(path: Path, names: list[str]) -> FormatError:
    return FormatError(
        f"{path} has no column of URLs; its columns are {', '.join(names)}",
        hint="Name it url, image_url, img_url or src.",
    )
