"""Reading and hashing picture files, in processes where there are many.

An unreadable file is a value here, not an exception: one bad picture must not end a run, and must not
vanish from it either.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from registry.errors import PictureError
from registry.fingerprint import Fingerprint, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

__all__ = ["MAX_FILE_BYTES", "PICTURE_SUFFIXES", "Hashed", "default_workers", "hash_files"]

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jxl", ".heic", ".heif"}
)
"""Names that trainers take for pictures. Some are not decoded here: such a file is set aside."""

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Larger files are not read."""

_FEW = 48
"""Up to here starting worker processes takes longer than hashing."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file with its fingerprint, or with what was wrong."""

    path: Path
    fingerprint: Fingerprint | None
    error: str = ""


def default_workers() -> int:
    """Return the number of processes to use."""
    return max(1, os.cpu_count() or 1)


def hash_files(
    paths: Sequence[Path],
    *,
    registered: bool = False,
    workers: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Hashed]:
    """Yield each file of ``paths`` hashed, in order; ``tick`` is called after each.

    ``registered`` makes the windows that are lodged, otherwise the forms that are asked about.
    """
    work = _registered if registered else _queried
    if workers == 1 or len(paths) <= _FEW:
        for path in paths:
            yield work(path)
            tick()
        return
    # Spawned, because forking a process with threads is unsafe and not to be had everywhere.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for hashed in pool.map(work, paths, chunksize=4):
            yield hashed
            tick()


def _registered(path: Path) -> Hashed:
    return _hashed(path, registered=True)


def _queried(path: Path) -> Hashed:
    return _hashed(path, registered=False)


def _hashed(path: Path, *, registered: bool) -> Hashed:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return Hashed(path, None, f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        data = path.read_bytes()
        picture = decode_picture(data, reduced=not registered)
    except OSError as error:
        return Hashed(path, None, f"cannot be read: {error.strerror or error}")
    except PictureError as error:
        return Hashed(path, None, error.message)
    make = registered_fingerprint if registered else query_fingerprint
    return Hashed(path, make(picture, data))
