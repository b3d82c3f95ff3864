"""Writing down what was decided about every sample.

For folders ``decisions.jsonl``: a canonical JSON line (RFC 8785) a sample. For tables
``decisions/00000.parquet`` with the rows that were not kept, and ``decisions/00000.keep``: a bit a row of the
source, 1 for kept, the first row in the highest bit of the first byte, zeros at the end.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rfc8785

from registry.client.formats.table import pyarrow_modules
from registry.client.verdicts import Verdict

__all__ = ["write_decisions"]


def write_decisions(folder: Path, verdicts: Iterable[Verdict], *, is_table: bool) -> None:
    """Write the decisions into ``folder``."""
    if is_table:
        _write_table(folder / "decisions", list(verdicts))
        return
    with (folder / "decisions.jsonl").open("wb") as out:
        for verdict in verdicts:
            out.write(rfc8785.dumps(verdict.to_wire()) + b"\n")


def _write_table(folder: Path, verdicts: list[Verdict]) -> None:
    arrow, parquet = pyarrow_modules()
    folder.mkdir()
    gone = [v for v in verdicts if not v.action.stays]
    wires = [v.to_wire() for v in gone]
    table = arrow.table(
        {
            "row": arrow.array([int(v.sample.key) for v in gone], arrow.int64()),
            "url": arrow.array([v.sample.urls[0] if v.sample.urls else None for v in gone], arrow.string()),
            **{
                name: arrow.array([wire.get(name) for wire in wires], arrow.string())
                for name in ("status", "action", "preference", "use", "reason")
            },
            "as_of_seq": arrow.array(
                [rfc8785.dumps(wire["as_of_seq"]).decode() for wire in wires], arrow.string()
            ),
            "statements": arrow.array(
                [rfc8785.dumps(wire.get("statements", [])).decode() for wire in wires], arrow.string()
            ),
        }
    )
    parquet.write_table(table, folder / "00000.parquet")
    kept = np.array([v.action.stays for v in verdicts], np.bool_)
    (folder / "00000.keep").write_bytes(np.packbits(kept).tobytes())
