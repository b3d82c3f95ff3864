"""Many texts in two arrays: packed in blocks, so that a few can be read without the others.

A block holds up to ``A_BLOCK`` texts as a JSON array, deflated. ``ends: uint64[b]`` says where each block
ends in ``data: uint8[m]``.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["A_BLOCK", "Texts"]

A_BLOCK = 256
_LEVEL = 3
"""Of zlib: a tenth larger than at 6, in half the time."""
_MOST = 1 << 28
"""Bytes that a block may unpack to; no block that was written here comes near."""


class Texts(NamedTuple):
    """The two arrays."""

    ends: NDArray[np.uint64]
    data: NDArray[np.uint8]

    @classmethod
    def of(cls, texts: Sequence[Any]) -> "Texts":
        """Pack ``texts``: strings, or anything else that JSON has."""
        blocks = [
            zlib.compress(json.dumps(texts[at : at + A_BLOCK], separators=(",", ":")).encode(), _LEVEL)
            for at in range(0, len(texts), A_BLOCK)
        ]
        sizes = np.fromiter(map(len, blocks), np.uint64, len(blocks))
        return cls(np.cumsum(sizes, dtype=np.uint64), np.frombuffer(b"".join(blocks), np.uint8))

    def read(self, numbers: Iterable[int]) -> list[Any]:
        """Return the texts of these numbers, from 0; a block is unpacked once while they follow one another.

        Raises ValueError for blocks that nobody wrote here, IndexError for a number beyond the last.
        """
        found, block, texts = [], -1, []
        for number in numbers:
            if number // A_BLOCK != block:
                block = number // A_BLOCK
                texts = self._block(block)
            found.append(texts[number % A_BLOCK])
        return found

    def all(self) -> list[Any]:
        """Return every text, in order."""
        return [text for block in range(len(self.ends)) for text in self._block(block)]

    def _block(self, number: int) -> list[Any]:
        begin, end = int(self.ends[number - 1]) if number else 0, int(self.ends[number])
        unpacking = zlib.decompressobj()
        try:
            texts = json.loads(unpacking.decompress(self.data[begin:end].tobytes(), _MOST))
        except zlib.error as error:
            raise ValueError(f"a block of texts that does not unpack: {error}") from error
        if not isinstance(texts, list):
            raise ValueError("a block of texts that is no list")
        return texts
