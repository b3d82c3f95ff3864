"""Putting files where nobody sees half of them: a temporary name, sync, rename."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from registry.errors import DatasetError

__all__ = [
    "appear",
    "appearing",
    "changed",
    "copy_file",
    "move_files",
    "remove",
    "state_of",
    "sync_names",
    "sync_tree",
    "write_synced",
]

_CHUNK = 1 << 20


@contextmanager
def appearing(*targets: Path) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of ``targets``; they become the targets when all went well.

    Everything is on the disk before the first one appears; when one cannot, those before it go again.
    An empty folder gives way; a full one, the account of an earlier run, is kept under a numbered name.
    """
    temporary = [target.with_name(f".{target.name}.{os.getpid()}.partial") for target in targets]
    try:
        for target, path in zip(targets, temporary, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            remove(path)
        yield temporary
        appear(temporary, targets)
    except BaseException:
        for path in temporary:
            remove(path)
        raise


def appear(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Make what lies in ``sources`` the targets, as :func:`appearing` does at its end.

    A target of which nothing was made stays as it is.
    """
    pairs = [pair for pair in zip(sources, targets, strict=True) if os.path.lexists(pair[0])]
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    for path in sources:
        sync_tree(path)
    done: list[Path] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            _make_way(target)
            os.rename(source, target)
            done.append(target)
            _sync(target.parent)
    except BaseException:
        for target in done:
            remove(target)
        raise


def _make_way(target: Path) -> None:
    if not target.is_dir():
        return
    if any(target.iterdir()):
        number = next(n for n in count(1) if not target.with_name(f"{target.name}.{n}").exists())
        os.rename(target, target.with_name(f"{target.name}.{number}"))
    else:
        target.rmdir()


def state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written: its size in bytes, and its time."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def changed(path: Path, member: str = "") -> DatasetError:
    """Return the error for a file, or a member of it, that is another one than was checked."""
    what = f"{path}: {member}" if member else f"{path}"
    return DatasetError(
        f"{what} changed during the run", hint="Let nothing write to the dataset, and run again."
    )


def copy_file(source: Path, target: Path, sha256: bytes | None = None) -> None:
    """Copy a file with its times; with ``sha256`` only if its bytes still are the ones that were checked.

    Raises :class:`DatasetError` when they are not.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("xb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
    if sha256 is not None and digest.digest() != sha256:
        raise changed(source)
    shutil.copystat(source, target)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, also after a loss of power."""
    with appearing(path) as [temporary]:
        temporary.write_bytes(data)


def move_files(source: Path, target: Path) -> None:
    """Move every file below ``source`` to its name below ``target``, and make that last."""
    for folder, _, names in os.walk(source):
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(Path(folder, name), there / name)
        _sync(there)
        _sync(there.parent)


def sync_tree(path: Path) -> None:
    """Flush a file, or a folder and everything in it, to the disk."""
    if path.is_file():
        _sync(path)
        return
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))


def sync_names(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    _sync(folder)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete a file, or a folder with everything in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
