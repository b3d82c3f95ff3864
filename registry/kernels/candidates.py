"""The messages whose digests are the candidate keys of a URL, from its SURT text.

``exact:`` and the whole text, ``prefix:`` and the text to each slash of the path, ``host:`` and the text to
the bracket, ``domain:`` and the labels of the registered domain. Each is padded for SHA-256 and begins at a
block of its own, as :mod:`registry.kernels.sha256` wants it.

Public suffixes come as records, one behind the other: a byte of flags that says which rules there are on the
suffix (1: itself, 2: with ``*.`` in front, 4: with ``!``), the length of its SURT text, and the text
(``uk,co,``).
"""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.borrowed import borrowed
from registry.kernels.compiled import compiled, inlined

__all__ = ["BLOCK", "messages", "suffix_slots"]

_Bytes = NDArray[np.uint8]
_Places = NDArray[np.int32]
_Slots = NDArray[np.uint64]

BLOCK = 64
"""Bytes of a block of SHA-256."""
_CHUNK = 32

_EXACT, _PREFIX, _HOST, _DOMAIN = range(4)
_BEGIN, _LABELS, _BRACKET, _PATH, _END = range(5)
_ITSELF, _WILDCARD, _EXCEPTION = 1, 2, 4
_COMMA, _SLASH = ord(","), ord("/")

_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, 64 bits
_UPPER = np.uint64(0xFFFFFFFF00000000)


@compiled
def messages(
    surt: _Bytes,
    places: _Places,
    first: int,
    kinds: _Bytes,
    suffixes: _Bytes,
    slots: _Slots,
    data: _Bytes,
    notes: _Places,
) -> tuple[int, int]:
    """Write the messages of the URLs from ``first`` on until all are done or the room is used up.

    ``surt`` and ``places: int32[n, 5]`` come from :func:`registry.kernels.urls.surts`; a URL whose end is -1
    has no messages, the others theirs narrowest first. ``kinds: uint8[4, w]`` has the beginnings, padded with
    zeros. The messages go to ``data: uint8[64 * b]``, and to ``notes: int32[b, 4]`` a row for each: its first
    block of 64 bytes, the number of its blocks, the place of its URL, its kind. Returns the first URL that
    was not looked at, and the number of messages.

    There is always progress: a URL that needs more room than there is at all gets the end -1.
    """
    surt, places, kinds = borrowed(surt), borrowed(places), borrowed(kinds)
    suffixes, slots = borrowed(suffixes), borrowed(slots)
    data, notes = borrowed(data), borrowed(notes)
    block, count = 0, 0
    for url in range(first, places.shape[0]):
        begin, end = places[url, _BEGIN], places[url, _END]
        if end < 0:
            continue
        folders = 0
        for at in range(places[url, _BRACKET], places[url, _PATH]):
            folders += surt[at] == _SLASH
        if block + _blocks(kinds.shape[1] + end - begin) * (folders + 3) > notes.shape[0]:
            if block:
                return url, count
            places[url, _END] = -1
            continue
        domain = _after_domain(surt, begin, places[url, _LABELS], suffixes, slots)
        stop = end
        for number in range(folders + (3 if domain >= 0 else 2)):
            if number == 0:
                kind = _EXACT
            elif number <= folders:
                kind = _PREFIX
                stop = _last_slash(surt, places[url, _PATH] if number == 1 else stop - 1) + 1
            elif number == folders + 1:
                kind, stop = _HOST, places[url, _BRACKET]
            else:
                kind, stop = _DOMAIN, domain
            blocks = _write(surt, begin, stop, kinds, kind, data, block * BLOCK)
            notes[count, 0], notes[count, 1], notes[count, 2], notes[count, 3] = block, blocks, url, kind
            block += blocks
            count += 1
    return places.shape[0], count


@compiled
def _blocks(size: int) -> int:
    """Return the number of blocks of a message of ``size`` bytes: a bit and a length of 64 follow it."""
    return (size + 1 + 8 + BLOCK - 1) // BLOCK


@inlined
def _last_slash(surt: _Bytes, end: int) -> int:
    """Return the place of the last slash before ``end``. Requires that there is one."""
    at = end - 1
    while surt[at] != _SLASH:
        at -= 1
    return at


@inlined
def _write(surt: _Bytes, begin: int, end: int, kinds: _Bytes, kind: int, data: _Bytes, message: int) -> int:
    """Write a message to ``data[message:]``, padded; return the number of its blocks."""
    at = message
    for column in range(kinds.shape[1]):
        if kinds[kind, column] == 0:
            break
        data[at] = kinds[kind, column]
        at += 1
    _copy(surt, begin, end, data, at)
    at += end - begin
    size = at - message
    blocks = _blocks(size)
    last = message + blocks * BLOCK
    data[at] = 0x80
    for place in range(at + 1, last - 4):
        data[np.uint64(place)] = 0
    for byte in range(4):
        data[last - 1 - byte] = ((size * 8) >> (8 * byte)) & 0xFF
    return blocks


# A signed index may count from the end of an array, and a loop that must ask for each byte whether it does
# is not turned into vector instructions; nor is a copy of unknown length worth setting up for some 40 bytes.
@inlined
def _copy(surt: _Bytes, begin: int, end: int, data: _Bytes, at: int) -> None:
    whole = (end - begin) // _CHUNK * _CHUNK
    for chunk in range(0, whole, _CHUNK):
        for offset in range(chunk, chunk + _CHUNK):
            data[np.uint64(at + offset)] = surt[np.uint64(begin + offset)]
    for offset in range(whole, end - begin):
        data[np.uint64(at + offset)] = surt[np.uint64(begin + offset)]


@inlined
def _after_domain(surt: _Bytes, begin: int, end: int, suffixes: _Bytes, slots: _Slots) -> int:
    """Return where the registered domain of the labels ``surt[begin:end]`` ends, or -1 where there is none.

    Of the rules that fit, that of the most labels counts, as the library has it; where none fits, the last
    label is the public suffix.
    """
    public, depth, value = 1, 0, _SEED
    for at in range(begin, end):
        character = surt[np.uint64(at)]
        value = (value ^ np.uint64(character)) * _PRIME
        if character == _COMMA:
            depth += 1
            flags = _flags_of(surt, begin, at + 1, value, suffixes, slots)
            if flags & _EXCEPTION:
                public = depth - 1
            elif flags & _WILDCARD:
                public = depth + 1 if at + 1 < end else depth
            elif flags & _ITSELF:
                public = depth
    for at in range(begin, end):
        if surt[at] == _COMMA:
            public -= 1
            if public < 0:
                return at + 1
    return -1


@inlined
def _flags_of(surt: _Bytes, begin: int, end: int, value: np.uint64, suffixes: _Bytes, slots: _Slots) -> int:
    """Return the flags of the suffix ``surt[begin:end]`` whose hash is ``value``, 0 for no rule."""
    slot = np.int64(value & np.uint64(slots.shape[0] - 1))
    while slots[slot]:
        if slots[slot] & _UPPER == value & _UPPER:
            record = np.int64(slots[slot] & ~_UPPER) - 1
            left = end - begin if suffixes[record + 1] == end - begin else -1
            while left > 0 and suffixes[record + 1 + left] == surt[begin + left - 1]:
                left -= 1
            if left == 0:
                return np.int64(suffixes[record])
        slot = (slot + 1) & (slots.shape[0] - 1)
    return 0


@compiled
def suffix_slots(suffixes: _Bytes, size: int) -> _Slots:
    """Return the open-addressed table of the records ``suffixes``, ``uint64[size]``.

    A slot has the upper half of the text's hash, and below it the place of the record + 1; 0 is free.
    Requires ``size`` to be a power of two greater than the number of records.
    """
    slots = np.zeros(size, np.uint64)
    record = 0
    while record < suffixes.shape[0]:
        after = record + 2 + suffixes[record + 1]
        value = _SEED
        for at in range(record + 2, after):
            value = (value ^ np.uint64(suffixes[at])) * _PRIME
        slot = np.int64(value & np.uint64(size - 1))
        while slots[slot]:
            slot = (slot + 1) & (size - 1)
        slots[slot] = (value & _UPPER) | np.uint64(record + 1)
        record = after
    return slots
