"""From leaves to tiles: what of the log follows from the events, and can be made again at any time.

The leaf of event n stands at place n − 1. Source: C2SP tlog-tiles; RFC 6962.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from registry.errors import LogError, ProofError
from registry.log_folder import LogFolder
from registry.merkle import consistency_proof, leaf_hash, require_consistency, root_hash, root_of
from registry.note import Checkpoint
from registry.store import Store, events
from registry.tiles import (
    ENTRIES,
    HASHES_A_TILE,
    Tile,
    TileReader,
    pack_entries,
    split_hashes,
    tiles_between,
)

__all__ = ["Tiling"]

_EVENTS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of the events of ``store``, in ``folder``."""

    store: Store
    folder: LogFolder

    def extend(self, old: int, new: int) -> bytes:
        """Write the tiles that ``new`` leaves need beyond ``old``, whose tiles are there; returns the root.

        Raises :class:`StaleIndexError` when events are missing, :class:`ProofError` when tiles are, and
        :class:`StorageError`.
        """
        for begin in range(old, new, _EVENTS_AT_ONCE):
            self._write(begin, min(begin + _EVENTS_AT_ONCE, new))
        return root_hash(self._reader(new), new)

    def sweep(self, old: int, new: int) -> None:
        """Delete the partial tiles of those that became full between ``old`` and ``new`` leaves."""
        for tile in tiles_between(old, new):
            if tile.width == HASHES_A_TILE:
                self.folder.sweep(tile)
                if tile.level == 0:
                    self.folder.sweep(Tile(ENTRIES, tile.index))

    def require_beginning(self, last: Checkpoint, new: Checkpoint) -> None:
        """Raise :class:`LogError` unless the tree of ``new`` begins with that of ``last``."""
        try:
            proof = consistency_proof(self._reader(new.size), last.size, new.size)
            require_consistency(last.size, new.size, last.root, new.root, proof)
        except ProofError as error:
            raise LogError(
                f"the first {last.size} events are not those that were signed",
                hint="caveat log fsck says whether a file of the log is damaged, or the database changed.",
            ) from error

    def _reader(self, size: int) -> TileReader:
        return TileReader(size, self.folder.read_tile)

    def _write(self, old: int, new: int) -> None:
        first = old // HASHES_A_TILE * HASHES_A_TILE
        with self.store.read() as connection:
            leaves = events.leaves_between(connection, first, new)
        bundles: list[tuple[Tile, bytes]] = []
        made: dict[Tile, bytes] = {}
        for at in range(0, len(leaves), HASHES_A_TILE):
            part = leaves[at : at + HASHES_A_TILE]
            bundles.append((Tile(ENTRIES, (first + at) // HASHES_A_TILE, len(part)), pack_entries(part)))
        for tile in tiles_between(old, new):
            made[tile] = b"".join(self._hashes(tile, leaves, first, made))
        self.folder.write_tiles([*bundles, *made.items()])

    def _hashes(
        self, tile: Tile, leaves: list[bytes], first: int, made: dict[Tile, bytes]
    ) -> Iterator[bytes]:
        begin = tile.index * HASHES_A_TILE
        for number in range(begin, begin + tile.width):
            if tile.level == 0:
                yield leaf_hash(leaves[number - first])
            else:
                below = Tile(tile.level - 1, number)
                data = made[below] if below in made else self.folder.read_tile(below)
                yield root_of(split_hashes(data))
