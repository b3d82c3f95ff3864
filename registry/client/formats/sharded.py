"""Folders of files that are filtered apart from each other: WebDataset shards, tables of URLs.

What lies beside them comes last: texts come along unless they name a file or a key that went, and nothing
else does.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from registry.client.formats.base import Plan, Sample, Table
from registry.client.formats.files import copy_file, state_of
from registry.client.formats.folder import walk
from registry.client.formats.keyed import base_of, suffix_of
from registry.client.formats.shards import TarShard, stats_of, table_of
from registry.client.formats.sidefiles import Layout, arrange

__all__ = ["LooseFiles", "TableFolder", "WebDataset", "whole_tables"]

_WORD = re.compile(r"[\w-]+(?:\.tar)?")


class WebDataset:
    """A folder of tar shards."""

    name = "webdataset"
    size: int | None = None

    def __init__(self, source: Path, why: str) -> None:
        self.why = why
        self._source = source

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of every shard, and what lies beside them and cannot be checked."""
        shards = (self.shard(name).samples() for name in self.shards())
        return chain(chain.from_iterable(shards), self.rest(()).samples())

    def shards(self) -> list[str]:
        """Return the shards below the folder."""
        return [path for path in self._files if suffix_of(path) == ".tar"]

    def shard(self, name: str) -> TarShard:
        """Return one shard with its table and statistics."""
        return TarShard(self._source, name)

    def state(self, name: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of a shard and of the files beside it."""
        return self.shard(name).state()

    def rest(self, gone: Iterable[str]) -> "LooseFiles":
        """Return what lies beside the shards."""
        beside = {one for name in self.shards() for one in (name, table_of(name), stats_of(name))}
        return LooseFiles(self._source, [path for path in self._files if path not in beside], gone)

    @cached_property
    def _files(self) -> list[str]:
        return walk(self._source)


class TableFolder:
    """A folder of tables of one kind; ``open_table`` opens one."""

    size: int | None = None

    def __init__(self, source: Path, name: str, why: str, open_table: Callable[[Path], Table]) -> None:
        self.name, self.why = name, why
        self._source, self._open = source, open_table

    def samples(self) -> Iterator[Sample]:
        """Yield every row of every table, under its name and number."""
        for name in self.shards():
            for one in self.shard(name).samples():
                yield replace(one, key=f"{name}/{one.key}")
        yield from self.rest(()).samples()

    def shards(self) -> list[str]:
        """Return the tables below the folder."""
        return [path for path in self._files if suffix_of(path) == f".{self.name}"]

    def shard(self, name: str) -> Table:
        """Return one table."""
        return self._open(self._source / name)

    def state(self, name: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of a table."""
        return [(name, *state_of(self._source / name))]

    def rest(self, gone: Iterable[str]) -> "LooseFiles":
        """Return what lies beside the tables."""
        tables = self.shards()
        beside = [path for path in self._files if path not in set(tables)]
        return LooseFiles(self._source, beside, whole_tables(gone, tables))

    @cached_property
    def _files(self) -> list[str]:
        return walk(self._source)


def whole_tables(gone: Iterable[str], tables: Iterable[str]) -> Iterator[str]:
    """Yield what went of tables and a text may name: no text names a row by its number."""
    known = set(tables)
    return (name for name in gone if name in known)


class LooseFiles:
    """Files beside shards, ``paths`` below ``root``; ``gone`` names what went from the shards.

    It is read only when there is a text that might name one.
    """

    name = "files beside shards"
    why = "lie beside shards"
    size: int | None = None

    def __init__(self, root: Path, paths: Collection[str], gone: Iterable[str]) -> None:
        self._root, self._paths, self._gone = root, paths, gone

    @cached_property
    def _layout(self) -> Layout:
        return arrange(self._paths)

    @property
    def plain(self) -> list[str]:
        """The texts, which come along unless they name what went."""
        return sorted([*self._layout.plain, *self._layout.shared])

    def samples(self) -> Iterator[Sample]:
        """Yield what cannot be checked."""
        layout = self._layout
        for path in sorted([*layout.pictures, *layout.strange, *(layout.derived.keys() - layout.pictures)]):
            yield Sample(path, fault="a kind of file that cannot be checked beside shards")

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which texts do not come along: those that name what went, since they are not rewritten."""
        left_out = dict.fromkeys(self._layout.stale, "a cache")
        names: set[str] = set()
        for name in self._gone if self.plain else ():
            names |= {base_of(name).removesuffix(".tar"), base_of(name).partition(".")[0]}
        for path in self.plain if names else ():
            text = (self._root / path).read_text(encoding="utf-8", errors="replace")
            named = next((one for one in _WORD.findall(text) if one.removesuffix(".tar") in names), None)
            if named is not None:
                left_out[path] = f"names {named}, and lists of this kind are not rewritten"
        return Plan(dropped, left_out)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Copy the texts that come along."""
        for path in self.plain:
            if path not in plan.left_out:
                copy_file(self._root / path, target / path)
