"""Who said what about a use, and what follows from it: the one place where consent is decided.

A :class:`Statement` is what one speaker said about one asset; :func:`decide` combines statements into
a :class:`Decision` for one use, by these rules and in this order:

1. among the statements of one verified principal that match exactly, the narrowest scope wins, then
   the newest, if it is as well proven; nobody else's statement is ever lifted by them;
2. ``allowed`` counts only from evidence level ``ALLOWING_LEVEL`` up; below it, it says nothing;
3. of what is left the most restrictive wins: reserved > conditional > allowed > unknown;
4. a statement whose match is uncertain (a near duplicate beyond the strict radius) decides nothing by
   itself: it asks for a review, and in strict mode it removes.

What the decision does to a sample depends on the mode: ``eu-art4`` keeps the unknown, ``strict`` does
not, ``research-art3`` records reservations and enforces none. ``conditional`` acts as reserved.

``unknown`` means that nobody has said anything. It is never used for "could not be found out": that is
a :class:`Status` other than ``ok``, and such an item has no preference at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any

from registry.errors import RegistryAnswerError

__all__ = [
    "ALLOWING_LEVEL",
    "Action",
    "Decision",
    "Match",
    "Mode",
    "Preference",
    "Scope",
    "State",
    "Statement",
    "Status",
    "Use",
    "decide",
    "effective",
]

ALLOWING_LEVEL = 3
"""The evidence level from which a permission counts (3 signed work, 4 attested)."""


class Use(StrEnum):
    """What a work may be used for; closed and versioned."""

    TDM = "tdm"
    TRAIN = "train"
    GENAI_TRAIN = "genai-train"
    AI_INPUT = "ai-input"
    AI_INDEX = "ai-index"
    SEARCH = "search"


class Preference(StrEnum):
    """What was said of a use."""

    RESERVED = "reserved"
    CONDITIONAL = "conditional"
    ALLOWED = "allowed"
    UNKNOWN = "unknown"

    @property
    def restriction(self) -> int:
        """Its place in the order of restriction, 3 (reserved) to 0 (unknown)."""
        return _RESTRICTION[self]


class Status(StrEnum):
    """How the check of one item went; only ``ok`` has a preference."""

    OK = "ok"
    ERROR = "error"
    MALFORMED = "malformed"
    NOT_CHECKED = "not_checked"


class Mode(StrEnum):
    """What a run does with the unknown and with reservations."""

    EU_ART4 = "eu-art4"
    STRICT = "strict"
    RESEARCH_ART3 = "research-art3"


class Action(StrEnum):
    """What happens to a sample."""

    KEEP = "keep"
    REMOVE = "remove"
    REVIEW = "review"
    ERROR = "error"

    @property
    def stays(self) -> bool:
        """Whether the sample stands in the output; nothing but these two words keeps one."""
        return self in (Action.KEEP, Action.REVIEW)


class State(StrEnum):
    """How a record stands."""

    ASSERTED = "asserted"
    VERIFIED = "verified"
    DISPUTED = "disputed"
    QUARANTINED = "quarantined"
    WITHDRAWN = "withdrawn"


class Scope(IntEnum):
    """How much a statement speaks about; the smaller, the narrower."""

    WORK = 0
    PREFIX = 1
    HOST = 2
    DOMAIN = 3


_RESTRICTION = {
    Preference.RESERVED: 3,
    Preference.CONDITIONAL: 2,
    Preference.ALLOWED: 1,
    Preference.UNKNOWN: 0,
}
_SCOPE_NAMES = {scope: scope.name.lower() for scope in Scope}
_SCOPES_BY_NAME = {name: scope for scope, name in _SCOPE_NAMES.items()}
_LIKENESSES = frozenset({"pdq", "phash"})
_EXACT_MATCHES = frozenset({"url", "sha256", "prefix", "host", "domain"})


@dataclass(frozen=True, slots=True)
class Match:
    """How a statement came to be about this item.

    ``kind`` is url, prefix, host, domain, sha256, pdq or phash. ``certain`` is False for a near
    duplicate beyond the strict radius. ``distance`` is in bits, for hashes; ``window`` names the
    registered window and ``form`` the queried one.
    """

    kind: str
    certain: bool = True
    distance: int | None = None
    window: str | None = None
    form: str | None = None

    def to_wire(self, *, detail: bool = True) -> dict[str, Any]:
        """Return the JSON form; without ``detail`` nothing that measures distance."""
        wire: dict[str, Any] = {"kind": self.kind, "certain": self.certain}
        if detail and self.distance is not None:
            wire |= {"distance": self.distance, "window": self.window, "form": self.form}
        return wire


@dataclass(frozen=True, slots=True)
class Statement:
    """Use → preference, said by one speaker about one asset or set of assets.

    ``record`` and ``principal`` are empty where the caller may not know them. ``label`` is what the speaker
    calls the set, ``title`` what the work in it is called. ``seq`` is the registry's sequence number from
    which the statement holds; ``at`` its time, RFC 3339.
    """

    preferences: Mapping[Use, Preference]
    match: Match
    scope: Scope = Scope.WORK
    evidence_level: int = 0
    state: State = State.ASSERTED
    seq: int = 0
    at: str = ""
    record: str = ""
    principal: str = ""
    label: str = ""
    title: str = ""
    terms: str = ""
    contact: str = ""
    registry: str = field(default="", compare=False)

    def to_wire(self, *, detail: bool = True) -> dict[str, Any]:
        """Return the JSON form; without ``detail`` nothing that names the record or the person."""
        wire: dict[str, Any] = {
            "preferences": {str(use): str(value) for use, value in self.preferences.items()},
            "scope": _SCOPE_NAMES[self.scope],
            "evidence_level": self.evidence_level,
            "state": str(self.state),
            "seq": self.seq,
            "at": self.at,
            "match": self.match.to_wire(detail=detail),
        }
        if detail:
            wire |= {"record": self.record, "label": self.label, "title": self.title}
            wire |= {"terms": self.terms, "contact": self.contact}
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], *, registry: str = "") -> "Statement":
        """Read the JSON form, ignoring keys that it does not know.

        Raises :class:`RegistryAnswerError` when a value is missing, of another type or outside the
        vocabulary, since a statement that cannot be read must not turn into "nothing was said".
        """
        try:
            if not wire["preferences"]:
                raise ValueError("no preference")
            return cls(
                preferences={Use(use): Preference(value) for use, value in wire["preferences"].items()},
                match=_read_match(wire["match"]),
                scope=_SCOPES_BY_NAME[wire["scope"]],
                evidence_level=_integer(wire["evidence_level"], 4),
                state=State(wire["state"]),
                seq=_integer(wire["seq"], _LARGEST),
                registry=registry,
                **{name: _text(wire.get(name, "")) for name in _TEXTS},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryAnswerError(f"a statement that cannot be read ({error!r})") from error


_TEXTS = ("at", "record", "label", "title", "terms", "contact")
_LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON takes for the same (RFC 8259, section 6)."""


def _read_match(wire: Mapping[str, Any]) -> Match:
    distance = wire.get("distance")
    if not isinstance(wire["certain"], bool):
        raise TypeError("certain is neither true nor false")
    return Match(
        kind=_match_kind(wire["kind"]),
        certain=wire["certain"],
        distance=None if distance is None else _integer(distance, 256),
        window=None if wire.get("window") is None else _text(wire["window"]),
        form=None if wire.get("form") is None else _text(wire["form"]),
    )


def _match_kind(value: object) -> str:
    if value not in _EXACT_MATCHES and value not in _LIKENESSES:
        raise ValueError(f"no kind of match {repr(value)[:40]}")
    return _text(value)


def _integer(value: object, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(f"expected an integer from 0 to {largest}, got {repr(value)[:40]}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    value.encode()  # Half of a surrogate pair is no text: UnicodeEncodeError is a ValueError.
    return value


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
        and statement.match.kind in _EXACT_MATCHES
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
