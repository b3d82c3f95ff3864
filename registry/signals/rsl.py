"""RSL: Really Simple Licensing 1.0 (RSL-SPEC-1.0, 6 November 2025).

A document is found through robots.txt (``License:``), a ``Link`` header field, a page, or in a file. Its
``content`` elements are held against the address of the asset (paths as in RFC 9309, or whole addresses).

1. All that match are collected; their order plays no part. For each use the narrowest that says anything
   about it decides (section 3.1.2).
2. In it, what is prohibited is reserved, also if it is permitted too. If any usage is permitted, a usage that
   is not listed is reserved. What is permitted is allowed only if it costs nothing and asks for nothing: a
   payment, a report, a licence server, or a limit to some users or countries makes it conditional.
3. A licence that names no usage but a condition makes every use conditional. One that names neither says
   nothing: rights are never expanded.
4. The labels of drafts before 1.0 (``train-ai``, ``ai-use`` …) are read as what became of them. A document
   without the namespace is read as ``malformed``: it may restrict, and does not permit.

    <content url="/"><license><prohibits type="usage">ai-train</prohibits></license></content>
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from registry.errors import InputError, InvalidUrlError
from registry.preference import Preference, Scope, Status, Use
from registry.signals.observation import Fault, Origin, Reading, media_type, statement
from registry.signals.page import RSL_TYPE
from registry.signals.paths import PathPattern, path_of, path_pattern
from registry.signals.xmltext import check_namespaces, marks
from registry.signals.xmp import as_utf8
from registry.statement import Quality, Statement
from registry.urls import canonicalize_url

__all__ = [
    "LARGEST",
    "MAX_DEPTH",
    "MAX_MARKS",
    "NAMESPACE",
    "PROTOCOL",
    "USAGES",
    "VERSION",
    "header_links",
    "read",
]

PROTOCOL = "rsl"
VERSION = "1.0"
NAMESPACE = "https://rslstandard.org/rsl"
LARGEST = 1_000_000
"""Bytes of a document that are read; a larger one is a fault."""

MAX_MARKS = 80_000
"""Tags and attributes of a document that are read."""

MAX_DEPTH = 16
"""Elements within each other that are read; none of this format is more than five deep."""

_TRAIN = (Use.TRAIN, Use.GENAI_TRAIN)
_AI = (*_TRAIN, Use.AI_INPUT, Use.AI_INDEX)
USAGES = {
    "all": tuple(Use),
    "ai-all": _AI,
    "ai-train": _TRAIN,
    "ai-input": (Use.AI_INPUT,),
    "ai-index": (Use.AI_INDEX,),
    "search": (Use.SEARCH,),
    # Drafts before 1.0.
    "train-ai": _TRAIN,
    "train-genai": (Use.GENAI_TRAIN,),
    "ai-use": (Use.AI_INPUT,),
    "ai-summarize": (Use.AI_INPUT,),
}
"""Usage token → uses; a token that is not here covers none."""

_PROHIBITED = USAGES | {
    "*": tuple(Use),
    "ai": _AI,
    "training": _TRAIN,
    "ai-training": _TRAIN,
    "train": _TRAIN,
}
"""The same for what is prohibited, where a word that plainly means one of them restricts."""

_BETWEEN = re.compile(r"[\s,;|]+")

_ADDRESS = re.compile(r"(https?)://([^/?#\s]*)([^#\s]*)", re.IGNORECASE)
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_PARAMETER = re.compile(r';[ \t]*([a-z]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^;," \t]*))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Licence:
    """One ``license``: which uses it permits and prohibits, and whether it has a condition."""

    permits: frozenset[Use]
    prohibits: frozenset[Use]
    lists_permits: bool
    conditional: bool
    terms: str
    said: str


@dataclass(frozen=True, slots=True)
class _Content:
    """One ``content``: what it covers, and its licences. ``host`` is empty for paths of the site itself."""

    host: str
    pattern: PathPattern
    licences: tuple[_Licence, ...]


@dataclass(frozen=True, slots=True)
class _Document:
    contents: tuple[_Content, ...]
    namespaced: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What follows for one use, and from where."""

    preference: Preference
    said: str
    terms: str = ""
    scope: Scope = Scope.HOST


def header_links(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the addresses of RSL documents in ``Link`` header fields (RFC 8288), as they are written."""
    lines = [value for name, value in headers if name.lower() == "link"]
    return tuple(found for line in lines for found in _links(line))


def read(data: bytes, url: str, origin: Origin) -> Reading:
    """Read what a document says about the asset at ``url``; an empty ``url`` is a file that holds it.

    What is larger than ``LARGEST``, no XML or no RSL, or declares entities, is a fault.
    """
    try:
        if len(data) > LARGEST:
            raise InputError(f"{len(data)} bytes; at most {LARGEST} are read")
        document = _parsed(data)
    except InputError as error:
        message = f"RSL: {error.message}"
        return Reading(faults=(Fault(origin.protocol, origin.carrier, Status.MALFORMED, message),))
    try:
        matching = _matching(document.contents, url)
    except InvalidUrlError as error:
        return Reading(faults=(Fault(origin.protocol, origin.carrier, Status.ERROR, error.message),))
    return Reading(tuple(_statements(matching, document, origin)))


def _links(line: str) -> Iterator[str]:
    for match in _LINK.finditer(line):
        every = [(name.lower(), quoted or bare) for name, quoted, bare in _PARAMETER.findall(match[2])]
        values = dict(reversed(every))
        if (
            "license" in values.get("rel", "").lower().split()
            and media_type(values.get("type", "")) == RSL_TYPE
        ):
            yield match[1].strip()


def _matching(contents: Iterable[_Content], url: str) -> list[_Content]:
    if not url:
        return list(contents)
    path, host = path_of(url), _host(url)
    return [one for one in contents if one.host in ("", host) and one.pattern.matches(path)]


def _statements(matching: list[_Content], document: _Document, origin: Origin) -> Iterator[Statement]:
    quality = Quality.EXACT if document.namespaced else Quality.MALFORMED
    found: dict[_Outcome, list[Use]] = {}
    levels = _levels(matching)
    for use in Use:
        outcome = _outcome(levels, use)
        if outcome is not None:
            found.setdefault(outcome, []).append(use)
    for one, uses in found.items():
        permits = one.preference is Preference.ALLOWED and not document.namespaced
        preferences = dict.fromkeys(uses, Preference.UNKNOWN if permits else one.preference)
        yield statement(origin, preferences, one.said, quality=quality, scope=one.scope, terms=one.terms)


def _levels(matching: list[_Content]) -> dict[int, list[_Licence]]:
    """Return the licences by the octets of their content's pattern, those of the narrowest first."""
    levels: dict[int, list[_Licence]] = {}
    for one in sorted(matching, key=lambda one: -one.pattern.octets):
        if one.licences:
            levels.setdefault(one.pattern.octets, []).extend(one.licences)
    return levels


def _outcome(levels: Mapping[int, list[_Licence]], use: Use) -> _Outcome | None:
    """Return what the narrowest contents that say anything about ``use`` say together."""
    for octets, licences in levels.items():
        outcome = _together(licences, use)
        if outcome is not None:
            return replace(outcome, scope=Scope.PREFIX if octets > 1 else Scope.HOST)
    return None


def _together(licences: list[_Licence], use: Use) -> _Outcome | None:
    prohibiting = [one for one in licences if use in one.prohibits]
    listing = [one for one in licences if one.lists_permits]
    permitting = [one for one in listing if use in one.permits] or [
        one for one in licences if not listing and one.conditional
    ]
    conditional = [one for one in permitting if one.conditional]
    if prohibiting:
        return _Outcome(Preference.RESERVED, prohibiting[0].said)
    if conditional:
        return _Outcome(Preference.CONDITIONAL, conditional[0].said, conditional[0].terms)
    if permitting:
        return _Outcome(Preference.ALLOWED, permitting[0].said)
    return _Outcome(Preference.RESERVED, listing[0].said) if listing else None


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> _Document:
    """Parse a document. Raises :class:`InputError`, which says where it is wrong."""
    text = as_utf8(data)
    if marks(text) > MAX_MARKS:
        raise InputError(f"{marks(text)} tags and attributes; at most {MAX_MARKS} are read")
    check_namespaces(text)
    try:
        root = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise InputError("a document type or an entity is declared, which is refused") from error
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(f"no XML: {error}") from error
    _check_depth(root)
    space = f"{{{NAMESPACE}}}"
    elements = list(root.iter(f"{space}content"))
    namespaced = bool(elements) or root.tag == f"{space}rsl"
    if not namespaced:
        space = _space(root)
        elements = list(root.iter(f"{space}content"))
    if not elements and len(root):
        raise InputError("a document without a content")
    return _Document(tuple(_content(one, space) for one in elements), namespaced)


def _check_depth(root: Element) -> None:
    """Raise :class:`InputError` for elements too deep: what is looked for within each would cost too much."""
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in one]
    if level:
        raise InputError(f"elements more than {MAX_DEPTH} deep")


def _space(root: Element) -> str:
    space, bracket, name = root.tag.rpartition("}")
    if name.lower() != "rsl":
        raise InputError(f"no RSL: the root is {root.tag[:80]!r}")
    return space + bracket


def _content(element: Element, space: str) -> _Content:
    if element.find(f".//{space}content") is not None:
        raise InputError("a content within another")
    url = element.get("url")
    if url is None:
        raise InputError("a content without a url")
    host, path = _place(url.strip())
    within = [*element.iter(f"{space}license")]
    # A server gives licences to what it is named for: that is a condition, also where none stands here.
    within = within or ([element] if element.get("server", "").strip() else [])
    licences = (_licence(one, element, space) for one in within)
    return _Content(host, path_pattern(path), tuple(licences))


def _place(url: str) -> tuple[str, str]:
    """Return host and path pattern of a content's ``url``; the host of a path is empty."""
    address = _ADDRESS.fullmatch(url)
    if address is not None and "*" not in address[2]:
        try:
            return _host(f"{address[1]}://{address[2]}/"), address[3] or "/"
        except InvalidUrlError as error:
            raise InputError(f"a content for {url[:80]!r}: {error.message}") from error
    if url and not url.startswith(("/", "*")):
        raise InputError(f"a content for {url[:80]!r}, which is neither a path nor the address of one host")
    return "", url


def _host(url: str) -> str:
    """Return host and port in one spelling, whatever the scheme."""
    address = canonicalize_url(url)
    return address[8 : address.index("/", 8)]


def _licence(element: Element, content: Element, space: str) -> _Licence:
    rules = [(name, one) for name in ("permits", "prohibits") for one in element.iter(f"{space}{name}")]
    usages = [(name, _tokens(one)) for name, one in rules if _kind(one, "usage") == "usage"]
    payments = list(element.iter(f"{space}payment"))
    words = [f"{name} {' '.join(tokens)}" for name, tokens in usages]
    words += [f"payment {_kind(one, 'unnamed')}" for one in payments]
    return _Licence(
        permits=_uses(usages, "permits"),
        prohibits=_uses(usages, "prohibits"),
        lists_permits=any(name == "permits" for name, _ in usages),
        conditional=len(usages) < len(rules)
        or not all(map(_is_free, payments))
        or element.find(f".//{space}reporting") is not None
        or bool(content.get("server") or content.get("encrypted", "false").lower() != "false"),
        terms=_terms(element, content, space),
        said=f"{content.get('url')}: {', '.join(words) or 'a licence'}",
    )


def _uses(usages: Iterable[tuple[str, list[str]]], wanted: str) -> frozenset[Use]:
    words = _PROHIBITED if wanted == "prohibits" else USAGES
    return frozenset(
        use for name, tokens in usages if name == wanted for one in tokens for use in words.get(one, ())
    )


def _tokens(element: Element) -> list[str]:
    text = "".join(element.itertext()).lower()
    if element.tag.endswith("prohibits"):
        text = _BETWEEN.sub(" ", text).replace("_", "-")
    return text.replace(",", " ").split()


def _kind(element: Element, default: str) -> str:
    return element.get("type", default).strip().lower()


def _is_free(payment: Element) -> bool:
    return _kind(payment, "free" if not len(payment) else "unnamed") == "free"


def _terms(licence: Element, content: Element, space: str) -> str:
    """Return the address of terms: of payment, licence or content, or of the server that gives licences."""
    of_licence = [one for name in ("standard", "custom", "terms") for one in licence.iter(space + name)]
    texts = ["".join(one.itertext()).strip() for one in (*of_licence, *content.findall(f"{space}terms"))]
    every = (*texts, content.get("server", "").strip())
    return next((one for one in every if _ADDRESS.fullmatch(one)), "")
