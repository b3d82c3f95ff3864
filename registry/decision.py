"""Who said what about a use, and what follows from it: the one place where consent is decided.

A :class:`~registry.statement.Statement` is what one speaker said about one asset; :func:`decide` combines
statements into a :class:`Decision` for one use, by these rules and in this order:

1. among the statements of one verified principal that match exactly, the narrowest scope wins, then
   the newest, if it is as well proven; nobody else's statement is ever lifted by them;
2. ``allowed`` counts only from evidence level ``ALLOWING_LEVEL`` up; below it, it says nothing;
3. of what is left the most restrictive wins: reserved > conditional > allowed > unknown;
4. a statement whose match is uncertain (a near duplicate beyond the strict radius) decides nothing by
   itself: it asks for a review, and in strict mode it removes.

What the decision does to a sample depends on the mode: ``eu-art4`` keeps the unknown, ``strict`` does
not, ``research-art3`` records reservations and enforces none. ``conditional`` acts as reserved.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from registry.preference import ALLOWING_LEVEL, Action, Mode, Preference, State, Use
from registry.statement import EXACT_MATCHES, Statement

__all__ = ["Decision", "decide", "effective"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows for one use in one mode, and from which statements."""

    use: Use
    mode: Mode
    preference: Preference
    action: Action
    statements: tuple[Statement, ...]
    reason: str

    @property
    def matched_by(self) -> str | None:
        """How the deciding statement was found; None when nothing was said."""
        return self.statements[0].match.kind if self.statements else None

    @property
    def state(self) -> State | None:
        """The state of the deciding record; None when nothing was said."""
        return self.statements[0].state if self.statements else None


def effective(statements: Iterable[Statement], use: Use) -> list[Statement]:
    """Return the statements about ``use`` that still count after rules 1 and 2, strongest first.

    Applying it again changes nothing, so a registry can send them without naming principals.
    """
    about = [s for s in statements if use in s.preferences and s.state is not State.WITHDRAWN]
    kept = [s for s in about if not any(_lifts(other, s) for other in about)]
    kept = [
        s
        for s in kept
        if s.preferences[use] is not Preference.UNKNOWN
        and (s.preferences[use] is not Preference.ALLOWED or s.evidence_level >= ALLOWING_LEVEL)
    ]
    return sorted(kept, key=lambda s: _strength(s, use))


def decide(statements: Iterable[Statement], use: Use, mode: Mode = Mode.EU_ART4) -> Decision:
    """Combine ``statements`` into the decision for ``use``; see the module's rules."""
    counted = effective(statements, use)
    if not counted:
        return _silence(use, mode)
    certain = [s for s in counted if s.match.certain]
    doubtful = [s for s in counted if not s.match.certain and s.preferences[use] is not Preference.ALLOWED]
    preference = certain[0].preferences[use] if certain else Preference.UNKNOWN
    restricted = preference in (Preference.RESERVED, Preference.CONDITIONAL)
    if restricted or not doubtful:
        deciding = tuple(s for s in certain if s.preferences[use] is preference)
        action = _action(preference, mode)
    else:
        deciding = tuple(doubtful)
        action = _doubtful_action(mode)
    return Decision(use, mode, preference, action, deciding, _sentence(use, mode, preference, deciding))


@lru_cache
def _silence(use: Use, mode: Mode) -> Decision:
    unknown = Preference.UNKNOWN
    return Decision(use, mode, unknown, _action(unknown, mode), (), _sentence(use, mode, unknown, ()))


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


def _strength(statement: Statement, use: Use) -> tuple[int, int, int, int, int]:
    """Order what removes before what asks for a review before what permits: a list may be cut at its end."""
    match, preference = statement.match, statement.preferences[use]
    restricts = preference in (Preference.RESERVED, Preference.CONDITIONAL)
    return (
        (0 if match.certain else 1) if restricts else 2,
        -preference.restriction,
        match.distance or 0,
        int(statement.scope),
        -statement.seq,
    )


def _action(preference: Preference, mode: Mode) -> Action:
    if mode is Mode.RESEARCH_ART3:
        return Action.KEEP
    if preference in (Preference.RESERVED, Preference.CONDITIONAL):
        return Action.REMOVE
    if preference is Preference.UNKNOWN and mode is Mode.STRICT:
        return Action.REMOVE
    return Action.KEEP


def _doubtful_action(mode: Mode) -> Action:
    return {Mode.STRICT: Action.REMOVE, Mode.RESEARCH_ART3: Action.KEEP}.get(mode, Action.REVIEW)


def _sentence(use: Use, mode: Mode, preference: Preference, deciding: tuple[Statement, ...]) -> str:
    if not deciding:
        tail = "; strict mode leaves it out" if mode is Mode.STRICT else ""
        return f"Nobody has said anything about {use}{tail}."
    statement = deciding[0]
    said = str(statement.preferences[use])
    who = f" by “{statement.label}”" if statement.label else ""
    said = f"{said.capitalize()} for {use}{who}"
    how = _how(statement)
    if not statement.match.certain:
        tail = "; strict mode leaves it out" if mode is Mode.STRICT else ""
        return f"{said}: {how}; a person should look{tail}."
    tail = "; no proof that its condition is met" if preference is Preference.CONDITIONAL else ""
    tail = "; research mode records it and keeps the work" if mode is Mode.RESEARCH_ART3 else tail
    return f"{said}: {how}{tail}."


def _how(statement: Statement) -> str:
    match = statement.match
    of = 64 if match.kind == "phash" else 256
    bits = "" if match.distance is None else f", {match.distance} of {of} bits apart"
    mirrored = ", mirrored" if match.form and "mirror" in match.form else ""
    look = "looks like the registered work" if match.certain else "may be a copy of the registered work"
    return {
        "url": "the registered address",
        "prefix": "below a registered folder",
        "host": "on a registered host",
        "domain": "under a registered domain",
        "sha256": "the registered file, byte for byte",
    }.get(match.kind, f"{look}{mirrored}{bits}")
