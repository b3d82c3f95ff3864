"""Connections to the two databases, with the settings on which the registry's promises rest.

SQLite: write-ahead log, ``synchronous=FULL`` (NORMAL lost acknowledged writes at power loss), writes begin
IMMEDIATE (a deferred transaction that upgrades fails at once). Below 3.51.3 a write-ahead log that several
processes checkpoint can be corrupted, so such a library serves one process only
(:func:`is_multiprocess_safe`).
PostgreSQL: READ COMMITTED; the head row orders the writers.
"""

import sqlite3
import types
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from registry.errors import SettingsError, StorageError

__all__ = [
    "SAFE_SQLITE",
    "copy_sqlite",
    "database_url",
    "is_in_use",
    "is_multiprocess_safe",
    "open_engine",
    "sqlite_version",
]

SAFE_SQLITE = (3, 51, 3)
_BUSY_SECONDS = 30
_STATEMENT_TIMEOUT_MS = 60_000
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
_SQLITE_MAGIC = b"SQLite format 3\0"
_SQLITE_SETTINGS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "mmap_size=0",
    "secure_delete=ON",  # what is erased is overwritten
)


def _sqlite_module() -> types.ModuleType:
    try:
        import pysqlite3
    except ImportError:
        return sqlite3
    module: types.ModuleType = pysqlite3
    return module if module.sqlite_version_info >= sqlite3.sqlite_version_info else sqlite3


def sqlite_version() -> tuple[int, ...]:
    """Return the version of the SQLite library in use."""
    version: tuple[int, ...] = _sqlite_module().sqlite_version_info
    return version


def is_multiprocess_safe(url: str) -> bool:
    """Say whether several processes may write to the database at ``url``."""
    return not url.startswith("sqlite") or sqlite_version() >= SAFE_SQLITE


def database_url(folder: Path) -> str:
    """Return the address of the embedded database in ``folder``."""
    return f"sqlite:///{folder.resolve() / 'registry.sqlite'}"


def open_engine(url: str) -> Engine:
    """Open the database at ``url`` (``sqlite:///…`` or ``postgresql://…``).

    Raises :class:`SettingsError` for any other kind.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url)
    if backend == "postgresql":
        options = f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c synchronous_commit=on"
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args={"options": options}
        )
    raise SettingsError(
        f"a database of kind {backend!r}; SQLite and PostgreSQL are supported",
        hint="Give --data DIR for the embedded database, or --database postgresql://…",
    )


def copy_sqlite(engine: Engine, target: Path) -> None:
    """Copy an embedded database as it stands, while others write to it. Raises :class:`StorageError`."""
    module = _sqlite_module()
    copy = module.connect(str(target))
    try:
        with engine.connect() as connection:
            source: Any = connection.connection.driver_connection
            source.backup(copy)
    except (module.Error, SQLAlchemyError) as error:
        raise StorageError(f"the database cannot be copied: {error}") from error
    finally:
        copy.close()


def is_in_use(engine: Engine) -> bool:
    """Say whether anybody else is connected to the database. Raises :class:`StorageError`.

    ``engine`` itself must hold no connection of an embedded database. Of that the write-ahead log is folded
    into the file, so that it stands alone; a file that is no database is in nobody's use.
    """
    if engine.dialect.name == "sqlite":
        return _is_sqlite_in_use(Path(str(engine.url.database)))
    try:
        with engine.connect() as connection:
            return bool(connection.execute(_OTHERS).scalar_one())
    except SQLAlchemyError as error:
        raise StorageError("the database does not say who uses it") from error


def _is_sqlite_in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            # SQLite would delete the write-ahead log of what it does not know.
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
                return False
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"the database {path} cannot be read: {error.strerror}") from error
    module = _sqlite_module()
    connection = module.connect(str(path), timeout=0)
    try:
        # Only the last connection may leave the write-ahead log.
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    except module.OperationalError as error:
        if "locked" in str(error):
            return True
        raise StorageError(
            f"the database {path} does not say who uses it: {error}",
            hint="If nobody does, move it away with its -wal and -shm.",
        ) from error
    except module.DatabaseError:
        return False
    finally:
        connection.close()
    return False


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, module=_sqlite_module(), connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        # SQLAlchemy's own BEGIN (below) replaces the driver's, which would start transactions late.
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in _SQLITE_SETTINGS:
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
