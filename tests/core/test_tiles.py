import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ProofError
from registry.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    require_consistency,
    require_inclusion,
    root_hash,
    root_of,
)
from registry.tiles import (
    ENTRIES,
    Tile,
    TileReader,
    pack_entries,
    parse_tile_path,
    split_hashes,
    tile_path,
    tiles_between,
    unpack_entries,
)

PATHS = {
    "tile/0/000": Tile(0, 0),
    "tile/0/x001/x234/067": Tile(0, 1_234_067),
    "tile/1/000.p/5": Tile(1, 0, 5),
    "tile/63/999.p/255": Tile(63, 999, 255),
    "tile/2/x001/000": Tile(2, 1000),
    "tile/entries/x001/x234/067": Tile(ENTRIES, 1_234_067),
    "tile/entries/000.p/1": Tile(ENTRIES, 0, 1),
}


@pytest.mark.parametrize(("path", "tile"), PATHS.items())
def test_a_tile_has_the_path_of_the_specification(path, tile):
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("", "tile", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile/0/000\n", "tile/00/000"),
        *("tile/64/000", "tile/-1/000", "tile/0/0", "tile/0/0000", "tile/0/x000/000", "tile/0/001/000"),
        *("tile/0/x01/000", "tile/0/X001/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/05"),
        *("tile/0/000.p/", "tile/0/000.P/5", "tile/0/٠٠٠", "tile/0/../000", "tile/Entries/000"),
    ],
    ids=repr,
)
def test_another_spelling_is_refused(path):
    with pytest.raises(ProofError):
        parse_tile_path(path)


@given(st.integers(0, 63) | st.just(ENTRIES), st.integers(0, 10**15), st.integers(1, 256))
def test_paths_are_read_as_they_were_written(level, index, width):
    tile = Tile(level, index, width)
    assert parse_tile_path(tile_path(tile)) == tile


def filled(sizes):
    """Write a log of those sizes one after the other, as a publisher does."""
    held = {}
    leaves = [hashlib.sha256(str(n).encode()).digest() for n in range(sizes[-1])]
    for old, new in zip([0, *sizes], sizes, strict=False):
        for tile in tiles_between(old, new):
            below = [leaf_hash(one) for one in leaves]
            for _ in range(tile.level):
                below = [root_of(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)]
            held[tile] = b"".join(below[tile.index * 256 : tile.index * 256 + tile.width])
    return held, [leaf_hash(one) for one in leaves]


@pytest.mark.parametrize(
    "sizes",
    [[1], [255], [256], [257], [1, 2, 3], [255, 256, 257, 512], [3, 600, 1000], [65_536, 65_793]],
    ids=str,
)
def test_tiles_give_every_root_and_proof(sizes):
    held, hashes = filled(sizes)
    for size in sizes:
        reader = TileReader(size, held.__getitem__)
        assert root_hash(reader, size) == root_of(hashes[:size])
        for index in {0, size // 2, size - 1}:
            proof = inclusion_proof(reader, index, size)
            require_inclusion(hashes[index], index, size, proof, root_of(hashes[:size]))
        for first in sizes:
            if first <= size:
                proof = consistency_proof(reader, first, size)
                require_consistency(first, size, root_of(hashes[:first]), root_of(hashes[:size]), proof)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_what_is_there_already_is_not_written_again(old, more):
    new = old + more
    tiles = list(tiles_between(old, new))
    assert len(tiles) == len(set(tiles))
    assert {tile for tile in tiles_between(0, old) if tile.width == 256}.isdisjoint(tiles)
    everything = {(tile.level, tile.index) for tile in tiles_between(0, new)}
    kept = {(tile.level, tile.index) for tile in tiles_between(0, old)} | {(t.level, t.index) for t in tiles}
    assert kept == everything


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_are_read_as_they_were_written(leaves):
    data = pack_entries(leaves)
    assert unpack_entries(data) == leaves
    for end in range(len(data)):
        try:
            assert leaves[: len(unpack_entries(data[:end]))] == unpack_entries(data[:end])
        except ProofError:
            continue


def test_a_leaf_that_is_too_long_is_refused():
    assert unpack_entries(pack_entries([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(ValueError, match="65536 bytes"):
        pack_entries([bytes(65_536)])


def test_a_tile_of_another_length_is_refused():
    reader = TileReader(3, lambda tile: bytes(31))
    with pytest.raises(ProofError, match=r"tile/0/000\.p/3: 31 bytes"):
        reader.read(0, 1)
    assert split_hashes(bytes(64)) == [bytes(32), bytes(32)]
