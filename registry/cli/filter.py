"""``caveat filter`` and ``caveat formats``."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.asking import asked_of, asking_options
from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    NOTHING,
    Bar,
    console,
    counted,
    emit_json,
    progress_bar,
    use_option,
    workers_option,
)
from registry.cli.sites import site_signals_option, sites_if
from registry.client import FilterSummary, Options, Progress, Rules, Verdict, filter_dataset
from registry.client.engines import ENGINES
from registry.client.formats import FORMATS, Dataset, brace_range
from registry.preference import Action, Mode, Use

__all__ = ["filter_", "formats", "print_summary"]

_SHOWN = 40


class ShareType(click.ParamType[tuple[int, int]]):
    """``I/N``, with 1 ≤ I ≤ N."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (I, N)."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is not I/N with 1 ≤ I ≤ N: give 3/16 for the third of sixteen.", param, ctx)
        return int(found[1]), int(found[2])


@click.command("filter")
@click.argument("src", type=click.Path(exists=True, path_type=Path))
@click.argument("dst", type=click.Path(path_type=Path))
@use_option
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.EU_ART4.value,
    show_default=True,
    help="eu-art4 keeps works of which nobody has said anything; strict does not; research-art3 records "
    "reservations and keeps the works.",
)
@click.option(
    "--format", "format_name", type=click.Choice(["auto", *FORMATS]), default="auto", show_default=True
)
@asking_options
@site_signals_option
@workers_option
@click.option(
    "--on-error",
    type=click.Choice(["set-aside", "stop"]),
    default="set-aside",
    show_default=True,
    help="What to do with an item that cannot be read or checked.",
)
@click.option(
    "--review/--no-review",
    default=True,
    show_default=True,
    help="Look for possible copies too, which a person should look at; a large registry is faster without.",
)
@click.option(
    "--licence",
    "licences",
    multiple=True,
    metavar="ID",
    help="Terms of a condition that you meet, as the reason names them; may be given several times.",
)
@click.option("--organisation", help="Who does the research; needed for --mode research-art3.")
@click.option("--purpose", help="What the research is for; needed for --mode research-art3.")
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="local",
    show_default=True,
    help="Who filters the shards of a folder: processes on this machine, or Ray.",
)
@click.option(
    "--shard",
    "share",
    type=ShareType(),
    help="Filter only every N-th shard, from the I-th on, for job arrays; then run once more without it.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on from the shards that an earlier run has done, or delete them and begin anew.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before strict mode leaves out what nobody has spoken of."
)
@click.option(
    "--report", type=click.Choice(["html"]), default="html", show_default=True, help="Kind of report."
)
@click.option("--output", type=click.Choice(["human", "json", "ndjson"]), default="human", show_default=True)
@click.pass_context
def filter_(
    ctx: click.Context,
    src: Path,
    dst: Path,
    use: str,
    mode: str,
    format_name: str,
    registry_urls: tuple[str, ...],
    key: str | None,
    private: bool,
    snapshot: Path | None,
    max_age: float,
    site_signals: bool,
    workers: int | None,
    on_error: str,
    review: bool,
    licences: tuple[str, ...],
    organisation: str | None,
    purpose: str | None,
    engine: str,
    share: tuple[int, int] | None,
    resume: bool,
    dry_run: bool,
    yes: bool,
    report: str,
    output: str,
) -> None:
    """Copy the dataset SRC to DST without the works that are reserved.

    SRC is a folder of pictures with captions, kohya's N_concept folders, an imagefolder with
    metadata.jsonl or .csv, a folder of WebDataset .tar shards or one of them, a .zip of pictures, or a .csv,
    .tsv or .parquet file with a column of URLs. It is never changed. Captions, caches, masks and rows of
    removed works go with them. DST.caveat/ tells what was decided of each sample and why, with a report to
    open.

    What the pictures say themselves is read too: IPTC, C2PA and TDMRep in the files and in .xmp files beside
    them. A signal that cannot be read sets its picture aside.

    Pictures stay on this machine. Their fingerprints and URLs go to the registry, and a fingerprint can
    reveal a rough picture; with --snapshot nothing is sent at all. With --site-signals each URL and its
    site are asked, as any visitor would ask them.

    \b
      caveat filter my-set my-set-clean --registry https://registry.example
      caveat filter laion.parquet clean.parquet --mode strict
      caveat filter my-set my-set-clean --dry-run        what would go?
      caveat filter shards clean --workers 8             Ctrl-C, and again: it goes on
      caveat filter shards clean --shard 3/16            one of 16 jobs; then without it
    """
    rules = Rules(Use(use), Mode(mode), organisation or "", purpose or "", review, frozenset(licences))
    asked = asked_of(registry_urls, key, snapshot, max_age, private=private)
    options = Options(engine, workers, share, resume, on_error == "stop", dry_run)
    with progress_bar("checking") as bar, sites_if(site_signals) as sites:
        summary = filter_dataset(
            src,
            dst,
            asked,
            rules=rules,
            sites=sites,
            format_name=format_name,
            options=options,
            progress=_progress(bar, yes=yes),
        )
    ctx.exit(_tell(summary, output, dry_run=dry_run))


@click.command()
def formats() -> None:
    """List the dataset formats that are read and written."""
    for name, what in FORMATS.items():
        click.echo(f"{name:12} {what}")


def _tell(summary: FilterSummary, output: str, *, dry_run: bool) -> int:
    """Tell what a run did, to people or to machines, and return the exit code."""
    if output == "human":
        print_summary(summary, dry_run=dry_run)
    else:
        _emit(summary, output)
    if summary.shared:
        return INCOMPLETE if summary.errors else CLEAN
    if not summary.kept or _declined(summary, dry_run=dry_run):
        return NOTHING
    return INCOMPLETE if summary.errors else CLEAN


def print_summary(summary: FilterSummary, *, dry_run: bool = False) -> None:
    """Tell people what a run did."""
    out = console()
    if summary.notable:
        out.print(_table(summary.notable[:_SHOWN]))
    if len(summary.notable) > _SHOWN:
        out.print(f"… and {len(summary.notable) - _SHOWN:,} more, in the report")
    gone = len(summary.left_out)
    theirs = f" with {counted(gone, 'file')} of theirs" if gone else ""
    if summary.reasons:
        causes = ", ".join(f"{cause} {count:,}" for cause, count in summary.reasons.most_common())
        out.print(f"removed by  {escape(causes)}")
    out.print(
        f"[bold]{summary.kept:,} kept[/], {summary.counts[Action.REMOVE]:,} removed{theirs}, "
        f"{summary.counts[Action.REVIEW]:,} to look at, {summary.errors:,} set aside; "
        f"of {summary.counts['unknown']:,} nobody has said anything."
    )
    if summary.resumed:
        out.print(f"{counted(summary.resumed, 'shard')} of these an earlier run had done.")
    if dry_run:
        out.print("A dry run: nothing was written.")
    elif summary.shared:
        left = f"{counted(summary.waiting, 'shard')} still to be done" if summary.waiting else "all are done"
        out.print(f"A share of the shards; {left}. Then run the same command without --shard.")
    elif _declined(summary, dry_run=dry_run):
        out.print("Nothing was written, as you said.")
    elif summary.target is None:
        out.print("Nothing would be left, so no output was written.")
    else:
        out.print(f"output  {escape(str(summary.target))}", soft_wrap=True)
        if summary.shards and summary.source.is_dir() and summary.format == "webdataset":
            out.print(f"shards  {escape(brace_range(summary.shards))}", soft_wrap=True)
    if summary.account is not None:
        out.print(f"report  {escape(str(summary.account / 'report.html'))}", soft_wrap=True)


def _table(verdicts: Sequence[Verdict]) -> Table:
    styles = {Action.REMOVE: "red", Action.REVIEW: "yellow", Action.ERROR: "magenta", Action.KEEP: "green"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("what", "sample", "why"):
        table.add_column(head, overflow="fold")
    for verdict in verdicts:
        style = styles[verdict.action]
        table.add_row(f"[{style}]{verdict.action}[/]", escape(verdict.sample.name), escape(verdict.reason))
    return table


def _progress(bar: Bar, *, yes: bool) -> Progress:
    def begin(dataset: Dataset, total: int | None) -> None:
        click.echo(f"reading it as {dataset.name}: it {dataset.why}", err=True)
        bar.expect(total)

    def done(steps: int, gone: int) -> None:
        bar.advance(steps)
        bar.lose(gone)

    return Progress(begin, bar.advance, done, _asking(bar, yes=yes))


def _declined(summary: FilterSummary, *, dry_run: bool) -> bool:
    """Say whether the answer before writing was no: then there is not even an account."""
    return summary.account is None and not dry_run


def _asking(bar: Bar, *, yes: bool) -> Callable[[FilterSummary], bool]:
    """Before strict mode leaves out what nobody has spoken of: say how many, and ask on a terminal."""

    def confirm(summary: FilterSummary) -> bool:
        unknown = summary.counts["unknown"]
        if summary.rules.mode is not Mode.STRICT or not unknown:
            return True
        click.echo(f"strict mode: no record of {counted(unknown, 'sample')}, to be left out", err=True)
        if yes or not sys.stdin.isatty():
            return True
        bar.progress.stop()  # It would write over the question.
        return click.confirm("Go on?", err=True)

    return confirm


def _emit(summary: FilterSummary, output: str) -> None:
    wires = [verdict.to_wire() for verdict in summary.notable]
    if output == "json":
        emit_json({**summary.to_wire(), "notable": wires})
        return
    for wire in wires:
        click.echo(json.dumps(wire, ensure_ascii=False))
    click.echo(json.dumps(summary.to_wire(), ensure_ascii=False))
