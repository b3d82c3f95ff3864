"""``caveat erase``: destroying what one lodged, with its past."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from registry.cli.common import CLEAN, NOTHING, counted, only_registry, registry_options

__all__ = ["erase"]

_STAYS = """\
What stays: entries of the log, which tell nothing without what is destroyed now; copies that trainers and
mirrors have until they hear of it; the operator's backups."""


@click.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--keep", is_flag=True, help="Keep works and addresses reserved; only what names a person goes."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@registry_options
@click.pass_context
def erase(
    ctx: click.Context, id_: str, keep: bool, yes: bool, registry_urls: tuple[str, ...], key: str | None
) -> None:
    """Destroy the reservation ID and all its past, or with --keep only what in it names a person.

    Withdrawing ends a reservation and keeps the record of it; erasing destroys that record, and nobody can
    bring it back. With --keep, works and addresses are lodged anew under the same identifier, without titles,
    name, terms and contact.
    """
    client = only_registry(registry_urls, key)
    if not yes:
        click.echo(_announced(id_, client.show(id_), keep=keep), err=True)
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask on. Give --yes if this is meant.")
        if not click.confirm("Go on?", err=True):
            click.echo("nothing was erased", err=True)
            ctx.exit(NOTHING)
    answer = client.erase(id_, keep=keep)
    click.echo(f"erased at {client.url}, event {answer['seq']}")
    if keep:
        click.echo(f"still reserved, without names: {_counted(answer['works'], answer['rules'])}")
    ctx.exit(CLEAN)


def _announced(id_: str, shown: Mapping[str, Any], *, keep: bool) -> str:
    """Say what goes and what stays."""
    what = f"{id_}: {_counted(shown['works'], len(shown['rules']))}"
    what += f", “{shown['label']}”" if shown["label"] else ""
    if keep:
        goes = "Titles, name, terms and contact go, and all the past.\nWorks and addresses stay reserved."
    else:
        goes = "All of it is destroyed, and its past; nothing of it is reserved any more."
    return f"{what}\n{goes} This cannot be undone.\n{_STAYS}"


def _counted(works: int, rules: int) -> str:
    return f"{counted(works, 'work')}, {counted(rules, 'address rule')}"
