"""Promise 19: the clock jumps a year forward and two back. Nothing expires, nothing comes back."""

from functools import partial
from pathlib import Path

from tests.faults.checking import check_rows, check_workers, rows_of
from tests.faults.ledger import HELD, Entry, Ledger
from tests.faults.load import look_up, register
from tests.faults.loaded import check_derived
from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.service import Place, Service, until

__all__ = ["clock_jumps"]

_LIBRARY = "faketime/libfaketimeMT.so.1"
_JUMPS = ("+0", "+1y", "-1y", "+0")


def clock_jumps(place: Place) -> Outcome:
    """Serve under one clock after the other; register, withdraw, and ask for all there is, under each.

    Each jump is a new start: libfaketime cannot move the wall clock of a process and leave its monotonic
    clock alone.
    """
    outcome, ledger = Outcome(), Ledger()
    library = next((str(one) for one in Path("/usr/lib").glob(f"*/{_LIBRARY}")), "")
    if not library:
        raise CannotRunError("libfaketime is not installed (apt-get install faketime)")
    for jump in _JUMPS:
        service = Service(place, more={"LD_PRELOAD": library, "FAKETIME": jump})
        with service.running():
            for _ in range(4):
                _register_and_withdraw(service, ledger, outcome)
            look_up(service, ledger, list(ledger.entries.values()))
            until(partial(_is_published, service), 20, "nothing was published")
            check_workers(service, ledger)
        outcome.injected += jump != "+0"
    check_rows(place, ledger, outcome)
    ledger.add_to(outcome)
    _check_times(place, outcome)
    check_derived(service, outcome)
    return outcome


def _is_published(service: Service) -> bool:
    return service.ask("GET", "/checkpoint").status == 200


def _register_and_withdraw(service: Service, ledger: Ledger, outcome: Outcome) -> None:
    for _ in range(3):
        entry = Entry.new()
        before = ledger.top
        register(service, ledger, entry)
        if entry.seq <= before:
            outcome.broken(f"event {entry.seq} was acknowledged after {before}")
    entry = next(one for one in ledger.some(50) if one.state == HELD)
    if ledger.claim(entry):
        reply = service.ask("DELETE", f"/api/v1/reservations/{entry.id}")
        ledger.withdrawn(entry, reply.json())


def _check_times(place: Place, outcome: Outcome) -> None:
    """The clock did jump: else this shows nothing."""
    times = [at for (at,) in rows_of(place, "SELECT at FROM event ORDER BY seq")]
    if max(times) - min(times) < 1.9 * 365 * 86_400 or times == sorted(times):
        outcome.broken(f"the clock did not jump: events from {min(times)} to {max(times)}")
