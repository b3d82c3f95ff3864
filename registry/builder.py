"""From events to index files: writes the segments that workers map, and puts small ones together.

One process builds; the files are derived, and can be deleted at any time. Segments shrink from the first one
to the last: a new one that would be more than half as large as the one before takes it in, so there are few,
and each entry is written some ten times in the life of a large registry.

A segment that is damaged, or that is not of this database, is dropped with all that follow it, and the events
are read again. One that holds what was erased since is written anew without it, with all that follow it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from registry.errors import SegmentError
from registry.index import Entries
from registry.index_folder import IndexFolder, Part
from registry.store import Store, events, index_rows

__all__ = ["LEAST", "Builder"]

LEAST = 20_000
"""Works and rules that wait in the workers' memory before they become a segment."""
_RATIO = 2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Builder:
    """Builds the index of ``store`` in ``folder``.

    The first time, whenever there is something to build, and when it is told to, all segments are read and
    checked whole. What is damaged is built anew, however small.
    """

    store: Store
    folder: IndexFolder
    _checked: bool = False

    def build(self, least: int = LEAST, *, again: bool = False) -> Part | None:
        """Write what the workers would else hold in memory, if it is ``least`` works and rules or more.

        With ``again`` what was checked before is checked again: a bit may have turned since. Returns the
        segment that was written. Raises :class:`StorageFullError`, :class:`StorageError`.
        """
        with self.folder.writing():
            if self._checked and not again:
                parts, refused = self._sound_parts(check=False)
                if not (refused or self._due(parts, least)):
                    return None
            parts, refused = self._sound_parts(check=True)
            for message in refused:
                log.error("index refused, built anew: %s", message)
            self._checked = True
            return self._build(parts) if self._due(parts, 1 if refused else least) else None

    def _build(self, parts: list[Part]) -> Part:
        self.folder.clear(parts)
        after = _end_of(parts)
        # What is erased after this event is looked for again: the segment ends before it.
        head = self.store.head()
        with self.store.read() as connection:
            erased = events.erased_since(connection, parts[0].upto if parts else head)
            with index_rows.entries_between(connection, after, head) as batches:
                entries = Entries.joined([Entries.of([]), *batches])
            mark = index_rows.mark_at(connection, head)
        clean = _clean(parts, erased)
        while parts and (len(parts) > clean or parts[-1].size < _RATIO * len(entries)):
            after = parts[-1].after
            entries = Entries.joined([self.folder.open(parts.pop()).entries(), entries])
        entries = entries.without(np.array([seq for seq, _ in erased], np.int64))
        part = self.folder.write(entries, after, head, mark)
        self.folder.publish([*parts, part])
        return part

    def _due(self, parts: Sequence[Part], least: int) -> bool:
        """Say whether ``least`` works and rules or more are in none of ``parts``, or erased ones in one."""
        end, head = _end_of(parts), self.store.head()
        with self.store.read() as connection:
            if parts and _clean(parts, events.erased_since(connection, parts[0].upto)) < len(parts):
                return True
            return index_rows.count_between(connection, end, head) >= max(least, 1)

    def _sound_parts(self, *, check: bool) -> tuple[list[Part], list[str]]:
        """Return the listed segments up to the first one that is damaged or of another database, and why."""
        sound: list[Part] = []
        try:
            for part in self.folder.parts():
                self.folder.open(part, check=check)
                with self.store.read() as connection:
                    index_rows.require_mark(connection, part)
                sound.append(part)
        except SegmentError as error:
            return sound, [error.message]
        return sound, []


def _clean(parts: Sequence[Part], erased: Sequence[tuple[int, int]]) -> int:
    """Return how many of ``parts``, from the first one on, hold nothing that was erased after them."""
    for number, part in enumerate(parts):
        if any(part.after < seq <= part.upto < by for seq, by in erased):
            return number
    return len(parts)


def _end_of(parts: Sequence[Part]) -> int:
    return parts[-1].upto if parts else 0
