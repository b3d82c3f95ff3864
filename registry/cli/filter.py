"""``caveat filter`` and ``caveat formats``."""

import re
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import click

from registry.cli.asking import asked_of, asking_options
from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    NOTHING,
    Bar,
    counted,
    licence_option,
    min_evidence_option,
    progress_bar,
    use_option,
    workers_option,
)
from registry.cli.granting import grant_option, held_of
from registry.cli.places import PlaceType
from registry.cli.signing import signer_of, signing_key_option
from registry.cli.sites import site_signals_option, sites_if
from registry.cli.telling import OUTPUTS, declined, tell
from registry.client import FilterSummary, Options, Progress, Rules, filter_dataset
from registry.client.engines import ENGINES
from registry.client.formats import FORMATS, Dataset
from registry.client.inplace import filter_in_place
from registry.client.own import OwnWorks, read_own
from registry.client.pictures import default_workers
from registry.client.stores import Address
from registry.preference import Mode, Use

__all__ = ["filter_", "formats"]

_SRC = PlaceType(exists=True)
_DST = PlaceType()


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
@click.argument("src", type=_SRC, required=False, metavar="SRC")
@click.argument("dst", type=_DST, required=False, metavar="DST")
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
@licence_option("as the reason names them")
@grant_option
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
    help="Go on from what an earlier run has done, shards or hashes, or delete it and begin anew.",
)
@click.option(
    "--subset",
    is_flag=True,
    help="Of a DataComp pool write DST as a subset, a .npy of the uids that stay, and no tables.",
)
@click.option(
    "--own",
    type=click.Path(exists=True, path_type=Path),
    help="Your own works, to be kept: a folder of pictures, or a list of sha256: and pdq: lines.",
)
@min_evidence_option("Records of registries below this level of evidence are told, and do not count.")
@click.option("--in-place", is_flag=True, help="Move what goes out of SRC itself; then there is no DST.")
@click.option(
    "--quarantine",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where --in-place moves what goes: a new folder outside of SRC.",
)
@signing_key_option
@click.option(
    "--countersign/--no-countersign",
    default=True,
    show_default=True,
    help="Have each registry say in a bundle what it answered; it keeps nothing of that.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before strict mode leaves out what nobody has spoken of."
)
@click.option(
    "--report", type=click.Choice(["html"]), default="html", show_default=True, help="Kind of report."
)
@click.option("--output", type=click.Choice(OUTPUTS), default="human", show_default=True)
@click.pass_context
def filter_(
    ctx: click.Context,
    src: Path | Address | None,
    dst: Path | Address | None,
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
    grant_files: tuple[Path, ...],
    organisation: str | None,
    purpose: str | None,
    engine: str,
    share: tuple[int, int] | None,
    resume: bool,
    subset: bool,
    own: Path | None,
    min_evidence: int,
    in_place: bool,
    quarantine: Path | None,
    signing_key: Path | None,
    countersign: bool,
    dry_run: bool,
    yes: bool,
    report: str,
    output: str,
) -> None:
    """Copy the dataset SRC to DST without the works that are reserved.

    SRC is a folder of pictures with captions, kohya's N_concept folders, an imagefolder with
    metadata.jsonl or .csv, a folder of WebDataset .tar shards or one of them, a .zip of pictures, or a .csv,
    .tsv or .parquet file with a column of URLs. It is never changed, but with --in-place. Captions, caches,
    masks and rows of removed works go with them. DST.caveat/ tells what was decided of each sample and why,
    with a report to open. Folders of shards and of tables may be at an object store, s3://bucket/prefix, and
    so may DST.

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
      caveat filter s3://b/laion s3://b/clean            at object stores
      caveat filter my-set permitted --grant ada.grant   what Ada has permitted you
      caveat filter pool kept.npy --subset               a subset of a DataComp pool
      caveat filter my-set --in-place --quarantine away  no copy: what goes is moved
      caveat filter                                      asks for both, on a terminal
    """
    if in_place or quarantine is not None:
        src, dst = _in_place(ctx, src, dst, quarantine if in_place else None)
        if subset or share is not None:
            raise click.UsageError("--in-place is for folders: leave out --subset and --shard.", ctx)
    src, dst = _places(ctx, src, dst)
    works = OwnWorks() if own is None else read_own(own, workers or default_workers())
    met = frozenset(licences)
    asked = asked_of(registry_urls, key, snapshot, max_age, private=private)
    rules = Rules(
        use=Use(use),
        mode=Mode(mode),
        organisation=organisation or "",
        purpose=purpose or "",
        review=review,
        met=met,
        min_evidence=min_evidence,
        own=works,
        grants=held_of(grant_files, asked, Use(use)),
    )
    signer = None if dry_run else signer_of(signing_key)
    options = Options(
        engine, workers, share, resume, on_error == "stop", dry_run, subset, signer, countersign
    )
    with progress_bar("checking") as bar, sites_if(site_signals) as sites:
        run: Callable[..., FilterSummary] = filter_in_place if in_place else filter_dataset
        summary = run(
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


def _places(
    ctx: click.Context, src: Path | Address | None, dst: Path | Address | None
) -> tuple[Path | Address, Path | Address]:
    """Return where to read and where to write; a call without either is asked for both, on a terminal."""
    if src is None and sys.stdin.isatty():
        click.echo(
            "Which dataset is to be filtered? It stays as it is; the copy goes to another place.", err=True
        )
        asked: Path | Address = click.prompt("Folder or file", type=_SRC, err=True)
        beside = _beside(asked) if isinstance(asked, Path) else None
        return asked, click.prompt("Where to write", type=_DST, err=True, default=beside)
    if src is None or dst is None:
        missing = next(one for one in ctx.command.params if one.name == ("src" if src is None else "dst"))
        raise click.MissingParameter(ctx=ctx, param=missing)
    return src, dst


def _in_place(
    ctx: click.Context, src: Path | Address | None, dst: Path | Address | None, quarantine: Path | None
) -> tuple[Path | None, Path]:
    """Return the source, and where what goes is moved."""
    if quarantine is None:
        raise click.UsageError("--in-place and --quarantine DIR go together.", ctx)
    if dst is not None:
        raise click.UsageError(f"--in-place writes no copy, and {dst} names one: leave out DST.", ctx)
    if isinstance(src, Address):
        raise click.UsageError(f"{src} is at a store, and --in-place is for folders on this machine.", ctx)
    return src, quarantine


def _beside(src: Path) -> Path:
    """Return a name for the copy beside its source that is not taken."""
    whole = src.absolute()
    names = (f"{whole.stem}-clean{number or ''}{whole.suffix}" for number in count())
    return next(there for name in names if not (there := whole.with_name(name)).exists())


def _tell(summary: FilterSummary, output: str, *, dry_run: bool) -> int:
    """Tell what a run did, and return the exit code."""
    tell(summary, output, dry_run=dry_run)
    if summary.shared:
        return INCOMPLETE if summary.errors else CLEAN
    if not summary.kept or declined(summary, dry_run=dry_run):
        return NOTHING
    return INCOMPLETE if summary.errors else CLEAN


def _progress(bar: Bar, *, yes: bool) -> Progress:
    def begin(dataset: Dataset, total: int | None) -> None:
        click.echo(f"reading it as {dataset.name}: it {dataset.why}", err=True)
        bar.expect(total)

    def done(steps: int, gone: int) -> None:
        bar.advance(steps)
        bar.lose(gone)

    return Progress(begin, bar.advance, done, _asking(bar, yes=yes))


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
