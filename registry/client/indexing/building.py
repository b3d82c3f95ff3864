"""Making a dataset searchable for those whose works may be in it.

Samples are taken in parts. Each is written, synced and renamed, and then listed, so that a run that was
broken off goes on behind the last part that is whole. What cannot be read is in the index too, by name and
reason. The dataset is only read, and nothing is sent.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from registry.client.formats import Dataset, Sample, Table, detect
from registry.client.formats.files import changed
from registry.client.formats.sharded import TableFolder
from registry.client.indexing.columns import table_batches
from registry.client.indexing.digest import digest_of
from registry.client.indexing.hashing import hashed_batch
from registry.client.pictures import default_workers
from registry.dataset_index.batch import Batch, joined
from registry.dataset_index.listing import LIST, Listing, read_listing, write_listing
from registry.dataset_index.part import Counts, Listed, open_part, outside, write_part
from registry.errors import DatasetError, InputError

__all__ = [
    "A_PART_AT_LAST",
    "A_PART_OF_PICTURES",
    "A_PART_OF_ROWS",
    "IndexSummary",
    "index_dataset",
    "index_folder_of",
]

A_PART_OF_ROWS = 100_000
A_PART_OF_PICTURES = 20_000
"""Samples of a part; pictures take so much longer that fewer are lost when a run is broken off."""
A_PART_AT_LAST = 1_000_000
"""Most samples of a part of pictures, once all are done."""


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What an index holds now, where it is, and how many samples were there before (``resumed``)."""

    folder: Path
    format: str
    why: str
    counts: Counts
    resumed: int

    @property
    def size(self) -> int:
        """Bytes that the index takes."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "index": str(self.folder),
            "format": self.format,
            **asdict(self.counts),
            "resumed": self.resumed,
            "bytes": self.size,
        }


def index_folder_of(source: Path) -> Path:
    """Return where the index of ``source`` goes unless another place is named: beside it."""
    return source.with_name(f"{source.name}.caveat-index")


def index_dataset(
    source: Path | str,
    folder: Path | str | None = None,
    *,
    format_name: str = "auto",
    anew: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int | None], None] = lambda done, size: None,
) -> IndexSummary:
    """Write the index of ``source`` into ``folder``, beside it by default; go on where an earlier run ended.

    ``anew`` makes all of it again; ``workers`` are processes that hash, one a core by default; ``progress``
    is told after each part how many samples are done, of how many. Raises :class:`DatasetError`,
    :class:`FormatError`, :class:`StorageError`.
    """
    source = Path(source).absolute()
    folder = index_folder_of(source) if folder is None else Path(folder).absolute()
    found = detect(source, format_name)
    _, disk = outside()
    _require_own(source, folder)
    with disk.only_writer(folder):
        listing = _begun(folder, Listing(source.name, found.name, digest_of(source)), anew)
        resumed = listing.counts.samples
        if not listing.complete:
            for batch in _batches(found, listing, workers or default_workers()):
                listing = _with_part(folder, listing, batch)
                progress(listing.counts.samples, found.size)
            if digest_of(source) != listing.digest:
                raise changed(source)
            listing = replace(_merged(folder, listing), complete=True)
            write_listing(folder, listing)
            _clear(folder, listing)
    return IndexSummary(folder, found.name, found.why, listing.counts, resumed)


def _require_own(source: Path, folder: Path) -> None:
    if folder == source or source in folder.parents:
        raise InputError(f"{folder} is in the dataset itself", hint="Put the index beside it.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    seen = [one.name for one in folder.iterdir()] if folder.exists() else []
    if LIST not in seen and any(not name.startswith(".") for name in seen):
        raise InputError(f"{folder} holds something else than an index", hint="Name a folder of its own.")


def _begun(folder: Path, wanted: Listing, anew: bool) -> Listing:
    """Return what of an earlier run stands, listed as it is, with all else gone from ``folder``."""
    found = None if anew else read_listing(folder)
    if found is not None and found.digest != wanted.digest:
        raise DatasetError(
            f"{folder} is the index of another dataset, or this one has changed since",
            hint="Make it anew with --replace, or name another folder with --to.",
        )
    parts = () if found is None else tuple(_whole(folder, found))
    complete = found is not None and found.complete and parts == found.parts
    listing = replace(wanted, parts=parts, complete=complete)
    if listing != found:
        write_listing(folder, listing)
    _clear(folder, listing)
    return listing


def _clear(folder: Path, listing: Listing) -> None:
    """Delete the parts that are not listed, and what was left half written."""
    kept = {part.file for part in listing.parts}
    for path in [*folder.glob("samples-*.caveat"), *folder.glob(".samples-*")]:
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _whole(folder: Path, listing: Listing) -> Iterator[Listed]:
    """Yield the parts up to the first that is missing or damaged."""
    for part in listing.parts:
        try:
            open_part(folder, part, listing.digest)
        except DatasetError:
            return
        yield part


def _batches(found: Dataset, listing: Listing, workers: int) -> Iterator[Batch]:
    """Yield the samples behind those that are listed, in parts: rows of tables, then all others."""
    done = listing.parts
    first = listing.counts.samples
    tables = _tables(found)
    rows = [part for part in done if part.row is not None]
    last = tables.index(rows[-1].table) if rows else 0
    for table in tables[last:] if len(rows) == len(done) else ():
        skip = sum(part.counts.samples for part in rows if part.table == table)
        one = _opened(found, table)
        size = A_PART_OF_PICTURES if one.may_hold_pictures else A_PART_OF_ROWS
        for batch in table_batches(one, size, skip, workers):
            yield replace(batch, first=first, table=table, row=batch.first)
            first += batch.count
    others = islice(_others(found), sum(part.counts.samples for part in done[len(rows) :]), None)
    while taken := list(islice(others, A_PART_OF_PICTURES)):
        yield hashed_batch(first, taken, workers)
        first += len(taken)


def _tables(found: Dataset) -> list[str]:
    """Return the tables whose rows are samples: below the dataset, empty for the dataset itself."""
    if isinstance(found, Table):
        return [""]
    return found.shards() if isinstance(found, TableFolder) else []


def _opened(found: Dataset, name: str) -> Table:
    """Return one of :func:`_tables`."""
    return found.shard(name) if isinstance(found, TableFolder) else cast(Table, found)


def _others(found: Dataset) -> Iterator[Sample]:
    """Yield the samples that are no rows of :func:`_tables`."""
    if isinstance(found, TableFolder):
        return found.rest(()).samples()
    return iter(()) if _tables(found) else found.samples()


def _with_part(folder: Path, listing: Listing, batch: Batch) -> Listing:
    """Write a part and list it."""
    part = write_part(folder, batch, listing.digest)
    listing = replace(listing, parts=(*listing.parts, part))
    write_listing(folder, listing)
    return listing


def _merged(folder: Path, listing: Listing) -> Listing:
    """Put parts together: a search for a picture costs about as much in a small part as in a large one."""
    groups: list[list[Listed]] = []
    room = 0
    for part in listing.parts:
        if room < part.counts.samples or not _go_together(groups[-1][-1], part):
            groups.append([])
            room = A_PART_AT_LAST
        groups[-1].append(part)
        room -= part.counts.samples
    parts = [one[0] if len(one) == 1 else _together(folder, listing, one) for one in groups]
    return replace(listing, parts=tuple(parts))


def _go_together(one: Listed, other: Listed) -> bool:
    """Say whether two parts that follow each other can become one: both of names, or rows of one table.

    Rows without pictures stay as they are: their parts are large from the beginning.
    """
    if one.row is None or other.row is None:
        return one.row is other.row
    return one.table == other.table and bool(one.counts.pictures or other.counts.pictures)


def _together(folder: Path, listing: Listing, group: Sequence[Listed]) -> Listed:
    opened = (open_part(folder, one, listing.digest) for one in group)
    batch = joined([part.batch() for part in opened])
    batch.table, batch.row = group[0].table, group[0].row
    return write_part(folder, batch, listing.digest)
