"""Rows that others hold, in Arrow, in a Dataset, in a stream: which of them stay.

Of rows that have addresses alone, the registries are first asked which keys they know at all, and only rows
of which they may know something are looked up in full. Rows with pictures are all looked up. A row stays if
everything in it does; one that could not be checked never stays. Nothing is asked about no row.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from registry.client.formats import Sample
from registry.client.formats.key_columns import Gathered
from registry.client.judged import JudgedRows, gravest, judge_rows
from registry.client.pictures import Hashers
from registry.client.place import Place
from registry.client.row_pictures import RowPicture, hash_picture, pictures_of
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Rules, Verdict, judge
from registry.decision import decide

__all__ = ["Columns", "RowJudge", "RowSummary", "judge_urls"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a row that are looked at: addresses, and pictures."""

    urls: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """Every one of them, once."""
        return list(dict.fromkeys((*self.urls, *self.images)))


@dataclass(slots=True, kw_only=True)
class RowSummary(Tally):
    """What became of the rows, by the count; ``columns`` are those that were looked at.

    ``notable`` are the verdicts of rows of which something was said or that could not be checked, in their
    order; it stays empty where these are handed out one by one.
    """

    rules: Rules
    registries: tuple[str, ...]
    columns: Columns = Columns()
    notable: list[Verdict] = field(default_factory=list)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "use": str(self.rules.use),
            "mode": str(self.rules.mode),
            "registries": list(self.registries),
            "url_columns": list(self.columns.urls),
            "image_columns": list(self.columns.images),
            **self.counted(),
        }


def judge_urls(columns: Sequence[Sequence[str | None]], judges: Judges, first: int = 0) -> JudgedRows:
    """Judge rows by the addresses in ``columns``, in which None stands for none; ``first`` is their number.

    Raises :class:`registry.errors.RegistryError` when a registry cannot be asked or is too old to say which
    keys it knows.
    """
    rows = Gathered(first, len(columns[0]))
    for column in columns:
        rows.urls(column)
    with Hashers(1) as hashers:
        return judge_rows(rows.rows(), judges, hashers)


_NOTHING = "the row has neither a picture nor a URL"


class RowJudge:
    """Judges rows column by column; ``workers`` processes hash their pictures, ended with the block.

    With one worker it is done here.
    """

    def __init__(self, judges: Judges, workers: int = 1) -> None:
        self._judges, self._hashers = judges, Hashers(workers)

    def __enter__(self) -> "RowJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._hashers.__exit__()

    def judge(self, values: Mapping[str, Sequence[Any]], columns: Columns, first: int) -> JudgedRows:
        """Judge rows by what stands in ``columns``; ``first`` is the number of the first of them.

        Raises as :func:`judge_urls`.
        """
        urls = [[_text(value) for value in values[name]] for name in columns.urls]
        if not columns.images:
            return judge_urls(urls, self._judges, first)
        rules = self._judges.rules
        pictures = [_in_row(values, columns.images, place, first) for place in range(_length(values))]
        verdicts = self._verdicts(urls, pictures, first)
        kept = np.array([one.action.stays for one in verdicts], np.bool_)
        return JudgedRows(kept, dict(enumerate(verdicts)), decide((), rules.use, rules.mode))

    def _verdicts(
        self, urls: Sequence[Sequence[str | None]], pictures: Sequence[Sequence[RowPicture]], first: int
    ) -> list[Verdict]:
        samples = []
        for place, own in enumerate(pictures):
            known = tuple(url for column in urls if (url := column[place]))
            samples += _samples(str(first + place), known, own)
        hashed = self._hashers.run(hash_picture, [one for own in pictures for one in own])
        by_key: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in judge(samples, hashed, self._judges):
            by_key[verdict.sample.key].append(verdict)
        return [gravest(by_key[str(first + place)]) for place in range(len(pictures))]


def _samples(key: str, urls: tuple[str, ...], pictures: Sequence[RowPicture]) -> list[Sample]:
    """Return a sample for each picture of a row, the first with its addresses; one at least."""
    fault = "" if urls or pictures else _NOTHING
    places: list[Place | None] = [one.place for one in pictures] or [None]
    given = [urls, *repeat((), len(places) - 1)]
    return [Sample(key, urls=u, fault=fault, place=place) for u, place in zip(given, places, strict=True)]


def _in_row(values: Mapping[str, Sequence[Any]], names: Sequence[str], place: int, first: int) -> Any:
    return [
        picture
        for name in names
        for picture in pictures_of(values[name][place], f"{name} of row {first + place}")
    ]


def _length(values: Mapping[str, Sequence[Any]]) -> int:
    return len(next(iter(values.values())))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
