"""Rows of a table as parts of an index: what the filter reads of them, and nothing else.

Addresses, SHA-256 and pHashes are taken in as the table has them. Pictures in cells are hashed as they come,
some 64 MB of them at a time, so that a part has all of its hashes and never all of its pictures. A row with a
picture that could be hashed is not compared by a pHash as well: the filter does not, and it is the worse of
the two.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from registry.client.formats import Rows, Table
from registry.client.pictures import Hashers
from registry.dataset_index.batch import Batch, joined

__all__ = ["table_batches"]


def table_batches(table: Table, size: int, skip: int, workers: int = 1) -> Iterator[Batch]:
    """Yield the rows of ``table``, ``size`` at a time, numbered from 0; pictures are hashed by ``workers``.

    The first ``skip`` rows are left out. Raises :class:`DatasetError` for what cannot be read.
    """
    held: list[Batch] = []
    with Hashers(workers) as hashers:
        for rows in _cut(table.rows(), size, skip):
            held.append(_batch(rows, hashers))
            if sum(one.count for one in held) == size:
                yield joined(held)
                held = []
    if held:
        yield joined(held)


def _cut(batches: Iterator[Rows], size: int, skip: int) -> Iterator[Rows]:
    """Yield the rows behind the first ``skip``, none of them across a multiple of ``size`` from there."""
    for rows in batches:
        begin = max(0, skip - rows.first)
        while begin < len(rows):
            end = min(len(rows), begin + size - (rows.first + begin - skip) % size)
            yield rows.part(begin, end)
            begin = end


def _batch(rows: Rows, hashers: Hashers) -> Batch:
    batch = Batch(rows.first, len(rows), faults=list(rows.faults.items()))
    batch.urls, batch.urls_of = list(rows.urls.values), rows.urls.of
    batch.files, batch.files_of = list(rows.files.values), rows.files.of.tolist()
    hashed = _add_pictures(batch, rows, hashers)
    compared = np.isin(rows.phashes.of, np.array(hashed, np.int64), invert=True)
    batch.phashes, batch.phashes_of = _words(rows.phashes.values)[compared], rows.phashes.of[compared]
    known = np.zeros(batch.count, np.bool_)
    faulty = list(rows.faults)
    for of in map(np.asarray, (rows.urls.of, rows.files.of, rows.phashes.of, rows.pictures.of, faulty)):
        known[of.astype(np.int64)] = True
    batch.faults += [(one, "the row has no URL") for one in np.flatnonzero(~known).tolist()]
    return batch


def _add_pictures(batch: Batch, rows: Rows, hashers: Hashers) -> list[int]:
    """Hash the pictures in the rows, and return the rows of those that could be."""
    done = []
    places = rows.pictures.of.tolist()
    for row, one in zip(places, hashers.begin(list(rows.pictures.values)), strict=True):
        if one.fingerprint is None:
            batch.faults.append((row, one.error))
        else:
            batch.add_picture(row, one.fingerprint)
            done.append(row)
    return done


def _words(phashes: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(phashes), ">u8").astype(np.uint64)
