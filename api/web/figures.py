"""The figures of the registry for the home page, counted now and then."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from api.state import last_checkpoint, state
from registry.errors import ProofError
from registry.note import parse_checkpoint
from registry.store.figures import Figures, count_all

__all__ = ["Counted", "Counting"]

_SHARE = 100
"""Counting takes one part in so many of the time at most: in a large registry the figures are minutes old."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted as of event ``as_of_seq``."""

    figures: Figures
    as_of_seq: int

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form; ``log_size`` is how many events the last signed checkpoint covers."""
        return {**self.figures._asdict(), "as_of_seq": self.as_of_seq, "log_size": _log_size()}


class Counting:
    """Counts for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Counted | None = None
        self._again = 0.0

    def counted(self) -> Counted:
        """Return the figures; while another thread counts, those of before. Raises :class:`StorageError`."""
        last = self._last
        if last is not None and not self._lock.acquire(blocking=False):
            return last
        if last is None:
            self._lock.acquire()
        try:
            return self._counted()
        finally:
            self._lock.release()

    def _counted(self) -> Counted:
        with state().store.read() as connection:
            head = state().store.head()
            begun = time.monotonic()
            if self._last is None or (head != self._last.as_of_seq and begun >= self._again):
                self._last = Counted(count_all(connection), head)
                ended = time.monotonic()
                self._again = ended + _SHARE * (ended - begun)
            return self._last


def _log_size() -> int | None:
    note = last_checkpoint()
    if note is None:
        return None
    try:
        return parse_checkpoint(note.partition("\n\n")[0] + "\n").size
    except ProofError:
        return None
