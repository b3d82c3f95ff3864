"""``caveat recheck``: what has changed in the registries since a run of ``caveat filter``."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.asking import asked_of, asking_options
from registry.cli.common import (
    CLEAN,
    FOUND,
    INCOMPLETE,
    console,
    counted,
    emit_json,
    licence_option,
    min_evidence_option,
    progress_bar,
)
from registry.cli.granting import grant_option, held_of
from registry.client.recheck import Rechecked
from registry.client.recheck import recheck as ask_again

__all__ = ["recheck"]

_WORDS = {
    "reserved": ("red", "reserved now"),
    "failed": ("magenta", "not checked"),
    "to_look_at": ("yellow", "look at it"),
    "free": ("green", "free now"),
}


@click.command()
@click.argument("dst", type=click.Path(path_type=Path))
@asking_options
@licence_option("as for the run")
@grant_option
@min_evidence_option("Least level of evidence at which a record counts, as for the run.")
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Of tables: what the run read, whose removed rows are asked about too; DST is not read then.",
)
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def recheck(
    ctx: click.Context,
    dst: Path,
    registry_urls: tuple[str, ...],
    key: str | None,
    private: bool,
    snapshot: Path | None,
    max_age: float,
    licences: tuple[str, ...],
    grant_files: tuple[Path, ...],
    min_evidence: int,
    source: Path | None,
    output: str,
) -> None:
    """Say what of an earlier run's output DST is reserved now, and what it removed is free now.

    The registries are asked by the keys in DST.caveat/, and of tables by those in the rows of DST, or of
    --source; nothing is written. Exits with 1 when something that was kept must go, with 2 when something
    could not be checked.

    \b
      caveat recheck my-set-clean
      caveat recheck clean.parquet --source laion.parquet     what is free again, too
    """
    asked = asked_of(registry_urls, key, snapshot, max_age, private=private)
    grants = held_of(grant_files, asked)
    with progress_bar("asking") as bar:
        found = ask_again(
            dst,
            asked,
            met=frozenset(licences),
            min_evidence=min_evidence,
            grants=grants,
            source=source,
            tick=bar.advance,
        )
    if output == "json":
        emit_json(found.to_wire())
    else:
        _print(found)
    ctx.exit(INCOMPLETE if found.failed else FOUND if found.reserved else CLEAN)


def _print(found: Rechecked) -> None:
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("what", "sample", "why"):
        table.add_column(head, overflow="fold")
    for name, (style, word) in _WORDS.items():
        for verdict in getattr(found, name):
            table.add_row(f"[{style}]{word}[/]", escape(verdict.sample.name), escape(verdict.reason))
    if table.row_count:
        out.print(table)
    for url, seq in found.since.items():
        now = found.as_of_seq.get(url)
        out.print(f"{escape(url)}: as of event {seq:,}, and now {'not asked' if now is None else f'{now:,}'}")
    if not found.asked:
        out.print("Nothing was lodged or withdrawn since: all stands as it was.")
        return
    out.print(
        f"[bold]{len(found.reserved):,} reserved now[/], {len(found.to_look_at):,} to look at, "
        f"{len(found.free):,} free now, {len(found.failed):,} not checked; "
        f"of {counted(found.asked, 'sample')} asked about."
    )
    if found.reserved or found.to_look_at:
        again = f"caveat filter {escape(str(found.target))} ELSEWHERE"
        out.print(f"To take these out: {again}, with the same options.")
    if found.free:
        out.print("To take in what is free: filter the source once more.")
