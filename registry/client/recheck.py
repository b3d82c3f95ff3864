"""An earlier run looked at again: what it kept and is reserved now, and what it removed and is free now.

No file is read but the decisions: they have the keys of each sample, its fingerprint, its addresses and what
it says itself, and the registries are asked anew with these. Where none of them has an event since the run,
nothing can have changed, and nobody is asked. A sample that was set aside then was never checked, and one
that went with another follows that one: neither is asked about. What was declared as the maker's own stays
so.

For datasets of files. The decisions on a table do not have the rows that were kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from registry.client.formats import Sample
from registry.client.granted import HeldGrants
from registry.client.http import RegistryClient
from registry.client.making import account_folder
from registry.client.noted import verdict_of
from registry.client.pictures import Hashed
from registry.client.place import Place
from registry.client.snapshot import Snapshot
from registry.client.verdicts import Judges, Registry, Rules, Verdict, judge
from registry.errors import CaveatError, DatasetError, RegistryRefusedError
from registry.jsontext import strict_json
from registry.preference import Action, Mode

__all__ = ["Rechecked", "recheck"]

_BATCH = 2000
_LARGEST = 64 * 1024 * 1024


@dataclass(slots=True)
class Rechecked:
    """What became of the samples of a run.

    ``since`` and ``as_of_seq`` map each registry to the event up to which it was asked then and now;
    ``asked`` counts samples. ``reserved`` were kept and must go now, ``to_look_at`` were kept and may be
    copies now, ``free`` were removed and would be kept now, ``failed`` cannot be checked now.
    """

    target: Path
    since: dict[str, int] = field(default_factory=dict)
    as_of_seq: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    reserved: list[Verdict] = field(default_factory=list)
    to_look_at: list[Verdict] = field(default_factory=list)
    free: list[Verdict] = field(default_factory=list)
    failed: list[Verdict] = field(default_factory=list)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        lists = ("reserved", "to_look_at", "free", "failed")
        return {
            "target": str(self.target),
            "since": self.since,
            "as_of_seq": self.as_of_seq,
            "asked": self.asked,
            **{name: [verdict.to_wire() for verdict in getattr(self, name)] for name in lists},
        }


def recheck(
    target: Path | str,
    registries: Sequence[Registry],
    *,
    met: frozenset[str] = frozenset(),
    min_evidence: int = 0,
    grants: HeldGrants = HeldGrants(),  # noqa: B008 - frozen
    tick: Callable[[int], None] = lambda _: None,
) -> Rechecked:
    """Ask ``registries`` again about the samples of the run whose output is ``target``.

    Use and mode are those of the run; ``met``, ``min_evidence`` and ``grants`` as in :class:`Rules`. ``tick``
    is told how many samples are done. Raises :class:`DatasetError` when there are no decisions that can be
    read, and :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    found, shown = Rechecked(Path(target)), Rules(met=met, min_evidence=min_evidence, grants=grants)
    was_granted = False
    path = _decisions(found.target)
    for before in _lines(path):
        for url, seq in before.as_of_seq.items():
            found.since[url] = min(seq, found.since.get(url, seq))
        was_granted = was_granted or before.is_granted
    for one in registries:
        one.check_parameters()
    # A grant ends with the time, and no event says so.
    if shown == Rules() and not was_granted and _stands_still(found, registries):
        return found
    asked = (before for before in _lines(path) if _is_asked(before))
    while batch := list(islice(asked, _BATCH)):
        for before, now in _again(batch, registries, shown):
            _sort(found, before, now)
        tick(len(batch))
    return found


def _decisions(target: Path) -> Path:
    account = account_folder(target.absolute())
    path = account / "decisions.jsonl"
    if path.exists():
        return path
    if (account / "decisions").is_dir():
        raise DatasetError(
            f"{account} is of a table, whose decisions do not have the rows that were kept",
            hint=f"Look at what was kept by itself: caveat filter {target} anywhere --dry-run.",
        )
    raise DatasetError(
        f"{path} is not there", hint="Give the output of a run of caveat filter, with its account beside it."
    )


def _lines(path: Path) -> Iterator[Verdict]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield verdict_of(strict_json(line))
            except (CaveatError, KeyError, TypeError, ValueError) as error:
                raise DatasetError(
                    f"{path}, line {number}: it cannot be read ({error!r})",
                    hint="It was damaged, or written by another version: filter the dataset again.",
                ) from error


def _stands_still(found: Rechecked, registries: Sequence[Registry]) -> bool:
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
    except (RegistryRefusedError, CaveatError, KeyError, TypeError):
        return None
    return head if type(head) is int else None


def _is_asked(before: Verdict) -> bool:
    return before.action is not Action.ERROR and before.cause != "another" and not before.own


def _again(
    batch: Sequence[Verdict], registries: Sequence[Registry], shown: Rules
) -> Iterator[tuple[Verdict, Verdict]]:
    """Yield the verdicts with what would be decided now, by the keys and the signals of then."""
    rules = _rules(batch[0], shown)
    samples, pictures = [], []
    for before in batch:
        key = before.sample.key
        path = None if before.fingerprint is None else Path(key)
        samples.append(Sample(key, path, before.sample.urls))
        if path is not None:
            pictures.append(Hashed(Place(path), before.fingerprint, "", before.reading))
    yield from zip(batch, judge(samples, pictures, Judges(registries, rules)), strict=True)


def _rules(before: Verdict, shown: Rules) -> Rules:
    decision = before.decision
    if decision is None:
        raise DatasetError(f"{before.sample.key}: a decision without use and mode")
    # Who did the research, and what for, is in the report of the run, and decides nothing.
    who = "as before" if decision.mode is Mode.RESEARCH_ART3 else ""
    return replace(shown, use=decision.use, mode=decision.mode, organisation=who, purpose=who)


def _sort(found: Rechecked, before: Verdict, now: Verdict) -> None:
    found.asked += 1
    for url, seq in now.as_of_seq.items():
        found.as_of_seq[url] = min(seq, found.as_of_seq.get(url, seq))
    now = replace(now, sample=before.sample)
    if now.action is Action.ERROR:
        found.failed.append(now)
    elif before.action is Action.REMOVE and now.action.stays:
        found.free.append(now)
    elif before.action.stays and now.action is Action.REMOVE:
        found.reserved.append(now)
    elif before.action is Action.KEEP and now.action is Action.REVIEW:
        found.to_look_at.append(now)
