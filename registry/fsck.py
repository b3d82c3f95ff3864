"""Whether the log's files are what the events make them, and the rows what the events committed to.

Everything is made anew from the events and compared: a sample would pass over damage.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from registry.errors import LogError, ProofError, StorageError
from registry.leaf import Leaf, parse_leaf
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash, root_of
from registry.note import Checkpoint
from registry.store import Store, auditing, events, payloads
from registry.store.replaying import commitment_of
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, beginning, pack_entries, tile_path, tiles_between

__all__ = ["check_rows", "fsck", "repair"]

_EVENTS_AT_ONCE = 65_536
_ROWS_AT_ONCE = 1_000


def fsck(store: Store, folder: LogFolder, size: int) -> Iterator[str]:
    """Make every tile of the first ``size`` leaves anew from the events; yield what is wrong with each.

    Partial tiles that a larger one has outgrown are compared too: they are still served.
    """
    for tile, wanted in _derived(store, folder, size):
        try:
            if folder.read_tile(tile) != wanted:
                yield f"{tile_path(tile)}: is not what the events make it"
        except ProofError as error:
            yield error.message


def repair(store: Store, folder: LogFolder, signed: Checkpoint) -> list[str]:
    """Write every file of the log that is damaged or missing anew; returns their names.

    Raises :class:`LogError`, and writes nothing, unless the events are those that were signed.
    """
    hashes = (leaf_hash(leaf) for leaves in _leaves(store, signed.size) for leaf in leaves)
    if root_of(hashes) != signed.root:
        raise LogError(
            f"the {signed.size:,} events of the database are not those that were signed",
            hint="The files may be right, and the database not: restore it.",
        )
    written = []
    for tile, wanted in _derived(store, folder, signed.size):
        try:
            if folder.read_tile(tile) == wanted:
                continue
        except ProofError:
            pass
        folder.write_tiles([(tile, wanted)])
        written.append(tile_path(tile))
    return written


def check_rows(store: Store) -> Iterator[str]:
    """Hold the rows of every event to what its leaf commits to, and its end to the event that ended it.

    Yields what is wrong: a row that was changed, added or deleted behind the registrar's back.
    """
    head = store.head()
    for begin in range(0, head, _ROWS_AT_ONCE):
        with store.read() as connection:
            rows = events.between(connection, begin, min(begin + _ROWS_AT_ONCE, head))
            said, missing = _payloads(connection, [row.seq for row in rows])
        yield from missing
        for row in rows:
            leaf = parse_leaf(bytes(row.leaf))
            if (leaf.seq, leaf.op, leaf.record) != (row.seq, row.op, row.record):
                yield f"event {row.seq}: is not the one of its leaf"
            elif row.seq in said and not _committed(leaf, bytes(row.salt), said[row.seq]):
                yield f"event {row.seq}: its rows are not what its leaf commits to"
    with store.read() as connection:
        yield from payloads.misplaced(connection)
        yield from auditing.unproven(connection, head)


def _payloads(connection: Connection, seqs: Sequence[int]) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Return what each of these events says, and what is wrong with those that cannot be put together."""
    try:
        return payloads.payloads_of(connection, seqs), []
    except StorageError as error:
        if len(seqs) == 1:
            return {}, [error.message]
    middle = len(seqs) // 2
    (some, wrong), (others, more) = (_payloads(connection, one) for one in (seqs[:middle], seqs[middle:]))
    return some | others, wrong + more


def _committed(leaf: Leaf, salt: bytes, payload: Mapping[str, Any]) -> bool:
    try:
        return commitment_of(leaf, salt, payload) == leaf.commitment
    except ProofError:
        return False


def _leaves(store: Store, size: int) -> Iterator[list[bytes]]:
    for begin in range(0, size, _EVENTS_AT_ONCE):
        with store.read() as connection:
            yield events.leaves_between(connection, begin, min(begin + _EVENTS_AT_ONCE, size))


def _derived(store: Store, folder: LogFolder, size: int) -> Iterator[tuple[Tile, bytes]]:
    """Yield every tile of the first ``size`` leaves, and what it must hold; bundles of leaves first."""
    hashes: list[bytes] = []
    for leaves in _leaves(store, size):
        for at in range(0, len(leaves), HASHES_A_TILE):
            part = leaves[at : at + HASHES_A_TILE]
            tile = Tile(ENTRIES, (len(hashes) + at) // HASHES_A_TILE, len(part))
            yield from _with_outgrown(folder, tile, pack_entries(part))
        hashes += [leaf_hash(leaf) for leaf in leaves]
    for tile in tiles_between(0, size):
        if tile.level and tile.index == 0:
            hashes = [
                root_of(hashes[at : at + HASHES_A_TILE])
                for at in range(0, len(hashes) // HASHES_A_TILE * HASHES_A_TILE, HASHES_A_TILE)
            ]
        begin = tile.index * HASHES_A_TILE
        yield from _with_outgrown(folder, tile, b"".join(hashes[begin : begin + tile.width]))


def _with_outgrown(folder: LogFolder, tile: Tile, data: bytes) -> Iterator[tuple[Tile, bytes]]:
    yield tile, data
    for width in folder.widths(tile):
        if width < tile.width:
            narrower = Tile(tile.level, tile.index, width)
            yield narrower, beginning(narrower, data)
