"""Fetching a snapshot: what is missing, from where it broke off, and nothing that was not checked.

The manifest comes first, and must be signed by the pinned key of the log; the first time the key is the one
that was given, or the one that the manifest names, and is pinned then. A file that is here already, with the
SHA-256 that the manifest says, is not fetched. What is fetched goes to ``.part/`` under its SHA-256, so that
an interrupted one is gone on with by ``Range``, also when the snapshot has become another meanwhile; it is
renamed into its place only when its SHA-256 is right. Keys and pictures of which something was only taken
away are made from the files that are here (:mod:`registry.snapshot.deriving`). When all are there the new
manifest takes the place of the old one, and files that it does not name are deleted. Until then the old
snapshot answers.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import urllib3

from registry.client.http import RegistryClient
from registry.client.snapshot import PINNED, known_key
from registry.errors import (
    ProofError,
    RegistryAnswerError,
    RegistryUnreachableError,
    SnapshotError,
)
from registry.note import Verifier
from registry.snapshot.arrays import array_chunks, open_arrays
from registry.snapshot.deriving import DERIVED, covering, derived
from registry.snapshot.folder import sha256_of
from registry.snapshot.manifest import (
    TIERS,
    FileEntry,
    Manifest,
    claimed,
    files_of,
    open_manifest,
    read_note,
)

__all__ = ["Progress", "Pulled", "pull_snapshot"]

_PART = ".part"
_AT_ONCE = 1 << 16
_TRIES = 5
"""How often a file is gone on with after the connection was lost, before the command gives up."""
_LARGEST_NOTE = 4_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where to tell how far it is: ``begin(manifest, bytes)`` before the first file, then ``read(bytes)``."""

    begin: Callable[[Manifest, int], None] = lambda _manifest, _bytes: None
    read: Callable[[int], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was done: the snapshot that is here now, files and bytes fetched, files that were here or made."""

    manifest: Manifest
    fetched: int
    bytes: int
    kept: int
    derived: int = 0


def pull_snapshot(
    registry: RegistryClient,
    folder: Path,
    tiers: Sequence[str],
    *,
    log_key: str | None = None,
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> Pulled:
    """Bring the registry's latest snapshot into ``folder``, of it these ``tiers``.

    Raises :class:`ProofError` when it is not signed by the pinned key, or older than what is here;
    :class:`RegistryAnswerError` when a file is not what the manifest says; :class:`RegistryError`; OSError.
    """
    unknown = sorted(set(tiers) - set(TIERS))
    if unknown or not tiers:
        raise SnapshotError(f"no tier {unknown}", hint=f"Tiers are {', '.join(TIERS)}.")
    note = _latest(registry)
    manifest = _checked(folder, note, log_key)
    wanted = files_of(manifest, tiers)
    missing = [entry for entry in wanted if not _is_here(entry.path(folder), entry)]
    older = _older(folder)
    parts = folder / _PART
    parts.mkdir(parents=True, exist_ok=True)
    _pin(folder, manifest)
    progress.begin(manifest, sum(entry.size for entry in missing))
    read, made = 0, 0
    # The records first: they say what of the older files is still there.
    for entry in sorted(missing, key=lambda one: one.tier != "records"):
        if _is_made(folder, entry, older, wanted):
            made += 1
            progress.read(entry.size)
        else:
            read += _Fetch(registry, manifest.seq, entry, parts, progress).run(folder)
    _write(folder / "manifest", note)
    _sweep(folder, wanted)
    return Pulled(manifest, len(missing) - made, read, len(wanted) - len(missing), made)


def _latest(registry: RegistryClient) -> str:
    with registry.reading("/api/v1/snapshots/latest/manifest") as response:
        data = bytearray()
        for chunk in response.iter_content(_AT_ONCE):
            data += chunk
            if len(data) > _LARGEST_NOTE:
                raise RegistryAnswerError(f"the registry at {registry.url} sent a manifest without end")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RegistryAnswerError(
            f"the registry at {registry.url} sent a manifest that is no text"
        ) from error


def _checked(folder: Path, note: str, log_key: str | None) -> Manifest:
    """Return the manifest in ``note``, signed by the key that is known here, and not older than what is."""
    known = known_key(folder, log_key)
    manifest = open_manifest(note, known or Verifier.parse(claimed(note).log_key))
    if known is not None and (folder / "manifest").exists():
        with contextlib.suppress(ProofError, SnapshotError):  # One that is damaged is replaced.
            here = open_manifest(read_note(folder / "manifest"), known)
            _require_newer(manifest, here)
    return manifest


def _require_newer(manifest: Manifest, here: Manifest) -> None:
    if manifest.seq < here.seq:
        raise RegistryAnswerError(
            f"the registry's latest snapshot is as of event {manifest.seq}, and the one here of {here.seq}: "
            "it would take back what was said since",
            hint="Ask the operator; an older copy may have been put in its place.",
        )


def _pin(folder: Path, manifest: Manifest) -> None:
    """Keep the key that the manifest names, which signed it beside the known one."""
    _write(folder / PINNED, manifest.log_key + "\n")


def _is_here(path: Path, entry: FileEntry) -> bool:
    try:
        return path.stat().st_size == entry.size and sha256_of(path) == entry.sha256
    except OSError:
        return False


def _older(folder: Path) -> Sequence[FileEntry]:
    """Return the files of the snapshot that is here; each is checked by what is made of it."""
    try:
        return claimed(read_note(folder / "manifest")).files
    except SnapshotError:
        return ()


def _is_made(folder: Path, entry: FileEntry, older: Sequence[FileEntry], wanted: Sequence[FileEntry]) -> bool:
    """Make a file of older ones, if that can be done; say whether it was."""
    sources = covering(entry, older) if entry.tier in DERIVED else []
    if not sources:
        return False
    try:
        records = [open_arrays(one.path(folder), "records") for one in wanted if one.tier == "records"]
        live = np.sort(np.concatenate([np.empty(0, np.int64), *(one["refs"] for one in records)]))
        arrays = derived([open_arrays(one.path(folder), one.kind) for one in sources], live)
    except SnapshotError:
        return False  # A damaged one here: it is fetched.
    data = b"".join(array_chunks(entry.kind, arrays))
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        return False
    place = folder / _PART / entry.sha256
    with place.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place, entry.path(folder))
    return True


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One file on its way."""

    registry: RegistryClient
    seq: int
    entry: FileEntry
    parts: Path
    progress: Progress

    def run(self, folder: Path) -> int:
        """Fetch the file into its place; return how many bytes came over the network."""
        part = self.parts / self.entry.sha256
        began = read = self._size(part)
        self.progress.read(began)
        read = 0
        for left in reversed(range(_TRIES)):
            try:
                read += self._go_on(part)
                break
            except RegistryUnreachableError:
                now = self._size(part)
                # A connection that brings nothing any more is given up; one that does is gone on with.
                if not left or now == began:
                    raise
                read, began = read + now - began, now
        if sha256_of(part) != self.entry.sha256:
            part.unlink()
            raise RegistryAnswerError(
                f"{self.entry.name}: the registry at {self.registry.url} sent other bytes than it signed",
                hint="Run the same command again; if it stays, tell the operator.",
            )
        place = self.entry.path(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, place)
        return read

    def _go_on(self, part: Path) -> int:
        """Append what is missing to ``part``; return how much came."""
        have, read = self._size(part), 0
        if have >= self.entry.size:
            return 0
        path = f"/api/v1/snapshots/{self.seq}/{self.entry.tier}/{self.entry.name}"
        headers = {"Range": f"bytes={have}-", "If-Range": f'"{self.entry.sha256}"'} if have else {}
        with self.registry.reading(path, headers) as response:
            if have and response.status_code != 206:
                have = 0
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                for chunk in _arriving(response):
                    read += len(chunk)
                    if have + read > self.entry.size:
                        raise RegistryAnswerError(
                            f"{self.entry.name}: more than the {self.entry.size} bytes of the manifest"
                        )
                    file.write(chunk)
                    self.progress.read(len(chunk))
                file.flush()
                os.fsync(file.fileno())
        if have + read < self.entry.size:
            raise RegistryUnreachableError(
                f"{self.entry.name}: the registry at {self.registry.url} ended it after {have + read} of "
                f"{self.entry.size} bytes",
                hint="Run the same command again: it goes on from there.",
            )
        return read

    @staticmethod
    def _size(part: Path) -> int:
        return part.stat().st_size if part.exists() else 0


def _arriving(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives: what came before a connection is lost is not lost with it."""
    try:
        while data := response.raw.read1(_AT_ONCE):
            yield data
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error


def _write(path: Path, text: str) -> None:
    """Replace a small file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _sweep(folder: Path, wanted: Sequence[FileEntry]) -> None:
    """Delete files of an earlier snapshot, and what is left of interrupted fetches."""
    kept = {entry.path(folder) for entry in wanted}
    for name in {*(one for tier in TIERS.values() for one in tier), _PART}:
        for path in (folder / name).glob("*"):
            if path not in kept:
                with contextlib.suppress(OSError):  # Still open somewhere: it goes the next time.
                    path.unlink()
