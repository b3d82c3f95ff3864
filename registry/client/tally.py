"""Counting what became of samples: one shard's, or a whole run's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.client.verdicts import Verdict
from registry.preference import Action, Status

__all__ = ["Tally"]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of some samples.

    ``as_of_seq`` maps each registry to the earliest event up to which its answers hold; ``counts`` is by
    action, and ``unknown`` for what nobody has spoken of, ``own`` for what was declared as the maker's own,
    ``granted`` for what is kept because of a grant, ``below_evidence`` for what has records that do not
    count; ``reasons`` counts the removed by their cause, the kind of match or the protocol of a signal;
    ``kept`` is how many samples stand in the output.
    """

    as_of_seq: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kept: int = 0

    @property
    def errors(self) -> int:
        """How many items could not be checked or read; none of them is in the output."""
        return self.counts[Action.ERROR]

    @property
    def samples(self) -> int:
        """How many there were."""
        return sum(self.counts[action] for action in Action)

    def add(self, verdict: Verdict) -> None:
        """Count one sample."""
        self.counts[verdict.action] += 1
        self.kept += verdict.action.stays
        self._hold(verdict.as_of_seq)
        decision = verdict.decision
        if verdict.own:
            self.counts["own"] += 1
        if verdict.below:
            self.counts["below_evidence"] += 1
        if verdict.cause == "grant":
            self.counts["granted"] += 1
        elif decision is not None and verdict.status is Status.OK and decision.matched_by is None:
            self.counts["unknown"] += 1
        if verdict.action is Action.REMOVE and decision is not None:
            self.reasons[verdict.cause] += 1

    def add_unknown(self, count: int, action: Action, as_of_seq: Mapping[str, int]) -> None:
        """Count samples of which nobody has said anything, as of these events."""
        if not count:
            return
        self.counts[action] += count
        self.counts["unknown"] += count
        self.kept += count if action.stays else 0
        self._hold(as_of_seq)
        if action is Action.REMOVE:
            self.reasons["unknown"] += count

    def join(self, other: "Tally") -> None:
        """Add what another one has counted."""
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)
        self.kept += other.kept
        self._hold(other.as_of_seq)

    def counted(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "as_of_seq": self.as_of_seq,
            "samples": self.samples,
            "kept": self.kept,
            "removed": self.counts[Action.REMOVE],
            "review": self.counts[Action.REVIEW],
            "errors": self.errors,
            "unknown": self.counts["unknown"],
            "own": self.counts["own"],
            "granted": self.counts["granted"],
            "below_evidence": self.counts["below_evidence"],
            "removed_by": dict(self.reasons),
        }

    def _hold(self, as_of_seq: Mapping[str, int]) -> None:
        for url, seq in as_of_seq.items():
            self.as_of_seq[url] = min(seq, self.as_of_seq.get(url, seq))
