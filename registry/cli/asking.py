"""Whom a command asks: registries over HTTP, openly or by ranges of keys, or a snapshot on this machine."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from registry.cli.common import registries, registry_options
from registry.client.private import PrivateRegistry
from registry.client.snapshot import DAY, MAX_AGE_DAYS, Snapshot
from registry.client.verdicts import Registry
from registry.errors import SettingsError

__all__ = ["age_of", "asked_of", "asking_options", "max_age_option"]

Command = TypeVar("Command", bound=Callable[..., Any])

max_age_option = click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    default=MAX_AGE_DAYS,
    show_default=True,
    help="Days that a snapshot may be old.",
)


def asking_options(command: Command) -> Command:
    """Add ``--registry``, ``--key``, ``--private``, and ``--snapshot`` and ``--max-age`` in their place."""
    command = max_age_option(command)
    command = click.option(
        "--snapshot",
        type=click.Path(file_okay=False, path_type=Path),
        help="Look up in this snapshot, fetched with caveat snapshot pull; nothing is sent.",
    )(command)
    command = click.option(
        "--private",
        is_flag=True,
        help="Send the beginnings of keys only, which many addresses and files share; pictures cannot be "
        "compared so.",
    )(command)
    return registry_options(command)


def asked_of(
    urls: tuple[str, ...], key: str | None, snapshot: Path | None, max_age: float, *, private: bool = False
) -> Sequence[Registry]:
    """Return whom to ask. Raises :class:`SettingsError`, and as :meth:`Snapshot.open` does."""
    if snapshot is None:
        named = registries(urls, key)
        return [PrivateRegistry(one) for one in named] if private else named
    if private:
        raise SettingsError("--snapshot sends nothing, and --private something", hint="Give one of them.")
    if urls:
        raise SettingsError("--registry and --snapshot name two places to look in", hint="Give one of them.")
    opened = Snapshot.open(snapshot, max_age=max_age)
    click.echo(
        f"{opened.url}, as of event {opened.as_of_seq:,}, {age_of(opened.manifest.built_at)} old, "
        f"with {', '.join(opened.tiers)}; nothing is sent",
        err=True,
    )
    return [opened]


def age_of(built_at: int) -> str:
    """Return how long ago that was, in words."""
    age = max(time.time() - built_at, 0)
    number, unit = (age / 3600, "hour") if age < 2 * DAY else (age / DAY, "day")
    return f"{number:.0f} {unit}{'' if round(number) == 1 else 's'}"
