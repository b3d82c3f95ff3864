"""Promises 6, 10, 12: one bit turned, in an index file, in the log, in the database.

Wherever it is, no answer may leave a reservation out; and whoever looks after the files must find it.
"""

import json
import random
from pathlib import Path
from typing import Any

from registry.index_folder import IndexFolder
from tests.faults.checking import check_log, rows_of
from tests.faults.ledger import KINDS, Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import ask_all, copied, lodge, note_of
from tests.faults.service import Place, Reply
from tests.faults.victim import done_at_once

__all__ = ["REGIONS", "asked", "filled", "flip", "flip_database", "flip_index", "flip_log", "judge"]

_NAMED = (200, 503)
REGIONS = 12
"""Parts of a file of equal length: each is hit as often as the others."""


def flip_index(folder: Path, flips: int) -> Outcome:
    """Turn a bit in every region of an index file, ask a service that starts then, and build."""
    outcome, ledger, base = filled(folder)
    done_at_once("build", base)
    for number in range(flips):
        place = copied(base, folder / "trial")
        path = _one_of(sorted((place.folder / "index").iterdir()), number)
        where = flip(path, number)
        ask_all(place, ledger, outcome)
        if done_at_once("build", place)[0] != 200:
            outcome.broken(f"{where}: the builder did not build anew")
        for part in IndexFolder(place.folder / "index").parts():
            IndexFolder(place.folder / "index").open(part)
        ask_all(place, ledger, outcome)
        outcome.injected += 1
    return outcome


def flip_log(folder: Path, flips: int) -> Outcome:
    """Turn a bit of each file of the log: fsck or publish say so, and no wrong state is signed."""
    outcome, ledger, base = filled(folder)
    done_at_once("publish", base)
    lodge(base, ledger, 3)
    files = sorted(path for path in (base.folder / "log").rglob("*") if path.is_file())
    for number in range(flips):
        place = copied(base, folder / "trial")
        path = place.folder / _one_of(files, number).relative_to(base.folder)
        where = flip(path, number // len(files))
        found = [done_at_once(task, place) for task in ("fsck", "publish")]
        outcome.injected += 1
        # What was signed last is written anew when it is not found to be wrong; it must then be right.
        if all(status == 200 for status, _ in found) and path.name != "signed":
            outcome.broken(f"{where}: neither fsck nor publish found it")
        if found[1][0] == 200:
            check_log(place, [note_of(place)], outcome)
    return outcome


def flip_database(folder: Path, flips: int) -> Outcome:
    """Turn a bit of SQLite's file while nothing runs: whatever hides a work is found when it is looked for.

    SQLite has no checksums, so an answer can be wrong until then. That is a limit, which is counted in the
    note; the promise is that fsck, or SQLite's own check, names every turned bit that changed an answer.
    """
    outcome, ledger, base = filled(folder)
    done_at_once("publish", base)
    refused = hit = hidden = 0
    for number in range(flips):
        place = copied(base, folder / "trial")
        where = flip(place.folder / "registry.sqlite", number)
        status, data = done_at_once("look up", place, json.dumps(asked(ledger)).encode())
        outcome.injected += 1
        refused += status == 503
        seen = Outcome()
        judge(Reply(status, data, ""), ledger, seen, where)
        outcome.other += seen.other
        if seen.lost:
            hit, hidden = hit + 1, hidden + seen.lost
            if not _is_found(place):
                outcome.lost += seen.lost
                outcome.note = seen.note
    told = f"{refused} refused by name; {hit} left something out ({hidden} answers), and were found by fsck"
    outcome.note = "; ".join(filter(None, [told, outcome.note]))
    return outcome


def judge(reply: Reply, ledger: Ledger, outcome: Outcome, where: str) -> None:
    """Add to ``outcome`` what an answer to :func:`asked` left out."""
    if reply.status not in _NAMED:
        outcome.broken(f"{where}: answered {reply.status} {reply.data[:100]!r}")
    if reply.status == 200:
        mine = Ledger()
        mine.judge(reply.json(), list(ledger.entries.values()) * len(KINDS), ledger.top)
        outcome.lost += mine.found.lost
        outcome.note = outcome.note or (f"{where}: {mine.found.note}" if mine.found.lost else "")


def _is_found(place: Place) -> bool:
    try:
        sound = rows_of(place, "PRAGMA integrity_check") == [("ok",)]
    except Exception:  # noqa: BLE001 - whatever SQLite says of a damaged file, it has found it
        sound = False
    return not sound or done_at_once("fsck", place)[0] != 200


def filled(folder: Path) -> tuple[Outcome, Ledger, Place]:
    """Make a registry with a few hundred works in it."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 150)
    outcome.acknowledged = len(ledger.entries)
    return outcome, ledger, base


def asked(ledger: Ledger) -> dict[str, Any]:
    """Return the look-up of every entry by each of its keys."""
    keys = [entry.key(0, kind) for kind in KINDS for entry in ledger.entries.values()]
    return {"items": [{"id": str(place), **key} for place, key in enumerate(keys)]}


def _one_of(paths: list[Path], number: int) -> Path:
    return paths[number % len(paths)]


def flip(path: Path, number: int) -> str:
    """Turn one bit in region ``number`` of a file, in place; says which."""
    size = path.stat().st_size
    begin = size * (number % REGIONS) // REGIONS
    at = random.randrange(begin, max(begin + 1, size * (number % REGIONS + 1) // REGIONS))
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0] ^ (1 << random.randrange(8))
        file.seek(at)
        file.write(bytes([byte]))
    return f"byte {at} of {path.name}"
