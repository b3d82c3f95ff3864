"""Promises 8, 9: `caveat filter` dies at any call, its disk fails or is full, the registry goes away.

Its output is complete or absent, in the end and after every fault, and nothing in it is reserved. What could
not be asked about is not in it either.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from tests.faults.answers import filtered, serving
from tests.faults.ledger import Entry, Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import lodge
from tests.faults.service import Place
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import done_at_once

__all__ = ["registry_away", "strike_filter"]

_ITEMS_A_REQUEST = 1_000


def strike_filter(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the filtering of a table at each call that concerns its folder; then filter again."""
    outcome, ledger = Outcome(), Ledger()
    place = Place.make(folder / "registry")
    lodge(place, ledger, 20)
    # The copy that is struck is of this folder, in which there is no registry.
    base = Place(folder / "base", place.url, place.key)
    base.folder.mkdir()
    free = _write_table(base.folder / "table.csv", ledger, 300)
    with serving(place) as registry:
        trial = folder / "trial"
        words = [str(trial / "table.csv"), str(trial / "kept.csv"), "--registry", registry.url]

        def check(_: Place, struck: Struck, body: bytes) -> None:
            for again in (False, True):
                told = struck.is_acknowledged
                if again and not told and not (trial / "kept.csv").exists():
                    status, said = done_at_once("filter", place, body)
                    told = status == 200
                    if not told:
                        outcome.broken(f"the table could not be filtered after the fault: {said!r}")
                _check_output(trial / "kept.csv", free, told, outcome)

        strike_all(Strikes(base, "filter", faults, most), repeat(json.dumps(words).encode()), check, outcome)
    outcome.acknowledged = len(ledger.entries)
    return outcome


def registry_away(folder: Path) -> Outcome:
    """Filter while the registry falls silent: at the first request, the second, and so on."""
    outcome, ledger = Outcome(), Ledger()
    place = Place.make(folder / "registry")
    lodge(place, ledger, 20)
    table, output = folder / "table.csv", folder / "kept.csv"
    free = _write_table(table, ledger, 2 * _ITEMS_A_REQUEST)
    reserved = {entry.key(0, "url")["url"] for entry in ledger.entries.values()}
    with serving(place) as registry:
        for answers in (0, 1, 3):
            registry.answers = answers
            kept = filtered(table, output, registry.url)
            outcome.lost += len(kept & reserved)
            if (answers == 3 and kept != free) or (answers < 3 and len(kept) > answers * _ITEMS_A_REQUEST):
                outcome.broken(f"with {answers} answers, {len(kept)} of {len(free)} rows were kept")
            outcome.injected += answers < 3
            output.unlink(missing_ok=True)
            shutil.rmtree(folder / "kept.csv.caveat", ignore_errors=True)
    outcome.acknowledged = len(ledger.entries)
    return outcome


def _write_table(path: Path, ledger: Ledger, rows: int) -> set[str]:
    """Write a table of reserved and free addresses; returns the free ones."""
    free = {Entry.new().key(0, "url")["url"] for _ in range(rows)}
    reserved = {entry.key(0, "url")["url"] for entry in ledger.entries.values()}
    path.write_text("url,caption\n" + "".join(f"{url},x\n" for url in sorted(reserved | free)))
    return free


def _check_output(path: Path, free: set[str], told: bool, outcome: Outcome) -> None:
    """The output is complete or absent, and it is there if that was told."""
    if not path.exists():
        if told:
            outcome.broken("a filter that told of its end left no output")
        return
    with path.open(newline="") as lines:
        kept = {row["url"] for row in csv.DictReader(lines)}
    outcome.lost += len(kept - free)
    if kept != free:
        outcome.broken(f"the output is partial: {len(kept)} of {len(free)} rows, and {told=}")
