"""Exact keys: which records carry a key, and which keys begin with a prefix.

A key is 128 bits of a SHA-256: as two words, ``uint64[k, 2]``, the first one the upper half. A key may belong
to many records, which are numbers of the caller's choice.

* :class:`KeyTable` never changes: sorted keys with the records beside them, as a segment file holds them.
* :class:`KeySet` is a list of such tables, each about twice as long as the next; what is added becomes a
  table of its own and is merged upwards. A search under way keeps the list that it began with.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import log2

import numpy as np
from numpy.typing import NDArray

from registry import fast

__all__ = ["KEY_BYTES", "Hits", "KeySet", "KeyTable", "distinct", "key_bytes", "key_words"]

KEY_BYTES = 16
_Words = NDArray[np.uint64]
_Records = NDArray[np.int64]
_A_BUCKET = 32
"""Keys, on average, that share the upper bits by which a search begins."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Pairs found: ``query: int64[k]``, its place among the keys asked, and ``record: int64[k]``."""

    query: NDArray[np.int64]
    record: _Records

    def __len__(self) -> int:
        return len(self.query)


def key_words(keys: Sequence[bytes]) -> _Words:
    """Return keys as ``uint64[k, 2]``; of longer ones the first 16 bytes count."""
    joined = b"".join(key[:KEY_BYTES] for key in keys)
    if len(joined) != KEY_BYTES * len(keys):
        raise ValueError(f"a key of fewer than {KEY_BYTES} bytes")
    return np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)


def key_bytes(words: _Words) -> list[bytes]:
    """Undo :func:`key_words`."""
    joined = words.astype(">u8").tobytes()
    return [joined[at : at + KEY_BYTES] for at in range(0, len(joined), KEY_BYTES)]


def distinct(keys: _Words) -> tuple[_Words, NDArray[np.int64]]:
    """Return the different ones among ``keys: uint64[k, 2]``, and for each of ``keys`` its place there.

    They are in no order; where they are not compiled, keys that share their upper word may stand twice.
    """
    if fast.kernels is not None:
        slots, firsts = np.full(2 << len(keys).bit_length(), -1), np.empty(len(keys), np.int64)
        numbers = fast.kernels.keys.number(keys, slots, firsts)
        return keys[firsts[: int(numbers.max(initial=-1)) + 1]], numbers
    order = np.argsort(keys[:, 0])
    ordered = keys[order]
    is_new = np.ones(len(keys), np.bool_)
    is_new[1:] = (ordered[1:, 0] != ordered[:-1, 0]) | (ordered[1:, 1] != ordered[:-1, 1])
    place = np.empty(len(keys), np.int64)
    place[order] = np.cumsum(is_new) - 1
    return ordered[is_new], place


class KeyTable:
    """Sorted keys: ``keys: uint64[n, 2]``, ``records: int64[n]``, n < 2³².

    ``starts: uint32[2^b + 1]`` says where the keys with given upper *b* bits begin. Equal keys stand in the
    order in which they came.
    """

    def __init__(self, keys: _Words, records: _Records, starts: NDArray[np.uint32]) -> None:
        self.keys, self.records, self.starts = keys, records, starts
        self._shift = 64 - (len(starts) - 1).bit_length() + 1

    @classmethod
    def build(cls, keys: _Words, records: _Records) -> "KeyTable":
        """Sort ``keys: uint64[n, 2]`` with their ``records: int64[n]``."""
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        bits = cls.buckets(len(keys)).bit_length() - 1
        firsts = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        starts = np.concatenate([[0], np.searchsorted(ordered[:, 0], firsts), [len(keys)]])
        return cls(ordered, records[order], starts.astype(np.uint32))

    @staticmethod
    def buckets(count: int) -> int:
        """Return into how many buckets, a power of two, ``count`` keys are divided."""
        return 1 << max(0, round(log2(max(count, 1) / _A_BUCKET)))

    def __len__(self) -> int:
        return len(self.keys)

    def query(self, keys: _Words) -> Hits:
        """Return the records that carry each of ``keys: uint64[k, 2]``."""
        first, count = self._find(keys)
        hit = np.flatnonzero(count)
        first, count = first[hit], count[hit]
        # The n-th record of a key stands n places behind its first one.
        behind = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return Hits(np.repeat(hit, count), self.records[np.repeat(first, count) + behind])

    def contains(self, keys: _Words) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]`` whether any record carries it."""
        return self._find(keys)[1] > 0

    def range(self, prefix: bytes) -> list[bytes]:
        """Return every key that begins with ``prefix`` (at most 16 bytes), in order, each once."""
        found, _ = self.between(prefix.ljust(KEY_BYTES, b"\x00"), prefix.ljust(KEY_BYTES, b"\xff"))
        return list(dict.fromkeys(key_bytes(found)))

    def between(self, first: bytes, last: bytes) -> tuple[_Words, _Records]:
        """Return the keys from ``first`` to ``last``, both included, in order, with their records."""
        low, high = key_words([first, last])
        found = slice(self._place(low, bisect_left), self._place(high, bisect_right))
        return self.keys[found], self.records[found]

    def _find(self, keys: _Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first place of each key, and how many equal ones stand there."""
        if fast.kernels is not None and len(self):
            found: tuple[NDArray[np.int64], NDArray[np.int64]] = fast.kernels.keys.find(
                self.keys, self.starts, self._shift, keys
            )
            return found
        begin = np.searchsorted(self._upper, keys[:, 0], "left")
        end = np.searchsorted(self._upper, keys[:, 0], "right")
        for k in np.flatnonzero(end > begin):
            begin[k], end[k] = self._place(keys[k], bisect_left), self._place(keys[k], bisect_right)
        return begin, end - begin

    @cached_property
    def _upper(self) -> _Words:
        return np.ascontiguousarray(self.keys[:, 0])

    def _place(self, key: _Words, bisect: Callable[..., int]) -> int:
        wanted = tuple(key.tolist())
        return bisect(range(len(self)), wanted, key=lambda at: tuple(self.keys[at].tolist()))


class KeySet:
    """Keys that are added while others search; one writer at a time."""

    def __init__(self, tables: Sequence[KeyTable] = ()) -> None:
        self._kept = tuple(tables)
        self._added: tuple[KeyTable, ...] = ()

    def __len__(self) -> int:
        """Return how many pairs of key and record there are."""
        return sum(len(table) for table in self._tables())

    def add(self, keys: _Words, records: _Records) -> None:
        """Let each of ``records: int64[n]`` carry the key in its place, ``keys: uint64[n, 2]``."""
        if not len(keys):
            return
        added, new = self._added, KeyTable.build(keys, records)
        while added and len(added[-1]) < 2 * len(new):
            new = _merged(added[-1], new)
            added = added[:-1]
        self._added = (*added, new)

    def query(self, keys: _Words) -> Hits:
        """Return the records that carry each of ``keys: uint64[k, 2]``, in the order in which they came."""
        hits = [table.query(keys) for table in self._tables()]
        query = np.concatenate([np.empty(0, np.int64), *(hit.query for hit in hits)])
        record = np.concatenate([np.empty(0, np.int64), *(hit.record for hit in hits)])
        order = np.argsort(query, kind="stable")
        return Hits(query[order], record[order])

    def contains(self, keys: _Words) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]`` whether any record carries it."""
        found = np.zeros(len(keys), np.bool_)
        for table in self._tables():
            found |= table.contains(keys)
        return found

    def between(self, first: bytes, last: bytes) -> tuple[_Words, _Records]:
        """Return the keys from ``first`` to ``last``, both included, with their records, in no order."""
        parts = [table.between(first, last) for table in self._tables()]
        keys = np.concatenate([np.empty((0, 2), np.uint64), *(keys for keys, _ in parts)])
        return keys, np.concatenate([np.empty(0, np.int64), *(records for _, records in parts)])

    def range(self, prefix: bytes) -> Iterator[bytes]:
        """Yield every key that begins with ``prefix``, in order, each once."""
        yield from sorted(set(chain.from_iterable(table.range(prefix) for table in self._tables())))

    def _tables(self) -> tuple[KeyTable, ...]:
        return self._kept + self._added


def _merged(older: KeyTable, newer: KeyTable) -> KeyTable:
    keys = np.concatenate([older.keys, newer.keys])
    return KeyTable.build(keys, np.concatenate([older.records, newer.records]))
