"""Tiles: how a transparency log is cut into files that never change once they are full.

A tile of level L holds up to 256 hashes, each over 256^L leaves; a bundle of entries holds up to 256 leaves.
Both are named by a path, and both are partial until they are full: then their path says how many they hold.

    tile/0/x001/x234/067      the 1,234,067th full tile of leaf hashes
    tile/1/000.p/5            five hashes of level 1, so far
    tile/entries/000          the first 256 leaves

Source: C2SP tlog-tiles.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from registry.errors import ProofError
from registry.merkle import root_of

__all__ = [
    "ENTRIES",
    "HASHES_A_TILE",
    "Tile",
    "TileReader",
    "beginning",
    "pack_entries",
    "parse_tile_path",
    "split_hashes",
    "tile_path",
    "tiles_between",
    "unpack_entries",
]

HASHES_A_TILE = 256
ENTRIES = -1
"""The level of bundles of entries."""

_HASH_BYTES = 32
_LARGEST_ENTRY = 65_535
_PATH = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """``level`` 0–63, or ``ENTRIES``; ``index`` of the tile in it; ``width`` 1–256, how much it holds."""

    level: int
    index: int
    width: int = HASHES_A_TILE


def tile_path(tile: Tile) -> str:
    """Return the path of ``tile``."""
    digits = f"{tile.index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    partial = "" if tile.width == HASHES_A_TILE else f".p/{tile.width}"
    return f"tile/{'entries' if tile.level == ENTRIES else tile.level}/{name}{partial}"


def parse_tile_path(path: str) -> Tile:
    """Undo :func:`tile_path`. Raises :class:`ProofError` for any other spelling."""
    found = _PATH.fullmatch(path)
    if found is not None:
        level, name, width = found.groups()
        index = int(name.replace("x", "").replace("/", ""))
        tile = Tile(ENTRIES if level == "entries" else int(level), index, int(width or HASHES_A_TILE))
        if tile.level < 64 and tile_path(tile) == path:
            return tile
    raise ProofError(f"not the path of a tile: {path[:100]!r}")


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """Yield the tiles of hashes that a log of ``new`` leaves has and one of ``old`` had not, lowest first."""
    level = 0
    while new >> (8 * level):
        before, now = old >> (8 * level), new >> (8 * level)
        if now > before:
            for index in range(before // HASHES_A_TILE, (now - 1) // HASHES_A_TILE + 1):
                yield Tile(level, index, min(HASHES_A_TILE, now - index * HASHES_A_TILE))
        level += 1


def split_hashes(data: bytes) -> list[bytes]:
    """Return the hashes of a tile, 32 bytes each."""
    return [data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)]


def beginning(tile: Tile, wider: bytes) -> bytes:
    """Return what ``tile`` holds, from what a ``wider`` one of the same place holds."""
    if tile.level == ENTRIES:
        return pack_entries(unpack_entries(wider)[: tile.width])
    return wider[: tile.width * _HASH_BYTES]


def pack_entries(leaves: Sequence[bytes]) -> bytes:
    """Return a bundle: each leaf behind its length, two bytes. Raises ValueError for a leaf of 64 KiB."""
    packed = []
    for leaf in leaves:
        if len(leaf) > _LARGEST_ENTRY:
            raise ValueError(f"a leaf of {len(leaf)} bytes; at most {_LARGEST_ENTRY}")
        packed += [len(leaf).to_bytes(2, "big"), leaf]
    return b"".join(packed)


def unpack_entries(data: bytes) -> list[bytes]:
    """Undo :func:`pack_entries`. Raises :class:`ProofError`."""
    leaves, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            raise ProofError("a bundle of entries that is cut off")
        leaves.append(data[at + 2 : end])
        at = end
    return leaves


class TileReader:
    """The hashes of a log of ``size`` leaves, from tiles that ``fetch`` gives."""

    def __init__(self, size: int, fetch: Callable[[Tile], bytes]) -> None:
        self._size, self._fetch = size, fetch

    def read(self, level: int, index: int) -> bytes:
        """Return the hash over the 2^level leaves from ``index`` · 2^level on."""
        row, inside = divmod(level, 8)
        number, first = divmod(index << inside, HASHES_A_TILE)
        width = min(HASHES_A_TILE, (self._size >> (8 * row)) - number * HASHES_A_TILE)
        hashes = split_hashes(self.tile(Tile(row, number, width)))
        return root_of(hashes[first : first + (1 << inside)])

    def tile(self, tile: Tile) -> bytes:
        """Return what a tile of hashes holds. Raises :class:`ProofError` when it is of another length."""
        data = self._fetch(tile)
        if len(data) != tile.width * _HASH_BYTES:
            raise ProofError(f"{tile_path(tile)}: {len(data)} bytes instead of {tile.width * _HASH_BYTES}")
        return data
