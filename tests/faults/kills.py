"""Promises 1, 5, 6, 10, 11, 12: kill -9 of any process at any instant, and processes that stand still."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress

from tests.faults.loaded import check_derived, under_load
from tests.faults.outcome import Outcome
from tests.faults.service import Place, Service

__all__ = ["kill_loop", "kill_one", "pauses"]

_VICTIMS = ("worker",) * 30 + ("builder", "publisher") * 2 + ("master",)


def kill_loop(place: Place, kills: int, *, writers: int = 3, big: int = 600) -> Outcome:
    """Kill until ``kills`` processes died; then everything acknowledged is asked for on every worker."""
    service, killed = Service(place), Counter[str]()

    def kill(outcome: Outcome) -> None:
        while killed.total() < kills:
            time.sleep(random.expovariate(1 / 0.2))
            killed[kill_one(service)] += 1
            del killed[""]
        outcome.injected = killed.total()
        outcome.note = "killed " + ", ".join(f"{count} {role}s" for role, count in killed.most_common())

    outcome = under_load(service, kill, writers=writers, big=big)
    check_derived(service, outcome)
    return outcome


def pauses(place: Place, times: int) -> Outcome:
    """Stop a worker, the builder or the publisher for up to a second, let it go on; under load."""
    service = Service(place)

    def pause(outcome: Outcome) -> None:
        for number in range(times):
            pids = service.pids(("worker", "worker", "worker", "builder", "publisher")[number % 5])
            if not pids:
                continue
            pid = random.choice(pids)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(random.random())
            os.kill(pid, signal.SIGCONT)
            outcome.injected += 1
            time.sleep(0.05)

    return under_load(service, pause)


def kill_one(service: Service) -> str:
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
