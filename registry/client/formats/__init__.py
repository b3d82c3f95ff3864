"""Dataset formats: which one a path holds, and why.

:func:`detect` says what it saw and refuses to guess between two. One file a family: ``folder`` (pictures
with captions, kohya, imagefolder), ``table`` (CSV, TSV, parquet of URLs), ``shards`` (WebDataset) and
``zipped``.
"""

import re
from pathlib import Path, PurePosixPath

from registry.client.formats.base import Format, Plan, Sample
from registry.client.formats.braces import brace_range
from registry.client.formats.folder import PictureFolder, walk
from registry.client.formats.metadata import METADATA_NAMES
from registry.client.formats.shards import WebDataset
from registry.client.formats.table import DELIMITERS, CsvTable, ParquetTable
from registry.client.formats.zipped import ZipPictures
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import FormatError

__all__ = ["FORMATS", "Format", "Plan", "Sample", "brace_range", "detect"]

FORMATS = {
    "folder": "a folder of pictures, captions beside them under the same stem",
    "kohya": "folders named N_concept with pictures and captions (kohya DreamBooth)",
    "imagefolder": "pictures with metadata.jsonl, .csv or .parquet (Hugging Face)",
    "csv": "a CSV file with a column of URLs",
    "tsv": "a TSV file with a column of URLs",
    "parquet": "a parquet file with a column of URLs",
    "webdataset": "tar shards, or one, with pictures and texts of one key side by side (img2dataset)",
    "zip": "a zip archive of pictures, captions beside them under the same stem",
}
"""Name → what it is."""

_CONCEPT = re.compile(r"[0-9]+_.*", re.ASCII)
_SHARDS = (".parquet", ".zip", ".arrow")
_PACKED = re.compile(r".*\.(tgz|tbz2?|txz|tar\.[a-z0-9]+)", re.IGNORECASE | re.ASCII)


def detect(source: Path, wanted: str = "auto") -> Format:
    """Return the format of ``source``; ``wanted`` settles it where more than one would do.

    Raises :class:`FormatError` when none fits, when two do, or when ``wanted`` does not.
    """
    if wanted != "auto" and wanted not in FORMATS:
        raise FormatError(f"no format {wanted!r}", hint=f"Formats: {', '.join(FORMATS)}.")
    if not source.exists():
        raise FormatError(f"{source} is not there")
    found = _file_formats(source) if source.is_file() else _folder_formats(source)
    if wanted != "auto":
        if wanted not in found:
            raise FormatError(f"{source} is not of format {wanted}: it {_seen(found)}")
        return _opened(source, wanted, found[wanted])
    if len(found) != 1:
        raise FormatError(
            f"{source} could be two formats at once: it {_seen(found)}",
            hint=f"Say which: --format {' or --format '.join(found)}.",
        )
    [(name, why)] = found.items()
    return _opened(source, name, why)


def _opened(source: Path, name: str, why: str) -> Format:
    if name == "parquet":
        return ParquetTable(source)
    if name in ("csv", "tsv"):
        return CsvTable(source)
    if name == "webdataset":
        return WebDataset(source, why)
    if name == "zip":
        return ZipPictures(source, why)
    return PictureFolder(source, name, why)


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
    raise FormatError(
        f"{source} is no dataset that is read here",
        hint="Give a folder of pictures or .tar shards, a .zip, or a .csv, .tsv or .parquet with URLs.",
    )


def _packed(path: Path) -> FormatError:
    return FormatError(
        f"{path} is a compressed tar archive, and members are read where they lie",
        hint="Unpack it to a plain .tar (gunzip, unzstd, unxz), and filter that.",
    )


def _folder_formats(source: Path) -> dict[str, str]:
    paths = [PurePosixPath(path) for path in walk(source)]
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    shards = [path for path in paths if path.suffix.lower() in _SHARDS]
    tars = [path for path in paths if path.suffix.lower() == ".tar"]
    if tars and not pictures:
        return {"webdataset": f"has {len(tars)} shards, {tars[0]} the first"}
    if not pictures:
        _refuse_packed(source, paths)
        seen = f"; it holds {shards[0].name}, and shards are not read yet" if shards else ""
        raise FormatError(f"no pictures below {source}{seen}", hint="Check the path.")
    found: dict[str, str] = {}
    if tars:
        found["webdataset"] = f"has {tars[0]}"
    metadata = [path for path in paths if path.name in METADATA_NAMES]
    if metadata:
        found["imagefolder"] = f"has {metadata[0]}"
    concepts = sorted(
        {path.parts[0] for path in pictures if len(path.parts) == 2 and _CONCEPT.fullmatch(path.parts[0])}
    )
    if concepts:
        found["kohya"] = f"has {concepts[0]}/ with pictures"
    loose = [path for path in pictures if len(path.parts) == 1]
    if (loose and not metadata) or found.keys() <= {"webdataset"}:
        found["folder"] = f"has {len(loose or pictures)} pictures, {(loose or pictures)[0]} the first"
    return found


def _refuse_packed(source: Path, paths: list[PurePosixPath]) -> None:
    for path in paths:
        if _PACKED.fullmatch(path.name):
            raise _packed(source / path)


def _seen(found: dict[str, str]) -> str:
    return ", and ".join(f"{why} ({name})" for name, why in found.items())
