"""What a dataset format is: something that names its samples, and writes itself without some of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from registry.client.place import Place

__all__ = ["Dataset", "Format", "Keeping", "Plan", "Rows", "Sample", "Sharded", "Table"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row or file of a dataset.

    ``key`` is its path below the source, with slashes, or its row number from 0; ``path`` the picture file,
    or the archive in which the picture is, and ``place`` then where in it. ``urls`` is every address that is
    given for it. ``fault`` says why it cannot be taken at all (an unreadable caption, say).
    """

    key: str
    path: Path | None = None
    urls: tuple[str, ...] = ()
    fault: str = ""
    place: Place | None = None

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
class Rows:
    """Rows of a table that follow one another; ``first`` is the number of the first of them, from 0.

    ``urls`` has an array for each column of addresses, in which None stands for none.
    """

    first: int
    urls: tuple[Sequence[str | None], ...]

    def __len__(self) -> int:
        return len(self.urls[0])

    def sample(self, place: int) -> Sample:
        """Return the row at ``place``, from 0, as a sample."""
        urls = tuple(url for column in self.urls if (url := column[place]))
        return Sample(str(self.first + place), urls=urls, fault="" if urls else "the row has no URL")


Keeping: TypeAlias = Callable[[Rows], NDArray[np.bool_]]
"""What decides: rows → ``bool[n]``, true for those that stay."""


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

    def state(self, name: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of each file that belongs to a shard."""

    def rest(self, gone: Collection[str]) -> Format:
        """Return what lies beside the shards, after what is named in ``gone`` went from them."""
