"""The indexes of datasets that this service answers from, each opened once and mapped.

An index is opened again when its files are others than they were. One that is missing, not complete, damaged
or of another release answers nothing: who asks is told so by name, and never that a work was not found.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from registry.dataset_index import OpenIndex
from registry.errors import CaveatError, DatasetError, SegmentError
from registry.rechecking import Rechecking

__all__ = ["ServedIndex", "served_indexes"]

_LOG = logging.getLogger(__name__)
_ENDING = ".caveat-index"
_Version = tuple[tuple[str, int, int, int], ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Held:
    """What came of opening the files of a version."""

    version: _Version
    index: OpenIndex | None


class ServedIndex:
    """The index in ``folder``; shared by the threads of a process."""

    def __init__(self, folder: Path, rechecking: Rechecking) -> None:
        self.folder = folder
        self.name = folder.name.removesuffix(_ENDING)
        """What people call the dataset."""
        self._rechecking = rechecking
        self._held: _Held | None = None
        self._lock = threading.Lock()

    def ask(self, question: Callable[[OpenIndex], T]) -> T:
        """Put a question to the index. Raises :class:`SegmentError` when it cannot be used."""
        index = self._opened()
        try:
            answer = question(index)
        except Exception as error:
            # A turned bit leads the search anywhere; what fails on a sound index is a fault of this program.
            if not _is_sound(index):
                raise self._refused(error) from error
            raise
        if any(part.damage is not None for part in index.parts):
            raise self._refused(next(part.damage for part in index.parts if part.damage is not None))
        return answer

    def _opened(self) -> OpenIndex:
        version = _version(self.folder)
        held = self._held
        if held is None or held.version != version:
            with self._lock:
                held = self._held
                if held is None or held.version != version:
                    held = self._held = self._open(version)
        if held.index is None:
            raise self._refused()
        return held.index

    def _open(self, version: _Version) -> _Held:
        try:
            index = OpenIndex.open(self.folder)
        except OSError as error:
            # It may pass: the next request tries again.
            raise self._refused(error) from error
        except DatasetError as error:
            _LOG.error("dataset %s: %s", self.name, error)
            return _Held(version, None)
        self._rechecking.watch(index.parts)
        return _Held(version, index)

    def _refused(self, error: Exception | None = None) -> SegmentError:
        if error is not None:
            _LOG.error("dataset %s: %s", self.name, error)
        return SegmentError(
            f"the index of the dataset {self.name} is missing, not complete, damaged or of another release,"
            " so nothing is known about this dataset",
            hint="Ask again later; its operator finds the reason in the log of the service.",
        )


def served_indexes(folders: Sequence[Path], check_seconds: float) -> tuple[ServedIndex, ...]:
    """Return an index for each folder; each block of theirs is checked again every ``check_seconds``."""
    rechecking = Rechecking(check_seconds)
    return tuple(ServedIndex(folder, rechecking) for folder in folders)


def _version(folder: Path) -> _Version:
    """Return what changes when any file of the index is written anew or goes."""
    try:
        with os.scandir(folder) as entries:
            files = [(one.name, one.stat()) for one in entries if not one.name.startswith(".")]
    except OSError:
        return ()
    return tuple(sorted((name, told.st_mtime_ns, told.st_size, told.st_ino) for name, told in files))


def _is_sound(index: OpenIndex) -> bool:
    try:
        for part in index.parts:
            for number in range(part.blocks):
                part.check(number)
    except CaveatError:
        return False
    return True
