"""Lance datasets opened and read as Arrow, a bounded number of rows at a time.

A Lance dataset is a folder of versions; deleted rows and older versions stay in its files. What is read is
the newest version, fragment by fragment, without its deleted rows. Columns of blobs are read as their bytes.
Nothing is fetched: a dataset whose data, or any of whose blobs, lie elsewhere is refused. Needs the extra
``[lance]``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from registry.client.formats.leaves import leaves_of
from registry.client.formats.parquet_entries import gathered, pyarrow_modules
from registry.errors import DatasetError, FormatError

__all__ = ["LanceFiles", "blob_columns", "is_lance", "lance_module", "named_errors"]

_BATCH_BYTES, _MOST_ROWS = 64 << 20, 16
"""Rows that are decoded together: few, since a value that the files hold once can fill any number of rows."""
_READ_AHEAD = 256 << 20
_EXTERNAL = 3
"""The kind of a blob that is only named by its address."""
_DESCRIBED = 4096


def is_lance(path: Path) -> bool:
    """Say whether a folder is a Lance dataset."""
    return (path / "_versions").is_dir()


def lance_module() -> Any:
    """Return ``lance``; raises :class:`FormatError` when it is not installed."""
    try:
        import lance
        import lance.fragment
    except ImportError as error:
        raise FormatError(
            "Lance datasets need pylance, which is not installed",
            hint="pip install 'caveat-registry[lance]'",
        ) from error
    return lance


def blob_columns(schema: Any) -> list[str]:
    """Return the columns of an Arrow schema whose values Lance keeps apart, as blobs of its second kind."""
    lance = lance_module()
    return [field.name for field in schema if isinstance(field.type, lance.blob.BlobType)]


@contextmanager
def named_errors(path: Path, what: str) -> Iterator[None]:
    """Give the errors of Lance the name of the dataset that cannot be ``what``: read, or written."""
    try:
        yield
    except (FormatError, DatasetError):
        raise
    except BaseException as error:
        # What panics in Lance is no Exception.
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        raise DatasetError(f"{path} cannot be {what} as a Lance dataset: {str(error)[:300]}") from error


class LanceFiles:
    """The Lance dataset in the folder ``path``, at its newest version or at another.

    ``data`` is the dataset of Lance, ``schema`` the Arrow schema of what is read of it. Raises
    :class:`DatasetError` for one that cannot be read, :class:`FormatError` for one of which not all lies in
    the folder.
    """

    def __init__(self, path: Path, version: int | None = None) -> None:
        self.path = path
        pyarrow_modules()
        lance = lance_module()
        with named_errors(self.path, "read"):
            self.data = lance.dataset(str(path.absolute()), version=version)
            elsewhere = [one.path for one in self.data.base_paths().values()]
            self.schema = self.data.scanner(blob_handling="all_binary").projected_schema
        if elsewhere:
            raise FormatError(
                f"{path} has its data elsewhere, in {elsewhere[0]}",
                hint="It is a shallow clone: make a whole one with deep_clone(), and filter that.",
            )
        self._require_readable()

    def batches(self, fragment: Any, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the rows of a fragment in their order, some 64 MB at a time; all columns for None.

        Raises :class:`DatasetError` for what cannot be read.
        """
        rows = self._rows_at_once(fragment, columns)
        scanner = self._scanner(
            columns, fragments=[fragment], batch_size=rows, batch_readahead=1, io_buffer_size=_READ_AHEAD
        )
        yield from gathered(self._stepped(scanner.to_batches()), rows)

    def values(self, column: str, row: int) -> list[Any]:
        """Return what a row, by its number, holds in a leaf column. Raises :class:`DatasetError`."""
        [leaf] = [one for one in leaves_of(self.schema) if one.name == column]
        with named_errors(self.path, "read"):
            table = self._scanner([leaf.top], offset=row, limit=1).to_table()
        found: list[Any] = []
        for batch in table.to_batches():
            found += leaf.values(batch)[0].to_pylist()
        return found

    def fragments(self) -> list[Any]:
        """Return its fragments, in the order of their rows."""
        with named_errors(self.path, "read"):
            return list(self.data.get_fragments())

    def _scanner(self, columns: Sequence[str] | None, **more: Any) -> Any:
        with named_errors(self.path, "read"):
            return self.data.scanner(
                columns=None if columns is None else list(columns),
                scan_in_order=True,
                fragment_readahead=1,
                blob_handling="all_binary",
                **more,
            )

    def _rows_at_once(self, fragment: Any, columns: Sequence[str] | None) -> int:
        """Return how many rows of a fragment are decoded together, by what its files hold of a row."""
        with named_errors(self.path, "read"):
            size = sum(one.file_size_bytes or 0 for one in fragment.data_files())
            mean = size // max(1, fragment.physical_rows)
        longest = max(int(mean), self._longest_blob(fragment, columns))
        return min(max(_BATCH_BYTES // max(1, longest), 1), _MOST_ROWS)

    def _longest_blob(self, fragment: Any, columns: Sequence[str] | None) -> int:
        """Return the size of the largest blob of a fragment; refuse those that lie elsewhere."""
        longest = 0
        for name in self._blobs() if columns is None else [one for one in self._blobs() if one in columns]:
            scanner = self.data.scanner(columns=[name], fragments=[fragment], batch_size=_DESCRIBED)
            for batch in self._stepped(scanner.to_batches()):
                told = batch.column(0).drop_null()
                kinds = [told.type.field(at).name for at in range(told.type.num_fields)]
                if "kind" in kinds and (np.asarray(told.field("kind")) == _EXTERNAL).any():
                    raise DatasetError(
                        f"{self.path}: blobs of the column {name} lie elsewhere, and nothing is fetched",
                        hint='Write it anew with external_blob_mode="ingest", and filter that.',
                    )
                longest = max(longest, *np.asarray(told.field("size")).tolist(), 0)
        return longest

    def _blobs(self) -> list[str]:
        old = [one.name for one in self.schema if (one.metadata or {}).get(b"lance-encoding:blob") == b"true"]
        return list(dict.fromkeys([*old, *blob_columns(self.data.schema)]))

    def _require_readable(self) -> None:
        """Raise :class:`FormatError` for old files, and for columns that are read as something else."""
        if self.data.data_storage_version in ("0.1", "legacy"):
            raise FormatError(
                f"{self.path} has files of Lance's first format, 0.1, which cannot be written again alike",
                hint="Write it anew in a later one: lance.write_dataset(old, new).",
            )
        blobs = blob_columns(self.data.schema)
        for own in self.data.schema:
            if own.name not in blobs and self.schema.field(own.name).type != own.type:
                raise FormatError(
                    f"{self.path}: the column {own.name} has blobs inside of it, which are not read here",
                    hint="Put the blobs into a column of their own.",
                )

    def _stepped(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            with named_errors(self.path, "read"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
