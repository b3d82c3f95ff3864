"""WebDataset: tar shards in which members of one key are a sample, with img2dataset's tables beside them.

The key is the name up to the first dot of its last part, as the loaders have it. Every picture of a key is
looked up, with the addresses that its ``.json`` and the row of ``00000.parquet`` give. A key goes whole:
loaders fail on samples that lost a member. A shard without samples is not written: loaders fail on it too.
A shard or a key that cannot be read as a loader would is set aside. No member is ever unpickled.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from registry.client.formats.base import Plan, Sample
from registry.client.formats.beside import Row, mended_stats, rows_beside
from registry.client.formats.files import changed, copy_file, state_of
from registry.client.formats.folder import walk
from registry.client.formats.keyed import Group, base_of, checked_urls, groups_of, place_of, suffix_of
from registry.client.formats.sidefiles import Layout, arrange
from registry.client.formats.table import ParquetTable, pyarrow_modules
from registry.client.formats.tarred import copy_members
from registry.errors import DatasetError, InputError

__all__ = ["WebDataset"]

_WORD = re.compile(r"[\w-]+(?:\.tar)?")


class WebDataset:
    """A folder of tar shards, or one shard; see the module."""

    is_table = False
    name = "webdataset"
    size: int | None = None

    def __init__(self, source: Path, why: str) -> None:
        self.source = source
        self.why = why
        self._seen: dict[str, tuple[int, int]] = {}
        if any(path.suffix == ".parquet" for path in self._places.values()):
            pyarrow_modules()

    @cached_property
    def _root(self) -> Path:
        return self.source if self.source.is_dir() else self.source.parent

    @cached_property
    def _files(self) -> list[str]:
        return walk(self.source) if self.source.is_dir() else [self.source.name]

    @cached_property
    def _shards(self) -> list[str]:
        return [path for path in self._files if suffix_of(path) == ".tar"]

    @cached_property
    def _places(self) -> dict[str, Path]:
        """The tables and statistics beside shards, those of a single shard among them."""
        names = [name for shard in self._shards for name in (_table(shard), _stats(shard))]
        return {name: self._root / name for name in names if (self._root / name).is_file()}

    @cached_property
    def _layout(self) -> Layout:
        return arrange(path for path in self._files if path not in {*self._shards, *self._places})

    @property
    def _plain(self) -> list[str]:
        return sorted([*self._layout.plain, *self._layout.shared])

    def samples(self) -> Iterator[Sample]:
        """Yield every picture of every key, keys without one, rows without a key, and what cannot be read."""
        for shard in self._shards:
            self._seen[shard] = state_of(self._root / shard)
            try:
                found = list(self._samples_of(shard))
            except DatasetError as error:
                found = [Sample(shard, fault=f"{error.message}, so the whole shard is set aside")]
            yield from found
        layout = self._layout
        for path in sorted([*layout.pictures, *layout.strange, *(layout.derived.keys() - layout.pictures)]):
            yield Sample(path, fault="a kind of file that cannot be checked beside shards")

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which keys, rows, statistics and shards go when ``dropped`` do."""
        gone, left_out, shards = dict(dropped), dict.fromkeys(self._layout.stale, "a cache"), []
        for shard in self._shards:
            if shard not in dropped and self._plan_of(shard, gone, left_out):
                shards.append(shard)
            else:
                left_out |= {name: "its shard goes" for name in self._beside(shard)}
                left_out |= {} if shard in dropped else {shard: "no sample is left in it"}
        left_out |= self._lists_of(gone, left_out)
        return Plan(gone, left_out, tuple(shards))

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the shards that are left, the rows of their tables, and the files of nobody."""
        if not self.source.is_dir():
            self._write_shard(self.source.name, target, plan, digests)
            return
        target.mkdir(parents=True)
        for shard in plan.shards:
            (target / shard).parent.mkdir(parents=True, exist_ok=True)
            self._write_shard(shard, target / shard, plan, digests)
            self._write_beside(shard, target, plan)
        for path in self._plain:
            if path not in plan.left_out:
                copy_file(self._root / path, target / path)

    def _samples_of(self, shard: str) -> Iterator[Sample]:
        rows = self._rows(shard)
        urls: dict[str, tuple[str, ...]] = {}
        for row in rows or ():
            urls[row.key] = urls.get(row.key, ()) + row.urls
        keys = set()
        for group in groups_of(self._root / shard):
            keys.add(base_of(group.key))
            if not group.is_folder:
                yield from self._of_group(shard, group, urls if rows is not None else None)
        for row in rows or ():
            if row.key not in keys:
                fault = "" if row.urls else "the row has no URL"
                yield Sample(f"{_table(shard)}/{row.key}", urls=row.urls, fault=fault)

    def _of_group(
        self, shard: str, group: Group, rows: Mapping[str, tuple[str, ...]] | None
    ) -> Iterator[Sample]:
        pictures = group.pictures
        first = f"{shard}/{pictures[0].name if pictures else group.key}"
        try:
            urls = checked_urls(self._root / shard, group)
        except InputError as error:
            yield Sample(first, fault=error.message)
            return
        if rows is not None:
            if base_of(group.key) not in rows and not urls:
                yield Sample(first, fault=f"{_table(shard)} has no row of its key")
                return
            urls = tuple(dict.fromkeys((*urls, *rows.get(base_of(group.key), ()))))
        path = self._root / shard
        beside = tuple(place_of(path, one) for one in group.members if suffix_of(one.name) == ".xmp")
        if not pictures:
            yield Sample(first, urls=urls)
        for number, one in enumerate(pictures):
            place = place_of(path, one, beside)
            yield Sample(f"{shard}/{one.name}", path, () if number else urls, place=place)

    def _plan_of(self, shard: str, gone: dict[str, str], left_out: dict[str, str]) -> bool:
        """Add what goes with the samples of ``shard`` that do; say whether any is left."""
        lost, kept = set(), 0
        for group in groups_of(self._root / shard):
            names = {f"{shard}/{one.name}": one for one in group.members}
            if not gone.keys().isdisjoint(group.names(shard)):
                lost.add(base_of(group.key))
                pictures = [name for name, one in names.items() if one in group.pictures]
                gone |= {name: "a member of its sample goes" for name in pictures if name not in gone}
                left_out |= {name: "its sample goes" for name in names if name not in gone}
            else:
                kept += not group.is_folder
        rows = self._rows(shard) or ()
        table = _table(shard)
        going = [row for row in rows if not kept or row.key in lost or f"{table}/{row.key}" in gone]
        gone |= {name: "its sample goes" for row in going if (name := f"{table}/{row.key}") not in gone}
        if kept and (going or lost):
            left_out |= self._mended(shard, gone)
        return bool(kept)

    def _mended(self, shard: str, gone: Mapping[str, str]) -> dict[str, str]:
        """Return what changes in the files beside a shard that loses samples."""
        if not self.source.is_dir():
            why = "it lies beside the shard; filter the folder to have it without the removed rows"
            return dict.fromkeys(self._beside(shard), why)
        found = {}
        if _table(shard) in self._places:
            found[_table(shard)] = (
                f"{len(self._lost_rows(shard, gone))} of {len(self._rows(shard) or ())} rows"
            )
        if _stats(shard) in self._places:
            fits = self._new_stats(shard, gone) is not None
            found[_stats(shard)] = "now counts what is left" if fits else "its counts do not fit the samples"
        return found

    def _lists_of(self, gone: Mapping[str, str], left_out: Mapping[str, str]) -> dict[str, str]:
        """Return the loose texts that name a shard or a key that goes: lists, which are not rewritten."""
        names = {base_of(name).removesuffix(".tar") for name in left_out if suffix_of(name) == ".tar"}
        names |= {base_of(name).partition(".")[0] for name in gone}
        found = {}
        for path in self._plain if names else ():
            text = (self._root / path).read_text(encoding="utf-8", errors="replace")
            named = next((one for one in _WORD.findall(text) if one.removesuffix(".tar") in names), None)
            if named is not None:
                found[path] = f"names {named}, and lists of this kind are not rewritten"
        return found

    def _write_shard(self, shard: str, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        if self._seen.get(shard) != state_of(self._root / shard):
            raise changed(self._root / shard)
        members, checked = [], {}
        for group in groups_of(self._root / shard):
            for one in group.members:
                name = f"{shard}/{one.name}"
                if name in plan.left_out or name in plan.gone or f"{shard}/{group.key}" in plan.gone:
                    continue
                members.append(one)
                if one in group.pictures:
                    if name not in digests:
                        raise changed(self._root / shard)
                    checked[one.name] = digests[name]
        copy_members(self._root / shard, target, sorted(members, key=lambda one: one.start), checked)

    def _write_beside(self, shard: str, target: Path, plan: Plan) -> None:
        table, stats = _table(shard), _stats(shard)
        if table in self._places:
            if lost := self._lost_rows(shard, plan.gone):
                numbers = {str(row.number): "" for row in lost}
                ParquetTable(self._root / table).write(target / table, Plan(numbers), {})
            else:
                copy_file(self._root / table, target / table)
        mended = self._new_stats(shard, plan.gone) if stats in self._places else None
        if mended is not None:
            (target / stats).write_bytes(mended)

    def _lost_rows(self, shard: str, gone: Mapping[str, str]) -> list[Row]:
        """Return the rows that go; where there is no table, one a key that goes."""
        rows = self._rows(shard)
        if rows is not None:
            return [row for row in rows if f"{_table(shard)}/{row.key}" in gone]
        groups = groups_of(self._root / shard)
        return [Row(0, one.key, ()) for one in groups if not gone.keys().isdisjoint(one.names(shard))]

    def _new_stats(self, shard: str, gone: Mapping[str, str]) -> bytes | None:
        lost = self._lost_rows(shard, gone)
        text = (self._root / _stats(shard)).read_bytes()
        return mended_stats(text, lost) if lost else text

    def _rows(self, shard: str) -> list[Row] | None:
        place = self._places.get(_table(shard))
        return None if place is None else rows_beside(place)

    def _beside(self, shard: str) -> list[str]:
        return [name for name in (_table(shard), _stats(shard)) if name in self._places]


def _table(shard: str) -> str:
    return f"{shard[:-4]}.parquet"


def _stats(shard: str) -> str:
    return f"{shard[:-4]}_stats.json"
