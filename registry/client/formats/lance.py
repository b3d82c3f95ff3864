"""Lance datasets as tables: a new one of the rows that stay, at its first version.

Which columns count is in ``arrow_columns``. Lance deletes a row by a mark beside it: the row stays in the
files until these are compacted and every older version is cleaned up. So a dataset is never filtered in
place. The new one has the schema with its metadata, the kept rows in their order, fragment by fragment, and
nothing else: no deleted row, no older version, no index, no tag, no branch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from registry.client.formats.arrow_columns import ArrowColumns
from registry.client.formats.arrow_table import ArrowTable
from registry.client.formats.base import Keeping
from registry.client.formats.lance_files import LanceFiles, blob_columns, lance_module, named_errors
from registry.client.formats.parquet_entries import MAX_COLUMN_BYTES, pyarrow_modules
from registry.errors import DatasetError

__all__ = ["LanceTable"]

_OWN = frozenset({"_versions", "_transactions", "_deletions", "_indices", "_refs", "data", "tree"})
"""What Lance itself keeps in the folder of a dataset."""


class LanceTable(ArrowTable):
    """A Lance dataset with a column of addresses, of hashes or of pictures; rows are counted without gaps."""

    name = "lance"

    def __init__(self, path: Path) -> None:
        self.path = path
        files = LanceFiles(path)
        self._version = files.data.version
        self.size: int | None = sum(one.count_rows() for one in files.fragments())
        self._columns = ArrowColumns(path, files.schema, self._first)
        self.why = f"has {self._columns.told}, at version {self._version}{_left_behind(files)}"

    def rewrite(self, target: Path | None, keep: Keeping) -> None:
        """Write the kept rows, a fragment at a time, under the schema of the source."""
        arrow, _ = pyarrow_modules()
        files, first = LanceFiles(self.path, self._version), 0
        out = None if target is None else _Writer(target, files)
        columns = self._columns.names if out is None else None
        for fragment in files.fragments():
            with keep(self._numbered(files.batches(fragment, columns), first)) as kept:
                for stays, batch in kept:
                    first += batch.num_rows
                    if out is not None:
                        out.add(batch.filter(arrow.array(stays)))
            if out is not None:
                out.end_fragment()
        if out is not None:
            out.commit()

    def _batches(self, columns: Sequence[str]) -> Iterator[Any]:
        files = LanceFiles(self.path, self._version)
        for fragment in files.fragments():
            yield from files.batches(fragment, columns)


class _Writer:
    """Writes a dataset like ``files`` to ``target``, a fragment after the other, as one version."""

    def __init__(self, target: Path, files: LanceFiles) -> None:
        self._arrow, _ = pyarrow_modules()
        self._target, self._files, self._schema = target.absolute(), files, files.data.schema
        self._blobs = blob_columns(self._schema)
        self._held: list[Any] = []
        self._fragments: list[Any] = []

    def add(self, batch: Any) -> None:
        """Add rows; a fragment of more than :data:`MAX_COLUMN_BYTES` becomes several."""
        if batch.num_rows:
            self._held.append(self._packed(batch))
        if sum(one.nbytes for one in self._held) > MAX_COLUMN_BYTES:
            self.end_fragment()

    def end_fragment(self) -> None:
        """Write down what was added."""
        if not self._held:
            return
        table = self._arrow.Table.from_batches(self._held, self._schema)
        self._held = []
        with named_errors(self._target, "written"):
            self._fragments += lance_module().fragment.write_fragments(
                table,
                self._target,
                self._schema,
                mode="create",
                data_storage_version=self._files.data.data_storage_version,
                enable_stable_row_ids=self._files.data.has_stable_row_ids,
            )

    def commit(self) -> None:
        """Make what was written a dataset; one without rows is none."""
        if not self._fragments:
            return
        lance, data = lance_module(), self._files.data
        with named_errors(self._target, "written"):
            made = lance.LanceDataset.commit(
                self._target,
                lance.LanceOperation.Overwrite(self._schema, self._fragments),
                enable_stable_row_ids=data.has_stable_row_ids,
            )
            found = made.count_rows()
        expected = sum(one.physical_rows for one in self._fragments)
        if found != expected:
            raise DatasetError(f"{self._target} came out with {found:,} rows in place of {expected:,}")

    def _packed(self, batch: Any) -> Any:
        """Return a batch under the schema of the source: with blobs where their bytes stand."""
        lance = lance_module()
        arrays = [
            lance.blob_array(batch.column(name).to_pylist()) if name in self._blobs else batch.column(name)
            for name in self._schema.names
        ]
        return self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema)


def _left_behind(files: LanceFiles) -> str:
    """Say what of a dataset does not come along, beside the rows that go."""
    data = files.data
    with named_errors(files.path, "read"):
        older = len(data.versions()) - 1
        deleted = sum(one.num_deletions for one in files.fragments())
        named = [f"the index {one.name}" for one in data.describe_indices()]
        named += [f"the tag {name}" for name in data.tags.list()]
        named += [f"the branch {name}" for name in data.branches.list()]
        named += ["its settings"] if data.config() or data.metadata else []
        named += sorted(one.name for one in files.path.iterdir() if one.name not in _OWN)
    named = [*_counted(older, "other version"), *_counted(deleted, "deleted row"), *named]
    return f"; what does not come along: {', '.join(named)}" if named else ""


def _counted(number: int, what: str) -> list[str]:
    return [f"{number:,} {what}{'' if number == 1 else 's'}"] if number else []
