"""The option ``--grant`` of commands that ask registries: files of grants, checked before anything else."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from registry.cli.log import memory_at
from registry.client.granted import HeldGrants, told_of
from registry.client.grants import GrantKeys, hold_grants
from registry.client.verdicts import Registry
from registry.preference import Use

__all__ = ["grant_option", "held_of", "tell_keys"]

grant_option = click.option(
    "--grant",
    "grant_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What whoever reserved works has permitted you, as they gave it to you; may be given several times.",
)


def held_of(files: Sequence[Path], asked: Sequence[Registry], use: Use | None = None) -> HeldGrants:
    """Return the grants in ``files``, checked against the registries ``asked``, and tell of them.

    Raises as :func:`registry.client.grants.hold_grants`.
    """
    grants, checked = hold_grants(files, asked, use, memory_at(None), time.time)
    for one in grants.held:
        click.echo(told_of(one.grant), err=True)
    for keys in checked:
        tell_keys(keys)
    return grants


def tell_keys(keys: GrantKeys) -> None:
    """Say where a key was taken on trust."""
    if keys.is_new:
        click.echo(
            f"the log of {keys.client.url} is not known here; taken for its key is {keys.names}\n"
            f"To be sure of it: caveat log verify --registry {keys.client.url} --log-key KEY.",
            err=True,
        )
