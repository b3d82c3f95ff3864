"""A sharded run in the making: what stands of it beside its target, until all of it does.

``.DST.partial`` is the output, ``.DST.caveat.partial`` the account, with the settings of the run and a report
of each shard that is done. Whoever runs with the same settings goes on from there; several may at once.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from registry.client.formats import Sharded
from registry.client.formats.files import appear, move_files, remove, sync_tree, write_synced
from registry.client.noted import Notes, write_notes
from registry.client.sharding import (
    NOTES,
    WRITING,
    Destination,
    ShardReport,
    load_report,
)
from registry.client.stores import Address
from registry.errors import DatasetError, InputError
from registry.jsontext import strict_json

__all__ = [
    "SETTINGS",
    "Making",
    "account_folder",
    "gone_from",
    "require_same",
    "settings_text",
    "write_names",
]

SETTINGS = "settings.json"
"""The settings of a run, below its account."""

_REST = ".beside"
_APART = ".decisions"
"""The decisions of each shard, from when they are put together until the run appears."""


@overload
def account_folder(target: Path) -> Path: ...


@overload
def account_folder(target: Address) -> Address: ...


def account_folder(target: Path | Address) -> Path | Address:
    """Return the place beside ``target`` that tells what was done."""
    return target.with_name(f"{target.name}.caveat")


def write_names(account: Path, names: Iterable[str]) -> None:
    """Write the names of the shards in the output."""
    (account / "shards.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


def gone_from(*reports: ShardReport) -> list[str]:
    """Return what texts beside the shards must not name: shards that are not written, and samples that go."""
    names = [report.shard for report in reports if report.shard and not report.kept]
    return [*names, *(one.sample.key for report in reports for one in report.notable if not one.action.stays)]


class Making:
    """The run whose output is to be ``target``."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.output = target.with_name(f".{target.name}.partial")
        self.account = target.with_name(f".{target.name}.caveat.partial")

    def begin(self, settings: Mapping[str, Any], dataset: Sharded, *, resume: bool) -> dict[str, ShardReport]:
        """Begin, or go on; returns the reports of the shards that are done and have not changed since.

        Raises :class:`DatasetError` when an earlier run had other settings.
        """
        if not resume:
            self.drop()
        path, reports = self.account / SETTINGS, self.account / "shards"
        if path.exists():
            require_same(path.read_bytes(), settings, path, self.account)
        elif reports.exists():
            # It was about to appear, and nobody knows any more with which settings.
            self.drop()
        self._take_apart()
        for folder in (self.output, self.account):
            folder.mkdir(parents=True, exist_ok=True)
        write_synced(path, settings_text(settings))
        done = {}
        for name in dataset.shards():
            report = load_report(self.account, name)
            unchanged = report is not None and report.state == [list(one) for one in dataset.state(name)]
            if report is not None and unchanged and self._has_decisions(name):
                done[name] = report
        return done

    def _take_apart(self) -> None:
        """Undo what an end did that was cut short: what is not of the shards is made again."""
        if (apart := self.account / _APART).exists():
            move_files(apart, self.account / "decisions")
        for one in self.account.iterdir() if self.account.exists() else ():
            if one.name not in (SETTINGS, WRITING, "decisions", "shards"):
                remove(one)

    def _has_decisions(self, shard: str) -> bool:
        """Say whether the decisions on a shard stand by themselves, as they do until the end."""
        stem = self.account / "decisions" / shard
        return any(stem.with_name(f"{stem.name}{ending}").exists() for ending in (".jsonl", ".parquet"))

    def drop(self) -> None:
        """Delete what an earlier run has left."""
        remove(self.output)
        remove(self.account)

    @property
    def places(self) -> tuple[Path, Path]:
        """Where shards are written: output and account."""
        return self.output, self.account

    @property
    def rest(self) -> Destination:
        """Where what lies beside the shards is written."""
        return Destination(self.account / WRITING / _REST, self.account / _REST)

    def notes(self, reports: Iterable[ShardReport]) -> Notes:
        """Return the notable verdicts of these shards."""
        notes = Notes()
        for report in reports:
            notes.add(self.account / "shards" / f"{report.shard}{NOTES}")
        return notes

    def end(self, reports: Sequence[ShardReport], rest: ShardReport, notes: Notes) -> None:
        """Put the decisions together, and those on what lies beside the shards, ``rest``, with them.

        Until :meth:`appear` another run can still go on from the shards.
        """
        path = self.account / "shards" / f"{_REST}{NOTES}"
        write_notes(path, rest.notable)
        rest.notable = []
        notes.add(path)
        made, beside = self.rest, self.account / f"{_REST}.jsonl"
        self._sweep({name for report in reports if report.written for name, *_ in report.state})
        if made.output.exists():
            sync_tree(made.output)
            move_files(made.output, self.output)
        lines = [self.account / "decisions" / f"{report.shard}.jsonl" for report in reports]
        whole = [one for one in (*lines, beside) if one.exists() and one.stat().st_size]
        if whole:
            with (self.account / "decisions.jsonl").open("wb") as out:
                for one in whole:
                    with one.open("rb") as read:
                        shutil.copyfileobj(read, out)
        remove(beside)
        remove(self.account / WRITING)
        # They are together now; a run that is cut short before it appears goes on from them.
        for one in filter(Path.exists, lines):
            kept = self.account / _APART / one.relative_to(self.account / "decisions")
            kept.parent.mkdir(parents=True, exist_ok=True)
            one.rename(kept)
        if not any(one.is_file() for one in (self.account / "decisions").rglob("*")):
            remove(self.account / "decisions")

    def _sweep(self, names: Collection[str]) -> None:
        """Delete from the output what is of no shard: of one that has gone, or of an end that failed."""
        for path in [path for path in self.output.rglob("*") if not path.is_dir()]:
            if path.relative_to(self.output).as_posix() not in names:
                path.unlink()

    def appear(self, notes: Notes, told: Mapping[str, Any]) -> None:
        """Make output and account the target and its account, whichever are there."""
        account = account_folder(self._target)
        remove(self.account / _APART)
        remove(self.account / SETTINGS)
        appear((self.account, self.output), (account, self._target))
        notes.moved(self.account, account)


def settings_text(settings: Mapping[str, Any]) -> bytes:
    """Return the text of the settings of a run."""
    return json.dumps(settings, ensure_ascii=False, indent=1).encode() + b"\n"


def require_same(text: bytes, settings: Mapping[str, Any], path: object, account: object) -> None:
    """Raise :class:`DatasetError` unless the settings read at ``path`` are those of this run too."""
    try:
        before = strict_json(text)
        other = [name for name in settings if before[name] != settings[name]]
    except (InputError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be read: {error!r}", hint=_ANEW) from error
    if other:
        raise DatasetError(
            f"{account} is of a run with another {other[0]}: "
            f"{before[other[0]]!r}, and now {settings[other[0]]!r}",
            hint=f"Give what was given then. {_ANEW}",
        )


_ANEW = "With --no-resume what stands of the earlier run is deleted."
