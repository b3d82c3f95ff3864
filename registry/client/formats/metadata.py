"""``metadata.jsonl`` and ``metadata.csv`` of an image folder: which files a row names, and rows taken out.

A row names files in ``file_name``, ``file_names``, ``*_file_name`` and ``*_file_names``, relative to the
metadata file. Kept rows are written back as they were, byte for byte.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from registry.errors import DatasetError

__all__ = ["METADATA_NAMES", "Metadata", "MetadataRow", "csv_rows", "read_metadata", "url_columns"]

METADATA_NAMES = ("metadata.jsonl", "metadata.csv")
_URL_COLUMNS = ("url", "image_url", "img_url", "src")
_MAX_FIELD = 1 << 20


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """One row: the files that it names (below the dataset, with slashes), its URLs, and its own text.

    The first of ``files`` is the one that ``file_name`` names: the URLs are its.
    """

    files: tuple[str, ...]
    urls: tuple[str, ...]
    raw: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """One metadata file: its path below the dataset, its head (a CSV header, or nothing), its rows."""

    path: str
    head: str
    rows: tuple[MetadataRow, ...]

    def without(self, gone: frozenset[str]) -> str | None:
        """Return the text without the rows that name a file in ``gone``; None when no row is left."""
        kept = [row.raw for row in self.rows if gone.isdisjoint(row.files)]
        return self.head + "".join(kept) if kept else None


def read_metadata(root: Path, path: str) -> Metadata:
    """Read the metadata file at ``path`` below ``root``. Raises :class:`DatasetError` with file and line."""
    file = root / path
    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8: byte {error.start}", hint="Save it as UTF-8.") from error
    folder = PurePosixPath(path).parent
    if path.endswith(".jsonl"):
        return Metadata(path, "", tuple(_json_rows(file, folder, text)))
    rows = csv_rows(io.StringIO(text, newline=""), str(file))
    head = next(rows, None)
    if head is None:
        raise DatasetError(f"{file} is empty")
    found = (
        _row(file, line, folder, dict(zip(head[0], values, strict=False)), raw)
        for line, (values, raw) in enumerate(rows, 2)
    )
    return Metadata(path, head[1], tuple(found))


def csv_rows(lines: io.TextIOBase, where: str, delimiter: str = ",") -> Iterator[tuple[list[str], str]]:
    """Yield each CSV row as its values and its own text, line ends included.

    Raises :class:`DatasetError` for what the csv module does not take, a NUL or a field over 1 MiB among it.
    """
    csv.field_size_limit(_MAX_FIELD)
    taken: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            # A byte order mark before a quoted name would hide its quotes from the reader.
            yield line.removeprefix("\ufeff")

    reader = csv.reader(remembered(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(f"{where}, line {reader.line_num}: {error}") from error
        if values:
            yield values, "".join(taken)


def url_columns(names: Iterable[str]) -> list[str]:
    """Return every name among ``names`` that holds URLs."""
    return [name for name in names if name.strip().lower() in _URL_COLUMNS]


def _json_rows(file: Path, folder: PurePosixPath, text: str) -> Iterator[MetadataRow]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{file}, line {number}, column {error.colno}: not JSON: {error.msg}"
            ) from error
        if not isinstance(values, dict):
            raise DatasetError(f"{file}, line {number}: expected an object")
        yield _row(file, number, folder, values, line if number == len(lines) else line + "\n")


def _row(file: Path, line: int, folder: PurePosixPath, values: Mapping[str, Any], raw: str) -> MetadataRow:
    named: list[str] = []
    for column in sorted(values, key=lambda name: name != "file_name"):
        if column.endswith(("file_name", "file_names")):
            value = values[column]
            named.extend(value if isinstance(value, list) else [value])
    files = tuple(_below(file, line, folder, name) for name in named if name)
    if not files:
        raise DatasetError(
            f"{file}, line {line}: no file_name", hint="Each row names its picture in file_name."
        )
    urls = (values[column] for column in url_columns(values))
    return MetadataRow(files, tuple(url for url in urls if isinstance(url, str) and url), raw)


def _below(file: Path, line: int, folder: PurePosixPath, name: Any) -> str:
    if not isinstance(name, str) or "\\" in name or PurePosixPath(name).is_absolute():
        raise DatasetError(f"{file}, line {line}: not a relative path with slashes: {name!r}")
    parts: list[str] = []
    for part in (folder / name).parts:
        if part == "..":
            if not parts:
                raise DatasetError(f"{file}, line {line}: {name!r} leads out of the dataset")
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
