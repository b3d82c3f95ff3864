"""Reading and hashing picture files, in processes where there are many.

An unreadable file is a value here, not an exception: one bad picture must not end a run, and must not
vanish from it either. What a picture says itself is read from the same bytes, before they are decoded, and
from the ``.xmp`` files beside it: ``name.xmp`` and ``name.jpg.xmp``. A picture in an archive is read where it
lies (:mod:`registry.client.place`).
"""

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from registry.client.place import MAX_FILE_BYTES, Place, sized
from registry.errors import PictureError
from registry.fingerprint import Fingerprint, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture
from registry.preference import Status
from registry.signals import Fault, Reading, joined, read_embedded

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_SIDECAR_BYTES",
    "PICTURE_SUFFIXES",
    "Hashed",
    "Hashers",
    "default_workers",
    "hash_files",
    "said_by",
    "sidecar_names",
]

T = TypeVar("T")

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jxl", ".heic", ".heif"}
)
"""Names that trainers take for pictures. Some are not decoded here: such a file is set aside."""

MAX_SIDECAR_BYTES = 16 * 1024 * 1024
"""Larger files beside a picture are not read."""

_FEW = 48
"""Up to here starting worker processes takes longer than hashing."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file with its fingerprint, or with what was wrong; ``reading`` is what it says itself."""

    place: Place
    fingerprint: Fingerprint | None
    error: str = ""
    reading: Reading = Reading()  # noqa: RUF009 - frozen

    @property
    def path(self) -> Path:
        """The file, or the archive in which it is."""
        return self.place.path


def default_workers() -> int:
    """Return the number of processes to use."""
    return max(1, os.cpu_count() or 1)


class Hashers:
    """Processes that read and hash pictures, started when there are many of them, and ended with the block.

    With one worker it is done here.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Hashers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def begin(self, paths: Sequence[Path | Place], *, registered: bool = False) -> Iterator[Hashed]:
        """Begin hashing files or parts of such, and return them hashed, in order.

        ``registered`` makes the windows that are lodged, otherwise the forms that are asked about; only then
        the signals in the file are read.
        """
        work = _registered if registered else _queried
        return self.run(work, [path if isinstance(path, Place) else Place(path) for path in paths])

    def run(self, work: Callable[[T], Hashed], items: Sequence[T]) -> Iterator[Hashed]:
        """Begin hashing ``items`` by ``work``, a function of a module, and return them hashed, in order."""
        if self._workers == 1 or (self._pool is None and len(items) <= _FEW):
            return map(work, items)
        if self._pool is None:
            # Spawned, because forking a process with threads is unsafe and not to be had everywhere.
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, mp_context=spawn)
        return self._pool.map(work, items, chunksize=4)


def hash_files(
    paths: Sequence[Path | Place],
    *,
    registered: bool = False,
    workers: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Hashed]:
    """Yield each of ``paths`` as :meth:`Hashers.begin` does; ``tick`` is called after each."""
    with Hashers(workers) as hashers:
        for hashed in hashers.begin(paths, registered=registered):
            yield hashed
            tick()


def _registered(place: Place) -> Hashed:
    return _hashed(place, registered=True)


def _queried(place: Place) -> Hashed:
    return _hashed(place, registered=False)


def _hashed(place: Place, *, registered: bool) -> Hashed:
    bare = place.bare
    try:
        data = place.read()
        reading = Reading() if registered else _said(place, data)
        picture = decode_picture(data, reduced=not registered)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return Hashed(bare, None, str(error.strerror))
        return Hashed(bare, None, f"cannot be read: {error.strerror or error}")
    except PictureError as error:
        return Hashed(bare, None, error.message, reading)
    make = registered_fingerprint if registered else query_fingerprint
    return Hashed(bare, make(picture, data), reading=reading)


def _said(place: Place, data: bytes) -> Reading:
    if place.sidecars is None:
        return said_by(place.path, data)
    members = {f".xmp member {n}": partial(_member, one) for n, one in enumerate(place.sidecars, 1)}
    return _with_sidecars(data, members)


def said_by(path: Path, data: bytes) -> Reading:
    """Return what a picture and the files beside it say."""
    names = sidecar_names(path)
    return _with_sidecars(data, {name: partial(_sidecar, path.with_name(name)) for name in names})


def sidecar_names(path: Path) -> list[str]:
    """Return what files beside a picture that speak of it may be called."""
    # Where letters have no case the second name of each is the first again.
    names = (f"{one}{suffix}" for one in (path.stem, path.name) for suffix in (".xmp", ".XMP"))
    return list(dict.fromkeys(names))


def _with_sidecars(data: bytes, sidecars: Mapping[str, Callable[[], bytes | None]]) -> Reading:
    texts: list[bytes] = []
    faults: list[Fault] = []
    for name, read in sidecars.items():
        try:
            text = read()
        except OSError as error:
            message = f"{name}: {error.strerror or error}"
            faults.append(Fault("xmp", "xmp sidecar", Status.ERROR, message))
        else:
            texts += [] if text is None else [text]
    return joined([read_embedded(data, tuple(dict.fromkeys(texts))), Reading((), tuple(faults))])


def _member(place: Place) -> bytes:
    text = place.read(MAX_SIDECAR_BYTES)
    if not text:
        raise OSError(errno.EINVAL, "it is empty")
    return text


def _sidecar(path: Path) -> bytes | None:
    """Return the file at ``path``, None when there is none; raises OSError for what is no file to read."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("rb") as file:
        text = file.read(MAX_SIDECAR_BYTES + 1)
    if not text:
        raise OSError(errno.EINVAL, "it is empty")
    if len(text) > MAX_SIDECAR_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {sized(MAX_SIDECAR_BYTES)}")
    return text
