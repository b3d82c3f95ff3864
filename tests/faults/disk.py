"""Promise 4: a full disk. Writes are refused with 507, reads go on, nothing is half-written, it recovers."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.checking import check_everything
from tests.faults.ledger import Entry, Ledger
from tests.faults.load import look_up, register
from tests.faults.loaded import check_derived
from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.service import Place, Service

__all__ = ["full_disk"]


def full_disk(folder: Path, times: int, size: int = 8) -> Outcome:
    """Fill a disk of ``size`` MiB, ask, enlarge it, and go on, ``times`` times."""
    outcome, ledger = Outcome(), Ledger()
    with _small_disk(folder / "disk", size) as disk:
        service = Service(Place.make(disk / "registry"), logged=folder / "serve.log")
        with service.running():
            for _ in range(times):
                outcome.injected += _fill(service, ledger)
                if not look_up(service, ledger, ledger.some(50)):
                    outcome.broken("a look-up was not answered while the disk was full")
                size += 8
                _mount(disk, f"remount,size={size}m")
                for _ in range(5):
                    if register(service, ledger, Entry.new()).status != 201:
                        outcome.broken("a registration was refused after the disk was enlarged")
            check_everything(service, ledger, outcome)
        check_derived(service, outcome)
    outcome.note = outcome.note or f"8 MiB, then 8 more each time; {ledger.answers} look-ups answered"
    return outcome


def _fill(service: Service, ledger: Ledger) -> int:
    """Register until the disk is full; returns how many were refused with 507, ten or more in a row."""
    refused = 0
    for number in range(3_000):
        # The large ones first; then the small ones find the last free pages.
        reply = register(service, ledger, Entry.new(300 if refused < 5 else 1))
        if reply.status == 201:
            continue
        if reply.status != 507:
            ledger.refuse(reply, f"registration {number} on a full disk")
        refused += 1
        look_up(service, ledger, ledger.some(10))
        if refused == 25:
            break
    return refused


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    _mount(folder, f"size={size}m")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "caveat-faults", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRunError(f"no small disk can be mounted (root is needed): {error}") from error
