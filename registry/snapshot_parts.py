"""One span of events written as the files of a snapshot, and the filter over the keys of several."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from registry.index import Entries, RowKeys
from registry.snapshot.arrays import array_chunks, rows_of
from registry.snapshot.bloom import bloom_bits
from registry.snapshot.deriving import in_order
from registry.snapshot.records import record_arrays, record_line, ref_of
from registry.snapshot_folder import Draft, Span
from registry.snapshot_tables import RuleTable, WorkTable, rfc3339
from registry.store import snapshot_rows

__all__ = ["FILTER_KEYS", "Filter", "write_part"]

FILTER_KEYS = 16_000_000
"""Keys of a part of the filter that takes in no more."""

_Keys = NDArray[np.uint64]
_TIERS = {"rules": "keys", "files": "keys", "pdq": "pictures", "phash": "pictures", "records": "records"}


def write_part(connection: Connection, draft: Draft, span: Span, seq: int) -> _Keys:
    """Write what ``span`` brought and holds at event ``seq``; return its exact keys, ``uint64[k, 2]``."""
    works, rules = WorkTable(), RuleTable()
    entries = Entries.joined(
        [Entries.of([]), *_entries(connection, (span.after, span.upto, seq), works, rules)]
    )
    said: dict[str, Mapping[str, NDArray[Any]]] = {
        "rules": in_order({"keys": entries.rule_keys, "refs": entries.rule_places}),
        "files": in_order({"keys": entries.file_keys, "refs": entries.file_places}),
        "pdq": in_order(
            {
                "words": entries.pdq,
                "radii": entries.pdq_radii,
                "windows": entries.pdq_windows,
                "refs": entries.pdq_places,
            }
        ),
        "phash": in_order({"words": entries.phash, "refs": entries.phash_places}),
        "records": record_arrays(_lines(connection, span, seq)),
    }
    for kind, arrays in said.items():
        draft.add(_TIERS[kind], kind, span, rows_of(kind, arrays), partial(_write, kind, arrays))
    draft.add("parquet", "works", span, len(works), works.write)
    draft.add("parquet", "rules", span, len(rules), rules.write)
    return np.concatenate([said["rules"]["keys"], said["files"]["keys"]])


class Filter:
    """The filter of a snapshot that is being made: closed parts of some spans each."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._open: list[tuple[Span, _Keys]] = []

    def add(self, span: Span, keys: _Keys) -> None:
        """Take in the keys of the next span."""
        self._open.append((span, keys))
        if sum(len(some) for _, some in self._open) >= FILTER_KEYS:
            self.close()

    def close(self) -> None:
        """Write what was taken in since the last part."""
        if not self._open:
            return
        (first, _), (last, _) = self._open[0], self._open[-1]
        keys = np.concatenate([some for _, some in self._open])
        arrays: dict[str, NDArray[Any]] = {"size": np.array([len(keys)], np.uint64), "bits": bloom_bits(keys)}
        span = Span(first.after, last.upto, len(keys))
        self._draft.add("filter", "filter", span, len(keys), partial(_write, "filter", arrays))
        self._open = []


def _entries(
    connection: Connection, at: tuple[int, int, int], works: WorkTable, rules: RuleTable
) -> Iterator[Entries]:
    """Yield the keys of all works and rules of a span, and add each to its table."""
    for rows in snapshot_rows.works_between(connection, *at):
        works.add(rows)
        yield Entries.of(
            RowKeys(ref_of(row.reservation_id), *_bytes(row.url_key, row.sha256, row.packed)) for row in rows
        )
    for rows in snapshot_rows.rules_between(connection, *at):
        rules.add(rows)
        yield Entries.of(RowKeys(ref_of(row.reservation_id), *_bytes(row.key)) for row in rows)


def _bytes(*values: Any) -> Iterator[bytes | None]:
    return (None if value is None else bytes(value) for value in values)


def _lines(connection: Connection, span: Span, seq: int) -> Iterator[tuple[str, bytes]]:
    for rows in snapshot_rows.versions_between(connection, span.after, span.upto, seq):
        for row in rows:
            yield row.reservation_id, record_line(dict(row._mapping), rfc3339(row.at))


def _write(kind: str, arrays: Mapping[str, NDArray[Any]], file: BinaryIO) -> None:
    for chunk in array_chunks(kind, arrays):
        file.write(chunk)
