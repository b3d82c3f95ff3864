"""What ``caveat filter`` did, told to people, to machines, to code scanning, and to a pull request."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from registry.cli.common import console, counted, emit_json
from registry.client import FilterSummary, Verdict
from registry.client.formats import brace_range
from registry.client.markdown import markdown
from registry.client.receipts import RECEIPT
from registry.client.sarif import sarif_log
from registry.client.stores import Address
from registry.preference import Action

__all__ = ["OUTPUTS", "declined", "print_summary", "tell"]

OUTPUTS = ("human", "json", "ndjson", "sarif", "markdown")
"""Forms in which a run is told."""

_SHOWN = 40


def tell(summary: FilterSummary, output: str, *, dry_run: bool = False) -> None:
    """Print what a run did to standard output, in one of ``OUTPUTS``."""
    if output == "human":
        print_summary(summary, dry_run=dry_run)
    elif output == "json":
        emit_json({**summary.to_wire(), "notable": [verdict.to_wire() for verdict in summary.notable]})
    elif output == "sarif":
        emit_json(sarif_log(summary))
    elif output == "markdown":
        click.echo(markdown(summary), nl=False)
    else:
        for verdict in summary.notable:
            click.echo(json.dumps(verdict.to_wire(), ensure_ascii=False))
        click.echo(json.dumps(summary.to_wire(), ensure_ascii=False))


def declined(summary: FilterSummary, *, dry_run: bool) -> bool:
    """Say whether the answer before writing was no: then there is not even an account."""
    return summary.account is None and not dry_run


def print_summary(summary: FilterSummary, *, dry_run: bool = False) -> None:
    """Tell people what a run did."""
    out = console()
    if summary.notable:
        out.print(_table(list(islice(summary.notable, _SHOWN))))
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
    if summary.rules.own.digest:
        out.print(f"{summary.counts['own']:,} kept as the maker's own, as declared and not proven.")
    if summary.rules.grants.held:
        out.print(f"{summary.counts['granted']:,} kept because of a grant.")
    if summary.rules.min_evidence:
        told = f"Records below evidence level {summary.rules.min_evidence} did not count"
        out.print(f"{told}; {counted(summary.counts['below_evidence'], 'sample')} had such.")
    if summary.resumed:
        out.print(f"{counted(summary.resumed, 'shard')} of these an earlier run had done.")
    _print_places(out, summary, dry_run=dry_run)
    if summary.account is not None:
        out.print(f"report  {escape(str(summary.account / 'report.html'))}", soft_wrap=True)
        _print_receipt(out, summary)


def _print_receipt(out: Console, summary: FilterSummary) -> None:
    """Say where the receipt is, or that an output has none."""
    account = summary.account
    if isinstance(account, Path) and (account / RECEIPT).exists():
        out.print(f"receipt {escape(str(account / RECEIPT))}", soft_wrap=True)
        for url, fault in summary.countersigned.items():
            told = f"not countersigned by {url}: {fault}" if fault else f"countersigned by {url}"
            out.print(escape(told), soft_wrap=True)
    elif summary.target is not None and Address in map(type, (summary.source, summary.target)):
        out.print("receipt none: there is none yet of runs from or to an object store")


def _print_places(out: Console, summary: FilterSummary, *, dry_run: bool) -> None:
    """Say where the output is, or why there is none."""
    if dry_run:
        out.print("A dry run: nothing was written.")
    elif summary.shared:
        left = f"{counted(summary.waiting, 'shard')} still to be done" if summary.waiting else "all are done"
        out.print(f"A share of the shards; {left}. Then run the same command without --shard.")
    elif declined(summary, dry_run=dry_run):
        out.print("Nothing was written, as you said.")
    elif summary.target is None:
        out.print("Nothing would be left, so no output was written.")
    else:
        out.print(f"output  {escape(str(summary.target))}", soft_wrap=True)
        if summary.quarantine is not None:
            out.print(f"moved   {escape(str(summary.quarantine))}", soft_wrap=True)
        if summary.shards and not _is_one_file(summary) and summary.format == "webdataset":
            out.print(f"shards  {escape(brace_range(summary.shards))}", soft_wrap=True)


def _is_one_file(summary: FilterSummary) -> bool:
    return isinstance(summary.source, Path) and summary.source.is_file()


def _table(verdicts: Sequence[Verdict]) -> Table:
    styles = {Action.REMOVE: "red", Action.REVIEW: "yellow", Action.ERROR: "magenta", Action.KEEP: "green"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("what", "sample", "why"):
        table.add_column(head, overflow="fold")
    for verdict in verdicts:
        style = styles[verdict.action]
        table.add_row(f"[{style}]{verdict.action}[/]", escape(verdict.sample.name), escape(verdict.reason))
    return table
