"""The folder of index files: which segments there are, and for which events each stands.

``current.json`` lists them, in the order of their events, without gaps from the first event on; it is
replaced by renaming, so readers see the old list or the new one. A segment carries the last event that it
holds together with that event's ``mark``, the SHA-256 of its leaf, which no other registry has: an index of
another database is refused. Who writes holds a lock on the folder.

A file of a name that is listed is never replaced: what is built anew in the place of a damaged segment gets
another name, so whoever has mapped the damaged one takes the list for what it is, a new one.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.disk import disk_errors, make_folder, only_writer, sync_folder, write_file
from registry.errors import SegmentError
from registry.index import MAX_SEQ, Entries, FrozenIndex
from registry.rechecking import Checked
from registry.segments import Segment, open_segment, write_segment

__all__ = ["IndexFolder", "MappedIndex", "Part", "mark_of"]

_LIST = "current.json"
_LIST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A segment: the events ``after < seq <= upto``, the mark of the last one, and how much it holds."""

    file: str
    after: int
    upto: int
    mark: str
    size: int


def mark_of(leaf: bytes) -> str:
    """Return the mark of the event with this leaf."""
    return hashlib.sha256(leaf).hexdigest()


class MappedIndex(FrozenIndex, Checked):
    """A segment that is open.

    Raises ValueError for arrays that do not fit together.
    """

    def __init__(self, segment: Segment) -> None:
        FrozenIndex.__init__(self, segment.arrays)
        Checked.__init__(self, segment)


class IndexFolder:
    """The segments in one folder; one process writes, any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def version(self) -> tuple[int, int] | None:
        """Return what changes whenever the list does; None while there is none that can be reached."""
        try:
            found = (self.path / _LIST).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def parts(self) -> list[Part]:
        """Read the list; empty when there is none. Raises :class:`SegmentError` when it cannot be read."""
        try:
            listed = json.loads((self.path / _LIST).read_text(encoding="utf-8"))
            if listed["format"] != _LIST_FORMAT:
                raise SegmentError(
                    f"{_LIST}: of format {listed['format']}; this release reads {_LIST_FORMAT}"
                )
            parts = [_part(row) for row in listed["parts"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise SegmentError(f"{_LIST}: cannot be read: {error}") from error
        ends = [0, *(part.upto for part in parts)]
        if [part.after for part in parts] != ends[:-1]:
            raise SegmentError(f"{_LIST}: events are missing between its segments")
        return parts

    def open(self, part: Part, *, check: bool = True) -> MappedIndex:
        """Open one segment. Raises :class:`SegmentError` when it is not what the list says."""
        segment = open_segment(self.path / part.file, check=check)
        if dict(segment.meta) != _meta(part):
            raise SegmentError(f"{part.file}: holds other events than the list says")
        try:
            return MappedIndex(segment)
        except (KeyError, ValueError) as error:
            raise SegmentError(f"{part.file}: an array is missing or of another kind: {error}") from error

    def writing(self) -> AbstractContextManager[None]:
        """Be the one writer. Raises :class:`StorageError` when another process is."""
        return only_writer(self.path)

    def write(self, entries: Entries, after: int, upto: int, mark: str) -> Part:
        """Write a segment; it counts once it is listed. Raises :class:`StorageFullError`, StorageError."""
        part = Part(self._free_name(after, upto), after, upto, mark, len(entries))
        make_folder(self.path)
        with write_segment(self.path / part.file, _meta(part), FrozenIndex.layout(entries)) as arrays:
            FrozenIndex.fill(arrays, entries)
        return part

    def _free_name(self, after: int, upto: int) -> str:
        """Return a name that no earlier segment of these events has had, as far as the list goes."""
        try:
            listed = self.parts()
        except SegmentError:
            listed = []  # Whoever opens a segment from here on goes by the new list.
        writings = [_writing_of(part) for part in listed if (part.after, part.upto) == (after, upto)]
        return _file_of(after, upto, max(writings, default=0) + 1)

    def publish(self, parts: Sequence[Part]) -> None:
        """Make ``parts`` the list, and delete the segments that it no longer names."""
        text = json.dumps({"format": _LIST_FORMAT, "parts": [asdict(part) for part in parts]}, indent=1)
        write_file(self.path / _LIST, (text + "\n").encode())
        sync_folder(self.path)
        self.clear(parts)

    def clear(self, parts: Sequence[Part]) -> None:
        """Delete segments and unfinished files other than ``parts``."""
        kept = {part.file for part in parts}
        with disk_errors(f"the index folder {self.path}"):
            for pattern in ("*.caveat", ".*.caveat.*", f".{_LIST}.*"):
                for path in self.path.glob(pattern):
                    if path.name not in kept:
                        path.unlink(missing_ok=True)


def _file_of(after: int, upto: int, writing: int = 1) -> str:
    again = "" if writing == 1 else f"-{writing}"
    return f"events-{after}-{upto}{again}.caveat"


def _writing_of(part: Part) -> int:
    """Return which writing of these events a segment is; 0 for a name that nobody writes."""
    again = re.fullmatch(
        rf"events-{part.after}-{part.upto}(?:-([2-9]|[1-9][0-9]{{1,8}}))?\.caveat", part.file
    )
    return int(again[1] or 1) if again else 0


def _part(row: Any) -> Part:
    """Read one row of the list as strictly as it is written."""
    part = Part(**row)
    numbers = (part.after, part.upto, part.size)
    if not all(type(number) is int for number in numbers) or not 0 <= part.after <= part.upto <= MAX_SEQ:
        raise ValueError(f"not the events of a segment: {str(numbers)[:80]}")
    if type(part.file) is not str or not _writing_of(part) or part.size < 0:
        raise ValueError(f"not a segment of its events: {str(part.file)[:80]!r}")
    if type(part.mark) is not str or len(bytes.fromhex(part.mark)) != hashlib.sha256().digest_size:
        raise ValueError(f"not the mark of an event: {str(part.mark)[:80]!r}")
    return part


def _meta(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if name != "file"}
