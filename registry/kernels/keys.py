"""The loop of :mod:`registry.keys`: where a sorted key stands."""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled, fetch, inlined

__all__ = ["find"]

_Words = NDArray[np.uint64]
_AHEAD = 32


@compiled
def find(
    high: _Words, low: _Words, starts: NDArray[np.uint32], shift: int, queries: _Words
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first place of each of ``queries: uint64[k, 2]`` and how many equal keys stand there.

    ``starts`` says, for the upper bits of a key (those above ``shift``), where keys with these bits begin.
    From there the lower bits tell about how far to go, since keys are hashes and spread evenly; a few steps
    from the guess finds the place. The memory is asked for some queries ahead.
    """
    size = high.shape[0]
    first, count = np.empty(queries.shape[0], np.int64), np.zeros(queries.shape[0], np.int64)
    for ahead in range(queries.shape[0] + _AHEAD):
        if ahead < queries.shape[0]:
            first[ahead] = _guess(starts, shift, queries[ahead, 0])
            fetch(high, max(first[ahead] - 4, 0))
            fetch(high, min(first[ahead] + 4, size - 1))
            fetch(low, min(first[ahead], size - 1))
        k = ahead - _AHEAD
        if k >= 0:
            wanted = queries[k, 0]
            place = min(first[k], size - 1)
            while place > 0 and high[place - 1] >= wanted:
                place -= 1
            while place < size and high[place] < wanted:
                place += 1
            while place < size and high[place] == wanted and low[place] < queries[k, 1]:
                place += 1
            first[k] = place
            while place < size and high[place] == wanted and low[place] == queries[k, 1]:
                place += 1
            count[k] = place - first[k]
    return first, count


@inlined
def _guess(starts: NDArray[np.uint32], shift: int, wanted: np.uint64) -> int:
    bucket = np.int64(wanted >> np.uint64(shift)) if shift < 64 else 0
    begin = np.int64(starts[bucket])
    inside = np.uint64(np.int64(starts[bucket + 1]) - begin)
    rest = (wanted << np.uint64(64 - shift)) >> np.uint64(32)
    return begin + np.int64((rest * inside) >> np.uint64(32))
