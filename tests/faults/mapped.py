"""Promises 6, 12: a bit turns in an index file that a running worker has opened and checked before.

Nobody can see that at once: until the worker has checked the file again, an answer may leave something out.
The row holds when it is found within the stated time, when no answer is wrong from then on, and when the file
is built anew.
"""

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from registry.index_folder import IndexFolder, Part
from tests.faults.damage import asked, filled, flip, judge
from tests.faults.ledger import Ledger
from tests.faults.outcome import Outcome
from tests.faults.service import NO_ANSWER, Service, until
from tests.faults.victim import done_at_once

__all__ = ["flip_mapped"]

_STATED = 1
"""Seconds within which a turned bit is to be found, as the service is told."""
_LATE = 1.0
"""Seconds that a process may wait for a processor."""
_BY_ITSELF = 16
"""In one of so many trials the service's own builder mends the file; in the others it is told to."""


def flip_mapped(folder: Path, flips: int) -> Outcome:
    """Turn a bit of the one index file in each of its regions in turn; ask until it is found, and after."""
    outcome, ledger, base = filled(folder)
    done_at_once("build", base)
    index, seen = IndexFolder(base.folder / "index"), Counter[str]()
    service = Service(base, workers=1, more={"CAVEAT_INDEX_CHECK_SECONDS": str(_STATED)})
    with service.running():
        for number in range(flips):
            (part,) = index.parts()
            path = index.path / part.file
            until(lambda path=path: _has_mapped(service, path), 30, "no worker took the index file over")
            where = flip(path, number)
            outcome.injected += 1
            _ask_until_found(service, path, ledger, outcome, seen)
            for _ in range(3):
                _ask(service, ledger, outcome, where, seen)
            _wait_for_another(service, index, part, by_itself=number % _BY_ITSELF == 0)
            _ask(service, ledger, outcome, where, seen)
    told = [f"{count} {what}" for what, count in seen.most_common()]
    outcome.note = "; ".join(filter(None, [*told, outcome.note]))
    return outcome


def _ask_until_found(
    service: Service, path: Path, ledger: Ledger, outcome: Outcome, seen: Counter[str]
) -> None:
    """Ask until the bit is found; what is left out meanwhile is counted apart."""
    end, before = time.monotonic() + _STATED + _LATE, Outcome()
    while not (found := _is_found(service, path)) and time.monotonic() < end:
        _ask(service, ledger, before, path.name, seen)
    seen["works left out before the bit was found"] += before.lost
    outcome.other += before.other
    if not found:
        outcome.broken(f"{path.name}: the bit was not found within {_STATED} s")


def _ask(service: Service, ledger: Ledger, outcome: Outcome, where: str, seen: Counter[str]) -> None:
    try:
        reply = service.ask("POST", "/api/v1/lookup", asked(ledger))
    except NO_ANSWER:
        # The damage led the search astray, and the worker fell: no answer is no wrong one.
        seen["questions without an answer, as the worker fell"] += 1
        time.sleep(0.1)
        return
    seen["refused by name"] += reply.status == 503
    judge(reply, ledger, outcome, where)


def _wait_for_another(service: Service, index: IndexFolder, part: Part, *, by_itself: bool) -> None:
    """Wait until the file is built anew, under another name."""

    def is_built() -> bool:
        if not by_itself:
            # The service's own builder may be at it: then there is nothing left to do, or this is refused.
            done_at_once("build", service.place)
        return index.parts() != [part]

    until(is_built, 30, f"{part.file} was not built anew")


def _is_found(service: Service, path: Path) -> bool:
    """Say whether the worker has refused the file, or does not have it any more."""
    lines = service.log.read_text().splitlines()
    refused = any("index segment refused" in line and path.name in line for line in lines)
    return refused or not _is_mapped(service, path)


def _has_mapped(service: Service, path: Path) -> bool:
    """Say whether the one worker holds the file; asks it, so that it looks for it."""
    with suppress(*NO_ANSWER):
        service.ask("GET", "/readyz")
    return _is_mapped(service, path)


def _is_mapped(service: Service, path: Path) -> bool:
    pids = service.pids("worker")
    with suppress(OSError):
        return len(pids) == 1 and f"/{path.name}\n" in Path(f"/proc/{pids[0]}/maps").read_text()
    return False
