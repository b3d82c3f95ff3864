"""What the operator commands share: where the data is, and work that goes on until it is told to stop."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from api.settings import Settings, settings_from
from registry.disk import make_folder
from registry.errors import CaveatError, SettingsError
from registry.store import Store
from registry.store.waking import Waking

__all__ = [
    "DATA",
    "DATABASE",
    "LOOK_AGAIN_SECONDS",
    "connected",
    "existing",
    "follow",
    "opened",
    "read_settings",
    "stop_with_parent",
]

LOOK_AGAIN_SECONDS = 5
_LEAST_PAUSE_SECONDS = 1
"""Between the beginnings of two steps, however fast writes follow each other: a step syncs files, and what it
writes of a tile that is not full is written again by the next."""
DATA = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Folder of the embedded database."
)
DATABASE = click.option("--database", metavar="URL", help="PostgreSQL: postgresql://user@host/name.")


def read_settings(data: Path | None, database: str | None) -> Settings:
    """Join options and environment; the folder ./caveat-data is the last resort."""
    if data and database:
        raise SettingsError("--data and --database name two databases", hint="Give one of them.")
    environment = {k: v for k, v in os.environ.items() if k.startswith("CAVEAT_")}
    if data or database:
        environment.pop("CAVEAT_DATA", None)
        environment.pop("CAVEAT_DATABASE", None)
        environment |= {"CAVEAT_DATABASE": database} if database else {"CAVEAT_DATA": str(data)}
    elif "CAVEAT_DATA" not in environment and "CAVEAT_DATABASE" not in environment:
        environment["CAVEAT_DATA"] = "caveat-data"
    return settings_from(environment)


def opened(settings: Settings) -> Store:
    """Open the database, made or brought to this version first."""
    if settings.database.startswith("sqlite:///"):
        make_folder(Path(settings.database[10:]).parent)
    # Loaded here, since most commands bring no tables to a version.
    from registry.migrations import migrate

    store = Store.open(settings.database)
    migrate(store)
    return store


def existing(settings: Settings) -> Store:
    """Connect to a database that is there; a mistyped folder must not become a new registry."""
    if settings.database.startswith("sqlite:///") and not Path(settings.database[10:]).exists():
        raise SettingsError(
            f"there is no registry at {settings.database}", hint="Check --data; db init makes one."
        )
    return connected(settings)


def connected(settings: Settings) -> Store:
    """Connect to a database until the command ends."""
    store = Store.open(settings.database)
    click.get_current_context().call_on_close(store.close)
    return store


def follow(failed: str, step: Callable[[], object], waking: Waking | None = None) -> None:
    """Do ``step`` every few seconds until this process is told to stop; sooner where ``waking`` says so."""
    stop_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            begun = time.monotonic()
            try:
                step()
            except CaveatError as error:
                click.echo(f"{failed}: {error.message}; trying again", err=True)
            if waking is None:
                time.sleep(LOOK_AGAIN_SECONDS)
            elif waking.wait(LOOK_AGAIN_SECONDS):
                time.sleep(max(0.0, begun + _LEAST_PAUSE_SECONDS - time.monotonic()))


def stop_with_parent() -> None:
    """End the process when the one that started it is gone, if it gave its number for that."""
    parent = os.environ.get("CAVEAT_STOP_WITH_PARENT", "")

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    if parent.isdecimal():
        threading.Thread(target=watch, daemon=True).start()
