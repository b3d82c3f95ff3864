"""A run over tables looked at again. Its decisions have the rows that went, and a bit for each of all.

The keys of the rows that were kept stand in the output, so that is read: every row of it was kept, and each
is asked about once more. A registry first says which keys it knows at all, and only these rows are looked up
in full. Where the source is given it is read in place of the output, and the rows that were removed are asked
about too. A row that was set aside was never checked, and does not count. Nor do the removed rows of a run
that asked sites: what a site said is not asked again. Pictures in rows are hashed once more, since no
fingerprint of a kept row is written down.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry.client.formats import Rows, Sharded, Table, opened
from registry.client.formats.parquet_entries import opened_parquet
from registry.client.judged import JudgedRows, judge_rows
from registry.client.pictures import Hashers, default_workers
from registry.client.rechecked import Rechecked
from registry.client.run_file import Run
from registry.client.verdicts import Judges, Verdict
from registry.errors import DatasetError
from registry.preference import Action, Status

__all__ = ["kept_rows", "recheck_tables"]

_WHOLE = "00000"
"""Under which name the decisions on a single table are."""
_SUBSET = b"\x93NUMPY"
"""How a file of numpy begins, as DataComp subsets are."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked about rows, and how: ``tick`` is told how many are done."""

    judges: Judges
    in_marks: bool
    tick: Callable[[int], None]


def recheck_tables(found: Rechecked, run: Run, decisions: Path, asking: Asking) -> None:
    """Ask about the rows of ``found.read``, the output of a run or its source, and add what is found.

    ``decisions`` is the folder of the account. Raises :class:`DatasetError` when tables and decisions do not
    fit together, and as :func:`registry.client.judged.judge_rows`.
    """
    again = _Again(found, run, asking)
    with Hashers(default_workers()) as hashers:
        for one in _tables(found, run, decisions):
            for rows in one.table.rows():
                again.judge(one, rows, hashers)
                asking.tick(len(rows))
            one.require_all_read()


def kept_rows(target: Path, run: Run, decisions: Path) -> Iterator[tuple[int, str, Rows]]:
    """Yield the rows of the output of a run, with the number of their shard, from 1, and its name.

    The name ends with a slash, and is empty for a single table. Raises :class:`DatasetError` when the output
    is another than was decided on.
    """
    for number, one in enumerate(_tables(Rechecked(target), run, decisions), 1):
        for rows in one.table.rows():
            one.next(len(rows))
            yield number, one.name, rows
        one.require_all_read()


@dataclass(slots=True)
class _Decided:
    """A table and what was decided of its rows: ``then`` is an action a row, by its place in ``_ACTIONS``."""

    name: str
    place: Path
    table: Table
    then: NDArray[np.uint8]
    read: int = 0

    def next(self, count: int) -> NDArray[np.uint8]:
        """Return what was decided of the next ``count`` rows."""
        some = self.then[self.read : self.read + count]
        self.read += count
        if len(some) != count:
            raise _changed(self.place)
        return some

    def require_all_read(self) -> None:
        """Require that there was a row for each decision."""
        if self.read != len(self.then):
            raise _changed(self.place)


_ACTIONS = (Action.REMOVE, Action.KEEP, Action.ERROR)
_REMOVE, _KEEP, _ERROR = range(3)


def _changed(place: Path) -> DatasetError:
    return DatasetError(
        f"{place} does not have the rows that the decisions are about",
        hint="It has changed since it was filtered, or is another one: filter it again.",
    )


def _tables(found: Rechecked, run: Run, decisions: Path) -> Iterator[_Decided]:
    """Yield the tables that are read, each with what was decided of its rows."""
    place = found.read or found.target
    is_source = place != found.target
    if _is_subset(place):
        raise DatasetError(
            f"{place} is a subset, and does not have the keys of its rows",
            hint="Give what the run read: --source SRC.",
        )
    dataset = opened(place, run.format)
    if not isinstance(dataset, Sharded):
        if not isinstance(dataset, Table):
            raise DatasetError(f"{place} is no table")
        yield _Decided("", place, dataset, _decided(decisions / _WHOLE, place, is_source=is_source))
        return
    names = dataset.shards()
    _require_same(place, names, decisions, is_source=is_source)
    for name in names:
        table = dataset.shard(name)
        if not isinstance(table, Table):
            raise DatasetError(f"{place / name} is no table")
        then = _decided(decisions / name, place / name, is_source=is_source)
        yield _Decided(f"{name}/", place / name, table, then)


def _require_same(place: Path, names: list[str], decisions: Path, *, is_source: bool) -> None:
    """Require that the tables of a folder are those that were decided on; the output has no emptied ones."""
    decided = {
        one.relative_to(decisions).as_posix().removesuffix(".keep")
        for one in decisions.rglob("*.keep")
        if is_source or any(one.read_bytes())
    }
    for name in sorted(decided.symmetric_difference(names)):
        what = "is not there" if name in decided else "is not of this run"
        raise DatasetError(f"{place / name} {what}", hint="The folder has changed since: filter it again.")


def _is_subset(place: Path) -> bool:
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return file.read(len(_SUBSET)) == _SUBSET


def _decided(stem: Path, place: Path, *, is_source: bool) -> NDArray[np.uint8]:
    """Return what was decided of the rows of a table; of the output's, that they are kept."""
    bits, gone = (stem.with_name(f"{stem.name}{ending}") for ending in (".keep", ".parquet"))
    try:
        packed = np.frombuffer(bits.read_bytes(), np.uint8)
    except OSError as error:
        raise DatasetError(
            f"{place}: there are no decisions on it ({bits}: {error.strerror})",
            hint="It is not of this run: filter it again.",
        ) from error
    kept = np.unpackbits(packed)
    if not is_source:
        return np.full(int(kept.sum()), _KEEP, np.uint8)
    with opened_parquet(gone) as file:
        table = file.read(["row", "action"])
    rows = np.asarray(table["row"], np.int64)
    # The rows of a table are those that stay and those that went; what fills the last byte is neither.
    if not 0 <= len(packed) * 8 - int(kept.sum()) - len(rows) < 8 or (rows >= len(kept)).any():
        raise DatasetError(f"{bits} and {gone} do not fit together", hint="Filter the dataset again.")
    then = kept[: int(kept.sum()) + len(rows)]
    then[rows[np.array(table["action"].to_pylist()) == str(Action.ERROR)]] = _ERROR
    return then


@dataclass(frozen=True, slots=True)
class _Again:
    """Asks again about rows, and tells ``found``."""

    found: Rechecked
    run: Run
    asking: Asking

    def judge(self, decided: _Decided, rows: Rows, hashers: Hashers) -> None:
        """Judge some rows of a table, and take what is new of those that were decided by the registries."""
        then = decided.next(len(rows))
        counts = then == _KEEP
        if not self.run.sites_asked:
            counts |= then == _REMOVE
        now = judge_rows(rows, self.asking.judges, hashers, in_marks=self.asking.in_marks)
        self.found.asked += int(counts.sum())
        self.found.hold(now.as_of_seq)
        changed = np.flatnonzero(now.kept != (then == _KEEP)).tolist()
        for place in sorted({*changed, *now.verdicts}):
            if counts[place]:
                verdict = now.verdicts.get(place) or _unspoken(rows, place, now)
                sample = replace(verdict.sample, key=f"{decided.name}{verdict.sample.key}")
                self.found.add(_ACTIONS[then[place]], replace(verdict, sample=sample))


def _unspoken(rows: Rows, place: int, now: JudgedRows) -> Verdict:
    """Return the verdict on a row of which nobody has said anything."""
    sample, decision = next(rows.samples([place])), now.unspoken
    return Verdict(sample, Status.OK, decision.action, decision.reason, decision, as_of_seq=now.as_of_seq)
