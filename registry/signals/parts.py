"""The parts of picture files: where each begins and ends. No pixel is decoded and nothing is copied.

JPEG segments to the start of the scan, PNG and RIFF chunks, TIFF directories. A walk ends where the file
ends. A part that runs past it is yielded all the same, with ``stop`` beyond the file; where no part can be
made out, one of kind ``BROKEN`` says from where on. Both end the walk; what they mean is for the caller.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from registry.errors import InputError
from registry.preference import Status

__all__ = [
    "BROKEN",
    "MAX_PARTS",
    "WALKS",
    "Directory",
    "Entry",
    "Part",
    "TiffForm",
    "UnreadableError",
    "jpeg_parts",
    "picture_kind",
    "png_parts",
    "tiff_directories",
    "tiff_form",
    "webp_parts",
]

BROKEN = b""
"""The kind of what cannot be walked."""

MAX_PARTS = 100_000
"""Parts of one file, and entries of all directories of one TIFF, that are looked at."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Markers that stand alone, and the fill byte before a marker, are passed over in one step.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_SCAN_OR_END = (b"\xda", b"\xd9")
_CHUNK = struct.Struct(">I4s")
_RIFF = struct.Struct("<4sI")


class UnreadableError(InputError):
    """What stands there cannot be had: it is malformed, or (``status`` is ``error``) larger than is read."""

    def __init__(self, message: str, status: Status = Status.MALFORMED) -> None:
        super().__init__(message)
        self.status = status


class Part(NamedTuple):
    """One segment or chunk: ``data[start:stop]`` is all of it, ``data[body:end]`` what it holds.

    ``kind`` is the second byte of a JPEG marker, or the four letters of a chunk.
    """

    kind: bytes
    start: int
    body: int
    end: int
    stop: int


class Entry(NamedTuple):
    """One entry of a TIFF directory: it stands at ``at``, its value at ``data[start:end]``."""

    tag: int
    at: int
    start: int
    end: int


class Directory(NamedTuple):
    """A TIFF directory at ``start``: ``number`` entries from ``entries`` on, then the next one's offset.

    ``stop`` is after that offset; ``wanted`` is the entry that was looked for, or None.
    """

    start: int
    entries: int
    number: int
    stop: int
    wanted: Entry | None


def picture_kind(data: bytes) -> str:
    """Return ``jpeg``, ``png``, ``webp`` or ``tiff`` by the first bytes, else an empty text."""
    if data[:2] == b"\xff\xd8":
        return "jpeg"
    if data[:8] == _PNG:
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "tiff" if tiff_form(data) else ""


def jpeg_parts(data: bytes) -> Iterator[Part]:
    """Walk the segments of a JPEG up to the first scan (ISO/IEC 10918-1, annex B)."""
    at, size = 2, len(data)
    while True:
        marker = _MARKER.search(data, at)
        if marker is None:
            yield Part(BROKEN, at, at, size, size + 1)
            return
        at = marker.start()
        if marker[1] in _SCAN_OR_END:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            yield Part(BROKEN, at, at, size, size + 1)
            return
        stop = at + 2 + length
        yield Part(marker[1], at, at + 4, stop, stop)
        if stop > size:
            return
        at = stop


def png_parts(data: bytes) -> Iterator[Part]:
    """Walk the chunks of a PNG up to IEND (PNG, section 5.3)."""
    at, size = len(_PNG), len(data)
    while True:
        if at + 12 > size:
            yield Part(BROKEN, at, at, size, size + 1)
            return
        length, kind = _CHUNK.unpack_from(data, at)
        if not kind.isalpha():
            yield Part(BROKEN, at, at, size, size + 1)
            return
        stop = at + 12 + length
        yield Part(kind, at, at + 8, stop - 4, stop)
        if stop > size or kind == b"IEND":
            return
        at = stop


def webp_parts(data: bytes) -> Iterator[Part]:
    """Walk the chunks of a WebP to the end that its header names (WebP container, RIFF file format)."""
    size = len(data)
    limit = 8 + int.from_bytes(data[4:8], "little")
    at = 12
    while at < limit:
        if at + 8 > size:
            yield Part(BROKEN, at, at, size, size + 1)
            return
        kind, length = _RIFF.unpack_from(data, at)
        end = at + 8 + length
        yield Part(kind, at, at + 8, end, end + length % 2)
        if end > size:
            return
        at = end + length % 2


class TiffForm(NamedTuple):
    """How the numbers of a TIFF are written: classic or BigTIFF, in one of two byte orders.

    ``order`` is that of ``struct``; ``first`` is where the header names the first directory.
    """

    order: str
    big: bool
    first: int
    number: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def _form(order: str, big: bool) -> TiffForm:
    count, entry, offset = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    structs = (struct.Struct(order + one) for one in (count, entry, offset))
    return TiffForm(order, big, 8 if big else 4, *structs)


_TIFF_FORMS = {
    b"II*\0": _form("<", False),
    b"MM\0*": _form(">", False),
    b"II+\0\x08\0\0\0": _form("<", True),
    b"MM\0+\0\x08\0\0": _form(">", True),
}
_TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def tiff_form(data: bytes | memoryview) -> TiffForm | None:
    """Return how ``data`` is written if it begins as a TIFF does (TIFF 6.0, section 2; BigTIFF)."""
    return _TIFF_FORMS.get(bytes(data[:4])) or _TIFF_FORMS.get(bytes(data[:8]))


def tiff_directories(data: bytes | memoryview, form: TiffForm, tag: int) -> Iterator[Directory]:
    """Walk the chain of directories, looking for ``tag`` in each; SubIFDs are left out.

    No directory at all, one outside the file, or one that was seen before gives one whose ``number`` is −1.
    """
    seen = {0}
    looked_at = 0
    (at,) = form.offset.unpack_from(data, form.first) if len(data) >= form.first + form.offset.size else (0,)
    while at or not looked_at:
        directory = None if at in seen else _directory(data, at, form, tag)
        looked_at += 1 + directory.number if directory else 0
        if directory is None or looked_at > MAX_PARTS:
            yield Directory(at, at, -1, at, None)
            return
        yield directory
        seen.add(at)
        (at,) = form.offset.unpack_from(data, directory.stop - form.offset.size)


def _directory(data: bytes | memoryview, at: int, form: TiffForm, tag: int) -> Directory | None:
    if at + form.number.size > len(data):
        return None
    (count,) = form.number.unpack_from(data, at)
    entries = at + form.number.size
    end = entries + count * form.entry.size
    if end + form.offset.size > len(data):
        return None
    wanted = None
    for number, (found, kind, values, value) in enumerate(form.entry.iter_unpack(data[entries:end])):
        if found == tag:
            place = entries + number * form.entry.size
            wanted = _entry(Entry(tag, place, value, 0), values * _TYPE_BYTES.get(kind, 1), form)
            break
    return Directory(at, entries, count, end + form.offset.size, wanted)


def _entry(entry: Entry, size: int, form: TiffForm) -> Entry:
    """Place a value of ``size`` bytes: what is no longer than an offset stands in the offset's place."""
    inline = entry.at + form.entry.size - form.offset.size
    start = inline if size <= form.offset.size else entry.start
    return entry._replace(start=start, end=start + size)


WALKS: dict[str, Callable[[bytes], Iterator[Part]]] = {
    "jpeg": jpeg_parts,
    "png": png_parts,
    "webp": webp_parts,
}
"""The walk of each kind of picture that consists of parts."""
