"""Files with entries that name pictures: what an entry names, and a file without some of its entries.

:func:`read_metadata` reads the ``metadata`` file of an image folder, strictly: a row names files in
``file_name``, ``file_names``, ``*_file_name`` and ``*_file_names``, relative to the metadata file. Lists of
other trainers are in :mod:`registry.client.formats.lists`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from registry.client.formats.entries import Entries, parse_entries
from registry.client.formats.naming import below
from registry.client.formats.parquet_entries import ParquetEntries
from registry.errors import DatasetError

__all__ = [
    "METADATA_NAMES",
    "Metadata",
    "MetadataRow",
    "Source",
    "TextSource",
    "read_list_file",
    "read_metadata",
    "url_columns",
    "urls_of",
]

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_URL_COLUMNS = ("url", "image_url", "img_url", "src")


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """One entry: for each of its names the files that it may mean (below the dataset), and its URLs.

    The URLs are those of the first name.
    """

    names: tuple[tuple[str, ...], ...]
    urls: tuple[str, ...]

    @property
    def files(self) -> frozenset[str]:
        """Every file of which any takes the entry with it."""
        return frozenset(file for name in self.names for file in name)

    @property
    def joined(self) -> frozenset[str]:
        """The files that go with the entry: those that are named beyond doubt."""
        return frozenset(name[0] for name in self.names if len(name) == 1)


class Source(Protocol):
    """A file that can be written without some of its entries."""

    def without(self, lost: frozenset[int]) -> bytes:
        """Return the file without the entries of these numbers, from 0."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """One file of entries: its path below the dataset, what its entries name, and what they stand in."""

    path: str
    rows: tuple[MetadataRow, ...]
    source: Source

    def lost(self, gone: Mapping[str, str]) -> frozenset[int]:
        """Return the numbers of the entries that name a file in ``gone``."""
        return frozenset(
            number for number, row in enumerate(self.rows) if not gone.keys().isdisjoint(row.files)
        )

    def without(self, gone: Mapping[str, str]) -> bytes | None:
        """Return the file without the entries that name a file in ``gone``; None when none is left."""
        lost = self.lost(gone)
        return None if len(lost) == len(self.rows) else self.source.without(lost)


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text file and its entries."""

    data: bytes
    entries: Entries

    def without(self, lost: frozenset[int]) -> bytes:
        """Return the file without the entries of these numbers, the others byte for byte."""
        if not lost:
            return self.data
        entries = self.entries
        kept = (raw for number, raw in enumerate(entries.raws) if number not in lost)
        return (entries.head + entries.between.join(kept) + entries.end).encode()


def read_metadata(root: Path, path: str) -> Metadata:
    """Read the metadata file at ``path`` below ``root``. Raises :class:`DatasetError` with file and line."""
    file = root / path
    data = read_list_file(file)
    folder = str(PurePosixPath(path).parent)
    if path.endswith(".parquet"):
        table = ParquetEntries(data, str(file))
        rows = (
            _row(f"{file}, row {number}", folder, values)
            for number, values in enumerate(table.rows(filter(_is_read, table.columns)))
        )
        return Metadata(path, tuple(rows), table)
    entries = parse_entries(data, str(file))
    rows = (
        _row(f"{file}, line {line}", folder, values)
        for line, values in zip(entries.lines, entries.values, strict=True)
    )
    return Metadata(path, tuple(rows), TextSource(data, entries))


def read_list_file(file: Path, largest: int | None = None) -> bytes:
    """Read a file; raises :class:`DatasetError` when it cannot be, or is over ``largest`` bytes."""
    try:
        if largest is not None and file.stat().st_size > largest:
            raise DatasetError(f"{file} is over {largest} bytes")
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error


def url_columns(names: Iterable[str]) -> list[str]:
    """Return every name among ``names`` that holds URLs."""
    return [name for name in names if name.strip().lower() in _URL_COLUMNS]


def urls_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the URLs of an entry."""
    urls = (values[column] for column in url_columns(values))
    return tuple(url for url in urls if isinstance(url, str) and url)


def _is_read(column: str) -> bool:
    return column.endswith(("file_name", "file_names")) or bool(url_columns([column]))


def _row(where: str, folder: str, values: Mapping[str, Any]) -> MetadataRow:
    named: list[Any] = []
    for column in sorted(values, key=lambda name: name != "file_name"):
        if column.endswith(("file_name", "file_names")):
            value = values[column]
            named.extend(value if isinstance(value, list) else [value])
    files = tuple((_file(where, folder, name),) for name in named if name)
    if not files:
        raise DatasetError(f"{where}: no file_name", hint="Each row names its picture in file_name.")
    return MetadataRow(files, urls_of(values))


def _file(where: str, folder: str, name: Any) -> str:
    if not isinstance(name, str) or "\\" in name or PurePosixPath(name).is_absolute():
        raise DatasetError(f"{where}: not a relative path with slashes: {name!r}")
    found = below(folder, name)
    if found is None:
        raise DatasetError(f"{where}: {name!r} leads out of the dataset")
    return found
