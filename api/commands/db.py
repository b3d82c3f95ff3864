"""``caveat db``: the tables and the index files."""

from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, follow, opened, read_settings
from registry.builder import Builder
from registry.errors import SettingsError
from registry.index_folder import IndexFolder, Part
from registry.store import Store

__all__ = ["db"]


@click.group()
def db() -> None:
    """Look after the database."""


@db.command("init")
@DATA
@DATABASE
def db_init(data: Path | None, database: str | None) -> None:
    """Create the tables."""
    _migrate(data, database)


@db.command("migrate")
@DATA
@DATABASE
def db_migrate(data: Path | None, database: str | None) -> None:
    """Bring the tables to this version; safe to repeat."""
    _migrate(data, database)


@db.command("build-index")
@DATA
@DATABASE
@click.option("--follow", "go_on", is_flag=True, help="Go on, and build whenever enough has come in.")
def db_build_index(data: Path | None, database: str | None, go_on: bool) -> None:
    """Write the index files that the workers share; they are derived, and can be deleted at any time.

    `caveat serve` runs this by itself. Where gunicorn is started in another way, run it with --follow beside
    it, as one process a machine. The folder is DATA/index, or CAVEAT_INDEX.
    """
    settings = read_settings(data, database)
    if settings.index is None:
        raise SettingsError("no folder for the index files is named", hint="Set CAVEAT_INDEX to one.")
    folder = IndexFolder(settings.index)
    if not go_on:
        built = Builder(existing(settings), folder).build(least=1)
        click.echo("nothing new to build" if built is None else f"built {_told(built)}")
        return
    builder = Builder(Store.open(settings.database), folder)

    def build() -> None:
        if (built := builder.build()) is not None:
            click.echo(f"index: {_told(built)}", err=True)

    follow("index not built", build)


def _told(part: Part) -> str:
    return f"{part.file}: {part.size:,} keys and hashes, events {part.after + 1} to {part.upto}"


def _migrate(data: Path | None, database: str | None) -> None:
    store = opened(read_settings(data, database))
    click.echo(f"ready, at event {store.head()}")
