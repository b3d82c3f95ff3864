"""What the tests share: a fresh database each, the service on it, keys, and the real `caveat serve`.

SQLite by default; with CAVEAT_TEST_POSTGRES (a server where databases can be made) PostgreSQL, see
with_postgres.py.
"""

import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import inspect, make_url
from sqlmodel import SQLModel
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

import registry.watch_tables  # noqa: F401 - its tables are emptied too
from api import create_app
from api.commands.serve import threaded_server
from api.keys import create_key
from api.operations import openapi
from api.settings import Settings, settings_from
from api.state import State
from registry.lookup import warm_up
from registry.migrations import migrate
from registry.registrar import Caller
from registry.store import Store
from registry.store import engine as engines

POSTGRES = os.environ.get("CAVEAT_TEST_POSTGRES", "")
_HALF_SET = [byte for byte in range(256) if byte.bit_count() == 4]


@dataclass(frozen=True)
class Key:
    id: str
    secret: str
    caller: Caller

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"API {self.secret}"}


@dataclass(frozen=True)
class Served:
    host: str
    port: int
    pid: int
    arguments: list[str]
    """What names the same database to the other commands: --data DIR or --database URL."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


_DOCUMENTS: dict[frozenset[str], dict[str, Any]] = {}


def documented(app: Flask) -> dict[str, Any]:
    """Its /openapi.json, made once for all applications with the same routes: it takes 50 ms."""
    routes = frozenset(map(repr, app.url_map.iter_rules()))
    if routes not in _DOCUMENTS:
        _DOCUMENTS[routes] = openapi(app)
    return _DOCUMENTS[routes]


class DocumentedClient(FlaskClient):
    """Fails on an answer whose status /openapi.json does not declare for the route; so on every 500."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        app, asked = self.application, response.request
        try:
            rule, _ = app.url_map.bind("localhost").match(asked.path, asked.method, return_rule=True)
        except HTTPException:
            return response
        if asked.method == "OPTIONS":
            return response
        path = documented(app)["paths"][re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)]
        declared = path["get" if asked.method == "HEAD" else asked.method.lower()]["responses"]
        seen = str(response.status_code)
        assert seen in declared, f"{asked.method} {rule.rule} answered {seen}, not declared: {response.text}"
        return response


def pytest_configure() -> None:
    """Let Ctrl-C be heard: a shell that starts the tests in the background has it ignored, here and below."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _config_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, _config_home: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_config_home))
    for name in [
        name for name in os.environ if name.startswith("CAVEAT_") and name != "CAVEAT_TEST_POSTGRES"
    ]:
        monkeypatch.delenv(name)


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of its own with these options of tmpfs, as in ``size=2m``."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "caveat-test", str(folder)],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no small disk can be mounted here (root is needed): {error}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def _own_postgres() -> Iterator[str]:
    """A database for this process: making one takes PostgreSQL 0.4 s, emptying it 0.02 s."""
    name = f"caveat_{secrets.token_hex(8)}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


_SCHEMA = """
SELECT array_agg(told ORDER BY told) FROM (
  SELECT row(attrelid::regclass, attname, atttypid, atttypmod, attnotnull, attstorage)::text AS told
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
   WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped
  UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT row(oid, prosrc)::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT version_num FROM alembic_version
) AS all_of_it
"""


_EMPTY = f"TRUNCATE {', '.join(sorted(SQLModel.metadata.tables))}; INSERT INTO head (id, n) VALUES (1, 0)"  # noqa: S608 - our own tables
"""The one row that the migrations write."""


class _Postgres:
    """The database of this process, which its tests have one after the other.

    Bringing tables to it takes 0.2 to 0.3 s, emptying those that are there 0.02 s: so they stay, unless a
    test left others than the migrations make.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: object = None

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            yield connection

    def clear(self) -> None:
        """Leave no table."""
        with self.alone() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def empty(self) -> None:
        """Leave the tables as the migrations make them."""
        with self.alone() as connection:
            if self._is_made(connection):
                connection.execute(_EMPTY)
                return
        self.clear()
        with closing(Store.open(self.url)) as store:
            migrate(store)
        with self.alone() as connection:
            self._made = connection.execute(_SCHEMA).fetchone()

    def _is_made(self, connection: psycopg.Connection[Any]) -> bool:
        there = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
        return there != (None,) and connection.execute(_SCHEMA).fetchone() == self._made


@pytest.fixture(scope="session")
def _own_postgres() -> Iterator[_Postgres]:
    name = f"caveat_{secrets.token_hex(8)}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield _Postgres(make_url(POSTGRES).set(database=name).render_as_string(hide_password=False))
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database with its tables, to be copied: 1 ms instead of 30 to 70 for the migrations."""
    folder = tmp_path_factory.mktemp("migrated")
    with closing(Store.open(engines.database_url(folder))) as store:
        migrate(store)
    assert [path.name for path in folder.iterdir()] == ["registry.sqlite"]
    return folder / "registry.sqlite"


@pytest.fixture
def database_url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database: with empty tables for a test that has a ``store`` too, without any for others."""
    with_tables = "store" in request.fixturenames
    if POSTGRES:
        own: _Postgres = request.getfixturevalue("_own_postgres")
        own.empty() if with_tables else own.clear()
        return own.url
    if with_tables:
        shutil.copyfile(request.getfixturevalue("_migrated"), tmp_path / "registry.sqlite")
    return engines.database_url(tmp_path)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as store:
        if not inspect(store.engine).has_table("head"):
            migrate(store)  # Asked for in the middle of a test.
        yield store


@pytest.fixture
def make_key(store: Store) -> Callable[..., Key]:
    def make(scopes: Sequence[str] = ("lookup", "register"), evidence_level: int = 0, name: str = "") -> Key:
        granted = frozenset(scopes)
        new = create_key(
            store, name=name, scopes=granted, evidence_level=evidence_level, environment="test", at=0
        )
        return Key(new.id, new.secret, Caller(new.principal_id, granted, evidence_level))

    return make


@pytest.fixture
def make_app(store: Store, database_url: str) -> Iterator[Callable[..., Flask]]:
    made: list[State] = []

    def make(**settings: Any) -> Flask:
        app = create_app(Settings(**{"database": database_url, **settings}))
        app.test_client_class = DocumentedClient
        made.append(app.extensions["caveat"])
        return app

    yield make
    for state in made:
        state.store.close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def picture_hash() -> Callable[..., bytes]:
    """256 bits, half of them set, for each seed; `flip` of them turned, which makes that distance."""

    def make(seed: int, flip: int = 0) -> bytes:
        value = bytes(random.Random(seed).choices(_HALF_SET, k=32))
        return (int.from_bytes(value, "big") ^ ((1 << flip) - 1)).to_bytes(32, "big")

    return make


@pytest.fixture
def served(store: Store, database_url: str, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start the real command; it is stopped at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(workers: int = 2, data: Path | None = None, *options: str, **environment: str) -> Served:
        postgres = POSTGRES and data is None
        database = ["--database", database_url] if postgres else ["--data", str(data or tmp_path)]
        port = _free_port()
        command = [sys.executable, "-m", "api.commands", "serve", *database]
        command += ["--port", str(port), "--workers", str(workers), *options]
        log = tmp_path / f"serve-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        started.append(process)
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        return Served("127.0.0.1", port, process.pid, database)

    yield serve
    for process in started:
        process.send_signal(signal.SIGINT)
        try:
            # The command itself gives its workers 30 s.
            process.wait(timeout=45)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


@pytest.fixture(scope="session")
def _warm() -> None:
    """As the command does before it listens: clients wait 20 s, and compiling may take longer."""
    warm_up()


@pytest.fixture
def threaded(_warm: None) -> Iterator[Callable[..., str]]:
    """Serve as ``caveat serve --threaded`` does, in threads of this process; says at which address.

    For tests of those who ask: starting a process that answers takes three seconds of processor time.
    """
    with ExitStack() as stack:

        def serve(where: str, **environment: str) -> str:
            named = {"CAVEAT_DATABASE" if "://" in where else "CAVEAT_DATA": where}
            server = threaded_server(settings_from({**named, **environment}), "127.0.0.1", 0)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(server.app.extensions["caveat"].store.close)
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90  # Where much else runs, processes start slowly.
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback, our own port
                return
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"caveat serve did not come up (code {process.poll()}):\n{log.read_text()}")
