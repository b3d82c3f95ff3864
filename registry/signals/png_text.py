"""The texts of a PNG: ``tEXt``, ``zTXt`` and ``iTXt`` chunks (PNG, section 11.3.3), unpacked, bounded."""

import zlib

from registry.preference import Status
from registry.signals.parts import Part, UnreadableError

__all__ = ["TEXTS", "keyword", "raw_profile", "text"]

TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
"""The kinds of chunk that hold a text."""

_LONGEST_KEYWORD = 79


def keyword(data: bytes, part: Part) -> bytes:
    """Return the keyword of a text chunk, empty when there is none."""
    end = data.find(b"\0", part.body, part.body + _LONGEST_KEYWORD + 1)
    return data[part.body : end] if end >= 0 else b""


def text(data: bytes, part: Part, limit: int) -> bytes:
    """Return the text of a chunk, at most ``limit`` bytes.

    Raises :class:`UnreadableError` when it is cut short, cannot be unpacked or is longer.
    """
    place = f"the PNG chunk {part.kind.decode('latin-1')} at byte {part.start}"
    if part.end > len(data):
        raise UnreadableError(f"{place} is cut short by the end of the file")
    at = data.index(b"\0", part.body) + 1
    packed = part.kind == b"zTXt"
    if part.kind == b"iTXt":
        packed = data[at : at + 1] == b"\1"
        at = _after_languages(data, part, at + 2)
    elif packed:
        at += 1  # the method, of which there is one
    raw = data[at : part.end]
    return _unpacked(raw, limit, place) if packed else raw


def _after_languages(data: bytes, part: Part, at: int) -> int:
    """Pass over language tag and translated keyword; each ends with a zero byte."""
    for _ in range(2):
        end = data.find(b"\0", at, part.end)
        if end < 0:
            raise UnreadableError(f"the PNG chunk iTXt at byte {part.start} ends before its text begins")
        at = end + 1
    return at


def _unpacked(packed: bytes, limit: int, place: str) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise UnreadableError(f"{place} cannot be unpacked: {error}") from error
    if len(raw) > limit:
        raise UnreadableError(f"at most {limit} bytes of a text are unpacked; {place} has more", Status.ERROR)
    if not unpacker.eof:
        raise UnreadableError(f"{place} cannot be unpacked: it is cut short")
    return raw


def raw_profile(raw: bytes, place: str) -> bytes:
    """Return the bytes of a “Raw profile type …” text: a name, a length, and that many bytes in hexadecimal.

    ImageMagick writes it. Raises :class:`UnreadableError` when the length is not that of what follows.
    """
    name, _, rest = raw.lstrip(b"\n").partition(b"\n")
    length, _, digits = rest.lstrip(b" ").partition(b"\n")
    try:
        data = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise UnreadableError(f"{place}, profile {ascii(name)[2:-1]}: not hexadecimal: {error}") from error
    if not length.strip().isdigit() or len(length) > 20 or int(length) != len(data):
        said = ascii(length[:20])[2:-1]
        raise UnreadableError(f"{place}: expected {said} bytes of profile, got {len(data)}")
    return data
