"""The folder of the published log: tiles, bundles of entries, the checkpoint, and apart from them the key.

    tile/…           as :mod:`registry.tiles` names them; derived from the events, may be made again
    checkpoint       the last signed state
    keys             the public keys that sign, a line each, the current one first
    key/private      their private halves, readable by the owner alone
    key/next         a private key that is being announced, while that lasts
    key/signed       size and root of the last state that was ever signed: kept apart, so that an older copy
                     of the rest is noticed

Files appear whole or not at all: written under another name, synced, renamed.
"""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from registry.disk import disk_errors, only_writer, sync_folder, write_file
from registry.errors import LogError, ProofError, StorageError
from registry.note import Checkpoint, Signer, Verifier, format_checkpoint, parse_checkpoint
from registry.tiles import Tile, beginning, tile_path

__all__ = ["LogFolder"]


class LogFolder:
    """A published log; one process writes, any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def writing(self) -> AbstractContextManager[None]:
        """Be the one writer. Raises :class:`StorageError` when another process is."""
        return only_writer(self.path)

    def read_tile(self, tile: Tile) -> bytes:
        """Return what a tile holds; a partial one that was swept, from the full one.

        Raises :class:`ProofError` when it is not there.
        """
        full = Tile(tile.level, tile.index)
        try:
            return (self.path / tile_path(tile)).read_bytes()
        except FileNotFoundError as error:
            if tile == full or not (self.path / tile_path(full)).exists():
                raise ProofError(f"{tile_path(tile)}: cannot be read: {error.strerror}") from error
        except OSError as error:
            raise ProofError(f"{tile_path(tile)}: cannot be read: {error.strerror}") from error
        return beginning(tile, self.read_tile(full))

    def sweep(self, tile: Tile) -> None:
        """Delete the partial files of a tile that is full. Raises :class:`StorageError`."""
        whole = self.path / tile_path(tile)
        partial = whole.with_name(f"{whole.name}.p")
        with disk_errors(f"the log's folder {partial}"):
            if partial.is_dir():
                shutil.rmtree(partial)

    def widths(self, tile: Tile) -> list[int]:
        """Return how many hashes or leaves the partial files of this tile hold, narrowest first."""
        whole = self.path / tile_path(Tile(tile.level, tile.index))
        partial = whole.with_name(f"{whole.name}.p")
        try:
            return sorted(int(path.name) for path in partial.iterdir() if path.name.isdecimal())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"the log's folder {partial} cannot be read: {error}") from error

    def write_tiles(self, tiles: Iterable[tuple[Tile, bytes]]) -> None:
        """Write tiles, and let them last through a loss of power. Raises :class:`StorageError`."""
        folders = set()
        for tile, data in tiles:
            path = self.path / tile_path(tile)
            write_file(path, data)
            folders.add(path.parent)
        for folder in folders:
            sync_folder(folder)

    def checkpoint(self) -> str | None:
        """Return the last signed note; None before the first. Raises :class:`StorageError`."""
        return _read(self.path / "checkpoint")

    def write_checkpoint(self, note: str) -> None:
        """Replace the checkpoint."""
        write_file(self.path / "checkpoint", note.encode())
        sync_folder(self.path)

    def write_copy(self, note: str, verifiers: Sequence[Verifier]) -> None:
        """Replace the checkpoint by that of the log of which this one is a copy, and its public keys."""
        write_file(self.path / "keys", _lines([one.text for one in verifiers]))
        self.write_checkpoint(note)

    def signed(self) -> Checkpoint | None:
        """Return the last state that was ever signed, whatever became of the rest."""
        text = _read(self.path / "key" / "signed")
        return None if text is None else parse_checkpoint(text)

    def write_signed(self, checkpoint: Checkpoint) -> None:
        """Note down what is about to be signed."""
        write_file(self.path / "key" / "signed", format_checkpoint(checkpoint).encode())
        sync_folder(self.path / "key")

    def signer(self) -> Signer | None:
        """Return the log's current key. Raises :class:`ProofError` when it is damaged."""
        return next(iter(self.signers()), None)

    def signers(self) -> list[Signer]:
        """Return the keys that sign, the current one first. Raises :class:`ProofError` for a damaged one."""
        text = _read(self.path / "key" / "private")
        return [] if text is None else [Signer.parse(line) for line in text.removesuffix("\n").split("\n")]

    def write_signer(self, signer: Signer) -> None:
        """Keep a key as the only one."""
        self.write_signers([signer])

    def next_signer(self) -> Signer:
        """Return the key that is to come, made if there is none: it is kept before it is announced."""
        text = _read(self.path / "key" / "next")
        if text is not None:
            return Signer.parse(text.removesuffix("\n"))
        current = self.signer()
        if current is None:
            raise LogError("the log has no key yet", hint="caveat log publish makes one.")
        signer = Signer.new(current.name)
        write_file(self.path / "key" / "next", _lines([signer.text]), mode=0o600)
        sync_folder(self.path / "key")
        return signer

    def adopt_next_signer(self) -> None:
        """Let the key that was to come be the current one."""
        if (new := self.next_signer()) not in (known := self.signers()):
            self.write_signers([new, *known])
        (self.path / "key" / "next").unlink(missing_ok=True)
        sync_folder(self.path / "key")

    def write_signers(self, signers: Sequence[Signer]) -> None:
        """Keep the private keys for the owner's eyes alone, and their public halves for all."""
        write_file(self.path / "key" / "private", _lines([one.text for one in signers]), mode=0o600)
        sync_folder(self.path / "key")
        write_file(self.path / "keys", _lines([one.verifier.text for one in signers]))
        sync_folder(self.path)

    def verifiers(self) -> list[Verifier]:
        """Return the public keys that sign, the current one first."""
        text = _read(self.path / "keys")
        return [] if text is None else [Verifier.parse(line) for line in text.removesuffix("\n").split("\n")]


def _lines(texts: Sequence[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def _read(path: Path) -> str | None:
    """Return the text of a file, None when there is none; raises :class:`StorageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the log's file {path} cannot be read: {error}") from error
