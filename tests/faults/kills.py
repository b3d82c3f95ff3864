"""Promises 1, 5, 6, 10, 11, 12: kill -9 of any process at any instant, under load."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress

from tests.faults.checking import check_everything
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.outcome import Outcome
from tests.faults.service import Place, Service, caveat

__all__ = ["kill_loop"]

_VICTIMS = ("worker",) * 30 + ("builder", "publisher") * 2 + ("master",)


def kill_loop(place: Place, kills: int, *, writers: int = 3, big: int = 600) -> Outcome:
    """Kill until ``kills`` processes died; then everything acknowledged is asked for on every worker."""
    outcome, ledger, killed = Outcome(), Ledger(), Counter[str]()
    service = Service(place)
    with service.running():
        with Load(service, ledger, writers=writers, big=big).running():
            while killed.total() < kills:
                time.sleep(random.expovariate(1 / 0.2))
                killed[_kill_one(service)] += 1
                del killed[""]
        service.wait_until_ready()
        check_everything(service, ledger, outcome)
    outcome.injected = killed.total()
    _check_derived(place, outcome)
    built = service.log.read_text().count("index: events-")
    told = ", ".join(f"{count} {role}s" for role, count in killed.most_common())
    outcome.note = outcome.note or (
        f"killed {told}; {ledger.answers:,} answers, {ledger.refused} refused by name, "
        f"{ledger.silent} cut off; "
        f"{len(ledger.checkpoints)} checkpoints of one log, {built} index files built"
    )
    return outcome


def _kill_one(service: Service) -> str:
    """Kill a process at once; returns which kind it was, or nothing when there was none of it."""
    role = random.choice(_VICTIMS)
    pids = [service.master()] if role == "master" else service.pids(role)
    if not pids:
        return ""
    with suppress(ProcessLookupError):
        os.kill(random.choice(pids), signal.SIGKILL)
    if role == "master" and service.process is not None:
        service.process.wait()
        service.start()
    return role


def _check_derived(place: Place, outcome: Outcome) -> None:
    """Publisher and builder go on from whatever the kills left, and find nothing wrong with it."""
    for words in (("log", "publish"), ("log", "fsck"), ("db", "build-index")):
        done = caveat(place, *words)
        if done.returncode:
            outcome.broken(f"caveat {' '.join(words)} ended with {done.returncode}: {done.stderr[-300:]}")
