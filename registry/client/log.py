"""Following a registry's log from outside: what it signs must go on from what it signed before.

One visit, in this order; nothing new is kept unless all of it holds:

1. The key is the one given, else the one kept from the last visit, else the registry's own: trusted the
   first time, which is said.
2. Where another key has taken its place, the log itself must announce it, under a checkpoint that the known
   key signed. Then it is the known one.
3. The checkpoint is signed by that key, and its tiles make its root.
4. The checkpoint that was kept is the beginning of this one, shown by a proof over the tiles. A log that
   shrank, or has another beginning, is an error, and both checkpoints are the proof of it. Where another
   address of the same log, a mirror, is merely behind, nothing can be shown yet, and nothing is claimed.

What is here reads no file and asks nobody: a :class:`Seen` brings what the registry shows, a :class:`Kept`
what is remembered of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from registry.errors import LogError, ProofError
from registry.evidence import check_evidence
from registry.leaf import Leaf, parse_leaf
from registry.merkle import HashReader, consistency_proof, leaf_hash, require_consistency, root_hash, root_of
from registry.note import Checkpoint, Verifier, open_note, parse_checkpoint
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, TileReader, tile_path, unpack_entries

__all__ = [
    "Found",
    "Kept",
    "NotYetError",
    "Seen",
    "Trust",
    "check_log",
    "known_keys",
    "origin_of",
    "read_entries",
    "require_beginning",
]

_RECORD = "log"
"""The record under which the log speaks of itself."""
_TILES_HELD = 4096


class NotYetError(LogError):
    """What must be shown cannot be shown yet: a new key's announcement, or what a mirror is behind with."""


class Trust(StrEnum):
    """Why a key is believed."""

    GIVEN = "given"
    KEPT = "kept"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a registry shows: its ``keys``, asked for first, its checkpoint, and its tiles by ``fetch``."""

    registry: str
    keys: Mapping[str, Any]
    note: str
    fetch: Callable[[Tile], bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of a log: its keys, the current one first, and the last checkpoint that held.

    ``registries`` maps the addresses at which it was seen to how many events each showed last.
    """

    keys: tuple[Verifier, ...]
    note: str
    registries: Mapping[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.keys[0].name

    @property
    def checkpoint(self) -> Checkpoint:
        """The state that the note is of. Raises :class:`ProofError` unless the current key signed it."""
        return _opened(self.note, self.keys[0])


@dataclass(frozen=True, slots=True)
class Found:
    """A visit that held: what to keep now, its state, and the state that was kept before.

    ``announced`` is the key that took the place of the known one, None when it is the same.
    """

    kept: Kept
    checkpoint: Checkpoint
    before: Checkpoint | None
    trust: Trust
    announced: Verifier | None


def origin_of(note: str) -> str:
    """Return the name that a note claims, unproven."""
    return note.partition("\n")[0]


def known_keys(document: Mapping[str, Any]) -> list[Verifier]:
    """Return the keys of ``GET /api/v1/log/keys``, the current one first. Raises :class:`ProofError`."""
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(one, str) for one in keys):
        raise ProofError("the registry shows no keys of its log")
    if not all(one.isprintable() for one in keys):
        raise ProofError(f"not the keys of a log: {keys!r:.200}")
    return [Verifier.parse(one) for one in keys]


def check_log(seen: Seen, kept: Kept | None, given: Verifier | None) -> Found:
    """Check what is seen against what is kept, by the key that is given, kept, or met for the first time.

    Raises :class:`LogError` for a log that forked, shrank, or took a key that nothing announces,
    :class:`NotYetError`, :class:`ProofError` for a signature or a tile that does not hold.
    """
    shown = known_keys(seen.keys)
    trusted, trust = _trusted(shown, kept, given)
    announced = None if shown[0] == trusted else _announcement(seen.keys, trusted, shown[0])
    current = shown[0]
    checkpoint = _opened(seen.note, current)
    reader = TileReader(checkpoint.size, lru_cache(_TILES_HELD)(seen.fetch))
    if root_hash(reader, checkpoint.size) != checkpoint.root:
        raise ProofError(
            f"the tiles that {seen.registry} gives do not make the root of its checkpoint",
            hint="Ask again later. If it stays so, the log is damaged: tell the operator.",
        )
    before = None if kept is None else kept.checkpoint
    _require_caught_up(seen, checkpoint, kept)
    for earlier in (announced, before):
        if earlier is not None:
            require_beginning(earlier, checkpoint, reader)
    older = (() if kept is None else kept.keys) + (trusted,)
    keys = (current, *dict.fromkeys(key for key in older if key != current))
    registries = {} if kept is None else dict(kept.registries)
    now = Kept(keys, seen.note, registries | {seen.registry: checkpoint.size})
    return Found(now, checkpoint, before, trust, None if announced is None else current)


def require_beginning(old: Checkpoint, new: Checkpoint, reader: HashReader) -> None:
    """Raise :class:`LogError` unless ``old`` is the beginning of ``new``, whose hashes ``reader`` gives.

    Hashes that are not those of ``new`` prove nothing, and are :class:`ProofError`.
    """
    if new.size < old.size:
        raise LogError(
            f"the log {new.origin} shrank: it had {old.size:,} events, and shows {new.size:,}", hint=_SHOW
        )
    proof = consistency_proof(reader, old.size, new.size)
    if _is_beginning(old.size, old.root, new, proof):
        return
    found = root_hash(reader, old.size)
    if not _is_beginning(old.size, found, new, proof) and old.size != new.size:
        raise ProofError("the tiles that the registry gives do not make the root of its checkpoint")
    raise LogError(
        f"the log {new.origin} forked: its first {old.size:,} events had the root {old.root.hex()}, "
        f"and have {found.hex()} under the checkpoint of {new.size:,}",
        hint=_SHOW,
    )


_SHOW = "The log takes back what it signed. Show both checkpoints to others, and ask the operator."


def read_entries(
    checkpoint: Checkpoint,
    fetch: Callable[[Tile], bytes],
    progress: Callable[[int], None] = lambda _: None,
    each: Callable[[Leaf], None] = lambda _: None,
) -> None:
    """Read every entry of the log, and make its root from them alone.

    ``progress`` is told how many were read, ``each`` is given every one; it holds once this returns. Raises
    :class:`ProofError` that names the event.
    """
    root = root_of(_leaf_hashes(checkpoint.size, fetch, progress, each))
    if root != checkpoint.root:
        raise ProofError(
            f"the {checkpoint.size:,} entries of {checkpoint.origin} do not make the root of its checkpoint",
            hint="Ask again later. If it stays so, the log is damaged: tell the operator.",
        )


def _leaf_hashes(
    size: int,
    fetch: Callable[[Tile], bytes],
    progress: Callable[[int], None],
    each: Callable[[Leaf], None],
) -> Iterator[bytes]:
    for begin in range(0, size, HASHES_A_TILE):
        tile = Tile(ENTRIES, begin // HASHES_A_TILE, min(HASHES_A_TILE, size - begin))
        leaves = unpack_entries(fetch(tile))
        if len(leaves) != tile.width:
            raise ProofError(f"{tile_path(tile)}: {len(leaves)} entries instead of {tile.width}")
        for seq, data in enumerate(leaves, begin + 1):
            leaf = parse_leaf(data)
            if leaf.seq != seq:
                raise ProofError(f"event {seq}: its place in the log has the entry of event {leaf.seq}")
            each(leaf)
            yield leaf_hash(data)
        progress(len(leaves))


def _require_caught_up(seen: Seen, checkpoint: Checkpoint, kept: Kept | None) -> None:
    known = 0 if kept is None else kept.checkpoint.size
    showed = 0 if kept is None else kept.registries.get(seen.registry, 0)
    if showed <= checkpoint.size < known:
        raise NotYetError(
            f"{seen.registry} shows {checkpoint.size:,} events of the log {checkpoint.origin}, of which "
            f"{known:,} are known from elsewhere",
            hint="Ask again once it has caught up: it must then show those to be its beginning.",
        )


def _trusted(shown: Sequence[Verifier], kept: Kept | None, given: Verifier | None) -> tuple[Verifier, Trust]:
    if given is not None:
        return given, Trust.GIVEN
    return (shown[0], Trust.FIRST) if kept is None else (kept.keys[0], Trust.KEPT)


def _announcement(document: Mapping[str, Any], trusted: Verifier, new: Verifier) -> Checkpoint:
    """Return the checkpoint, signed by the trusted key, under which the log announces the new one."""
    said = f"the log {trusted.name} is signed by the key {new.text} now, and not by {trusted.text}"
    hint = "Ask the operator for the key by another way. If it is this one, give it with --log-key."
    try:
        checkpoint, events = check_evidence(document, [trusted])
    except ProofError as error:
        raise LogError(f"{said}, and no proof of that holds: {error.message}", hint=hint) from error
    places = [
        event.logged
        for event in events
        if document["record"] == _RECORD and (event.leaf.op, event.leaf.scope) == ("key", "log")
        if event.leaf.key == new.text
    ]
    if checkpoint is None or checkpoint.origin != trusted.name or not places:
        raise LogError(f"{said}, and the log does not announce that", hint=hint)
    if not any(places):
        raise NotYetError(
            f"{said}; the announcement is under no checkpoint yet", hint="Run again in some seconds."
        )
    return checkpoint


def _opened(note: str, key: Verifier) -> Checkpoint:
    try:
        text, _ = open_note(note, [key])
        checkpoint = parse_checkpoint(text)
    except ProofError as error:
        raise ProofError(
            f"the checkpoint of {origin_of(note)!r} does not hold under the key {key.text}: {error.message}",
            hint="Compare the key with the operator's, and give the right one with --log-key.",
        ) from error
    if checkpoint.origin != key.name:
        raise ProofError(f"a checkpoint of {checkpoint.origin!r}, signed by the key of {key.name!r}")
    return checkpoint


def _is_beginning(size: int, root: bytes, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    try:
        require_consistency(size, new.size, root, new.root, proof)
    except ProofError:
        return False
    return True
