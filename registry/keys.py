"""Exact keys: which records carry a key, and which keys begin with a prefix.

Keys are 16 bytes (URL rules) or 32 (SHA-256); a key may belong to many records. Records are the caller's
numbers.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

__all__ = ["KeySet"]


class KeySet:
    """A set of byte keys with the records that carry them."""

    def __init__(self) -> None:
        self._records: dict[bytes, list[int]] = {}
        self._sorted: list[bytes] = []

    def __len__(self) -> int:
        return len(self._records)

    def add(self, key: bytes, record: int) -> None:
        """Let ``record`` carry ``key`` too."""
        self._records.setdefault(key, []).append(record)

    def query(self, key: bytes) -> Sequence[int]:
        """Return the records that carry ``key``, in the order in which they came."""
        return self._records.get(key, ())

    def range(self, prefix: bytes) -> Iterator[bytes]:
        """Yield every key that begins with ``prefix``, in order."""
        if len(self._sorted) != len(self._records):
            self._sorted = sorted(self._records)
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[at].startswith(prefix):
                return
            yield self._sorted[at]
