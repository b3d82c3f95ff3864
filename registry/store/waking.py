"""Waking: waiting for the next write instead of looking every few seconds.

On PostgreSQL every write says so with its commit (``NOTIFY``), and :meth:`Waking.wait` returns then. It is a
wake-up and nothing more: whoever is woken reads the head. A lost connection, or a pooler between that passes
no notifications on, only means the old pace, and so does SQLite, which has nothing of the kind.
"""

import time

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from registry.store import CHANNEL, Store

__all__ = ["Waking"]


class Waking:
    """Waits for the writes of one database, on a connection of its own."""

    def __init__(self, store: Store) -> None:
        self._engine = store.engine
        self._connection: psycopg.Connection[object] | None = None

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds``; True at once when something was, or may have been, written meanwhile.

        Errors of the connection are waited out, and it is opened anew the next time.
        """
        if self._engine.dialect.name != "postgresql":
            time.sleep(seconds)
            return False
        end = time.monotonic() + seconds
        try:
            if self._connection is None:
                self._connection = _listening(self._engine)
                return True  # What was written until now was told to nobody.
            return any(self._connection.notifies(timeout=seconds, stop_after=1))
        except (psycopg.Error, SQLAlchemyError):
            self.close()
            time.sleep(max(0.0, end - time.monotonic()))
            return False

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _listening(engine: Engine) -> psycopg.Connection[object]:
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()  # It listens for good, so it is not the pool's any more.
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"not a connection of psycopg: {connection!r}")
    connection.autocommit = True
    connection.execute(f"LISTEN {CHANNEL}")
    return connection
