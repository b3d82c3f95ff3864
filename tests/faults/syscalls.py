"""Promises 2, 11, 12: every storage call of a registration, a publication, an index file fails once.

What lies on the disk then is checked, and the work is done again without a fault.
"""

import json
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from registry.errors import CaveatError
from registry.index_folder import IndexFolder
from tests.faults.checking import check_log, check_rows
from tests.faults.ledger import Entry, Ledger, draft_of
from tests.faults.outcome import Outcome
from tests.faults.places import ask_all, check_log_folder, lodge, note_of
from tests.faults.service import Place
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import done_at_once

__all__ = ["strike_index", "strike_log", "strike_registration"]


def strike_registration(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike one registration at each of its calls, or at ``most`` of them spread over all."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 3)

    def check(place: Place, struck: Struck, body: bytes) -> None:
        entry = Entry.new()
        entry.label = json.loads(body)["label"]
        mine = Ledger()
        mine.entries |= ledger.entries
        for told in (struck.told, done_at_once("register", place, body)):
            if told is not None and told[0] == 201:
                mine.acknowledge(entry, json.loads(told[1]))
            check_rows(place, mine, outcome)
        if not entry.seq:
            outcome.broken("the same request was refused after the fault")
        ask_all(place, mine, outcome)

    bodies = (json.dumps(draft_of(Entry.new())).encode() for _ in iter(int, 1))
    return strike_all(Strikes(base, "register", faults, most), bodies, check, outcome)


def strike_log(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the publication of events: the first ones of a log, and others that finish a tile."""
    outcome = Outcome()
    for before, after in ((0, 3), (250, 10)):
        base, ledger = Place.make(folder / f"base-{before}"), Ledger()
        if before:
            lodge(base, ledger, before)
            done_at_once("publish", base)
        lodge(base, ledger, after)
        old = note_of(base)

        def check(place: Place, struck: Struck, _: bytes, old: str = old) -> None:
            notes = [old, note_of(place)]
            check_log_folder(place, outcome, "after the fault")
            if done_at_once("publish", place)[0] != 200:
                outcome.broken("the log could not be published after the fault")
            check_log_folder(place, outcome, "published again")
            check_log(place, [note for note in [*notes, note_of(place)] if note], outcome)

        strike_all(Strikes(base, "publish", faults, most), repeat(b""), check, outcome)
        outcome.acknowledged += len(ledger.entries)
    return outcome


def strike_index(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the making of an index file that takes an older one in."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 20)
    done_at_once("build", base)
    lodge(base, ledger, 20)

    def check(place: Place, struck: Struck, _: bytes) -> None:
        for built in (False, True):
            if built and done_at_once("build", place)[0] != 200:
                outcome.broken("the index could not be built after the fault")
            try:
                index = IndexFolder(place.folder / "index")
                for part in index.parts():
                    index.open(part)
            except CaveatError as error:
                outcome.broken(f"an index file is neither whole nor absent: {error.message}")
            ask_all(place, ledger, outcome)

    strike_all(Strikes(base, "build", faults, most), repeat(b""), check, outcome)
    outcome.acknowledged = len(ledger.entries)
    return outcome
