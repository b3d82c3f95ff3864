"""Tables whose rows come as batches of Arrow columns: what Parquet and Lance have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from registry.client.formats.arrow_columns import ArrowColumns
from registry.client.formats.base import Rows, Sample

__all__ = ["ArrowTable"]


class ArrowTable(ABC):
    """A table read in batches; a subclass sets ``_columns``, and yields the batches of some columns."""

    _columns: ArrowColumns

    @property
    def may_hold_pictures(self) -> bool:
        """Whether any column can have pictures in it."""
        return self._columns.may_hold_pictures

    def samples(self) -> Iterator[Sample]:
        """Yield each row, numbered from 0; one with several pictures several times."""
        for rows in self.rows():
            yield from rows.samples()

    def rows(self) -> Iterator[Rows]:
        """Yield the rows, some at a time: those that go together are at most some 64 MB."""
        for rows, _ in self._numbered(self._batches(self._columns.names)):
            yield rows

    def _first(self, columns: Sequence[str]) -> Any:
        return next(self._batches(columns), None)

    def _numbered(self, batches: Iterator[Any], first: int = 0) -> Iterator[tuple[Rows, Any]]:
        """Yield what each batch has to ask about, and the batch; ``first`` is the number of the first row."""
        for batch in batches:
            yield self._columns.rows(first, batch), batch
            first += batch.num_rows

    @abstractmethod
    def _batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield the record batches of the columns, in the order of the rows."""
