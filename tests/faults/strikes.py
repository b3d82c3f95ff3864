"""One storage call of a task fails, or is the last thing that its process does; then the next one, and so on.

A dry run under strace lists the calls that concern the registry's folder. Then each of them, alone, on a
fresh copy, answers EIO, answers ENOSPC, or is the end. What lies on the disk then is for the caller to check.
"""

import multiprocessing
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.places import copied
from tests.faults.service import Place
from tests.faults.victim import Told, run

__all__ = ["FAULTS", "KILL", "Strikes", "Struck", "strike_all"]

KILL = ("signal=KILL",)
FAULTS = ("error=EIO", "error=ENOSPC", *KILL)
_CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,fallocate,openat,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,mmap,msync,fchmod,fchown"
)
_PRELOADED = ("tests.faults.warm", "tests.faults.strikes")
_CALL = re.compile(r"(\w+)\(")
_PATIENCE = 60
_NAMED = {200, 201, 503, 507}


@dataclass(frozen=True)
class Struck:
    """What a fault left: what was told before the end (None: nothing), the trace, and the exit code."""

    told: Told | None
    trace: str
    code: int | None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the task told that it was done."""
        return self.told is not None and self.told[0] in (200, 201)

    @property
    def was_hit(self) -> bool:
        return "(INJECTED)" in self.trace or self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Strikes:
    """Which task is struck, with which faults, at how many of its calls (0: at every one)."""

    base: Place
    task: str
    faults: Sequence[str]
    most: int


def strike_all(
    strikes: Strikes,
    bodies: Iterator[bytes],
    check: Callable[[Place, Struck, bytes], None],
    outcome: Outcome,
) -> Outcome:
    """Strike a task at each of its calls, and call ``check`` after each with the copy that was struck."""
    trial = strikes.base.folder.with_name("trial")
    dry = _struck(strikes.task, copied(strikes.base, trial), next(bodies), "")
    points = _points(dry.trace, trial)
    if dry.told is None or dry.told[0] not in (200, 201) or not points:
        raise AssertionError(f"{strikes.task} without a fault: {dry.told}, {len(points)} calls")
    hit: Counter[str] = Counter()
    for fault in strikes.faults:
        # Some of them, evenly spread, where not all are wanted; deaths at twice as many.
        most = strikes.most * (1 + (fault in KILL))
        for name, number in points[:: max(1, len(points) // most) if most else 1]:
            place, body = copied(strikes.base, trial), next(bodies)
            struck = _struck(strikes.task, place, body, f"{name}:{fault}:when={number}")
            hit[name] += struck.was_hit
            if struck.told is not None and struck.told[0] not in _NAMED:
                outcome.broken(f"{fault} at {name} {number}: answered {struck.told}")
            outcome.acknowledged += struck.told is not None and struck.told[0] == 201
            check(place, struck, body)
    outcome.injected += hit.total()
    outcome.note = (outcome.note + "; " if outcome.note else "") + ", ".join(
        f"{count} × {name}" for name, count in hit.most_common()
    )
    return outcome


def _points(trace: str, folder: Path) -> list[tuple[str, int]]:
    """Return the calls of the main thread that concern the folder: name, and how many of that name so far."""
    counted: Counter[str] = Counter()
    points: list[tuple[str, int]] = []
    for line in trace.splitlines():
        if (call := _CALL.match(line)) is not None:
            counted[call[1]] += 1
            if str(folder) in line:
                points.append((call[1], counted[call[1]]))
    return points


def _struck(task: str, place: Place, body: bytes, inject: str) -> Struck:
    """Do a task in a process of its own under strace, which injects a fault."""
    context: Any = multiprocessing.get_context("forkserver")
    # What the victim's first module needs is loaded with the rest, lest it be loaded for each of them.
    context.set_forkserver_preload([*_PRELOADED, *({"pytest"} & sys.modules.keys())])
    ours, theirs = context.Pipe()
    victim = context.Process(target=run, args=(task, place, body, theirs))
    victim.start()
    theirs.close()
    try:
        ours.recv()
        trace = place.folder.with_name("trace")
        with _attached(victim, trace, inject):
            told = _told_by(ours)
            victim.join(60)
        return Struck(told, trace.read_text(errors="replace"), victim.exitcode)
    finally:
        victim.kill()
        victim.join()
        ours.close()


def _told_by(pipe: Any) -> Told | None:
    pipe.send("go")
    if not pipe.poll(_PATIENCE):
        raise TimeoutError(f"nothing was told within {_PATIENCE} s")
    try:
        told: Told = pipe.recv()
    except EOFError:
        return None
    return told


@contextmanager
def _attached(victim: BaseProcess, trace: Path, inject: str) -> Iterator[None]:
    """Trace a process while the block lasts; it does not outlive that."""
    # The main thread alone: a thread that gets no memory for its stack is another story, and a long one.
    command = ["strace", "-y", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    command += ["-e", f"inject={inject}"] if inject else []
    command += ["-o", str(trace), "-p", str(victim.pid)]
    try:
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise CannotRunError("strace is not installed (apt-get install strace)") from error
    with tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise CannotRunError(f"strace may not trace here: {said.strip()}")
        try:
            yield
        finally:
            victim.kill()
