"""Emptying a folder of some files, so that a run that is cut short can be finished: a journal, then moves.

The quarantine holds ``.caveat-in-place/``: the journal, which names every move, and the new content of the
lists. It is on the disk before the first file moves, and each step may be done again: what it asks for is
either still to do or done. So whoever starts again after a loss of power goes on from the journal, and asks
nobody anew. A file that stands at both ends with other content, or at neither, is an error by name: somebody
else was there, and nothing is written over.

A move within one disk is a rename. To another disk it is a copy that is synced and renamed before the
original goes.
"""

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.client.formats.files import remove, sync_names, sync_tree, write_synced
from registry.errors import CaveatError, DatasetError
from registry.jsontext import strict_json

__all__ = ["FOLDER", "Journal"]

FOLDER = ".caveat-in-place"
"""What a quarantine has of its own, beside what was moved there."""

_JOURNAL = "journal.json"
_NEW = "new"


@dataclass(frozen=True, slots=True)
class Journal:
    """What a run in place moves out of ``source``: paths below it, with slashes.

    ``moves`` go to the same paths below ``quarantine``; ``rewritten`` lists get the content that lies in
    :attr:`new`, after a copy of the old one. ``told`` is what the run says of itself, JSON.
    """

    source: Path
    quarantine: Path
    moves: tuple[str, ...]
    rewritten: tuple[str, ...]
    told: Mapping[str, Any]

    @property
    def new(self) -> Path:
        """The folder of the new lists."""
        return self.quarantine / FOLDER / _NEW

    @classmethod
    def begun(cls, quarantine: Path) -> "Journal | None":
        """Return the journal of a run that was cut short, None where there is none to finish.

        Raises :class:`DatasetError` for a quarantine in which other things are, or whose journal is damaged.
        """
        path = quarantine / FOLDER / _JOURNAL
        if not path.exists():
            _require_empty(quarantine)
            return None
        try:
            wire = strict_json(path.read_bytes())
            moves, rewritten = tuple(wire["moves"]), tuple(wire["rewritten"])
            found = cls(Path(wire["source"]), quarantine, moves, rewritten, wire["told"])
            is_done = wire["done"]
        except (OSError, CaveatError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{path} cannot be read: {error!r}", hint="Give another folder for what goes."
            ) from error
        if is_done:
            remove(found.new)
            raise _full(quarantine)
        return found

    def write(self) -> None:
        """Put the journal on the disk, and the new lists before it."""
        if self.new.exists():
            sync_tree(self.new)
        self._write(is_done=False)
        sync_names(self.quarantine)
        sync_names(self.quarantine.parent)

    def finish(self) -> None:
        """Do what is still to do. Raises :class:`DatasetError` where somebody else changed what is moved."""
        _require_source(self.source)
        for path in self.moves:
            _move(self.source / path, self.quarantine / path)
        for path in self.rewritten:
            self._rewrite(path)
        for path in (*self.moves, *self.rewritten):
            _sync_above(self.quarantine / path, self.quarantine)
        _drop_empty(self.source, self.moves)

    def close(self) -> None:
        """Say that all is done; the journal stays, and tells what came from where."""
        self._write(is_done=True)
        remove(self.new)

    def _write(self, *, is_done: bool) -> None:
        wire = {
            "source": str(self.source),
            "moves": self.moves,
            "rewritten": self.rewritten,
            "told": self.told,
            "done": is_done,
        }
        path = self.quarantine / FOLDER / _JOURNAL
        write_synced(path, json.dumps(wire, ensure_ascii=False, indent=1).encode() + b"\n")

    def _rewrite(self, path: str) -> None:
        there, new = self.source / path, self.new / path
        if not filecmp.cmp(there, new, shallow=False):
            _copy(there, self.quarantine / path)
            part = _part(there)
            shutil.copyfile(new, part)
            sync_tree(part)
            os.replace(part, there)
        sync_names(there.parent)


def _require_source(source: Path) -> None:
    if not source.is_dir():
        raise DatasetError(
            f"{source}, which an earlier run was emptying, is not there",
            hint="Put it back to its place, or give another folder for what goes.",
        )


def _require_empty(quarantine: Path) -> None:
    own = quarantine / FOLDER
    if quarantine.exists() and not quarantine.is_dir():
        raise DatasetError(f"{quarantine} is no folder", hint="Give a new folder for what goes.")
    if quarantine.is_dir() and any(one != own for one in quarantine.iterdir()):
        raise _full(quarantine)
    # Without a journal nothing was moved yet: what lies here was being prepared.
    remove(own)


def _full(quarantine: Path) -> DatasetError:
    return DatasetError(
        f"{quarantine} is not empty: it may hold what an earlier run moved there",
        hint="Give a new folder for what goes.",
    )


def _move(source: Path, target: Path) -> None:
    """Move a file or a folder, or see that this was done."""
    is_here, is_there = os.path.lexists(source), os.path.lexists(target)
    if not is_here and not is_there:
        raise DatasetError(
            f"{source} is neither where it was nor in the quarantine",
            hint="Something else took it away. Put it back, and run the same command again.",
        )
    if is_here and is_there:
        _require_copied(source, target)
        _remove(source)
    elif is_here:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(_part(target))
        try:
            os.rename(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, target)
            _remove(source)
    if source.parent.is_dir():
        sync_names(source.parent)


def _part(path: Path) -> Path:
    """Return the name under which a copy is made that is to be ``path``."""
    return path.with_name(f".{path.name}.caveat-part")


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        remove(path)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder so that it is there whole or not at all; one that is there stays."""
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target)
    _remove(part)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, part, symlinks=True)
    else:
        shutil.copy2(source, part, follow_symlinks=False)
    if not part.is_symlink():
        sync_tree(part)
    os.rename(part, target)


def _require_copied(source: Path, target: Path) -> None:
    """Require that what is left of ``source`` is in ``target`` too, whose copy was made before."""
    if source.is_dir() and not source.is_symlink():
        files: Iterable[Path] = (Path(folder, name) for folder, _, names in os.walk(source) for name in names)
    else:
        files = [source]
    for file in files:
        there = target / file.relative_to(source) if file != source else target
        if not _alike(file, there):
            raise DatasetError(
                f"{file} and {there} differ, and both should be what was moved",
                hint="Something was written there since. Move one away, and run the same command again.",
            )


def _alike(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other)
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _sync_above(path: Path, root: Path) -> None:
    for folder in path.parents:
        sync_names(folder)
        if folder == root:
            return


def _drop_empty(source: Path, moves: Iterable[str]) -> None:
    """Remove the folders out of which the last file went; a trainer stumbles over an empty one."""
    folders = {folder for path in moves for folder in (source / path).parents if source in folder.parents}
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            sync_names(folder.parent)
