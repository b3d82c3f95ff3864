"""The tables of a snapshot, in Parquet: for those who join them with their own in DuckDB, Polars or Spark.

``works``: url, sha256 (hexadecimal), pdq (a list of window, hash and own radius), record, a column for each
use with what was said of it, evidence_level, state, seq, at; sorted by url. ``rules``: kind, value, surt and
the same, sorted by surt. Words are dictionaries.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

from sqlalchemy import Row

from registry.errors import SettingsError
from registry.fingerprint import unpack_windows
from registry.preference import Use
from registry.urls import RuleKind, UrlRule

__all__ = ["RuleTable", "WorkTable", "rfc3339"]

_ROWS_A_GROUP = 100_000


def rfc3339(at: int) -> str:
    """Return seconds since 1970 as people write them, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SettingsError(
            "the tables of a snapshot need pyarrow", hint="pip install 'caveat-registry[parquet]'."
        ) from error
    return pyarrow, pyarrow.parquet


class _Table:
    """Rows that come some at a time and are written sorted."""

    sorted_by: str

    def __init__(self) -> None:
        self._arrow, self._parquet = _arrow()
        self._schema = self._arrow.schema([*self._own(), *self._said()])
        self._batches: list[Any] = []

    def __len__(self) -> int:
        return sum(len(batch) for batch in self._batches)

    def add(self, rows: Sequence[Row[Any]]) -> None:
        """Take in rows as :mod:`registry.store.snapshot_rows` yields them."""
        lines = [{**self._line(row), **_said_by(row)} for row in rows]
        self._batches.append(self._arrow.RecordBatch.from_pylist(lines, self._schema))

    def write(self, file: BinaryIO) -> None:
        """Write the file."""
        table = self._arrow.Table.from_batches(self._batches, self._schema)
        order = [(name, "ascending") for name in (self.sorted_by, "seq")]
        self._parquet.write_table(
            table.sort_by(order), file, row_group_size=_ROWS_A_GROUP, compression="zstd", version="2.6"
        )

    def _own(self) -> list[tuple[str, Any]]:
        raise NotImplementedError

    def _line(self, row: Row[Any]) -> Mapping[str, Any]:
        raise NotImplementedError

    def _said(self) -> list[tuple[str, Any]]:
        arrow = self._arrow
        word = arrow.dictionary(arrow.int32(), arrow.string())
        uses = [(use.replace("-", "_"), word) for use in Use]
        rest = [("evidence_level", arrow.uint8()), ("state", word), ("seq", arrow.int64())]
        return [("record", word), *uses, *rest, ("at", arrow.timestamp("s", "UTC"))]


class WorkTable(_Table):
    """The works."""

    sorted_by = "url"

    def _own(self) -> list[tuple[str, Any]]:
        arrow = self._arrow
        window = arrow.struct(
            [("window", arrow.string()), ("hash", arrow.binary(32)), ("radius", arrow.uint8())]
        )
        return [("url", arrow.string()), ("sha256", arrow.string()), ("pdq", arrow.list_(window))]

    def _line(self, row: Row[Any]) -> Mapping[str, Any]:
        sha256 = None if row.sha256 is None else bytes(row.sha256).hex()
        return {"url": row.url, "sha256": sha256, "pdq": _windows(row.packed)}


class RuleTable(_Table):
    """The URL rules; ``value`` as people write it."""

    sorted_by = "surt"

    def _own(self) -> list[tuple[str, Any]]:
        arrow = self._arrow
        word = arrow.dictionary(arrow.int32(), arrow.string())
        return [("kind", word), ("value", arrow.string()), ("surt", arrow.string())]

    def _line(self, row: Row[Any]) -> Mapping[str, Any]:
        return {"kind": row.kind, "value": UrlRule(RuleKind(row.kind), row.surt).text, "surt": row.surt}


def _windows(packed: bytes | None) -> list[dict[str, Any]]:
    if packed is None:
        return []
    print_, radii = unpack_windows(bytes(packed))
    return [
        {"window": window, "hash": value, "radius": radii[window]} for window, value in print_.pdq.items()
    ]


def _said_by(row: Row[Any]) -> dict[str, Any]:
    says = {use.replace("-", "_"): said for use, said in json.loads(row.preferences).items()}
    rest = {"record": row.reservation_id, "evidence_level": row.evidence_level, "state": row.state}
    return {**says, **rest, "seq": row.from_seq, "at": datetime.fromtimestamp(row.at, UTC)}
