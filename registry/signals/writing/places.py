"""Packets of XMP put where each format keeps them; not a byte of the pixels is touched.

Where a packet stands already it is edited there. Where there is none, the first place that the format offers
is taken: after Exif in a JPEG, after the header of a PNG, at the end of a WebP, in the first directory of a
TIFF, which moves to the end of the file for it. Every other byte stays as it was, in its order.
"""

import struct
import zlib
from collections.abc import Callable, Iterable

from registry.errors import InputError
from registry.signals import png_text
from registry.signals.containers import MAX_XMP, STANDARD, XMP_KEYWORD, XMP_TAG
from registry.signals.parts import (
    WALKS,
    Directory,
    Entry,
    Part,
    TiffForm,
    picture_kind,
    tiff_directories,
    tiff_form,
)

__all__ = ["KINDS", "MAX_SEGMENT", "Edit", "edit_packets"]

Edit = Callable[[bytes], bytes]
"""From the packet that stands there, or nothing, to the one that is to stand there."""

MAX_SEGMENT = 65_502
"""Bytes of XMP that one segment of a JPEG holds (XMP part 3, section 1.1.3)."""

_Change = tuple[int, int, bytes]
_PROFILE = b"raw profile type xmp"
_MAX_CLASSIC = 2**32 - 64
_ALPHA, _XMP_FLAG = 0x10, 0x04


def edit_packets(data: bytes, edit: Edit) -> bytes:
    """Return the picture with ``edit`` applied to each packet, or to nothing when there is none.

    Raises :class:`InputError` for another kind of file, one that is damaged, and one without room.
    """
    kind = picture_kind(data)
    if kind not in KINDS:
        raise InputError(
            "a file that is no JPEG, PNG, WebP or TIFF: XMP is not written into others",
            hint="Put the packet into a file beside it, with the ending .xmp.",
        )
    return KINDS[kind](data, edit)


def _walked(data: bytes, kind: str) -> list[Part]:
    """Return all parts of a file that can be walked to its end."""
    parts = list(WALKS[kind](data))
    if not parts or parts[-1].stop > len(data):
        at = parts[-1].start if parts else 0
        raise InputError(
            f"the {kind.upper()} is damaged at byte {at}", hint="Save it anew with a picture editor."
        )
    return parts


def _changed(data: bytes, changes: Iterable[_Change]) -> bytes:
    pieces, at = [], 0
    for start, stop, added in sorted(changes):
        pieces += [data[at:start], added]
        at = stop
    return b"".join([*pieces, data[at:]])


# -- JPEG ------------------------------------------------------------------------------------------


def _jpeg(data: bytes, edit: Edit) -> bytes:
    parts = _walked(data, "jpeg")
    packets = [part for part in parts if part.kind == b"\xe1" and data.startswith(STANDARD, part.body)]
    changes = [
        (part.start, part.stop, _segment(edit(data[part.body + len(STANDARD) : part.end])))
        for part in packets
    ]
    if not changes:
        at = _after_headers(data, parts)
        changes = [(at, at, _segment(edit(b"")))]
    _keep_distances(data, parts, changes)
    return _changed(data, changes)


def _segment(packet: bytes) -> bytes:
    if len(packet) > MAX_SEGMENT:
        head, mark, tail = packet.rpartition(b"<?xpacket end")
        packet = head.rstrip(b" \t\r\n") + mark + tail if mark else packet
    if len(packet) > MAX_SEGMENT:
        raise InputError(
            f"the XMP of the JPEG would have {len(packet)} bytes, of which {MAX_SEGMENT} fit",
            hint="Put it into a file beside the picture, with the ending .xmp.",
        )
    return struct.pack(">HH", 0xFFE1, 2 + len(STANDARD) + len(packet)) + STANDARD + packet


def _after_headers(data: bytes, parts: list[Part]) -> int:
    """Return where XMP belongs: after JFIF and Exif, which readers expect first."""
    at = 2
    for part in parts:
        if part.kind != b"\xe0" and not (part.kind == b"\xe1" and data.startswith(b"Exif\0", part.body)):
            break
        at = part.stop
    return at


def _keep_distances(data: bytes, parts: list[Part], changes: list[_Change]) -> None:
    """Refuse to move what an index of several pictures (CIPA DC-007) counts from its own place."""
    index = next((one for one in parts if one.kind == b"\xe2" and data.startswith(b"MPF\0", one.body)), None)
    moved = sum(
        len(added) - (stop - start) for start, stop, added in changes if index and start > index.start
    )
    if moved:
        raise InputError(
            "the JPEG has an index of several pictures before its XMP; it would no longer point at them",
            hint="Put the packet into a file beside the picture, with the ending .xmp.",
        )


# -- PNG -------------------------------------------------------------------------------------------


def _png(data: bytes, edit: Edit) -> bytes:
    parts = _walked(data, "png")
    changes = [
        (part.start, part.stop, _itxt(edit(raw)))
        for part in parts
        if (raw := _png_packet(data, part)) is not None
    ]
    at = parts[0].stop
    return _changed(data, changes or [(at, at, _itxt(edit(b"")))])


def _png_packet(data: bytes, part: Part) -> bytes | None:
    if part.kind not in png_text.TEXTS:
        return None
    keyword = png_text.keyword(data, part).lower()
    if keyword == XMP_KEYWORD.lower():
        return png_text.text(data, part, MAX_XMP)
    if keyword == _PROFILE:
        return png_text.raw_profile(png_text.text(data, part, MAX_XMP), f"PNG at byte {part.start}")
    return None


def _itxt(packet: bytes) -> bytes:
    body = b"iTXt" + XMP_KEYWORD + b"\0" * 5 + packet
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


# -- WebP ------------------------------------------------------------------------------------------


def _webp(data: bytes, edit: Edit) -> bytes:
    parts = _walked(data, "webp")
    changes = [_extended(data, parts[0])]
    packets = [part for part in parts if part.kind in (b"XMP ", b"XMP\0")]
    changes += [(part.start, part.stop, _chunk(edit(data[part.body : part.end]))) for part in packets]
    if not packets:
        changes.append((parts[-1].stop, parts[-1].stop, _chunk(edit(b""))))
    whole = _changed(data, changes)
    # What some programs leave after the end that the header names stays outside.
    size = len(whole) - (len(data) - parts[-1].stop) - 8
    return whole[:4] + struct.pack("<I", size) + whole[8:]


def _chunk(packet: bytes) -> bytes:
    return struct.pack("<4sI", b"XMP ", len(packet)) + packet + b"\0" * (len(packet) % 2)


def _extended(data: bytes, first: Part) -> _Change:
    """Return the header of a WebP that says it has XMP: VP8X, changed or put first."""
    if first.kind == b"VP8X" and first.end > first.body:
        return first.body, first.body + 1, bytes([data[first.body] | _XMP_FLAG])
    flags, width, height = _canvas(data, first)
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    header = struct.pack("<4sI", b"VP8X", 10) + bytes([flags | _XMP_FLAG, 0, 0, 0]) + sides
    return first.start, first.start, header


def _canvas(data: bytes, first: Part) -> tuple[int, int, int]:
    """Return flags, width and height of a simple WebP, from its bitstream (RFC 6386, RFC 9649)."""
    head = data[first.body : first.end]
    if first.kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a" and len(head) >= 10:
        width, height = struct.unpack_from("<HH", head, 6)
        return 0, width & 0x3FFF, height & 0x3FFF
    if first.kind == b"VP8L" and head[:1] == b"\x2f" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return _ALPHA * (bits >> 28 & 1), (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise InputError(f"the WebP begins with {first.kind!r}, not with a picture", hint="Save it anew.")


# -- TIFF ------------------------------------------------------------------------------------------


def _tiff(data: bytes, edit: Edit) -> bytes:
    form = tiff_form(data)
    directory = next(tiff_directories(data, form, XMP_TAG), None) if form else None
    if form is None or directory is None or directory.number < 0:
        raise InputError("the TIFF has no directory that can be read", hint="Save it anew.")
    entry = directory.wanted
    packet = edit(data[entry.start : entry.end] if entry else b"")
    if not form.big and len(data) + len(packet) + directory.stop - directory.start > _MAX_CLASSIC:
        raise InputError("the TIFF would grow beyond 4 GiB", hint="Save it as BigTIFF.")
    out = bytearray(data) + b"\0" * (-len(data) % 8)
    place = len(out)
    if entry is None:
        record = _record(form, packet, place)
        out += packet + b"\0" * (-len(packet) % 8)
        out[form.first : form.first + form.offset.size] = form.offset.pack(len(out))
        out += _with_entry(data, form, directory, record)
    else:
        _replace(out, form, entry, packet)
    return bytes(out)


def _replace(out: bytearray, form: TiffForm, entry: Entry, packet: bytes) -> None:
    """Put the packet where the older one stands if it fits, else at the end; nothing stays of the older."""
    room = entry.end - entry.start
    place = entry.start if form.offset.size < len(packet) <= room else len(out)
    # An offset's own place is written with the entry.
    out[entry.start : entry.end] = bytes(room)
    out[place : place + len(packet)] = packet
    out[entry.at : entry.at + form.entry.size] = _record(form, packet, place)


def _record(form: TiffForm, packet: bytes, place: int) -> bytes:
    return (
        struct.pack(form.order + "HH", XMP_TAG, 1) + form.offset.pack(len(packet)) + form.offset.pack(place)
    )


def _with_entry(data: bytes, form: TiffForm, directory: Directory, record: bytes) -> bytes:
    """Return a directory with one entry more; they stand in the order of their tags."""
    size = form.entry.size
    end = directory.entries + directory.number * size
    entries = [data[at : at + size] for at in range(directory.entries, end, size)] + [record]
    entries.sort(key=lambda one: struct.unpack_from(form.order + "H", one))
    return form.number.pack(len(entries)) + b"".join(entries) + data[end : directory.stop]


KINDS: dict[str, Callable[[bytes, Edit], bytes]] = {"jpeg": _jpeg, "png": _png, "webp": _webp, "tiff": _tiff}
"""How each kind of picture takes a packet."""
