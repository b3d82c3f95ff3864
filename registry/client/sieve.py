"""The rows of a table, many at a time: only those are looked up in full of which something may be said.

A registry is first asked which keys of their addresses it knows at all (:mod:`registry.client.marking`). Of
nearly all rows it knows none: nobody has said anything about these, as of the event of that answer. The
others are judged as any sample is; so are rows with a picture or a pHash, which no mark tells of, and all of
them where a registry does not answer in marks, and where the sites of the addresses are asked too.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.decisions import TableDecisions
from registry.client.formats import Rows
from registry.client.formats.base import Cells
from registry.client.marking import mark_files, mark_urls
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
        rules = self.judges.rules
        if not rules.review:
            # A pHash can ask for a review at most.
            rows = replace(rows, phashes=Cells())
        asked, as_of_seq = self._spoken_of(rows)
        unspoken = decide((), rules.use, rules.mode)
        kept = np.full(len(rows), unspoken.action.stays)
        places = np.flatnonzero(asked).tolist()
        verdicts = self._judged(rows, places)
        for place, verdict in verdicts.items():
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
        urls = mark_urls(rows.urls.values, self.judges.registries)
        files = mark_files(rows.files.values, self.judges.registries)
        # A row without a key, and an address that is none, are told of by name.
        asked = np.ones(len(rows), np.bool_)
        asked[rows.urls.of] = asked[rows.files.of] = False
        for of in (rows.phashes.of, rows.pictures.of, list(rows.faults)):
            asked[np.asarray(of, np.int64)] = True
        asked[rows.urls.of[urls.marked]] = True
        asked[rows.urls.of[list(urls.errors)]] = True
        asked[rows.files.of[files.marked]] = True
        told = (*urls.as_of_seq.items(), *files.as_of_seq.items())
        return asked, {url: min(seq for one, seq in told if one == url) for url, _ in told}

    def _judged(self, rows: Rows, places: list[int]) -> dict[int, Verdict]:
        """Return the verdicts on rows by their place: of several pictures in one the gravest holds."""
        verdicts: dict[int, Verdict] = {}
        for judged in judge_all(rows.samples(places), self.judges, self.hashers):
            for verdict in map(_bare, judged):
                place = int(verdict.sample.key) - rows.first
                before = verdicts.get(place)
                if before is None or _weight(verdict) > _weight(before):
                    verdicts[place] = verdict
        return verdicts


def _weight(verdict: Verdict) -> tuple[int, bool]:
    grave = (Action.KEEP, Action.REVIEW, Action.ERROR, Action.REMOVE)
    return grave.index(verdict.action), verdict.is_notable


def _bare(verdict: Verdict) -> Verdict:
    """Return a verdict that does not hold the bytes of its picture."""
    place = verdict.sample.place
    return verdict if place is None else replace(verdict, sample=replace(verdict.sample, place=place.bare))


def require_no_fault(verdicts: Any) -> None:
    """Raise :class:`DatasetError` for the first sample that could not be checked or read."""
    for verdict in verdicts:
        if verdict.action is Action.ERROR:
            raise DatasetError(
                f"{verdict.sample.key}: {verdict.reason}; nothing was written",
                hint="Mend or remove it, or run with --on-error set-aside.",
            )
