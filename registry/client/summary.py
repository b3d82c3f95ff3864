"""What a filter run did, as a value: for the report, the command line and machines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.client.verdicts import Rules, Verdict
from registry.preference import Action

__all__ = ["FilterSummary"]


@dataclass(slots=True)
class FilterSummary:
    """What a run did.

    ``as_of_seq`` maps each registry to the earliest event up to which its answers hold; ``counts`` is by
    action, and ``unknown`` for what nobody has spoken of; ``reasons`` counts the removed by their cause, the
    kind of match or the protocol of a signal;
    ``kept`` is how many samples stand in the output, ``shards`` the archives in it, ``left_out`` the files
    beside samples that do not come along, with the reason; ``notable`` are all verdicts but those that kept a
    sample of which nothing was said.
    """

    source: Path
    target: Path | None
    account: Path | None
    format: str
    why: str
    rules: Rules
    registries: tuple[str, ...]
    as_of_seq: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    notable: list[Verdict] = field(default_factory=list)
    kept: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    shards: tuple[str, ...] = ()
    sites_asked: bool = False

    @property
    def errors(self) -> int:
        """How many items could not be checked or read; none of them is in the output."""
        return self.counts[Action.ERROR]

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "source": str(self.source),
            "target": None if self.target is None else str(self.target),
            "account": None if self.account is None else str(self.account),
            "format": self.format,
            "use": str(self.rules.use),
            "mode": str(self.rules.mode),
            "organisation": self.rules.organisation,
            "purpose": self.rules.purpose,
            "possible_copies": self.rules.review,
            "site_signals": self.sites_asked,
            "licences": sorted(self.rules.met),
            "registries": list(self.registries),
            "as_of_seq": self.as_of_seq,
            "samples": sum(self.counts[action] for action in Action),
            "kept": self.kept,
            "removed": self.counts[Action.REMOVE],
            "review": self.counts[Action.REVIEW],
            "errors": self.errors,
            "unknown": self.counts["unknown"],
            "removed_by": dict(self.reasons),
            "left_out": dict(self.left_out),
            "shards": list(self.shards),
        }
