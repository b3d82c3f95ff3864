"""One WebDataset shard: a tar archive in which members of one key are a sample, and img2dataset's table.

The key is the name up to the first dot of its last part, as the loaders have it. Every picture of a key is
looked up, with the addresses that its ``.json`` and the row of ``00000.parquet`` give. A key goes whole:
loaders fail on samples that lost a member. A shard without samples is not written: loaders fail on it too.
A shard or a key that cannot be read as a loader would is set aside. No member is ever unpickled.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from registry.client.formats.base import Plan, Sample
from registry.client.formats.beside import Row, mended_stats, rows_beside
from registry.client.formats.files import changed, copy_file, state_of
from registry.client.formats.keyed import Group, base_of, checked_urls, groups_of, place_of, suffix_of
from registry.client.formats.parquet_entries import all_but, pyarrow_modules, rewrite_parquet
from registry.client.formats.tarred import copy_members
from registry.errors import DatasetError, InputError

__all__ = ["TarShard", "stats_of", "table_of"]


class TarShard:
    """The shard ``name`` below ``root`` with its table and statistics; ``alone`` without these.

    One that is alone is written to the target itself, another under its name in the target.
    """

    name = "webdataset"
    size: int | None = None

    def __init__(self, root: Path, shard: str, *, alone: bool = False) -> None:
        self.why = "ends in .tar"
        self._root, self._shard, self._alone = root, shard, alone
        self._seen: tuple[int, int] | None = None
        if table_of(shard) in self._places:
            pyarrow_modules()

    @cached_property
    def _places(self) -> dict[str, Path]:
        """The table and the statistics beside the shard."""
        names = (table_of(self._shard), stats_of(self._shard))
        return {name: self._root / name for name in names if (self._root / name).is_file()}

    def state(self) -> list[tuple[str, int, int]]:
        """Return name, size and time of the shard and of the files beside it."""
        return [(name, *state_of(self._root / name)) for name in (self._shard, *self._places)]

    def samples(self) -> Iterator[Sample]:
        """Yield every picture of every key, keys without one, rows without a key, and what cannot be read."""
        self._seen = state_of(self._root / self._shard)
        try:
            found = list(self._samples())
        except DatasetError as error:
            found = [Sample(self._shard, fault=f"{error.message}, so the whole shard is set aside")]
        yield from found

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which keys, rows and statistics go when ``dropped`` do, and whether the shard does."""
        gone, left_out = dict(dropped), dict[str, str]()
        if self._shard not in dropped and self._plan(gone, left_out):
            return Plan(gone, left_out, (self._shard,))
        left_out |= dict.fromkeys(self._places, "its shard goes")
        left_out |= {} if self._shard in dropped else {self._shard: "no sample is left in it"}
        return Plan(gone, left_out)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the shard that is left, the rows of its table, and its statistics."""
        if self._alone:
            self._write_shard(target, plan, digests)
        elif plan.shards:
            (target / self._shard).parent.mkdir(parents=True, exist_ok=True)
            self._write_shard(target / self._shard, plan, digests)
            self._write_beside(target, plan)

    def _samples(self) -> Iterator[Sample]:
        shard, rows = self._shard, self._rows()
        urls: dict[str, tuple[str, ...]] = {}
        for row in rows or ():
            urls[row.key] = urls.get(row.key, ()) + row.urls
        keys = set()
        for group in groups_of(self._root / shard):
            keys.add(base_of(group.key))
            if not group.is_folder:
                yield from self._of_group(group, urls if rows is not None else None)
        for row in rows or ():
            if row.key not in keys:
                fault = "" if row.urls else "the row has no URL"
                yield Sample(f"{table_of(shard)}/{row.key}", urls=row.urls, fault=fault)

    def _of_group(self, group: Group, rows: Mapping[str, tuple[str, ...]] | None) -> Iterator[Sample]:
        shard, pictures = self._shard, group.pictures
        first = f"{shard}/{pictures[0].name if pictures else group.key}"
        try:
            urls = checked_urls(self._root / shard, group)
        except InputError as error:
            yield Sample(first, fault=error.message)
            return
        if rows is not None:
            if base_of(group.key) not in rows and not urls:
                yield Sample(first, fault=f"{table_of(shard)} has no row of its key")
                return
            urls = tuple(dict.fromkeys((*urls, *rows.get(base_of(group.key), ()))))
        path = self._root / shard
        beside = tuple(place_of(path, one) for one in group.members if suffix_of(one.name) == ".xmp")
        if not pictures:
            yield Sample(first, urls=urls)
        for number, one in enumerate(pictures):
            place = place_of(path, one, beside)
            yield Sample(f"{shard}/{one.name}", path, () if number else urls, place=place)

    def _plan(self, gone: dict[str, str], left_out: dict[str, str]) -> bool:
        """Add what goes with the samples that do; say whether any is left."""
        shard, lost, kept = self._shard, set(), 0
        for group in groups_of(self._root / shard):
            names = {f"{shard}/{one.name}": one for one in group.members}
            if not gone.keys().isdisjoint(group.names(shard)):
                lost.add(base_of(group.key))
                pictures = [name for name, one in names.items() if one in group.pictures]
                gone |= {name: "a member of its sample goes" for name in pictures if name not in gone}
                left_out |= {name: "its sample goes" for name in names if name not in gone}
            else:
                kept += not group.is_folder
        rows, table = self._rows() or (), table_of(shard)
        going = [row for row in rows if not kept or row.key in lost or f"{table}/{row.key}" in gone]
        gone |= {name: "its sample goes" for row in going if (name := f"{table}/{row.key}") not in gone}
        if kept and (going or lost):
            left_out |= self._mended(gone)
        return bool(kept)

    def _mended(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Return what changes in the files beside a shard that loses samples."""
        if self._alone:
            why = "it lies beside the shard; filter the folder to have it without the removed rows"
            return dict.fromkeys(self._places, why)
        table, stats = table_of(self._shard), stats_of(self._shard)
        found = {}
        if table in self._places:
            found[table] = f"{len(self._lost_rows(gone))} of {len(self._rows() or ())} rows"
        if stats in self._places:
            fits = self._new_stats(gone) is not None
            found[stats] = "now counts what is left" if fits else "its counts do not fit the samples"
        return found

    def _write_shard(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        shard, path = self._shard, self._root / self._shard
        if self._seen != state_of(path):
            raise changed(path)
        members, checked = [], {}
        for group in groups_of(path):
            for one in group.members:
                name = f"{shard}/{one.name}"
                if name in plan.left_out or name in plan.gone or f"{shard}/{group.key}" in plan.gone:
                    continue
                members.append(one)
                if one in group.pictures:
                    if name not in digests:
                        raise changed(path)
                    checked[one.name] = digests[name]
        copy_members(path, target, sorted(members, key=lambda one: one.start), checked)

    def _write_beside(self, target: Path, plan: Plan) -> None:
        table, stats = table_of(self._shard), stats_of(self._shard)
        if table in self._places:
            if lost := self._lost_rows(plan.gone):
                lost_rows = {row.number for row in lost}
                rewrite_parquet(self._root / table, target / table, all_but(lost_rows), [])
            else:
                copy_file(self._root / table, target / table)
        mended = self._new_stats(plan.gone) if stats in self._places else None
        if mended is not None:
            (target / stats).write_bytes(mended)

    def _lost_rows(self, gone: Mapping[str, str]) -> list[Row]:
        """Return the rows that go; where there is no table, one a key that goes."""
        rows, table = self._rows(), table_of(self._shard)
        if rows is not None:
            return [row for row in rows if f"{table}/{row.key}" in gone]
        groups = groups_of(self._root / self._shard)
        return [Row(0, one.key, ()) for one in groups if not gone.keys().isdisjoint(one.names(self._shard))]

    def _new_stats(self, gone: Mapping[str, str]) -> bytes | None:
        lost = self._lost_rows(gone)
        text = (self._root / stats_of(self._shard)).read_bytes()
        return mended_stats(text, lost) if lost else text

    def _rows(self) -> list[Row] | None:
        place = self._places.get(table_of(self._shard))
        return None if place is None else rows_beside(place)


def table_of(shard: str) -> str:
    """Return where img2dataset writes the rows of a shard."""
    return f"{shard[:-4]}.parquet"


def stats_of(shard: str) -> str:
    """Return where img2dataset writes the counts of a shard."""
    return f"{shard[:-4]}_stats.json"
