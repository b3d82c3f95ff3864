"""A snapshot in a folder: which tiers are here, and whether every file is what the manifest says."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from registry.errors import SnapshotError
from registry.snapshot.arrays import KINDS, open_arrays, rows_of
from registry.snapshot.manifest import TIERS, FileEntry, Manifest, files_of

__all__ = ["Seen", "damage", "open_files", "open_seen", "seen", "sha256_of", "tiers_here"]

Seen = tuple[int, int, int, int, int]
"""A file as it was seen: device, number there, bytes, and when it and its entry were last changed (ns)."""

_AT_ONCE = 1 << 20
_AGAIN = "Fetch it again: caveat snapshot pull DIR."


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_AT_ONCE):
            found.update(data)
    return found.hexdigest()


def tiers_here(folder: Path, manifest: Manifest) -> list[str]:
    """Return the tiers of which there are files in ``folder``.

    Raises :class:`SnapshotError` when some files of a tier are there and others are not.
    """
    here = {entry for entry in manifest.files if entry.path(folder).exists()}
    found = []
    for tier in TIERS:
        own = [entry for entry in manifest.files if entry.tier == tier]
        if any(entry in here for entry in own) or not own:
            missing = [entry for entry in files_of(manifest, [tier]) if entry not in here]
            if missing:
                raise SnapshotError(
                    f"{missing[0].path(folder)} is missing, and {len(missing) - 1} more of {tier}",
                    hint=_AGAIN,
                )
            found.append(tier)
    return found


def damage(folder: Path, entries: Iterable[FileEntry]) -> Iterator[str]:
    """Yield what is wrong with each of these files: length, SHA-256, form, count of rows."""
    for entry in entries:
        path = entry.path(folder)
        try:
            size, digest = path.stat().st_size, sha256_of(path)
        except OSError as error:
            yield f"{path}: cannot be read: {error.strerror}"
            continue
        if (size, digest) != (entry.size, entry.sha256):
            yield f"{path}: {size} bytes with SHA-256 {digest}, not {entry.size} bytes with {entry.sha256}"
        elif entry.tier != "parquet":
            yield from _miscounted(path, entry)


def open_files(folder: Path, entries: Sequence[FileEntry]) -> dict[str, list[Mapping[str, NDArray[Any]]]]:
    """Check and open files, by kind; every kind of their folders has a list.

    Raises :class:`SnapshotError` when one of them is not what the manifest says.
    """
    for wrong in damage(folder, entries):
        raise SnapshotError(wrong, hint=_AGAIN)
    return _opened(folder, entries)


def seen(folder: Path, entries: Iterable[FileEntry]) -> tuple[Seen, ...]:
    """Return what is seen of these files from outside. Raises :class:`SnapshotError` when one is missing."""
    found = []
    for entry in entries:
        try:
            told = entry.path(folder).stat()
        except OSError as error:
            raise SnapshotError(
                f"{entry.path(folder)}: cannot be read: {error.strerror}", hint=_AGAIN
            ) from error
        found.append((told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns))
    return tuple(found)


def open_seen(
    folder: Path, entries: Sequence[FileEntry], before: Sequence[Seen]
) -> dict[str, list[Mapping[str, NDArray[Any]]]]:
    """Open files that were checked when they looked as ``before``; check them anew when they do not any more.

    So a worker opens them at once, and on another machine, or when something else was put in their place,
    they are checked as :func:`open_files` does, which also says what is raised.
    """
    if seen(folder, entries) != tuple(before):
        return open_files(folder, entries)
    return _opened(folder, entries)


def _opened(folder: Path, entries: Iterable[FileEntry]) -> dict[str, list[Mapping[str, NDArray[Any]]]]:
    found: dict[str, list[Mapping[str, NDArray[Any]]]] = {}
    for entry in entries:
        found.setdefault(entry.kind, []).append(open_arrays(entry.path(folder), entry.kind))
    return found


def _miscounted(path: Path, entry: FileEntry) -> Iterator[str]:
    try:
        count = rows_of(entry.kind, open_arrays(path, entry.kind)) if entry.kind in KINDS else -1
    except SnapshotError as error:
        yield error.message
        return
    if count != entry.rows:
        yield f"{path}: {count} rows, and the manifest says {entry.rows}"
