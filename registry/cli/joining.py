"""One command line out of two: the client's commands, and those that an installed extra brings.

Extras name their commands in the entry-point group ``caveat.commands``. Where the client has a group of the
same name, the two are one group: the client's subcommands are found first, without loading the extra, and the
extra's stand beside them. Without the extra the client's own still work::

    caveat snapshot pull      the client's, from registry/cli/snapshot.py
    caveat snapshot build     the operator's, from api/commands/snapshot.py

A command is loaded when it is asked for; the list of all of them stands in :mod:`registry.cli.listed`.
"""

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import click

from registry.cli.listed import OPERATORS, OWN, SERVER, Own

__all__ = ["Commands"]

_BROUGHT = "caveat.commands"


class Commands(click.Group):
    """The commands of the client, ``own`` among them, and those that installed extras bring."""

    def __init__(self, *args: Any, own: Mapping[str, Own] = MappingProxyType({}), **options: Any) -> None:
        super().__init__(*args, **options)
        self._own = own

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of what can be run here."""
        brought = [point.name for point in entry_points(group=_BROUGHT) if _is_installed(point)]
        return sorted({*super().list_commands(ctx), *self._own, *brought})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; says what to install where an extra is missing."""
        own = super().get_command(ctx, cmd_name) or self._loaded(cmd_name)
        for point in entry_points(group=_BROUGHT, name=cmd_name):
            if isinstance(own, click.Group):
                return _Joined(own, point)
            return own or _required(point)
        return own

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands; only one of which no line is known is loaded for it."""
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(map(len, names))
        known = [click.Command(name, help=self._line(ctx, name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl([(one.name or "", one.get_short_help_str(room)) for one in known])

    def _loaded(self, name: str) -> click.Command | None:
        if name not in self._own:
            return None
        module, attribute, _ = self._own[name]
        command: click.Command = getattr(import_module(f"registry.cli.{module}"), attribute)
        return command

    def _line(self, ctx: click.Context, name: str) -> str:
        if name in self._own:
            return self._own[name].line
        if name in OPERATORS:
            return OPERATORS[name]
        command = self.get_command(ctx, name)
        return "" if command is None else command.help or ""


class _Joined(click.Group):
    """A group of the client's, with what the operator's group of that name adds."""

    def __init__(self, own: click.Group, point: EntryPoint) -> None:
        super().__init__(own.name, help=own.help, callback=own.callback, params=own.params)
        self._own, self._point = own, point

    def list_commands(self, ctx: click.Context) -> list[str]:
        brought = [] if self._brought is None else self._brought.list_commands(ctx)
        return sorted({*self._own.list_commands(ctx), *brought})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = self._own.get_command(ctx, cmd_name)
        if own is not None:
            return own
        if self._brought is None:
            raise click.ClickException(
                f"no 'caveat {self.name} {cmd_name}' here; an operator's command needs the server: "
                "pip install 'caveat-registry[server]'"
            )
        return self._brought.get_command(ctx, cmd_name)

    @cached_property
    def _brought(self) -> click.Group | None:
        brought = _loaded(self._point)
        if brought is None:
            return None
        if not isinstance(brought, click.Group):
            raise TypeError(f"'caveat {self.name}' is a group here, and a command in {self._point.value}")
        doubled = self._own.commands.keys() & brought.commands.keys()
        if doubled:
            raise TypeError(f"'caveat {self.name} {min(doubled)}' stands here and in {self._point.value}")
        return brought


def _is_installed(point: EntryPoint) -> bool:
    """Say whether what the command needs is installed, without loading it where that is known."""
    if point.name in OPERATORS or point.name in OWN:
        parts = (point.module.partition(".")[0], *SERVER)
        return all(find_spec(part) is not None for part in parts)
    return _loaded(point) is not None


def _loaded(point: EntryPoint) -> click.Command | None:
    """Return the command, or None when what it needs is not installed."""
    try:
        return _load(point)
    except ImportError:
        return None


def _required(point: EntryPoint) -> click.Command:
    try:
        return _load(point)
    except ImportError as error:
        raise click.ClickException(
            f"'caveat {point.name}' needs the server: pip install 'caveat-registry[server]' ({error})"
        ) from error


def _load(point: EntryPoint) -> click.Command:
    command: click.Command = point.load()
    return command
