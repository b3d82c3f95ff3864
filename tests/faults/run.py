"""The fault suite: ``python -m tests.faults``, which is ``make faults``.

It injects every fault below, counts what an independent check finds, prints one table and writes it to
build/faults.md. Exit code 1 when a promise was broken, or a fault was never injected. A row that cannot run
on this machine says so by name.

A new row is one line in ``FAULTS``: which promises, what is done, and the function that does it and returns
an :class:`Outcome`. Loopback only; everything lies in one temporary folder, and no process outlives the run.
"""

import argparse
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults import (
    answers,
    backups,
    bodies,
    clock,
    damage,
    databases,
    disk,
    erasures,
    filters,
    heap,
    importing,
    kills,
    mapped,
    mirrors,
    power,
    syscalls,
    tampering,
)
from tests.faults.outcome import CannotRunError, Outcome, as_markdown, as_text
from tests.faults.postgres import Cluster, cluster
from tests.faults.service import Place, end_all

__all__ = ["FAULTS", "main"]

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
"""Where it can: no fault here needs a slow disk, and some are injected a thousand times."""


class Room:
    """What a fault is given: a folder of its own, and a PostgreSQL when it asks for one."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._cluster: Cluster | None = None
        self._count = 0

    def folder(self) -> Path:
        """Make a folder."""
        self._count += 1
        made = self._folder / f"{self._count}"
        made.mkdir()
        return made

    def cluster(self) -> Cluster:
        """Return the server, started at the first call. Raises CannotRunError."""
        if self._cluster is None:
            self._cluster = self._stack.enter_context(cluster())
        return self._cluster

    def sqlite(self) -> Place:
        """Make a registry on SQLite."""
        return Place.make(self.folder() / "registry")

    def postgres(self) -> Place:
        """Make a registry on PostgreSQL."""
        return Place.make(self.folder() / "registry", self.cluster().database())


@dataclass(frozen=True)
class Fault:
    """A row: the promises it shows, what is done, and who does it."""

    promises: str
    what: str
    inject: Callable[[Room], Outcome]


FAULTS = (
    Fault("1 5 6 10 11 12", "kill -9 under load, SQLite", lambda r: kills.kill_loop(r.sqlite(), 205)),
    Fault("1 5 6 10 11 12", "kill -9 under load, PostgreSQL", lambda r: kills.kill_loop(r.postgres(), 205)),
    Fault("2", "each call of a registration", lambda r: syscalls.strike_registration(r.folder())),
    Fault("2 11", "each call of publishing the log", lambda r: syscalls.strike_log(r.folder(), most=24)),
    Fault("2 12", "each call of an index file", lambda r: syscalls.strike_index(r.folder())),
    Fault("3 11", "power lost under load", lambda r: power.power_loss(r.folder(), 6, 1.0)),
    Fault("3 11", "power lost after a publication", lambda r: power.power_loss_after(r.folder())),
    Fault(
        "3 5",
        "PostgreSQL crashes under load",
        lambda r: databases.crash_loop(r.postgres(), r.cluster(), 6),
    ),
    Fault("4", "disk full", lambda r: disk.full_disk(r.folder(), 2)),
    Fault("5 6", "a process stands still under load", lambda r: kills.pauses(r.sqlite(), 25)),
    Fault("6", "the database is away", lambda r: databases.cut_off(r.postgres(), r.cluster(), 3)),
    Fault("7 8 9", "a registry that lies to the client", lambda r: answers.lying_registry(r.folder())),
    Fault("6 12", "a bit of an index file", lambda r: damage.flip_index(r.folder(), 180)),
    Fault("6 12", "a bit of a mapped index file", lambda r: mapped.flip_mapped(r.folder(), 36)),
    Fault("10 11", "a bit of the log", lambda r: damage.flip_log(r.folder(), 180)),
    Fault("6 10", "a bit of SQLite's file, and fsck", lambda r: damage.flip_database(r.folder(), 120)),
    Fault("6", "a bit of PostgreSQL's files", lambda r: heap.flip_heap(r.postgres(), r.cluster(), 16)),
    Fault("10", "rows changed behind the registry", lambda r: tampering.tamper(r.folder())),
    Fault("11", "an older backup is put back", lambda r: backups.older_backup(r.folder(), 2)),
    Fault("8 9", "each call of a filter run", lambda r: filters.strike_filter(r.folder(), most=5)),
    Fault("7 8 9", "the registry falls silent in a filter run", lambda r: filters.registry_away(r.folder())),
    Fault("13", "a body broken on its way", lambda r: bodies.broken_bodies(r.sqlite(), 160)),
    Fault("13", "each call of an import", lambda r: importing.strike_import(r.folder(), most=4)),
    Fault("13", "kill -9 and cut bodies while imports run", lambda r: importing.kill_imports(r.sqlite(), 5)),
    Fault("6 11", "each call of a mirror that follows", lambda r: mirrors.strike_mirror(r.folder(), most=6)),
    Fault("20", "each call of an erasure", lambda r: erasures.strike_erasure(r.folder(), most=10)),
    Fault("19", "the clock jumps by years", lambda r: clock.clock_jumps(r.sqlite())),
)
"""Every row, in the order of the promises."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults that are named by a part of their text, or all of them; returns the exit code."""
    parser = argparse.ArgumentParser(description="Inject faults, and count what the registry lost by them.")
    parser.add_argument("only", nargs="*", help="parts of the names of the faults to inject (all)")
    parser.add_argument("--output", type=Path, default=Path("build/faults.md"), help="the table as Markdown")
    parser.add_argument("--minutes", type=float, default=9, help="rows that would begin later are not run")
    options = parser.parse_args(arguments)
    logging.disable()
    signal.signal(signal.SIGTERM, _stop)
    wanted = [one for one in FAULTS if any(text in one.what for text in options.only or [""])]
    try:
        outcomes = list(_all(wanted, time.monotonic() + 60 * options.minutes))
    except Stopped:
        return 143  # Everything was cleaned up on the way here.
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(as_markdown(outcomes), encoding="utf-8")
    print(f"\n{as_text(outcomes)}\n{options.output}")
    return 0 if all(one.is_kept for one in outcomes) else 1


class Stopped(BaseException):
    """The run was told to stop. Commands that run in this process would keep SystemExit for themselves."""


def _stop(*_: object) -> None:
    raise Stopped


def _all(wanted: Sequence[Fault], end: float) -> Iterator[Outcome]:
    with ExitStack() as stack:
        room = Room(stack.enter_context(_work()), stack)
        stack.callback(end_all)
        for fault in wanted:
            outcome = _row(fault, room, end)
            print(*outcome.cells()[1:], sep="  ", flush=True)
            yield outcome


def _row(fault: Fault, room: Room, end: float) -> Outcome:
    began = time.monotonic()
    try:
        late = Outcome(other=["the time was up before it began"])
        outcome = fault.inject(room) if began < end else late
    except CannotRunError as error:
        outcome = Outcome(cannot=str(error))
    except Exception as error:  # noqa: BLE001 - a row that fell is a broken promise, and the others still run
        outcome = Outcome(other=[f"{type(error).__name__}: {error}"])
    finally:
        end_all()
    outcome.promise, outcome.fault = fault.promises, fault.what
    outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def _work() -> Iterator[Path]:
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="caveat-faults-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
