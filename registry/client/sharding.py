"""One part of a dataset, from reading to writing: what engines call, in this process or in another.

A part is a shard of a folder, what lies beside its shards, or a whole dataset that has none. What is written
of a shard appears whole: it is made in a folder of its own, synced, and moved; its report comes last, and a
shard counts when that is there.
"""

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from registry.client.away import moved
from registry.client.collecting import rarely_collected
from registry.client.decisions import TableDecisions, write_lines
from registry.client.formats import Format, Plan, Sample, Sharded, Table, opened
from registry.client.formats.files import move_files, remove, sync_tree, write_synced
from registry.client.noted import write_notes
from registry.client.pictures import Hashers
from registry.client.run_tickets import RunTickets, keeping
from registry.client.sieve import Sieve, require_no_fault
from registry.client.stores import Address
from registry.client.tally import Tally
from registry.client.verdicts import Judges, Verdict, judge_all, with_others
from registry.errors import DatasetError, InputError, ProofError
from registry.jsontext import strict_json

__all__ = [
    "NOTES",
    "WRITING",
    "Destination",
    "Progress",
    "ShardReport",
    "ShardSpec",
    "load_report",
    "parse_report",
    "process_here",
    "process_shard",
]

NOTES = ".jsonl"
WRITING = "writing"
"""The folder in which shards are made; what is in it counts for nothing."""

_REPORT = ".json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where to tell how far a run is.

    ``begin`` is given the dataset and how many steps there will be, if that is known; ``tick`` is called for
    each picture that was hashed, ``done`` with a number of further steps, and how many samples went since. A
    step is a sample, or where shards are filtered by several processes a shard. ``confirm`` is asked before
    anything appears; when it says no, nothing does.
    """

    begin: Callable[[Any, int | None], None] = lambda *_: None
    tick: Callable[[], None] = lambda: None
    done: Callable[[int, int], None] = lambda *_: None
    confirm: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """A shard and what becomes of it: ``shard`` is its name below ``source``.

    ``output`` and ``account`` are the folders of the run in the making, None when nothing is to be written.
    Where ``rewrites`` is false, tables are not written again, and only what was decided of their rows is.
    Of a shard at an object store ``state`` tells its objects as they were listed; while it is on this machine
    ``called`` is its source in all that is told, and ``sha256s`` are the digests of its files, by name.
    ``work`` is a folder for what is fetched. Where ``keeps_tickets``, what is asked is to be countersigned.
    """

    source: Path | Address
    format: str
    shard: str
    output: Path | Address | None
    account: Path | Address | None
    in_marks: bool = False
    stop_on_error: bool = False
    rewrites: bool = True
    state: tuple[tuple[str, int, str], ...] = ()
    called: str = ""
    work: Path | None = None
    keeps_tickets: bool = False
    sha256s: tuple[tuple[str, str], ...] = ()

    def said(self, text: str) -> str:
        """Return a text as it is told: with the source's own address in it."""
        return text.replace(str(self.source), self.called) if self.called else text


@dataclass(slots=True, kw_only=True)
class ShardReport(Tally):
    """What became of a part: ``state`` tells its files, as they were; ``left_out`` what does not come along.

    ``written`` says whether anything of a shard is left; ``notable`` are verdicts for the report, empty where
    they were written down; ``objects`` tells each object that was put up for it, where that is at a store;
    ``tickets`` prove what was asked about it.
    """

    shard: str = ""
    state: list[list[Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    shards: tuple[str, ...] = ()
    written: bool = False
    notable: list[Verdict] = field(default_factory=list)
    tickets: RunTickets = field(default_factory=RunTickets)
    objects: list[dict[str, Any]] = field(default_factory=list)
    input: dict[str, str] = field(default_factory=dict)
    gone: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the text of ``shards/NAME.json``."""
        wire = {
            "shard": self.shard,
            "state": self.state,
            "counts": dict(self.counts),
            "reasons": dict(self.reasons),
            "kept": self.kept,
            "as_of_seq": self.as_of_seq,
            "left_out": self.left_out,
            "written": self.written,
            "tickets": self.tickets.to_wire(),
        }
        at_store = {"objects": self.objects, "input": self.input, "gone": self.gone}
        wire |= {name: value for name, value in at_store.items() if value}
        return json.dumps(wire, ensure_ascii=False, indent=1).encode() + b"\n"


def load_report(account: Path, shard: str) -> ShardReport | None:
    """Return what an earlier run reported of a shard, None when it has not ended it.

    Raises :class:`DatasetError` for a report that cannot be read.
    """
    path = account / "shards" / f"{shard}{_REPORT}"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_report(path, error) from error
    return parse_report(text, path)


def parse_report(text: bytes, place: object) -> ShardReport:
    """Return the report whose text was read at ``place``.

    Raises :class:`DatasetError` for what is none.
    """
    try:
        wire = strict_json(text)
        report = ShardReport(shard=wire["shard"], state=wire["state"], left_out=wire["left_out"])
        report.counts.update(wire["counts"])
        report.reasons.update(wire["reasons"])
        report.kept, report.as_of_seq = wire["kept"], wire["as_of_seq"]
        report.written, report.objects = wire["written"], wire.get("objects", [])
        report.tickets = RunTickets.from_wire(wire["tickets"])
        report.input = {str(name): str(sha256) for name, sha256 in wire.get("input", {}).items()}
        gone = wire.get("gone", {}).items()
        report.gone = {of: {str(name): int(n) for name, n in counts.items()} for of, counts in gone}
    except (InputError, ProofError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_report(place, error) from error
    return report


def _no_report(place: object, error: Exception) -> DatasetError:
    return DatasetError(f"{place} cannot be read: {error!r}", hint="Begin anew with --no-resume.")


@rarely_collected()
def process_shard(
    spec: ShardSpec,
    judges: Judges,
    hashers: Hashers | None = None,
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> ShardReport:
    """Filter one shard and write what is left of it, its decisions, and last its report.

    Raises :class:`DatasetError`, and :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    source, account = _on_this_machine(spec)
    folder = opened(source, spec.format)
    if not isinstance(folder, Sharded):
        raise DatasetError(f"{spec.source} is not made of shards")
    state = [list(one) for one in spec.state or folder.state(spec.shard)]
    with nullcontext(hashers) if hashers is not None else Hashers(1) as hashing:
        run = _Run(judges, hashing, spec, progress)
        try:
            report = _processed(folder.shard(spec.shard), run, state)
        except DatasetError as error:
            if spec.stop_on_error:
                raise
            report = _processed(_Unreadable(spec.shard, error.message), run, state)
    report.shard, report.state, report.written = spec.shard, state, bool(report.kept)
    report.input = dict(spec.sha256s)
    if account is not None:
        write_synced(account / "shards" / f"{spec.shard}{_REPORT}", report.to_json())
    return report


def _on_this_machine(spec: ShardSpec) -> tuple[Path, Path | None]:
    """Return source and account of a shard, which are folders here."""
    if isinstance(spec.source, Address) or isinstance(spec.account, Address):
        raise DatasetError(f"{spec.source} is at an object store, and was not fetched")
    return spec.source, spec.account


class _Unreadable:
    """A shard that cannot be read: one sample, which is set aside."""

    name = why = "unreadable"
    size = 1

    def __init__(self, shard: str, fault: str) -> None:
        self._sample = Sample(shard, fault=f"{fault}, so the whole shard is set aside")

    def samples(self) -> Iterator[Sample]:
        yield self._sample

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        return Plan(dropped)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        raise AssertionError("nothing of it is kept")


@rarely_collected()
def process_here(
    part: Format | Table,
    judges: Judges,
    spec: ShardSpec,
    progress: Progress,
    workers: int | Hashers,
    there: "Destination | None" = None,
) -> ShardReport:
    """Filter a whole dataset, or what lies beside shards, in this process; ``workers`` hash its pictures.

    Raises as :func:`process_shard`.
    """
    with Hashers(workers) if isinstance(workers, int) else nullcontext(workers) as hashers:
        return _process(part, _Run(judges, hashers, spec, progress), there)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where what is left of a part is written, and its decisions.

    These get an ending: ``.jsonl`` on files, ``.parquet`` and ``.keep`` on tables.
    """

    output: Path
    decisions: Path


@dataclass(frozen=True, slots=True)
class _Run:
    """With what a part is filtered."""

    judges: Judges
    hashers: Hashers
    spec: ShardSpec
    progress: Progress


def _processed(part: Format | Table, run: _Run, state: Sequence[Sequence[Any]]) -> ShardReport:
    """Filter a shard aside, and move what is left of it, its decisions and notes to their places."""
    shard, output, account = run.spec.shard, run.spec.output, run.spec.account
    if not isinstance(output, Path) or not isinstance(account, Path):
        return _process(part, run, None)
    # Whoever else is at this shard, on this machine or another, makes it in a folder of its own.
    making = account / WRITING / f"{platform.node()}-{os.getpid()}"
    remove(making)
    made = Destination(making / "output", making / "account" / "decisions" / shard)
    made.output.mkdir(parents=True)
    place = made.output / shard if isinstance(part, Table) else made.output
    place.parent.mkdir(parents=True, exist_ok=True)
    report = _process(part, run, replace(made, output=place))
    notes = making / "account" / "shards" / f"{shard}{NOTES}"
    notes.parent.mkdir(parents=True, exist_ok=True)
    write_notes(notes, report.notable)
    report.notable = []
    sync_tree(making)
    if not report.kept:
        remove(made.output)
        made.output.mkdir()
    # What an earlier run wrote of this shard, and this one does not, must not stay.
    for name, *_ in state:
        if not (made.output / name).exists():
            remove(output / name)
    move_files(made.output, output)
    move_files(making / "account", account)
    remove(making)
    return report


def _process(part: Format | Table, run: _Run, there: Destination | None) -> ShardReport:
    process = partial(_process_table, part) if isinstance(part, Table) else partial(_process_files, part)
    with keeping(run.judges.registries, wanted=run.spec.keeps_tickets) as tickets:
        report = process(run, there)
    report.tickets = tickets
    source = run.spec.source
    if run.spec.called and isinstance(source, Path):
        report.notable = [moved(one, source, run.spec.called) for one in report.notable]
    return report


def _process_table(part: Table, run: _Run, there: Destination | None) -> ShardReport:
    spec, done = run.spec, run.progress.done
    sieve = Sieve(run.judges, run.hashers, spec.in_marks, done, stop_on_error=spec.stop_on_error)
    if there is None:
        part.rewrite(None, sieve)
    else:
        with TableDecisions(there.decisions) as sieve.decisions:
            part.rewrite(there.output if spec.rewrites else None, sieve)
    report = ShardReport(notable=sieve.notable)
    report.join(sieve.tally)
    return report


def _process_files(part: Format, run: _Run, there: Destination | None) -> ShardReport:
    verdicts: list[Verdict] = []
    samples = (replace(one, fault=run.spec.said(one.fault)) if one.fault else one for one in part.samples())
    for judged in judge_all(samples, run.judges, run.hashers, run.progress.tick):
        if run.spec.stop_on_error:
            require_no_fault(judged)
        verdicts += judged
        plain = sum(verdict.sample.path is None for verdict in judged)
        run.progress.done(plain, sum(not verdict.action.stays for verdict in judged))
    plan = part.plan({v.sample.key: v.reason for v in verdicts if not v.action.stays})
    verdicts = [with_others(verdict, plan.gone) for verdict in verdicts]
    report = _told(verdicts, plan)
    if there is not None:
        # Beside shards there may be no sample, and texts that come along.
        if report.kept or not verdicts:
            part.write(there.output, plan, _digests(verdicts))
        there.decisions.parent.mkdir(parents=True, exist_ok=True)
        write_lines(there.decisions.with_name(f"{there.decisions.name}.jsonl"), verdicts)
    return report


def _told(verdicts: Iterable[Verdict], plan: Plan) -> ShardReport:
    report = ShardReport(left_out=dict(plan.left_out), shards=tuple(plan.shards))
    for verdict in verdicts:
        report.add(verdict)
        if verdict.is_notable:
            report.notable.append(verdict)
    return report


def _digests(verdicts: Iterable[Verdict]) -> Mapping[str, bytes]:
    return {v.sample.key: v.fingerprint.sha256 for v in verdicts if v.fingerprint and v.fingerprint.sha256}
