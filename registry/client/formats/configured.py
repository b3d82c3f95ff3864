"""Settings of a trainer as a dataset: the pictures of every folder that they name, and the settings anew.

The folders keep their places below the one that holds them all. The settings come out as JSON, which the
trainers read as well as TOML, so that no writer of TOML is needed: with the new places, relative to the
output, without the datasets of which nothing is left, and with new folders of caches. Nothing is taken from
where settings cannot tell: a name that is not there, or could be two, ends the run.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from registry.client.formats.base import Plan
from registry.client.formats.folder import PictureFolder, walk
from registry.client.formats.metadata import read_list_file
from registry.client.formats.settings import Settings, parse_settings, settings_in
from registry.client.formats.told import MAX_SETTINGS_BYTES, Told, find_told, is_within, pictured
from registry.errors import DatasetError, FormatError

__all__ = ["Configured", "configured_formats"]

_NAMES = frozenset(
    {"image_dir", "conditioning_data_dir", "metadata_file", "image_directory", "control_directory", "path"}
    | {"image_jsonl_file", "video_directory", "video_jsonl_file", "instance_data_dir", "instance_data_root"}
    | {"prompt_path", "csv_file"}
)
_CACHES = frozenset({"cache_directory", "cache_dir", "cache_dir_vae", "cache_dir_conditioning_image_embeds"})


def configured_formats(source: Path) -> dict[str, str]:
    """Return the trainer whose settings of datasets ``source`` holds, and what shows it.

    Raises :class:`FormatError` when it holds none, or what cannot be filtered by them.
    """
    _, settings = _read(source)
    return {settings.trainer: f"has settings of {len(settings.blocks)} datasets"}


def _read(source: Path) -> tuple[Any, Settings]:
    whole = parse_settings(read_list_file(source, MAX_SETTINGS_BYTES), str(source))
    settings = settings_in(whole)
    if settings is None or not all(block.pictures or block.caches for block in settings.blocks):
        raise FormatError(
            f"{source} does not tell the folders of its pictures",
            hint="Give the folder that holds the pictures: settings and lists in it are obeyed.",
        )
    if not isinstance(whole, list) and "datasets" not in whole:
        raise FormatError(
            f"{source} holds all options of {settings.trainer}, not its datasets alone",
            hint="Give the folder that holds the pictures.",
        )
    named = frozenset(_names(whole, _NAMES))
    for name in (name for block in settings.blocks for name in block.pictures if name not in named):
        raise FormatError(
            f"{source} names {name}, which is elsewhere",
            hint="Download it, filter it, and write its place into the settings.",
        )
    return whole, settings


class Configured(PictureFolder):
    """What the settings at ``source`` name; see the module."""

    def __init__(self, source: Path, why: str) -> None:
        whole, settings = _read(source)
        self._source, self._written = source, f"{source.stem}.json"
        self._named = {name: _place(source, name) for name in _names(whole, _NAMES)}
        root = _above(source, self._named.values())
        files = self._files_below(root)
        self._settings, caches = self._renamed(whole, root, files), self._old_caches(whole, root)
        given = settings_in(self._settings)
        told = find_told(root, files, {self._written: given} if given else {})
        caches -= pictured(files)
        super().__init__(root, settings.trainer, why, files, _apart(told, self._written, caches))

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say what goes when ``dropped`` do; the settings are written anew in any case."""
        plan = super().plan(dropped)
        return replace(
            plan, left_out={**plan.left_out, self._source.name: f"written anew as {self._written}"}
        )

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write what stays and the settings of it. Raises :class:`DatasetError` inside of the source."""
        for place in self._named.values():
            if place.resolve() in target.resolve().parents:
                raise DatasetError(
                    f"{target.parent} lies in {place}; the source is never written to",
                    hint="Give another place for the output.",
                )
        super().write(target, plan, digests)
        left = self.left(plan.gone, plan.left_out)
        text = json.dumps(_pruned(self._settings, left), indent=2, default=str)
        (target / self._written).write_text(f"{text}\n", encoding="ascii")

    def _files_below(self, root: Path) -> list[str]:
        """Return every file that is named, or below a folder that is, but the settings themselves."""
        found = set()
        for place in self._named.values():
            below = place.relative_to(root)
            found |= (
                {(below / one).as_posix() for one in walk(place)} if place.is_dir() else {below.as_posix()}
            )
        if self._written in found and self._written != self._source.name:
            raise FormatError(
                f"{self._source} would be written as {self._written}, which is a file of the dataset",
                hint="Rename the settings.",
            )
        return sorted(path for path in found if root / path != self._source.absolute())

    def _renamed(self, whole: Any, root: Path, files: list[str]) -> Any:
        """Return the settings with names relative to the output, and with folders of caches that are new."""
        folder = "caches"
        while any(is_within(path, folder) for path in files):
            folder += "_"
        caches = {name: f"{folder}/{number:02}" for number, name in enumerate(_names(whole, _CACHES))}
        places = {name: place.relative_to(root).as_posix() for name, place in self._named.items()}
        return _with_names(_with_names(whole, _NAMES, places.__getitem__), _CACHES, caches.__getitem__)

    def _old_caches(self, whole: Any, root: Path) -> frozenset[str]:
        """Return the folders of caches in the source that lie below its root."""
        places = (place for name in _names(whole, _CACHES) for place in _places(self._source, name))
        return frozenset(one.relative_to(root).as_posix() for one in places if one.is_relative_to(root))


def _apart(told: Told, path: str, caches: frozenset[str]) -> Told:
    """Return what settings tell without the settings at ``path``, which are written apart."""
    return replace(
        told,
        by={key: trainer for key, trainer in told.by.items() if key != path},
        faults={key: fault for key, fault in told.faults.items() if key != path},
        needs={key: needs for key, needs in told.needs.items() if key != path},
        caches=told.caches | caches,
    )


def _places(source: Path, name: str) -> list[Path]:
    """Return the places that a name may mean: from the settings, and from where the command was started."""
    found: dict[Path, Path] = {}
    for start in (source.absolute().parent, Path.cwd()):
        place = Path(os.path.abspath(start / name))
        if place.exists():
            found.setdefault(place.resolve(), place)
    return list(found.values())


def _place(source: Path, name: str) -> Path:
    found = _places(source, name)
    if not found:
        raise FormatError(
            f"{source} names {name}, which is not there",
            hint="Start the command where you start the trainer, or write whole paths.",
        )
    if len(found) > 1:
        raise FormatError(
            f"{source} names {name}, which could be {' or '.join(map(str, found))}",
            hint="Write whole paths into the settings.",
        )
    return found[0]


def _above(source: Path, places: Any) -> Path:
    """Return the folder that holds everything that is named."""
    try:
        return Path(os.path.commonpath([place.parent for place in places]))
    except ValueError as error:
        raise FormatError(
            f"{source} names folders that no folder holds together: {error}",
            hint="Filter each folder by itself.",
        ) from error


def _names(value: Any, keys: frozenset[str]) -> Iterator[str]:
    """Yield each name under one of ``keys``, anywhere in settings, once."""
    seen: dict[str, None] = {}
    _with_names(value, keys, lambda name: str(seen.setdefault(name)))
    yield from seen


def _with_names(value: Any, keys: frozenset[str], renamed: Callable[[str], str]) -> Any:
    """Return settings with every name under one of ``keys`` replaced."""
    if isinstance(value, list):
        return [_with_names(one, keys, renamed) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("prompt_source", "concept") != "concept":
        keys = keys - {"prompt_path"}
    return {
        key: renamed(one) if key in keys and isinstance(one, str) and one else _with_names(one, keys, renamed)
        for key, one in value.items()
    }


def _pruned(value: Any, left: set[str]) -> Any:
    """Return settings without the datasets that name a place of which nothing is left."""
    if isinstance(value, dict):
        return {key: _pruned(one, left) for key, one in value.items()}
    if not isinstance(value, list) or not any(isinstance(one, dict) for one in value):
        return value
    kept = [_pruned(one, left) for one in value if _is_left(one, left)]
    return [one for one in kept if not isinstance(one, dict) or one.get("subsets") != []]


def _is_left(dataset: Any, left: set[str]) -> bool:
    own = (
        {key: one for key, one in dataset.items() if key != "subsets"}
        if isinstance(dataset, dict)
        else dataset
    )
    return all(any(is_within(path, name) for path in left) for name in _names(own, _NAMES))
