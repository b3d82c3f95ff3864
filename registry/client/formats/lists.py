"""Lists of files that trainers keep beside pictures: known by what is in them, whatever they are called.

JSON objects ``{path: {caption, tags …}}`` (kohya fine-tuning, ai-toolkit), JSON lines and CSV with columns of
paths (kohya, musubi, invoke-training), parquet (SimpleTuner). In this order:

1. a file that cannot be read as what its name says is refused, for what it holds cannot be known;
2. columns of paths are those whose values end like pictures, and mean pictures of this dataset or are under
   a name that such columns have; where there are none, those whose values are pictures' stems;
3. when none of them means a picture that is here, it is no list, but any text;
4. a list that names a file outside of the dataset, or has an entry that names none, is refused;
5. names are taken from the folder that settings tell when all are there, else from the list's, else from the
   dataset's, else each means every picture whose path ends like it.

Settings of trainers (:mod:`registry.client.formats.told`) are no lists.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from registry.client.formats.entries import KEY, Entries, parse_entries
from registry.client.formats.metadata import (
    Metadata,
    MetadataRow,
    Source,
    TextSource,
    read_list_file,
    url_columns,
)
from registry.client.formats.naming import Names
from registry.client.formats.parquet_entries import ParquetEntries
from registry.client.formats.sidefiles import Layout, is_called_list
from registry.client.formats.told import Told
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError

__all__ = ["MAX_LIST_BYTES", "Lists", "find_lists"]

MAX_LIST_BYTES = 1024 * 1024 * 1024
"""A larger file is not read, and not copied."""

_PATH = r"(file_?names?|file_?paths?|image_?paths?|image_?files?|paths?|files?|images?)(_[0-9]+)?"
_MAIN = re.compile(_PATH, re.I)
_PATHS = re.compile(f"(.*_)?{_PATH}", re.I)
_IDS = re.compile(r"id|key|uid|__key__|stem|image_?key|image_?id", re.I)
_OF_AN_ENTRY = frozenset({"caption", "caption_short", "tags", "image_size", "train_resolution"})
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of a folder, and those that are left out whole, with the reason."""

    read: tuple[Metadata, ...]
    refused: Mapping[str, str]


def find_lists(root: Path, layout: Layout, told: Told) -> Lists:
    """Read the lists among the files of ``layout``, below ``root``; ``told`` is what settings say."""
    paths = [path for path in (*layout.plain, *layout.shared, *layout.strange) if is_called_list(path)]
    paths = sorted(set(paths) - told.files)
    if not paths:
        return Lists((), {})
    roots = (root.absolute().as_posix(), root.resolve().as_posix())
    names = Names(roots, [*layout.pictures, *(path for path in layout.strange if not is_called_list(path))])
    read, refused = [], {}
    for path in paths:
        # A caption beside its picture is not held to be JSON.
        any_text = path in layout.shared and path.endswith(".json")
        around = _Around(path, names, told.bases.get(path))
        try:
            found = _read_list(root, around, any_text=any_text)
        except DatasetError as error:
            refused[path] = f"no list that can be rewritten: {error.message}"
            continue
        if found is not None:
            read.append(found)
    return Lists(tuple(read), refused)


@dataclass(frozen=True, slots=True)
class _Around:
    """A list at ``path``, the names of the dataset, and the folder that settings tell for it, if any."""

    path: str
    names: Names
    told: str | None

    @property
    def folder(self) -> str:
        """The folder of the list."""
        return str(PurePosixPath(self.path).parent)

    @property
    def bases(self) -> tuple[str, ...]:
        """The folders that its names may be relative to, the likeliest first."""
        return (*(() if self.told is None else (self.told,)), self.folder, "")

    def found(self, name: str) -> bool:
        """Say whether a name may mean a file that is here."""
        return bool(self.names.at(name, self.folder) or self.names.anywhere(name, self.folder))


@dataclass(frozen=True, slots=True)
class _Column:
    """The names in a column by the number of their entry, and what was seen of them."""

    name: str
    cells: Mapping[int, tuple[str, ...]]
    known: bool
    found: bool
    all_found: bool
    suffixed: bool
    all_pathlike: bool

    @property
    def holds_paths(self) -> bool:
        return self.suffixed and (self.known or self.all_pathlike)

    @property
    def holds_stems(self) -> bool:
        return self.found and (self.known or self.all_found)


_Cells = Mapping[str, Mapping[int, Any]]
"""Column → number of the entry → value."""


def _read_list(root: Path, around: _Around, *, any_text: bool) -> Metadata | None:
    path = around.path
    data = read_list_file(root / path, MAX_LIST_BYTES)
    if not data.strip():
        return None
    try:
        source, cells, count = _taken_apart(data, path)
    except DatasetError:
        if any_text:
            return None
        raise
    columns = [_judged(name, values, cells, around) for name, values in cells.items()]
    chosen = _chosen(columns)
    if not chosen:
        return None
    _refuse_outside(chosen, around)
    if not any(column.found for column in chosen):
        return None
    _refuse_header(columns, around)
    rows = _rows(chosen, cells, count, around)
    return Metadata(path, tuple(rows), source)


def _taken_apart(data: bytes, path: str) -> tuple[Source, _Cells, int]:
    if path.lower().endswith(".parquet"):
        table = ParquetEntries(data, path)
        return table, {name: dict(enumerate(table.column(name))) for name in table.columns}, table.size
    entries = parse_entries(data, path)
    return TextSource(data, entries), _by_column(entries), len(entries.raws)


def _by_column(entries: Entries) -> _Cells:
    cells: dict[str, dict[int, Any]] = {}
    for number, values in enumerate(entries.values):
        for name, value in values.items():
            cells.setdefault(name, {})[number] = value
    return cells


def _judged(name: str, values: Mapping[int, Any], cells: _Cells, around: _Around) -> _Column:
    if name == KEY:
        known = set().union(*(cells.get(of, ()) for of in _OF_AN_ENTRY)) >= values.keys()
    else:
        known = bool(_PATHS.fullmatch(name) or _IDS.fullmatch(name))
    named = {number: tuple(_names_in(value, numbers=known)) for number, value in values.items()}
    every = {text for texts in named.values() for text in texts}
    found = {text for text in every if around.found(text)}
    pictures = {text for text in every if _is_picture(text)}
    return _Column(
        name,
        named,
        known=known,
        found=bool(found),
        all_found=found == every,
        suffixed=bool(pictures),
        all_pathlike=found | pictures == every,
    )


def _names_in(value: Any, *, numbers: bool) -> Iterator[str]:
    """Yield what may be names: no addresses, no text of several lines; numbers only where names stand."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int) and not isinstance(one, bool) and numbers:
            yield str(one)
        elif isinstance(one, str) and 0 < len(one) <= _LONGEST_NAME and "://" not in one and "\n" not in one:
            yield one


def _chosen(columns: Sequence[_Column]) -> list[_Column]:
    """Return the columns of paths, else those of stems; what an entry is filed under must be one of them."""
    keys = [column for column in columns if column.name == KEY]
    if any(not (key.holds_paths or key.holds_stems) for key in keys):
        return []
    paths = [column for column in columns if column.name != KEY and column.holds_paths]
    if not keys and not any(column.found for column in paths):
        stems = [column for column in columns if column.holds_stems]
        return stems or paths
    # The addresses of an entry are those of its first name, which a control picture's is not.
    return keys + sorted(paths, key=lambda column: not _MAIN.fullmatch(column.name))


def _refuse_outside(columns: Iterable[_Column], around: _Around) -> None:
    for column in columns:
        for texts in column.cells.values():
            for text in texts:
                if all(around.names.place(text, base) is None for base in around.bases):
                    raise DatasetError(f"{around.path} names {text}, which lies outside of the dataset")


def _refuse_header(columns: Iterable[_Column], around: _Around) -> None:
    """Refuse a table whose first row, taken for its header, names a picture: it could not be taken out."""
    if not around.path.lower().endswith((".csv", ".tsv")):
        return
    for column in columns:
        if not column.known and around.names.anywhere(column.name, around.folder):
            raise DatasetError(f"{around.path} has no header: its first row names {column.name}")


def _rows(columns: Sequence[_Column], cells: _Cells, count: int, around: _Around) -> Iterator[MetadataRow]:
    names, folder = around.names, around.folder
    base = _base(columns, around)
    addresses = url_columns(cells)
    for number in range(count):
        texts = [text for column in columns for text in column.cells.get(number, ())]
        if not texts:
            raise DatasetError(f"{around.path}, entry {number + 1}: it names no picture")
        meant = (names.anywhere(text, folder) if base is None else names.at(text, base) for text in texts)
        found = (
            files or (_missing(names.place(text, folder) or text),)
            for text, files in zip(texts, meant, strict=True)
        )
        urls = (cells[column].get(number) for column in addresses)
        yield MetadataRow(tuple(found), tuple(url for url in urls if isinstance(url, str) and url))


def _base(columns: Iterable[_Column], around: _Around) -> str | None:
    """Return the folder from which every name leads to a file that is there, or None."""
    every = {text for column in columns for texts in column.cells.values() for text in texts}
    whole = (base for base in around.bases if all(around.names.at(text, base) for text in every))
    return next(whole, None)


def _missing(place: str) -> str:
    return place if PurePosixPath(place).suffix else f"{place}.*"


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
