"""From events to index files: writes the segments that workers map, and puts small ones together.

One process builds; the files are derived, and can be deleted at any time. Segments shrink from the first one
to the last: a new one that would be more than half as large as the one before takes it in, so there are few,
and each entry is written some ten times in the life of a large registry.

A segment that is damaged, or that is not of this database, is dropped with all that follow it, and the events
are read again.
"""

import logging
from dataclasses import dataclass

from registry.errors import SegmentError
from registry.index import Entries
from registry.index_folder import IndexFolder, Part
from registry.store import Store, index_rows

__all__ = ["LEAST", "Builder"]

LEAST = 20_000
"""Works and rules that wait in the workers' memory before they become a segment."""
_RATIO = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds the index of ``store`` in ``folder``."""

    store: Store
    folder: IndexFolder

    def build(self, least: int = LEAST) -> Part | None:
        """Write what the workers would else hold in memory, if it is ``least`` works and rules or more.

        Returns the segment that was written. Raises :class:`StorageFullError`, :class:`StorageError`.
        """
        parts = self._sound_parts()
        after = parts[-1].upto if parts else 0
        head = self.store.head()
        with self.store.read() as connection:
            if index_rows.count_between(connection, after, head) < max(least, 1):
                return None
            with index_rows.entries_between(connection, after, head) as batches:
                entries = Entries.joined([Entries.of([]), *batches])
            mark = index_rows.mark_at(connection, head)
        taken = []
        while parts and parts[-1].size < _RATIO * len(entries):
            taken.append(parts[-1])
            entries = Entries.joined([self.folder.open(parts.pop()).entries(), entries])
        after = taken[-1].after if taken else after
        part = self.folder.write(entries, after, head, mark)
        self.folder.publish([*parts, part])
        return part

    def _sound_parts(self) -> list[Part]:
        """Return the listed segments up to the first one that is damaged or of another database."""
        try:
            listed = self.folder.parts()
        except SegmentError as error:
            log.error("index list refused, built anew: %s", error.message)
            return []
        sound: list[Part] = []
        for part in listed:
            try:
                self.folder.open(part)
                with self.store.read() as connection:
                    index_rows.require_mark(connection, part)
            except SegmentError as error:
                log.error("index segment refused, built anew: %s", error.message)
                break
            sound.append(part)
        return sound
