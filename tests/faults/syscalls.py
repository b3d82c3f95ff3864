"""Promises 2, 11, 12: every storage call of a registration, a publication, an index file fails once.

A dry run under strace lists the calls that concern the registry's folder. Then each of them, alone, on a
fresh copy, answers EIO, answers ENOSPC, or is the last thing that its process does. What lies on the disk
then is checked, and the work is done again without a fault.
"""

import json
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

from registry.errors import CaveatError
from registry.index_folder import IndexFolder
from tests.faults.checking import check_log, check_rows
from tests.faults.ledger import Entry, Ledger, draft_of
from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.places import ask_all, check_log_folder, copied, lodge, note_of
from tests.faults.service import Place
from tests.faults.victim import Told, done_at_once, run

__all__ = ["FAULTS", "strike_index", "strike_log", "strike_registration"]

FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")
_CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,fallocate,openat,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,mmap,msync,fchmod,fchown"
)
_PRELOADED = ("tests.faults.warm", "tests.faults.syscalls")
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
    def was_hit(self) -> bool:
        return "(INJECTED)" in self.trace or self.code == -signal.SIGKILL


def strike_registration(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike one registration at each of its calls, or at ``most`` of them spread over all."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 3)

    def check(place: Place, struck: Struck, body: bytes) -> None:
        entry = Entry.new()
        entry.label = json.loads(body)["label"]
        mine = Ledger()
        mine.entries |= ledger.entries
        for told in (struck.told, done_at_once("register", place, body)):
            if told is not None and told[0] == 201:
                mine.acknowledge(entry, json.loads(told[1]))
            check_rows(place, mine, outcome)
        if not entry.seq:
            outcome.broken("the same request was refused after the fault")
        ask_all(place, mine, outcome)

    bodies = (json.dumps(draft_of(Entry.new())).encode() for _ in iter(int, 1))
    return _strike_all(Strikes(base, "register", faults, most), bodies, check, outcome)


def strike_log(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the publication of events: the first ones of a log, and others that finish a tile."""
    outcome = Outcome()
    for before, after in ((0, 3), (250, 10)):
        base, ledger = Place.make(folder / f"base-{before}"), Ledger()
        if before:
            lodge(base, ledger, before)
            done_at_once("publish", base)
        lodge(base, ledger, after)
        old = note_of(base)

        def check(place: Place, struck: Struck, _: bytes, old: str = old) -> None:
            notes = [old, note_of(place)]
            check_log_folder(place, outcome, "after the fault")
            if done_at_once("publish", place)[0] != 200:
                outcome.broken("the log could not be published after the fault")
            check_log_folder(place, outcome, "published again")
            check_log(place, [note for note in [*notes, note_of(place)] if note], outcome)

        _strike_all(Strikes(base, "publish", faults, most), _nothing(), check, outcome)
        outcome.acknowledged += len(ledger.entries)
    return outcome


def strike_index(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the making of an index file that takes an older one in."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 20)
    done_at_once("build", base)
    lodge(base, ledger, 20)

    def check(place: Place, struck: Struck, _: bytes) -> None:
        for built in (False, True):
            if built and done_at_once("build", place)[0] != 200:
                outcome.broken("the index could not be built after the fault")
            try:
                index = IndexFolder(place.folder / "index")
                for part in index.parts():
                    index.open(part)
            except CaveatError as error:
                outcome.broken(f"an index file is neither whole nor absent: {error.message}")
            ask_all(place, ledger, outcome)

    _strike_all(Strikes(base, "build", faults, most), _nothing(), check, outcome)
    outcome.acknowledged = len(ledger.entries)
    return outcome


# The strikes.


@dataclass(frozen=True)
class Strikes:
    """Which task is struck, with which faults, at how many of its calls (0: at every one)."""

    base: Place
    task: str
    faults: Sequence[str]
    most: int


def _strike_all(
    strikes: Strikes,
    bodies: Iterator[bytes],
    check: Callable[[Place, Struck, bytes], None],
    outcome: Outcome,
) -> Outcome:
    trial = strikes.base.folder.with_name("trial")
    dry = _struck(strikes.task, copied(strikes.base, trial), next(bodies), "")
    points = _points(dry.trace, trial)
    if dry.told is None or dry.told[0] not in (200, 201) or not points:
        raise AssertionError(f"{strikes.task} without a fault: {dry.told}, {len(points)} calls")
    # Some of them, evenly spread, where not all are wanted.
    step = max(1, len(points) // strikes.most) if strikes.most else 1
    hit: Counter[str] = Counter()
    for fault in strikes.faults:
        for name, number in points[::step]:
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


def _nothing() -> Iterator[bytes]:
    while True:
        yield b""
