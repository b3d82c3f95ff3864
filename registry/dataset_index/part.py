"""A part of an index: some samples in one file that is whole or absent, and is checked when it is opened.

The file is a segment, as the registry's own index has it, with the same tables in it: keys of addresses and
of files, PDQ hashes, pHashes. What is added says to whom they belong:

* addresses stand in the order of their registered domain, then their host, so that all of a host, and all of
  a domain, stand together. A key of one address, of a host or of a domain leads to a *span*: the first of
  its addresses, and how many;
* every other key and hash leads to the number of its sample in the part;
* names, addresses and faults are texts in blocks (:mod:`registry.dataset_index.texts`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from registry.dataset_index.batch import Batch
from registry.dataset_index.texts import Texts
from registry.errors import DatasetError, FormatError, SegmentError
from registry.fingerprint import REVIEW_RADIUS, VERSION, hash_words
from registry.index import Entries, FrozenIndex
from registry.keys import key_bytes, key_words
from registry.pdq import HASH_BYTES
from registry.rechecking import Checked
from registry.urlkeys import KINDS, url_keys
from registry.urls import RuleKind

if TYPE_CHECKING:
    from registry.segments import Segment

__all__ = ["Counts", "Listed", "OpenPart", "file_of", "open_part", "outside", "write_part"]

_Keys = NDArray[np.uint64]
_SPAN = 32
"""Bits of the length of a span; its beginning stands above."""
_EXACT, _HOST, _DOMAIN = (KINDS.index(kind) for kind in (RuleKind.EXACT, RuleKind.HOST, RuleKind.DOMAIN))
_TEXTS = ("names", "addresses", "faults")


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is: ``samples``; ``addresses``; ``pictures`` that are compared, of samples that were read.

    ``plain`` pictures are found as the same file only; ``phashes`` and ``files`` (SHA-256) come from a table
    or from pictures; ``faults`` are samples that cannot be found by all that they have.
    """

    samples: int = 0
    addresses: int = 0
    pictures: int = 0
    plain: int = 0
    phashes: int = 0
    files: int = 0
    faults: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Listed:
    """A part: its file, the number of its first sample in the dataset, and what is in it.

    Where samples are rows, ``row`` is the first of them in its table, and ``table`` names it if there are
    several; where they have names, ``row`` is None.
    """

    file: str
    first: int
    counts: Counts
    table: str = ""
    row: int | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        where = {"file": self.file, "first": self.first, "table": self.table, "row": self.row}
        return {**where, **asdict(self.counts)}


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Addresses in their order: which of the batch's each is, and the keys with their spans."""

    order: NDArray[np.int64]
    keys: _Keys
    spans: NDArray[np.int64]


class OpenPart(Checked):
    """A part that is open.

    Raises ValueError or KeyError for arrays that are not those of a part.
    """

    def __init__(self, listed: Listed, segment: "Segment") -> None:
        super().__init__(segment)
        arrays = segment.arrays
        own = {name for name in arrays if name.partition(".")[0] in _TEXTS}
        self.listed, self.first, self.counts = listed, listed.first, listed.counts
        self.index = FrozenIndex({name: array for name, array in arrays.items() if name not in own})
        self._of = arrays["addresses.of"]
        self._texts = {one: Texts(arrays[f"{one}.ends"], arrays[f"{one}.data"]) for one in _TEXTS}

    def places(self, key: bytes) -> Sequence[int]:
        """Return the places of the addresses with this key: those of a host or domain, or of one address."""
        records = self.index.rules.query(key_words([key])).record.tolist()
        if len(records) == 1:
            return _range_of(records[0])
        return [_range_of(one).start for one in records]

    def addresses(self, places: Sequence[int]) -> list[tuple[int, str]]:
        """Return the sample, from 0 in this part, and the text of the addresses at ``places``."""
        return list(zip(self._of[list(places)].tolist(), self._texts["addresses"].read(places), strict=True))

    def addresses_of(self, sample: int) -> list[str]:
        """Return every address of a sample."""
        return self._texts["addresses"].read(np.flatnonzero(self._of == sample).tolist())

    def name(self, sample: int) -> str:
        """Return the name of a sample: its path, or its row, behind its table if there are several."""
        if self.listed.row is None:
            return str(self._texts["names"].read([sample])[0])
        row = self.listed.row + sample
        return f"{self.listed.table}/{row}" if self.listed.table else f"row {row}"

    def faults(self) -> list[tuple[str, str]]:
        """Return name and reason of every sample that cannot be found by all that it has."""
        return [(self.name(number), reason) for number, reason in self._texts["faults"].all()]

    def batch(self) -> Batch:
        """Give back what it was made of; of addresses only those that are some, of SHA-256 what counts."""
        entries = self.index.entries()
        batch = Batch(self.first, self.counts.samples, plain=self.counts.plain)
        batch.names = self._texts["names"].all()
        batch.urls, batch.urls_of = self._texts["addresses"].all(), self._of.astype(np.int64)
        batch.files, batch.files_of = key_bytes(entries.file_keys), entries.file_places.tolist()
        hashes = entries.pdq.astype(">u8").tobytes()
        batch.pdq = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        batch.pdq_forms, batch.pdq_of = entries.pdq_windows.tolist(), entries.pdq_places.tolist()
        batch.phashes, batch.phashes_of = entries.phash[:, 0], entries.phash_places
        batch.faults = [(number, reason) for number, reason in self._texts["faults"].all()]
        return batch


def outside() -> tuple[ModuleType, ModuleType]:
    """Return :mod:`registry.segments` and :mod:`registry.disk`.

    Raises :class:`FormatError` where what they need is not installed.
    """
    try:
        from registry import disk, segments
    except ImportError as error:
        raise FormatError(
            f"an index of a dataset needs {error.name}, which is not installed",
            hint="pip install 'caveat-registry[index]'; it is made and read on Linux.",
        ) from error
    return segments, disk


def file_of(first: int, count: int) -> str:
    """Return the name of the part with so many samples from ``first`` on; no other part ever has it."""
    return f"samples-{first}-{count}.caveat"


def write_part(folder: Path, batch: Batch, dataset: str) -> Listed:
    """Write the part of ``batch`` into ``folder``; ``dataset`` is the digest of what it was made from.

    Raises :class:`StorageError` when it cannot be written, StorageFullError among them.
    """
    segments, _ = outside()
    addresses, invalid = _addresses(batch)
    faults = sorted([*batch.faults, *invalid])
    entries = _entries(batch, addresses)
    texts = {
        "names": Texts.of(batch.names),
        "addresses": Texts.of([batch.urls[one] for one in addresses.order.tolist()]),
        "faults": Texts.of(faults),
    }
    file = file_of(batch.first, batch.count)
    listed = Listed(file, batch.first, _counted(batch, addresses, faults), batch.table, batch.row)
    layout = dict(FrozenIndex.layout(entries))
    tables = list(layout)
    layout["addresses.of"] = ("uint32", (len(addresses.order),))
    for name, (ends, data) in texts.items():
        layout |= {f"{name}.ends": ("uint64", ends.shape), f"{name}.data": ("uint8", data.shape)}
    with segments.write_segment(folder / file, _meta(listed, dataset), layout) as arrays:
        FrozenIndex.fill({name: arrays[name] for name in tables}, entries)
        arrays["addresses.of"][:] = batch.urls_of[addresses.order]
        for name, (ends, data) in texts.items():
            arrays[f"{name}.ends"][:], arrays[f"{name}.data"][:] = ends, data
    return listed


def open_part(folder: Path, listed: Listed, dataset: str) -> OpenPart:
    """Check and open a part. Raises :class:`DatasetError` when it is not the one that was written."""
    segments, _ = outside()
    try:
        segment = segments.open_segment(folder / listed.file)
        if segment.meta != _meta(listed, dataset):
            raise SegmentError(f"{listed.file}: of another dataset, or of other samples")
        return OpenPart(listed, segment)
    except (SegmentError, ValueError, KeyError) as error:
        message = error.message if isinstance(error, SegmentError) else f"{listed.file}: {error}"
        raise DatasetError(
            f"the index {folder} is damaged: {message}",
            hint="Run caveat index on the dataset again: the part is made anew.",
        ) from error


def _meta(listed: Listed, dataset: str) -> dict[str, Any]:
    return {"dataset": dataset, "fingerprint": VERSION, **listed.to_wire()}


def _counted(batch: Batch, addresses: _Addresses, faults: list[tuple[int, str]]) -> Counts:
    return Counts(
        samples=batch.count,
        addresses=len(addresses.order),
        pictures=len(set(batch.pdq_of)),
        plain=batch.plain,
        phashes=len(batch.phashes),
        files=len(batch.files),
        faults=len({number for number, _ in faults}),
    )


def _entries(batch: Batch, addresses: _Addresses) -> Entries:
    return Entries(
        addresses.keys,
        addresses.spans,
        key_words(batch.files),
        np.array(batch.files_of, np.int64),
        hash_words(batch.pdq).reshape(-1, 4),
        np.full(len(batch.pdq), REVIEW_RADIUS, np.uint8),
        np.array(batch.pdq_forms, np.uint8),
        np.array(batch.pdq_of, np.int64),
        batch.phashes.reshape(-1, 1),
        batch.phashes_of,
    )


def _addresses(batch: Batch) -> tuple[_Addresses, list[tuple[int, str]]]:
    """Return the addresses of a batch, in their order, and the samples of those that are none."""
    found = url_keys(batch.urls)
    exact, hosts, domains = (found.kind == kind for kind in (_EXACT, _HOST, _DOMAIN))
    valid = found.url[exact]
    # An address without a registered domain, an IP address for one, stands under its host alone.
    group = found.keys[hosts].copy()
    with_domain = np.searchsorted(valid, found.url[domains])
    group[with_domain] = found.keys[domains]
    has_domain = np.zeros(len(valid), np.bool_)
    has_domain[with_domain] = True
    host = found.keys[hosts]
    order = np.lexsort((host[:, 1], host[:, 0], group[:, 1], group[:, 0]))
    own = found.keys[exact][order], _span(np.arange(len(order)), np.ones(len(order), np.int64))
    of_hosts, of_domains = _spans(host[order]), _spans(group[order], has_domain[order])
    keys, spans = zip(own, of_hosts, of_domains, strict=True)
    invalid = [(int(batch.urls_of[at]), error.message) for at, error in found.errors.items()]
    return _Addresses(valid[order], np.concatenate(keys), np.concatenate(spans)), invalid


def _spans(keys: _Keys, counted: NDArray[np.bool_] | None = None) -> tuple[_Keys, NDArray[np.int64]]:
    """Return each of ``keys``, equal ones together, once, with its span; only those that are ``counted``."""
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    first = np.flatnonzero(begins)
    spans = _span(first, np.diff(np.append(first, len(keys))))
    kept = slice(None) if counted is None else counted[first]
    return keys[first][kept], spans[kept]


def _span(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    return (first.astype(np.int64) << _SPAN) | count


def _range_of(span: int) -> range:
    first = span >> _SPAN
    return range(first, first + (span & ((1 << _SPAN) - 1)))
