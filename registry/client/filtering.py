"""The filter: a dataset in, a copy without the reserved works out, and an account of it beside the copy.

``DST`` holds only what was kept, in the format of the source. ``DST.caveat/`` holds the decisions and
``report.html``, and for shards ``shards.txt`` with the names of those in ``DST``, and ``shards/`` with a
report of each. Both appear whole or not at all; the source is never touched.

Shards are filtered one by one (:mod:`registry.client.sharding`). Until all are done, what stands of them lies
beside ``DST`` under hidden names, and another run with the same options goes on from there. Of many pictures
that are no shards the hashes are kept so (:mod:`registry.client.hash_journal`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import registry
from registry.client.engines import ENGINES
from registry.client.formats import Format, Sharded, Table
from registry.client.formats.datacomp import kept_of_pool, write_subset
from registry.client.formats.files import appearing, remove
from registry.client.hash_journal import hashers_for
from registry.client.making import Making, account_folder, gone_from, write_names
from registry.client.pictures import Hashers, default_workers
from registry.client.receipts import ReceiptOf, write_receipt
from registry.client.report import write_report
from registry.client.run_file import write_run
from registry.client.sharding import Destination, Progress, ShardReport, ShardSpec, process_here
from registry.client.store_making import StoreMaking
from registry.client.store_receipts import Ended, write_store_receipt
from registry.client.stores import Address
from registry.client.summary import FilterSummary
from registry.client.verdicts import Judges, Registry, Rules, SiteReader
from registry.client.where import Where
from registry.errors import DatasetError, InputError
from registry.note import Signer

__all__ = ["FilterSummary", "Options", "Progress", "account_folder", "filter_dataset"]

_Sign: TypeAlias = Callable[[ReceiptOf], None]

_SETTINGS = (
    *("source", "format", "use", "mode", "organisation", "purpose"),
    *("possible_copies", "site_signals", "licences", "registries", "min_evidence", "own_works", "grants"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is done; none of it changes what is kept.

    ``share`` is (i, n) for one that takes every n-th shard, the i-th first, from 1, and leaves the end to
    another. ``resume`` goes on from what an earlier run that did not end has done, shards or hashes.
    ``subset`` writes a DataComp subset of a pool, the uids of the rows that stay, in place of its tables.
    ``signer`` signs the receipt of a run that wrote an output; without, there is none. With ``countersign``
    the registries say in a bundle what they answered, where they can.
    """

    engine: str = "local"
    workers: int | None = None
    share: tuple[int, int] | None = None
    resume: bool = True
    stop_on_error: bool = False
    dry_run: bool = False
    subset: bool = False
    signer: Signer | None = None
    countersign: bool = True

    @property
    def keeps_tickets(self) -> bool:
        """Whether what is asked may be countersigned."""
        return self.countersign and self.signer is not None and not self.dry_run

    def __post_init__(self) -> None:
        if self.share is not None and not 1 <= self.share[0] <= self.share[1]:
            raise InputError(f"no share {self.share[0]} of {self.share[1]}", hint="Count from 1.")
        if self.engine not in ENGINES:
            raise InputError(f"no engine {self.engine!r}", hint=f"Engines: {', '.join(ENGINES)}.")
        if self.dry_run and self.share is not None:
            raise InputError("a dry run of a share", hint="Leave out one of the two.")


def filter_dataset(
    source: Path | Address | str,
    target: Path | Address | str,
    registries: Sequence[Registry],
    *,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    sites: SiteReader | None = None,
    format_name: str = "auto",
    options: Options = Options(),  # noqa: B008 - frozen
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> FilterSummary:
    """Write ``source`` without its reserved works to ``target``, and the account to ``target.caveat/``.

    Both may be addresses of an object store, as text ``s3://bucket/prefix``, for datasets made of shards.
    A dry run looks at everything and writes nothing. Raises :class:`DatasetError` for a dataset that
    cannot be read or a target that is in the way, :class:`registry.errors.RegistryError` when a registry
    cannot be asked, :class:`registry.errors.StoreError` when a store cannot. When nothing would be kept, only
    the account is written and ``summary.target`` is None.
    """
    where = Where.of(source, target)
    dataset = where.detected(format_name, subset=options.subset)
    in_marks = all(["max_marks" in one.check_parameters() for one in registries])
    judges = Judges(registries, rules, sites)
    summary = FilterSummary.begun(where.source, where.target, (dataset.name, dataset.why), judges)
    run = _Filtering(summary, judges, options, progress, in_marks, where)
    try:
        if isinstance(dataset, Sharded):
            run.filter_shards(dataset)
        else:
            run.filter_whole(dataset)
    except OSError as error:
        raise DatasetError(
            f"{error.filename or target}: {error.strerror or error}; nothing was written",
            hint="Check the place and its free space, then run the same command again.",
        ) from error
    return summary


@dataclass(frozen=True, slots=True)
class _Filtering:
    """A run under way."""

    summary: FilterSummary
    judges: Judges
    options: Options
    progress: Progress
    in_marks: bool
    where: Where
    started: int = field(default_factory=lambda: int(time.time()))

    def filter_whole(self, dataset: Format | Table) -> None:
        """Filter a dataset that is not made of shards."""
        summary, spec = self.summary, self._spec("")
        if self.options.share is not None:
            raise InputError(f"{summary.source} is not made of shards, and has no share")
        self.progress.begin(dataset, dataset.size)
        if self.options.dry_run:
            self._take(process_here(dataset, self.judges, spec, self.progress, self._workers))
            summary.target = None
            return
        target = Path(str(self.where.target))
        with self._hashers(dataset, target) as hashers, appearing(account_folder(target), target) as places:
            account, output = places
            account.mkdir()
            decisions = account / ("decisions/00000" if isinstance(dataset, Table) else "decisions")
            there = Destination(output, decisions)
            self._take(process_here(dataset, self.judges, spec, self.progress, hashers, there))
            if summary.shards:
                write_names(account, summary.shards)
            self._finish(account, output, partial(write_receipt, account, output, summary))

    def _hashers(self, dataset: Format | Table, target: Path) -> Hashers:
        """Return what hashes the pictures; where there are many, it goes on from an earlier run."""
        pictures, options = None if isinstance(dataset, Table) else dataset.size, self.options
        return hashers_for(target, pictures, self._workers, resume=options.resume, keep=options.stop_on_error)

    def filter_shards(self, dataset: Sharded) -> None:
        """Filter a dataset shard by shard, and put it together once all are done."""
        names, summary = dataset.shards(), self.summary
        making = None if self.options.dry_run else self.where.making()
        done = {} if making is None else making.begin(self._settings(), dataset, resume=self.options.resume)
        first, step = self.options.share or (1, 1)
        todo = [name for name in names[first - 1 :: step] if name not in done]
        summary.resumed = len(names[first - 1 :: step]) - len(todo)
        for report in self._run(dataset, [self._spec(name, dataset, making) for name in todo]):
            done[report.shard] = report
        if making is None:
            for name in names:
                self._take(done[name])
            rest = dataset.rest([one for name in names for one in gone_from(done[name])])
            self._take(process_here(rest, self.judges, self._spec(""), Progress(), 1))
            summary.target = None
        elif self.options.share is not None:
            summary.shared, summary.waiting, summary.target = True, len(names) - len(done), None
            for name in names[first - 1 :: step]:
                self._take(done[name])
        else:
            self._put_together(dataset, making, [done[name] for name in names])

    def _put_together(
        self, dataset: Sharded, making: Making | StoreMaking, reports: list[ShardReport]
    ) -> None:
        notes = making.notes(reports)
        for report in reports:
            self._take(report)
        noted = (one.sample.key for one in notes if not one.action.stays)
        rest = dataset.rest(chain(gone_from(*reports), noted))
        report = process_here(rest, self.judges, self._spec(""), Progress(), 1, making.rest)
        making.end(reports, report, notes)
        self._take(report)
        self.summary.notable = notes
        self.summary.shards = tuple(report.shard for report in reports if report.written)
        write_names(making.account, self.summary.shards)
        sign: _Sign = partial(write_receipt, making.account, making.output, self.summary)
        if self.where.work is not None:
            sign = partial(write_store_receipt, Ended(making, dataset, reports), self.summary)
        self._finish(making.account, making.output, sign)
        making.appear(notes, self.summary.to_wire())

    def _run(self, dataset: Sharded, specs: list[ShardSpec]) -> Iterator[ShardReport]:
        """Have the shards filtered, and tell how far that is."""
        engine, progress = ENGINES[self.options.engine], self.progress
        is_here = self.options.engine == "local" and (self._workers == 1 or self.judges.sites is not None)
        is_here = is_here or len(specs) == 1
        progress.begin(dataset, None if is_here else len(specs))
        inner = progress if is_here else Progress()
        for report in engine(specs, self.judges, self._workers, inner) if specs else ():
            if not is_here:
                progress.done(1, report.samples - report.kept)
            yield report

    def _take(self, report: ShardReport) -> None:
        summary = self.summary
        summary.join(report)
        summary.tickets.join(report.tickets, summary.registries, report.shard)
        summary.left_out.update(report.left_out)
        if report.notable:
            summary.notable = [*summary.notable, *report.notable]
        summary.shards = (*summary.shards, *report.shards)

    def _finish(self, account: Path, output: Path, sign: _Sign) -> None:
        """Ask whether the run may appear, and write its report; what must not appear goes.

        ``sign`` writes the receipt.
        """
        summary = self.summary
        if not self.progress.confirm(summary):
            summary.target, summary.notable = None, list(summary.notable)
            remove(account)
            remove(output)
            return
        if summary.target is not None:
            summary.account = account_folder(summary.target)
        if summary.format == "parquet" and self.where.work is None:
            self._write_subset(account, output)
        if not summary.kept:
            summary.target = None
            remove(output)
        if self.options.signer is not None and summary.target is not None:
            sign(self._receipt(self.options.signer))
        if isinstance(self.where.target, Path):  # At a store it comes last, and tells that the run has ended.
            write_run(account, summary)
        write_report(account / "report.html", summary)

    def _receipt(self, signer: Signer) -> ReceiptOf:
        return ReceiptOf(
            signer,
            self.judges.registries,
            self.options.subset,
            self.in_marks,
            self._workers,
            self.options.countersign,
            self.started,
        )

    def _write_subset(self, account: Path, output: Path) -> None:
        """Write the uids of a DataComp pool that are left: beside the account, or as the output."""
        kept = kept_of_pool(Path(str(self.summary.source)), account)
        if self.options.subset:
            remove(output)
            write_subset(output, kept)
        elif kept:
            write_subset(account / "subset.npy", kept)

    def _spec(
        self, shard: str, dataset: Sharded | None = None, making: Making | StoreMaking | None = None
    ) -> ShardSpec:
        output, account = (None, None) if making is None else making.places
        states: tuple[tuple[str, int, str], ...] = ()
        if dataset is not None and isinstance(self.where.source, Address):
            # What is at a store must be there as it was listed; a folder here is looked at again.
            states = tuple((name, size, str(mark)) for name, size, mark in dataset.state(shard))
        return ShardSpec(
            self.where.source,
            self.summary.format,
            shard,
            output,
            account,
            self.in_marks,
            self.options.stop_on_error,
            not self.options.subset,
            states,
            work=self.where.folder,
            keeps_tickets=self.options.keeps_tickets,
        )

    def _settings(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the one before."""
        wire = self.summary.to_wire()
        settings = {name: wire[name] for name in _SETTINGS}
        return settings | {"subset": self.options.subset, "version": registry.__version__}

    @property
    def _workers(self) -> int:
        return self.options.workers or default_workers()
