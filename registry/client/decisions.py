"""Writing down what was decided about every sample.

For files ``decisions.jsonl``: a canonical JSON line (RFC 8785) a sample. For each table a parquet file with
the rows that were not kept, and a ``.keep``: a bit a row of the source, 1 for kept, the first row in the
highest bit of the first byte, zeros at the end.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats import Rows
from registry.client.formats.parquet_entries import pyarrow_modules
from registry.client.judged import JudgedRows
from registry.client.verdicts import Verdict
from registry.jsontext import canonical_json
from registry.preference import Status

__all__ = ["TableDecisions", "write_lines"]

_TEXTS = ("url", "status", "action", "preference", "use", "reason", "as_of_seq", "statements")


def write_lines(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write the decisions on files to ``path``."""
    with path.open("wb") as out:
        for verdict in verdicts:
            out.write(canonical_json(verdict.to_wire()) + b"\n")


class TableDecisions:
    """The decisions on one table, written as its rows go by, to ``stem`` with two endings."""

    def __init__(self, stem: Path) -> None:
        self._arrow, self._parquet = pyarrow_modules()
        self._stem = stem
        fields = [("row", self._arrow.int64()), *((name, self._arrow.string()) for name in _TEXTS)]
        self._schema = self._arrow.schema(fields)
        self._open = ExitStack()
        self._writer: Any = None
        self._bits: list[NDArray[np.bool_]] = []

    def __enter__(self) -> "TableDecisions":
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        writer = self._parquet.ParquetWriter(self._stem.with_name(f"{self._stem.name}.parquet"), self._schema)
        self._writer = self._open.enter_context(writer)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        kept = np.concatenate([np.zeros(0, np.bool_), *self._bits])
        self._stem.with_name(f"{self._stem.name}.keep").write_bytes(np.packbits(kept).tobytes())

    def add(self, rows: Rows, judged: JudgedRows) -> None:
        """Write down what became of some rows."""
        self._bits.append(judged.kept)
        gone = np.flatnonzero(~judged.kept).tolist()
        if not gone:
            return
        unspoken = _columns(
            {
                "status": str(Status.OK),
                "action": str(judged.unspoken.action),
                "preference": str(judged.unspoken.preference),
                "use": str(judged.unspoken.use),
                "reason": judged.unspoken.reason,
                "as_of_seq": judged.as_of_seq,
            }
        )
        verdicts = map(judged.verdicts.get, gone)
        told = [unspoken if verdict is None else _columns(verdict.to_wire()) for verdict in verdicts]
        first = rows.urls.by_row(gone)
        urls = [next(iter(first.get(at, ())), None) for at in gone]
        columns = {
            "row": self._arrow.array([rows.first + at for at in gone], self._arrow.int64()),
            "url": self._arrow.array(urls, self._arrow.string()),
            **{
                name: self._arrow.array([one[name] for one in told], self._arrow.string())
                for name in _TEXTS[1:]
            },
        }
        self._writer.write_table(self._arrow.table(columns, self._schema))


def _columns(wire: Mapping[str, Any]) -> dict[str, str | None]:
    texts = {name: wire.get(name) for name in ("status", "action", "preference", "use", "reason")}
    packed = {"as_of_seq": wire["as_of_seq"], "statements": wire.get("statements", [])}
    return texts | {name: canonical_json(value).decode() for name, value in packed.items()}
