"""The store: all SQL, one file a noun.

:class:`Store` opens transactions; the modules beside it read and write one kind of row each, given a
connection or a transaction. A write takes the next sequence number first::

    with store.write() as tx:
        reservations.insert(tx, …)
        events.append(tx, …)
    # acknowledged: tx.seq
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from registry.errors import ForbiddenError, StorageError, StorageFullError
from registry.store.engine import open_engine
from registry.store.sql import table_of
from registry.tables import Head

__all__ = ["CHANNEL", "Store", "Transaction"]

CHANNEL = "caveat"
"""What PostgreSQL tells those who wait for writes on; see :mod:`registry.store.waking`."""

_HEAD = table_of(Head)
_UNAVAILABLE = "the database did not answer, or did not take the write"
"""What callers hear; what the driver said stays in the log."""
_FULL = ("database or disk is full", "no space left", "disk full", "could not extend file")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One write under way: its connection, and the sequence number that it will have."""

    connection: Connection
    seq: int

    def following(self) -> "Transaction":
        """Return the next event of the same transaction: all of them stand, or none."""
        return Transaction(self.connection, _next(self.connection))


class Store:
    """A database with the registry's tables in it; with ``mirror_of`` it takes no writes of its own."""

    def __init__(self, engine: Engine, mirror_of: str = "") -> None:
        self.engine = engine
        self.mirror_of = mirror_of

    @classmethod
    def open(cls, url: str, mirror_of: str = "") -> "Store":
        """Open the database at ``url``; nothing is connected before the first use."""
        return cls(open_engine(url), mirror_of)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def head(self) -> int:
        """Return the number of the last event, read from the database now."""
        with self.read() as connection:
            return int(connection.execute(select(_HEAD.c.n)).scalar_one())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading. Raises :class:`StorageError`."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that appends one event; committed at the end, or nothing of it stands.

        Raises :class:`StorageFullError` or :class:`StorageError`; :class:`ForbiddenError` in a mirror.
        """
        if self.mirror_of:
            raise ForbiddenError("this is a mirror, and only read", hint=f"Write to {self.mirror_of}.")
        with _translated(), self._begin() as connection:
            yield Transaction(connection, _next(connection))

    @contextmanager
    def administer(self) -> Iterator[Connection]:
        """Open a transaction for what is not an event: keys and principals."""
        with _translated(), self._begin() as connection:
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection


def _next(connection: Connection) -> int:
    taking = update(_HEAD).values(n=_HEAD.c.n + 1)
    if connection.dialect.name == "postgresql":
        # In the same statement, since another one would cost another round trip; it is sent with the commit.
        told = func.pg_notify(CHANNEL, "")
        return int(connection.execute(taking.returning(_HEAD.c.n, told)).scalar_one())
    return int(connection.execute(taking.returning(_HEAD.c.n)).scalar_one())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        message = str(error.orig)
        if any(sign in message.lower() for sign in _FULL):
            raise StorageFullError(
                "the registry has no space left for this write; nothing was stored"
            ) from error
        raise StorageError(_UNAVAILABLE) from error
    except SQLAlchemyError as error:
        raise StorageError(_UNAVAILABLE) from error
