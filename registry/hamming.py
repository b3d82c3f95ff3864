"""Exact radius search in Hamming space, over arrays handed to it.

The index takes hashes of one width (1, 4 or 8 words of 64 bits) and answers every stored hash within the
radius of each query: no approximation, so a miss means that there is none. Records are numbered in the order
in which they came; a removed one keeps its number and is never found again.

This form compares every pair, in blocks that stay in the cache: with compiled loops where the extra
``[fast]`` is installed, with ``numpy.bitwise_count`` elsewhere; the answers are the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry import fast

__all__ = ["HammingIndex", "Matches", "hamming_distances"]

_Words = NDArray[np.uint64]
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs found: ``query: int64[k]``, ``record: int64[k]``, ``distance: uint16[k]`` in bits.

    Sorted by query, then distance, then record.
    """

    query: NDArray[np.int64]
    record: NDArray[np.int64]
    distance: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.query)


class HammingIndex:
    """Hashes of ``words`` × 64 bits, searched exactly; each may carry a radius of its own (bits)."""

    def __init__(self, words: int) -> None:
        if words not in (1, 4, 8):
            raise ValueError(f"expected 1, 4 or 8 words a hash, got {words}")
        self._words: _Words = np.empty((0, words), np.uint64)
        self._radii: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._live: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, hashes: _Words, radii: NDArray[np.uint8]) -> int:
        """Append ``hashes: uint64[n, w]`` with their radii; return the number of the first one."""
        first, count = self._size, len(hashes)
        if hashes.shape[1:] != self._words.shape[1:] or radii.shape != (count,):
            raise ValueError(
                f"expected uint64[n, {self._words.shape[1]}] and uint8[n], got {hashes.shape}, {radii.shape}"
            )
        self._reserve(first + count)
        self._words[first : first + count] = hashes
        self._radii[first : first + count] = radii
        self._live[first : first + count] = True
        # Readers look at the size first, so it grows only when everything stands.
        self._size = first + count
        return first

    def remove(self, record: int) -> None:
        """Never find ``record`` again. Requires 0 <= record < len(self)."""
        if not 0 <= record < self._size:
            raise IndexError(f"record {record} of {self._size}")
        self._live[record] = False

    def radius_of(self, records: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the own radius of each of ``records``."""
        return self._radii[records]

    def query(self, hashes: _Words, radius: int) -> Matches:
        """Return every live record within ``radius`` bits of each of ``hashes: uint64[n, w]``.

        Whether a record's own radius is kept too is for the caller, by :meth:`radius_of`: beyond it a match
        may still be worth a review.
        """
        if len(hashes) and hashes.shape[1:] != self._words.shape[1:]:
            raise ValueError(f"expected uint64[n, {self._words.shape[1]}], got {hashes.shape}")
        size = self._size
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]] = []
        for start in range(0, size if len(hashes) else 0, _BLOCK):
            stop = min(start + _BLOCK, size)
            words, live = self._words[start:stop], self._live[start:stop]
            for number, one in enumerate(hashes):
                distance = hamming_distances(words, one)
                record = np.flatnonzero((distance <= radius) & live)
                if len(record):
                    at = np.full(len(record), number, np.int64)
                    found.append((at, record + start, distance[record]))
        if not found:
            return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16))
        query, record, distance = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((record, distance, query))
        return Matches(query[order], record[order], distance[order])

    def _reserve(self, wanted: int) -> None:
        if wanted <= len(self._words):
            return
        room = max(wanted, 2 * len(self._words), 1024)
        words: _Words = np.zeros((room, self._words.shape[1]), np.uint64)
        words[: self._size] = self._words[: self._size]
        # New arrays replace old ones whole: a search under way keeps the ones it started with.
        self._words = words
        self._radii = np.concatenate([self._radii[: self._size], np.zeros(room - self._size, np.uint8)])
        self._live = np.concatenate([self._live[: self._size], np.zeros(room - self._size, np.bool_)])


def hamming_distances(hashes: _Words, one: _Words) -> NDArray[np.uint16]:
    """Return the distance in bits of each of ``hashes: uint64[n, w]`` to ``one: uint64[w]``."""
    if fast.kernels is not None:
        compiled: NDArray[np.uint16] = fast.kernels.hamming_distances(hashes, one)
        return compiled
    distance: NDArray[np.uint16] = np.bitwise_count(hashes ^ one).sum(axis=1, dtype=np.uint16)
    return distance
