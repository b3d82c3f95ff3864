"""Promises 6, 11 of a mirror: it dies at any call while it follows; it answers what is verified, or nothing.

A real registry stands behind it. Afterwards the mirror stands where it stood, or where the registry is, and
nowhere between; then it follows again and has everything.
"""

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from tests.faults.checking import check_log
from tests.faults.ledger import HELD, Entry, Ledger, questions
from tests.faults.load import register
from tests.faults.outcome import Outcome
from tests.faults.places import check_log_folder, note_of
from tests.faults.service import Place, Service, until
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import done_at_once

__all__ = ["mirror_of", "published", "strike_mirror"]


def mirror_of(service: Service, folder: Path) -> Place:
    """Make an empty registry that mirrors a running one."""
    place = Place.make(folder)
    follows = {"CAVEAT_MIRROR": f"http://127.0.0.1:{service.port}", "CAVEAT_MIRROR_KEY": service.place.key}
    return replace(place, more={**follows, "CAVEAT_MIRROR_MAX_LAG": "86400"})


def published(service: Service, ledger: Ledger) -> int:
    """Wait until all that was acknowledged is in the published log; returns its size."""

    def size() -> int:
        reply = service.ask("GET", "/checkpoint")
        return int(reply.data.split(b"\n")[1]) if reply.status == 200 else 0

    until(lambda: size() >= ledger.top, 30, "nothing was published")
    return size()


def strike_mirror(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the step in which a mirror copies and verifies what is new."""
    outcome, ledger = Outcome(), Ledger()
    service = Service(Place.make(folder / "upstream"), workers=1)
    with service.running():
        base = mirror_of(service, folder / "base")
        _write(service, ledger)
        states = {published(service, ledger): _copy(ledger)}
        _follow(base)
        _write(service, ledger)
        states[published(service, ledger)] = ledger

        def check(place: Place, struck: Struck, _: bytes) -> None:
            notes = [note_of(place)]
            for again in (False, True):
                if again and done_at_once("follow", place)[0] != 200:
                    outcome.broken("the mirror did not follow after the fault")
                _judge(
                    place,
                    states,
                    outcome,
                    newest=again or struck.is_acknowledged,
                )
                check_log_folder(place, outcome, "of a mirror")
                notes.append(note_of(place))
            check_log(service.place, [note for note in notes if note], outcome)

        strike_all(Strikes(base, "follow", faults, most), repeat(b""), check, outcome)
    outcome.acknowledged += len(ledger.entries)
    return outcome


def _write(service: Service, ledger: Ledger) -> None:
    """Register some, withdraw one."""
    for _ in range(8):
        register(service, ledger, Entry.new())
    entry = next(one for one in ledger.entries.values() if one.state == HELD)
    ledger.claim(entry)
    ledger.withdrawn(entry, service.ask("DELETE", f"/api/v1/reservations/{entry.id}").json())


def _copy(ledger: Ledger) -> Ledger:
    """Return what was acknowledged until now."""
    made = Ledger()
    made.entries = {label: copy(entry) for label, entry in ledger.entries.items()}
    return made


def _follow(place: Place) -> None:
    status, told = done_at_once("follow", place)
    if status != 200:
        raise AssertionError(f"a mirror does not follow: {told!r}")


def _judge(place: Place, states: dict[int, Ledger], outcome: Outcome, *, newest: bool) -> None:
    """Ask the mirror for everything: it stands at one of the published states, and says what held there."""
    everything = list(states[max(states)].entries.values())
    body = json.dumps({"items": questions([*everything, Entry.new()])}).encode()
    status, data = done_at_once("look up", place, body)
    answer = json.loads(data)
    if status != 200 or answer["as_of_seq"] not in ({max(states)} if newest else states):
        outcome.broken(f"the mirror answered {status} {str(answer)[:200]}")
        return
    then, judge = states[answer["as_of_seq"]].entries, Ledger()
    # What came later was never lodged, as far as the mirror may know.
    judge.judge(answer, [then.get(one.label, Entry(one.label, one.works)) for one in everything], 0)
    judge.add_to(outcome)
