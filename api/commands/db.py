"""``caveat db``: the tables, the index files, backups, and following another registry."""

import os
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, connected, existing, follow, opened, read_settings
from registry.backup import back_up, find_missing, replay, require_newest, require_unused, restore, set_aside
from registry.builder import Builder
from registry.errors import LogError, SettingsError
from registry.index_folder import IndexFolder, Part
from registry.log_folder import LogFolder
from registry.migrations import migrate
from registry.mirror import Mirror, pin_upstream
from registry.note import Signer
from registry.registrar import Registrar
from registry.store import Store
from registry.store.waking import Waking
from registry.upstream import Upstream

__all__ = ["db"]

_NICE = 10
"""By how much what can wait gives way to those who are answered."""


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
    store = connected(settings)
    builder, checked = Builder(store, folder), time.monotonic()

    def build() -> None:
        nonlocal checked
        again = time.monotonic() - checked >= settings.index_check_seconds
        checked = time.monotonic() if again else checked
        if (built := builder.build(again=again)) is not None:
            click.echo(f"index: {_told(built)}", err=True)

    follow("index not built", build, Waking(store))


@db.command("backup")
@DATA
@DATABASE
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def db_backup(data: Path | None, database: str | None, file: Path) -> None:
    """Write a copy of the database to FILE, while the service runs.

    The folder of the log is not in it: copy its folder `key` apart, once, and after each rotation.
    """
    store = existing(read_settings(data, database))
    back_up(store, file)
    click.echo(f"{file}: {file.stat().st_size:,} bytes, at event {store.head():,} or later")


@db.command("restore")
@DATA
@DATABASE
@click.option("--from-mirror", metavar="URL", help="Fetch what is missing from a mirror.")
@click.option("--mirror-key", envvar="CAVEAT_MIRROR_KEY", help="API key of scope mirror there.")
@click.option("--accept-older", is_flag=True, help="Go on without what is missing, with a new log.")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def db_restore(
    data: Path | None,
    database: str | None,
    from_mirror: str | None,
    mirror_key: str | None,
    accept_older: bool,
    file: Path | None,
) -> None:
    """Put a backup in the place of the database, and see that no acknowledged event is lost with it.

    Stop the service first: nobody else may be connected. Without FILE only the second is done.

    \b
    caveat db restore backup.sqlite                      says what is missing since
    caveat db restore --from-mirror https://m.example    fetches it
    caveat db restore --accept-older                     begins a new log without it
    """
    settings = read_settings(data, database)
    if file is None:
        store = existing(settings)
        require_unused(store)
    else:
        store = connected(settings)
        restore(store, file)
        migrate(store)
    click.echo(f"the database is at event {store.head():,}")
    if settings.log is None:
        raise SettingsError(
            "no folder of the log is named, so nothing can be said of what is missing", hint="Set CAVEAT_LOG."
        )
    folder = LogFolder(settings.log)
    if from_mirror is not None:
        click.echo(f"replayed up to event {replay(store, folder, Upstream(from_mirror, mirror_key or '')):,}")
    if accept_older and (lost := find_missing(store, folder)) is not None:
        click.echo(f"given up: {lost}", err=True)
        _begin_anew(store, folder)
    require_newest(store, folder)
    click.echo("nothing that was signed is missing")


def _begin_anew(store: Store, folder: LogFolder) -> None:
    """Begin a log of another name, and say so in it."""
    keys = folder.signers()
    if not keys:
        raise LogError("the log has no key", hint="Put the folder key of the log back first.")
    aside = set_aside(folder)
    signer = Signer.new(f"{keys[0].name}/after-{store.head()}")
    folder.write_signer(signer)
    Registrar(store, lambda: datetime.now(UTC)).announce_key("key", signer.verifier.text)
    click.echo(f"the old log is in {aside}; the new one is {signer.verifier.text}: tell those who check it")


@db.command("watch")
@DATA
@DATABASE
@click.option("--follow", "go_on", is_flag=True, help="Go on, whatever is lodged.")
def db_watch(data: Path | None, database: str | None, go_on: bool) -> None:
    """Hold the items of subscriptions against what became reserved, and send the webhooks that are due.

    `caveat serve` runs this by itself. Where gunicorn is started in another way, run it with --follow beside
    it, on as many machines as you like: one of them leads, the others wait.
    """
    # Loaded here: it looks up, and the other commands of this group do not.
    from api.commands.watch import Watch

    settings = read_settings(data, database)
    if settings.mirror:
        raise SettingsError("a mirror watches for nobody", hint="Run it at the registry that it follows.")
    with closing(Watch(existing(settings), settings)) as work:
        if not go_on:
            click.echo("done" if work.step() else "another process is at it")
            return
        os.nice(_NICE)
        follow("subscriptions not looked at", work.step)


@db.command("follow")
@DATA
@DATABASE
@click.option("--once", is_flag=True, help="Take one step and end.")
def db_follow(data: Path | None, database: str | None, once: bool) -> None:
    """Follow the registry that this one mirrors, CAVEAT_MIRROR, and verify all that it says.

    `caveat serve --mirror` runs this by itself.
    """
    settings = read_settings(data, database)
    if not settings.mirror:
        raise SettingsError("no registry to follow is named", hint="Set CAVEAT_MIRROR to its address.")
    if settings.log is None:
        raise SettingsError("a mirror wants a folder for its copy of the log", hint="Set CAVEAT_LOG to one.")
    store, folder = opened(settings), LogFolder(settings.log)
    upstream = Upstream(settings.mirror, settings.mirror_key)
    mirrors: list[Mirror] = []

    def step() -> None:
        if not mirrors:
            verifiers = pin_upstream(store, upstream, settings.mirror_log_key)
            mirrors.append(Mirror(store, folder, upstream, verifiers, time.time))
        before = store.head()
        with folder.writing():
            seq = mirrors[0].follow()
        if once or seq > before:
            click.echo(f"mirror: verified up to event {seq:,}", err=not once)

    if once:
        step()
    else:
        follow("mirror does not advance", step)


def _told(part: Part) -> str:
    return f"{part.file}: {part.size:,} keys and hashes, events {part.after + 1} to {part.upto}"


def _migrate(data: Path | None, database: str | None) -> None:
    store = opened(read_settings(data, database))
    click.echo(f"ready, at event {store.head()}")
