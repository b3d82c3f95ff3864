"""The boxes of a manifest store, looked over before a library reads them (JUMBF, ISO/IEC 19566-5).

A text or byte string in CBOR names its own length in advance, and c2pa-python sets aside what is named: four
bytes in a small file ask for 4 GB. So each box has to lie within the one around it, and each string within
its box. Boxes that are packed (``brob``) cannot be looked into, and are not read.
"""

from collections.abc import Iterator
from typing import NamedTuple

from registry.preference import Status
from registry.signals.parts import UnreadableError

__all__ = ["MAX_BOXES", "MAX_DEPTH", "MAX_ITEMS", "check_store"]

MAX_BOXES = 20_000
"""Boxes of one store that are looked at."""

MAX_DEPTH = 32
"""Boxes within boxes."""

MAX_ITEMS = 500_000
"""CBOR items of one store that are looked at."""

_TEXT_OR_BYTES = (2, 3)
_LENGTH_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int
    depth: int


def check_store(store: bytes) -> None:
    """Raise :class:`UnreadableError` for a store that is broken, or would cost more than it is worth."""
    items = 0
    for number, box in enumerate(_boxes(store)):
        if number == MAX_BOXES or box.depth > MAX_DEPTH:
            raise UnreadableError(
                f"a manifest of more than {MAX_BOXES} boxes, or of more than {MAX_DEPTH} within each other",
                Status.ERROR,
            )
        if box.kind == b"brob":
            raise UnreadableError("a manifest that is packed (brob), which is not read", Status.ERROR)
        if box.kind == b"cbor":
            items += _check_strings(store, box, MAX_ITEMS - items)


def _boxes(store: bytes) -> Iterator[_Box]:
    """Yield every box, outer ones first (ISO/IEC 14496-12, section 4.2)."""
    open_spans = [(0, len(store), 0)]
    while open_spans:
        at, stop, depth = open_spans.pop()
        while at < stop:
            box = _box(store, at, stop, depth)
            yield box
            if box.kind == b"jumb":
                open_spans.append((box.start, box.end, depth + 1))
            at = box.end


def _box(store: bytes, at: int, stop: int, depth: int) -> _Box:
    size, kind, start = int.from_bytes(store[at : at + 4], "big"), store[at + 4 : at + 8], at + 8
    if size == 1:
        size, start = int.from_bytes(store[start : start + 8], "big"), start + 8
    end = stop if size == 0 else at + size
    if not start <= end <= stop:
        raise UnreadableError(
            f"a manifest whose box {kind!r} at byte {at} does not lie within the one around it"
        )
    return _Box(kind, start, end, depth)


def _check_strings(store: bytes, box: _Box, most: int) -> int:
    """Return how many CBOR items a box has, each of whose strings ends in it (RFC 8949, section 3)."""
    at, items = box.start, 0
    while at < box.end:
        major, short = store[at] >> 5, store[at] & 31
        at += 1
        if short in _LENGTH_BYTES:
            after = at + _LENGTH_BYTES[short]
            short, at = int.from_bytes(store[at:after], "big"), after
            indefinite = False
        else:
            indefinite = short == 31
        if major in _TEXT_OR_BYTES and not indefinite:
            at += short
        items += 1
        if items > most:
            raise UnreadableError(f"a manifest of more than {MAX_ITEMS} CBOR items", Status.ERROR)
    if at > box.end:
        raise UnreadableError(f"a manifest with CBOR that runs {at - box.end} bytes past its box")
    return items
