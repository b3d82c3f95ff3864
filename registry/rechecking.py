"""Checking again what was found sound once: a bit can turn in a file that is mapped, or in its cached pages.

One thread a process goes over all blocks of the segments that are in use, evenly and for ever. A round takes
half of the time that is promised: a block that was the first of one round may be the last of the next one.
Segments that nobody uses any more are passed over, and are not kept. The thread ends with its owner.
"""

import logging
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Protocol

from registry.errors import SegmentError

__all__ = ["Checked", "Rechecking"]

_LEAST_PAUSE = 0.02
"""Seconds: blocks that would follow each other faster are checked some at a time."""

log = logging.getLogger(__name__)


class Segment(Protocol):
    """An open :class:`registry.segments.Segment`."""

    @property
    def blocks(self) -> int:
        """How many blocks have a checksum."""

    def check(self, number: int) -> None:
        """Read block ``number`` again. Raises :class:`SegmentError`."""


class Checked:
    """What is made of an open segment; ``damage`` is what was found in it since it was opened."""

    def __init__(self, segment: Segment) -> None:
        self.damage: SegmentError | None = None
        self._segment = segment

    @property
    def blocks(self) -> int:
        """How many blocks can be checked again."""
        return self._segment.blocks

    def check(self, number: int) -> None:
        """Check block ``number`` again. Raises :class:`SegmentError`, and keeps it, when a bit has turned."""
        try:
            self._segment.check(number)
        except SegmentError as error:
            self.damage = error
            raise


class Rechecking:
    """Checks each block of what it watches at least every ``seconds``; the damage is left at the index."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: weakref.WeakSet[Checked] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        weakref.finalize(self, self._ended.set)

    def watch(self, segments: Iterable[Checked]) -> None:
        """Check these too from now on, until nobody uses them any more."""
        with self._lock:
            self._watched.update(segments)
            if self._watched and (self._thread is None or not self._thread.is_alive()):
                arguments = (self._watched, self._lock, self._seconds, self._ended)
                self._thread = threading.Thread(target=_go_on, args=arguments, daemon=True)
                self._thread.start()


def _go_on(
    watched: weakref.WeakSet[Checked], lock: threading.Lock, seconds: float, ended: threading.Event
) -> None:
    while not ended.is_set():
        with lock:
            # Not the segments themselves: whoever waits between two blocks must not keep a file open.
            blocks = [(weakref.ref(one), number) for one in watched for number in range(one.blocks)]
        _go_round(blocks, seconds / 2, ended)


def _go_round(blocks: list[tuple[weakref.ref[Checked], int]], seconds: float, ended: threading.Event) -> None:
    """Check all blocks once in so many seconds."""
    begun, pauses = time.monotonic(), max(1, min(len(blocks), int(seconds / _LEAST_PAUSE)))
    for turn in range(pauses):
        for segment, number in blocks[turn * len(blocks) // pauses : (turn + 1) * len(blocks) // pauses]:
            _check(segment(), number)
        if ended.wait(max(0.0, begun + (turn + 1) * seconds / pauses - time.monotonic())):
            return


def _check(segment: Checked | None, number: int) -> None:
    if segment is None or segment.damage is not None:
        return
    try:
        segment.check(number)
    except SegmentError as error:
        log.error("index segment refused: %s", error.message)
