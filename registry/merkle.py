"""The Merkle tree of RFC 6962: hashes, roots, and proofs over stored hashes.

A tree of *size* leaves is split at the largest power of two below its size; the hash of a part that is itself
a power of two, and begins at a multiple of it, never changes again. A :class:`HashReader` gives those hashes,
from tiles or from memory, and everything here is made of them.

Source: RFC 6962 §2.1; the algorithms for checking are those of RFC 9162 §2.1.3.2 and §2.1.4.2.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from registry.errors import ProofError

__all__ = [
    "EMPTY_ROOT",
    "HashReader",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "require_consistency",
    "require_inclusion",
    "root_hash",
    "root_of",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


class HashReader(Protocol):
    """Gives the hashes of complete subtrees."""

    def read(self, level: int, index: int) -> bytes:
        """Return the hash over the 2^level leaves from ``index`` · 2^level on, 32 bytes."""
        ...


def leaf_hash(leaf: bytes) -> bytes:
    """Hash one leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes, taken one after the other."""
    # Complete subtrees from the largest to the smallest, put together as the leaves come.
    stack: list[bytes] = []
    for count, one in enumerate(hashes, 1):
        stack.append(one)
        while count % 2 == 0:
            right, left = stack.pop(), stack.pop()
            stack.append(node_hash(left, right))
            count //= 2
    if not stack:
        return EMPTY_ROOT
    root = stack.pop()
    while stack:
        root = node_hash(stack.pop(), root)
    return root


def root_hash(reader: HashReader, size: int) -> bytes:
    """Return the root of the first ``size`` leaves. Requires size >= 0."""
    return _range_hash(reader, 0, size) if size else EMPTY_ROOT


def inclusion_proof(reader: HashReader, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree of ``size`` leaves.

    Raises :class:`ProofError` unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size}")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range_hash(reader, middle, end))
            end = middle
        else:
            path.append(_range_hash(reader, begin, middle))
            begin = middle
    return path[::-1]


def consistency_proof(reader: HashReader, first: int, second: int) -> list[bytes]:
    """Return the proof that the tree of ``first`` leaves is the beginning of that of ``second``.

    Raises :class:`ProofError` unless 0 <= first <= second. The proof is empty where first is 0 or second.
    """
    if not 0 <= first <= second:
        raise ProofError(f"a tree of {first} leaves is not the beginning of one of {second}")
    if first in (0, second):
        return []
    path, begin, end, whole = [], 0, second, True
    # ``whole``: the part in hand begins where the old tree begins, so its hash is the old root.
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            path.append(_range_hash(reader, middle, end))
            end = middle
        else:
            path.append(_range_hash(reader, begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(_range_hash(reader, begin, end))
    return path[::-1]


def require_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise :class:`ProofError` unless ``proof`` leads from the leaf hash ``leaf`` to ``root``."""
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size}")
    place, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise ProofError("the proof of inclusion is too long")
        if place % 2 or place == last:
            found = node_hash(one, found)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, one)
        place, last = place >> 1, last >> 1
    if last or found != root:
        raise ProofError(f"leaf {index} is not shown to be in the tree of {size}")


def require_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise :class:`ProofError` unless ``proof`` shows the first tree to be the beginning of the second."""
    if not 0 <= first <= second:
        raise ProofError(f"a tree of {first} leaves is not the beginning of one of {second}")
    if first in (0, second):
        # Nothing is to be shown: a tree is its own beginning, and the empty one that of all.
        if proof or first_root != (second_root if first == second else EMPTY_ROOT):
            raise ProofError(f"the trees of {first} and {second} leaves are not consistent")
        return
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        raise ProofError("the proof of consistency is too short")
    place, last = first - 1, second - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            raise ProofError("the proof of consistency is too long")
        if place % 2 or place == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, one)
        place, last = place >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise ProofError(f"the tree of {first} leaves is not shown to be the beginning of that of {second}")


def _split(count: int) -> int:
    """Return the largest power of two below ``count``, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(reader: HashReader, begin: int, end: int) -> bytes:
    """Return the hash over the leaves ``begin <= i < end``, a part that the tree has."""
    count = end - begin
    if count & (count - 1) == 0 and begin % count == 0:
        return reader.read(count.bit_length() - 1, begin // count)
    middle = begin + _split(count)
    return node_hash(_range_hash(reader, begin, middle), _range_hash(reader, middle, end))
