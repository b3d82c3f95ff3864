"""A dataset of shards at an object store: which of the formats it is, by the names of its objects.

Tars, and folders of tables, are read there. Anything else is refused by name: loose pictures and the lists
beside them want a folder on this machine.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from registry.client.contents import hashed
from registry.client.formats import Format, Sample, Sharded, Table, chosen, opened, shard_formats
from registry.client.formats.keyed import suffix_of
from registry.client.formats.sharded import LooseFiles, whole_tables
from registry.client.formats.shards import stats_of, table_of
from registry.client.stores import Address, Found, fetch, listed
from registry.client.workplace import Workplace
from registry.errors import FormatError

__all__ = ["StoreShards", "detect_away"]


def detect_away(source: Address, wanted: str, work: Workplace) -> "StoreShards":
    """Return the dataset at ``source``, as :func:`registry.client.formats.detect` does for a folder.

    Raises :class:`FormatError` for what is not made of shards, and :class:`registry.errors.StoreError`.
    """
    found = listed(source)
    if "" in found:
        raise FormatError(
            f"{source} is one object, and folders of shards are read at a store",
            hint="Give the prefix that it lies under, or copy it to this machine.",
        )
    seen = {name: one for name, one in found.items() if not _is_hidden(name)}
    if not seen:
        raise FormatError(f"nothing is below {source}", hint="Check bucket and prefix.")
    formats = shard_formats(source, [PurePosixPath(name) for name in seen], wanted)
    if not formats:
        raise FormatError(
            f"{source} holds neither .tar shards nor tables only, and nothing else is read at a store",
            hint="Pack it into .tar shards, or copy it to this machine and filter it there.",
        )
    name = chosen(source, wanted, formats)
    return StoreShards(source, name, formats[name], seen, work)


class StoreShards:
    """Shards below an address; ``found`` are the objects there as they were listed, which all must stay."""

    size: int | None = None

    def __init__(
        self, source: Address, name: str, why: str, found: dict[str, Found], work: Workplace
    ) -> None:
        self.name, self.why = name, why
        self._source, self._found, self._work = source, found, work

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of every shard, one of which is on this machine at a time, and what is beside."""
        for name in self.shards():
            with self._fetched(name) as folder:
                for one in folder.shard(name).samples():
                    is_row = self.name != "webdataset"
                    yield replace(one, key=f"{name}/{one.key}") if is_row else one
        yield from self.rest(()).samples()

    def shards(self) -> list[str]:
        """Return the names of the shards."""
        ending = ".tar" if self.name == "webdataset" else f".{self.name}"
        return [name for name in self._found if suffix_of(name) == ending]

    def shard(self, name: str) -> Format | Table:
        """Return one shard, fetched for as long as this run goes on."""
        self._fetch(name, self._work.path / "shards")
        return _folder(self._work.path / "shards", self.name).shard(name)

    def state(self, name: str) -> list[tuple[str, int, str]]:
        """Return name, size and version of each object of a shard."""
        return [(one.name, one.size, one.mark) for one in self._objects(name)]

    def rest(self, gone: Iterable[str]) -> LooseFiles:
        """Return what lies beside the shards: texts are fetched, the others are only named."""
        folder = self._work.path / "beside"
        named = gone if self.name == "webdataset" else whole_tables(gone, self.shards())
        rest = LooseFiles(folder, self._beside(), named)
        for name in rest.plain:
            fetch(self._source, self._found[name], folder / name)
        return rest

    def digests_beside(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yield name, SHA-256 and size of what lies beside the shards, fetched one at a time.

        Raises as :func:`registry.client.stores.fetch`.
        """
        for name in self._beside():
            with TemporaryDirectory(dir=self._work.path) as folder:
                fetch(self._source, self._found[name], Path(folder, "one"))
                yield name, hashed(Path(folder, "one"))

    def _beside(self) -> list[str]:
        taken = {one.name for name in self.shards() for one in self._objects(name)}
        return [name for name in self._found if name not in taken]

    def _objects(self, name: str) -> list[Found]:
        beside = (table_of(name), stats_of(name)) if self.name == "webdataset" else ()
        return [self._found[one] for one in (name, *beside) if one in self._found]

    def _fetch(self, name: str, to: Path) -> None:
        for one in self._objects(name):
            fetch(self._source, one, to / one.name)

    @contextmanager
    def _fetched(self, name: str) -> Iterator[Sharded]:
        with TemporaryDirectory(dir=self._work.path) as folder:
            self._fetch(name, Path(folder))
            yield _folder(Path(folder), self.name)


def _folder(path: Path, name: str) -> Sharded:
    folder = opened(path, name)
    if not isinstance(folder, Sharded):
        raise AssertionError("a folder of shards is one")
    return folder


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
