"""Properties put into a packet of XMP: what else stands in it is kept, byte for byte.

The old values are cut out where they stand, as attributes or as elements of a description of the picture
itself, and a description with the new ones comes last. Nothing is serialised anew: other writers' prefixes,
comments and character references stay as they are.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from registry.errors import InputError
from registry.signals.parts import UnreadableError
from registry.signals.xmp import RDF, Name, as_utf8, feed, name_of, parse, plain_namespace

__all__ = ["Property", "holds", "put"]

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = '<?xpacket end="w"?>'
_RDF_ADDRESS = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EMPTY = (
    f'{_BEGIN}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF_ADDRESS}"></rdf:RDF></x:xmpmeta>'
    f"{_END}"
).encode()
_ROOT, _DESCRIPTION, _ABOUT = (RDF, "RDF"), (RDF, "Description"), (RDF, "about")
_TAG = re.compile(rb"""<(?:[^>"']+|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+(?:([^\s=:]+):)?([^\s=:]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Property:
    """One property: prefix and namespace as they are written, local name, value.

    ``language`` makes the value an alternative in the default language, as XMP has texts for people.
    """

    prefix: str
    namespace: str
    local: str
    value: str
    language: bool = False

    @property
    def name(self) -> Name:
        """The name by which readers know it."""
        return plain_namespace(self.namespace), self.local

    def element(self) -> str:
        """Return it as RDF/XML. Raises :class:`InputError` for characters that XML does not know."""
        if bad := _FORBIDDEN.search(self.value):
            said = f"U+{ord(bad[0]):04X} at character {bad.start()} cannot stand in XMP"
            raise InputError(f"{self.prefix}:{self.local}: {said}", hint="Leave control characters out.")
        text = escape(self.value)
        if self.language:
            text = f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'
        return f"<{self.prefix}:{self.local}>{text}</{self.prefix}:{self.local}>"


def put(raw: bytes, properties: Sequence[Property], gone: Iterable[Name] = ()) -> bytes:
    """Return the packet ``raw`` (empty: a new one) with these properties in place of their older values.

    Those named in ``gone`` are taken out. The packet comes back in UTF-8, or in the encoding that its XML
    declaration names. Raises :class:`InputError` when it cannot be read or has no RDF.
    """
    text = as_utf8(raw)
    if not text or not any(namespace != "adobe:ns:meta" for namespace, _ in parse(text)):
        # A packet that says nothing, perhaps not even in RDF.
        text = _EMPTY
    splice = _splice(text, {*gone, *(one.name for one in properties)})
    if splice.closing is None:
        raise InputError("the XMP that is there has no rdf:RDF", hint="Take it out first.")
    start, stop, before, after = splice.closing
    added = before + _description(properties, splice.about) + after
    return _edited(text, [*splice.cuts, (start, stop, added)])


def holds(raw: bytes, names: Iterable[Name]) -> bool:
    """Say whether a packet says one of these of the picture itself."""
    return bool(_splice(as_utf8(raw), set(names)).cuts)


def _description(properties: Sequence[Property], about: str) -> bytes:
    namespaces = {one.prefix: one.namespace for one in properties} | {"rdf": _RDF_ADDRESS}
    declared = "".join(f" xmlns:{prefix}={quoteattr(address)}" for prefix, address in namespaces.items())
    elements = "".join(one.element() for one in properties)
    text = f"<rdf:Description rdf:about={quoteattr(about)}{declared}>{elements}</rdf:Description>"
    # ASCII stands for itself in every encoding that the packet may have.
    return text.encode("ascii", "xmlcharrefreplace")


def _edited(text: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    pieces, at = [], 0
    for start, stop, added in sorted(edits):
        pieces += [text[at:start], added]
        at = stop
    return b"".join([*pieces, text[at:]])


def _splice(text: bytes, names: set[Name]) -> "_Splice":
    made: list[_Splice] = []

    def make(place: Callable[[], int]) -> _Splice:
        made.append(_Splice(text, names, place))
        return made[0]

    feed(text, make)
    return made[0]


@dataclass(slots=True)
class _Open:
    """An element whose end has not come yet: ``own`` is a description of the picture itself.

    ``kept`` says that something of it is to stay.
    """

    name: Name
    start: int
    own: bool
    kept: bool


@dataclass(slots=True)
class _Splice:
    """Takes what expat tells, and notes where ``names`` stand and where a description can be added."""

    text: bytes
    names: set[Name]
    place: Callable[[], int]
    cuts: list[tuple[int, int, bytes]] = field(default_factory=list)
    closing: tuple[int, int, bytes, bytes] | None = None
    about: str = ""
    _open: list[_Open] = field(default_factory=list)
    _prefixes: dict[str, list[str]] = field(default_factory=dict)

    def start_ns(self, prefix: str, namespace: str) -> None:
        self._prefixes.setdefault(prefix, []).append(namespace)

    def end_ns(self, prefix: str) -> None:
        self._prefixes[prefix].pop()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = _Open(name_of(tag), self.place(), False, False)
        above = self._open[-1] if self._open else None
        if above is not None:
            above.kept |= not (above.own and element.name in self.names)
            element.own = element.name == _DESCRIPTION and above.name == _ROOT
        if element.own:
            said = {name_of(key): value for key, value in attributes.items()}
            self.about = self.about or said.get(_ABOUT, "")
            element.kept = not set(said) <= {_ABOUT, *self.names}
            if self.names & set(said):
                self._cut_attributes(element.start)
        self._open.append(element)

    def end(self, _tag: str) -> None:
        element = self._open.pop()
        if element.name == _ROOT:
            self._close(element.start)
        elif element.name in self.names and self._open and self._open[-1].own:
            self.cuts.append((element.start, self._end_of(element.start), b""))
        elif element.own and not element.kept:
            # Nothing is left in it but what is cut out.
            within = [cut for cut in self.cuts if cut[0] < element.start]
            if len(within) < len(self.cuts):
                self.cuts = [*within, (element.start, self._end_of(element.start), b"")]

    def _tag(self, at: int) -> re.Match[bytes]:
        found = _TAG.match(self.text, at)
        if found is None:
            raise UnreadableError(f"XMP has no tag at byte {at}")
        return found

    def _end_of(self, start: int) -> int:
        """Return where the element ends that began at ``start`` and whose end is told now."""
        tag = self._tag(start)
        return tag.end() if tag[0].endswith(b"/>") else self._tag(self.place()).end()

    def _cut_attributes(self, at: int) -> None:
        tag = self._tag(at)
        for one in _ATTRIBUTE.finditer(self.text, tag.start(), tag.end()):
            prefix, local = (part.decode("utf-8", "replace") for part in (one[1] or b"", one[2]))
            namespace = (self._prefixes.get(prefix) or [""])[-1]
            if (plain_namespace(namespace), local) in self.names:
                self.cuts.append((one.start(), one.end(), b""))

    def _close(self, start: int) -> None:
        tag = self._tag(start)
        if not tag[0].endswith(b"/>"):
            self.closing = (self.place(), self.place(), b"", b"")
            return
        # <rdf:RDF … /> is opened, to have something in it.
        name = tag[0][1:-2].split(None, 1)[0]
        self.closing = (tag.end() - 2, tag.end(), b">", b"</" + name + b">")
