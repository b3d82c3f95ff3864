"""The words of consent: uses, preferences, and how a check, a run and a record can stand.

They are closed and versioned. ``unknown`` means that nobody has said anything. It is never used for "could
not be found out": that is a :class:`Status` other than ``ok``, and such an item has no preference at all.
"""

from enum import IntEnum, StrEnum

__all__ = [
    "ALLOWING_LEVEL",
    "Action",
    "Mode",
    "Preference",
    "Scope",
    "State",
    "Status",
    "Use",
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
