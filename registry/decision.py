"""From what was said to what follows: the one place where consent is decided.

A :class:`~registry.statement.Statement` is what one speaker said about one asset, through a registry or a
signal of the work or its site; :func:`decide` combines statements into a :class:`Decision` for one use, by
these rules and in this order:

1. among the statements of one verified principal that match exactly, the narrowest scope wins, then
   the newest, if it is as well proven; nobody else's statement is ever lifted by them;
2. a condition that the run has shown to be met restricts no more, nor does what its own speaker has lifted by
   a grant that the run holds;
3. ``allowed`` counts only from those who may permit: a registry's record from evidence level
   ``ALLOWING_LEVEL`` up, a signal that is signed or the host's and read to the letter; from others it says
   nothing;
4. a hint, which is about something else, counts in strict mode only;
5. of what is left the most restrictive wins: reserved > conditional > allowed > unknown;
6. a statement whose match is uncertain (a near duplicate beyond the strict radius, natural language) decides
   nothing by itself: it asks for a review, and in strict mode it removes;
7. two claims of level ``ALLOWING_LEVEL`` or more on exactly this asset, of which one allows what the other
   reserves, are a dispute: reserved, and the decision says so.

What the decision does to a sample depends on the mode: ``eu-art4`` keeps the unknown, ``strict`` does
not, ``research-art3`` records reservations and enforces none. ``conditional`` acts as reserved.

A grant lifts what its own reservation says, whatever the evidence behind it: to withdraw the reservation
would do the same. It permits as much as that evidence does: rule 3 holds for it too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from registry.preference import ALLOWING_LEVEL, Action, Mode, Preference, Scope, State, Use
from registry.reasons import Ground, lifted, reason, silence
from registry.statement import EXACT_MATCHES, Quality, Speaker, Statement

__all__ = ["Decision", "decide", "effective"]

_MAY_PERMIT = frozenset({Speaker.SIGNED, Speaker.HOST})
_CAN_BE_MET = frozenset({Quality.EXACT, Quality.INFERRED})


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows for one use in one mode, and from which statements.

    ``statements`` are those that decided, strongest first; in a dispute the claims of the other side follow.
    ``lifted`` are those that a grant lifted.
    """

    use: Use
    mode: Mode
    preference: Preference
    action: Action
    statements: tuple[Statement, ...]
    reason: str
    disputed: bool = False
    lifted: tuple[Statement, ...] = ()

    @property
    def matched_by(self) -> str | None:
        """How the deciding statement was found; None when nothing was said."""
        return self.statements[0].match.kind if self.statements else None

    @property
    def state(self) -> State | None:
        """The state of the deciding record, ``disputed`` in a dispute; None when nothing was said."""
        if self.disputed:
            return State.DISPUTED
        return self.statements[0].state if self.statements else None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the run has shown: the terms whose conditions it meets, and the grants that it holds."""

    terms: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset()


_SHOWN_NOTHING = _Shown()


def effective(
    statements: Iterable[Statement], use: Use, met: frozenset[str] = frozenset()
) -> list[Statement]:
    """Return the statements about ``use`` that still count after rules 1 to 3, strongest first.

    Applying it again changes nothing, so a registry can send them without naming principals.
    """
    shown = _Shown(met) if met else _SHOWN_NOTHING
    standing = _standing(statements, use)
    return _counted(standing, use, shown) if standing else []


def decide(
    statements: Iterable[Statement],
    use: Use,
    mode: Mode = Mode.EU_ART4,
    met: frozenset[str] = frozenset(),
    granted: frozenset[str] = frozenset(),
) -> Decision:
    """Combine ``statements`` into the decision for ``use``; see the module's rules.

    ``met`` are the terms whose conditions the run has shown to be met, as the statements name them, and
    ``granted`` the identifiers of the grants that it holds, as they are marked with them.
    """
    said = list(statements)
    if not said:  # Of nearly all of a usual dataset.
        return _nothing(use, mode)
    shown = _Shown(met, granted) if met or granted else _SHOWN_NOTHING
    standing = _standing(said, use)
    counted = [s for s in _counted(standing, use, shown) if mode is Mode.STRICT or not _is_hint(s)]
    freed = tuple(s for s in standing if _is_granted(s, use, shown)) if granted else ()
    certain = [s for s in counted if s.match.certain]
    doubtful = [s for s in counted if not s.match.certain and _value(s, use, shown) is not Preference.ALLOWED]
    values = [_value(s, use, shown) for s in certain]
    preference = max(values, key=lambda value: value.restriction, default=Preference.UNKNOWN)
    if doubtful and not _restricts(preference):
        ground = Ground(use, mode, preference, tuple(doubtful), lifted=freed)
        return _decision(ground, _doubtful_action(mode))
    if not values:
        return _silence(said, Ground(use, mode, preference, (), lifted=freed), shown)
    deciding = tuple(s for s, value in zip(certain, values, strict=True) if value is preference)
    opposing = _opposing([s for s in certain if s not in freed] if freed else certain, use)
    return _decision(Ground(use, mode, preference, deciding, opposing, freed), _action(preference, mode))


def _standing(statements: Iterable[Statement], use: Use) -> list[Statement]:
    """Return what was said about ``use`` and holds, less what its own speaker replaced (rule 1)."""
    about = [s for s in statements if use in s.preferences and s.state is not State.WITHDRAWN]
    return [s for s in about if not any(_lifts(other, s) for other in about)]


def _counted(standing: Iterable[Statement], use: Use, shown: _Shown) -> list[Statement]:
    """Return what counts of what stands (rules 2 and 3), strongest first."""
    counted = (s for s in standing if _counts(s, use, shown))
    return sorted(counted, key=lambda s: _strength(s, use, shown))


def _decision(ground: Ground, action: Action) -> Decision:
    deciding = (*ground.deciding, *ground.opposing)
    disputed = bool(ground.opposing)
    return Decision(
        use=ground.use,
        mode=ground.mode,
        preference=ground.preference,
        action=action,
        statements=deciding,
        reason=reason(ground),
        disputed=disputed,
        lifted=ground.lifted,
    )


def _silence(said: Sequence[Statement], ground: Ground, shown: _Shown) -> Decision:
    """Return the decision where nothing counts; what was said all the same is in its sentence."""
    use, mode = ground.use, ground.mode
    about = [s for s in said if use in s.preferences]
    unheard = [s for s in about if s.signal is not None or _is_met(s, use, shown)]
    nothing = _nothing(use, mode)
    if ground.lifted:
        return replace(nothing, reason=lifted(ground), lifted=ground.lifted)
    return replace(nothing, reason=silence(use, mode, unheard)) if unheard else nothing


@lru_cache
def _nothing(use: Use, mode: Mode) -> Decision:
    unknown = Preference.UNKNOWN
    return Decision(use, mode, unknown, _action(unknown, mode), (), silence(use, mode))


def _value(statement: Statement, use: Use, shown: _Shown) -> Preference:
    if shown is _SHOWN_NOTHING:
        return statement.preferences[use]
    if _is_granted(statement, use, shown) or _is_met(statement, use, shown):
        return Preference.ALLOWED
    return statement.preferences[use]


def _is_granted(statement: Statement, use: Use, shown: _Shown) -> bool:
    """Say whether a grant that the run holds lifts a statement; only a registry's record can be lifted."""
    return (
        bool(statement.grant)
        and statement.grant in shown.grants
        and statement.signal is None
        and _restricts(statement.preferences[use])
    )


def _is_met(statement: Statement, use: Use, shown: _Shown) -> bool:
    """Say whether the condition of a statement is one that the run meets; one badly read never is."""
    signal = statement.signal
    return (
        bool(shown.terms)
        and statement.preferences[use] is Preference.CONDITIONAL
        and bool(statement.terms)
        and statement.terms in shown.terms
        and statement.match.certain
        and (signal is None or signal.quality in _CAN_BE_MET)
    )


def _counts(statement: Statement, use: Use, shown: _Shown) -> bool:
    value = _value(statement, use, shown)
    return _restricts(value) or (value is Preference.ALLOWED and _may_permit(statement))


def _may_permit(statement: Statement) -> bool:
    signal = statement.signal
    if signal is None:
        return statement.evidence_level >= ALLOWING_LEVEL
    return signal.speaker in _MAY_PERMIT and signal.quality is Quality.EXACT


def _is_hint(statement: Statement) -> bool:
    return statement.signal is not None and statement.signal.quality is Quality.HINT


def _restricts(preference: Preference) -> bool:
    return preference in (Preference.RESERVED, Preference.CONDITIONAL)


def _opposing(certain: Sequence[Statement], use: Use) -> tuple[Statement, ...]:
    """Return the claims that allow what another claim, as well proven and as exact, reserves."""
    claims = [s for s in certain if _is_claim(s)]
    reserving = [s for s in claims if s.preferences[use] is Preference.RESERVED]
    allowing = [s for s in claims if s.preferences[use] is Preference.ALLOWED]
    return tuple(s for s in allowing if any(_are_two(s, other) for other in reserving))


def _is_claim(statement: Statement) -> bool:
    return (
        statement.signal is None
        and statement.evidence_level >= ALLOWING_LEVEL
        and statement.scope is Scope.WORK
        and statement.match.kind in EXACT_MATCHES
    )


def _are_two(one: Statement, other: Statement) -> bool:
    # A registry names no principals: what it sends of one of them no longer contradicts itself (rule 1).
    return not one.principal or one.principal != other.principal


def _lifts(newer: Statement, older: Statement) -> bool:
    """Say whether one principal's word stands in place of an earlier or wider one of theirs.

    It must be as well proven as what it lifts: a weaker key never opens what a stronger one closed.
    """
    return (
        newer.principal == older.principal
        and (newer.scope, -newer.seq) < (older.scope, -older.seq)
        and newer.evidence_level >= older.evidence_level
        and _is_own_word(newer)
        and _is_own_word(older)
    )


def _is_own_word(statement: Statement) -> bool:
    return (
        bool(statement.principal)
        and statement.evidence_level >= 1
        and statement.match.certain
        and statement.match.kind in EXACT_MATCHES
    )


def _strength(statement: Statement, use: Use, shown: _Shown) -> tuple[int, int, int, int, int]:
    """Order what removes before what asks for a review before what permits: a list may be cut at its end."""
    match, value = statement.match, _value(statement, use, shown)
    return (
        _weight(statement, value),
        -value.restriction,
        match.distance or 0,
        int(statement.scope),
        -statement.seq,
    )


def _weight(statement: Statement, value: Preference) -> int:
    """Return 0 for what removes, 1 for what asks for a review, 2 for a hint, 3 for a permission."""
    if not _restricts(value):
        return 3
    if _is_hint(statement):
        return 2
    return 0 if statement.match.certain else 1


def _action(preference: Preference, mode: Mode) -> Action:
    if mode is Mode.RESEARCH_ART3:
        return Action.KEEP
    if _restricts(preference) or (preference is Preference.UNKNOWN and mode is Mode.STRICT):
        return Action.REMOVE
    return Action.KEEP


def _doubtful_action(mode: Mode) -> Action:
    return {Mode.STRICT: Action.REMOVE, Mode.RESEARCH_ART3: Action.KEEP}.get(mode, Action.REVIEW)
