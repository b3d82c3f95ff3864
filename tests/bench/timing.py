"""What the sections share: how time is taken, and what a row of a table is.

Functions that stay in their thread are timed by the CPU time of that thread, services by the clock; the least
of several runs counts, after one that warms up. A ratio is the peer's time by ours: above 1, ours is faster.
The load on a service comes over four connections, from threads that send bodies made beforehand and read the
answers without parsing them.
"""

import cProfile
import ctypes
import http.client
import io
import itertools
import json
import pstats
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CONNECTIONS",
    "PATIENCE",
    "Asking",
    "BenchError",
    "Budget",
    "Item",
    "Note",
    "Plan",
    "Row",
    "allocated_bytes",
    "answer_of",
    "at_least",
    "at_most",
    "cpu_seconds",
    "load",
    "milliseconds",
    "per_second",
    "profile_of",
    "require_space",
    "short",
    "spent",
    "told",
    "wall_seconds",
]


CONNECTIONS = 4
_SPELL, _MOST_RUNS = 0.5, 20
"""Seconds and times that a function is run, where that is more than was asked."""
PATIENCE = 180
"""Seconds that an answer may take."""


class BenchError(Exception):
    """A section that cannot go on: wrong results, no room, a server that does not come up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: ``folder`` takes the files; ``postgres`` is the server's address, or empty."""

    folder: Path
    corpus: Path
    postgres: str = ""
    quick: bool = False
    full: bool = False

    def count(self, usual: int, full: int | None = None) -> int:
        """Return a size: ``usual``, a tenth of it for --quick, ``full`` for --full."""
        if self.quick:
            return usual // 10
        return full if self.full and full is not None else usual


@dataclass(frozen=True, slots=True)
class Budget:
    """What was wanted, as text, and whether it was met."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; ``ratio`` is ours beside the peer, above 1 when ours is faster."""

    what: str
    how: str
    ours: str
    peer: str = "–"
    ratio: float | None = None
    wanted: Sequence[Budget] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence below the table; of a ``miss`` it says why."""

    text: str
    miss: bool = False


Item = Row | Note


def at_least(value: float, least: float, text: str) -> Budget:
    """Return the budget ``text`` that wants ``value`` to be ``least`` or more."""
    return Budget(text, value >= least)


def at_most(value: float, most: float, text: str) -> Budget:
    """Return the budget ``text`` that wants ``value`` to be ``most`` or less."""
    return Budget(text, value <= most)


def cpu_seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Return the least CPU seconds of this thread in ``runs`` runs of ``work``, after one to warm up."""
    return _least(work, runs, time.thread_time)


def wall_seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Return the least seconds by the clock in ``runs`` runs of ``work``, after one to warm up."""
    return _least(work, runs, time.perf_counter)


def _least(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> float:
    work()
    times: list[float] = []
    # What is over soon is run more often, so that one quiet moment of the machine is met.
    while len(times) < runs or (sum(times) < _SPELL and len(times) < _MOST_RUNS):
        started = clock()
        work()
        times.append(clock() - started)
    return min(times)


@contextmanager
def spent() -> Iterator[dict[str, float]]:
    """Yield a mapping that has the ``wall`` and ``cpu`` seconds of the process once the block has ended."""
    took: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield took
    finally:
        took["wall"], took["cpu"] = time.perf_counter() - wall, time.process_time() - cpu


class _Allocated(ctypes.Structure):
    """glibc's mallinfo2."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def allocated_bytes() -> int:
    """Return what the process has asked of malloc and not given back, in bytes (glibc)."""
    tell = ctypes.CDLL(None).mallinfo2
    tell.restype = _Allocated
    found = tell()
    return int(found.uordblks + found.hblkhd)


def require_space(folder: Path, size: float) -> None:
    """Raise :class:`BenchError` unless ``folder`` has room for ``size`` bytes and a tenth more."""
    free = shutil.disk_usage(folder).free
    if free < 1.1 * size:
        raise BenchError(
            f"{folder} has {free / 1e9:.1f} GB free, and {1.1 * size / 1e9:.1f} GB are wanted; "
            "name another folder with --folder"
        )


def short(count: int) -> str:
    """Return a round count as people say it: ``80 M``, ``100 k``."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:g} {name}"
    return str(count)


def told(text: str) -> None:
    """Tell the progress on standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def per_second(count: float, seconds: float) -> str:
    """Return a rate as text: ``12,345/s``, ``1.23 M/s``."""
    rate = count / seconds
    return f"{rate / 1e6:.2f} M/s" if rate >= 1e6 else f"{rate:,.0f}/s"


def milliseconds(seconds: float) -> str:
    """Return a time as text, in ms with three figures that count."""
    value = seconds * 1e3
    digits = 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


@dataclass(frozen=True, slots=True)
class Asking:
    """What is sent: ``bodies`` in turn, ``items`` each, to ``path``; a GET where the bodies are empty."""

    path: str
    bodies: Sequence[bytes]
    items: int
    headers: dict[str, str]


def answer_of(address: str, asking: Asking) -> Any:
    """Send the first body once; return the JSON of the answer."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)
    try:
        return json.loads(_exchange(connection, asking, asking.bodies[0]))
    finally:
        connection.close()


def load(address: str, asking: Asking, seconds: float) -> float:
    """Return the items a second that are answered over ``CONNECTIONS`` connections, after a warm-up."""
    counts, failures = [0] * CONNECTIONS, []
    begin = time.perf_counter() + min(1.0, seconds / 2)
    ends = [0.0] * CONNECTIONS

    def ask(place: int) -> None:
        try:
            bodies = itertools.islice(itertools.cycle(asking.bodies), place, None)
            while (began := time.perf_counter()) < begin + seconds or not counts[place]:
                # A connection stays with one worker, so that each must come anew now and then.
                done = _session(address, asking, bodies, 1 if asking.items > 1 else 50)
                if began >= begin:
                    counts[place] += done
                    ends[place] = time.perf_counter()
        except (OSError, http.client.HTTPException, BenchError) as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BenchError(f"{asking.path}: {failures[0]}") from failures[0]
    return asking.items * sum(counts) / (max(ends) - begin)


def _session(address: str, asking: Asking, bodies: Iterator[bytes], requests: int) -> int:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)
    try:
        for _ in range(requests):
            _exchange(connection, asking, next(bodies))
    finally:
        connection.close()
    return requests


def _exchange(connection: http.client.HTTPConnection, asking: Asking, body: bytes) -> bytes:
    if asking.headers:
        connection.request("POST", asking.path, body, asking.headers)
    else:
        connection.request("GET", f"{asking.path}?hash={body.decode()}")
    with connection.getresponse() as response:
        data = response.read()
        if response.status != 200:
            raise BenchError(f"answered {response.status}: {data[:200]!r}")
        return data


def profile_of(work: Any, functions: int = 9) -> str:
    """Return the functions of this project and of others with the most time in them and below."""
    profile = cProfile.Profile()
    profile.runcall(work)
    stats = pstats.Stats(profile, stream=io.StringIO()).stats  # type: ignore[attr-defined]
    total = max(entry[3] for entry in stats.values())
    rows = sorted(((entry[2], place) for place, entry in stats.items()), reverse=True)[:functions]
    named = [f"{_name(place)} {own / total:.0%}" for own, place in rows]
    ours = sorted(
        (
            (entry[3], place)
            for place, entry in stats.items()
            if "/registry/" in place[0] or "/api/" in place[0]
        ),
        reverse=True,
    )[:functions]
    below = [f"{_name(place)} {whole / total:.0%}" for whole, place in ours]
    return f"With what it calls: {', '.join(below)}. Alone: {', '.join(named)}."


def _name(place: tuple[str, int, str]) -> str:
    return f"{Path(place[0]).stem}.{place[2]}" if place[1] else place[2]
