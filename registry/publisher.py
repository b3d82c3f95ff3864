"""From events to the transparency log: leaves into tiles, and a signed checkpoint over them.

One process publishes. What it writes is derived from the events and can be made again, all but the
signatures: so before a checkpoint is signed its tiles lie on the disk, it is shown to contain the last one
that was ever signed, and that it is about to be signed is noted down apart from the rest. A database that was
set back to an older copy has fewer events than were signed, or others: nothing is published then.

Source: C2SP tlog-checkpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import LogError, ProofError
from registry.leaf import Leaf, parse_leaf
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash, root_of
from registry.note import Checkpoint, Signer, format_checkpoint, open_note, parse_checkpoint, sign_note
from registry.store import Store, events, payloads
from registry.store.replaying import commitment_of
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, pack_entries, tile_path, tiles_between
from registry.tiling import Tiling

__all__ = ["Publisher", "check_rows", "fsck"]

_EVENTS_AT_ONCE = 65_536
_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes the events of ``store`` in ``folder``, signed by ``signer``.

    ``retiring`` are older keys of the log, which sign too until they are revoked.
    """

    store: Store
    folder: LogFolder
    signer: Signer
    retiring: Sequence[Signer] = ()

    def publish(self) -> Checkpoint | None:
        """Publish what was not published yet; returns the new state, or None when there is nothing new.

        Raises :class:`LogError` when the events are not those that were signed before, and StorageError.
        """
        head, published = self.store.head(), self._published()
        # Either may be an older copy, or missing: what was signed once binds, wherever it is known from.
        signed = [one for one in (self.folder.signed(), published) if one is not None]
        for last in signed:
            if head < last.size:
                raise LogError(
                    f"the log was signed with {last.size} events, and the database has {head}",
                    hint="An older copy of the database was put in its place; restore the newer one.",
                )
        if len(signed) == 2 and signed[0] == signed[1] and signed[0].size == head:
            return None
        tiling = Tiling(self.store, self.folder)
        root = tiling.extend(0 if published is None else published.size, head)
        checkpoint = Checkpoint(self.signer.name, head, root)
        for last in signed:
            tiling.require_beginning(last, checkpoint)
        self.folder.write_signed(checkpoint)
        self.folder.write_checkpoint(sign_note(format_checkpoint(checkpoint), self._signers))
        return checkpoint

    def _published(self) -> Checkpoint | None:
        """Return the published state, whose tiles are therefore there."""
        note = self.folder.checkpoint()
        if note is None:
            return None
        text, _ = open_note(note, [one.verifier for one in self._signers])
        return parse_checkpoint(text)

    @property
    def _signers(self) -> list[Signer]:
        return [self.signer, *self.retiring]


def fsck(store: Store, folder: LogFolder, size: int) -> Iterator[str]:
    """Make every tile of the first ``size`` leaves anew from the events; yield what is wrong with each."""
    hashes: list[bytes] = []
    for begin in range(0, size, _EVENTS_AT_ONCE):
        end = min(begin + _EVENTS_AT_ONCE, size)
        with store.read() as connection:
            leaves = events.leaves_between(connection, begin, end)
        for at in range(0, len(leaves), HASHES_A_TILE):
            part = leaves[at : at + HASHES_A_TILE]
            tile = Tile(ENTRIES, (begin + at) // HASHES_A_TILE, len(part))
            yield from _different(folder, tile, pack_entries(part))
        hashes += [leaf_hash(leaf) for leaf in leaves]
    for tile in tiles_between(0, size):
        if tile.level and tile.index == 0:
            hashes = [
                root_of(hashes[at : at + HASHES_A_TILE])
                for at in range(0, len(hashes) // HASHES_A_TILE * HASHES_A_TILE, HASHES_A_TILE)
            ]
        begin = tile.index * HASHES_A_TILE
        yield from _different(folder, tile, b"".join(hashes[begin : begin + tile.width]))


def check_rows(store: Store) -> Iterator[str]:
    """Hold the rows of every event to what its leaf commits to, and its end to the event that ended it.

    Yields what is wrong: a row that was changed, added or deleted behind the registrar's back.
    """
    head = store.head()
    for begin in range(0, head, _ROWS_AT_ONCE):
        with store.read() as connection:
            rows = events.between(connection, begin, min(begin + _ROWS_AT_ONCE, head))
            said = payloads.payloads_of(connection, [row.seq for row in rows])
        for row in rows:
            leaf = parse_leaf(bytes(row.leaf))
            if (leaf.seq, leaf.op, leaf.record) != (row.seq, row.op, row.record):
                yield f"event {row.seq}: is not the one of its leaf"
            elif row.seq in said and not _committed(leaf, bytes(row.salt), said[row.seq]):
                yield f"event {row.seq}: its rows are not what its leaf commits to"
    with store.read() as connection:
        yield from payloads.misplaced(connection)


def _committed(leaf: Leaf, salt: bytes, payload: Mapping[str, Any]) -> bool:
    try:
        return commitment_of(leaf, salt, payload) == leaf.commitment
    except ProofError:
        return False


def _different(folder: LogFolder, tile: Tile, wanted: bytes) -> Iterator[str]:
    try:
        found = folder.read_tile(tile)
    except ProofError as error:
        yield error.message
        return
    if found != wanted:
        yield f"{tile_path(tile)}: is not what the events make it"
