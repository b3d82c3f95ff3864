"""Operator commands, one file a noun.

They reach the command line through entry points, so that the client needs none of this. Each is loaded when
it is asked for: a process that publishes the log needs neither the index nor the web framework.
"""

import sys
from importlib import import_module

import click

from registry.errors import CaveatError

__all__ = ["main"]

_COMMANDS = {"serve": "serve", "db": "db", "log": "log", "snapshot": "snapshot", "api-keys": "api_keys"}


class _Commands(click.Group):
    """The commands by name; each is what its module calls itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _COMMANDS.get(cmd_name)
        if name is None:
            return None
        command: click.Command = getattr(import_module(f"api.commands.{name}"), name)
        return command


def main() -> None:
    """Run the operator commands without the client: ``python -m api.commands``."""
    try:
        _Commands("caveat")()
    except CaveatError as error:
        click.echo(f"error: {error.message}" + (f"\n{error.hint}" if error.hint else ""), err=True)
        sys.exit(3)
