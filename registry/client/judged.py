"""Rows, many at a time: only those are looked up in full of which something may be said.

A registry is first asked which keys of their addresses and files it knows at all
(:mod:`registry.client.marking`). Of nearly all rows it knows none: nobody has said anything about these, as
of the event of that answer. The others are judged as any sample is; so are rows with a picture or a pHash,
which no mark tells of, and all of them where the sites of the addresses are asked too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from registry.client.formats import Rows
from registry.client.formats.base import Cells
from registry.client.marking import mark_files, mark_urls
from registry.client.pictures import Hashers
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Verdict, judge_all
from registry.decision import Decision, decide
from registry.preference import Action

__all__ = ["JudgedRows", "MarkedRows", "gravest", "judge_marked", "judge_rows", "mark_rows"]

_GRAVE = (Action.KEEP, Action.REVIEW, Action.ERROR, Action.REMOVE)


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """What became of some rows: ``kept: bool[n]``.

    ``verdicts`` are by place, from 0, of every row that was looked up in full; ``unspoken`` is what follows
    for all others, of which nobody had said anything as of the events in ``as_of_seq``.
    """

    kept: NDArray[np.bool_]
    verdicts: Mapping[int, Verdict]
    unspoken: Decision
    as_of_seq: Mapping[str, int] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        """The rows, counted."""
        tally = Tally()
        for verdict in self.verdicts.values():
            tally.add(verdict)
        tally.add_unknown(len(self.kept) - len(self.verdicts), self.unspoken.action, self.as_of_seq)
        return tally

    @property
    def notable(self) -> list[Verdict]:
        """The verdicts on rows of which something was said, or that could not be checked."""
        return [one for _, one in sorted(self.verdicts.items()) if one.is_notable]

    def reasons(self) -> list[str | None]:
        """Return a sentence for each row that goes, None for each that stays."""
        return [None if kept else self._reason(place) for place, kept in enumerate(self.kept.tolist())]

    def _reason(self, place: int) -> str:
        verdict = self.verdicts.get(place)
        return self.unspoken.reason if verdict is None else verdict.reason


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """Rows of which it is known which are to be looked up in full, ``asked: bool[n]``.

    Of the others nobody had said anything as of the events in ``as_of_seq``.
    """

    rows: Rows
    asked: NDArray[np.bool_]
    as_of_seq: Mapping[str, int]


def judge_rows(rows: Rows, judges: Judges, hashers: Hashers, *, in_marks: bool = True) -> JudgedRows:
    """Judge rows in one go; raises as :func:`mark_rows` and :func:`judge_marked`."""
    return judge_marked(mark_rows(rows, judges, in_marks=in_marks), judges, hashers)


def mark_rows(rows: Rows, judges: Judges, *, in_marks: bool = True) -> MarkedRows:
    """Ask which rows anything may be said of; without ``in_marks`` all are to be looked up in full.

    That is for registries that know no marks. Raises as :func:`registry.client.marking.mark_urls`.
    """
    if not judges.rules.review:
        # A pHash can ask for a review at most.
        rows = replace(rows, phashes=Cells())
    return MarkedRows(rows, *_spoken_of(rows, judges, in_marks=in_marks))


def judge_marked(marked: MarkedRows, judges: Judges, hashers: Hashers) -> JudgedRows:
    """Judge rows that are marked. Raises as :func:`registry.client.verdicts.judge`."""
    unspoken = decide((), judges.rules.use, judges.rules.mode)
    kept = np.full(len(marked.rows), unspoken.action.stays)
    verdicts = _judged(marked.rows, np.flatnonzero(marked.asked).tolist(), judges, hashers)
    for place, verdict in verdicts.items():
        kept[place] = verdict.action.stays
    return JudgedRows(kept, verdicts, unspoken, marked.as_of_seq)


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on a row with several pictures: the gravest, and of equal ones the first notable."""
    return max(verdicts, key=lambda one: (_GRAVE.index(one.action), one.is_notable))


def _spoken_of(rows: Rows, judges: Judges, *, in_marks: bool) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which rows are to be looked up in full, and as of when the others are unspoken of."""
    if not in_marks or judges.sites is not None or not len(rows):
        return np.ones(len(rows), np.bool_), {}
    urls = mark_urls(rows.urls.values, judges.registries)
    files = mark_files(rows.files.values, judges.registries)
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


def _judged(rows: Rows, places: list[int], judges: Judges, hashers: Hashers) -> dict[int, Verdict]:
    """Return the verdicts on the rows at ``places``, by place."""
    found: dict[int, list[Verdict]] = {place: [] for place in places}
    for judged in judge_all(rows.samples(places), judges, hashers):
        for verdict in judged:
            found[int(verdict.sample.key) - rows.first].append(_bare(verdict))
    # A row without any verdict is an error here: it must not pass for one that nobody has spoken of.
    return {place: gravest(verdicts) for place, verdicts in found.items()}


def _bare(verdict: Verdict) -> Verdict:
    """Return a verdict that does not hold the bytes of its picture."""
    place = verdict.sample.place
    return verdict if place is None else replace(verdict, sample=replace(verdict.sample, place=place.bare))
