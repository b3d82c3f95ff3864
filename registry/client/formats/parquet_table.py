"""Parquet files as tables: addresses, SHA-256 and pHashes in columns, and pictures inside.

Which columns count is in ``arrow_columns``. The schema keeps its metadata (the key ``huggingface``, without
which an image column silently becomes a struct).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from registry.client.formats.arrow_columns import ArrowColumns
from registry.client.formats.arrow_table import ArrowTable
from registry.client.formats.base import Keeping
from registry.client.formats.datacomp import is_pool
from registry.client.formats.parquet_entries import batches_of, opened_parquet, rewrite_parquet

__all__ = ["ParquetTable"]


class ParquetTable(ArrowTable):
    """A parquet file with a column of addresses, of hashes or of pictures."""

    name = "parquet"

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened_parquet(path) as file:
            schema = file.schema_arrow
            self.size: int | None = file.metadata.num_rows
        self._columns = ArrowColumns(path, schema, self._first, uids=is_pool(path))
        self.why = f"has {self._columns.told}"

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Write the kept rows, a row group at a time, under the schema of the source."""
        columns = self._columns
        rewrite_parquet(
            self.path,
            target,
            lambda parts: keep((columns.rows(one.first, one.rows), one) for one in parts),
            columns.names,
        )

    def _batches(self, columns: Sequence[str]) -> Iterator[Any]:
        with opened_parquet(self.path) as file:
            for group in range(file.num_row_groups):
                yield from batches_of(self.path, file, group, columns)
