"""The loops of :mod:`registry.pdq`: luma, and the blurred and sampled grid, to the bit as numpy gives them.

The same operations on 32-bit floats in the same order, without fused or reordered arithmetic.
"""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled, inlined

__all__ = ["border", "dct", "luma_of", "sampled"]

_Floats = NDArray[np.float32]
_Luma = NDArray[np.float32 | np.uint8]


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
    luma: _Luma, row_window: int, column_window: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> _Floats:
    """Blur ``luma: float32[h, w]`` or ``uint8[h, w]`` twice in both directions; take ``rows`` × ``columns``.

    ``row_window`` is the box along rows, ``column_window`` along columns, in pixels. The first blur flows
    into the second one row after the other, so all but the picture itself stays in the cache.
    """
    height, width = luma.shape
    along_row, along_column = _counts(width, row_window), _counts(height, column_window)
    at_columns = along_row[columns]
    narrow = np.empty((height, columns.shape[0]), np.float32)
    # Rows after the first box: as many as the sum along columns still holds, and four that come next.
    held = np.empty((column_window + 4, width), np.float32)
    total, blurred, sums = (
        np.zeros(width, np.float32),
        np.empty((4, width), np.float32),
        np.empty((4, width), np.float32),
    )
    for step in range(height + _lead(column_window)):
        if step < height:
            if step % 4 == 0:
                _box_four_rows(luma, step, row_window, along_row, held)
            _add(total, held[step % len(held)])
        if step >= column_window:
            _subtract(total, held[(step - column_window) % len(held)])
        row = step - _lead(column_window)
        if row >= 0:
            _divide(total, along_column[row], blurred[row % 4])
            if row % 4 == 3 or row == height - 1:
                _sums_of_four(blurred, row_window, sums)
                for one in range(row - row % 4, row + 1):
                    _take(sums[one % 4], columns, narrow[one])
                    _divide_each(narrow[one], at_columns, narrow[one])
    return _box_columns_at(narrow, column_window, along_column, rows)


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
def _box_four_rows(luma: _Luma, first: int, window: int, counts: _Floats, held: _Floats) -> None:
    """Filter four rows from ``first`` on into their places in ``held``; beyond the end, the last one."""
    height, width = luma.shape
    rows, sums = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    for one in range(4):
        _floats(luma[min(first + one, height - 1)], rows[one])
    _sums_of_four(rows, window, sums)
    for one in range(4):
        _divide_each(sums[one], counts, held[(first + one) % len(held)])


@compiled
def _sums_of_four(rows: _Floats, window: int, out: _Floats) -> None:
    """Sum along four rows side by side: each sum waits for its own last step, not for those of others."""
    width, lead = rows.shape[1], _lead(window)
    a, b, c, d = rows[0], rows[1], rows[2], rows[3]
    out_a, out_b, out_c, out_d = out[0], out[1], out[2], out[3]
    sum_a = sum_b = sum_c = sum_d = np.float32(0)
    for at in range(window):
        sum_a, sum_b, sum_c, sum_d = sum_a + a[at], sum_b + b[at], sum_c + c[at], sum_d + d[at]
        if at >= lead:
            to = at - lead
            out_a[to], out_b[to], out_c[to], out_d[to] = sum_a, sum_b, sum_c, sum_d
    # Slices, so that the compiler sees that no place is negative.
    new_a, new_b, new_c, new_d = a[window:], b[window:], c[window:], d[window:]
    first = window - lead
    out_a, out_b, out_c, out_d = out_a[first:], out_b[first:], out_c[first:], out_d[first:]
    for at in range(width - window):
        sum_a = sum_a + new_a[at] - a[at]
        sum_b = sum_b + new_b[at] - b[at]
        sum_c = sum_c + new_c[at] - c[at]
        sum_d = sum_d + new_d[at] - d[at]
        out_a[at], out_b[at], out_c[at], out_d[at] = sum_a, sum_b, sum_c, sum_d
    for at in range(width - window, width - first):
        sum_a, sum_b, sum_c, sum_d = sum_a - a[at], sum_b - b[at], sum_c - c[at], sum_d - d[at]
        out_a[at], out_b[at], out_c[at], out_d[at] = sum_a, sum_b, sum_c, sum_d


@compiled
def _box_columns_at(values: _Floats, window: int, counts: _Floats, rows: NDArray[np.intp]) -> _Floats:
    """Filter along columns, all of them at once; return ``rows`` of the result."""
    height, width = values.shape
    out = np.empty((rows.shape[0], width), np.float32)
    total = np.zeros(width, np.float32)
    done = 0
    for step in range(height + _lead(window)):
        if step < height:
            _add(total, values[step])
        if step >= window:
            _subtract(total, values[step - window])
        row = step - _lead(window)
        while done < rows.shape[0] and rows[done] == row:
            _divide(total, counts[row], out[done])
            done += 1
    return out


@compiled
def _counts(size: int, window: int) -> _Floats:
    """Return how many values the box around each of ``size`` places holds: fewer at both ends."""
    ends = np.arange(size) + _lead(window) + 1
    return (np.minimum(ends, size) - np.maximum(ends - window, 0)).astype(np.float32)


@inlined
def _lead(window: int) -> int:
    """Return how many places the box reaches ahead of its own."""
    return (window + 2) // 2 - 1


@inlined
def _floats(values: _Luma, out: _Floats) -> None:
    for at in range(out.shape[0]):
        out[at] = np.float32(values[at])


@inlined
def _add(total: _Floats, values: _Floats) -> None:
    for at in range(total.shape[0]):
        total[at] += values[at]


@inlined
def _subtract(total: _Floats, values: _Floats) -> None:
    for at in range(total.shape[0]):
        total[at] -= values[at]


@inlined
def _divide(values: _Floats, count: np.float32, out: _Floats) -> None:
    for at in range(values.shape[0]):
        out[at] = values[at] / count


@inlined
def _divide_each(values: _Floats, counts: _Floats, out: _Floats) -> None:
    for at in range(values.shape[0]):
        out[at] = values[at] / counts[at]


@inlined
def _take(values: _Floats, places: NDArray[np.intp], out: _Floats) -> None:
    for at in range(places.shape[0]):
        out[at] = values[places[at]]


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
