"""What the clients know: every acknowledged registration, and what is wrong with an answer about it."""

import hashlib
import random
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.outcome import Outcome
from tests.faults.service import Reply

__all__ = ["HELD", "KINDS", "LEAVING", "WITHDRAWN", "Entry", "Ledger", "draft_of", "questions"]

KINDS = ("url", "sha256", "fingerprint")
HELD, LEAVING, WITHDRAWN = "held", "leaving", "withdrawn"
_HALF_SET = [byte for byte in range(256) if byte.bit_count() == 4]
_REFUSALS = {503: {"storage", "stale-index", "damaged-index"}, 507: {"storage-full"}}
"""The names under which the service may refuse."""


@dataclass(slots=True)
class Entry:
    """One request; ``seq`` is 0 until it is acknowledged. Its works are known by the label alone."""

    label: str
    works: int
    id: str = ""
    seq: int = 0
    state: str = HELD
    body: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def new(cls, works: int = 1) -> "Entry":
        """Make one up; the label, which is its Idempotency-Key too, ends in the number of its works."""
        return cls(f"{secrets.token_hex(8)}-{works}", works)

    def key(self, number: int, kind: str) -> dict[str, Any]:
        """Return what names work ``number``: its url, its sha256 or its fingerprint."""
        if kind == "url":
            return {"url": f"https://{self.label}.example.org/{number}.jpg"}
        if kind == "sha256":
            return {"sha256": hashlib.sha256(f"{self.label} {number}".encode()).hexdigest()}
        window = bytes(random.Random(f"{self.label} {number}").choices(_HALF_SET, k=32)).hex()
        return {"fingerprint": {"v": 1, "quality": 90, "pdq": {"full": window}}}

    def any_key(self) -> dict[str, Any]:
        """Return a way to ask for one of its works."""
        kinds = KINDS if self.works == 1 else ("sha256",)
        return self.key(random.randrange(self.works), random.choice(kinds))


def draft_of(entry: Entry) -> dict[str, Any]:
    """Return the body of its registration; many works at once are told by their SHA-256 only."""
    kinds = KINDS if entry.works == 1 else ("sha256",)
    works = [
        {name: value for kind in kinds for name, value in entry.key(number, kind).items()}
        for number in range(entry.works)
    ]
    return {"preferences": {"genai-train": "reserved"}, "label": entry.label, "works": works}


class Ledger:
    """What was acknowledged, shared by the threads that write and read."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.checkpoints: set[str] = set()
        self.top = 0
        self.answers = self.refused = self.silent = 0
        self.found = Outcome()
        self._lock = threading.Lock()

    def acknowledge(self, entry: Entry, answer: Mapping[str, Any]) -> None:
        """Keep what the registry promised. A second answer to one request must be the first one."""
        with self._lock:
            if entry.seq and (entry.id, entry.seq) != (answer["id"], answer["seq"]):
                self.found.doubled += 1
            entry.id, entry.seq = answer["id"], answer["seq"]
            self.entries[entry.label] = entry
            self.top = max(self.top, entry.seq)

    def withdrawn(self, entry: Entry, answer: Mapping[str, Any]) -> None:
        """Keep that it no longer says anything."""
        with self._lock:
            entry.state = WITHDRAWN
            self.top = max(self.top, answer["seq"])

    def claim(self, entry: Entry) -> bool:
        """Say that it is being withdrawn; False when another thread was first."""
        with self._lock:
            free = entry.state == HELD
            entry.state = LEAVING if free else entry.state
        return free

    def let_go(self) -> None:
        """Forget the withdrawals that had no answer: they stand, or they do not."""
        with self._lock:
            for label in [label for label, entry in self.entries.items() if entry.state == LEAVING]:
                del self.entries[label]

    def some(self, count: int) -> list[Entry]:
        """Return some acknowledged entries."""
        with self._lock:
            known = list(self.entries.values())
        return random.sample(known, min(count, len(known)))

    def count(self, what: str) -> None:
        """Count an answer, a refusal or a silence."""
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)

    def broken(self, what: str) -> None:
        """Keep something that is not as promised."""
        with self._lock:
            self.found.broken(what)

    def refuse(self, reply: Reply, asked: str) -> None:
        """Count a refusal, which must be one by name."""
        if reply.problem in _REFUSALS.get(reply.status, ()):
            self.count("refused")
        else:
            self.broken(f"{asked} answered {reply.status} {reply.data[:200]!r}")

    def judge(self, answer: Mapping[str, Any], asked: Sequence[Entry], floor: int) -> None:
        """Compare an answer with what was acknowledged before it was asked for.

        ``asked`` and the results stand in one order; ``floor`` is the head that the asker knew.
        """
        self.count("answers")
        results = {one["id"]: one for one in answer["results"]}
        with self._lock:
            if answer["checkpoint"]:
                self.checkpoints.add(answer["checkpoint"])
            if answer["as_of_seq"] < floor:
                self.found.stale += 1
            for place, entry in enumerate(asked):
                self._judge_one(results.get(str(place)), entry)

    def _judge_one(self, result: Mapping[str, Any] | None, entry: Entry) -> None:
        says = None if result is None else result["preference"]
        records = [] if result is None else [one["record"] for one in result["statements"]]
        if entry.state == LEAVING:
            return
        if entry.state == WITHDRAWN or not entry.seq:
            if says != "unknown":
                self.found.broken(f"{entry.label}, {entry.state or 'never lodged'}, is {says}")
        elif says != "reserved" or entry.id not in records:
            self.found.lost += 1
            self.found.note = f"{entry.label} at {entry.seq} was answered {result}"
        elif len(set(records)) > 1:
            self.found.doubled += 1

    def add_to(self, outcome: Outcome) -> None:
        """Add what was counted to a row."""
        outcome.acknowledged += len(self.entries)
        outcome.lost += self.found.lost
        outcome.doubled += self.found.doubled
        outcome.stale += self.found.stale
        outcome.other += self.found.other
        outcome.note = outcome.note or self.found.note


def questions(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the items that ask for one work of each entry."""
    return [{"id": str(place), **entry.any_key()} for place, entry in enumerate(entries)]
