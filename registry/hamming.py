"""Exact radius search in Hamming space, over arrays handed to it.

Both indexes take hashes of one width (1, 4 or 8 words of 64 bits) and answer every stored hash within the
radius of each query: no approximation, so a miss means that there is none.

* :class:`HammingTable` never changes: hashes with their multi-index tables, as a segment file holds them.
* :class:`HammingIndex` grows while it is searched; a new hash is found at once, a removed one never again.

Multi-index hashing (Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space With Multi-Index Hashing",
2014): a hash is cut into *m* pieces, each kept in a table of its own. Two hashes within r = m·q + b bits
agree within q bits in one of the first b + 1 pieces, or within q − 1 bits in one of the others: else they
would be r + 1 bits apart. So only the buckets that near to the query's pieces are visited.

The walk needs compiled loops (the extra ``[fast]``). Without them, for small sets and for radii that would
visit most of the table, every pair is compared; the answers are the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import ceil, comb, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry import fast

__all__ = ["HammingIndex", "HammingTable", "Matches", "hamming_distances"]

_Words = NDArray[np.uint64]
_WIDTHS = (1, 4, 8)
_BLOCK = 1 << 16
_ROOM = 1 << 16
_SHORT = 16
"""Bits of a piece in the index that grows: short, so that its heads stay in the cache."""
_VISIT = 6
_CANDIDATE = 8
"""What a visit to a bucket and a hash met in one cost, in hashes compared one after the other."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs found: ``query: int64[k]``, ``record: int64[k]``, ``distance: uint16[k]`` in bits.

    Sorted by query, then distance, then record. ``cut: int64[j]`` names the queries that had more matches
    than the limit; of those, some are missing, near ones perhaps among them.
    """

    query: NDArray[np.int64]
    record: NDArray[np.int64]
    distance: NDArray[np.uint16]
    cut: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.query)


class HammingTable:
    """Hashes that do not change: ``words: uint64[n, w]``, n < 2³², and their tables.

    ``pieces: int64[m, 4]`` gives each piece's first bit, its width, the place of its buckets in
    ``starts: uint32[…]``, and which of the two widths it has; ``ids: uint32[m, n]`` the records by bucket.
    With no pieces it is searched by comparing every pair.
    """

    def __init__(
        self,
        words: _Words,
        pieces: NDArray[np.int64],
        starts: NDArray[np.uint32],
        ids: NDArray[np.uint32],
    ) -> None:
        _check_width(words)
        self.words, self.pieces, self.starts, self.ids = words, pieces, starts, ids

    @classmethod
    def build(cls, words: _Words) -> "HammingTable":
        """Sort ``words: uint64[n, w]`` into tables; without the compiled loops there are none."""
        _check_width(words)
        pieces, buckets = cls.plan(*words.shape)
        table = cls(
            words, pieces, np.zeros(buckets, np.uint32), np.empty((len(pieces), len(words)), np.uint32)
        )
        table.fill()
        return table

    @classmethod
    def plan(cls, count: int, words: int) -> tuple[NDArray[np.int64], int]:
        """Return the pieces for ``count`` hashes of ``words`` words, and the length of ``starts``.

        None without the compiled loops, which alone search by them.
        """
        if fast.kernels is None:
            return np.empty((0, 4), np.int64), 0
        return cls.pieces_of(count, words), cls.buckets_of(count, words)

    @staticmethod
    def pieces_of(count: int, words: int) -> NDArray[np.int64]:
        """Return how ``count`` hashes of ``words`` words are cut."""
        widths = _piece_widths(64 * words, count) if count else []
        firsts = np.cumsum([0, *widths])
        bases = np.cumsum([0, *((1 << width) + 1 for width in widths)])
        rows = [
            (first, width, base, int(width != widths[0]))
            for first, width, base in zip(firsts, widths, bases, strict=False)
        ]
        return np.array(rows, np.int64).reshape(-1, 4)

    @staticmethod
    def buckets_of(count: int, words: int) -> int:
        """Return the length of ``starts`` for so many hashes."""
        return sum((1 << width) + 1 for width in _piece_widths(64 * words, count)) if count else 0

    def fill(self) -> None:
        """Sort the words into the tables, whose ``starts`` are zeros so far."""
        if fast.kernels is not None and len(self.pieces):
            fast.kernels.hamming.fill_table(self.words, self.pieces, self.starts, self.ids)

    def __len__(self) -> int:
        return len(self.words)

    def query(self, hashes: _Words, radius: int, limit: int | None = None) -> Matches:
        """Return the records within ``radius`` bits of each of ``hashes: uint64[k, w]``."""
        _check_width(hashes, self.words.shape[1])
        widths = self.pieces[:, 1].tolist()
        if fast.kernels is None or not _walk_pays(widths, len(self), radius):
            return _compared(self.words, None, hashes, radius, limit)
        search = fast.kernels.hamming.search_table
        reach = _reach(tuple(widths), radius)
        table = (self.pieces, self.starts, self.ids)
        return _collected(
            hashes, limit, lambda begin, room: search(hashes, begin, reach, self.words, table, room)
        )


@dataclass(frozen=True, slots=True)
class _Grown:
    """The arrays of an index that grows, of one capacity; a larger one replaces them as a whole.

    A search that began with the old ones goes on with them undisturbed.
    """

    words: _Words
    radii: NDArray[np.uint8]
    live: NDArray[np.bool_]
    heads: NDArray[np.uint32]
    following: NDArray[np.uint32]

    @classmethod
    def empty(cls, capacity: int, words: int) -> "_Grown":
        pieces = 64 * words // _SHORT if fast.kernels is not None else 0
        return cls(
            np.zeros((capacity, words), np.uint64),
            np.zeros(capacity, np.uint8),
            np.zeros(capacity, np.bool_),
            np.full((pieces, 1 << _SHORT), 0xFFFFFFFF, np.uint32),
            np.empty((capacity, pieces), np.uint32),
        )

    def enlarged(self, capacity: int, size: int) -> "_Grown":
        larger = _Grown.empty(capacity, self.words.shape[1])
        for old, new in (
            (self.words, larger.words),
            (self.radii, larger.radii),
            (self.live, larger.live),
            (self.following, larger.following),
        ):
            new[:size] = old[:size]
        larger.heads[:] = self.heads
        return larger


class HammingIndex:
    """Hashes of ``words`` × 64 bits, each with a radius of its own (bits), added while others search.

    One writer at a time. Records are numbered in the order in which they came; a removed one keeps its
    number.
    """

    def __init__(self, words: int) -> None:
        if words not in _WIDTHS:
            raise ValueError(f"expected 1, 4 or 8 words a hash, got {words}")
        self._width = words
        self._arrays = _Grown.empty(0, words)
        self._size = 0
        if fast.kernels is not None:
            widths = [_SHORT] * (64 * words // _SHORT)
            self._pieces = np.array([(_SHORT * n, _SHORT, 0, 0) for n in range(len(widths))], np.int64)

    def __len__(self) -> int:
        return self._size

    def add(self, hashes: _Words, radii: NDArray[np.uint8]) -> int:
        """Append ``hashes: uint64[n, w]`` with their radii; return the number of the first one."""
        first, count = self._size, len(hashes)
        if hashes.shape[1:] != (self._width,) or radii.shape != (count,):
            raise ValueError(
                f"expected uint64[n, {self._width}] and uint8[n], got {hashes.shape}, {radii.shape}"
            )
        if first + count > len(self._arrays.words):
            capacity = max(first + count, 2 * len(self._arrays.words), 1024)
            self._arrays = self._arrays.enlarged(capacity, first)
        arrays = self._arrays
        arrays.words[first : first + count] = hashes
        arrays.radii[first : first + count] = radii
        arrays.live[first : first + count] = True
        if fast.kernels is not None:
            fast.kernels.hamming.chain(arrays.words, first, first + count, arrays.heads, arrays.following)
        # Readers look at the size first, so it grows only when everything stands.
        self._size = first + count
        return first

    def remove(self, record: int) -> None:
        """Never find ``record`` again. Requires 0 <= record < len(self)."""
        if not 0 <= record < self._size:
            raise IndexError(f"record {record} of {self._size}")
        self._arrays.live[record] = False

    def radius_of(self, records: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the own radius of each of ``records``."""
        return self._arrays.radii[records]

    def query(self, hashes: _Words, radius: int, limit: int | None = None) -> Matches:
        """Return the live records within ``radius`` bits of each of ``hashes: uint64[k, w]``.

        At most ``limit`` a query; ``Matches.cut`` names the queries that had more. Whether a record's own
        radius is kept too is for the caller, by :meth:`radius_of`: beyond it a match may still be worth a
        review.
        """
        _check_width(hashes, self._width)
        size = self._size
        arrays = self._arrays
        if fast.kernels is None or not _walk_pays(self._pieces[:, 1].tolist(), size, radius):
            return _compared(arrays.words[:size], arrays.live, hashes, radius, limit)
        search = fast.kernels.hamming.search_chains
        reach = _reach(tuple(self._pieces[:, 1].tolist()), radius)
        chains = (self._pieces, arrays.heads, arrays.following)
        return _collected(
            hashes,
            limit,
            lambda begin, room: search(hashes, begin, reach, arrays.words, size, arrays.live, chains, room),
        )


def hamming_distances(hashes: _Words, one: _Words) -> NDArray[np.uint16]:
    """Return the distance in bits of each of ``hashes: uint64[n, w]`` to ``one: uint64[w]``."""
    if fast.kernels is not None:
        compiled: NDArray[np.uint16] = fast.kernels.hamming.hamming_distances(hashes, one)
        return compiled
    distance: NDArray[np.uint16] = np.bitwise_count(hashes ^ one).sum(axis=1, dtype=np.uint16)
    return distance


def _check_width(hashes: _Words, width: int | None = None) -> None:
    if hashes.ndim != 2 or hashes.dtype != np.uint64:
        raise ValueError(f"expected uint64[n, w], got {hashes.dtype}{list(hashes.shape)}")
    if len(hashes) and hashes.shape[1] not in ((width,) if width else _WIDTHS):
        raise ValueError(f"expected uint64[n, {width or '1, 4 or 8'}], got uint64{list(hashes.shape)}")


def _piece_widths(bits: int, count: int) -> list[int]:
    """Cut ``bits`` into pieces about as wide as the record numbers: a bucket then holds about one record.

    Never much wider: buckets cost memory even when empty.
    """
    wide = max(log2(max(count, 1)), 8)
    pieces = max(round(bits / wide), ceil(bits / min(wide + 1.5, 30)))
    narrow, wider = divmod(bits, pieces)
    return [narrow + 1] * wider + [narrow] * (pieces - wider)


def _allowed(pieces: int, radius: int) -> list[int]:
    """Return the bits by which each piece may differ; −1 where none needs to be looked at."""
    each, rest = divmod(radius, pieces)
    return [each if piece <= rest else each - 1 for piece in range(pieces)]


def _ball(width: int, bits: int) -> int:
    """Return how many values of ``width`` bits lie within ``bits`` of one."""
    return sum(comb(width, apart) for apart in range(bits + 1))


def _walk_pays(widths: list[int], count: int, radius: int) -> bool:
    if not widths:
        return False
    cost = 0.0
    for width, bits in zip(widths, _allowed(len(widths), radius), strict=True):
        cost += _ball(width, bits) * (_VISIT + _CANDIDATE * count / 2**width)
    return cost < count


@lru_cache(maxsize=64)
def _reach(
    widths: tuple[int, ...], radius: int
) -> tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Return radius, bits allowed a piece, visits a piece, and the masks of both widths, nearest first."""
    allowed = _allowed(len(widths), radius)
    visits = [_ball(width, bits) if bits >= 0 else 0 for width, bits in zip(widths, allowed, strict=True)]
    kinds = list(dict.fromkeys(widths))
    masks = np.zeros((len(kinds), max(visits)), np.uint32)
    for kind, width in enumerate(kinds):
        most = max(bits for one, bits in zip(widths, allowed, strict=True) if one == width)
        values = list(_masks(width, most))
        masks[kind, : len(values)] = values
    return radius, np.array(allowed, np.int64), np.array(visits, np.int64), masks


def _masks(width: int, most: int) -> Iterator[int]:
    for count in range(most + 1):
        for places in combinations(range(width), count):
            yield sum(1 << place for place in places)


def _collected(hashes: _Words, limit: int | None, search: Callable[[int, Any], tuple[int, int]]) -> Matches:
    """Run ``search`` until every query is done, with room for the results of one more query at least."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]] = []
    cut = np.zeros(len(hashes), np.bool_)
    most = _ROOM if limit is None else limit
    begin, room = 0, max(most, min(_ROOM, 16 * len(hashes)))
    while begin < len(hashes):
        columns = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint16)
        begin, count = search(begin, (most, *columns, cut))
        query, record, distance = columns[0][:count], columns[1][:count], columns[2][:count]
        if limit is None and cut.any():
            # A query had more than there was room for: again from there on, with more.
            begin = int(cut.argmax())
            cut[:] = False
            most = room = 16 * most
            count = int((query < begin).sum())
        found.append((query[:count], record[:count], distance[:count]))
    return _sorted(found, np.flatnonzero(cut))


def _compared(
    words: _Words, live: NDArray[np.bool_] | None, hashes: _Words, radius: int, limit: int | None
) -> Matches:
    """Compare every pair, in blocks that stay in the cache."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]] = []
    for start in range(0, len(words) if len(hashes) else 0, _BLOCK):
        block = words[start : start + _BLOCK]
        for number, one in enumerate(hashes):
            distance = hamming_distances(block, one)
            near = distance <= radius
            record = np.flatnonzero(near if live is None else near & live[start : start + len(block)])
            if len(record):
                found.append((np.full(len(record), number, np.int64), record + start, distance[record]))
    matches = _sorted(found, np.empty(0, np.int64))
    return matches if limit is None else _limited(matches, limit)


def _limited(matches: Matches, limit: int) -> Matches:
    """Keep the nearest ``limit`` of each query."""
    first = np.searchsorted(matches.query, matches.query)
    kept = np.arange(len(matches)) - first < limit
    cut = np.unique(matches.query[~kept])
    return Matches(matches.query[kept], matches.record[kept], matches.distance[kept], cut)


def _sorted(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]], cut: NDArray[np.int64]
) -> Matches:
    if not found:
        return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16), cut)
    query, record, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((record, distance, query))
    return Matches(query[order], record[order], distance[order], cut)
