"""Promise 3: what was acknowledged, signed or built outlasts a loss of power.

The registry's folder lies on a file system that keeps what was synced and nothing else (``lossy.py``). The
power is cut under load, the processes die, the disk is mounted again, and everything must be there.
"""

import os
import random
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.faults.checking import check_everything, check_log, check_rows
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.places import check_log_folder, lodge, note_of
from tests.faults.service import Place, Service, caveat, end_all, until
from tests.faults.victim import done_at_once

__all__ = ["power_loss", "power_loss_after"]

_CUT, _TORN = ".cut", ".cut-torn"


@dataclass
class Disk:
    """The file system, mounted and not."""

    folder: Path
    state: Path
    process: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        """Mount what the disk has. Raises CannotRunError."""
        self.folder.mkdir(exist_ok=True)
        log = self.state.with_suffix(".log")
        with log.open("ab") as output:
            command = [sys.executable, "-m", "tests.faults.lossy", str(self.folder), str(self.state)]
            process = self.process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda: process.poll() is not None or os.path.ismount(self.folder), 20, "")
        except TimeoutError:
            process.kill()
        if not os.path.ismount(self.folder):
            raise CannotRunError(f"FUSE cannot mount here: {log.read_text()[-300:]}")

    def cut(self, how: str) -> None:
        """Cut the power: every call fails from now on."""
        with suppress(OSError):
            (self.folder / how).mkdir()

    def unmount(self) -> None:
        """Take the file system away, whoever still holds a file of it."""
        if self.process is not None:
            # A disk without power does not tell whether it is mounted.
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Mount a fresh disk; it is gone at the end."""
    if find_spec("mfusepy") is None:
        raise CannotRunError("mfusepy is not installed (make faults installs it)")
    if os.geteuid() != 0 or not stat.S_ISCHR(_mode("/dev/fuse")):
        raise CannotRunError("no FUSE device, or no right to mount (root, /dev/fuse)")
    disk = Disk(folder / "disk", folder / "state")
    try:
        disk.mount()
        yield disk
    finally:
        disk.unmount()


def power_loss(folder: Path, cuts: int, seconds: float) -> Outcome:
    """Cut the power ``cuts`` times, each up to some ``seconds`` after a publication."""
    outcome, ledger = Outcome(), Ledger()
    with mounted(folder) as disk:
        place = Place.make(disk.folder / "registry")
        # The operator's folder is as old as the machine; what lies in it is the registry's own affair.
        _sync(disk.folder)
        service = Service(place, logged=folder / "serve.log")
        for number in range(cuts):
            _one_cut(service, ledger, disk, (_CUT, _TORN)[number % 2], seconds)
            outcome.injected += 1
            _check_disk(place, ledger, outcome)
        with service.running():
            check_everything(service, ledger, outcome)
        for words in (("log", "publish"), ("log", "fsck"), ("db", "build-index")):
            done = caveat(place, *words)
            if done.returncode:
                outcome.broken(f"caveat {' '.join(words)}: {done.stdout[:200]}{done.stderr[-300:]}")
    outcome.note = outcome.note or (
        f"{ledger.answers:,} answers, {len(ledger.checkpoints)} checkpoints of one log; every other cut "
        "keeps some of the pages that were not synced"
    )
    return outcome


def power_loss_after(folder: Path) -> Outcome:
    """Cut the power once a new log was published: first with its folder synced by chance, then without."""
    outcome, ledger = Outcome(), Ledger()
    for synced in (True, False):
        work = folder / f"synced-{synced}"
        work.mkdir()
        with mounted(work) as disk:
            place = Place.make(disk.folder / "registry")
            lodge(place, ledger, 3)
            done_at_once("publish", place)
            ledger.checkpoints.add(note_of(place))
            for one in (disk.folder, place.folder)[: 1 + synced]:
                _sync(one)
            disk.cut(_CUT)
            disk.unmount()
            disk.mount()
            outcome.injected += 1
            _check_disk(place, ledger, outcome)
        outcome.acknowledged += len(ledger.entries)
        ledger = Ledger()
    return outcome


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _one_cut(service: Service, ledger: Ledger, disk: Disk, how: str, seconds: float) -> None:
    known = len(ledger.checkpoints)
    with service.running():
        with Load(service, ledger, big=200, patience=0).running():
            with suppress(TimeoutError):
                until(lambda: len(ledger.checkpoints) > known, 12, "no checkpoint was published")
            time.sleep(seconds * random.random())
            disk.cut(how)
        service.end()
    end_all()
    disk.unmount()
    disk.mount()
    # Whatever was under way has no answer: it stands, or it does not.
    ledger.let_go()


def _check_disk(place: Place, ledger: Ledger, outcome: Outcome) -> None:
    """Check what the disk has before anything is started that could mend it."""
    check_rows(place, ledger, outcome)
    check_log_folder(place, outcome, "after the power was cut")
    notes = [*ledger.checkpoints, note_of(place)]
    check_log(place, [note for note in notes if note], outcome)
    keys = {note.splitlines()[0] for note in notes if note}
    if ledger.checkpoints and not (place.folder / "log" / "key" / "private").exists():
        outcome.broken(f"the key of the log {keys} is gone, and it has signed")


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0
