"""Folders of ``img2dataset``: ``00000/000000000.jpg`` with ``.txt`` and ``.json``, ``00000.parquet`` beside.

A sample is a key: what lies in a numbered folder under one stem, and its row in the table beside the folder.
Each picture is looked up with the addresses of its ``.json`` and of its row; rows of downloads that failed
are looked up by their address. Rows and statistics go with the files, as they do beside shards
(:mod:`registry.client.formats.beside`). All else is as in any folder of pictures.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from registry.client.formats.base import Plan, Sample
from registry.client.formats.beside import Row, mended_stats, rows_beside, urls_in
from registry.client.formats.files import changed, copy_file, state_of
from registry.client.formats.folder import PictureFolder
from registry.client.formats.metadata import read_list_file
from registry.client.formats.parquet_entries import ParquetEntries
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError, FormatError, InputError

__all__ = ["Downloaded", "numbered_folders"]

_MAX_JSON_BYTES = 16 * 1024 * 1024
_NUMBER = re.compile(r"(.*/)?[0-9]+", re.ASCII)


def numbered_folders(files: Iterable[str]) -> list[str]:
    """Return the folders of pictures named by a number with a table or statistics of this number beside."""
    files = frozenset(files)
    folders = {
        str(path.parent) for path in map(PurePosixPath, files) if path.suffix.lower() in PICTURE_SUFFIXES
    }
    return sorted(one for one in folders if _NUMBER.fullmatch(one) and not files.isdisjoint(_beside(one)))


class Downloaded:
    """What ``img2dataset`` wrote to ``root`` as files; see the module."""

    name = "img2dataset"
    size: int | None = None

    def __init__(self, root: Path, files: Iterable[str], why: str) -> None:
        files = frozenset(files)
        self.root = root
        self._folders = numbered_folders(files)
        self._places = {path for folder in self._folders for path in _beside(folder) if path in files}
        self._pictures = PictureFolder(root, self.name, why, sorted(files - self._places))
        self.why = self._pictures.why
        self._seen = {path: state_of(root / path) for path in self._places}

    def samples(self) -> Iterator[Sample]:
        """Yield every picture by path, then the rows that have none."""
        rows = {folder: self._rows_or_fault(folder) for folder in self._folders}
        urls: dict[tuple[str, str], tuple[str, ...]] = {}
        for folder, found in rows.items():
            for row in () if isinstance(found, str) else found or ():
                urls[folder, row.key] = urls.get((folder, row.key), ()) + row.urls
        for sample in self._pictures.samples():
            folder, key = _key(sample.key)
            yield self._with_row(sample, rows[folder], urls.get((folder, key))) if folder in rows else sample
        for folder, found in rows.items():
            for row in () if isinstance(found, str) else found or ():
                if row.key not in self._keys.get(folder, {}):
                    fault = "" if row.urls else "the row has no URL"
                    yield Sample(f"{_table(folder)}/{row.key}", urls=row.urls, fault=fault)

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which files, rows and statistics go when ``dropped`` do."""
        plan = self._pictures.plan(dropped)
        while more := self._of_their_keys(plan.gone):
            plan = self._pictures.plan({**plan.gone, **more})
        gone, left_out = dict(plan.gone), dict(plan.left_out)
        for folder in self._folders:
            self._plan_of(folder, gone, left_out)
        return Plan(gone, left_out)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Copy what stays, and write the tables and statistics of the folders in which something does."""
        self._pictures.write(target, plan, digests)
        for path, data in self._staying_beside(plan.gone):
            if data is None:
                copy_file(self.root / path, target / path)
            else:
                (target / path).write_bytes(data)

    def staying(self, plan: Plan) -> Iterator[tuple[str, bytes | None]]:
        """Yield each file that stays when ``plan`` is followed; with its content where that is another."""
        yield from self._pictures.staying(plan)
        yield from self._staying_beside(plan.gone)

    def _staying_beside(self, gone: Mapping[str, str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield the tables and statistics of the folders in which something stays."""
        for folder in self._folders:
            for path in _beside(folder):
                if path in self._places and self._seen[path] != state_of(self.root / path):
                    raise changed(self.root / path)
            if self._kept(folder, gone):
                yield from self._beside_without(folder, gone)

    @cached_property
    def _keys(self) -> dict[str, dict[str, list[str]]]:
        """Folder → key → its pictures."""
        found: dict[str, dict[str, list[str]]] = {folder: {} for folder in self._folders}
        for path in self._pictures.layout.pictures:
            folder, key = _key(path)
            if folder in found:
                found[folder].setdefault(key, []).append(path)
        return found

    def _kept(self, folder: str, gone: Mapping[str, str]) -> list[str]:
        return [path for paths in self._keys[folder].values() for path in paths if path not in gone]

    def _of_their_keys(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Return the pictures that share a key with one that goes: they share its row."""
        together = (paths for keys in self._keys.values() for paths in keys.values() if len(paths) > 1)
        lost = [paths for paths in together if not gone.keys().isdisjoint(paths)]
        return {path: "another of its key goes" for paths in lost for path in paths if path not in gone}

    def _plan_of(self, folder: str, gone: dict[str, str], left_out: dict[str, str]) -> None:
        table, stats = _beside(folder)
        kept, rows = self._kept(folder, gone), self._rows(folder) or ()
        without = [row for row in rows if row.key not in self._keys[folder]]
        if not kept:
            left_out |= {path: "no sample is left in it" for path in (table, stats) if path in self._places}
            names = (f"{table}/{row.key}" for row in without)
            gone |= {name: "its folder goes" for name in names if name not in gone}
            return
        lost = self._lost(folder, gone)
        if lost and table in self._places:
            left_out[table] = f"{len(lost)} of {len(rows)} rows"
        if lost and stats in self._places:
            fits = self._new_stats(folder, lost) is not None
            left_out[stats] = "now counts what is left" if fits else "its counts do not fit the samples"

    def _lost(self, folder: str, gone: Mapping[str, str]) -> list[Row]:
        """Return the rows that go; where there is no table, one a key that goes."""
        keys = self._keys[folder]
        rows = self._rows(folder)
        if rows is None:
            rows = [Row(0, key, ()) for key in keys]
        return [
            row
            for row in rows
            if not gone.keys().isdisjoint(keys.get(row.key, [f"{_table(folder)}/{row.key}"]))
        ]

    def _beside_without(self, folder: str, gone: Mapping[str, str]) -> Iterator[tuple[str, bytes | None]]:
        table, stats = _beside(folder)
        lost = self._lost(folder, gone)
        if table in self._places and lost:
            entries = ParquetEntries(read_list_file(self.root / table), str(self.root / table))
            yield table, entries.without(frozenset(row.number for row in lost))
        elif table in self._places:
            yield table, None
        if stats in self._places and not lost:
            yield stats, None
        elif stats in self._places and (mended := self._new_stats(folder, lost)) is not None:
            yield stats, mended

    def _new_stats(self, folder: str, lost: list[Row]) -> bytes | None:
        return mended_stats(read_list_file(self.root / _beside(folder)[1]), lost)

    def _rows(self, folder: str) -> list[Row] | None:
        """Return the rows of a table; None without one, and none of one that cannot be read."""
        found = self._rows_or_fault(folder)
        return [] if isinstance(found, str) else found

    def _rows_or_fault(self, folder: str) -> list[Row] | str | None:
        if _table(folder) not in self._places:
            return None
        try:
            return rows_beside(self.root / _table(folder))
        except FormatError:
            raise
        except DatasetError as error:
            return f"its table cannot be read: {error.message}"

    def _with_row(self, sample: Sample, rows: list[Row] | str | None, urls: tuple[str, ...] | None) -> Sample:
        """Return a picture with the addresses of its row and its ``.json``, or with what is wrong there."""
        if isinstance(rows, str):
            return replace(sample, fault=sample.fault or rows)
        if sample.fault or sample.path is None:
            return sample
        try:
            told = self._told_of(sample.path)
        except InputError as error:
            return replace(sample, fault=f"its .json cannot be read: {error.message}")
        if rows is not None and urls is None and not told:
            table = _table(_key(sample.key)[0])
            return replace(sample, fault=f"{table} has no row of its key")
        return replace(sample, urls=tuple(dict.fromkeys((*sample.urls, *told, *(urls or ())))))

    def _told_of(self, picture: Path) -> tuple[str, ...]:
        path = picture.with_suffix(".json")
        return urls_in(read_list_file(path, _MAX_JSON_BYTES)) if path.is_file() else ()


def _key(path: str) -> tuple[str, str]:
    """Return the folder of a picture and its key."""
    file = PurePosixPath(path)
    return str(file.parent), file.stem


def _table(folder: str) -> str:
    return f"{folder}.parquet"


def _beside(folder: str) -> tuple[str, str]:
    """Return the names of the table and of the statistics of a folder."""
    return _table(folder), f"{folder}_stats.json"
