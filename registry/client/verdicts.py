"""From samples to verdicts: what each registry and each picture says of each sample, and what follows.

A sample whose picture cannot be read, that has nothing to look up, or of which any registry says anything
but ``ok``, gets the action ``error``: it is not kept in any mode. So does one with a signal that cannot be
read, unless what could be read removes it: then it is removed, and the reason says that there is more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from registry.client.formats import Sample
from registry.client.granted import HeldGrants
from registry.client.http import Asked, Known, Marks
from registry.client.own import OwnWorks
from registry.client.pictures import Hashed, Hashers
from registry.client.place import Place
from registry.decision import Decision, decide
from registry.errors import InputError
from registry.fingerprint import Fingerprint
from registry.matching import MAX_STATEMENTS
from registry.preference import Action, Mode, Preference, Status, Use
from registry.reasons import place_of
from registry.signals import Fault, Reading, joined
from registry.statement import Statement

__all__ = [
    "Judges",
    "Registry",
    "Rules",
    "SiteReader",
    "Verdict",
    "judge",
    "judge_all",
    "questions_of",
    "with_others",
]

_BATCH = 2000


class Registry(Protocol):
    """Whom one asks: a :class:`registry.client.RegistryClient` over HTTP, or a snapshot on this machine.

    A run asks for marks in one thread while it looks up in another.
    """

    @property
    def url(self) -> str:
        """Its address, or what stands for it in accounts."""

    def check_parameters(self) -> Mapping[str, Any]:
        """Raise :class:`registry.errors.CaveatError` when its fingerprints are not comparable with ours."""

    def lookup(
        self, items: Sequence[Asked], use: Use, *, review: bool = True, grants: Sequence[str] = ()
    ) -> list[Known]:
        """Return one answer an item, in their order; what one of ``grants`` covers is marked with it.

        Raises :class:`InputError` where grants cannot be asked about.
        """

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Say which of ``keys: uint64[n, 2]`` anything stands under; ``of`` is ``rule`` or ``sha256``."""


class SiteReader(Protocol):
    """What asks sites for their own words: :class:`registry.client.site.Sites`."""

    def read(self, urls: Iterable[str]) -> Mapping[str, Reading]:
        """Return what the site of each address says of it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run asks, and how strictly.

    Research mode wants to be told who does it and what for; the output says so. ``review`` looks for
    possible copies too, beyond the radius that decides. ``met`` are the terms whose conditions the run meets,
    as the statements name them. ``min_evidence`` is the least level at which a registry's record counts,
    ``own`` the maker's own works, ``grants`` what registrants have permitted the run.
    """

    use: Use = Use.GENAI_TRAIN
    mode: Mode = Mode.EU_ART4
    organisation: str = ""
    purpose: str = ""
    review: bool = True
    met: frozenset[str] = frozenset()
    min_evidence: int = 0
    own: OwnWorks = OwnWorks()  # noqa: RUF009 - frozen
    grants: HeldGrants = HeldGrants()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if not all(self.met):
            raise InputError("a licence without a name", hint="Give it as the terms of the record name it.")
        if self.mode is Mode.RESEARCH_ART3 and not (self.organisation and self.purpose):
            raise InputError(
                "research mode needs an organisation and a purpose",
                hint="Give --organisation and --purpose, or another --mode.",
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one sample, and why; ``decision`` is None unless ``status`` is ok.

    ``as_of_seq`` maps each registry that was asked to the event up to which its answer holds; ``reading`` is
    what the picture itself says, whether or not it decided. ``own`` says by which key it is declared as the
    maker's own and kept, ``below`` are records whose evidence is too weak to count.
    """

    sample: Sample
    status: Status
    action: Action
    reason: str
    decision: Decision | None = None
    fingerprint: Fingerprint | None = None
    as_of_seq: Mapping[str, int] = field(default_factory=dict)
    reading: Reading = Reading()  # noqa: RUF009 - frozen
    own: str = ""
    below: tuple[Statement, ...] = ()

    @property
    def cause(self) -> str:
        """What removed or kept it: the kind of match or the protocol of the signal that decided.

        ``unknown`` where nothing did, ``another`` where it goes with another sample, ``own`` where it is kept
        as the maker's own, ``grant`` where it is kept because of one.
        """
        if self.own and self.action is Action.KEEP:
            return "own"
        if self.decision is not None and self.decision.action is not self.action:
            return "another"
        if self.action is Action.KEEP and self.is_granted:
            return "grant"
        return (self.decision.matched_by if self.decision else None) or "unknown"

    @property
    def is_granted(self) -> bool:
        """Whether a grant lifted what was said, and nothing else restricts it."""
        decision = self.decision
        free = (Preference.ALLOWED, Preference.UNKNOWN)
        return decision is not None and bool(decision.lifted) and decision.preference in free

    @property
    def is_notable(self) -> bool:
        """Whether anything was said of the sample, or it does not stay."""
        decision = self.decision
        said = decision is not None and (decision.matched_by is not None or bool(decision.lifted))
        return said or self.action is not Action.KEEP or bool(self.own or self.below)

    def to_wire(self) -> dict[str, Any]:
        """Return the line of ``decisions.jsonl``."""
        wire: dict[str, Any] = {
            "path": self.sample.key,
            "keys": self._keys(),
            "status": str(self.status),
            "action": str(self.action),
            "cause": self.cause,
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
        return wire | self._read()

    def _read(self) -> dict[str, Any]:
        """Return what was read in the picture itself and what did not count, only what there is of it."""
        signals = [statement.to_wire() for statement in self.reading.statements]
        faults = [
            {
                "protocol": one.protocol,
                "carrier": one.carrier,
                "status": str(one.status),
                "message": one.message,
            }
            for one in self.reading.faults
        ]
        below = [{**one.to_wire(), "registry": one.registry} for one in self.below]
        lifted = [] if self.decision is None else self.decision.lifted
        granted = [{**one.to_wire(), "registry": one.registry} for one in lifted]
        found = {"signals": signals, "faults": faults, "own": self.own}
        found |= {"below_evidence": below, "lifted": granted}
        return {name: value for name, value in found.items() if value}

    def _keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {"urls": list(self.sample.urls)} if self.sample.urls else {}
        if self.fingerprint is not None:
            keys["fingerprint"] = self.fingerprint.to_wire()
            if self.fingerprint.sha256 is not None:
                keys["sha256"] = self.fingerprint.sha256.hex()
        return keys


@dataclass(frozen=True, slots=True)
class Judges:
    """Who says what a verdict is made of: the registries, and with ``sites`` those of the addresses too.

    Raises :class:`InputError` where there is no registry to ask.
    """

    registries: Sequence[Registry]
    rules: Rules
    sites: SiteReader | None = None

    def __post_init__(self) -> None:
        # Of whom nobody is asked, nobody would have said anything.
        if not self.registries:
            raise InputError("no registry to ask", hint="Name one with --registry, or set CAVEAT_REGISTRY.")


def judge_all(
    samples: Iterable[Sample], judges: Judges, hashers: Hashers, tick: Callable[[], None] = lambda: None
) -> Iterator[list[Verdict]]:
    """Yield the verdicts of the samples in their order, some at a time.

    The pictures of some are hashed while the registries are asked about those before; ``tick`` is called
    after each picture. Raises as :func:`judge`.
    """
    begun: tuple[list[Sample], Iterator[Hashed]] | None = None
    remaining = iter(samples)
    while batch := list(islice(remaining, _BATCH)):
        before, begun = begun, (batch, _begin(batch, hashers))
        if before is not None:
            yield list(judge(before[0], _told(before[1], tick), judges))
    if begun is not None:
        yield list(judge(begun[0], _told(begun[1], tick), judges))


def _begin(batch: Sequence[Sample], hashers: Hashers) -> Iterator[Hashed]:
    return hashers.begin([place for sample in batch if (place := sample.picture) is not None])


def _told(hashed: Iterator[Hashed], tick: Callable[[], None]) -> Iterator[Hashed]:
    for one in hashed:
        yield one
        tick()


def judge(samples: Sequence[Sample], pictures: Iterable[Hashed], judges: Judges) -> Iterator[Verdict]:
    """Yield a verdict a sample, in order; ``pictures`` are theirs, hashed.

    Raises :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    registries, rules, sites = judges.registries, judges.rules, judges.sites
    hashed: dict[Place | None, Hashed] = {one.place: one for one in pictures}
    faults = [_fault(sample, hashed.get(sample.picture)) for sample in samples]
    asked: list[Asked] = []
    for sample, fault in zip(samples, faults, strict=True):
        if not fault:
            asked += questions_of(sample, _fingerprint(sample, hashed))
    urls = [one.url for one in asked if one.url is not None]
    said = None if sites is None else sites.read(urls)
    answers = [iter(_asked(registry, asked, rules)) for registry in registries]
    weighing = _Weighing(rules)
    for sample, fault in zip(samples, faults, strict=True):
        fingerprint, reading = _fingerprint(sample, hashed), _reading(sample, hashed)
        if fault:
            yield Verdict(sample, Status.ERROR, Action.ERROR, fault, None, fingerprint, reading=reading)
        else:
            count = len(questions_of(sample, fingerprint))
            known = [[next(answer) for _ in range(count)] for answer in answers]
            as_of = {r.url: min(k.as_of_seq for k in own) for r, own in zip(registries, known, strict=True)}
            if said is not None:
                # By address, and each must be there: a site that was not read has not said nothing.
                reading = joined([reading, *(said[url] for url in sample.urls)])
            verdict = weighing.of(sample, reading, [one for own in known for one in own])
            yield _owned(replace(verdict, fingerprint=fingerprint, as_of_seq=as_of), rules.own)


def _asked(registry: Registry, items: Sequence[Asked], rules: Rules) -> list[Known]:
    grants = rules.grants.ids_at(registry.url)
    if not grants:
        return registry.lookup(items, rules.use, review=rules.review)
    return registry.lookup(items, rules.use, review=rules.review, grants=grants)


def with_others(verdict: Verdict, gone: Mapping[str, str]) -> Verdict:
    """Return the verdict of a sample that goes because of another: removed too, and it says so."""
    if not verdict.action.stays or verdict.sample.key not in gone:
        return verdict
    reason = f"Goes with another: {gone[verdict.sample.key]}."
    return replace(verdict, action=Action.REMOVE, reason=reason)


def questions_of(sample: Sample, fingerprint: Fingerprint | None) -> list[Asked]:
    """Return one question a sample, and one more for each further address or fingerprint."""
    prints = [] if fingerprint is None else [fingerprint]
    prints += [one for one in sample.known if one is not fingerprint]
    return [Asked(*one) for one in zip_longest(sample.urls, prints)]


def _fault(sample: Sample, hashed: Hashed | None) -> str:
    if hashed is not None and hashed.error:
        return hashed.error
    if not sample.fault and not sample.urls and not sample.known and hashed is None:
        return "nothing to look up"
    return sample.fault


def _fingerprint(sample: Sample, hashed: dict[Place | None, Hashed]) -> Fingerprint | None:
    if (place := sample.picture) is not None:
        return hashed[place].fingerprint
    return sample.known[0] if sample.known else None


def _reading(sample: Sample, hashed: dict[Place | None, Hashed]) -> Reading:
    return Reading() if (place := sample.picture) is None else hashed[place].reading


def _owned(verdict: Verdict, own: OwnWorks) -> Verdict:
    """Return the verdict of a file that is the maker's own: kept, if it could be checked at all."""
    fingerprint = verdict.fingerprint
    if verdict.sample.path is None or fingerprint is None or verdict.action is Action.ERROR:
        return verdict
    key = own.key_of(fingerprint)
    if not key:
        return verdict
    how = "the same file" if key == "sha256" else "a copy"
    reason = f"Kept as the maker’s own work, as declared and not proven ({how}). {verdict.reason}"
    return replace(verdict, action=Action.KEEP, reason=reason, own=key)


class _Weighing:
    """Weighs what is known of samples: of many rows of one site the same is known, and is weighed once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # By identity, so what is known is held beside: no other object can have its place.
        self._weighed: dict[tuple[int, ...], tuple[Sequence[Known], Verdict]] = {}

    def of(self, sample: Sample, reading: Reading, known: Sequence[Known]) -> Verdict:
        """Return the verdict on a sample."""
        if reading.statements or reading.faults:
            return _weighed(sample, reading, known, self._rules)
        key = tuple(map(id, known))
        if key not in self._weighed:
            self._weighed[key] = known, _weighed(sample, reading, known, self._rules)
        return replace(self._weighed[key][1], sample=sample)


def _weighed(sample: Sample, reading: Reading, known: Sequence[Known], rules: Rules) -> Verdict:
    """Return the verdict by the records that are proven well enough; it tells of the others."""
    below = tuple(s for one in known for s in one.statements if _is_below(s, one, rules.min_evidence))
    if not below:
        return _verdict(sample, reading, known, rules)
    counted = [replace(one, statements=tuple(s for s in one.statements if s not in below)) for one in known]
    verdict = _verdict(sample, reading, counted, rules)
    told = f"{len(below)} of lower evidence than level {rules.min_evidence} did not count."
    return replace(verdict, reason=f"{verdict.reason} Records besides: {told}", below=below)


def _is_below(statement: Statement, known: Known, least: int) -> bool:
    """Say whether a record does not count; where a list may have been cut or evidence is not told, all do."""
    is_told = statement.match.certain or statement.match.kind in ("pdq", "phash")
    return is_told and len(known.statements) < MAX_STATEMENTS and statement.evidence_level < least


def _verdict(sample: Sample, reading: Reading, known: Sequence[Known], rules: Rules) -> Verdict:
    failed = next((one for one in known if one.status is not Status.OK), None)
    if failed is not None:
        return Verdict(sample, failed.status, Action.ERROR, failed.reason, reading=reading)
    statements = [statement for one in known for statement in one.statements]
    said, granted = [*statements, *reading.statements], _granted(known, rules)
    decision = decide(said, rules.use, rules.mode, _met(known, rules), granted)
    if not reading.faults:
        return Verdict(sample, Status.OK, decision.action, decision.reason, decision, reading=reading)
    unread = _unread(reading.faults)
    if decision.action is Action.REMOVE and decision.preference is not Preference.UNKNOWN:
        reason = f"{decision.reason} Besides, {unread}."
        return Verdict(sample, Status.OK, decision.action, reason, decision, reading=reading)
    status = Status.ERROR if any(one.status is Status.ERROR for one in reading.faults) else Status.MALFORMED
    return Verdict(sample, status, Action.ERROR, unread, reading=reading)


def _met(known: Sequence[Known], rules: Rules) -> frozenset[str]:
    """Return the conditions that count as met: none where a list may have been cut, and one with it."""
    return frozenset() if _is_cut(known) else rules.met


def _granted(known: Sequence[Known], rules: Rules) -> frozenset[str]:
    """Return the grants that count: none where a list may have been cut, and another's word with it.

    One counts only if every statement that is marked with it is one that it can be about.
    """
    if _is_cut(known):
        return frozenset()
    marked = [s for one in known for s in one.statements if s.grant]
    return rules.grants.ids - {s.grant for s in marked if not rules.grants.are_about(s)}


def _is_cut(known: Sequence[Known]) -> bool:
    return any(len(one.statements) >= MAX_STATEMENTS for one in known)


def _unread(faults: Sequence[Fault]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{place_of(faults[0].carrier)} cannot be read: {faults[0].message}{more}"
