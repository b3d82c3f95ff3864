"""One command line out of two: the client's commands, and those that an installed extra brings.

Extras name their commands in the entry-point group ``caveat.commands``. Where the client has a group of the
same name, the two are one group: the client's subcommands are found first, without loading the extra, and the
extra's stand beside them. Without the extra the client's own still work::

    caveat snapshot pull      the client's, from registry/cli/snapshot.py
    caveat snapshot build     the operator's, from api/commands/snapshot.py
"""

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

import click

__all__ = ["Commands"]

_BROUGHT = "caveat.commands"


class Commands(click.Group):
    """The commands of the client, and those that installed extras bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of what can be run here."""
        brought = [point.name for point in entry_points(group=_BROUGHT) if _loaded(point) is not None]
        return sorted({*super().list_commands(ctx), *brought})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; says what to install where an extra is missing."""
        own = super().get_command(ctx, cmd_name)
        for point in entry_points(group=_BROUGHT, name=cmd_name):
            if isinstance(own, click.Group):
                return _Joined(own, point)
            return own or _required(point)
        return own


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
