"""A published log read by tlog-scales and pymerkle, and written again by tlog-scales from the same leaves."""

import resource
from collections.abc import Sequence
from pathlib import Path

import pymerkle
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import PlainEd25519Signer, Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint
from tlog_scales.writer import TilesWriter

__all__ = ["checkpoint_of", "merkle_checks", "peak_megabytes", "tiles_checks", "written_again"]


def checkpoint_of(path: Path, key: str) -> Checkpoint:
    """Read a checkpoint, whose signature must be right."""
    seen = Checkpoint.from_text(path.read_text(encoding="utf-8"))
    seen.verify(Vkey.from_string(key))
    return seen


def tiles_checks(folder: Path, key: str, older: Sequence[Path], indexes: Sequence[int]) -> TilesReader:
    """tlog-scales: the root of the tiles, every leaf, proofs of some, and that older trees are contained."""
    seen = checkpoint_of(folder / "checkpoint", key)
    reader = TilesReader(LocalBackend(folder))
    reader.set_size(seen.size)
    assert reader.calculate_root_hash() == seen.root_hash
    for index in range(seen.size):
        assert leaf_hash(reader.get_entry(index)) == reader.mth(index, index + 1), index
    for index in indexes:
        reader.get_inclusion_proof(index, seen.size).check(leaf_hash(reader.get_entry(index)), seen.root_hash)
    for path in older:
        old = checkpoint_of(path, key)
        reader.get_consistency_proof(old.size, seen.size).check(old.root_hash, seen.root_hash)
    return reader


def merkle_checks(
    leaves: Sequence[bytes], reader: TilesReader, roots: dict[int, bytes], indexes: Sequence[int]
) -> None:
    """pymerkle: every root ever signed, made from the leaves alone, and the paths that the tiles give."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    tree.append_entries(leaves)
    size = len(leaves)
    for smaller, root in roots.items():
        assert tree.get_root(smaller) == root, smaller
        tree.prove_consistency(smaller, size).verify(root, roots[size])
    for index in indexes:
        proof = tree.prove_inclusion(index + 1, size)
        proof.verify(tree.get_leaf(index + 1), roots[size])
        assert proof.path[1:] == reader.get_inclusion_proof(index, size).node_hashes, index


def written_again(leaves: Sequence[bytes], origin: str, private: bytes, into: Path) -> None:
    """tlog-scales writes a log of its own with the same leaves and the same key."""
    writer = TilesWriter.create(into, origin)
    for leaf in leaves:
        writer.add_leaf(leaf)
    writer.commit([PlainEd25519Signer(origin, private)])


def peak_megabytes() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
