"""From the database to a snapshot: every tier, as of the log's last checkpoint, signed by the log's key.

The rows are cut into spans of the events that brought them, so that a file changes only where something in
its span was withdrawn or changed. A new span takes in the one before while that is less than twice as large;
what would be larger than ``FULL`` is never put together, so old files stay as they are, and there are few.
The filter is cut more coarsely, because each part of it adds to the share of false “maybe”.

All of it is derived: a snapshot can be deleted at any time, and is built again from the database. Rows are
read, sorted and written a span at a time, so memory is bounded by ``FULL``, not by the registry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from registry.errors import LogError, ProofError, SnapshotError
from registry.log_folder import LogFolder
from registry.merkle import inclusion_proof, leaf_hash, require_inclusion
from registry.note import Checkpoint, Signer, open_note, parse_checkpoint, sign_note
from registry.snapshot.manifest import Manifest, format_manifest
from registry.snapshot_folder import SnapshotFolder, Span
from registry.snapshot_parts import Filter, write_part
from registry.store import Store, snapshot_rows
from registry.tiles import TileReader

__all__ = ["FULL", "Built", "SnapshotBuilder", "spans_upto"]

FULL = 500_000
"""Works, rules and events of a span that is never put together with another."""
_RATIO = 2


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: the snapshot, whether it was there and only dated anew, and which were deleted."""

    manifest: Manifest
    renewed: bool
    deleted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """The log's last checkpoint as it was signed, what it says, and who signs."""

    note: str
    checkpoint: Checkpoint
    signers: Sequence[Signer] = field(repr=False)

    @property
    def key(self) -> str:
        return self.signers[0].verifier.text

    def signed(self, manifest: Manifest) -> str:
        return sign_note(format_manifest(manifest), self.signers)


@dataclass(frozen=True, slots=True)
class SnapshotBuilder:
    """Builds snapshots of ``store`` in ``folder``, as of the checkpoints of ``log``."""

    store: Store
    log: LogFolder
    folder: SnapshotFolder

    def build(self, now: int, keep: int) -> Built:
        """Build as of the last checkpoint, at ``now`` (seconds since 1970); delete all but ``keep``.

        Where that snapshot is there already and sound, it is only dated anew. Raises :class:`LogError`
        when nothing was published, or the database is not the one that was; :class:`StorageError`.
        """
        with self.folder.writing():
            state = self._state()
            before = self._before(state)
            renewed = before is not None and before.seq == state.checkpoint.size
            if before is not None and renewed and self.folder.is_sound(before):
                manifest = replace(before, built_at=now, checkpoint=state.note, log_key=state.key)
                self.folder.sign(before.seq, state.signed(manifest))
            else:
                renewed, manifest = False, self._written(state, before, now)
            return Built(manifest, renewed, tuple(self.folder.prune(keep, now)))

    def is_due(self, now: int, seconds: int) -> bool:
        """Say whether the newest snapshot is ``seconds`` old at ``now``, or none is handed out.

        Before anything was published none is due. After one with a date to come one is: the clock was wrong
        then or is now, and to wait for that day could take years.
        """
        if self.log.checkpoint() is None:
            return False
        newest = next(self.folder.served(now), None)
        return newest is None or not 0 <= now - newest.built_at < seconds

    def _state(self) -> _State:
        note, signers = self.log.checkpoint(), self.log.signers()
        if note is None or not signers:
            raise LogError("nothing has been published yet", hint="caveat log publish does that.")
        checkpoint = parse_checkpoint(open_note(note, [signers[0].verifier])[0])
        if checkpoint.size:
            self._require_published(checkpoint)
        return _State(note, checkpoint, signers)

    def _require_published(self, state: Checkpoint) -> None:
        with self.store.read() as connection:
            leaf = leaf_hash(snapshot_rows.last_leaf(connection, state.size))
        try:
            proof = inclusion_proof(TileReader(state.size, self.log.read_tile), state.size - 1, state.size)
            require_inclusion(leaf, state.size - 1, state.size, proof, state.root)
        except ProofError as error:
            raise LogError(
                f"event {state.size} of the database is not the one that was published",
                hint="Another database was put in its place, or the log is damaged: caveat log fsck.",
            ) from error

    def _before(self, state: _State) -> Manifest | None:
        """Return the newest snapshot of the same log, to go on from its cuts."""
        for seq in self.folder.seqs():
            try:
                manifest = self.folder.manifest(seq)
            except SnapshotError:
                continue
            if seq <= state.checkpoint.size and manifest.origin == state.checkpoint.origin:
                return manifest
        return None

    def _written(self, state: _State, before: Manifest | None, now: int) -> Manifest:
        seq = state.checkpoint.size
        known = () if before is None else {(e.after, e.upto) for e in before.files if e.tier == "keys"}
        with self.folder.making(seq) as draft:
            with self.store.read() as connection:
                spans = spans_upto(
                    seq,
                    sorted(known),
                    lambda after, upto: snapshot_rows.count_between(connection, after, upto),
                )
                filter_ = Filter(draft)
                for span in spans:
                    filter_.add(span, write_part(connection, draft, span, seq))
                filter_.close()
            manifest = Manifest(seq, now, state.note, state.key, tuple(draft.files))
            draft.sign(state.signed(manifest))
        return manifest


def spans_upto(seq: int, before: Sequence[tuple[int, int]], count: Callable[[int, int], int]) -> list[Span]:
    """Cut the events up to ``seq`` into spans, going on from those of an earlier snapshot.

    ``count(after, upto)`` says how many works and rules these events brought.
    """
    known = [Span(after, upto, count(after, upto) + upto - after) for after, upto in before]
    ends = [0, *(span.upto for span in known)]
    spans = known if [span.after for span in known] == ends[:-1] else []
    for new in _cut(spans[-1].upto if spans else 0, seq, count):
        spans.append(new)
        while len(spans) > 1 and _belong_together(*spans[-2:]):
            newer, older = spans.pop(), spans.pop()
            spans.append(Span(older.after, newer.upto, older.rows + newer.rows))
    return spans


def _belong_together(older: Span, newer: Span) -> bool:
    return older.rows < _RATIO * newer.rows and older.rows + newer.rows <= FULL


def _cut(after: int, upto: int, count: Callable[[int, int], int]) -> list[Span]:
    """Halve the events until no span is larger than ``FULL``, or it is a single event."""
    if after == upto:
        return []
    rows = count(after, upto) + upto - after
    if rows <= FULL or upto - after == 1:
        return [Span(after, upto, rows)]
    middle = (after + upto) // 2
    return [*_cut(after, middle, count), *_cut(middle, upto, count)]
