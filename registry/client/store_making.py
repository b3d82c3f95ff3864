"""A run whose output is at an object store, where nothing can be renamed.

What is put below ``DST`` and ``DST.caveat`` counts by what is written after it: a shard by its report, which
names size, SHA-256 and version of its objects, and the run by ``run.json``, which is written last. Until that
is there ``DST`` is not complete. ``settings.json`` comes first: who runs with the same ones goes on from the
shards that count, and several may at once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.client.contents import BESIDE
from registry.client.formats import Sharded
from registry.client.formats.files import move_files
from registry.client.formats.folder import walk
from registry.client.making import SETTINGS, account_folder, require_same, settings_text
from registry.client.noted import Notes, write_notes
from registry.client.sharding import NOTES, Destination, ShardReport, parse_report
from registry.client.staging import OUTPUT, decisions_of, manifest_of
from registry.client.stores import Address, Found, create, delete, fetch, listed, put, read, read_all
from registry.client.workplace import Workplace
from registry.errors import DatasetError

__all__ = ["RUN", "StoreMaking", "not_whole"]

RUN = "run.json"
"""What tells that a run has ended, below its account."""


class StoreMaking:
    """The run whose output is to be the objects below ``target``.

    ``output`` and ``account`` are folders on this machine, for what the end of the run makes.
    """

    def __init__(self, target: Address, work: Workplace) -> None:
        self.places = (target, account_folder(target))
        self._work = work
        self.output, self.account = work.path / "output", work.path / "account"
        self._reports: list[ShardReport] = []

    def begin(self, settings: Mapping[str, Any], dataset: Sharded, *, resume: bool) -> dict[str, ShardReport]:
        """Begin, or go on; returns the reports of the shards that count and have not changed since.

        Raises :class:`DatasetError` when the target is of a run that has ended, of one with other settings,
        or of none, and :class:`registry.errors.StoreError`.
        """
        target, account = self.places
        there = listed(account)
        if RUN in there:
            raise DatasetError(
                f"{target} is there already: {account / RUN} tells of a run that has ended",
                hint=f"Give another output, or delete what is below {target} and {account}.",
            )
        if SETTINGS not in there and (there or listed(target)):
            raise DatasetError(
                f"{target} is there already, or {account}, and no run of this program is under way in it",
                hint="Give another output: a prefix below which there is nothing.",
            )
        if SETTINGS in there and not resume:
            self._drop()
        text = settings_text(settings)
        # What is there is read first: not every store can write on a condition.
        goes_on = SETTINGS in there and resume
        found = read(account / SETTINGS) if goes_on else create(account / SETTINGS, text)
        if found != text:
            require_same(found, settings, account / SETTINGS, account)
        return self._done(dataset)

    def notes(self, reports: Iterable[ShardReport]) -> Notes:
        """Return the notable verdicts of these shards, fetched."""
        notes, account = Notes(), self.places[1]
        notes.holds = self._work
        there = listed(account)
        for report in reports:
            name = f"shards/{report.shard}{NOTES}"
            if name not in there:
                raise not_whole(account / name)
            fetch(account, there[name], self.account / name)
            notes.add(self.account / name)
        return notes

    @property
    def rest(self) -> Destination:
        """Where what lies beside the shards is made."""
        return Destination(self._work.path / "rest", self.account / "decisions" / BESIDE)

    def end(self, reports: Sequence[ShardReport], rest: ShardReport, notes: Notes) -> None:
        """Keep the notes on what lies beside the shards; decisions stay a file a shard."""
        self._reports = list(reports)
        path = self.account / f"{BESIDE}{NOTES}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_notes(path, rest.notable)
        rest.notable = []
        notes.add(path)
        decisions = self.account / decisions_of(BESIDE)
        if not decisions.stat().st_size:
            decisions.unlink()
        if self.rest.output.exists():
            move_files(self.rest.output, self.output)

    def appear(self, notes: Notes, told: Mapping[str, Any]) -> None:
        """Put what the end has made, and last ``told``, by which the run counts; without an account nothing.

        Raises :class:`DatasetError` when the objects of a shard are not those that its report names.
        """
        target, account = self.places
        if not self.account.exists():
            self._drop()
            return
        self._require_whole()
        fetched = {f"shards/{report.shard}{NOTES}" for report in self._reports}
        for name in walk(self.output) if self.output.exists() else ():
            put(self.output / name, target / name)
        for name in walk(self.account):
            if name not in fetched:
                put(self.account / name, account / name)
        end = self._work.path / RUN
        end.write_bytes(json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n")
        put(end, account / RUN)

    def _done(self, dataset: Sharded) -> dict[str, ShardReport]:
        target, account = self.places
        there = listed(account)
        names = [name for name in dataset.shards() if manifest_of(name) in there]
        texts = read_all([account / manifest_of(name) for name in names])
        output, done = listed(target), {}
        for name in names:
            place = account / manifest_of(name)
            report = parse_report(texts[place], place)
            unchanged = report.state == [list(one) for one in dataset.state(name)]
            if unchanged and _lacking(report, output, there) is None:
                done[name] = report
        return done

    def _require_whole(self) -> None:
        """Require that what was put for each shard is there, and delete what is of none."""
        target, account = self.places
        output, told = listed(target), listed(account)
        wanted: tuple[set[str], set[str]] = (set(), {SETTINGS})
        for report in self._reports:
            if (lacking := _lacking(report, output, told)) is not None:
                raise not_whole(lacking)
            wanted[1].add(manifest_of(report.shard))
            for one in report.objects:
                wanted[one["of"] != OUTPUT].add(one["name"])
        delete([target / name for name in output.keys() - wanted[0]])
        delete([account / name for name in told.keys() - wanted[1]])

    def _drop(self) -> None:
        """Delete what was put; what makes it count goes first, and what says whose it is last."""
        target, account = self.places
        told = listed(account)
        reports = [name for name in told if name.startswith("shards/") and name.endswith(".json")]
        delete([account / name for name in reports])
        delete([target / name for name in listed(target)])
        delete([account / name for name in told if name not in (*reports, SETTINGS)])
        delete([account / SETTINGS])


def _lacking(report: ShardReport, output: Mapping[str, Found], told: Mapping[str, Found]) -> str | None:
    """Return the first object of a shard that is not as its report has it; None when it is whole."""
    if not report.objects:
        return report.shard
    for one in report.objects:
        there = (output if one["of"] == OUTPUT else told).get(one["name"])
        if there is None or (there.size, there.mark) != (one["size"], one["version"]):
            return str(one["name"])
    return None


def not_whole(name: object) -> DatasetError:
    """Return the error for an object that is not what the report of its shard says."""
    return DatasetError(
        f"{name} is not what its shard's report says; something else writes to the output",
        hint="Run the same command again: the shard is filtered anew. Let no other job still be at it.",
    )
