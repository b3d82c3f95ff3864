"""The rows of a table, many at a time: only those are looked up in full of which something may be said.

A registry is first asked which keys of their addresses it knows at all (:mod:`registry.client.marking`). Of
nearly all rows it knows none: nobody has said anything about these, as of the event of that answer. The
others are judged as any sample is; so are all of them where a registry does not answer in marks, and where
the sites of the addresses are asked too.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.decisions import TableDecisions
from registry.client.formats import Rows
from registry.client.marking import mark_urls
from registry.client.pictures import Hashers
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Verdict, judge_all
from registry.decision import decide
from registry.errors import DatasetError
from registry.preference import Action, Status

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
        """Return which rows stay, ``bool[n]``. Raises as :func:`registry.client.verdicts.judge`."""
        asked, as_of_seq = self._spoken_of(rows)
        rules = self.judges.rules
        unspoken = decide((), rules.use, rules.mode)
        kept = np.full(len(rows), unspoken.action.stays)
        places = np.flatnonzero(asked).tolist()
        verdicts: dict[int, Verdict] = {}
        judged = judge_all(map(rows.sample, places), self.judges, self.hashers)
        for place, verdict in zip(places, (one for some in judged for one in some), strict=True):
            verdicts[place] = verdict
            kept[place] = verdict.action.stays
            self.tally.add(verdict)
            if verdict.action is not Action.KEEP or verdict.is_notable:
                self.notable.append(verdict)
        if self.stop_on_error:
            require_no_fault(verdicts.values())
        self.tally.add_unknown(len(rows) - len(places), unspoken.action, as_of_seq)
        if self.decisions is not None:
            told: dict[str, Any] = {
                "status": str(Status.OK),
                "action": str(unspoken.action),
                "preference": str(unspoken.preference),
                "use": str(rules.use),
                "reason": unspoken.reason,
                "as_of_seq": as_of_seq,
            }
            self.decisions.add(rows, kept, verdicts, told)
        return kept

    def _spoken_of(self, rows: Rows) -> tuple[NDArray[np.bool_], dict[str, int]]:
        """Return which rows are to be looked up in full, and as of when the others are unspoken of."""
        if not self.in_marks or self.judges.sites is not None:
            return np.ones(len(rows), np.bool_), {}
        places = [place for column in rows.urls for place, url in enumerate(column) if url]
        texts = [url for column in rows.urls for url in column if url]
        marking = mark_urls(texts, self.judges.registries)
        # A row without an address, and an address that is none, are told of by name.
        asked = np.bincount(places, minlength=len(rows)) == 0
        asked[np.asarray(places, np.int64)[marking.marked]] = True
        asked[[places[number] for number in marking.errors]] = True
        return asked, dict(marking.as_of_seq)


def require_no_fault(verdicts: Any) -> None:
    """Raise :class:`DatasetError` for the first sample that could not be checked or read."""
    for verdict in verdicts:
        if verdict.action is Action.ERROR:
            raise DatasetError(
                f"{verdict.sample.key}: {verdict.reason}; nothing was written",
                hint="Mend or remove it, or run with --on-error set-aside.",
            )
