"""From samples to verdicts: what each registry says of each sample, and what follows.

A sample whose picture cannot be read, that has nothing to look up, or of which any registry says anything
but ``ok``, gets the action ``error``: it is not kept in any mode.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from registry.client.formats import Sample
from registry.client.http import Asked, Known
from registry.client.pictures import Hashed, hash_files
from registry.decision import Decision, decide
from registry.errors import InputError
from registry.fingerprint import Fingerprint
from registry.preference import Action, Mode, Status, Use

__all__ = ["Registry", "Rules", "Verdict", "judge"]


class Registry(Protocol):
    """Whom one asks: a :class:`registry.client.RegistryClient` over HTTP, or a snapshot on this machine."""

    @property
    def url(self) -> str:
        """Its address, or what stands for it in accounts."""

    def check_parameters(self) -> Mapping[str, Any]:
        """Raise :class:`registry.errors.CaveatError` when its fingerprints are not comparable with ours."""

    def lookup(self, items: Sequence[Asked], use: Use, *, review: bool = True) -> list[Known]:
        """Return one answer an item, in their order."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run asks, and how strictly.

    Research mode wants to be told who does it and what for; the output says so. ``review`` looks for
    possible copies too, beyond the radius that decides.
    """

    use: Use = Use.GENAI_TRAIN
    mode: Mode = Mode.EU_ART4
    organisation: str = ""
    purpose: str = ""
    review: bool = True

    def __post_init__(self) -> None:
        if self.mode is Mode.RESEARCH_ART3 and not (self.organisation and self.purpose):
            raise InputError(
                "research mode needs an organisation and a purpose",
                hint="Give --organisation and --purpose, or another --mode.",
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one sample, and why; ``decision`` is None unless ``status`` is ok.

    ``as_of_seq`` maps each registry that was asked to the event up to which its answer holds.
    """

    sample: Sample
    status: Status
    action: Action
    reason: str
    decision: Decision | None = None
    fingerprint: Fingerprint | None = None
    as_of_seq: Mapping[str, int] = field(default_factory=dict)

    @property
    def cause(self) -> str:
        """What removed or kept it: the kind of match, ``unknown`` without one, ``another`` sample's going."""
        if self.decision is not None and self.decision.action is not self.action:
            return "another"
        return (self.decision.matched_by if self.decision else None) or "unknown"

    def to_wire(self) -> dict[str, Any]:
        """Return the line of ``decisions.jsonl``."""
        wire: dict[str, Any] = {
            "path": self.sample.key,
            "keys": self._keys(),
            "status": str(self.status),
            "action": str(self.action),
            "reason": self.reason,
            "as_of_seq": dict(self.as_of_seq),
        }
        if self.decision is not None:
            wire |= {
                "use": str(self.decision.use),
                "mode": str(self.decision.mode),
                "preference": str(self.decision.preference),
                "statements": [{**s.to_wire(), "registry": s.registry} for s in self.decision.statements],
                "match": self.decision.statements[0].match.to_wire() if self.decision.statements else None,
            }
        return wire

    def _keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {"urls": list(self.sample.urls)} if self.sample.urls else {}
        if self.fingerprint is not None:
            keys["fingerprint"] = self.fingerprint.to_wire()
            if self.fingerprint.sha256 is not None:
                keys["sha256"] = self.fingerprint.sha256.hex()
        return keys


def judge(
    samples: Sequence[Sample],
    registries: Sequence[Registry],
    rules: Rules,
    *,
    workers: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Verdict]:
    """Yield a verdict a sample, in order; ``tick`` is called after each picture that was hashed.

    Raises :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    hashed = _hashed(samples, workers, tick)
    faults = [_fault(sample, hashed.get(sample.path)) for sample in samples]
    asked: list[Asked] = []
    for sample, fault in zip(samples, faults, strict=True):
        if not fault:
            asked += _questions(sample, _fingerprint(sample, hashed))
    answers = [iter(registry.lookup(asked, rules.use, review=rules.review)) for registry in registries]
    for sample, fault in zip(samples, faults, strict=True):
        fingerprint = _fingerprint(sample, hashed)
        if fault:
            yield Verdict(sample, Status.ERROR, Action.ERROR, fault, None, fingerprint)
        else:
            count = len(_questions(sample, fingerprint))
            known = [[next(answer) for _ in range(count)] for answer in answers]
            as_of = {r.url: min(k.as_of_seq for k in own) for r, own in zip(registries, known, strict=True)}
            every = [one for own in known for one in own]
            yield replace(_verdict(sample, fingerprint, every, rules), as_of_seq=as_of)


def _questions(sample: Sample, fingerprint: Fingerprint | None) -> list[Asked]:
    """One question a sample, and one more for each further address."""
    first = Asked(sample.urls[0] if sample.urls else None, fingerprint)
    return [first, *(Asked(url) for url in sample.urls[1:])]


def _hashed(samples: Sequence[Sample], workers: int, tick: Callable[[], None]) -> dict[Path | None, Hashed]:
    paths = [sample.path for sample in samples if sample.path is not None]
    return {one.path: one for one in hash_files(paths, workers=workers, tick=tick)}


def _fault(sample: Sample, hashed: Hashed | None) -> str:
    if hashed is not None and hashed.error:
        return hashed.error
    if not sample.fault and not sample.urls and hashed is None:
        return "nothing to look up"
    return sample.fault


def _fingerprint(sample: Sample, hashed: dict[Path | None, Hashed]) -> Fingerprint | None:
    return None if sample.path is None else hashed[sample.path].fingerprint


def _verdict(
    sample: Sample, fingerprint: Fingerprint | None, known: Sequence[Known], rules: Rules
) -> Verdict:
    failed = next((one for one in known if one.status is not Status.OK), None)
    if failed is not None:
        return Verdict(sample, failed.status, Action.ERROR, failed.reason, None, fingerprint)
    statements = [statement for one in known for statement in one.statements]
    decision = decide(statements, rules.use, rules.mode)
    return Verdict(sample, Status.OK, decision.action, decision.reason, decision, fingerprint)
