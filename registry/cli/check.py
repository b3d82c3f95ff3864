"""``caveat check``: what the registries say of pictures and addresses, today or on a day. Writes nothing.

With ``--as-of`` only registries are asked: what a file or a site says itself is of today.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from registry.cli.moments import state_of
from registry.cli.sites import site_signals_option, sites_if
from registry.client import RegistryClient
from registry.client.formats import Sample
from registry.client.formats.folder import pictures_below
from registry.client.past import Moment, PastRegistry, moment_of
from registry.client.pictures import Hashers, default_workers
from registry.client.verdicts import Judges, Registry, Rules, Verdict, judge, judge_all
from registry.errors import InputError
from registry.preference import Action, Mode, Preference, Use
from registry.signals import Reading

__all__ = ["check"]


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="PATH|URL…")
@use_option
@asking_options
@site_signals_option
@click.option(
    "--as-of",
    metavar="TIME",
    help="What was known then: a day, 2026-11-03, to its end in UTC, or a time, 2026-11-03T12:00Z.",
)
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
    as_of: str | None,
    workers: int | None,
    output: str,
) -> None:
    """Say what is known of pictures, folders of pictures, and URLs.

    Exits with 1 when a reserved work is among them, with 2 when something could not be checked.

    \b
      caveat check painting.jpg
      caveat check my-set/ https://ada.example/works/sunflower.jpg
      caveat check painting.jpg --as-of 2026-11-03
    """
    samples = _samples(targets)
    if as_of is not None and (snapshot is not None or private or site_signals):
        raise InputError(
            "only a registry itself knows what it knew on a day",
            hint="Leave out --snapshot, --private and --site-signals, or --as-of.",
        )
    asked: Sequence[Registry] = asked_of(registry_urls, key, snapshot, max_age, private=private)
    past = [] if as_of is None else [PastRegistry(one, moment_of(one, as_of)) for one in _clients(asked)]
    asked = past or asked
    for one in asked:
        one.check_parameters()
    rules, moments = Rules(Use(use), Mode.EU_ART4), list[Moment]()
    with (
        progress_bar("hashing", len(samples)) as bar,
        sites_if(site_signals) as sites,
        Hashers(workers or default_workers()) as hashers,
    ):
        judges = Judges(asked, rules, sites)
        if past:
            verdicts = list(_then(samples, judges, hashers))
            # Asked once more: what was erased meanwhile is to be counted too.
            moments = [one.again() for one in past]
        else:
            verdicts = list(chain.from_iterable(judge_all(samples, judges, hashers, bar.advance)))
    wires = [verdict.to_wire() for verdict in verdicts]
    states = [state_of(one) for one in moments]
    if output == "json":
        emit_json({"as_of": [one.wire for one in states], "verdicts": wires} if past else wires)
    else:
        console().print(_table(verdicts))
        for state in states:
            click.echo(state.text)
    if any(verdict.action is Action.ERROR for verdict in verdicts):
        ctx.exit(INCOMPLETE)
    ctx.exit(FOUND if any(verdict.action is Action.REMOVE for verdict in verdicts) else CLEAN)


def _clients(asked: Sequence[Registry]) -> Iterator[RegistryClient]:
    yield from (one for one in asked if isinstance(one, RegistryClient))


def _then(samples: Sequence[Sample], judges: Judges, hashers: Hashers) -> Iterator[Verdict]:
    """Yield what was known in the past; what the files say themselves today is left out."""
    pictures = [place for sample in samples if (place := sample.picture) is not None]
    hashed = (replace(one, reading=Reading()) for one in hashers.begin(pictures))
    yield from judge(samples, hashed, judges)


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
