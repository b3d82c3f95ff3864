"""What the settings of trainers mean for the files of one folder, and whether they hold in a copy of it.

A name in them is relative to the settings or to the folder, or absolute; trainers themselves take it from
where they were started, which nobody can know here. What is found is used, wherever it was found. The
settings come along only if every name in them means the same within the copy: a name that leads out of the
folder, or back to the source, would train what was not filtered. YAML is not taken apart: it stays behind
when the source is named in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from registry.client.formats.metadata import read_list_file
from registry.client.formats.naming import below, folded, is_absolute, slashed
from registry.client.formats.settings import Block, Settings, read_settings
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError

__all__ = ["MAX_SETTINGS_BYTES", "Told", "find_told", "is_within", "meaning", "pictured"]

MAX_SETTINGS_BYTES = 16 * 1024 * 1024
"""A larger file is not taken for settings."""

_YAML = (".yaml", ".yml")
_PICTURES = tuple(PICTURE_SUFFIXES)
_MARKS = (
    b"image_dir",
    b"image_jsonl",
    b"prompt_source",
    b"concept_file_name",
    b"instance_data",
    b"train_data_dir",
)


@dataclass(frozen=True, slots=True)
class Told:
    """What settings say of a folder; all paths are below it, and the folder itself is ``""``.

    ``by`` maps each file of settings to its trainer, ``faults`` those that cannot come along to the reason,
    ``needs`` the others to the folders and files that must not be empty or gone. ``caches`` are folders of
    caches; ``controls`` pairs of a folder of control pictures and the folder of their pictures; ``captions``
    pairs of a folder of pictures and the ending of its captions; ``layered`` folders with layers of pictures;
    ``bases`` maps a list to the folder of its names.
    """

    by: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    caches: frozenset[str] = frozenset()
    controls: frozenset[tuple[str, str]] = frozenset()
    captions: frozenset[tuple[str, str]] = frozenset()
    layered: frozenset[str] = frozenset()
    bases: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> frozenset[str]:
        """The files of settings, those among them that cannot be read."""
        return frozenset(self.by) | frozenset(self.faults)

    def unmet(self, path: str, there: Iterable[str]) -> str:
        """Say which name in the settings at ``path`` means nothing in a copy with the files ``there``."""
        there = frozenset(there)
        for need in sorted(self.needs.get(path, ())):
            if need not in there and not any(is_within(file, need) for file in there):
                return f"names {need or 'the folder'}, of which nothing is left"
        return ""


def find_told(root: Path, files: Sequence[str], given: Mapping[str, Settings] | None = None) -> Told:
    """Read the settings among ``files``, which lie below ``root``; ``given`` are more, by path."""
    roots = (root.absolute().as_posix(), root.resolve().as_posix())
    found, faults = dict(given or {}), {}
    for path in _candidates(files):
        try:
            data = read_list_file(root / path, MAX_SETTINGS_BYTES)
            if path.lower().endswith(_YAML):
                _refuse_source(data, roots, path)
            elif _is_toml(path) or _is_marked(data):
                settings = read_settings(data, path)
                found |= {} if settings is None else {path: settings}
        except DatasetError as error:
            # What JSON cannot be read, the reader of lists says.
            if not path.lower().endswith(".json"):
                faults[path] = error.message
    return meaning(found, files, roots, faults)


def _refuse_source(data: bytes, roots: Iterable[str], path: str) -> None:
    """Raise :class:`DatasetError` for a text with the absolute path of the dataset in it."""
    text = folded(data.decode("utf-8", "replace"))
    for root in filter(None, (folded(one).rstrip("/") for one in roots)):
        if re.search(rf"{re.escape(root)}(?![\w.-])", text):
            raise DatasetError(f"{path} names {root}, which is the source")


def _candidates(files: Iterable[str]) -> list[str]:
    """Return what may be settings: TOML, and JSON and YAML that is not called like a picture beside it."""
    paths = [PurePosixPath(path) for path in files]
    stems = {path.with_suffix("") for path in paths if path.suffix.lower() in PICTURE_SUFFIXES}
    return [
        str(path)
        for path in paths
        if _is_toml(str(path))
        or (path.suffix.lower() in (".json", *_YAML) and path.with_suffix("") not in stems)
    ]


def _is_toml(path: str) -> bool:
    return path.lower().endswith(".toml")


def _is_marked(data: bytes) -> bool:
    return any(mark in data for mark in _MARKS)


def is_within(path: str, folder: str) -> bool:
    """Say whether ``path`` is ``folder`` or below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def meaning(
    settings: Mapping[str, Settings],
    files: Sequence[str],
    roots: Sequence[str],
    faults: Mapping[str, str] | None = None,
) -> Told:
    """Return what ``settings`` (by path) mean for ``files``, which lie in a folder.

    ``roots`` are its absolute paths, one as it was given, one without links. ``faults`` are the settings
    that could not be read.
    """
    places = _Places(files, roots)
    meant = {path: [_Meant(places, path, block) for block in one.blocks] for path, one in settings.items()}
    every = [block for blocks in meant.values() for block in blocks]
    folders = pictured(files)
    wrong = {path: why for path, blocks in meant.items() if (why := next(filter(None, _faults(blocks)), ""))}
    return Told(
        by={path: one.trainer for path, one in settings.items()},
        faults={**(faults or {}), **wrong},
        needs={path: frozenset().union(*(one.needs for one in blocks)) for path, blocks in meant.items()},
        caches=frozenset(folder for one in every for folder in one.caches if folder not in folders),
        controls=frozenset((of, to) for one in every for of in one.controls for to in one.pictures),
        captions=frozenset((of, end) for one in every for of in one.pictures for end in one.block.captions),
        layered=frozenset(folder for one in every if one.block.layered for folder in one.pictures),
        bases={file: one.pictures[0] for one in every if one.pictures for file in one.files},
    )


def pictured(files: Iterable[str]) -> frozenset[str]:
    """Return the folders with pictures in them or below: what lies there is placed by its name alone."""
    paths = (PurePosixPath(file) for file in files if file.lower().endswith(_PICTURES))
    return frozenset(str(folder) for path in paths for folder in path.parents)


def _faults(blocks: Iterable["_Meant"]) -> Iterator[str]:
    return (fault for block in blocks for fault in block.faults)


class _Meant:
    """A block with the paths that its names mean, and with what is wrong about them."""

    def __init__(self, places: "_Places", path: str, block: Block) -> None:
        self.block = block
        self.faults: list[str] = []
        self._places, self._folder = places, str(PurePosixPath(path).parent)
        self.pictures = self._paths(block.pictures)
        self.controls = self._paths(block.controls)
        self.files = self._paths(block.files)
        self.caches = self._caches(block.caches)

    @property
    def needs(self) -> frozenset[str]:
        """What must be there for a trainer to run."""
        return frozenset((*self.pictures, *self.controls, *self.files))

    def _paths(self, names: Iterable[str]) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            paths, fault = self._places.meant(name, self._folder)
            found += paths
            self.faults += [fault] if fault else []
        return tuple(dict.fromkeys(found))

    def _caches(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the folders of caches; one that is not there yet is no fault, one elsewhere is."""
        found: list[str] = []
        for name in filter(None, map(_before_variables, names)):
            paths, fault = self._places.meant(name, self._folder)
            found += (path for path in paths if path)
            if fault and (paths or is_absolute(name) or below(self._folder, name) is None):
                self.faults.append(f"{fault}; caches there train what was removed")
        return tuple(found)


def _before_variables(name: str) -> str:
    """Return a name up to the folder before the first ``{model_family}`` in it."""
    before, brace, _ = slashed(name).partition("{")
    return before.rpartition("/")[0] if brace else before


class _Places:
    """The files of a folder and the folders in it, by their names without case."""

    def __init__(self, files: Iterable[str], roots: Sequence[str]) -> None:
        self._roots = [PurePosixPath(folded(root)).parts for root in roots]
        self._known = {"": ""}
        for file in files:
            for path in (file, *map(str, PurePosixPath(file).parents)):
                if path != ".":
                    self._known.setdefault(folded(path), path)

    def meant(self, name: str, folder: str) -> tuple[tuple[str, ...], str]:
        """Return the paths that ``name`` in a file in ``folder`` may mean, and why it does not hold."""
        name = slashed(name)
        if is_absolute(name):
            return self._absolute(name)
        relative = (below(folder, name), below("", name))
        found = tuple(dict.fromkeys(path for one in relative if (path := self._at(one)) is not None))
        if found:
            return found, ""
        from_above = self._from_above(name)
        if from_above:
            return from_above, f"names {name}, which from above the source is the source itself"
        return (), f"names {name}, which is not in the dataset"

    def _absolute(self, name: str) -> tuple[tuple[str, ...], str]:
        parts = PurePosixPath(name).parts
        for root in self._roots:
            if tuple(folded(part) for part in parts[: len(root)]) == root:
                found = self._at(below("", "/".join(parts[len(root) :])))
                return () if found is None else (found,), f"names {name}, which is in the source"
        return (), f"names {name}, which lies outside of the dataset"

    def _at(self, path: str | None) -> str | None:
        return None if path is None else self._known.get(folded(path))

    def _from_above(self, name: str) -> tuple[str, ...]:
        """Return what ``name`` means to a trainer that was started above the folder: ``set/images``."""
        parts = PurePosixPath(name).parts
        for root in self._roots:
            for at in range(len(parts), 0, -1):
                if root[-at:] == tuple(folded(part) for part in parts[:at]):
                    found = self._at(below("", "/".join(parts[at:])))
                    if found is not None:
                        return (found,)
        return ()
