"""Promises 3, 6: PostgreSQL crashes under load, again and again; and it is away for a while."""

import time

from tests.faults.ledger import Entry, Ledger
from tests.faults.load import look_up, register
from tests.faults.loaded import check_derived, under_load
from tests.faults.outcome import Outcome
from tests.faults.postgres import Cluster
from tests.faults.service import NO_ANSWER, Place, Service, until

__all__ = ["crash_loop", "cut_off"]


def crash_loop(place: Place, server: Cluster, crashes: int) -> Outcome:
    """Crash the database (``pg_ctl -m immediate``) and start it again; the service goes on by itself."""
    service = Service(place)

    def crash(outcome: Outcome) -> None:
        pid = service.master()
        for _ in range(crashes):
            time.sleep(1.5)
            server.stop("immediate")
            server.start()
            outcome.injected += 1
        time.sleep(1)
        if service.master() != pid:
            outcome.broken("the service did not outlive the database")

    outcome = under_load(service, crash)
    check_derived(service, outcome)
    return outcome


def cut_off(place: Place, server: Cluster, times: int) -> Outcome:
    """Take the database away: everything is refused by name, and nothing is unknown; then it comes back."""
    outcome, ledger, service = Outcome(), Ledger(), Service(place)
    with service.running():
        for _ in range(times):
            entries = [Entry.new() for _ in range(5)]
            for entry in entries:
                register(service, ledger, entry)
            server.stop("fast")
            try:
                _ask_in_vain(service, ledger, outcome, list(ledger.entries.values()))
            finally:
                server.start()
            until(
                lambda: look_up(service, ledger, ledger.some(20)),
                20,
                "no answer after the database came back",
            )
            outcome.injected += 1
    ledger.add_to(outcome)
    outcome.note = f"{ledger.refused} requests refused by name"
    return outcome


def _ask_in_vain(service: Service, ledger: Ledger, outcome: Outcome, entries: list[Entry]) -> None:
    for _ in range(6):
        # Each on a connection of its own, so that every worker is met.
        try:
            if look_up(service, ledger, entries):
                outcome.stale += 1
            reply = register(service, Ledger(), Entry.new())
        except NO_ANSWER as error:
            outcome.broken(f"without its database the service does not answer: {error!r}")
            continue
        ledger.refuse(reply, "a registration without a database")
