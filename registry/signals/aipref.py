"""AIPREF: the ``Content-Usage`` header field and the same words in robots.txt (IETF drafts).

1. The value is a Dictionary of structured fields (RFC 9651). Of equal keys the last counts; unknown keys and
   all parameters say nothing; several lines of one message are one Dictionary.
2. ``CURRENT`` has the labels of the vocabulary's revision 08, of which none falls back on another.
3. ``LEGACY`` has the labels of revisions 01 to 04, which revision 08 ignores. ``n`` for the whole (all, bots,
   tdm) reserves every use but those which another label of the same value permits. A legacy ``y`` is not
   widened: it says ``unknown``, save for ``train-genai``, whose meaning has not changed.
4. What breaks the syntax or the type says ``unknown`` by the drafts. It is recorded so, and what in it
   plainly says no reserves (quality ``malformed``): an opt-out is not lost to a comma. Nor to a semicolon,
   which makes a parameter of a label, or to the other order of its words (``ai-train``): these reserve too.

    Content-Usage: train-ai=n, search=y    →    genai-train reserved, search allowed
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import http_sf

from registry.preference import Preference, Scope, Status, Use
from registry.signals.observation import Fault, Origin, Reading, statement
from registry.statement import Quality, Speaker, Statement

__all__ = ["CURRENT", "LARGEST", "LEGACY", "PROTOCOL", "VERSION", "read_headers", "read_value"]

PROTOCOL = "aipref"
VERSION = "vocab-08"
"""The revision of draft-ietf-aipref-vocab by which ``CURRENT`` is read."""

LARGEST = 65536
"""Characters of one value that are read; a longer one is a fault."""

CURRENT = {
    "train-ai": (Use.GENAI_TRAIN,),
    "ai-use": (Use.AI_INPUT, Use.AI_INDEX),
    "search": (Use.SEARCH,),
}
"""Label → what it speaks about, ``y`` and ``n`` alike (draft-ietf-aipref-vocab-08)."""

_ALL = tuple(Use)

LEGACY = {
    "train-genai": ("vocab-03", (Use.GENAI_TRAIN,)),
    "all": ("vocab-02", _ALL),
    "bots": ("vocab-04", _ALL),
    "tdm": ("vocab-01", _ALL),
    "ai": ("vocab-01", (Use.TRAIN, Use.GENAI_TRAIN)),
    "genai": ("vocab-01", (Use.GENAI_TRAIN,)),
    "ai-output": ("vocab-04", (Use.AI_INPUT,)),
    "inference": ("vocab-01", (Use.AI_INPUT,)),
}
"""Label of an older draft → the last revision that has it, and what its ``n`` reserves: our own policy."""

_USES = CURRENT | {label: uses for label, (_, uses) in LEGACY.items()}
_PERMITTING = frozenset(CURRENT) | {"train-genai"}
_MISNAMED = {"ai-train": (Use.TRAIN, Use.GENAI_TRAIN), "ai-input": (Use.AI_INPUT, Use.AI_INDEX)}
"""Label of Content-Signal → what its no reserves: the two headers are taken for each other."""
_SALVAGED = _USES | _MISNAMED
_NEGATIVE = r"n|\?0|0(?![\w.])|false|disallow|den(?:y|ied)"
# Every repetition ends at a character that it cannot contain, so the time is linear in the text.
_LABEL = "|".join(sorted(_SALVAGED, key=len, reverse=True))
_NO = re.compile(
    rf"(?:^|[^\w.-])({_LABEL})[\"']?\s*[=:]\s*[\"']?(?:{_NEGATIVE})",
    re.IGNORECASE | re.ASCII,
)
_NEGATIVE_WORD = re.compile(_NEGATIVE, re.IGNORECASE | re.ASCII)


def read_headers(headers: Iterable[tuple[str, str]]) -> Reading:
    """Read every ``Content-Usage`` among the header fields of one answer, as one Dictionary.

    The lines are joined with commas (RFC 9651, section 4.2), so of equal keys in two lines the last counts.
    """
    lines = [value.strip(" \t") for name, value in headers if name.lower() == "content-usage"]
    value = ", ".join(line for line in lines if line)
    origin = Origin(PROTOCOL, VERSION, "header", value.encode("utf-8", "surrogatepass"), Speaker.HOST)
    return read_value(value, origin)


def read_value(value: str, origin: Origin, *, scope: Scope = Scope.WORK) -> Reading:
    """Read one ``Content-Usage`` value: a statement for each label that is known.

    A value longer than ``LARGEST`` is a fault, and nothing of it is read.
    """
    if len(value) > LARGEST:
        message = f"a Content-Usage of {len(value)} characters; at most {LARGEST} are read"
        return Reading(faults=(Fault(origin.protocol, origin.carrier, Status.MALFORMED, message),))
    text = value.strip(" \t")
    try:
        members = http_sf.parse(text.encode("utf-8", "surrogatepass"), tltype="dictionary")
    except http_sf.StructuredFieldError:
        return Reading(tuple(_salvaged(text, origin, scope)))
    known = cast(Mapping[str, Any], members)
    beside = [label for label in _noes(text) if label not in known or label in _MISNAMED]
    return Reading((*_statements(known, origin, scope), *_reserving(beside, text, origin, scope)))


def _statements(members: Mapping[str, Any], origin: Origin, scope: Scope) -> Iterator[Statement]:
    words = {label: _word(members[label][0]) for label in members if label in _USES}
    permitted = {use for label, word in words.items() if word == "y" for use in _permitted(label)}
    for label, word in words.items():
        said = http_sf.ser({label: members[label]})
        uses = [use for use in _USES[label] if _USES[label] != _ALL or use not in permitted]
        if word in ("y", "n"):
            preferences = dict.fromkeys(uses, _preference(label, word))
            quality = Quality.EXACT
        else:
            preferences = dict.fromkeys(uses, _RESERVED if word == "no" else _UNKNOWN)
            quality = Quality.MALFORMED
        if preferences:
            yield statement(_of(label, origin), preferences, said, quality=quality, scope=scope)


_RESERVED, _UNKNOWN = Preference.RESERVED, Preference.UNKNOWN


def _permitted(label: str) -> tuple[Use, ...]:
    return _USES[label] if label in _PERMITTING else ()


def _preference(label: str, word: str) -> Preference:
    if word == "n":
        return _RESERVED
    return Preference.ALLOWED if label in _PERMITTING else _UNKNOWN


def _word(value: object) -> str:
    """Return ``y`` or ``n`` for these tokens, ``no`` for what means no by mistake, else nothing."""
    if isinstance(value, http_sf.Token) and str(value) in ("y", "n"):
        return str(value)
    if isinstance(value, str | http_sf.Token):
        return "no" if _NEGATIVE_WORD.match(str(value)) else ""
    return "no" if value is False or (type(value) is int and value == 0) else ""


def _of(label: str, origin: Origin) -> Origin:
    """Return the origin under the revision that has the label."""
    version = LEGACY[label][0] if label in LEGACY else origin.version
    return Origin(origin.protocol, version, origin.carrier, origin.raw, origin.speaker)


def _salvaged(text: str, origin: Origin, scope: Scope) -> Iterator[Statement]:
    yield statement(origin, dict.fromkeys(Use, _UNKNOWN), text, quality=Quality.MALFORMED, scope=scope)
    yield from _reserving(_noes(text), text, origin, scope)


def _noes(text: str) -> list[str]:
    """Return the labels to which a text plainly says no, however it is written."""
    return sorted({match[1].lower() for match in _NO.finditer(text.replace("_", "-"))})


def _reserving(labels: Iterable[str], text: str, origin: Origin, scope: Scope) -> Iterator[Statement]:
    for label in labels:
        reserved = dict.fromkeys(_SALVAGED[label], _RESERVED)
        yield statement(_of(label, origin), reserved, text, quality=Quality.MALFORMED, scope=scope)
