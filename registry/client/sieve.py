"""The rows of a table as they go by: judged, counted, and what was decided of them written down."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.decisions import TableDecisions
from registry.client.formats import Rows
from registry.client.formats.ahead import ahead
from registry.client.judged import JudgedRows, MarkedRows, judge_marked, mark_rows
from registry.client.pictures import Hashers
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Verdict
from registry.errors import DatasetError
from registry.preference import Action

__all__ = ["Sieve", "require_no_fault"]


@dataclass(slots=True)
class Sieve:
    """Says of rows which stay; counts them, and writes down what was decided, if that is wanted.

    ``done`` is told of rows that are through, and how many of them go.
    """

    judges: Judges
    hashers: Hashers
    in_marks: bool
    done: Callable[[int, int], None]
    decisions: TableDecisions | None = None
    stop_on_error: bool = False
    tally: Tally = field(default_factory=Tally)
    notable: list[Verdict] = field(default_factory=list)

    @contextmanager
    def __call__(self, rows: Iterator[tuple[Rows, Any]]) -> Iterator[Iterator[tuple[NDArray[np.bool_], Any]]]:
        """Return which rows stay, ``bool[n]``, with what came beside them.

        Some are read and marked ahead of those that are looked up, and these of those that are written.
        Raises as :func:`registry.client.judged.judge_rows`, where they are taken.
        """
        with (
            ahead((self._marked(some), beside) for some, beside in rows) as marked,
            ahead((some.rows, self._judged(some), beside) for some, beside in marked) as judged,
        ):
            yield ((self._noted(some, one), beside) for some, one, beside in judged)

    def _marked(self, rows: Rows) -> MarkedRows:
        return mark_rows(rows, self.judges, in_marks=self.in_marks)

    def _judged(self, marked: MarkedRows) -> JudgedRows:
        return judge_marked(marked, self.judges, self.hashers)

    def _noted(self, rows: Rows, judged: JudgedRows) -> NDArray[np.bool_]:
        if self.stop_on_error:
            require_no_fault(judged.verdicts.values())
        self.tally.join(judged.tally)
        self.notable += judged.notable
        if self.decisions is not None:
            self.decisions.add(rows, judged)
        self.done(len(rows), len(rows) - int(judged.kept.sum()))
        return judged.kept


def require_no_fault(verdicts: Iterable[Verdict]) -> None:
    """Raise :class:`DatasetError` for the first sample that could not be checked or read."""
    for verdict in verdicts:
        if verdict.action is Action.ERROR:
            raise DatasetError(
                f"{verdict.sample.key}: {verdict.reason}; nothing was written",
                hint="Mend or remove it, or run with --on-error set-aside.",
            )
