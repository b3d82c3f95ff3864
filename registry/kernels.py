"""Compiled loops for the arithmetic that costs; numba, from the extra ``[fast]``, is needed here alone.

Each function does what its numpy counterpart in :mod:`registry.pdq` or :mod:`registry.hamming` does, to the
bit: the same operations on 32-bit floats in the same order, without fused or reordered arithmetic. The
machine code is cached beside the package or in the user's cache, so a second start compiles nothing; where
neither can be written, each start compiles.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["hamming_distances", "luma_of", "sampled"]

_Floats = NDArray[np.float32]
_PAIRS = np.uint64(0x5555555555555555)
_NIBBLES = np.uint64(0x3333333333333333)
_BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM = np.uint64(0x0101010101010101)


def _decorator() -> Any:
    """Return what compiles; with a cache on the disk, unless there is no place to write one."""
    try:
        numba.njit(cache=True)(lambda: None)
    except RuntimeError:
        return numba.njit(nogil=True)
    return numba.njit(cache=True, nogil=True)


_compiled = _decorator()


@_compiled
def hamming_distances(hashes: NDArray[np.uint64], one: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return the distance in bits of each of ``hashes: uint64[n, w]`` to ``one: uint64[w]``.

    The bits are counted in parallel within a word (Warren, Hacker's Delight, 5-1), which the compiler turns
    into the processor's own instruction.
    """
    distances = np.empty(hashes.shape[0], np.uint16)
    for row in range(hashes.shape[0]):
        total = np.uint64(0)
        for word in range(hashes.shape[1]):
            bits = hashes[row, word] ^ one[word]
            bits -= (bits >> np.uint64(1)) & _PAIRS
            bits = (bits & _NIBBLES) + ((bits >> np.uint64(2)) & _NIBBLES)
            bits = (bits + (bits >> np.uint64(4))) & _BYTES
            total += (bits * _SUM) >> np.uint64(56)
        distances[row] = total
    return distances


@_compiled
def luma_of(rgb: NDArray[np.uint8]) -> _Floats:
    """Return the luma of ``rgb: uint8[h, w, 3]`` as ``float32[h, w]``."""
    height, width = rgb.shape[0], rgb.shape[1]
    luma = np.empty((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            weighted = rgb[row, column, 0] * 0.299 + rgb[row, column, 1] * 0.587
            luma[row, column] = np.float32(weighted + rgb[row, column, 2] * 0.114)
    return luma


@_compiled
def sampled(
    luma: _Floats, row_window: int, column_window: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> _Floats:
    """Blur ``luma: float32[h, w]`` twice in both directions and take the pixels at ``rows`` × ``columns``.

    ``row_window`` is the box along rows, ``column_window`` along columns, in pixels.
    """
    once = _box_columns(_box_rows(luma, row_window), column_window)
    twice = _box_rows(once, row_window)
    narrow = np.empty((luma.shape[0], columns.shape[0]), np.float32)
    for row in range(luma.shape[0]):
        for at in range(columns.shape[0]):
            narrow[row, at] = twice[row, columns[at]]
    blurred = _box_columns(narrow, column_window)
    grid = np.empty((rows.shape[0], columns.shape[0]), np.float32)
    for at in range(rows.shape[0]):
        grid[at] = blurred[rows[at]]
    return grid


@_compiled
def _box_rows(values: _Floats, window: int) -> _Floats:
    height, width = values.shape
    half = (window + 2) // 2
    out = np.empty((height, width), np.float32)
    for row in range(height):
        total = np.float32(0)
        for column in range(half - 1):
            total += values[row, column]
        for column in range(half - 1, window):
            total += values[row, column]
            out[row, column - half + 1] = total / np.float32(column + 1)
        for column in range(window, width):
            total += values[row, column]
            total -= values[row, column - window]
            out[row, column - half + 1] = total / np.float32(window)
        for gone in range(half - 1):
            total -= values[row, width - window + gone]
            out[row, width - half + 1 + gone] = total / np.float32(window - 1 - gone)
    return out


@_compiled
def _box_columns(values: _Floats, window: int) -> _Floats:
    """All columns at once, a row after the other: each column's sum is taken in the reference's order."""
    height, width = values.shape
    half = (window + 2) // 2
    out = np.empty((height, width), np.float32)
    total = np.zeros(width, np.float32)
    for row in range(half - 1):
        for column in range(width):
            total[column] += values[row, column]
    for row in range(half - 1, window):
        count = np.float32(row + 1)
        for column in range(width):
            total[column] += values[row, column]
            out[row - half + 1, column] = total[column] / count
    count = np.float32(window)
    for row in range(window, height):
        for column in range(width):
            total[column] += values[row, column]
            total[column] -= values[row - window, column]
            out[row - half + 1, column] = total[column] / count
    for gone in range(half - 1):
        count = np.float32(window - 1 - gone)
        for column in range(width):
            total[column] -= values[height - window + gone, column]
            out[height - half + 1 + gone, column] = total[column] / count
    return out
