"""The short form of million.py, and that what it rests on notices damage."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flips
import million
import others
import pytest
from cryptography.exceptions import InvalidSignature
from published import Published
from tlog_scales.tlog import ConsistencyProofInvalid

from registry.note import Signer

SIZE = 700


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    log = Published.new(tmp_path_factory.mktemp("log"), Signer.new("log.test/short")).grow((300, SIZE))
    yield log
    log.store.close()


def test_some_thousand_events(tmp_path: Path) -> None:
    page = tmp_path / "build" / "page.md"
    million.main(["--leaves", "2000", "--every", "1", "--output", str(page)])
    told = page.read_text()
    for what in (
        "| one bit in each of 17 files, one after the other |",
        "| fsck named 17: 7 `tile/0`, 1 `tile/0 partial`, 1 `tile/1 partial`, 7 `tile/entries`,",
        "| one bit in each of 17 files at once |",
        "| fsck named 17, and no other |",
        "| files that are the same, byte for byte | 18 |",
        "every leaf, 2,000 proofs of inclusion, 6 of consistency",
    ):
        assert what in told
    assert ("| Go verifies |" in told) or ("Go is not installed here" in told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tile/entries/001", AssertionError),
        ("tile/0/001", AssertionError),
        ("tile/1/000.p/2", AssertionError),
        ("checkpoint", (InvalidSignature, ValueError)),
    ],
    ids=["leaf", "hash of a leaf", "hash above", "signature"],
)
def test_tlog_scales_notices_one_bit(log: Published, tmp_path: Path, name: str, told: Any) -> None:
    copy = Path(shutil.copytree(log.log, tmp_path / "copy"))
    others.tiles_checks(copy, log.key, log.ever_signed, [0, SIZE - 1])
    data = bytearray((copy / name).read_bytes())
    data[-9] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(told):
        others.tiles_checks(copy, log.key, log.ever_signed, [0, SIZE - 1])


def test_pymerkle_notices_another_leaf(log: Published) -> None:
    roots = {size: others.checkpoint_of(path, log.key).root_hash for size, path in log.checkpoints.items()}
    reader = others.tiles_checks(log.log, log.key, [], [])
    leaves = log.leaves()
    others.merkle_checks(leaves, reader, roots, [0, 299, 300])
    with pytest.raises(AssertionError, match="300"):
        others.merkle_checks([leaves[1], *leaves[1:]], reader, roots, [])


def test_a_file_that_fsck_passes_over_is_told(log: Published) -> None:
    beyond = "tile/0/002.p/188"
    assert flips.one_at_a_time(log.store, log.log, SIZE, [beyond]) == []
    assert flips.one_at_a_time(log.store, log.log, 512, [beyond]) == [beyond]
    assert flips.all_at_once(log.store, log.log, 512, [beyond, "tile/0/000"]) == [beyond]


def test_an_older_tree_that_is_not_contained_is_noticed(log: Published, tmp_path: Path) -> None:
    fork = Published.new(tmp_path / "fork", log.signer).grow((400,))
    with pytest.raises(ConsistencyProofInvalid):
        others.tiles_checks(fork.log, log.key, [log.checkpoints[300]], [])
    fork.store.close()
