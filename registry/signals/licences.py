"""Licences: addresses and names of known ones, and plain words against training.

1. ``KINDS`` says what follows from each kind. CC0 and the public domain mark permit every use; a licence with
   conditions (Creative Commons, RAIL, a gate, CC signals) makes training conditional on them, and ``terms``
   names it: its address where it has one, else its identifier.
2. A text that is nothing but an address or a name is read to the letter. One that stands in a longer text is
   ``inferred``: what it restricts counts, what it permits does not. Who may permit is decided elsewhere.
3. English in which one sentence names AI, training and a refusal, or mining and a refusal, reserves every use
   by AI, as ``natural-language``: never certain, so that a person looks.
4. Anything else says nothing.

    https://creativecommons.org/licenses/by-nc/4.0/    →    train, genai-train conditional
    "You may not use these pictures to train AI."      →    train, genai-train, ai-input, ai-index reserved?
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registry.preference import Preference, Status, Use
from registry.signals.observation import Fault, Origin, Reading, joined, statement
from registry.statement import Quality, Statement

__all__ = ["KINDS", "LARGEST", "MAX_TEXTS", "PROTOCOL", "VERSION", "read_licence", "read_licences"]

PROTOCOL = "licence"
VERSION = "1"
"""The version of the tables below."""

LARGEST = 262_144
"""Characters of all texts of one carrier that are read; more are a fault."""

MAX_TEXTS = 2_000
"""Texts of one carrier that are read; more are a fault."""

_TRAIN = (Use.TRAIN, Use.GENAI_TRAIN)
KINDS = {
    "public-domain": dict.fromkeys(Use, Preference.ALLOWED),
    "cc": dict.fromkeys(_TRAIN, Preference.CONDITIONAL),
    "rail": dict.fromkeys(_TRAIN, Preference.CONDITIONAL),
    "gated": dict.fromkeys((*_TRAIN, Use.AI_INPUT), Preference.CONDITIONAL),
    "cc-signal": dict.fromkeys((*_TRAIN, Use.AI_INPUT), Preference.CONDITIONAL),
}
"""Kind of licence → use → preference."""

_REFUSED = dict.fromkeys((*_TRAIN, Use.AI_INPUT, Use.AI_INDEX), Preference.RESERVED)


@dataclass(frozen=True, slots=True)
class _Found:
    """A licence in a text: its kind, the terms that name it, and the words that do."""

    kind: str
    terms: str
    words: str


def read_licences(texts: Sequence[str], origin: Origin) -> Reading:
    """Read every text of one carrier, equal ones once; all of them together are bounded."""
    every = tuple(dict.fromkeys(texts))
    size = sum(map(len, every))
    if size > LARGEST or len(every) > MAX_TEXTS:
        message = f"{len(every)} texts of {size} characters; at most {MAX_TEXTS} of {LARGEST} are read"
        return Reading(faults=(Fault(origin.protocol, origin.carrier, Status.MALFORMED, message),))
    return joined(read_licence(text, origin) for text in every)


def read_licence(text: str, origin: Origin) -> Reading:
    """Read an address, a name or a text of terms."""
    if len(text) > LARGEST:
        message = f"terms of {len(text)} characters; at most {LARGEST} are read"
        return Reading(faults=(Fault(origin.protocol, origin.carrier, Status.MALFORMED, message),))
    whole = text.strip()
    # What stands in an address is neither a name nor a sentence.
    words = _ADDRESS.sub(" ", whole)
    found = {(one.kind, one.terms): one for one in (*_addresses(whole), *_names(words), *_gate(whole))}
    licences = [_statement(one, whole, origin) for one in found.values()]
    return Reading((*licences, *_refusals(words, origin)))


def _statement(found: _Found, whole: str, origin: Origin) -> Statement:
    quality = Quality.EXACT if found.words == whole else Quality.INFERRED
    terms = "" if found.kind == "public-domain" else found.terms
    return statement(origin, KINDS[found.kind], found.words, quality=quality, terms=terms)


_ADDRESS = re.compile(r"https?://[^\s\"'<>()]*", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?P<folder>publicdomain|licenses|signals)/(?P<name>[a-z+-]+)"
    r"(?:/(?P<version>[0-9]\.[0-9]))?[^\s\"'<>()]*",
    re.IGNORECASE,
)


def _addresses(text: str) -> Iterator[_Found]:
    for match in _CREATIVE_COMMONS.finditer(text):
        folder, name = match["folder"].lower(), match["name"].lower()
        path = "/".join(part for part in (folder, name, match["version"]) if part)
        kind = "cc-signal" if folder == "signals" else "cc"
        if folder == "publicdomain" and name in ("zero", "mark"):
            kind = "public-domain"
        yield _Found(kind, f"https://creativecommons.org/{path}/", match[0])


# What stands between the words of a name. The bound keeps the time in proportion to the text.
_S = r"[\s_-]{0,3}"
_NAMES = {
    "public-domain": rf"cc{_S}(?:0|zero)(?:{_S}1\.0)?(?:{_S}universal)?|cc{_S}pdm(?:{_S}1\.0)?"
    rf"|public{_S}domain{_S}mark(?:{_S}1\.0)?",
    "cc": rf"(?:cc|creative{_S}commons){_S}(?:by|attribution)"
    rf"(?P<parts>(?:{_S}(?:nc|non-?commercial|sa|share-?alike|nd|no{_S}deriv(?:ative)?s?)){{0,3}})"
    rf"(?:{_S}(?P<version>[1-4]\.[0-9]))?(?:{_S}(?:international|unported|generic|igo))?",
    "rail": r"(?:[a-z0-9]{1,32}-){0,4}(?:openrail(?:\+\+|-?[dams]{1,3})?|rail-[dams]{1,3}"
    r"|bloom-rail(?:-[0-9.]{1,5})?)",
    "cc-signal": r"cc-(?P<signal>cr(?:-(?:dc|ec|op|oi))?)(?:-[0-9]\.[0-9])?",
}
"""Kind of licence → its names."""

_PATTERNS = {
    kind: re.compile(rf"(?<![\w-])(?:{names})(?![\w-])", re.IGNORECASE) for kind, names in _NAMES.items()
}
_PARTS = {"nc": ("nc", "non"), "sa": ("sa", "share"), "nd": ("nd", "deriv")}


def _names(text: str) -> Iterator[_Found]:
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            yield _Found(kind, _terms(kind, match), match[0])


def _terms(kind: str, match: re.Match[str]) -> str:
    if kind == "cc-signal":
        return f"cc-{match['signal'].lower()}"
    if kind != "cc":
        return match[0].lower()
    said = match["parts"].lower()
    name = "-".join(("by", *(part for part, words in _PARTS.items() if any(one in said for one in words))))
    version = match["version"]
    return f"https://creativecommons.org/licenses/{name}/{version}/" if version else f"cc-{name}"


_GATE = re.compile(r"(?:hf-)?gated(?:\s{0,3}[:=]\s{0,3}(?:true|auto|manual))?", re.IGNORECASE)


def _gate(text: str) -> Iterator[_Found]:
    if _GATE.fullmatch(text) is not None:
        yield _Found("gated", "gated", text)


_END = re.compile(r"[.!?;]\s|\n[ \t\r]*\n")
_SHORT = re.compile(r"\ba\.i\.", re.IGNORECASE)
_AI = re.compile(
    r"\b(?:ai|gen-?ai|artificial intelligence|machine[- ]learning|generative|neural networks?|llms?|loras?"
    r"|(?:diffusion|language|foundation) models?|train\w*\W{1,3}(?:\w{1,20}\W{1,3}){0,4}models?)\b",
    re.IGNORECASE,
)
_TRAINING = re.compile(
    r"\b(?:train(?:s|ed|ing)?|fine-?tun(?:e|ed|ing)|data ?sets?|scrap(?:e|ed|ing))\b", re.IGNORECASE
)
_MINING = re.compile(r"\b(?:text|data)(?:[- ]and[- ]data)?[- ]mining\b|\btdm\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:no|not|never|cannot|can['’]t|don['’]?t|mustn['’]t|prohibit\w*|forbid\w*|disallow\w*|den(?:y|ied)"
    r"|opt(?:s|ed|ing)?[- ]?out|reserv\w*|exclud\w*|unauthori[sz]ed|object to)\b",
    re.IGNORECASE,
)
_REFUSAL_REFUSED = re.compile(
    r"\b(?:no|not|never|without|don['’]?t) (?:\w{1,20} ){0,2}"
    r"(?:restrict\w*|objecti?o?n?s?|limit\w*|prohibit\w*|forbid\w*|disallow\w*|mind|reserv\w*|exclud\w*)\b",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"#no-?ai\b|\bnoai\b|\bno[- ]ai[- ](?:training|learning|scraping|use|usage|datasets?|models?)\b",
    re.IGNORECASE,
)


def _refusals(text: str, origin: Origin) -> Iterator[Statement]:
    """Yield the first sentence that refuses."""
    for sentence in _END.split(_SHORT.sub("AI", text)):
        words = " ".join(sentence.split())
        if _refuses(words):
            yield statement(origin, _REFUSED, words, quality=Quality.NATURAL_LANGUAGE)
            return


def _refuses(sentence: str) -> bool:
    if _TAG.search(sentence):
        return True
    about = _MINING.search(sentence) or (_AI.search(sentence) and _TRAINING.search(sentence))
    return bool(about and _REFUSAL.search(_REFUSAL_REFUSED.sub(" ", sentence)))
