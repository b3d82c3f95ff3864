"""What files that must last ask of the disk: whole or absent, synced, one writer, errors by name."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import StorageError, StorageFullError

__all__ = ["disk_errors", "make_folder", "only_writer", "sync_folder", "write_file"]


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn what the disk says into :class:`StorageFullError` and :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFullError(
                f"no space for {what}: {error.strerror}", hint="Free some space; it is written again."
            ) from error
        raise StorageError(
            f"{what} cannot be written: {error.strerror}", hint="Look after the disk; it is written again."
        ) from error


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made if need be, as its one writer.

    Raises :class:`StorageError` when another process does, or nothing can be written there.
    """
    make_folder(folder)
    with disk_errors(f"the folder {folder}"):
        lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StorageError(
            f"another process is writing in {folder}", hint="One is enough; end the other."
        ) from error
    finally:
        os.close(lock)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that their names last through a loss of power."""
    with disk_errors(f"the folder {folder}"):
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for one in made:
            sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` last through a loss of power."""
    with disk_errors(f"the folder {folder}"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write the whole of ``path``: under another name, synced, renamed; its folder is made if need be.

    The name lasts through a loss of power once :func:`sync_folder` is done. Raises :class:`StorageFullError`,
    :class:`StorageError`; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(f"the file {path}"):
        make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
