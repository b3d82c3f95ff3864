"""A packet of XMP as properties (ISO 16684-1, section 7): the RDF in it, flattened.

A property is an attribute or an element outside RDF's own namespace, at any depth: what is said of an
ingredient (``xmpMM:Pantry``) is said of the picture that has it in it. Its values are its text or
``rdf:resource``, or those of the ``rdf:li`` and ``rdf:value`` below it, ``x-default`` first. The parser is
expat behind defusedxml: no document type, no entity; elements and depth are bounded.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from registry.preference import Status
from registry.signals.containers import MAX_XMP
from registry.signals.parts import UnreadableError
from registry.signals.xmltext import check_namespaces

__all__ = [
    "CC",
    "DC",
    "IPTC_EXT",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "PLUS",
    "RDF",
    "RIGHTS",
    "TDM",
    "XMP_NOTE",
    "Name",
    "Properties",
    "as_utf8",
    "feed",
    "licence_texts",
    "merged",
    "name_of",
    "parse",
    "plain_namespace",
    "tdm_properties",
]

Name = tuple[str, str]
"""A property: its namespace, as :func:`plain_namespace` gives it, and its local name."""

Properties = Mapping[Name, tuple[str, ...]]
"""The values of each property, in the order of the text; equal ones are kept once."""

PLUS = "http://ns.useplus.org/ldf/xmp/1.0"
TDM = "http://www.w3.org/ns/tdmrep"
RIGHTS = "http://ns.adobe.com/xap/1.0/rights"
CC = "http://creativecommons.org/ns"
DC = "http://purl.org/dc/elements/1.1"
IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29"
XMP_NOTE = "http://ns.adobe.com/xmp/note"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns"

MAX_ELEMENTS = 500_000
"""Elements of one packet that are read."""

MAX_DEPTH = 100
"""Elements inside of each other that are read."""

_XML = "http://www.w3.org/XML/1998/namespace"
_UNSPOKEN = frozenset({RDF, _XML, ""})
_VALUES = frozenset({"li", "value"})
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]{0,200}\?>")
# Byte order marks and first characters, the longer before those that they begin with.
_WIDE = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


@lru_cache(maxsize=4096)
def plain_namespace(namespace: str) -> str:
    """Return a namespace as it is compared: ``http``, and without the ``/`` or ``#`` at its end.

    Writers differ in both, and no two namespaces differ in nothing else.
    """
    rest = namespace.removeprefix("https://")
    return (namespace if rest is namespace else f"http://{rest}").rstrip("/#")


@lru_cache(maxsize=4096)
def name_of(tag: str) -> Name:
    """Return the name in a tag of ElementTree, ``{namespace}local``."""
    namespace, _, local = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    return plain_namespace(namespace), local


_RESOURCE = (RDF, "resource")
_LANG = (_XML, "lang")
_VALUE = (RDF, "value")


@dataclass(slots=True)
class _Open:
    """An element whose end has not come yet; ``values`` are those of the ``rdf:li`` below it."""

    name: Name
    resource: str
    default: bool
    text: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    empty: bool = True


class _Collector:
    """Takes what expat tells, and keeps no tree."""

    def __init__(self) -> None:
        self.found: dict[Name, dict[str, None]] = {}
        self._open: list[_Open] = []
        self._left = MAX_ELEMENTS

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0 or len(self._open) == MAX_DEPTH:
            said = f"at most {MAX_ELEMENTS} elements of XMP, {MAX_DEPTH} deep, are read; there are more"
            raise UnreadableError(said, Status.ERROR)
        resource, default, values = "", False, list[str]()
        for key, value in attributes.items():
            name = name_of(key)
            if name == _RESOURCE:
                resource = value
            elif name == _VALUE:
                values.append(value.strip())
            elif name == _LANG:
                default = value.lower() == "x-default"
            elif name[0] not in _UNSPOKEN:
                self._say(name, value)
        if self._open:
            self._open[-1].empty = False
        self._open.append(_Open(name_of(tag), resource, default, values=values, empty=not values))

    def data(self, text: str) -> None:
        self._open[-1].text.append(text)

    def end(self, _tag: str) -> None:
        element = self._open.pop()
        value = (element.resource or "".join(element.text)).strip()
        namespace, local = element.name
        if namespace == RDF:
            if self._open:
                self._hand_up(element, [value] if local in _VALUES and value else element.values)
        elif namespace not in _UNSPOKEN:
            for one in [value] if value or element.empty else element.values:
                self._say(element.name, one)

    def close(self) -> None:
        """Nothing is left to do; the parser asks."""

    def _hand_up(self, element: _Open, values: list[str]) -> None:
        above = self._open[-1].values
        at = 0 if element.default else len(above)
        above[at:at] = values

    def _say(self, name: Name, value: str) -> None:
        self.found.setdefault(name, {})[value.strip()] = None


def as_utf8(raw: bytes) -> bytes:
    """Return a packet in UTF-8, without what follows its end, and without padding around it.

    A text of another encoding that its XML declaration names is left as it is. Raises
    :class:`UnreadableError` for UTF-16 or UTF-32 that is none.
    """
    encoding = next((name for mark, name in _WIDE if raw.startswith(mark)), "")
    if encoding:
        unit = 4 if "32" in encoding else 2
        try:
            text = raw[: len(raw) // unit * unit].decode(encoding)
            raw = _DECLARATION.sub("", text, count=1).encode()
        except UnicodeError as error:
            raise UnreadableError(f"XMP is not the {encoding.upper()} that it begins as: {error}") from error
    raw = raw.strip(b"\0 \t\r\n")
    for end in (b"<?xpacket end", b"</x:xmpmeta"):
        stop = raw.find(b">", max(raw.rfind(end), 0)) + 1 if end in raw else 0
        if stop:
            return raw if b"<" in raw[stop:] else raw[:stop]
    return raw


def parse(raw: bytes) -> Properties:
    """Return the properties of one packet, in any of XMP's encodings.

    Raises :class:`UnreadableError`, with line and column, for what is no well-formed XML, declares a
    document type or an entity, or is larger than ``MAX_XMP``, ``MAX_ELEMENTS`` or ``MAX_DEPTH``.
    """
    collector = _Collector()
    feed(as_utf8(raw), lambda _: collector)
    return {name: tuple(values) for name, values in collector.found.items()}


def feed(text: bytes, make: Callable[[Callable[[], int]], Any]) -> None:
    """Tell what is in ``text``, made by :func:`as_utf8`, to the target of an XMLParser that ``make`` returns.

    ``make`` is given a function that says at which byte of the text the parser is. Raises as :func:`parse`.
    """
    if len(text) > MAX_XMP:
        raise UnreadableError(f"at most {MAX_XMP} bytes of XMP are read; these are {len(text)}", Status.ERROR)
    check_namespaces(text)

    def place() -> int:
        return int(parser.parser.CurrentByteIndex)

    parser: Any = DefusedXMLParser(target=make(place), forbid_dtd=True)
    try:
        parser.feed(text)
        parser.close()
    except (ParseError, ExpatError) as error:
        raise UnreadableError(f"XMP is not well-formed XML: {error}") from error
    except DefusedXmlException as error:
        raise UnreadableError(f"XMP declares a document type or an entity: {error}") from error
    except (ValueError, LookupError) as error:
        raise UnreadableError(f"XMP is in no encoding that can be read: {error}") from error


def merged(every: Iterable[Properties]) -> Properties:
    """Return the properties of several packets as those of one."""
    values: dict[Name, dict[str, None]] = {}
    for properties in every:
        for name, said in properties.items():
            values.setdefault(name, {}).update(dict.fromkeys(said))
    return {name: tuple(said) for name, said in values.items()}


def tdm_properties(properties: Properties) -> dict[str, tuple[str, ...]]:
    """Return ``tdm:reservation`` and ``tdm:policy`` by the names that TDMRep has for them in HTTP.

    That is ``tdm-reservation`` and ``tdm-policy``; a name that does not stand there is left out.
    """
    found = ((f"tdm-{name}", properties.get((TDM, name), ())) for name in ("reservation", "policy"))
    return {name: values for name, values in found if values}


def licence_texts(properties: Properties) -> tuple[str, ...]:
    """Return what the packet says of the terms of use, each text once.

    ``cc:license``, ``xmpRights:UsageTerms``, ``xmpRights:WebStatement`` (Creative Commons has it hold the
    licence) and ``dc:rights``.
    """
    names = ((CC, "license"), (RIGHTS, "UsageTerms"), (RIGHTS, "WebStatement"), (DC, "rights"))
    return tuple(dict.fromkeys(text for name in names for text in properties.get(name, ()) if text))
