"""One at a time: of the processes that could do a piece of work beside the service, one does.

On PostgreSQL it holds an advisory lock of the database on a connection of its own, on SQLite a lock on a
file beside the database. Either ends with its process, however that ends, and no clock is asked.
"""

import fcntl
import os
from pathlib import Path

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from registry.disk import disk_errors
from registry.errors import StorageError
from registry.store import Store

__all__ = ["Leading"]


class Leading:
    """Whether this process leads in the work called ``name``, of the number ``key`` on PostgreSQL."""

    def __init__(self, store: Store, name: str, key: int) -> None:
        self._engine = store.engine
        self._name, self._key = name, key
        self._file: int | None = None
        self._connection: psycopg.Connection[object] | None = None

    def leads(self) -> bool:
        """Say whether this process leads now; it does from then on, until it ends or its lock is lost.

        Raises :class:`StorageError` where that cannot be told.
        """
        return self._leads_postgresql() if self._engine.dialect.name == "postgresql" else self._leads_sqlite()

    def close(self) -> None:
        """Let another one lead."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _leads_sqlite(self) -> bool:
        if self._file is not None:
            return True
        # Not the database's own file: to close that would end SQLite's locks on it.
        path = Path(str(self._engine.url.database) + f"-{self._name}")
        with disk_errors(f"the file {path}"):
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
        self._file = file
        return True

    def _leads_postgresql(self) -> bool:
        try:
            if self._connection is not None:
                self._connection.execute("SELECT 1")  # Raises where the connection, and the lock, is lost.
                return True
            connection = _connected(self._engine.raw_connection())
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
        except (psycopg.Error, SQLAlchemyError) as error:
            self.close()
            raise StorageError("the database does not say who leads") from error
        if row != (True,):
            connection.close()
            return False
        self._connection = connection
        return True


def _connected(pooled: object) -> "psycopg.Connection[object]":
    connection = pooled.driver_connection  # type: ignore[attr-defined] # SQLAlchemy's pooled one
    pooled.detach()  # type: ignore[attr-defined] # It is held for good, so it is not the pool's any more.
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"not a connection of psycopg: {connection!r}")
    connection.autocommit = True
    return connection
