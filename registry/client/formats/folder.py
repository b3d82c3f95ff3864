"""Folders of pictures: plain ones with captions, those of trainers, and ``imagefolder`` metadata.

Every picture anywhere below the folder is a sample, also where the trainer of that format would not look.
What lies beside the pictures follows :mod:`registry.client.formats.sidefiles`. A row of the metadata, or an
entry of a list (:mod:`registry.client.formats.lists`), goes when any file that it names goes, and files that
only such rows name go with it; a list that cannot be rewritten is left out whole. Settings of trainers
(:mod:`registry.client.formats.told`) are obeyed wherever they lie, and come along as they are or not at all.
Hidden files do not come along, and links to folders are refused, since what lies behind them would be passed
over.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from registry.client.formats.base import Plan, Sample
from registry.client.formats.files import copy_file
from registry.client.formats.lists import Lists, find_lists
from registry.client.formats.metadata import METADATA_NAMES, Metadata, MetadataRow, read_metadata
from registry.client.formats.naming import is_named
from registry.client.formats.sidefiles import Layout, arrange, is_called_list
from registry.client.formats.told import Told, find_told
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError

__all__ = ["PictureFolder", "pictures_below", "walk"]


class PictureFolder:
    """A folder of pictures at ``root``; see the module.

    ``files`` are those of its files that belong to it, all without it; ``told`` is what settings say of them,
    which is read from them without it.
    """

    def __init__(
        self, root: Path, name: str, why: str, files: Sequence[str] | None = None, told: Told | None = None
    ) -> None:
        self.root = root
        self.name = name
        self._files = walk(root) if files is None else files
        self._told = find_told(root, self._files) if told is None else told
        self.why = why + _lists_told(self._lists.read)

    @property
    def files(self) -> Sequence[str]:
        """Every file that belongs to it, relative, with slashes."""
        return self._files

    @cached_property
    def layout(self) -> Layout:
        """The place of each file but metadata, lists and settings."""
        return self._arranged.without({*self._told.files, *(found.path for found in self._lists.read)})

    @cached_property
    def _arranged(self) -> Layout:
        return arrange((path for path in self._files if path not in self._metadata_paths), self._told)

    @cached_property
    def _lists(self) -> Lists:
        return find_lists(self.root, self._arranged, self._told)

    @cached_property
    def _captions(self) -> dict[str, list[str]]:
        """The text files that each picture reads."""
        captions: dict[str, list[str]] = {}
        for path, readers in self.layout.shared.items():
            for picture in readers:
                captions.setdefault(picture, []).append(path)
        return captions

    @property
    def size(self) -> int | None:
        """How many pictures there are."""
        return len(self.layout.pictures)

    @cached_property
    def metadata(self) -> tuple[Metadata, ...]:
        """The metadata files and the lists, read."""
        return *(read_metadata(self.root, path) for path in self._metadata_paths), *self._lists.read

    @cached_property
    def _rows(self) -> list[MetadataRow]:
        return [row for meta in self.metadata for row in meta.rows]

    @cached_property
    def _metadata_paths(self) -> tuple[str, ...]:
        if self.name != "imagefolder":
            return ()
        return tuple(path for path in self._files if PurePosixPath(path).name in METADATA_NAMES)

    def samples(self) -> Iterator[Sample]:
        """Yield every picture, by path; what cannot be checked or is not there is a sample with a fault."""
        urls: dict[str, tuple[str, ...]] = {}
        for row in self._rows:
            for file in row.names[0]:
                urls[file] = urls.get(file, ()) + row.urls
        for path in self.layout.pictures:
            yield Sample(path, self.root / path, urls.get(path, ()), self._caption_fault(path))
        for path in self.layout.strange:
            yield Sample(path, fault=self._lists.refused.get(path, "a kind of file that cannot be checked"))
        there = frozenset(self._files)
        for path in sorted({file for row in self._rows for file in row.files} - there):
            yield Sample(path, urls=urls.get(path, ()), fault="named in the metadata, but not there")

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which pictures, captions, caches, lists and rows go when ``dropped`` do."""
        gone = self._gone(dropped)
        samples = {*dropped, *self.layout.pictures}
        left_out = {path: why for path, why in gone.items() if path not in samples}
        left_out |= {path: why for path, why in self.layout.losses(gone).items() if path not in samples}
        left_out |= self._lists_of(gone)
        left_out |= self._settings_of(self.left(gone, left_out))
        for meta in self.metadata:
            if lost := len(meta.lost(gone)):
                left_out[meta.path] = f"{lost} of {len(meta.rows)} rows"
        return Plan(gone, left_out)

    def left(self, gone: Mapping[str, str], left_out: Mapping[str, str]) -> set[str]:
        """Return what settings may name and is left: pictures, lists with an entry, texts of other kinds."""
        pictures = {path for path in self.layout.pictures if path not in gone}
        lists = {meta.path for meta in self.metadata if len(meta.lost(gone)) < len(meta.rows)}
        texts = {path for path in self.layout.plain if path not in left_out and not is_called_list(path)}
        return pictures | lists | texts

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Copy everything to ``target`` but what goes."""
        target.mkdir(parents=True)
        pictures = set(self.layout.pictures)
        for path, data in self.staying(plan):
            if data is None:
                copy_file(self.root / path, target / path, digests[path] if path in pictures else None)
            else:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_bytes(data)

    def staying(self, plan: Plan) -> Iterator[tuple[str, bytes | None]]:
        """Yield each file that stays when ``plan`` is followed; with its content where it is a list."""
        for path in self.layout.pictures:
            if path not in plan.gone:
                yield path, None
        caches = self.layout.derived.keys() - set(self.layout.pictures)
        for path in (*self.layout.shared, *sorted(caches), *self.layout.plain, *sorted(self._told.files)):
            if path not in plan.left_out:
                yield path, None
        for meta in self.metadata:
            data = meta.without(plan.gone)
            if data is not None:
                yield meta.path, data

    def _gone(self, dropped: Mapping[str, str]) -> dict[str, str]:
        """Return ``dropped`` with the pictures and row files that go with them, until nothing changes."""
        gone = dict(dropped)
        while more := self._going_with(gone):
            gone |= more
        return gone

    def _going_with(self, gone: Mapping[str, str]) -> dict[str, str]:
        lost = [row for row in self._rows if not gone.keys().isdisjoint(row.files)]
        named = {file for row in lost for file in row.joined}
        if lost:
            named -= {file for row in self._rows if gone.keys().isdisjoint(row.files) for file in row.files}
        more = dict.fromkeys(named - gone.keys(), "its metadata row names a removed file")
        return more | self.layout.pictures_of(gone)

    def _lists_of(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Return the texts that are lists which cannot be rewritten: refused, or naming what goes."""
        found = {path: why for path, why in self._lists.refused.items() if path not in self.layout.strange}
        for path in (*self.layout.loose, *self._told.files) if gone else ():
            try:
                text = (self.root / path).read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise DatasetError(f"{self.root / path} cannot be read: {error.strerror}") from error
            own = self.layout.shared.get(path, frozenset())
            named = next((file for file in sorted(gone.keys() - own) if is_named(file, path, text)), None)
            if named is not None and path not in found:
                found[path] = f"names {named}, and lists of this kind are not rewritten"
        return found

    def _settings_of(self, there: set[str]) -> dict[str, str]:
        """Return the settings that mean something else in a copy with the files ``there``."""
        found = dict(self._told.faults)
        while True:  # Settings may name others, which then do not hold either.
            whole = self._told.files - found.keys()
            unmet = {path: why for path in whole if (why := self._told.unmet(path, there | whole))}
            if not unmet:
                return found
            found |= unmet

    def _caption_fault(self, picture: str) -> str:
        for path in self._captions.get(picture, ()):
            try:
                (self.root / path).read_bytes().decode("utf-8")
            except OSError as error:
                return f"its caption {path} cannot be read: {error.strerror}"
            except UnicodeDecodeError as error:
                return f"its caption {path} is not UTF-8: byte {error.start}"
        return ""


def walk(root: Path) -> list[str]:
    """Return the files below ``root``, relative, with slashes, sorted; hidden ones left out.

    Raises :class:`DatasetError` for a folder that cannot be read and for a link to a folder.
    """
    found: list[str] = []

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}") from error

    for folder, names, files in os.walk(root, onerror=refuse):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in (*names, *files):
            _require_text(folder, name)
        for name in names:
            if _is_link(Path(folder, name)):
                raise DatasetError(
                    f"{Path(folder, name)} is a link to a folder, which is not followed",
                    hint="Copy the folder into the dataset, or filter its target by itself.",
                )
        below = Path(folder).relative_to(root)
        seen = [name for name in files if not name.startswith(".")]
        for name in seen:
            _require_regular(Path(folder, name))
        found += [(below / name).as_posix() for name in seen]
    return sorted(found)


def _lists_told(lists: Sequence[Metadata]) -> str:
    if not lists:
        return ""
    more = f" and {len(lists) - 3} more" if len(lists) > 3 else ""
    return f", listed in {', '.join(found.path for found in lists[:3])}{more}"


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _require_regular(path: Path) -> None:
    """Refuse pipes and devices, which would be waited for; what a dangling link names is seen later."""
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    if not is_regular:
        raise DatasetError(f"{path} is neither a file nor a folder", hint="Take it out of the dataset.")


def _require_text(folder: str, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode("ascii", "backslashreplace")
        raise DatasetError(
            f"in {folder}, a file name that is not UTF-8: {shown}",
            hint="Rename it; accounts of it are UTF-8.",
        ) from error


def pictures_below(folder: Path) -> list[Path]:
    """Return the picture files below ``folder``; raises :class:`DatasetError` when there are none."""
    names = [name for name in walk(folder) if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES]
    if not names:
        raise DatasetError(f"no pictures below {folder}", hint="Check the path.")
    return [folder / name for name in names]
