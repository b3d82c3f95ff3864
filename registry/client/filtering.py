"""The filter: a dataset in, a copy without the reserved works out, and an account of it beside the copy.

``DST`` holds only what was kept, in the format of the source. ``DST.caveat/`` holds ``decisions.jsonl`` (for
tables ``decisions/00000.parquet`` with the removed rows and ``decisions/00000.keep`` with a bit a row) and
``report.html``, and for shards ``shards.txt`` with the names of those in ``DST``. Both appear whole or not at
all; the source is never touched.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from registry.client.decisions import write_decisions
from registry.client.formats import Format, Plan, Sample, detect
from registry.client.formats.files import appearing
from registry.client.pictures import default_workers
from registry.client.report import write_report
from registry.client.summary import FilterSummary
from registry.client.verdicts import Registry, Rules, SiteReader, Verdict, judge
from registry.errors import DatasetError, InputError
from registry.preference import Action, Status

__all__ = ["FilterSummary", "Progress", "account_folder", "filter_dataset"]

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where to tell how far a run is: ``begin(format)``, then ``judged(verdicts)`` after each batch.

    ``tick`` is called after each picture that was hashed. ``confirm`` is asked before anything is written;
    when it says no, nothing is.
    """

    begin: Callable[[Format], None] = lambda _: None
    tick: Callable[[], None] = lambda: None
    judged: Callable[[Sequence[Verdict]], None] = lambda _: None
    confirm: Callable[[FilterSummary], bool] = lambda _: True


def filter_dataset(
    source: Path | str,
    target: Path | str,
    registries: Sequence[Registry],
    *,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    sites: SiteReader | None = None,
    format_name: str = "auto",
    workers: int | None = None,
    stop_on_error: bool = False,
    dry_run: bool = False,
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> FilterSummary:
    """Write ``source`` without its reserved works to ``target``, and the account to ``target.caveat/``.

    A dry run looks at everything and writes nothing. Raises :class:`DatasetError` for a dataset that
    cannot be read or a target that is in the way, :class:`registry.errors.RegistryError` when a registry
    cannot be asked. When nothing would be kept, only the account is written and ``summary.target`` is None.
    """
    source, target = Path(source), Path(target)
    if not registries:
        raise InputError("no registry to ask", hint="Name one with --registry, or set CAVEAT_REGISTRY.")
    _check_places(source, target)
    dataset = detect(source, format_name)
    for registry in registries:
        registry.check_parameters()
    summary = FilterSummary(
        source,
        None if dry_run else target,
        None,
        dataset.name,
        dataset.why,
        rules,
        tuple(registry.url for registry in registries),
        sites_asked=sites is not None,
    )
    progress.begin(dataset)
    verdicts: list[Verdict] = []
    for batch in _batches(dataset.samples()):
        judged = list(
            judge(
                batch,
                registries,
                rules,
                sites=sites,
                workers=workers or default_workers(),
                tick=progress.tick,
            )
        )
        if stop_on_error:
            _stop_at_fault(judged)
        verdicts += judged
        progress.judged(judged)
    _write(dataset, verdicts, summary, progress)
    return summary


def account_folder(target: Path) -> Path:
    """Return the folder beside ``target`` that tells what was done."""
    return target.with_name(f"{target.name}.caveat")


def _write(dataset: Format, verdicts: list[Verdict], summary: FilterSummary, progress: Progress) -> None:
    plan = dataset.plan({v.sample.key: v.reason for v in verdicts if not v.action.stays})
    verdicts = [_with_others(verdict, plan) for verdict in verdicts]
    _count(verdicts, summary)
    summary.kept = sum(verdict.action.stays for verdict in verdicts)
    summary.left_out, summary.shards = plan.left_out, plan.shards
    target = summary.target
    if target is None:
        return
    if not progress.confirm(summary):
        summary.target = None
        return
    summary.account = account_folder(target)
    if not summary.kept:
        summary.target = None
    try:
        # The account appears first: an output without it would be a claim without its reasons.
        places = [place for place in (summary.account, summary.target) if place is not None]
        with appearing(*places) as (account, *output):
            if output:
                dataset.write(output[0], plan, _digests(verdicts))
            account.mkdir()
            write_decisions(account, verdicts, is_table=dataset.is_table)
            write_report(account / "report.html", summary)
            if plan.shards:
                (account / "shards.txt").write_text("".join(f"{name}\n" for name in plan.shards), "utf-8")
    except OSError as error:
        raise DatasetError(
            f"{error.filename or target}: {error.strerror or error}; nothing was written",
            hint="Check the place and its free space, then run the same command again.",
        ) from error


def _with_others(verdict: Verdict, plan: Plan) -> Verdict:
    """Return the verdict of a sample that goes because of another: removed too, and it says so."""
    if not verdict.action.stays or verdict.sample.key not in plan.gone:
        return verdict
    return replace(
        verdict, action=Action.REMOVE, reason=f"Goes with another: {plan.gone[verdict.sample.key]}."
    )


def _digests(verdicts: list[Verdict]) -> dict[str, bytes]:
    return {v.sample.key: v.fingerprint.sha256 for v in verdicts if v.fingerprint and v.fingerprint.sha256}


def _check_places(source: Path, target: Path) -> None:
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise DatasetError(
            f"{target} and {source} lie in one another; the source is never written to",
            hint="Give another place for the output.",
        )
    # An account whose output is not there belongs to a run that was cut short, or kept nothing.
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DatasetError(f"{target} is there already", hint="Move it away, or give another output.")


def _stop_at_fault(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.action is Action.ERROR:
            raise DatasetError(
                f"{verdict.sample.key}: {verdict.reason}; nothing was written",
                hint="Mend or remove it, or run with --on-error set-aside.",
            )


def _count(verdicts: Sequence[Verdict], summary: FilterSummary) -> None:
    for verdict in verdicts:
        summary.counts[verdict.action] += 1
        for url, seq in verdict.as_of_seq.items():
            summary.as_of_seq[url] = min(seq, summary.as_of_seq.get(url, seq))
        decision = verdict.decision
        if decision is not None and verdict.status is Status.OK and decision.matched_by is None:
            summary.counts["unknown"] += 1
        if verdict.action is Action.REMOVE and decision is not None:
            summary.reasons[verdict.cause] += 1
        if verdict.action is not Action.KEEP or (decision is not None and decision.matched_by is not None):
            summary.notable.append(verdict)


def _batches(samples: Iterable[Sample]) -> Iterable[list[Sample]]:
    iterator = iter(samples)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
