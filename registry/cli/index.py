"""``caveat index`` and ``caveat find``: a dataset made searchable, and works looked up in it.

Nothing is asked of a registry, and nothing is sent.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.common import (
    CLEAN,
    FOUND,
    INCOMPLETE,
    console,
    counted,
    emit_json,
    progress_bar,
    workers_option,
)
from registry.client.formats import FORMATS
from registry.client.formats.folder import pictures_below
from registry.client.indexing import Answer, Counts, DatasetIndex, IndexSummary, index_dataset
from registry.client.pictures import PICTURE_SUFFIXES, default_workers
from registry.errors import InputError
from registry.preference import Status
from registry.statement import Match

__all__ = ["find", "index"]

_SHOWN = 20
"""Samples that could not be read, named on standard error; the index has them all."""

_Index = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("dataset", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the index.  [default: DATASET.caveat-index, beside it]",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="What the dataset is, where it cannot be told.",
)
@click.option("--replace", is_flag=True, help="Make the index anew.")
@workers_option
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def index(
    ctx: click.Context,
    dataset: Path,
    folder: Path | None,
    format_name: str,
    replace: bool,
    workers: int | None,
    output: str,
) -> None:
    """Make a dataset searchable for those whose works may be in it.

    The index holds fingerprints, addresses and names of its samples, and no pictures. The dataset is only
    read. A call that was broken off goes on where it was. Exits with 2 when some samples could not be read.

    \b
      caveat index my-set
      caveat index laion.parquet --to laion-index
      caveat find painting.jpg ada.example --in laion-index
    """
    with progress_bar("indexing") as bar:

        def told(done: int, size: int | None) -> None:
            bar.expect(size)
            bar.progress.update(bar.task, completed=done)

        summary = index_dataset(
            dataset, folder, format_name=format_name, anew=replace, workers=workers, progress=told
        )
    faults = list(DatasetIndex.open(summary.folder).faults()) if summary.counts.faults else []
    for name, reason in faults[:_SHOWN]:
        click.echo(f"not read: {name}: {reason}", err=True)
    if len(faults) > _SHOWN:
        click.echo(f"and {counted(len(faults) - _SHOWN, 'more')}: --output json names them all", err=True)
    if output == "json":
        unread = [{"sample": name, "reason": reason} for name, reason in faults]
        emit_json({**summary.to_wire(), "not_read": unread})
    else:
        _tell(summary)
    ctx.exit(INCOMPLETE if faults else CLEAN)


@click.command()
@click.argument("queries", nargs=-1, required=True, metavar="PATH|URL|DOMAIN…")
@click.option("--in", "folder", required=True, type=_Index, metavar="FOLDER", help="Folder of the index.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Samples that are named for each query; all are counted.",
)
@workers_option
@click.option("--output", type=click.Choice(["human", "json", "ndjson"]), default="human", show_default=True)
@click.pass_context
def find(
    ctx: click.Context,
    queries: tuple[str, ...],
    folder: Path,
    limit: int,
    workers: int | None,
    output: str,
) -> None:
    """Say whether works are in a dataset, by the index that `caveat index` made of it.

    A PATH is a picture or a folder of pictures. A URL is one address, or everything below it when it ends in
    a slash. A DOMAIN is every address under it; another host name is that host alone.

    Exits with 1 when any is found, with 2 when some could not be read or compared.

    \b
      caveat find paintings/ --in laion-index
      caveat find ada.example https://shop.example/ada/ --in laion-index
    """
    pictures, texts = _sorted(queries)
    opened = DatasetIndex.open(folder)
    answers: list[Answer] = []
    with progress_bar("looking", len(pictures) + len(texts)) as bar:
        for answer in _answers(opened, pictures, texts, limit, workers or default_workers()):
            answers.append(answer)
            bar.advance()
            if output == "ndjson":
                click.echo(json.dumps(answer.to_wire(), ensure_ascii=False))
    if output == "json":
        emit_json([answer.to_wire() for answer in answers])
    elif output == "human":
        console().print(_table(answers))
    if any(answer.status is not Status.OK for answer in answers):
        ctx.exit(INCOMPLETE)
    ctx.exit(FOUND if any(answer.count for answer in answers) else CLEAN)


def _sorted(queries: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the pictures and the addresses among ``queries``."""
    pictures: list[Path] = []
    texts: list[str] = []
    for query in queries:
        path = Path(query)
        if path.is_dir():
            pictures += pictures_below(path)
        elif path.is_file():
            pictures.append(path)
        elif "://" in query or ("." in query and "/" not in query and not _names_picture(path)):
            texts.append(query)
        else:
            raise InputError(
                f"{query} is neither a file or folder here, nor a URL, nor a domain",
                hint="Check the path; a URL begins with https://.",
            )
    return pictures, texts


def _names_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _answers(
    opened: DatasetIndex, pictures: Sequence[Path], texts: Sequence[str], limit: int, workers: int
) -> Iterator[Answer]:
    yield from opened.find_pictures(pictures, limit=limit, workers=workers)
    for text in texts:
        yield opened.find(text, limit=limit)


def _tell(summary: IndexSummary) -> None:
    counts = summary.counts
    click.echo(f"{summary.folder}: {counted(counts.samples, 'sample')}, {summary.format}: it {summary.why}")
    if summary.resumed:
        click.echo(f"  {counted(summary.resumed, 'sample')} of an earlier run")
    for line in _held(counts):
        click.echo(f"  {line}")
    click.echo(f"  {summary.size:,} bytes, {summary.size / max(counts.samples, 1):,.0f} a sample")
    click.echo(f"to look for works in it: caveat find PICTURE|URL|DOMAIN --in {summary.folder}")


def _held(counts: Counts) -> Iterator[str]:
    """Yield what works can be found by, a line each."""
    if counts.addresses:
        yield f"{counts.addresses:,} addresses"
    if counts.pictures:
        yield f"{counts.pictures:,} pictures to compare with"
    if counts.plain:
        yield f"{counts.plain:,} pictures too plain to be compared: found as the same file only"
    if counts.phashes:
        yield f"{counts.phashes:,} pHashes of the dataset's own, which ask for a look at most"
    if not counts.pictures and not counts.phashes:
        yield "no pictures to compare with: works are found by address alone"
    if counts.faults:
        yield f"{counts.faults:,} samples that could not be read, or not by all that they have"


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("answer", "what", "where", "how"):
        table.add_column(head, overflow="fold")
    for answer in answers:
        style, said = _said(answer)
        table.add_row(f"[{style}]{said}[/]", escape(answer.query), "", escape(answer.reason))
        for one in answer.found:
            look = "" if one.match.certain else "[yellow]look at it[/]"
            where = " ".join((one.sample, *one.urls))
            table.add_row(look, "", escape(where), escape(_how(one.match)))
        if 0 < len(answer.found) < answer.count:
            table.add_row("", "", f"… and {answer.count - len(answer.found):,} more", "")
    return table


def _said(answer: Answer) -> tuple[str, str]:
    """Return style and word of an answer."""
    if answer.status is not Status.OK:
        return "magenta", str(answer.status)
    if not answer.count:
        return "dim", "not found"
    sure = any(one.match.certain for one in answer.found)
    return ("red", "found") if sure or not answer.found else ("yellow", "look at it")


def _how(match: Match) -> str:
    if match.kind == "sha256":
        return "the same file"
    if match.distance is None:
        return "address"
    mirrored = ", mirrored" if "mirror" in (match.form or "") else ""
    part = "" if match.window == "full" else f", its window {match.window}"
    return f"{match.kind}, {match.distance} bits apart{part}{mirrored}"
