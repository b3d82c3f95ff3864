"""The rows of a table as they go by: judged, counted, and what was decided of them written down."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from registry.client.decisions import TableDecisions
from registry.client.formats import Rows
from registry.client.judged import judge_rows
from registry.client.pictures import Hashers
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Verdict
from registry.errors import DatasetError
from registry.preference import Action

__all__ = ["Sieve", "require_no_fault"]


@dataclass(slots=True)
class Sieve:
    """Says of rows which stay; counts them, and writes down what was decided, if that is wanted."""

    judges: Judges
    hashers: Hashers
    in_marks: bool
    decisions: TableDecisions | None = None
    stop_on_error: bool = False
    tally: Tally = field(default_factory=Tally)
    notable: list[Verdict] = field(default_factory=list)

    def __call__(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which rows stay, ``bool[n]``. Raises as :func:`registry.client.judged.judge_rows`."""
        judged = judge_rows(rows, self.judges, self.hashers, in_marks=self.in_marks)
        if self.stop_on_error:
            require_no_fault(judged.verdicts.values())
        self.tally.join(judged.tally)
        self.notable += judged.notable
        if self.decisions is not None:
            self.decisions.add(rows, judged)
        return judged.kept


def require_no_fault(verdicts: Iterable[Verdict]) -> None:
    """Raise :class:`DatasetError` for the first sample that could not be checked or read."""
    for verdict in verdicts:
        if verdict.action is Action.ERROR:
            raise DatasetError(
                f"{verdict.sample.key}: {verdict.reason}; nothing was written",
                hint="Mend or remove it, or run with --on-error set-aside.",
            )
