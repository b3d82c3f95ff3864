"""From events to the transparency log: leaves into tiles, and a signed checkpoint over them.

One process publishes. What it writes is derived from the events and can be made again, all but the
signatures: so before a checkpoint is signed its tiles lie on the disk, it is shown to contain the last one
that was ever signed, and that it is about to be signed is noted down apart from the rest. A database that was
set back to an older copy has fewer events than were signed, or others: nothing is published then.

Source: C2SP tlog-checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.errors import LogError
from registry.log_folder import LogFolder
from registry.note import Checkpoint, Signer, format_checkpoint, open_note, parse_checkpoint, sign_note
from registry.store import Store
from registry.tiling import Tiling

__all__ = ["Publisher"]

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
        tiling.sweep(0 if published is None else published.size, head)
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
