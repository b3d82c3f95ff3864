"""Doing many things at once in threads that do not keep a stopped program alive.

The threads of :mod:`concurrent.futures` are waited for when Python ends, so whoever stops a run would wait
for the slowest host that is being asked. These are not: what they are at is given up.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")

_GRACE = 0.5
"""Seconds for what is nearly done, when a run is stopped."""


def side_by_side(
    work: Callable[[T], R], items: Sequence[T], threads: int, stop: threading.Event
) -> Iterator[R]:
    """Yield ``work(item)`` for each item as they come, in no order; an error of one ends all.

    ``stop`` is set when the caller goes away before the end, or an error does: ``work`` may look at it.
    """
    todo, done = SimpleQueue[T](), SimpleQueue[tuple[R | None, BaseException | None]]()
    for item in items:
        todo.put(item)
    crew = [
        threading.Thread(target=_take, args=(work, todo, done, stop), daemon=True)
        for _ in range(min(threads, len(items)))
    ]
    try:
        for one in crew:
            one.start()
        for _ in items:
            result, error = done.get()
            if error is not None:
                raise error
            yield result  # type: ignore[misc] # without an error there is one
    except BaseException:
        stop.set()
        _wait(crew)
        raise


def _take(
    work: Callable[[T], R],
    todo: SimpleQueue[T],
    done: SimpleQueue[tuple[R | None, BaseException | None]],
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        try:
            item = todo.get_nowait()
        except Empty:
            return
        try:
            done.put((work(item), None))
        except BaseException as error:  # noqa: BLE001 - raised where the results are awaited
            done.put((None, error))
            return


def _wait(crew: Sequence[threading.Thread]) -> None:
    end = time.monotonic() + _GRACE
    for one in crew:
        if one.ident is not None:
            one.join(max(0.0, end - time.monotonic()))
