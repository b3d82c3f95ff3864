"""The filter in place: what goes is moved out of the source itself, into a folder elsewhere.

For folders of pictures only. Everything is judged and planned first, and the account is complete, before
anything moves; then a journal is written (:mod:`registry.client.moving`), and what it names is moved. After
the run the source holds what a copy of it would hold: besides what was removed or set aside, captions, caches
and hidden files go too, and lists lose their rows; the old ones are kept in the quarantine. Files of version
control stay, and their history may hold what went.

Until the moves have begun nothing has changed; from then on the same command finishes them. When nothing
would stay, nothing is moved.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from registry.client.filtering import Options
from registry.client.formats import Plan, Sample, detect
from registry.client.formats.downloaded import Downloaded
from registry.client.formats.files import appear, changed, remove
from registry.client.formats.folder import PictureFolder
from registry.client.hash_journal import hashers_for, journal_of
from registry.client.making import account_folder
from registry.client.moving import FOLDER, Journal
from registry.client.noted import Notes, write_notes
from registry.client.pictures import Hashers, default_workers
from registry.client.receipts import ReceiptOf, write_input, write_receipt
from registry.client.report import write_report
from registry.client.run_tickets import RunTickets
from registry.client.sharding import Destination, Progress, ShardSpec, process_here
from registry.client.summary import FilterSummary
from registry.client.verdicts import Judges, Registry, Rules, SiteReader
from registry.errors import DatasetError, FormatError, InputError
from registry.receipt import Content
from registry.strictly import parsed, wire_of

__all__ = ["filter_in_place"]

Folder: TypeAlias = PictureFolder | Downloaded

_VERSIONS = frozenset({".git", ".gitattributes", ".gitignore", ".gitmodules", ".hg", ".hgignore", ".svn"})
_SAME = (
    *("format", "use", "mode", "organisation", "purpose", "possible_copies"),
    *("licences", "registries", "min_evidence", "own_works", "grants"),
)
_NOTES = "notes.jsonl"
_HIDDEN = "hidden, so not looked at"


def filter_in_place(
    source: Path | str,
    quarantine: Path | str,
    registries: Sequence[Registry],
    *,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    sites: SiteReader | None = None,
    format_name: str = "auto",
    options: Options = Options(),  # noqa: B008 - frozen
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> FilterSummary:
    """Move what must not stay from ``source`` to ``quarantine``; the account goes to ``source.caveat/``.

    Where an earlier run with the same arguments was cut short, it is finished, and nobody is asked. Raises
    as :func:`registry.client.filter_dataset`, and :class:`FormatError` for what is no folder of pictures.
    """
    source, quarantine = Path(source).absolute(), Path(quarantine).absolute()
    if options.share is not None:
        raise InputError(f"{source} is not made of shards, and has no share")
    run = _InPlace(source, quarantine, Judges(registries, rules, sites), options, progress)
    _require_apart(source, quarantine)
    journal = None if options.dry_run else Journal.begun(quarantine)
    if journal is not None:
        return run.ended(journal, None)
    return run.filtered(format_name)


def _require_apart(source: Path, quarantine: Path) -> None:
    here, there = source.resolve(), quarantine.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise DatasetError(
            f"{quarantine} and {source} lie in one another: what goes would still be found",
            hint="Give a folder elsewhere.",
        )
    account = account_folder(source).resolve()
    if account == there or account in there.parents or there in account.parents:
        raise DatasetError(f"{quarantine} is the place of the account", hint="Give another folder.")


@dataclass(slots=True)
class _Planned:
    """The folder as a format whose copy is only planned: what stays, and the lists with other content."""

    folder: Folder
    name: str
    why: str
    stays: set[str] = field(default_factory=set)
    rewritten: list[str] = field(default_factory=list)

    @property
    def size(self) -> int | None:
        """How many samples there are, where that is known."""
        return self.folder.size

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of the folder."""
        return self.folder.samples()

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Return what goes, as the folder says."""
        return self.folder.plan(dropped)

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the lists that change to ``target``; require that what stays is what was checked."""
        for path, data in self.folder.staying(plan):
            here = self.folder.root / path
            if data is None and path in digests and _digest(here) != digests[path]:
                raise changed(here)
            if data is not None and here.read_bytes() != data:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_bytes(data)
                self.rewritten.append(path)
            self.stays.add(path)


@dataclass(frozen=True, slots=True)
class _InPlace:
    """A run in place: all paths are absolute."""

    source: Path
    quarantine: Path
    judges: Judges
    options: Options
    progress: Progress
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def _making(self) -> Path:
        """Where the account is made, until the moves are done."""
        return self.source.with_name(f".{self.source.name}.caveat.in-place")

    def filtered(self, format_name: str) -> FilterSummary:
        """Judge everything, write the journal, and do what it says."""
        folder = detect(self.source, format_name)
        if not isinstance(folder, Folder):
            raise FormatError(
                f"{self.source} is of format {folder.name}; only folders of pictures are filtered in place",
                hint="Give a place for a copy instead, and put it in the place of the source.",
            )
        for registry in self.judges.registries:
            registry.check_parameters()
        summary = self._summary(folder.name, folder.why)
        self.progress.begin(folder, folder.size)
        planned, there = _Planned(folder, folder.name, folder.why), None
        if not self.options.dry_run:
            remove(self._making)
            self._making.mkdir()
            there = Destination(self.quarantine / FOLDER / "new", self._making / "decisions")
        try:
            with self._hashers(folder) as hashers:
                report = process_here(planned, self.judges, self._spec(folder), self.progress, hashers, there)
                summary.join(report)
                summary.tickets.join(report.tickets, summary.registries, "the folder")
                summary.notable, summary.left_out = report.notable, report.left_out
                if there is None:
                    summary.target = None
                    return summary
                return self._begun(summary, planned)
        except BaseException:
            # Once there is a journal, the account belongs to the run that finishes it.
            if not (self.quarantine / FOLDER / "journal.json").exists():
                self._drop()
            raise

    def ended(self, journal: Journal, summary: FilterSummary | None) -> FilterSummary:
        """Do what is left to do of a journal; without ``summary`` it is that of a run that was cut short."""
        summary = summary or self._recalled(journal)
        account = account_folder(self.source)
        try:
            journal.finish()
            self._write_receipt(journal, summary)
            appear([self._making], [account])
            remove(journal_of(self.source))
        except OSError as error:
            raise DatasetError(
                f"{error.filename or self.source}: {error.strerror or error}; only some of it was moved",
                hint="Check the place and its free space. The same command finishes it.",
            ) from error
        notes = Notes()
        notes.add(account / _NOTES)
        summary.notable, summary.account = notes, account
        journal.close()
        return summary

    def _begun(self, summary: FilterSummary, planned: _Planned) -> FilterSummary:
        summary.target = self.source if summary.kept else None
        if not self.progress.confirm(summary):
            summary.target = None
            self._drop()
            return summary
        moves = list(_leaving(self.source, planned.stays)) if summary.kept else []
        hidden = {path: _HIDDEN for path in moves if path.rpartition("/")[2].startswith(".")}
        summary.left_out = {**summary.left_out, **hidden}
        summary.quarantine = self.quarantine if summary.kept else None
        write_notes(self._making / _NOTES, summary.notable)
        write_report(self._making / "report.html", summary)
        if not summary.kept:
            remove(self.quarantine / FOLDER)
            summary.account = account_folder(self.source)
            appear([self._making], [summary.account])
            return summary
        told = _told(summary) | self._begun_receipt(summary)
        journal = Journal(self.source, self.quarantine, tuple(moves), tuple(planned.rewritten), told)
        (self.quarantine / FOLDER).mkdir(parents=True, exist_ok=True)
        journal.write()
        return self.ended(journal, summary)

    def _begun_receipt(self, summary: FilterSummary) -> dict[str, Any]:
        """Return what of the receipt must be known before anything moves: input, beginning and tickets."""
        if self.options.signer is None:
            return {}
        given = write_input(self._making, summary, self._workers)
        told = {"input": wire_of(given), "started": self.started, "tickets": summary.tickets.to_wire()}
        return {"receipt": told}

    def _write_receipt(self, journal: Journal, summary: FilterSummary) -> None:
        """Write the receipt, unless the account has appeared with it already."""
        begun, signer = journal.told.get("receipt"), self.options.signer
        if begun is None or signer is None or not self._making.exists():
            return
        given = parsed(Content, begun["input"], "input")
        summary.tickets = RunTickets.from_wire(begun["tickets"])
        run = ReceiptOf(
            signer,
            self.judges.registries,
            workers=self._workers,
            countersign=self.options.countersign,
            started=begun["started"],
        )
        write_receipt(self._making, self.source, summary, run, given)

    def _recalled(self, journal: Journal) -> FilterSummary:
        told = journal.told
        summary = self._summary(told["format"], told["why"])
        wire = summary.to_wire()
        other = next((name for name in _SAME if told[name] != wire[name]), None)
        if journal.source != self.source or other is not None:
            now = self.source if other is None else f"{other} {wire[other]!r}"
            before = journal.source if other is None else f"{told[other]!r}"
            raise DatasetError(
                f"{self.quarantine} is of a run that was cut short, with {before}, and now it is {now}",
                hint="Give what was given then, and it is finished; or give another folder for what goes.",
            )
        summary.counts.update(told["counts"])
        summary.reasons.update(told["reasons"])
        summary.kept, summary.as_of_seq = told["kept"], told["as_of_seq"]
        summary.left_out, summary.quarantine = told["left_out"], self.quarantine
        return summary

    def _summary(self, format_name: str, why: str) -> FilterSummary:
        return FilterSummary.begun(self.source, self.source, (format_name, why), self.judges)

    def _spec(self, folder: Folder) -> ShardSpec:
        return ShardSpec(
            self.source,
            folder.name,
            "",
            None,
            None,
            stop_on_error=self.options.stop_on_error,
            keeps_tickets=self.options.keeps_tickets,
        )

    def _hashers(self, folder: Folder) -> Hashers:
        """Return what hashes the pictures; where there are many, it goes on from an earlier run."""
        options = self.options
        if options.dry_run:
            return Hashers(self._workers)
        return hashers_for(
            self.source, folder.size, self._workers, resume=options.resume, keep=options.stop_on_error
        )

    def _drop(self) -> None:
        """Delete what was prepared."""
        remove(self._making)
        remove(self.quarantine / FOLDER)

    @property
    def _workers(self) -> int:
        return self.options.workers or default_workers()


def _told(summary: FilterSummary) -> dict[str, Any]:
    wire = summary.to_wire()
    return {
        **{name: wire[name] for name in _SAME},
        "why": summary.why,
        "counts": dict(summary.counts),
        "reasons": dict(summary.reasons),
        "kept": summary.kept,
        "as_of_seq": summary.as_of_seq,
        "left_out": dict(summary.left_out),
    }


def _leaving(root: Path, stays: set[str]) -> Iterator[str]:
    """Yield every file below ``root`` that does not stay, and hidden folders whole."""
    for folder, names, files in os.walk(root):
        below = Path(folder).relative_to(root)
        hidden = [name for name in names if name.startswith(".")]
        names[:] = sorted(set(names).difference(hidden))
        for name in sorted([*files, *hidden]):
            path = (below / name).as_posix()
            if path not in stays and name not in _VERSIONS:
                yield path


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
