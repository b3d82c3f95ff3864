"""``caveat serve``: the service, and beside it what builds index and snapshots, and publishes the log."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from api.commands.common import DATA, DATABASE, LOOK_AGAIN_SECONDS, opened, read_settings, stop_with_parent
from api.settings import Settings
from registry.backup import require_newest
from registry.disk import make_folder
from registry.errors import SettingsError, StorageError
from registry.log_folder import LogFolder
from registry.lookup import warm_up
from registry.store.engine import SAFE_SQLITE, is_multiprocess_safe, sqlite_version
from registry.store.mirrored import mirrored

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from api.state import State

__all__ = ["serve", "threaded_server"]


@click.command()
@DATA
@DATABASE
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, 256), help="Processes of gunicorn."
)
@click.option(
    "--threads", default=4, show_default=True, type=click.IntRange(1, 256), help="Threads a process."
)
@click.option("--mirror", metavar="URL", help="Follow this registry and only answer.  [env: CAVEAT_MIRROR]")
@click.option("--threaded", is_flag=True, help="One process and no gunicorn: for demos and small set-ups.")
def serve(
    data: Path | None,
    database: str | None,
    host: str,
    port: int,
    workers: int,
    threads: int,
    mirror: str | None,
    threaded: bool,
) -> None:
    """Run a registry, by default on http://127.0.0.1:8080 with its data in ./caveat-data.

    \b
    Try it:
      caveat api-keys create --name me --scope lookup --scope register
      caveat serve
      curl http://127.0.0.1:8080/readyz
    """
    settings = read_settings(data, database)
    if mirror is not None:
        settings = replace(settings, mirror=mirror)
    _require_whole(settings)
    warm_up()
    if settings.mirror:
        _keep_at_work(settings, "db", "follow")
    if threaded:
        _serve_threaded(settings, host, port)
        return
    if workers > 1 and not is_multiprocess_safe(settings.database):
        found, wanted = (".".join(map(str, v)) for v in (sqlite_version(), SAFE_SQLITE))
        click.echo(
            f"warning: SQLite {found} can corrupt a database that several processes write to;"
            " running one worker.\n"
            f"         Install pysqlite3 (SQLite {wanted} or newer), or use PostgreSQL.",
            err=True,
        )
        workers = 1
    if settings.index is not None:
        # Imports wait for the builder only where there is a folder; it says itself what is wrong with it.
        with contextlib.suppress(StorageError):
            make_folder(settings.index)
        _keep_at_work(settings, "db", "build-index", "--follow")
    if settings.log is not None and not settings.mirror:
        _keep_at_work(settings, "log", "publish", "--follow")
    if not settings.mirror:
        _keep_at_work(settings, "db", "watch", "--follow")
    _keep_snapshots(settings)
    _serve_gunicorn(settings, f"{host}:{port}", workers, threads)


def _require_whole(settings: Settings) -> None:
    """Bring the tables to this version; refuse a database that lost events, or is a mirror's or none."""
    store = opened(settings)
    with store.read() as connection:
        known = mirrored(connection)
    if settings.mirror and known is None and store.head():
        raise SettingsError("the database has events of its own: it cannot become a mirror")
    if known is not None and not settings.mirror:
        raise SettingsError(
            f"this database mirrors {known.upstream}", hint="Serve it with --mirror, and that address."
        )
    if settings.log is not None and not settings.mirror:
        require_newest(store, LogFolder(settings.log))
    store.close()


def _keep_snapshots(settings: Settings) -> None:
    """Keep snapshots built where the operator asks for it by naming their folder."""
    if not os.environ.get("CAVEAT_SNAPSHOTS") or settings.mirror:
        return
    if settings.log is None:
        click.echo(
            "warning: no snapshots are built here: the log's key signs them, and no log is named.\n"
            "         Set CAVEAT_LOG, or run caveat snapshot build --follow where the log is published.",
            err=True,
        )
        return
    _keep_at_work(settings, "snapshot", "build", "--follow")


def _keep_at_work(settings: Settings, *command: str) -> None:
    """Run another of our commands beside the service, and again should it end; it ends with this process."""
    environment = {**os.environ, "CAVEAT_STOP_WITH_PARENT": str(os.getpid())}
    environment |= {"CAVEAT_DATABASE": settings.database, "CAVEAT_MIRROR": settings.mirror}
    environment |= {"CAVEAT_INDEX": str(settings.index or ""), "CAVEAT_LOG": str(settings.log or "")}
    environment.pop("CAVEAT_DATA", None)

    def keep_running() -> None:
        while True:
            # In a session of its own: Ctrl-C is for the service, and the other ends when that is gone.
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, "-m", "api.commands", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            while process.poll() is None:
                time.sleep(0.5)
            click.echo(f"caveat {' '.join(command)} ended; starting it again", err=True)
            time.sleep(LOOK_AGAIN_SECONDS)

    threading.Thread(target=keep_running, daemon=True).start()


def threaded_server(settings: Settings, host: str, port: int) -> "BaseWSGIServer":
    """Return what ``caveat serve --threaded`` serves with, bound and not yet serving."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    from api import create_app

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:
            return

    return make_server(host, port, create_app(settings), threaded=True, request_handler=Quiet)


def _serve_threaded(settings: Settings, host: str, port: int) -> None:
    server = threaded_server(settings, host, port)
    _watch_in_thread(server, settings)
    click.echo(f"listening on http://{host}:{server.server_port}")
    stop_with_parent()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _watch_in_thread(server: "BaseWSGIServer", settings: Settings) -> None:
    """Look after the subscriptions in this process, with the read model that answers."""
    from api.commands.watch import Watch, watch_beside

    if not settings.mirror:
        held: State = cast(Any, server.app).extensions["caveat"]
        watch_beside(Watch(held.store, settings, held.lookup), threading.Event())


def _serve_gunicorn(settings: Settings, bind: str, workers: int, threads: int) -> None:
    from gunicorn.app.base import BaseApplication

    from api import create_app

    class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
        def load_config(self) -> None:
            options = {
                "bind": bind,
                "workers": workers,
                "threads": threads,
                "worker_class": "gthread",
                "timeout": 60,
                "graceful_timeout": 30,
                "keepalive": 30,
                "accesslog": None,
                "control_socket_disable": True,
                "loglevel": "info",
            }
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return create_app(settings)

    Server().run()
