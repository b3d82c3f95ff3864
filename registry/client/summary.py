"""What a filter run did, as a value: for the report, the command line and machines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.client.run_tickets import RunTickets
from registry.client.stores import Address
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Rules, Verdict

__all__ = ["FilterSummary"]


@dataclass(slots=True, kw_only=True)
class FilterSummary(Tally):
    """What a run did.

    ``quarantine`` is where a run in place moved what went.

    ``shards`` are the archives or tables in the output; ``resumed`` counts those that an earlier run had
    done, ``waiting`` those that a run of a share, ``shared``, leaves to others. ``left_out`` are the files
    beside samples that do not come along, with the reason. ``tickets`` are what registries gave with answers;
    ``countersigned`` says by address why one did not countersign the receipt, empty where it did, and has
    none where there is no receipt. ``notable`` are all verdicts but those that kept a
    sample of which nothing was said, and of tables also without those that strict mode took away.
    """

    source: Path | Address
    target: Path | Address | None
    account: Path | Address | None = None
    format: str
    why: str
    rules: Rules
    registries: tuple[str, ...]
    notable: Sequence[Verdict] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    shards: tuple[str, ...] = ()
    sites_asked: bool = False
    resumed: int = 0
    shared: bool = False
    waiting: int = 0
    quarantine: Path | None = None
    tickets: RunTickets = field(default_factory=RunTickets)
    countersigned: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begun(
        cls, source: Path | Address, target: Path | Address, said: tuple[str, str], judges: Judges
    ) -> "FilterSummary":
        """Return the summary of a run that has done nothing yet; ``said`` is its format, and the reason."""
        format_name, why = said
        return cls(
            source=source,
            target=target,
            format=format_name,
            why=why,
            rules=judges.rules,
            registries=tuple(one.url for one in judges.registries),
            sites_asked=judges.sites is not None,
        )

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "source": str(self.source),
            "target": None if self.target is None else str(self.target),
            "account": None if self.account is None else str(self.account),
            "quarantine": None if self.quarantine is None else str(self.quarantine),
            "format": self.format,
            "use": str(self.rules.use),
            "mode": str(self.rules.mode),
            "organisation": self.rules.organisation,
            "purpose": self.rules.purpose,
            "possible_copies": self.rules.review,
            "site_signals": self.sites_asked,
            "licences": sorted(self.rules.met),
            "min_evidence": self.rules.min_evidence,
            "own_works": self.rules.own.digest or None,
            "grants": self.rules.grants.to_wire(),
            "registries": list(self.registries),
            **self.counted(),
            "left_out": dict(self.left_out),
            "shards": list(self.shards),
            "resumed": self.resumed,
            "waiting": self.waiting,
            "countersigned": [url for url, fault in self.countersigned.items() if not fault],
            "not_countersigned": {url: fault for url, fault in self.countersigned.items() if fault},
        }
