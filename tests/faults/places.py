"""A registry without a service: filled, copied, asked, and its log looked at, in this process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from registry.store import engine as engines
from tests.faults.ledger import Entry, Ledger, draft_of, questions
from tests.faults.outcome import Outcome
from tests.faults.service import Place
from tests.faults.victim import done_at_once, done_in_turn

__all__ = ["ask_all", "check_log_folder", "copied", "lodge", "note_of"]


def copied(base: Place, folder: Path) -> Place:
    """Copy a registry on SQLite, and everything beside it, to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base.folder, folder)
    return replace(base, folder=folder, url=engines.database_url(folder))


def lodge(place: Place, ledger: Ledger, count: int) -> None:
    """Register ``count`` works in this process."""
    entries = [Entry.new() for _ in range(count)]
    bodies = [json.dumps(draft_of(entry)).encode() for entry in entries]
    for entry, (status, data) in zip(entries, done_in_turn("register", place, bodies), strict=True):
        if status != 201:
            raise AssertionError(f"a registration without a fault was answered {status} {data!r}")
        ledger.acknowledge(entry, json.loads(data))


def ask_all(place: Place, ledger: Ledger, outcome: Outcome) -> None:
    """Ask a service that was just started for every entry, and for a stranger."""
    entries = [*ledger.entries.values(), Entry.new()]
    status, data = done_at_once("look up", place, json.dumps({"items": questions(entries)}).encode())
    if status != 200:
        outcome.broken(f"a look-up after the fault answered {status} {data[:200]!r}")
        return
    judge = Ledger()
    judge.judge(json.loads(data), entries, ledger.top)
    judge.add_to(outcome)


def note_of(place: Place) -> str:
    """Return the checkpoint that lies in the folder of the log; empty when there is none."""
    path = place.folder / "log" / "checkpoint"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def check_log_folder(place: Place, outcome: Outcome, when: str) -> None:
    """The published state, if there is one, is signed and all of its tiles are right."""
    if note_of(place):
        status, told = done_at_once("fsck", place)
        if status != 200:
            outcome.broken(f"{when}: {told.decode()[:300]}")
