"""Tables of URLs in text: CSV and TSV, one row a sample. Parquet is in ``parquet_table``.

Kept rows come out byte for byte. A file whose first row has an address has no header; its column of addresses
is then the one in which each of the first rows has one, and there must be one such. A TSV without a header is
lines, as image sets are published: quotes in it are plain text. Needs the extra ``[parquet]``, in which the
decisions are written.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import TextIO

from registry.client.formats.arrow_columns import no_keys
from registry.client.formats.base import Keeping, Rows, Sample
from registry.client.formats.entries import Row, csv_batches
from registry.client.formats.key_columns import (
    Gathered,
    holds_integers,
    is_phash,
    is_sha256,
    key_columns,
    require_once,
)
from registry.client.formats.parquet_entries import pyarrow_modules
from registry.client.formats.parquet_table import ParquetTable
from registry.errors import DatasetError

__all__ = ["DELIMITERS", "CsvTable", "ParquetTable", "pyarrow_modules"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LOOKED_AT = 1000
"""Rows that tell what a column holds."""
_LINES = 1 << 16
_MAX_LINE = 1 << 20
_ADDRESS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class _Head:
    """What the beginning of a file tells: the text of its header, and its columns of keys by number.

    ``width`` is how many columns there are; ``integers`` are those of pHashes that are whole numbers.
    """

    text: str
    width: int
    keys: dict[int, str]
    integers: frozenset[int] = frozenset()
    is_plain: bool = False


class CsvTable:
    """A CSV or TSV file with a column of URLs."""

    size: int | None = None
    may_hold_pictures = False

    def __init__(self, path: Path) -> None:
        pyarrow_modules()
        self.path = path
        self.name = path.suffix.lower().removeprefix(".")
        self._delimiter = DELIMITERS[path.suffix.lower()]
        self._head, self.why = self._begun()

    def samples(self) -> Iterator[Sample]:
        """Yield each row under the header, numbered from 0."""
        for rows in self.rows():
            yield from rows.samples()

    def rows(self) -> Iterator[Rows]:
        """Yield the rows under the header, some at a time."""
        for rows, _ in self._batches():
            yield rows

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Write header and kept rows as they were."""
        with (
            nullcontext() if target is None else target.open("w", encoding="utf-8", newline="") as out,
            keep(self._batches()) as kept,
        ):
            if out is not None:
                out.write(self._head.text)
            for stays, raws in kept:
                if out is not None:
                    out.writelines(compress(raws, stays.tolist()))

    def _batches(self) -> Iterator[tuple[Rows, list[str]]]:
        """Yield the rows under the header, some at a time, with the text of each."""
        first = -1 if self._head.text else 0
        for batch in self._rows(is_plain=self._head.is_plain):
            if first < 0 and batch:
                del batch[0]
                first = 0
            if batch:
                yield self._gathered(first, batch), [raw for _, raw in batch]
                first += len(batch)

    def _gathered(self, first: int, batch: Sequence[Row]) -> Rows:
        rows, head = Gathered(first, len(batch)), self._head
        for at, name in head.keys.items():
            cells = [values[at] if at < len(values) else None for values, _ in batch]
            if is_sha256(name):
                rows.files(cells)
            elif is_phash(name):
                rows.phashes(cells, name, integers=at in head.integers)
            else:
                rows.urls(cells)
        for number, (values, _) in enumerate(batch):
            if len(values) > head.width and any(values[head.width :]):
                rows.fault(number, f"it has {len(values)} fields, and the first row {head.width}")
        return rows.rows()

    def _begun(self) -> tuple[_Head, str]:
        """Return what the beginning tells, and that in words."""
        if self._delimiter == "\t" and _has_address(self._first(is_plain=True)):
            return self._without_header(is_plain=True)
        first = self._first(is_plain=False)
        return self._without_header(is_plain=False) if _has_address(first) else self._with_header(first)

    def _with_header(self, begin: Sequence[Row]) -> tuple[_Head, str]:
        names, text = begin[0]
        columns = {at: name for at, name in enumerate(names) if key_columns([name])}
        if not columns:
            raise no_keys(self.path, names)
        require_once(self.path, list(columns.values()))
        phashes = {
            at: [row[at] for row, _ in begin[1:] if at < len(row)]
            for at, name in columns.items()
            if is_phash(name)
        }
        integers = frozenset(at for at, texts in phashes.items() if holds_integers(texts))
        return _Head(
            text, len(names), columns, integers
        ), f"has a header with {' and '.join(columns.values())}"

    def _without_header(self, *, is_plain: bool) -> tuple[_Head, str]:
        begin = [values for values, _ in self._first(is_plain=is_plain)]
        width = len(begin[0])
        columns = [at for at in range(width) if all(map(_is_address, (row[at : at + 1] for row in begin)))]
        if len(columns) != 1:
            seen = (
                f"columns {' and '.join(str(at + 1) for at in columns)} have" if columns else "no column has"
            )
            raise DatasetError(
                f"{self.path} has no header, and {seen} an address in each of the first {len(begin):,} rows",
                hint="Put a line with the names of the columns over it, url over the addresses of pictures.",
            )
        why = f"has no header; its {_ordinal(columns[0] + 1)} column has URLs"
        return _Head("", width, {columns[0]: "url"}, is_plain=is_plain), why

    def _first(self, *, is_plain: bool) -> list[Row]:
        """Return the first rows. Raises :class:`DatasetError` when there is none."""
        with closing(self._rows(is_plain=is_plain)) as batches:
            found = next((batch[:_LOOKED_AT] for batch in batches if batch), None)
        if found is None:
            raise DatasetError(f"{self.path} is empty")
        return found

    def _rows(self, *, is_plain: bool) -> Generator[list[Row], None, None]:
        where = str(self.path)
        try:
            with self.path.open(encoding="utf-8", newline="") as lines:
                if is_plain:
                    yield from _lines_as_rows(lines, where, self._delimiter)
                else:
                    yield from csv_batches(lines, where, self._delimiter)
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.path} is not UTF-8: {error.reason}", hint="Save it as UTF-8."
            ) from error


def _lines_as_rows(lines: TextIO, where: str, delimiter: str) -> Iterator[list[Row]]:
    """Yield rows that are lines, in which quotes mean nothing."""
    done = 0
    while batch := list(islice(lines, _LINES)):
        for number, line in enumerate(batch, done + 1):
            if len(line) > _MAX_LINE or "\0" in line:
                what = "has a NUL in it" if "\0" in line else f"is longer than {_MAX_LINE:,} letters"
                raise DatasetError(f"{where}, line {number}: {what}", hint="Mend it, or take the line out.")
        cut = [
            (line.lstrip("\ufeff") if at + done == 0 else line).rstrip("\r\n")
            for at, line in enumerate(batch)
        ]
        yield [(text.split(delimiter), line) for text, line in zip(cut, batch, strict=True) if text]
        done += len(batch)


def _has_address(rows: Sequence[Row]) -> bool:
    return any(_is_address([cell]) for cell in rows[0][0])


def _is_address(cells: Sequence[str]) -> bool:
    """Say whether the one cell that may be there is an address."""
    return bool(cells) and cells[0].lower().startswith(_ADDRESS) and len(cells[0].split()) == 1


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number if number < 20 else number % 10, "th")
    return f"{number}{ending}"
