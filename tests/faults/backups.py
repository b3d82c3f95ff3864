"""Promise 11: an older copy of the database is put in its place. Nothing starts, nothing is signed, all of it
can be had again from a mirror.
"""

import shutil
from pathlib import Path

from tests.faults.ledger import Ledger
from tests.faults.mirrors import mirror_of, published
from tests.faults.outcome import Outcome
from tests.faults.places import ask_all, check_log_folder, copied, lodge, note_of
from tests.faults.service import Place, Service, caveat
from tests.faults.victim import done_at_once

__all__ = ["older_backup"]


def older_backup(folder: Path, backups: int) -> Outcome:
    """Put back each of some backups in turn; start, publish, and mend it from a mirror."""
    outcome, ledger, base = Outcome(), Ledger(), Place.make(folder / "base")
    kept = []
    for number in range(backups):
        lodge(base, ledger, 3)
        kept.append(folder / f"backup-{number}")
        done = caveat(base, "db", "backup", str(kept[-1]))
        if done.returncode:
            outcome.broken(f"caveat db backup: {done.stderr[-300:]}")
    lodge(base, ledger, 3)
    service = Service(base, workers=1)
    with service.running():
        published(service, ledger)
        mirror = mirror_of(service, folder / "mirror")
        done_at_once("follow", mirror)
    with Service(mirror, workers=1).running() as behind:
        for number, backup in enumerate(kept):
            place = copied(base, folder / "trial")
            _put_back(place, backup, outcome, by_command=number % 2 == 0)
            _check_refused(place, outcome)
            _mend(place, f"http://127.0.0.1:{behind.port}", mirror.key, outcome)
            ask_all(place, ledger, outcome)
            check_log_folder(place, outcome, "after a backup was made whole")
            outcome.injected += 1
    outcome.acknowledged = len(ledger.entries)
    return outcome


def _put_back(place: Place, backup: Path, outcome: Outcome, *, by_command: bool) -> None:
    if by_command:
        done = caveat(place, "db", "restore", str(backup))
        if done.returncode != 3 or "Missing are" not in done.stdout + done.stderr:
            outcome.broken(f"caveat db restore of an older backup: {done.returncode} {done.stderr[-300:]}")
        return
    for path in place.folder.glob("registry.sqlite*"):
        path.unlink()
    shutil.copyfile(backup, place.folder / "registry.sqlite")


def _check_refused(place: Place, outcome: Outcome) -> None:
    """Neither does the service start, nor is anything signed."""
    before = note_of(place)
    done = caveat(place, "serve", "--port", "0", "--workers", "1")
    if done.returncode != 3 or not all(f"--{way}" in done.stderr for way in ("from-mirror", "accept-older")):
        outcome.broken(f"a service on an older copy ended with {done.returncode}: {done.stderr[-300:]}")
    if not caveat(place, "log", "publish").returncode or note_of(place) != before:
        outcome.broken("a log was published over an older copy")


def _mend(place: Place, mirror: str, key: str, outcome: Outcome) -> None:
    done = caveat(place, "db", "restore", "--from-mirror", mirror, "--mirror-key", key)
    if done.returncode:
        outcome.broken(f"caveat db restore --from-mirror: {done.stdout[-200:]}{done.stderr[-300:]}")
