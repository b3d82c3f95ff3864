"""Content signals: ``Content-Signal: search=yes, ai-train=no`` in robots.txt (contentsignals.org).

1. ``yes`` and ``no``, without case. A signal that is absent neither grants nor restricts.
2. Keys that are not in ``SIGNALS`` say nothing. Of one key that stands twice the stricter value counts.
3. A value that is neither says ``unknown``, or reserves if it plainly means no (``n``, ``false``); both are
   recorded as malformed.
4. What is not a list of ``key=value`` with commas between is read word by word; of that only what restricts
   counts, as malformed. There is no form with a path: one that has a path is held to be about everything.
5. A header field of that name is in no specification, though a large network sends it: it may restrict, and
   permits nothing. So may the labels of Content-Usage that stand here by mistake.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from registry.preference import Preference, Scope, Status, Use
from registry.signals.observation import Fault, Origin, Reading, restricting, statement
from registry.statement import Quality, Speaker

__all__ = ["LARGEST", "PROTOCOL", "SIGNALS", "VERSION", "read_headers", "read_value"]

PROTOCOL = "content-signal"
VERSION = "2025-09-24"
LARGEST = 65536
"""Characters of one value that are read; a longer one is a fault."""

SIGNALS = {
    "ai-train": (Use.TRAIN, Use.GENAI_TRAIN),
    "ai-input": (Use.AI_INPUT, Use.AI_INDEX),
    "search": (Use.SEARCH,),
}
"""Signal → what its ``yes`` allows and its ``no`` reserves."""

_MISNAMED = {"train-ai": (Use.GENAI_TRAIN,), "train-genai": (Use.GENAI_TRAIN,), "ai-use": SIGNALS["ai-input"]}
"""Label of Content-Usage → what its no reserves."""
_KEYS = SIGNALS | _MISNAMED
_NO = re.compile(r"n|0$|\?0|false|off|disallow|den(?:y|ied)")
_BETWEEN = re.compile(r"[\s,;|&\"']+")
_VALUES = {"yes": Preference.ALLOWED, "no": Preference.RESERVED}


def read_headers(headers: Iterable[tuple[str, str]]) -> Reading:
    """Read what restricts in every ``Content-Signal`` among the header fields of one answer."""
    value = ", ".join(value for name, value in headers if name.lower() == "content-signal")
    origin = Origin(PROTOCOL, VERSION, "header", value.encode("utf-8", "surrogatepass"), Speaker.HOST)
    return restricting(read_value(value, origin, scope=Scope.WORK))


def read_value(value: str, origin: Origin, *, scope: Scope = Scope.HOST) -> Reading:
    """Read the value of one line: one statement of what is plain, one of what is malformed.

    A value longer than ``LARGEST`` is a fault, and nothing of it is read.
    """
    if len(value) > LARGEST:
        what = f"a value of {len(value)} characters; at most {LARGEST} are read"
        return Reading((), (Fault(origin.protocol, origin.carrier, Status.MALFORMED, what),))
    members = [member.strip() for member in value.lower().split(",")]
    plain = all(_is_plain(member) for member in members if member)
    preferences, odd = _sorted(_pairs(value.lower()))
    if not plain:
        odd |= {use: one for use, one in preferences.items() if one is not Preference.ALLOWED}
        preferences = {}
    found = ((preferences, Quality.EXACT), (odd, Quality.MALFORMED))
    return Reading(
        tuple(statement(origin, one, value, quality=quality, scope=scope) for one, quality in found if one)
    )


def _is_plain(member: str) -> bool:
    key, sign, value = (part.strip() for part in member.partition("="))
    return bool(sign and key and value) and not any(
        mark.isspace() or mark in "=:._\"'" for mark in key + value
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    words = _BETWEEN.sub(" ", text).replace("=", " = ").replace(":", " = ").split()
    return (
        (words[at - 1].replace("_", "-"), words[at + 1].rstrip("."))
        for at in range(1, len(words) - 1)
        if words[at] == "="
    )


def _sorted(pairs: Iterator[tuple[str, str]]) -> tuple[dict[Use, Preference], dict[Use, Preference]]:
    """Part what says yes or no from what says neither."""
    found, odd = dict[Use, Preference](), dict[Use, Preference]()
    for key, value in pairs:
        preference = _VALUES.get(value, Preference.UNKNOWN)
        exact = preference is not Preference.UNKNOWN and key in SIGNALS
        if not exact:
            preference = Preference.RESERVED if _NO.match(value) else Preference.UNKNOWN
        for use in _KEYS.get(key, ()):
            into = found if exact else odd
            into[use] = _stricter(into, use, preference)
    return found, odd


def _stricter(known: Mapping[Use, Preference], use: Use, preference: Preference) -> Preference:
    return max(known.get(use, preference), preference, key=lambda one: one.restriction)
