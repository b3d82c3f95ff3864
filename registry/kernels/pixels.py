"""The loops of :mod:`registry.pdq`: luma, and the blurred and sampled grid, to the bit as numpy gives them.

The same operations on 32-bit floats in the same order, without fused or reordered arithmetic.
"""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled

__all__ = ["border", "dct", "luma_of", "sampled"]

_Floats = NDArray[np.float32]


@compiled
def luma_of(rgb: NDArray[np.uint8]) -> _Floats:
    """Return the luma of ``rgb: uint8[h, w, 3]`` as ``float32[h, w]``."""
    height, width = rgb.shape[0], rgb.shape[1]
    luma = np.empty((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            weighted = rgb[row, column, 0] * 0.299 + rgb[row, column, 1] * 0.587
            luma[row, column] = np.float32(weighted + rgb[row, column, 2] * 0.114)
    return luma


@compiled
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


@compiled
def border(lines: _Floats, ground: float, tolerance: float, share: float) -> int:
    """Return how many of ``lines: float32[n, m]`` from the first on are within ``tolerance`` of ``ground``.

    A line counts when at least ``share`` of it is.
    """
    for line in range(lines.shape[0]):
        near = 0
        for at in range(lines.shape[1]):
            near += abs(lines[line, at] - ground) <= tolerance
        if near / lines.shape[1] < share:
            return line
    return lines.shape[0]


@compiled
def _box_rows(values: _Floats, window: int) -> _Floats:
    """Four rows side by side: a sum waits for its own last step, not for those of other rows."""
    height, width = values.shape
    out = np.empty((height, width), np.float32)
    for row in range(0, height, 4):
        # Beyond the last row it is taken again, and the same values are written again.
        a, b, c, d = row, min(row + 1, height - 1), min(row + 2, height - 1), min(row + 3, height - 1)
        _box_four(values[a], values[b], values[c], values[d], window, out[a], out[b], out[c], out[d])
    return out


@compiled
def _box_four(
    a: _Floats, b: _Floats, c: _Floats, d: _Floats,
    window: int,
    out_a: _Floats, out_b: _Floats, out_c: _Floats, out_d: _Floats,
) -> None:  # fmt: skip
    width, half = a.shape[0], (window + 2) // 2
    sum_a = sum_b = sum_c = sum_d = np.float32(0)
    for at in range(width + half - 1):
        if at < width:
            sum_a += a[at]
            sum_b += b[at]
            sum_c += c[at]
            sum_d += d[at]
        if at >= window:
            sum_a -= a[at - window]
            sum_b -= b[at - window]
            sum_c -= c[at - window]
            sum_d -= d[at - window]
        to = at - half + 1
        if to >= 0:
            count = np.float32(min(at + 1, width) - max(at - window + 1, 0))
            out_a[to] = sum_a / count
            out_b[to] = sum_b / count
            out_c[to] = sum_c / count
            out_d[to] = sum_d / count


@compiled
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


@compiled
def dct(grid: _Floats, matrix: _Floats) -> _Floats:
    """Return ``matrix · grid · matrixᵀ``, each sum taken in index order; ``matrix: float32[k, n]``."""
    partial = np.zeros((matrix.shape[0], grid.shape[1]), np.float32)
    for row in range(matrix.shape[0]):
        for k in range(grid.shape[0]):
            for column in range(grid.shape[1]):
                partial[row, column] += matrix[row, k] * grid[k, column]
    out = np.zeros((matrix.shape[0], matrix.shape[0]), np.float32)
    for row in range(matrix.shape[0]):
        for k in range(grid.shape[1]):
            for column in range(matrix.shape[0]):
                out[row, column] += partial[row, k] * matrix[column, k]
    return out
