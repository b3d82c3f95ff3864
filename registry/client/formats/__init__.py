"""Dataset formats: which one a path holds, and why.

:func:`detect` says what it saw and refuses to guess between two. One file a family: ``folder`` (pictures
with captions, those of trainers, imagefolder; ``trainers`` tells them apart), ``configured`` (settings of
trainers), ``downloaded`` (img2dataset), ``table`` (CSV, TSV, parquet of URLs), ``lance``, ``sharded``
(folders of shards and of tables), ``shards`` (one WebDataset shard) and ``zipped``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from registry.client.formats.base import Dataset, Format, Keeping, Plan, Rows, Sample, Sharded, Table
from registry.client.formats.braces import brace_range
from registry.client.formats.configured import Configured, configured_formats
from registry.client.formats.folder import walk
from registry.client.formats.lance import LanceTable
from registry.client.formats.lance_files import is_lance
from registry.client.formats.sharded import TableFolder, WebDataset
from registry.client.formats.shards import TarShard
from registry.client.formats.table import DELIMITERS, CsvTable, ParquetTable
from registry.client.formats.trainers import PICTURE_FORMATS, cache_among, opened_pictures, picture_formats
from registry.client.formats.zipped import ZipPictures
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import FormatError

__all__ = [
    "FORMATS",
    "Dataset",
    "Format",
    "Keeping",
    "Plan",
    "Rows",
    "Sample",
    "Sharded",
    "Table",
    "brace_range",
    "chosen",
    "detect",
    "opened",
    "shard_formats",
]

FORMATS = {
    **PICTURE_FORMATS,
    "csv": "a CSV file with a column of URLs, or a folder of such files",
    "tsv": "a TSV file with a column of URLs, or a folder of such files",
    "parquet": "a parquet file with a column of URLs, of SHA-256 or of pictures, or a folder of such files",
    "lance": "a Lance dataset with a column of URLs, of SHA-256 or of pictures",
    "webdataset": "tar shards, or one, with pictures and texts of one key side by side (img2dataset)",
    "zip": "a zip archive of pictures, captions beside them under the same stem",
}
"""Name → what it is."""

_TABLES: dict[str, Callable[[Path], Table]] = {"csv": CsvTable, "tsv": CsvTable, "parquet": ParquetTable}
_SHARDS = (".zip", ".arrow")
_PACKED = re.compile(r".*\.(tgz|tbz2?|txz|tar\.[a-z0-9]+)", re.IGNORECASE | re.ASCII)


def detect(source: Path, wanted: str = "auto") -> Format | Table | Sharded:
    """Return the format of ``source``; ``wanted`` settles it where more than one would do.

    Raises :class:`FormatError` when none fits, when two do, or when ``wanted`` does not.
    """
    if wanted != "auto" and wanted not in FORMATS:
        raise FormatError(f"no format {wanted!r}", hint=f"Formats: {', '.join(FORMATS)}.")
    if not source.exists():
        raise FormatError(f"{source} is not there")
    found = _file_formats(source) if source.is_file() else _folder_formats(source, wanted)
    name = chosen(source, wanted, found)
    return opened(source, name, found[name])


def chosen(source: object, wanted: str, found: Mapping[str, str]) -> str:
    """Return which of the formats that were found (name → why) ``source`` is taken for.

    Raises :class:`FormatError` when there are two and ``wanted`` is ``auto``, or when it is none of them.
    """
    if wanted != "auto":
        if wanted not in found:
            raise FormatError(f"{source} is not of format {wanted}: it {_seen(found)}")
        return wanted
    if len(found) != 1:
        raise FormatError(
            f"{source} could be two formats at once: it {_seen(found)}",
            hint=f"Say which: --format {' or --format '.join(found)}.",
        )
    return next(iter(found))


def shard_formats(source: object, paths: Sequence[PurePosixPath], wanted: str = "auto") -> dict[str, str]:
    """Return as which folders of shards files could be taken, by their names: format → why.

    Loose pictures beside tars leave them one only when that is ``wanted``. Raises :class:`FormatError` for
    compressed archives.
    """
    tars = [path for path in paths if path.suffix.lower() == ".tar"]
    has_pictures = any(path.suffix.lower() in PICTURE_SUFFIXES for path in paths)
    if tars and (not has_pictures or wanted == "webdataset"):
        return {"webdataset": f"has {len(tars)} shards, {tars[0]} the first"}
    if tars or has_pictures:
        return {}
    _refuse_packed(source, paths)
    return _table_formats(paths)


def opened(source: Path, name: str, why: str = "") -> Format | Table | Sharded:
    """Return the dataset at ``source`` as of a format that was detected before."""
    if name in _TABLES:
        return TableFolder(source, name, why, _TABLES[name]) if source.is_dir() else _TABLES[name](source)
    if name == "lance":
        return LanceTable(source)
    if name == "webdataset":
        if source.is_dir():
            return WebDataset(source, why)
        return TarShard(source.parent, source.name, alone=True)
    if name == "zip":
        return ZipPictures(source, why)
    if source.is_file():
        return Configured(source, why)
    return opened_pictures(source, walk(source), name, why)


def _file_formats(source: Path) -> dict[str, str]:
    suffix = source.suffix.lower()
    if suffix in DELIMITERS or suffix == ".parquet":
        return {suffix.removeprefix("."): f"ends in {suffix}"}
    if suffix == ".tar":
        return {"webdataset": "ends in .tar"}
    if suffix == ".zip":
        return {"zip": "ends in .zip"}
    if _PACKED.fullmatch(source.name):
        raise _packed(source)
    if suffix in (".toml", ".json"):
        return configured_formats(source)
    raise FormatError(
        f"{source} is no dataset that is read here",
        hint="Give a folder of pictures or .tar shards, a .zip, or a .csv, .tsv or .parquet with URLs.",
    )


def _packed(path: object) -> FormatError:
    return FormatError(
        f"{path} is a compressed tar archive, and members are read where they lie",
        hint="Unpack it to a plain .tar (gunzip, unzstd, unxz), and filter that.",
    )


def _folder_formats(source: Path, wanted: str) -> dict[str, str]:
    if is_lance(source):
        return {"lance": "has _versions/"}
    paths = [PurePosixPath(path) for path in walk(source)]
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    shards = [path for path in paths if path.suffix.lower() in _SHARDS]
    tars = [path for path in paths if path.suffix.lower() == ".tar"]
    if not pictures:
        if found := shard_formats(source, paths):
            return found
        seen = f"; it holds {shards[0].name}, and shards are not read yet" if shards else ""
        if inner := next((path.parent for path in paths if path.suffix == ".manifest"), None):
            seen = f"; it holds the Lance dataset {inner.parent}, and each of these is filtered by itself"
        if cache := cache_among(map(str, paths)):
            seen = f"; it holds {cache}, which trains its picture without it: empty the folder"
        raise FormatError(f"no pictures below {source}{seen}", hint="Check the path.")
    found = {"webdataset": f"has {tars[0]}"} if tars else {}
    return {**found, **picture_formats(source, [str(path) for path in paths], wanted)}


def _table_formats(paths: Sequence[PurePosixPath]) -> dict[str, str]:
    """Return the kinds of tables that are here."""
    found: dict[str, list[PurePosixPath]] = {}
    for path in paths:
        if (name := path.suffix.lower().removeprefix(".")) in _TABLES:
            found.setdefault(name, []).append(path)
    return {name: f"has {len(some)} tables, {some[0]} the first" for name, some in found.items()}


def _refuse_packed(source: object, paths: Sequence[PurePosixPath]) -> None:
    for path in paths:
        if _PACKED.fullmatch(path.name):
            raise _packed(f"{source}/{path}")


def _seen(found: Mapping[str, str]) -> str:
    return ", and ".join(f"{why} ({name})" for name, why in found.items())
