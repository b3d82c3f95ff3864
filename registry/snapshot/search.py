"""Searching the files of a snapshot as the service searches its index (:class:`registry.matching.Searched`).

What is found are numbers of records; with the filter alone it is :data:`MAYBE`, which stands for "this key,
or none". Keys are searched where they lie, in the mapped files; pictures are sorted into tables at the first
question about one, or compared one by one where the extra ``[fast]`` is not installed.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.fingerprint import PHASH_RADIUS
from registry.hamming import HammingTable
from registry.index import Near
from registry.keys import Hits, KeySet, KeyTable
from registry.snapshot.bloom import maybe_in

__all__ = ["MAYBE", "SnapshotIndex"]

MAYBE = -1
"""The number of what only a filter knows of."""

_Parts = Sequence[Mapping[str, NDArray[Any]]]


class SnapshotIndex:
    """The arrays of a snapshot's files by kind, a list for each kind that is here.

    Without ``rules`` and ``files`` the ``filter`` answers; without ``pdq`` nothing is near to anything.
    """

    def __init__(self, parts: Mapping[str, _Parts]) -> None:
        self._parts = parts
        self.is_exact = "rules" in parts
        self.has_pictures = "pdq" in parts
        self._rules = KeySet([_table(part) for part in parts.get("rules", ())])
        self._files = KeySet([_table(part) for part in parts.get("files", ())])

    def rules(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the records of the rules and URLs with each of ``keys: uint64[k, 2]``."""
        return self._rules.query(keys) if self.is_exact else self._maybe(keys)

    def files(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the records of the works with each of ``keys: uint64[k, 2]``, halves of SHA-256."""
        return self._files.query(keys) if self.is_exact else self._maybe(keys)

    def has_rules(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]`` whether a rule or URL has it, or may have it."""
        return self._rules.contains(keys) if self.is_exact else self._may_have(keys)

    def has_files(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]``, halves of SHA-256, whether a work has it, or may have it."""
        return self._files.contains(keys) if self.is_exact else self._may_have(keys)

    def near_pdq(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the windows within ``radius`` bits of each of ``hashes: uint64[k, 4]``."""
        found = self._pdq.query(hashes, radius, limit)
        at = found.record
        refs, windows, radii = (self._column("pdq", name)[at] for name in ("refs", "windows", "radii"))
        return Near(found.query, found.distance, refs, windows, radii, found.cut)

    def near_phash(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the pHashes within ``radius`` bits of each of ``hashes: uint64[k, 1]``."""
        found = self._phash.query(hashes, radius, limit)
        refs, plain = self._column("phash", "refs")[found.record], np.zeros(len(found), np.uint8)
        return Near(found.query, found.distance, refs, plain, plain + np.uint8(PHASH_RADIUS), found.cut)

    def _may_have(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        found = np.zeros(len(keys), np.bool_)
        for part in self._parts.get("filter", ()):
            found |= maybe_in(part["bits"], keys)
        return found

    def _maybe(self, keys: NDArray[np.uint64]) -> Hits:
        query = np.flatnonzero(self._may_have(keys))
        return Hits(query, np.full(len(query), MAYBE, np.int64))

    @cached_property
    def _pdq(self) -> HammingTable:
        return HammingTable.build(self._column("pdq", "words").reshape(-1, 4))

    @cached_property
    def _phash(self) -> HammingTable:
        return HammingTable.build(self._column("phash", "words").reshape(-1, 1))

    def _column(self, kind: str, name: str) -> NDArray[Any]:
        return self._columns[f"{kind}.{name}"]

    @cached_property
    def _columns(self) -> Mapping[str, NDArray[Any]]:
        """Return the columns of the pictures, put together from all files."""
        empty: dict[str, NDArray[Any]] = {
            "pdq.words": np.empty((0, 4), np.uint64),
            "pdq.radii": np.empty(0, np.uint8),
            "pdq.windows": np.empty(0, np.uint8),
            "pdq.refs": np.empty(0, np.int64),
            "phash.words": np.empty((0, 1), np.uint64),
            "phash.refs": np.empty(0, np.int64),
        }
        return {
            name: np.concatenate([none, *(part[name.partition(".")[2]] for part in self._of(name))])
            for name, none in empty.items()
        }

    def _of(self, column: str) -> _Parts:
        return self._parts.get(column.partition(".")[0], ())


def _table(part: Mapping[str, NDArray[Any]]) -> KeyTable:
    """Return the table over sorted keys that lie in a file; where each bucket begins is found anew."""
    keys = part["keys"]
    bits = KeyTable.buckets(len(keys)).bit_length() - 1
    firsts = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64((64 - bits) % 64)
    starts = np.concatenate([[0], np.searchsorted(keys[:, 0], firsts), [len(keys)]])
    return KeyTable(keys, part["refs"], starts.astype(np.uint32))
