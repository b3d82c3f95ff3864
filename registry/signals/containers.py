"""Where XMP stands in a file, and the packets themselves, as they stand there.

JPEG, PNG, WebP and TIFF are walked part by part (XMP specification, part 3); whatever else comes, and the
rest of a file from where it can be walked no further, is searched for ``<?xpacket`` and ``<x:xmpmeta``. In
a JPEG the pieces of Extended XMP are put together by their GUID. Every packet is given; which one counts is
not decided here. A file that is broken elsewhere is no fault: XMP that is cut short, cannot be unpacked or
is not what its checksum says is one.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import registry.signals.png_text as png_text
from registry.preference import Status
from registry.signals.observation import Fault
from registry.signals.parts import (
    MAX_PARTS,
    WALKS,
    Entry,
    Part,
    UnreadableError,
    picture_kind,
    tiff_directories,
    tiff_form,
)

__all__ = [
    "EXTENDED",
    "MAX_PACKETS",
    "MAX_SEARCHED",
    "MAX_XMP",
    "STANDARD",
    "XMP_KEYWORD",
    "XMP_TAG",
    "Found",
    "Packet",
    "find_packets",
]

MAX_XMP = 16 * 2**20
"""Bytes of XMP in one file, unpacked, that are read."""

MAX_PACKETS = 256
"""Packets of one file that are read."""

MAX_SEARCHED = 512 * 2**20
"""Bytes of a file that are searched for packets where it cannot be walked."""

STANDARD = b"http://ns.adobe.com/xap/1.0/\0"
"""What a JPEG segment with XMP begins with."""

EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
"""What a JPEG segment with a piece of Extended XMP begins with."""

XMP_KEYWORD = b"XML:com.adobe.xmp"
"""The keyword of a PNG text with XMP."""

XMP_TAG = 700
"""The TIFF tag of XMP."""

_EXIF = b"Exif\0\0"
_PROFILES = tuple(b"raw profile type " + name for name in (b"xmp", b"app1", b"exif"))
_MAX_FAULTS = 16
_RIFF_HEADER = 12
_JXL = b"\0\0\0\x0cJXL "
_EXIF_DIRECTORIES = 4
_BEGINNINGS = (b"<?xpacket", b"<x:xmpmeta", b"<x:xapmeta", b"<rdf:RDF")
_PIECE = struct.Struct(">32sII")


@dataclass(frozen=True, slots=True)
class Packet:
    """The bytes of one packet; ``place`` says in words where they stood, ``at`` is the offset of the part."""

    raw: bytes
    place: str
    at: int


@dataclass(frozen=True, slots=True)
class Found:
    """The packets of one file, Extended XMP last, and what could not be had.

    ``kind`` is :func:`~registry.signals.parts.picture_kind`'s word; ``guids`` are those of all Extended XMP
    of which a piece was seen, in upper case.
    """

    kind: str = ""
    packets: tuple[Packet, ...] = ()
    faults: tuple[Fault, ...] = ()
    guids: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Finder:
    """What has been found so far in ``data``."""

    data: bytes
    kind: str
    packets: list[Packet] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    pieces: dict[bytes, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    size: int = 0

    def spend(self, size: int, place: str) -> None:
        """Take so many bytes from what may be read."""
        self.size += size
        if self.size > MAX_XMP:
            raise UnreadableError(
                f"at most {MAX_XMP} bytes of XMP are read; there are more: {place}", Status.ERROR
            )

    def add(self, raw: bytes | memoryview, place: str, at: int) -> None:
        """Take a packet, as far as there is room."""
        self.spend(len(raw), place)
        if len(self.packets) == MAX_PACKETS:
            raise UnreadableError(
                f"at most {MAX_PACKETS} packets are read; there are more: {place}", Status.ERROR
            )
        self.packets.append(Packet(bytes(raw), place, at))

    def attempt(self, take: Callable[..., None], *arguments: object) -> bool:
        """Look into one place; what cannot be had there is kept as a fault. Say whether all went well."""
        try:
            take(self, *arguments)
        except UnreadableError as error:
            self.faults.append(Fault("xmp", "xmp", error.status, error.message))
            return False
        return True

    def found(self) -> Found:
        """Return all of it."""
        guids = frozenset(guid.decode("latin-1").upper() for guid in self.pieces)
        return Found(self.kind, tuple(self.packets), tuple(self.faults), guids)


def find_packets(data: bytes) -> Found:
    """Return all XMP of a file. Time is linear in its size, memory bounded by ``MAX_XMP``."""
    finder = _Finder(data, picture_kind(data))
    if finder.kind in WALKS:
        _walk(finder, _TAKES[finder.kind])
    elif data.startswith(_JXL) and b"brobxml " in data:
        finder.attempt(_refuse_packed)
    elif finder.kind == "tiff":
        finder.attempt(_take_tiff)
    else:
        finder.attempt(_search, 0)
    for guid in finder.pieces:
        finder.attempt(_join_pieces, guid)
    return finder.found()


def _walk(finder: _Finder, takes: dict[bytes, Callable[[_Finder, Part], None]]) -> None:
    """Look into each part; of a file that breaks off, the rest is searched."""
    end = _RIFF_HEADER
    for number, part in enumerate(WALKS[finder.kind](finder.data)):
        end = part.stop
        if number == MAX_PARTS or len(finder.faults) > _MAX_FAULTS:
            finder.attempt(_give_up, part)
            return
        take = takes.get(part.kind)
        whole = take is None or finder.attempt(take, part)
        if whole and part.stop > len(finder.data):
            finder.attempt(_search, part.start)

    if finder.kind == "webp" and end < len(finder.data):
        # Some writers add a chunk and leave the size in the header as it was.
        finder.attempt(_search, end)


def _refuse_packed(_finder: _Finder) -> None:
    raise UnreadableError("XMP in a JPEG XL that is packed (brob), which is not read", Status.ERROR)


def _give_up(finder: _Finder, part: Part) -> None:
    said = f"of a file at most {MAX_PARTS} parts are read, and {_MAX_FAULTS} that are damaged"
    raise UnreadableError(f"{said}; this one goes on at byte {part.start}", Status.ERROR)


def _take(finder: _Finder, part: Part, at: int, place: str) -> None:
    if part.end > len(finder.data):
        raise UnreadableError(f"XMP in {place} is cut short by the end of the file")
    finder.add(memoryview(finder.data)[at : part.end], place, at)


# -- JPEG ------------------------------------------------------------------------------------------


def _take_app1(finder: _Finder, part: Part) -> None:
    data, place = finder.data, f"JPEG APP1 at byte {part.start}"
    if data.startswith(_EXIF, part.body):
        _take_exif(finder, part)
    elif data.startswith(STANDARD, part.body):
        _take(finder, part, part.body + len(STANDARD), place)
    elif data.startswith(EXTENDED, part.body):
        _take_piece(finder, part)
    else:
        # Some writers spoil the header by which the segment is known.
        found = (data.find(mark, part.body, part.end) for mark in _BEGINNINGS)
        begins = min((at for at in found if at >= 0), default=-1)
        if begins >= 0:
            _take(finder, part, begins, place)


def _take_piece(finder: _Finder, part: Part) -> None:
    if part.end > len(finder.data):
        raise UnreadableError(f"Extended XMP at byte {part.start} is cut short by the end of the file")
    at = part.body + len(EXTENDED)
    if at + _PIECE.size > part.end:
        raise UnreadableError(f"Extended XMP at byte {part.start} is too short for its header")
    guid, total, offset = _PIECE.unpack_from(finder.data, at)
    finder.pieces.setdefault(guid, []).append((offset, total, at + _PIECE.size, part.end))


def _join_pieces(finder: _Finder, guid: bytes) -> None:
    name, pieces = f"Extended XMP {ascii(guid)[2:-1]}", sorted(finder.pieces[guid])
    finder.add(_joined(finder.data, guid, pieces, name), name, pieces[0][2])


def _joined(data: bytes, guid: bytes, pieces: list[tuple[int, int, int, int]], name: str) -> bytes:
    """Put the pieces (offset, total, start, end) together; they must fill the total without a gap."""
    reached, total = 0, pieces[0][1]
    for offset, said, start, end in pieces:
        if (offset, said) != (reached, total):
            expected = f"expected byte {reached} of {total}, got byte {offset} of {said}"
            raise UnreadableError(f"{name} is incomplete: {expected}")
        reached += end - start
    if reached != total:
        raise UnreadableError(f"{name} is incomplete: expected {total} bytes, got {reached}")
    raw = b"".join(data[start:end] for _, _, start, end in pieces)
    # The GUID is the MD5 of the whole, by the specification: against a mix-up, not against malice.
    if hashlib.md5(raw, usedforsecurity=False).hexdigest().encode() != guid.lower():
        raise UnreadableError(f"{name} is damaged: its MD5 is not the one that it is named by")
    return raw


# -- PNG, WebP, TIFF -------------------------------------------------------------------------------


def _take_text(finder: _Finder, part: Part) -> None:
    keyword = png_text.keyword(finder.data, part).lower()
    place = f"PNG {part.kind.decode()} at byte {part.start}"
    if keyword == XMP_KEYWORD.lower():
        finder.add(png_text.text(finder.data, part, MAX_XMP), place, part.start)
    elif keyword in _PROFILES:
        text = png_text.text(finder.data, part, MAX_XMP)
        finder.spend(len(text), place)
        _take_profile(finder, png_text.raw_profile(text, place), place, part.start)


def _take_profile(finder: _Finder, raw: bytes, place: str, at: int) -> None:
    """Take what ImageMagick keeps of a JPEG's segment: XMP, or Exif, by what it begins with."""
    exif = raw.removeprefix(_EXIF)
    if tiff_form(exif):
        _take_tags(finder, memoryview(exif), at)
    elif raw.startswith(STANDARD) or b"<" in raw:
        finder.add(raw.removeprefix(STANDARD), place, at)


def _take_riff(finder: _Finder, part: Part) -> None:
    _take(finder, part, part.body, f"WebP chunk at byte {part.start}")


def _take_exif(finder: _Finder, part: Part) -> None:
    """Look for XMP where the Exif of a picture may hold it: it has the form of a TIFF."""
    begins = part.body + len(_EXIF) if finder.data.startswith(_EXIF, part.body) else part.body
    _take_tags(finder, memoryview(finder.data)[begins : part.end], begins)


def _take_tags(finder: _Finder, view: memoryview, base: int) -> None:
    form = tiff_form(view)
    for directory in islice(tiff_directories(view, form, XMP_TAG), _EXIF_DIRECTORIES) if form else ():
        if directory.wanted is not None:
            _take_tag(finder, view, directory.wanted, base)


def _take_tiff(finder: _Finder) -> None:
    view, form = memoryview(finder.data), tiff_form(finder.data)
    for directory in tiff_directories(view, form, XMP_TAG) if form else ():
        if directory.number < 0:
            _search(finder, 0)
        if directory.wanted is not None:
            _take_tag(finder, view, directory.wanted, 0)


def _take_tag(finder: _Finder, view: memoryview, entry: Entry, base: int) -> None:
    place = f"TIFF entry at byte {base + entry.at}"
    if entry.end > len(view):
        raise UnreadableError(f"XMP of {place} is cut short: it should end at byte {base + entry.end}")
    finder.add(view[entry.start : entry.end], place, base + entry.start)


_TAKES: dict[str, dict[bytes, Callable[[_Finder, Part], None]]] = {
    "jpeg": {b"\xe1": _take_app1},
    "png": {**dict.fromkeys(png_text.TEXTS, _take_text), b"eXIf": _take_exif},
    # “XMP\0” is written by some in place of “XMP ”.
    "webp": {b"XMP ": _take_riff, b"XMP\0": _take_riff, b"EXIF": _take_exif},
}


# -- anything else ---------------------------------------------------------------------------------


def _search(finder: _Finder, at: int) -> None:
    """Look for packets from byte ``at`` on: ``<?xpacket`` … ``?>``, then ``<x:xmpmeta`` outside of these."""
    if len(finder.data) - at > MAX_SEARCHED:
        said = f"at most {MAX_SEARCHED} bytes are searched for XMP; this file has {len(finder.data)}"
        raise UnreadableError(said, Status.ERROR)
    for common, group in _MARKS.items():
        for marks in group if finder.data.find(common, at) >= 0 else ():
            _search_for(finder, at, *marks)


def _search_for(finder: _Finder, at: int, begin: bytes, end: bytes, close: bytes) -> None:
    data = finder.data
    while (start := data.find(begin, at)) >= 0:
        if over := [
            one.at + len(one.raw) for one in finder.packets if one.at <= start < one.at + len(one.raw)
        ]:
            at = over[0]
            continue
        closing = data.find(end, start)
        closed = data.find(close, closing) if closing >= 0 else -1
        if closed < 0:
            raise UnreadableError(f"XMP in the file at byte {start} is cut short: it has no end")
        at = closed + len(close)
        finder.add(memoryview(data)[start:at], f"the file at byte {start}", start)


def _wide_marks(*encodings: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Give what a packet begins and ends with in these encodings (ISO 16684-1, section 7.3.2).

    The byte order mark belongs to it: without it one byte order is found in the middle of the other.
    """
    for encoding in encodings:
        for quote in "\"'":
            marks = (f"<?xpacket begin={quote}\ufeff", "<?xpacket end", ">")
            begin, end, close = (mark.encode(encoding) for mark in marks)
            yield begin, end, close


_MARKS = {
    b"<?xpacket begin": ((b"<?xpacket begin", b"<?xpacket end", b">"),),
    b"<x:x": ((b"<x:xmpmeta", b"</x:xmpmeta", b">"), (b"<x:xapmeta", b"</x:xapmeta", b">")),
    b"x\0p\0a\0c\0k\0e\0t": tuple(_wide_marks("utf-16-le", "utf-16-be")),
    b"x\0\0\0p\0\0\0a\0\0\0c": tuple(_wide_marks("utf-32-le", "utf-32-be")),
}
"""What all marks of a group have in common, which is looked for first, and the marks."""
