"""What a look at an earlier run finds, and whether anything can have changed at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.client.http import RegistryClient
from registry.client.snapshot import Snapshot
from registry.client.verdicts import Registry, Verdict
from registry.errors import CaveatError
from registry.jsontext import strict_json
from registry.preference import Action

__all__ = ["Rechecked", "stands_still"]

_LARGEST = 64 * 1024 * 1024


@dataclass(slots=True)
class Rechecked:
    """What became of the samples of a run.

    ``since`` and ``as_of_seq`` map each registry to the event up to which it was asked then and now;
    ``asked`` counts samples. ``reserved`` were kept and must go now, ``to_look_at`` were kept and may be
    copies now, ``free`` were removed and would be kept now, ``failed`` cannot be checked now. Of tables
    ``read`` is the dataset whose rows were asked about, by their numbers in it: the output or the source.
    """

    target: Path
    since: dict[str, int] = field(default_factory=dict)
    as_of_seq: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    reserved: list[Verdict] = field(default_factory=list)
    to_look_at: list[Verdict] = field(default_factory=list)
    free: list[Verdict] = field(default_factory=list)
    failed: list[Verdict] = field(default_factory=list)
    read: Path | None = None

    def add(self, before: Action, now: Verdict) -> None:
        """Add what is decided of a sample now, when it was ``before``."""
        self.hold(now.as_of_seq)
        if now.action is Action.ERROR:
            self.failed.append(now)
        elif before is Action.REMOVE and now.action.stays:
            self.free.append(now)
        elif before.stays and now.action is Action.REMOVE:
            self.reserved.append(now)
        elif before is Action.KEEP and now.action is Action.REVIEW:
            self.to_look_at.append(now)

    def hold(self, as_of_seq: Mapping[str, int]) -> None:
        """Take the events up to which an answer holds."""
        for url, seq in as_of_seq.items():
            self.as_of_seq[url] = min(seq, self.as_of_seq.get(url, seq))

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        lists = ("reserved", "to_look_at", "free", "failed")
        return {
            "target": str(self.target),
            "read": None if self.read is None else str(self.read),
            "since": self.since,
            "as_of_seq": self.as_of_seq,
            "asked": self.asked,
            **{name: [verdict.to_wire() for verdict in getattr(self, name)] for name in lists},
        }


def stands_still(found: Rechecked, registries: Sequence[Registry]) -> bool:
    """Say whether those that were asked then are those that are asked now, and none has an event since."""
    heads = {one.url: _head(one, found.since.get(one.url, 0)) for one in registries}
    if heads.keys() != found.since.keys() or any(heads[url] != seq for url, seq in found.since.items()):
        return False
    found.as_of_seq = dict(found.since)
    return True


def _head(registry: Registry, after: int) -> int | None:
    """Return the last event of a registry; None where it does not tell, so that it is asked about all."""
    if isinstance(registry, Snapshot):
        return registry.as_of_seq
    if not isinstance(registry, RegistryClient):
        return None
    try:
        told = strict_json(registry.fetch(f"/api/v1/changes?after={after}", _LARGEST))
        head = told["head"]
    except (CaveatError, KeyError, TypeError):
        return None
    return head if type(head) is int else None
