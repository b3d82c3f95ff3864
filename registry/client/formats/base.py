"""What a dataset format is: something that names its samples, and writes itself without some of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from registry.client.place import Place

__all__ = ["Format", "Plan", "Sample"]


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


class Format(Protocol):
    """A dataset at a place, read and written in one way."""

    name: str
    why: str
    """What showed that it is this format, for the announcement."""
    is_table: bool

    @property
    def size(self) -> int | None:
        """How many samples there are; None where only reading tells."""

    def samples(self) -> Iterator[Sample]:
        """Yield every sample, in a stable order."""

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say what goes when the samples in ``dropped`` (key → reason) do."""

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the dataset to ``target``, which does not exist, without what ``plan`` says.

        ``digests`` maps key → SHA-256 of the file that was checked: a file that has changed since raises
        :class:`DatasetError`. The source is never touched.
        """
