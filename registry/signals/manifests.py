"""Where a C2PA manifest stands in a file: found by the file's structure alone, within microseconds.

JPEG segments of type APP11, the PNG chunk ``caBX``, the RIFF chunk ``C2PA``, the TIFF tag 0xCD41, the box
``uuid`` of AVIF and its kin, the application extension of GIF; in files of any other kind the words with
which a manifest begins (C2PA 2.4, appendix A). Where the structure breaks off, those words are looked for in
the rest: what cannot be walked is not passed over.
"""

import re
from collections.abc import Callable, Iterator

from registry.signals.parts import (
    BROKEN,
    MAX_PARTS,
    WALKS,
    Part,
    TiffForm,
    picture_kind,
    tiff_directories,
    tiff_form,
)

__all__ = ["pieces", "remote_address"]

_ENDS = 1 << 17
"""Bytes at either end of a file in which an address of a manifest is looked for."""

_REMOTE = re.compile(rb"dcterms:provenance(?:\s*=\s*[\"']|>\s*)(https?://[^\"'<\s]{1,200})")
_TIFF_TAG = 0xCD41
_BOX_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MARKS = {"jpeg": b"jumb", "png": b"caBX", "webp": b"C2PA"}
_PLACES: dict[str, Callable[[bytes, Part], bool]] = {
    "jpeg": lambda data, part: part.kind == b"\xeb" and data[part.body : part.body + 2] == b"JP",
    "png": lambda data, part: part.kind == b"caBX",
    "webp": lambda data, part: part.kind == b"C2PA",
}
_FIRST, _LATER = 8, 16
"""Bytes before what a segment APP11 holds of a box: the later ones say its size and kind again."""

_GIF = b"\x21\xff\x0bC2PA_GIF\x01\x00\x00"
_ELSEWHERE = (b"jumb", b"<c2pa:manifest", b"C2PA_Manifest")
"""How a manifest begins in any other kind of file (SVG, PDF; all others hold it as it is)."""


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield the manifest store, piece by piece, without what the file's own structure adds.

    Of a file that is broken it is the rest of the file, of one of another kind the whole of it.
    """
    kind, form = picture_kind(data), tiff_form(data)
    if form is not None:
        return _in_tiff(data, form)
    if kind in _PLACES:
        return _in_parts(data, kind)
    if data[4:8] == b"ftyp":
        return _in_boxes(data)
    if data[:4] == b"GIF8":
        return _in_gif(data)
    return iter([data] if any(mark in data for mark in _ELSEWHERE) else [])


def remote_address(data: bytes) -> str:
    """Return the address of a manifest that is only referred to, else an empty text.

    Looked for in the XMP within ``2**17`` bytes of either end (C2PA 2.4, section 11.4).
    """
    for part in (data[:_ENDS], data[_ENDS:][-_ENDS:]):
        at = part.find(b"dcterms:provenance")
        found = _REMOTE.search(part, at) if at >= 0 else None
        if found:
            return found[1].decode("ascii", "replace")
    return ""


def _in_parts(data: bytes, kind: str) -> Iterator[bytes]:
    at, mark, seen = 0, _MARKS[kind], False
    for number, part in enumerate(WALKS[kind](data)):
        if part.kind == BROKEN or number == MAX_PARTS:
            # A wrong length may have led the walk past the manifest.
            yield from _rest(data, at if seen else 0, mark)
            return
        if _PLACES[kind](data, part):
            seen = True
            yield data[part.body + _before(data, part, kind) : part.end]
        at = part.stop
    # Where the length of a segment is wrong, the walk may have passed over the manifest; a scan has none.
    if kind == "jpeg" and not seen and (found := data.find(mark, 0, at)) >= 0:
        yield data[max(found - 4, 0) : at]


def _before(data: bytes, part: Part, kind: str) -> int:
    if kind != "jpeg":
        return 0
    sequence = int.from_bytes(data[part.body + 4 : part.body + 8], "big")
    return _FIRST if sequence == 1 else _LATER


def _rest(data: bytes, at: int, mark: bytes) -> Iterator[bytes]:
    if data.find(mark, at) >= 0:
        yield data[at:]


def _in_tiff(data: bytes, form: TiffForm) -> Iterator[bytes]:
    for directory in tiff_directories(data, form, _TIFF_TAG):
        if directory.wanted is not None:
            yield data[directory.wanted.start : directory.wanted.end]
        elif directory.number < 0:
            yield from _rest(data, 0, b"jumb")


def _in_gif(data: bytes) -> Iterator[bytes]:
    at = data.find(_GIF)
    if at < 0:
        return
    at += len(_GIF)
    yield b""
    while at < len(data) and data[at]:
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]


def _in_boxes(data: bytes) -> Iterator[bytes]:
    at, seen = 0, False
    for _ in range(MAX_PARTS):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data) - at
        if size < 8:
            break
        if kind == b"uuid" and data[at + 8 : at + 24] == _BOX_UUID:
            seen = True
            box = data[at + 24 : at + size]
            # Version, flags and purpose come before the store, and are of no fixed length.
            yield box[max(box.find(b"jumb") - 4, 0) :]
        at += size
    if not seen and at != len(data):
        yield from _rest(data, 0, _BOX_UUID)
