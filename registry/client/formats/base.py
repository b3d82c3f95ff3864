"""What a dataset format is: something that names its samples, and writes itself without some of them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from registry.client.place import Place
from registry.fingerprint import MIN_QUALITY, VERSION, Fingerprint

__all__ = ["Cells", "Dataset", "Format", "Keeping", "Plan", "Rows", "Sample", "Sharded", "Table"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row or file of a dataset.

    ``key`` is its path below the source, with slashes, or its row number from 0; ``path`` the picture file,
    or the archive in which the picture is, and ``place`` then where in it. ``urls`` is every address that is
    given for it, ``known`` what is told of its file without a look at it: its SHA-256, its pHash. ``fault``
    says why it cannot be taken at all (an unreadable caption, say).
    """

    key: str
    path: Path | None = None
    urls: tuple[str, ...] = ()
    fault: str = ""
    place: Place | None = None
    known: tuple[Fingerprint, ...] = ()

    @property
    def picture(self) -> Place | None:
        """Where the bytes of its picture are; None when it has none."""
        if self.place is None and self.path is not None:
            return Place(self.path)
        return self.place

    @property
    def name(self) -> str:
        """What people call it: its address or row in a table, else its path."""
        if self.path is not None or not self.key.isdigit():
            return self.key
        return self.urls[0] if self.urls else f"row {self.key}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a dataset loses when some samples go.

    ``gone`` maps the key of each sample that does to the reason, those included that go because of others,
    and the files that only their rows name; ``left_out`` maps every file beside the samples that does not
    come along, or not whole, to the reason (paths below the source). ``shards`` names the archives that are
    left, for datasets that are made of them.
    """

    gone: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cells(Generic[T]):
    """What some rows hold of one kind, none, one or several a row: ``of: int64[n]`` has the row of each."""

    values: Sequence[T] = ()
    of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def part(self, begin: int, end: int) -> "Cells[T]":
        """Return what the rows from ``begin`` to ``end`` hold, numbered from the first of them."""
        places = np.flatnonzero((self.of >= begin) & (self.of < end))
        return Cells([self.values[at] for at in places.tolist()], self.of[places] - begin)

    def by_row(self, rows: Collection[int]) -> dict[int, list[T]]:
        """Return the values of these rows, by row, in their order."""
        found: dict[int, list[T]] = {}
        if len(self.of):
            wanted = np.zeros(int(self.of.max()) + 1, np.bool_)
            asked = np.fromiter(rows, np.int64, len(rows))
            wanted[asked[asked < len(wanted)]] = True
            places = np.flatnonzero(wanted[self.of])
            for row, at in zip(self.of[places].tolist(), places.tolist(), strict=True):
                found.setdefault(row, []).append(self.values[at])
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table that follow one another; ``first`` is the number of the first of them, from 0.

    ``urls`` are their addresses, ``files`` the SHA-256 (32 bytes) and ``phashes`` the pHashes (8 bytes) that
    the table gives, ``pictures`` those that it holds; ``faults`` says of rows why they cannot be taken. Rows
    are counted from 0 in all of them.
    """

    first: int
    count: int
    urls: Cells[str] = Cells()
    files: Cells[bytes] = Cells()
    phashes: Cells[bytes] = Cells()
    pictures: Cells[Place] = Cells()
    faults: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def part(self, begin: int, end: int) -> "Rows":
        """Return the rows from ``begin`` to ``end``, of those that there are."""
        begin, end = max(begin, 0), min(end, self.count)
        if (begin, end) == (0, self.count):
            return self
        faults = {row - begin: why for row, why in self.faults.items() if begin <= row < end}
        return Rows(
            self.first + begin,
            end - begin,
            self.urls.part(begin, end),
            self.files.part(begin, end),
            self.phashes.part(begin, end),
            self.pictures.part(begin, end),
            faults,
        )

    def samples(self, places: Collection[int] | None = None) -> Iterator[Sample]:
        """Yield the rows at ``places``, or all, as samples: one a row, or one a picture of a row."""
        places = range(self.count) if places is None else places
        urls, pictures = self.urls.by_row(places), self.pictures.by_row(places)
        files, phashes = self.files.by_row(places), self.phashes.by_row(places)
        for place in places:
            mine = pictures.get(place, [])
            # A picture is compared by better hashes than a pHash.
            told = zip_longest(files.get(place, []), [] if mine else phashes.get(place, []))
            known = tuple(Fingerprint(VERSION, MIN_QUALITY, phash, {}, sha256) for sha256, phash in told)
            addresses = tuple(urls.get(place, []))
            fault = self.faults.get(place, "" if addresses or known or mine else "the row has no URL")
            key = str(self.first + place)
            yield Sample(key, None, addresses, fault, None if fault or not mine else mine[0], known)
            for one in [] if fault else mine[1:]:
                yield Sample(key, place=one)


Keeping: TypeAlias = Callable[
    [Iterator[tuple[Rows, Any]]], AbstractContextManager[Iterator[tuple[NDArray[np.bool_], Any]]]
]
"""What decides: rows, and what comes beside them → ``bool[n]``, true for those that stay, and the same.

They come in their order, while later ones are read and asked about ahead.
"""


class Dataset(Protocol):
    """A dataset at a place."""

    name: str
    why: str
    """What showed that it is this format, for the announcement."""

    @property
    def size(self) -> int | None:
        """How many samples there are; None where only reading tells."""

    def samples(self) -> Iterator[Sample]:
        """Yield every sample, in a stable order."""


class Format(Dataset, Protocol):
    """A dataset of files, in which one sample may take others with it."""

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say what goes when the samples in ``dropped`` (key → reason) do."""

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the dataset to ``target``, which does not exist, without what ``plan`` says.

        ``digests`` maps key → SHA-256 of the file that was checked: a file that has changed since raises
        :class:`DatasetError`. The source is never touched.
        """


@runtime_checkable
class Table(Dataset, Protocol):
    """A file of rows, each of which goes alone."""

    @property
    def may_hold_pictures(self) -> bool:
        """Whether there can be pictures in the file itself."""

    def rows(self) -> Iterator[Rows]:
        """Yield every row, in order, some at a time."""

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Read the table once, and write those of its rows to ``target`` that ``keep`` takes.

        Without ``target`` nothing is written, and no other column is read.
        """


@runtime_checkable
class Sharded(Dataset, Protocol):
    """A folder of files that are filtered apart from each other, each with what lies beside it."""

    def shards(self) -> list[str]:
        """Return the names of these files, paths below the source, in a stable order."""

    def shard(self, name: str) -> "Format | Table":
        """Return one of them; what is written of it are the files under their names in the target."""

    def state(self, name: str) -> Sequence[tuple[str, int, int | str]]:
        """Return name, size and time, or version, of each file that belongs to a shard."""

    def rest(self, gone: Iterable[str]) -> Format:
        """Return what lies beside the shards, after what is named in ``gone`` went from them."""
