"""PDQ: a 256-bit perceptual hash, equal bit for bit to its reference on full-size pixels.

Meta's PDQ ("The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019) blurs the
luma with two passes of a box filter, samples 64 × 64 values, takes the 16 × 16 lowest frequencies of their
DCT without the constant one, and sets a bit where a coefficient lies above the median.

The reference sums in 32-bit floats and in a fixed order, so this module keeps that order: each running sum
of the box filter is one ``numpy.add.accumulate`` over its additions and subtractions as they follow each
other. Reordering it would change bits.

Two paths give the same bits: compiled loops where the extra ``[fast]`` is installed
(:mod:`registry.kernels`), numpy elsewhere.

Here is only the arithmetic; which parts of a picture are hashed is decided in :mod:`registry.fingerprint`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry import fast

__all__ = ["HASH_BYTES", "MIN_SIDE", "PdqHash", "luma_of", "pdq"]

HASH_BYTES = 32
MIN_SIDE = 5
"""Below this many pixels a side there is nothing to hash: quality 0, all bits 0."""

_Floats = NDArray[np.float32]
_Luma = NDArray[np.float32 | np.uint8]
_GRID = 64
_COEFFICIENTS = 16


@dataclass(frozen=True, slots=True)
class PdqHash:
    """The hash of a picture, that of its mirror image, and the quality (0–100) of both.

    ``mirrored`` comes from the same coefficients with the signs of the odd columns changed; hashing
    mirrored pixels gives it up to the few bits that the sampling grid moves.
    """

    bits: bytes
    mirrored: bytes
    quality: int


def luma_of(pixels: NDArray[np.uint8]) -> _Luma:
    """Return the luma (0–255) of ``pixels``, by ITU-R BT.601.

    ``pixels: uint8[h, w, 3]`` are red, green and blue, ``uint8[h, w]`` grey, which is each of the three.
    """
    if pixels.ndim == 2:
        # The three weights add up to one, and the nearest 32-bit number to each sum is the grey itself.
        return pixels
    if fast.kernels is not None:
        compiled: _Floats = fast.kernels.pixels.luma_of(pixels)
        return compiled
    return _weighted(pixels)


def _weighted(rgb: NDArray[np.uint8]) -> _Floats:
    weighted = rgb[..., 0] * 0.299
    weighted += rgb[..., 1] * 0.587
    weighted += rgb[..., 2] * 0.114
    return weighted.astype(np.float32)


def pdq(luma: _Luma) -> PdqHash:
    """Hash ``luma: float32[h, w]`` or ``uint8[h, w]``, values 0–255."""
    if min(luma.shape) < MIN_SIDE:
        return PdqHash(bytes(HASH_BYTES), bytes(HASH_BYTES), 0)
    grid = luma.astype(np.float32) if luma.shape == (_GRID, _GRID) else _sampled(luma)
    coefficients = _dct(grid)
    flipped = coefficients * _MIRROR_SIGNS
    return PdqHash(_bits(coefficients), _bits(flipped), _quality(grid))


def _sampled(luma: _Luma) -> _Floats:
    """Two blurring passes, then the 64 × 64 pixels nearest to the cell centres."""
    height, width = luma.shape
    along_rows, along_columns = (_window(width), _window(height))
    rows, columns = _centres(height), _centres(width)
    if fast.kernels is not None:
        grid: _Floats = fast.kernels.pixels.sampled(luma, along_rows, along_columns, rows, columns)
        return grid
    once = _box(_box(luma.astype(np.float32), along_rows, 1), along_columns, 0)
    twice = _box(once, along_rows, 1)
    # Columns are filtered one by one, so the last pass needs only those that are sampled.
    return _box(np.ascontiguousarray(twice[:, columns]), along_columns, 0)[rows]


def _window(size: int) -> int:
    return (size + 2 * _GRID - 1) // (2 * _GRID)


def _centres(size: int) -> NDArray[np.intp]:
    return ((np.arange(_GRID) + 0.5) * size / _GRID).astype(np.intp)


def _box(values: _Floats, window: int, axis: int) -> _Floats:
    """Filter with a running sum of ``window`` values along ``axis``; shorter at both ends.

    The sum takes ``window`` values in, then for each further one takes it in and the oldest out, then only
    out. ``steps`` is that sequence; the k-th output is the sum after step ``at[k]``.
    """
    values = np.moveaxis(values, axis, 0)
    size = values.shape[0]
    half = (window + 2) // 2
    steady, ending = size - window, half - 1
    steps = np.empty((window + 2 * steady + ending, *values.shape[1:]), np.float32)
    steps[:window] = values[:window]
    steps[window : window + 2 * steady : 2] = values[window:]
    np.negative(values[:steady], out=steps[window + 1 : window + 2 * steady : 2])
    np.negative(values[steady : steady + ending], out=steps[window + 2 * steady :])
    sums = np.add.accumulate(steps, axis=0, out=steps)
    at = np.concatenate(
        [
            np.arange(half - 1, window),
            np.arange(window + 1, window + 2 * steady, 2),
            np.arange(window + 2 * steady, window + 2 * steady + ending),
        ]
    )
    counts = np.concatenate(
        [np.arange(half, window + 1), np.full(steady, window), np.arange(window - 1, window - 1 - ending, -1)]
    ).astype(np.float32)
    filtered = sums[at] / counts.reshape(-1, *([1] * (values.ndim - 1)))
    return np.moveaxis(filtered, 0, axis)


def _dct_matrix() -> _Floats:
    scale = np.float32(np.sqrt(2.0 / _GRID))
    frequency = np.arange(1, _COEFFICIENTS + 1)[:, None]
    angle = (np.pi / 2.0 / _GRID) * frequency * (2 * np.arange(_GRID) + 1)
    matrix: _Floats = (np.float64(scale) * np.cos(angle)).astype(np.float32)
    return matrix


_DCT = _dct_matrix()
_MIRROR_SIGNS = np.where(np.arange(_COEFFICIENTS) % 2 == 0, np.float32(-1), np.float32(1))


def _dct(grid: _Floats) -> _Floats:
    """Return the 16 × 16 coefficients 1–16 of both axes, each sum taken in index order."""
    if fast.kernels is not None:
        compiled: _Floats = fast.kernels.pixels.dct(grid, _DCT)
        return compiled
    partial = np.zeros((_COEFFICIENTS, _GRID), np.float32)
    for k in range(_GRID):
        partial += _DCT[:, k, None] * grid[None, k, :]
    out = np.zeros((_COEFFICIENTS, _COEFFICIENTS), np.float32)
    for k in range(_GRID):
        out += partial[:, k, None] * _DCT[None, :, k]
    return out


def _bits(coefficients: _Floats) -> bytes:
    flat = coefficients.reshape(-1)
    median = np.partition(flat, flat.size // 2 - 1)[flat.size // 2 - 1]
    # The reference prints its 16-bit words from the last to the first, so bit 255 comes first.
    return np.packbits(flat[::-1] > median).tobytes()


def _quality(grid: _Floats) -> int:
    """Sum the visible gradients of the 64 × 64 grid; 100 is the most."""
    total = 0
    for axis in (0, 1):
        steps = -np.diff(grid, axis=axis) * np.float32(100) / np.float32(255)
        total += int(np.abs(steps.astype(np.int32)).sum())
    return min(100, total // 90)
