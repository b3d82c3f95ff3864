"""A fault under load: writers and readers go on through it, and everything is checked afterwards."""

from collections.abc import Callable

from tests.faults.checking import check_everything
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.outcome import Outcome
from tests.faults.service import Service, caveat

__all__ = ["check_derived", "under_load"]


def under_load(
    service: Service, inject: Callable[[Outcome], None], *, writers: int = 3, big: int = 0
) -> Outcome:
    """Serve, load, and call ``inject``, which counts what it did; then ask every worker for everything."""
    outcome, ledger = Outcome(), Ledger()
    with service.running():
        with Load(service, ledger, writers=writers, big=big).running():
            inject(outcome)
        service.wait_until_ready()
        check_everything(service, ledger, outcome)
    counted = f"{ledger.answers:,} answers, {ledger.refused:,} refused by name, {ledger.silent:,} cut off"
    built = service.log.read_text().count("index: events-")
    derived = f"{len(ledger.checkpoints)} checkpoints of one log, {built} index files built"
    outcome.note = ledger.found.note or "; ".join(filter(None, [outcome.note, counted, derived]))
    return outcome


def check_derived(service: Service, outcome: Outcome) -> None:
    """Publisher and builder go on from whatever the fault left, and find nothing wrong with it."""
    for words in (("log", "publish"), ("log", "fsck"), ("db", "build-index")):
        done = caveat(service.place, *words)
        if done.returncode:
            outcome.broken(f"caveat {' '.join(words)}: {done.stdout[:200]}{done.stderr[-300:]}")
