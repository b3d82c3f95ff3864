"""SHA-256 (FIPS 180-4) of many short messages: sixteen side by side, one a lane.

A single message leaves a processor's vector units idle, because each round needs the one before. Sixteen
messages need the same operations at the same time, so every loop over the lanes compiles to vector
instructions of whatever width there is (16 lanes are one register of AVX-512, two of AVX2, four of SSE2 or
NEON).
"""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled

__all__ = ["digests"]

_Words = NDArray[np.uint32]

# The distance between two words of one lane. The compiler proves that no store reaches a later load of the
# same loop from its being a constant; with a width known only at run time nothing is vectorised.
_LANES = 16
_MESSAGE = 8 * _LANES  # where the words of the block begin, after those of the state

_u32 = np.uint32
_BEGINNING = np.array(
    [
        *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
        *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
    ],
    np.uint32,
)
_ROUNDS = np.array(
    [
        *(0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5),
        *(0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174),
        *(0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA),
        *(0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967),
        *(0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85),
        *(0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070),
        *(0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3),
        *(0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2),
    ],
    np.uint32,
)


@compiled
def digests(words: _Words, starts: NDArray[np.int32], blocks: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return the first 16 bytes of each message's SHA-256, ``uint64[k, 2]``, the earlier bytes in front.

    ``words`` holds blocks of 64 bytes as they lie in memory, 16 words each; message ``i`` is padded by the
    standard and takes ``blocks[i]`` >= 1 of them, from block ``starts[i]`` on. Requires all of them within
    ``words``.
    """
    count = starts.shape[0]
    order = _by_length(blocks)
    out = np.empty((count, 2), np.uint64)
    lanes = np.empty(24 * _LANES, np.uint32)
    before = np.empty(8 * _LANES, np.uint32)
    block = np.empty(16 * _LANES, np.uint32)
    for first in range(0, count, _LANES):
        last = min(first + _LANES, count) - 1
        for word in range(8):
            for lane in range(_LANES):
                lanes[word * _LANES + lane] = _BEGINNING[word]
        for at in range(blocks[order[last]]):
            for lane in range(_LANES):
                # A lane without a message repeats the last one, a shorter message its last block: what
                # comes of either is not looked at.
                message = order[min(first + lane, last)]
                start = (starts[message] + min(at, blocks[message] - 1)) * 16
                for word in range(16):
                    block[lane * 16 + word] = _big_endian(words[start + word])
            _compress(lanes, before, block)
            for lane in range(last - first + 1):
                message = order[first + lane]
                if blocks[message] == at + 1:
                    out[message, 0] = _pair(lanes[lane], lanes[_LANES + lane])
                    out[message, 1] = _pair(lanes[2 * _LANES + lane], lanes[3 * _LANES + lane])
    return out


@compiled
def _by_length(blocks: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the numbers of the messages, those of fewer blocks first, so that neighbours end together."""
    longest = 0
    for count in blocks:
        longest = max(longest, count)
    places = np.zeros(longest + 2, np.int32)
    for count in blocks:
        places[count + 1] += 1
    for count in range(longest + 1):
        places[count + 1] += places[count]
    order = np.empty(blocks.shape[0], np.int32)
    for message in range(blocks.shape[0]):
        order[places[blocks[message]]] = message
        places[blocks[message]] += 1
    return order


@compiled
def _compress(lanes: _Words, before: _Words, block: _Words) -> None:
    """Take one ``block: uint32[16 lanes × 16]`` into ``lanes: uint32[24 × 16 lanes]``, state and message."""
    for at in range(8 * _LANES):
        before[at] = lanes[at]
    for word in range(16):
        for lane in range(_LANES):
            lanes[_MESSAGE + word * _LANES + lane] = block[lane * 16 + word]
    _sixteen_rounds(lanes, 0)
    for first in range(16, 64, 16):
        _next_words(lanes)
        _sixteen_rounds(lanes, first)
    for at in range(8 * _LANES):
        lanes[at] += before[at]


@compiled
def _sixteen_rounds(lanes: _Words, first: int) -> None:
    """Do rounds ``first`` to ``first + 15`` in every lane; names rotate, words stay where they are."""
    for lane in range(_LANES):
        a, b = lanes[lane], lanes[_LANES + lane]
        c, d = lanes[2 * _LANES + lane], lanes[3 * _LANES + lane]
        e, f = lanes[4 * _LANES + lane], lanes[5 * _LANES + lane]
        g, h = lanes[6 * _LANES + lane], lanes[7 * _LANES + lane]
        d, h = _round(a, b, c, d, e, f, g, h, _u32(_ROUNDS[first] + lanes[8 * _LANES + lane]))
        c, g = _round(h, a, b, c, d, e, f, g, _u32(_ROUNDS[first + 1] + lanes[9 * _LANES + lane]))
        b, f = _round(g, h, a, b, c, d, e, f, _u32(_ROUNDS[first + 2] + lanes[10 * _LANES + lane]))
        a, e = _round(f, g, h, a, b, c, d, e, _u32(_ROUNDS[first + 3] + lanes[11 * _LANES + lane]))
        h, d = _round(e, f, g, h, a, b, c, d, _u32(_ROUNDS[first + 4] + lanes[12 * _LANES + lane]))
        g, c = _round(d, e, f, g, h, a, b, c, _u32(_ROUNDS[first + 5] + lanes[13 * _LANES + lane]))
        f, b = _round(c, d, e, f, g, h, a, b, _u32(_ROUNDS[first + 6] + lanes[14 * _LANES + lane]))
        e, a = _round(b, c, d, e, f, g, h, a, _u32(_ROUNDS[first + 7] + lanes[15 * _LANES + lane]))
        d, h = _round(a, b, c, d, e, f, g, h, _u32(_ROUNDS[first + 8] + lanes[16 * _LANES + lane]))
        c, g = _round(h, a, b, c, d, e, f, g, _u32(_ROUNDS[first + 9] + lanes[17 * _LANES + lane]))
        b, f = _round(g, h, a, b, c, d, e, f, _u32(_ROUNDS[first + 10] + lanes[18 * _LANES + lane]))
        a, e = _round(f, g, h, a, b, c, d, e, _u32(_ROUNDS[first + 11] + lanes[19 * _LANES + lane]))
        h, d = _round(e, f, g, h, a, b, c, d, _u32(_ROUNDS[first + 12] + lanes[20 * _LANES + lane]))
        g, c = _round(d, e, f, g, h, a, b, c, _u32(_ROUNDS[first + 13] + lanes[21 * _LANES + lane]))
        f, b = _round(c, d, e, f, g, h, a, b, _u32(_ROUNDS[first + 14] + lanes[22 * _LANES + lane]))
        e, a = _round(b, c, d, e, f, g, h, a, _u32(_ROUNDS[first + 15] + lanes[23 * _LANES + lane]))
        lanes[lane], lanes[_LANES + lane] = a, b
        lanes[2 * _LANES + lane], lanes[3 * _LANES + lane] = c, d
        lanes[4 * _LANES + lane], lanes[5 * _LANES + lane] = e, f
        lanes[6 * _LANES + lane], lanes[7 * _LANES + lane] = g, h


@compiled
def _next_words(lanes: _Words) -> None:
    """Replace the sixteen words of the message schedule by the sixteen that follow them, in every lane."""
    for lane in range(_LANES):
        at = _MESSAGE + lane
        w0, w1, w2, w3 = lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES]
        at += 4 * _LANES
        w4, w5, w6, w7 = lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES]
        at += 4 * _LANES
        w8, w9, wa, wb = lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES]
        at += 4 * _LANES
        wc, wd, we, wf = lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES]
        w0, w1 = _word(w0, w1, w9, we), _word(w1, w2, wa, wf)
        w2, w3 = _word(w2, w3, wb, w0), _word(w3, w4, wc, w1)
        w4, w5 = _word(w4, w5, wd, w2), _word(w5, w6, we, w3)
        w6, w7 = _word(w6, w7, wf, w4), _word(w7, w8, w0, w5)
        w8, w9 = _word(w8, w9, w1, w6), _word(w9, wa, w2, w7)
        wa, wb = _word(wa, wb, w3, w8), _word(wb, wc, w4, w9)
        wc, wd = _word(wc, wd, w5, wa), _word(wd, we, w6, wb)
        we, wf = _word(we, wf, w7, wc), _word(wf, w0, w8, wd)
        lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES] = wc, wd, we, wf
        at -= 4 * _LANES
        lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES] = w8, w9, wa, wb
        at -= 4 * _LANES
        lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES] = w4, w5, w6, w7
        at -= 4 * _LANES
        lanes[at], lanes[at + _LANES], lanes[at + 2 * _LANES], lanes[at + 3 * _LANES] = w0, w1, w2, w3


# numba widens every sum to 64 bits; _u32 around each keeps the lanes narrow, and so the vectors full.
@compiled
def _round(a, b, c, d, e, f, g, h, word):  # type: ignore[no-untyped-def]  # eight words of 32 bits and one
    first = _u32(h + _u32(_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + _u32(g ^ (e & (f ^ g))) + word)
    second = _u32(_u32(_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + _u32((a & b) | (c & (a | b))))
    return _u32(d + first), _u32(first + second)


@compiled
def _word(back16: np.uint32, back15: np.uint32, back7: np.uint32, back2: np.uint32) -> np.uint32:
    small = _turned(back15, 7) ^ _turned(back15, 18) ^ _u32(back15 >> _u32(3))
    large = _turned(back2, 17) ^ _turned(back2, 19) ^ _u32(back2 >> _u32(10))
    return _u32(back16 + _u32(small) + back7 + _u32(large))


@compiled
def _turned(word: np.uint32, right: int) -> np.uint32:
    return _u32(_u32(word >> _u32(right)) | _u32(word << _u32(32 - right)))


@compiled
def _big_endian(word: np.uint32) -> np.uint32:
    middle = _u32(_u32(word >> _u32(8)) & _u32(0xFF00)) | _u32(_u32(word << _u32(8)) & _u32(0xFF0000))
    return _u32(_u32(word >> _u32(24)) | middle | _u32(word << _u32(24)))


@compiled
def _pair(high: np.uint32, low: np.uint32) -> np.uint64:
    return np.uint64((np.uint64(high) << np.uint64(32)) | np.uint64(low))
