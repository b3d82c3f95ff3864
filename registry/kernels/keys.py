"""The loops of :mod:`registry.keys`: where a sorted key stands, and which of many are equal."""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled, fetch, inlined

__all__ = ["find", "number"]

_Words = NDArray[np.uint64]
_AHEAD = 32
_NEAR = 2
"""Keys before and behind the guess that are fetched: two lines of the cache."""
_STEPS = 64
_MIXER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ by the golden ratio: Knuth's multiplicative hashing


@compiled
def find(
    keys: _Words, starts: NDArray[np.uint32], shift: int, queries: _Words
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first place of each of ``queries: uint64[k, 2]`` and how many equal keys stand there.

    ``starts`` says, for the upper bits of a key (those above ``shift``), where keys with these bits begin.
    From there the lower bits tell about how far to go, since most keys are hashes and spread evenly; a few
    steps from the guess find the place, and where they do not, halving does. The memory is asked for some
    queries ahead.
    """
    size = keys.shape[0]
    first, count = np.empty(queries.shape[0], np.int64), np.zeros(queries.shape[0], np.int64)
    for ahead in range(queries.shape[0] + _AHEAD):
        if ahead < queries.shape[0]:
            first[ahead] = _guess(starts, shift, queries[ahead, 0])
            fetch(keys, 2 * max(first[ahead] - _NEAR, 0))
            fetch(keys, 2 * min(first[ahead] + _NEAR, size - 1))
        k = ahead - _AHEAD
        if k >= 0:
            high, low = queries[k, 0], queries[k, 1]
            place, steps = first[k], 0
            while steps < _STEPS and place > 0 and keys[place - 1, 0] >= high:
                place -= 1
                steps += 1
            while steps < _STEPS and place < size and keys[place, 0] < high:
                place += 1
                steps += 1
            while steps < _STEPS and place < size and keys[place, 0] == high and keys[place, 1] < low:
                place += 1
                steps += 1
            if steps == _STEPS:
                place = _halving(keys, starts, shift, high, low)
            first[k] = place
            while place < size and keys[place, 0] == high and keys[place, 1] == low:
                place += 1
            count[k] = place - first[k]
    return first, count


@compiled
def _halving(keys: _Words, starts: NDArray[np.uint32], shift: int, high: np.uint64, low: np.uint64) -> int:
    """Return the first place whose key is not less, for keys that somebody chose to crowd together."""
    bucket = np.int64(high >> np.uint64(shift)) if shift < 64 else 0
    begin, end = np.int64(starts[bucket]), np.int64(starts[bucket + 1])
    while begin < end:
        middle = (begin + end) // 2
        if keys[middle, 0] < high or (keys[middle, 0] == high and keys[middle, 1] < low):
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def number(keys: _Words, slots: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each of ``keys: uint64[k, 2]``, from 0 on as they come: equal ones have the same.

    ``firsts: int64[k]`` gets the place where each number stands
    first. ``slots`` is room, a power of two and more than k, filled with -1.
    """
    numbers, last = np.empty(keys.shape[0], np.int64), np.uint64(slots.shape[0] - 1)
    count = 0
    for place in range(keys.shape[0]):
        high, low = keys[place, 0], keys[place, 1]
        slot = ((high ^ low) * _MIXER >> np.uint64(32)) & last
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            if keys[first, 0] == high and keys[first, 1] == low:
                break
            slot = (slot + np.uint64(1)) & last
        if slots[slot] < 0:
            slots[slot] = count
            firsts[count] = place
            count += 1
        numbers[place] = slots[slot]
    return numbers


@inlined
def _guess(starts: NDArray[np.uint32], shift: int, wanted: np.uint64) -> int:
    bucket = np.int64(wanted >> np.uint64(shift)) if shift < 64 else 0
    begin = np.int64(starts[bucket])
    inside = np.uint64(np.int64(starts[bucket + 1]) - begin)
    rest = (wanted << np.uint64(64 - shift)) >> np.uint64(32)
    return begin + np.int64((rest * inside) >> np.uint64(32))
