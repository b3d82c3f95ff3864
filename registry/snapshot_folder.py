"""The registry's folder of snapshots: a folder each, named by the event as of which it is.

    SEQ/manifest, SEQ/keys/…      as :mod:`registry.snapshot` describes
    .SEQ.PID/                     one that is being made

A snapshot appears whole or not at all. Older ones than ``MAX_AGE_DAYS`` are neither listed nor served: what
was erased since must not go on being handed out.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from registry.disk import disk_errors, only_writer, sync_folder, write_file
from registry.errors import NotFoundError, SnapshotError
from registry.snapshot.folder import damage
from registry.snapshot.manifest import FileEntry, Manifest, claimed, read_note

__all__ = ["MAX_AGE_DAYS", "Draft", "SnapshotFolder", "Span"]

MAX_AGE_DAYS = 30
"""Days after which a snapshot is no longer handed out."""

_DAY = 86_400
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """The events ``after < seq <= upto``, which brought ``rows`` works and rules, withdrawn ones included."""

    after: int
    upto: int
    rows: int


@dataclass(slots=True)
class Draft:
    """A snapshot that is being made in ``path``."""

    path: Path
    files: list[FileEntry] = field(default_factory=list)

    def add(
        self, tier: str, kind: str, span: Span, rows: int, write: Callable[[BinaryIO], None]
    ) -> FileEntry:
        """Let ``write`` write one file of the snapshot; synced. Raises :class:`StorageError`."""
        folder = self.path / tier
        temporary = folder / f"{kind}-{span.after}-{span.upto}"
        with disk_errors(f"the snapshot's file {temporary}"):
            folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w+b") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
                file.seek(0)
                found = hashlib.sha256()
                while data := file.read(_AT_ONCE):
                    found.update(data)
            entry = FileEntry(tier, kind, span.after, span.upto, rows, size, found.hexdigest())
            os.replace(temporary, entry.path(self.path))
        self.files.append(entry)
        return entry

    def sign(self, note: str) -> None:
        """Write the signed manifest."""
        write_file(self.path / "manifest", note.encode())


class SnapshotFolder:
    """The snapshots in one folder; one process writes, any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def seqs(self) -> list[int]:
        """Return the events as of which there are snapshots, the newest first."""
        with disk_errors(f"the folder {self.path}"):
            names = [one.name for one in self.path.iterdir()] if self.path.is_dir() else []
        return sorted((int(name) for name in names if name.isascii() and name.isdecimal()), reverse=True)

    def note(self, seq: int) -> str:
        """Return the signed manifest. Raises :class:`SnapshotError` when it cannot be read."""
        return read_note(self.path / str(seq) / "manifest")

    def manifest(self, seq: int) -> Manifest:
        """Return what the manifest says; its signature is for those who are given it to check."""
        return claimed(self.note(seq))

    def served(self, now: int) -> Iterator[Manifest]:
        """Yield what may be handed out at ``now``, seconds since 1970, the newest first."""
        for seq in self.seqs():
            try:
                manifest = self.manifest(seq)
            except SnapshotError:
                continue  # Being deleted, or damaged: it is not handed out.
            if now - manifest.built_at < MAX_AGE_DAYS * _DAY:
                yield manifest

    def serve(self, name: str, now: int) -> Manifest:
        """Return the snapshot ``latest``, or as of an event. Raises :class:`NotFoundError`."""
        for manifest in self.served(now):
            if name in ("latest", str(manifest.seq)):
                return manifest
        raise NotFoundError(
            f"there is no snapshot {name[:40]!r} here",
            hint="GET /api/v1/snapshots lists them; a snapshot is kept for 30 days at most.",
        )

    def is_sound(self, manifest: Manifest) -> bool:
        """Say whether every file of a snapshot is what its manifest says."""
        return not any(damage(self.path / str(manifest.seq), manifest.files))

    def writing(self) -> AbstractContextManager[None]:
        """Be the one writer. Raises :class:`StorageError` when another process is."""
        return only_writer(self.path)

    @contextmanager
    def making(self, seq: int) -> Iterator[Draft]:
        """Yield where to write a snapshot; it appears when the block ends, or nothing is left behind."""
        self._sweep()
        draft = Draft(self.path / f".{seq}.{os.getpid()}")
        with disk_errors(f"the snapshot {draft.path}"):
            draft.path.mkdir()
        try:
            yield draft
            for folder in {draft.path, *(draft.path / entry.tier for entry in draft.files)}:
                sync_folder(folder)
            self._appear(draft.path, self.path / str(seq))
        except BaseException:
            shutil.rmtree(draft.path, ignore_errors=True)
            raise

    def sign(self, seq: int, note: str) -> None:
        """Put another signed manifest in the place of a snapshot's own, such as one with a newer date."""
        write_file(self.path / str(seq) / "manifest", note.encode())
        sync_folder(self.path / str(seq))

    def prune(self, keep: int, now: int) -> list[int]:
        """Delete all but the ``keep`` newest, and those older than may be handed out; say which went."""
        kept = [manifest.seq for manifest in self.served(now)][:keep]
        gone = [seq for seq in self.seqs() if seq not in kept]
        with disk_errors(f"the folder {self.path}"):
            for seq in gone:
                # Renamed first: half a snapshot is never listed.
                (self.path / str(seq)).rename(self.path / f".{seq}.gone")
                shutil.rmtree(self.path / f".{seq}.gone")
        return gone

    def _appear(self, made: Path, place: Path) -> None:
        with disk_errors(f"the snapshot {place}"):
            if place.exists():
                place.rename(made.with_suffix(".gone"))
            made.rename(place)
            sync_folder(self.path)
        self._sweep()

    def _sweep(self) -> None:
        """Delete what an interrupted build left behind."""
        with disk_errors(f"the folder {self.path}"):
            for path in self.path.glob(".*.*"):
                shutil.rmtree(path)
