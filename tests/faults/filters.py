"""Promises 8, 9: `caveat filter` dies at any call, its disk fails or is full, the registry goes away.

Its output is complete or absent, in the end and after every fault, and nothing in it is reserved. What could
not be asked about is not in it either.
"""

import json
import shutil
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from tests.faults.answers import filtered, serving
from tests.faults.datasets import DATASETS, tree
from tests.faults.ledger import Entry, Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import lodge
from tests.faults.service import Place
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import done_at_once

__all__ = ["registry_away", "strike_filter"]

_ITEMS_A_REQUEST = 1_000


def strike_filter(
    folder: Path, faults: Sequence[str] = FAULTS, most: int = 0, formats: Sequence[str] = tuple(DATASETS)
) -> Outcome:
    """Strike the filtering of a dataset of each format at calls on its folder; then filter again."""
    outcome, ledger = Outcome(), Ledger()
    place = Place.make(folder / "registry")
    lodge(place, ledger, 6)
    with serving(place) as registry:
        for name in formats:
            # The copy that is struck is of this folder, in which there is no registry.
            base = Place(folder / name / "base", place.url, place.key)
            base.folder.mkdir(parents=True)
            _strike_format(Strikes(base, "filter", faults, most), name, ledger, registry.url, outcome)
    outcome.acknowledged = len(ledger.entries)
    return outcome


def _strike_format(strikes: Strikes, name: str, ledger: Ledger, registry: str, outcome: Outcome) -> None:
    folder = strikes.base.folder
    reserved = [entry.key(0, "url")["url"] for entry in ledger.entries.values()]
    source = DATASETS[name](
        folder, sorted([*reserved, *(Entry.new().key(0, "url")["url"] for _ in range(6))])
    )
    target = f"kept{Path(source).suffix}"
    wanted = _filtered_once(strikes.base, source, target, registry)
    if name != "zip" and not 0 < len(b"".join(wanted.values())) < len(
        b"".join(tree(folder / source).values())
    ):
        raise AssertionError(f"{name}: nothing went, or everything")
    trial = folder.with_name("trial")
    # A picture that cannot be read is set aside by default, and the output complete without it.
    words = [str(trial / source), str(trial / target), "--registry", registry, "--workers", "1"]
    words += ["--on-error", "stop"]

    def check(_: Place, struck: Struck, body: bytes) -> None:
        for again in (False, True):
            if again and not struck.is_acknowledged and not (trial / target).exists():
                status, said = done_at_once("filter", strikes.base, body)
                if status != 200:
                    outcome.broken(f"{name}: it could not be filtered after the fault: {said!r}")
            found = tree(trial / target)
            if found != wanted and (found or again or struck.is_acknowledged):
                outcome.broken(f"{name}: the output is partial: {sorted(found)} of {sorted(wanted)}")
        left = [path.name for path in trial.iterdir() if struck.is_acknowledged and ".partial" in path.name]
        if left:
            outcome.broken(f"{name}: {left} are left of a run that told of its end")

    strike_all(strikes, repeat(json.dumps(words).encode()), check, outcome)


def _filtered_once(base: Place, source: str, target: str, registry: str) -> dict[str, bytes]:
    """Return what the filter leaves when nothing fails; nothing of it stays."""
    clean = base.folder.with_name("clean")
    clean.mkdir()
    words = [str(base.folder / source), str(clean / target), "--registry", registry, "--workers", "1"]
    status, said = done_at_once("filter", base, json.dumps(words).encode())
    if status != 200:
        raise AssertionError(f"a filter run without a fault: {said!r}")
    return tree(clean / target)


def registry_away(folder: Path) -> Outcome:
    """Filter while the registry falls silent: at the first request, the second, and so on."""
    outcome, ledger = Outcome(), Ledger()
    place = Place.make(folder / "registry")
    lodge(place, ledger, 20)
    table, output = folder / "table.csv", folder / "kept.csv"
    free = _write_table(table, ledger, 2 * _ITEMS_A_REQUEST)
    reserved = {entry.key(0, "url")["url"] for entry in ledger.entries.values()}
    with serving(place) as registry:
        # Of one that is asked row by row, and of one that is asked in marks first: six keys an address.
        for marks, answers in ((None, 0), (None, 1), (None, 3), (_ITEMS_A_REQUEST, 0), (_ITEMS_A_REQUEST, 5)):
            registry.marks, registry.answers = marks, answers
            kept = filtered(table, output, registry.url)
            outcome.lost += len(kept & reserved)
            if (answers == 3 and kept != free) or (answers != 3 and kept):
                outcome.broken(f"with {answers} answers, {len(kept)} of {len(free)} rows were kept")
            outcome.injected += answers != 3
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
