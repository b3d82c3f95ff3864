"""``caveat check``: what the registries say of pictures and addresses. Writes nothing."""

from collections.abc import Sequence
from itertools import chain
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
    emit_json,
    progress_bar,
    use_option,
    workers_option,
)
from registry.cli.sites import site_signals_option, sites_if
from registry.client.formats import Sample
from registry.client.formats.folder import pictures_below
from registry.client.pictures import Hashers, default_workers
from registry.client.verdicts import Judges, Rules, Verdict, judge_all
from registry.errors import InputError
from registry.preference import Action, Mode, Preference, Use

__all__ = ["check"]


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="PATH|URL…")
@use_option
@asking_options
@site_signals_option
@workers_option
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def check(
    ctx: click.Context,
    targets: tuple[str, ...],
    use: str,
    registry_urls: tuple[str, ...],
    key: str | None,
    private: bool,
    snapshot: Path | None,
    max_age: float,
    site_signals: bool,
    workers: int | None,
    output: str,
) -> None:
    """Say what is known of pictures, folders of pictures, and URLs.

    Exits with 1 when a reserved work is among them, with 2 when something could not be checked.

    \b
      caveat check painting.jpg
      caveat check my-set/ https://ada.example/works/sunflower.jpg
    """
    samples = _samples(targets)
    asked = asked_of(registry_urls, key, snapshot, max_age, private=private)
    for one in asked:
        one.check_parameters()
    rules = Rules(Use(use), Mode.EU_ART4)
    with (
        progress_bar("hashing", len(samples)) as bar,
        sites_if(site_signals) as sites,
        Hashers(workers or default_workers()) as hashers,
    ):
        judged = judge_all(samples, Judges(asked, rules, sites), hashers, bar.advance)
        verdicts = list(chain.from_iterable(judged))
    if output == "json":
        emit_json([verdict.to_wire() for verdict in verdicts])
    else:
        console().print(_table(verdicts))
    if any(verdict.action is Action.ERROR for verdict in verdicts):
        ctx.exit(INCOMPLETE)
    ctx.exit(FOUND if any(verdict.action is Action.REMOVE for verdict in verdicts) else CLEAN)


def _samples(targets: Sequence[str]) -> list[Sample]:
    samples: list[Sample] = []
    for target in targets:
        path = Path(target)
        if target.lower().startswith(("http://", "https://")):
            samples.append(Sample(target, urls=(target,)))
        elif path.is_dir():
            samples += [Sample(picture.as_posix(), picture) for picture in pictures_below(path)]
        elif path.is_file():
            samples.append(Sample(target, path))
        elif "://" in target:
            samples.append(Sample(target, urls=(target,)))
        else:
            raise InputError(
                f"{target} is neither a file or folder here, nor a URL", hint="A URL begins with https://."
            )
    return samples


def _table(verdicts: Sequence[Verdict]) -> Table:
    styles = {
        Preference.RESERVED: "red",
        Preference.CONDITIONAL: "red",
        Preference.ALLOWED: "green",
        Preference.UNKNOWN: "dim",
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("answer", "what", "why"):
        table.add_column(head, overflow="fold")
    for verdict in verdicts:
        answer = f"[magenta]{verdict.status}[/]"
        if verdict.decision is not None:
            preference = verdict.decision.preference
            answer = f"[{styles[preference]}]{preference}[/]"
            if verdict.action is Action.REVIEW:
                answer = "[yellow]look at it[/]"
        table.add_row(answer, escape(verdict.sample.key), escape(verdict.reason))
    return table
