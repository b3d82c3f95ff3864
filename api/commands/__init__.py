"""Operator commands, one file a noun.

They reach the command line through entry points, so that the client needs none of this.
"""

import sys

import click

from api.commands.api_keys import api_keys
from api.commands.db import db
from api.commands.log import log
from api.commands.serve import serve
from api.commands.snapshot import snapshot
from registry.errors import CaveatError

__all__ = ["api_keys", "db", "log", "main", "serve", "snapshot"]


def main() -> None:
    """Run the operator commands without the client: ``python -m api.commands``."""
    commands = {"serve": serve, "db": db, "log": log, "snapshot": snapshot, "api-keys": api_keys}
    group = click.Group("caveat", commands=commands)
    try:
        group()
    except CaveatError as error:
        click.echo(f"error: {error.message}" + (f"\n{error.hint}" if error.hint else ""), err=True)
        sys.exit(3)
