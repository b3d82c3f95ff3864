"""Following another registry: its events are copied, verified against its signed log, and then answered from.

One process follows; each step:

1. the upstream's checkpoint is fetched, and its signature checked with the keys that are pinned;
2. the events up to it are copied beyond the head, where no look-up sees them: each must say what its leaf
   commits to, or have been erased by a later event that says so;
3. the tree over the copied leaves must have the root that was signed, and begin with the last one seen;
4. the head is moved, and look-ups see them.

A mirror's log is a copy of the upstream's, under the upstream's signature. It answers only while it has seen
all that the upstream knew not longer ago than its bound: :func:`require_fresh`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from registry.copying import copy_events
from registry.errors import LogError, ProofError, SettingsError, StaleIndexError
from registry.leaf import parse_leaf
from registry.log_folder import LogFolder
from registry.note import Checkpoint, Verifier, open_note, parse_checkpoint
from registry.store import Store, events, mirrored
from registry.tiling import Tiling
from registry.upstream import Upstream

__all__ = ["Mirror", "pin_upstream", "require_fresh"]

_SECONDS_AHEAD = 5
"""How far the clock may stand behind the time of the last step."""


def pin_upstream(store: Store, upstream: Upstream, key: str = "") -> list[Verifier]:
    """Return the keys by which the upstream's log is known here.

    The first time ``key`` is pinned, or without one what the upstream says its keys are. Raises
    :class:`SettingsError` when the database is not a mirror of that upstream, or of none and not empty.
    """
    with store.administer() as connection:
        known = mirrored.mirrored(connection)
        if known is None:
            if store.head() or mirrored.last_event(connection):
                raise SettingsError(
                    "the database has events of its own: it cannot become a mirror", hint="Name an empty one."
                )
            texts = [key] if key else upstream.keys().get("keys", [])
            verifiers = [Verifier.parse(text) for text in texts]
            mirrored.pin(connection, upstream.url, _lines(verifiers))
            return verifiers
    if known.upstream != upstream.url:
        raise SettingsError(f"this database mirrors {known.upstream}, not {upstream.url}")
    verifiers = [Verifier.parse(text) for text in known.verifier.split()]
    if key and Verifier.parse(key) not in verifiers:
        raise SettingsError(
            "this mirror knows the log by another key than the one that is given",
            hint="If it was rotated, the mirror has learned the new one from the log itself; give none.",
        )
    return verifiers


def require_fresh(connection: Connection, now: float, bound: float) -> None:
    """Raise :class:`StaleIndexError` unless a mirror has seen all that was known ``bound`` seconds ago."""
    known = mirrored.mirrored(connection)
    behind = now - (0 if known is None else known.synced_at)
    if not -_SECONDS_AHEAD <= behind <= bound:
        told = "never" if known is None or not known.synced_at else f"{behind:,.0f} seconds ago"
        raise StaleIndexError(
            f"this mirror last had all that its upstream knew {told}; it may lag {bound:,.0f} seconds",
            hint="Ask again, or ask the upstream itself.",
        )


@dataclass(slots=True)
class Mirror:
    """Follows ``upstream`` in ``store``, with a copy of its log in ``folder``.

    ``now`` gives seconds since 1970.
    """

    store: Store
    folder: LogFolder
    upstream: Upstream
    verifiers: list[Verifier]
    now: Callable[[], float]
    _asked: list[tuple[float, int]] = field(default_factory=list)

    def follow(self) -> int:
        """Copy and verify what is new; returns the last event that look-ups see.

        Raises :class:`LogError` when the upstream contradicts what it signed, :class:`RegistryError` when it
        cannot be asked; nothing unverified is ever seen.
        """
        began = self.now()
        note = self.upstream.checkpoint()
        checkpoint = self._opened(note)
        with self.store.read() as connection:
            known = mirrored.mirrored(connection)
        verified = self.store.head()
        if checkpoint.size < verified:
            raise LogError(f"{self.upstream.url} signed {checkpoint.size} events, after {verified}")
        self._asked.append((began, int(self.upstream.changes(max(verified, checkpoint.size))["head"])))
        if known is None or known.note != note:
            self._take_in(checkpoint, note, verified)
        self._note_synced(checkpoint.size)
        return checkpoint.size

    def _take_in(self, checkpoint: Checkpoint, note: str, verified: int) -> None:
        copy_events(self.store, self.upstream, checkpoint.size)
        tiling = Tiling(self.store, self.folder)
        root = tiling.extend(verified, checkpoint.size)
        with self.store.administer() as connection:
            unproven = mirrored.unproven_erasures(connection, verified, checkpoint.size)
            if root != checkpoint.root or unproven:
                mirrored.discard_beyond(connection, verified)
            else:
                self.verifiers = _after(self.verifiers, connection, verified, checkpoint.size)
                mirrored.verify_upto(connection, checkpoint.size, note, _lines(self.verifiers))
        if root != checkpoint.root or unproven:
            raise LogError(
                f"the events of {self.upstream.url} are not those that it signed",
                hint="Nothing of them is answered from. Keep the log's folder, and tell its operator.",
            )
        self.folder.write_copy(note, self.verifiers)
        tiling.sweep(verified, checkpoint.size)

    def _opened(self, note: str) -> Checkpoint:
        try:
            return parse_checkpoint(open_note(note, self.verifiers)[0])
        except ProofError as error:
            raise LogError(
                f"{self.upstream.url}: {error.message}",
                hint="If its operator announced another key, make the mirror anew with it.",
            ) from error

    def _note_synced(self, size: int) -> None:
        """Note the last time at which nothing was known upstream that is not here now."""
        done = [began for began, head in self._asked if head <= size]
        self._asked = [(began, head) for began, head in self._asked if head > size]
        if done:
            with self.store.administer() as connection:
                mirrored.note_synced(connection, int(max(done)))


def _after(known: list[Verifier], connection: Connection, after: int, upto: int) -> list[Verifier]:
    """Return the keys of the log as the events in between announced and revoked them."""
    for leaf in map(parse_leaf, events.key_leaves(connection, after, upto)):
        verifier = Verifier.parse(leaf.key)
        known = [one for one in known if one != verifier]
        if leaf.op == "key":
            known.insert(0, verifier)
    return known


def _lines(verifiers: list[Verifier]) -> str:
    return "".join(f"{one.text}\n" for one in verifiers)
