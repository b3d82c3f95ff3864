"""Operator commands: ``caveat serve``, ``caveat db`` and ``caveat api-keys``.

They reach the command line through an entry point, so that the client needs none of this.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from api.keys import create_key, parse_scopes
from api.settings import Settings, settings_from
from registry.builder import Builder
from registry.errors import CaveatError, LogError, NotFoundError, SettingsError
from registry.index_folder import IndexFolder, Part
from registry.log_folder import LogFolder
from registry.lookup import warm_up
from registry.migrations import migrate
from registry.note import Signer, open_note, parse_checkpoint
from registry.publisher import Publisher, fsck
from registry.store import Store, principals
from registry.store.engine import SAFE_SQLITE, is_multiprocess_safe, sqlite_version

__all__ = ["api_keys", "db", "log", "serve"]

_LOOK_AGAIN_SECONDS = 5
_DATA = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Folder of the embedded database."
)
_DATABASE = click.option("--database", metavar="URL", help="PostgreSQL: postgresql://user@host/name.")


def _settings(data: Path | None, database: str | None) -> Settings:
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


def _opened(settings: Settings) -> Store:
    """Open the database, made or brought to this version first."""
    if settings.database.startswith("sqlite:///"):
        Path(settings.database[10:]).parent.mkdir(parents=True, exist_ok=True)
    store = Store.open(settings.database)
    migrate(store)
    return store


def _existing(settings: Settings) -> Store:
    """Open a database that is there; a mistyped folder must not become a new registry."""
    if settings.database.startswith("sqlite:///") and not Path(settings.database[10:]).exists():
        raise SettingsError(
            f"there is no registry at {settings.database}", hint="Check --data; db init makes one."
        )
    return Store.open(settings.database)


@click.command()
@_DATA
@_DATABASE
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
@click.option("--threaded", is_flag=True, help="One process and no gunicorn: for demos and small set-ups.")
def serve(
    data: Path | None, database: str | None, host: str, port: int, workers: int, threads: int, threaded: bool
) -> None:
    """Run a registry, by default on http://127.0.0.1:8080 with its data in ./caveat-data.

    \b
    Try it:
      caveat api-keys create --name me --scope lookup --scope register
      caveat serve
      curl http://127.0.0.1:8080/readyz
    """
    settings = _settings(data, database)
    _opened(settings).close()
    warm_up()
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
        _keep_at_work(settings, "db", "build-index", "--follow")
    if settings.log is not None:
        _keep_at_work(settings, "log", "publish", "--follow")
    _serve_gunicorn(settings, f"{host}:{port}", workers, threads)


def _keep_at_work(settings: Settings, *command: str) -> None:
    """Run another of our commands beside the service, and again should it end; it ends with this process."""
    environment = {**os.environ, "CAVEAT_STOP_WITH_PARENT": str(os.getpid())}
    environment |= {"CAVEAT_DATABASE": settings.database}
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
            time.sleep(_LOOK_AGAIN_SECONDS)

    threading.Thread(target=keep_running, daemon=True).start()


def _serve_threaded(settings: Settings, host: str, port: int) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    from api import create_app

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:
            return

    server = make_server(host, port, create_app(settings), threaded=True, request_handler=Quiet)
    click.echo(f"listening on http://{host}:{server.server_port}")
    _stop_with_parent()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _stop_with_parent() -> None:
    """End the process when the one that started it is gone, if it gave its number for that."""
    parent = os.environ.get("CAVEAT_STOP_WITH_PARENT", "")

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    if parent.isdecimal():
        threading.Thread(target=watch, daemon=True).start()


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


@click.group()
def db() -> None:
    """Look after the database."""


@db.command("init")
@_DATA
@_DATABASE
def db_init(data: Path | None, database: str | None) -> None:
    """Create the tables."""
    _migrate(data, database)


@db.command("migrate")
@_DATA
@_DATABASE
def db_migrate(data: Path | None, database: str | None) -> None:
    """Bring the tables to this version; safe to repeat."""
    _migrate(data, database)


@db.command("build-index")
@_DATA
@_DATABASE
@click.option("--follow", is_flag=True, help="Go on, and build whenever enough has come in.")
def db_build_index(data: Path | None, database: str | None, follow: bool) -> None:
    """Write the index files that the workers share; they are derived, and can be deleted at any time.

    `caveat serve` runs this by itself. Where gunicorn is started in another way, run it with --follow beside
    it, as one process a machine. The folder is DATA/index, or CAVEAT_INDEX.
    """
    settings = _settings(data, database)
    if settings.index is None:
        raise SettingsError("no folder for the index files is named", hint="Set CAVEAT_INDEX to one.")
    folder = IndexFolder(settings.index)
    if not follow:
        built = Builder(_existing(settings), folder).build(least=1)
        click.echo("nothing new to build" if built is None else f"built {_told(built)}")
        return
    builder = Builder(Store.open(settings.database), folder)

    def build() -> None:
        if (built := builder.build()) is not None:
            click.echo(f"index: {_told(built)}", err=True)

    _follow("index not built", build)


def _follow(failed: str, step: Callable[[], None]) -> None:
    """Do ``step`` every few seconds until this process is told to stop."""
    _stop_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                step()
            except CaveatError as error:
                click.echo(f"{failed}: {error.message}; trying again", err=True)
            time.sleep(_LOOK_AGAIN_SECONDS)


def _told(part: Part) -> str:
    return f"{part.file}: {part.size:,} keys and hashes, events {part.after + 1} to {part.upto}"


def _migrate(data: Path | None, database: str | None) -> None:
    store = _opened(_settings(data, database))
    click.echo(f"ready, at event {store.head()}")


@click.group()
def log() -> None:
    """Publish and check the transparency log."""


@log.command("publish")
@_DATA
@_DATABASE
@click.option("--follow", is_flag=True, help="Go on, and publish whatever happens.")
def log_publish(data: Path | None, database: str | None, follow: bool) -> None:
    """Put the events that are new into the log, and sign its new state.

    The first time a key is made; CAVEAT_LOG_ORIGIN names the log, such as log.example. `caveat serve`
    runs this by itself. Where gunicorn is started in another way, run it with --follow beside it, once for
    all machines. The folder is DATA/log, or CAVEAT_LOG.
    """
    settings = _settings(data, database)
    folder = _log_folder(settings)
    store = _existing(settings)

    def publish() -> None:
        with folder.writing():
            done = Publisher(store, folder, _signer(settings, folder)).publish()
        if done is not None:
            click.echo(f"log: {done.size:,} events, root {done.root.hex()}", err=follow)
        elif not follow:
            click.echo("nothing new to publish")

    if follow:
        _follow("log not published", publish)
    else:
        publish()


@log.command("fsck")
@_DATA
@_DATABASE
def log_fsck(data: Path | None, database: str | None) -> None:
    """Make every file of the log anew from the events, and compare; exit code 2 when one differs."""
    settings = _settings(data, database)
    folder = _log_folder(settings)
    note, signer = folder.checkpoint(), folder.signer()
    if note is None or signer is None:
        raise LogError("nothing has been published yet", hint="caveat log publish does that.")
    state = parse_checkpoint(open_note(note, [signer.verifier])[0])
    wrong = list(fsck(_existing(settings), folder, state.size))
    for one in wrong:
        click.echo(one)
    if wrong:
        click.echo(f"{len(wrong)} files are not what the events make them", err=True)
        sys.exit(2)
    click.echo(f"sound: {state.size:,} events, root {state.root.hex()}")


@log.command("key")
@_DATA
@_DATABASE
def log_key(data: Path | None, database: str | None) -> None:
    """Print the public key with which others check the log."""
    signer = _log_folder(_settings(data, database)).signer()
    if signer is None:
        raise LogError("the log has no key yet", hint="caveat log publish makes one.")
    click.echo(signer.verifier.text)


def _log_folder(settings: Settings) -> LogFolder:
    if settings.log is None:
        raise SettingsError("no folder for the log is named", hint="Set CAVEAT_LOG to one.")
    return LogFolder(settings.log)


def _signer(settings: Settings, folder: LogFolder) -> Signer:
    signer = folder.signer()
    if signer is None:
        signer = Signer.new(settings.log_origin or f"{secrets.token_hex(8)}.caveat.invalid")
        folder.write_signer(signer)
        click.echo(f"log: new key {signer.verifier.text}", err=True)
    return signer


@click.group("api-keys")
def api_keys() -> None:
    """Make, list and revoke API keys."""


@api_keys.command("create")
@_DATA
@_DATABASE
@click.option("--name", required=True, help="Whom the key is for.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="lookup, register, domain:NAME or domain:*."
)
@click.option(
    "--evidence-level",
    default=0,
    show_default=True,
    type=click.IntRange(0, 4),
    help="What is known of the holder: 0 nothing, 1 a location, 2 an account, 3 signed works, 4 attested.",
)
@click.option("--principal", metavar="ID", help="Whose second key this is: the new one replaces an old one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def api_keys_create(
    data: Path | None,
    database: str | None,
    name: str,
    scopes: tuple[str, ...],
    evidence_level: int,
    principal: str | None,
    as_json: bool,
) -> None:
    """Make a key; it is shown once.

    \b
    An artist:    caveat api-keys create --name Ada --scope register --scope lookup
    A trainer:    caveat api-keys create --name Lab --scope lookup
    A domain:     caveat api-keys create --name Site --scope register --scope domain:example.org
    A new key:    caveat api-keys create --name Ada --scope register --principal ID, then revoke the old one
    """
    settings = _settings(data, database)
    key = create_key(
        _opened(settings),
        name=name,
        scopes=parse_scopes(scopes),
        evidence_level=evidence_level,
        environment=settings.key_environment,
        principal_id=principal,
        at=int(time.time()),
    )
    if as_json:
        click.echo(json.dumps({"id": key.id, "principal": key.principal_id, "key": key.secret}))
        return
    click.echo(f"key {key.id} for {name}, shown once:", err=True)
    click.echo(key.secret)


@api_keys.command("list")
@_DATA
@_DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def api_keys_list(data: Path | None, database: str | None, as_json: bool) -> None:
    """List the keys, without the secrets."""
    with _existing(_settings(data, database)).read() as connection:
        rows = principals.list_credentials(connection)
    for row in rows:
        wire = {
            "id": row.id,
            "principal": row.principal_id,
            "name": row.name,
            "scopes": row.scopes.split(),
            "evidence_level": row.evidence_level,
            "revoked": row.revoked_at is not None,
        }
        state = "revoked" if wire["revoked"] else "live"
        line = f"{row.id}  {row.principal_id}  {state:8}{row.evidence_level}  {row.name}  {row.scopes}"
        click.echo(json.dumps(wire) if as_json else line)


@api_keys.command("revoke")
@_DATA
@_DATABASE
@click.argument("key_id")
def api_keys_revoke(data: Path | None, database: str | None, key_id: str) -> None:
    """Revoke a key; every worker refuses it from the next request on."""
    with _existing(_settings(data, database)).administer() as connection:
        if not principals.revoke_credential(connection, key_id, int(time.time())):
            raise NotFoundError(f"no live key {key_id}", hint="caveat api-keys list shows the keys.")
    click.echo(f"revoked {key_id}")


def main() -> None:
    """Run the operator commands without the client: ``python -m api.commands``."""
    group = click.Group("caveat", commands={"serve": serve, "db": db, "log": log, "api-keys": api_keys})
    try:
        group()
    except CaveatError as error:
        click.echo(f"error: {error.message}" + (f"\n{error.hint}" if error.hint else ""), err=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
