"""Bringing a database to the schema of this version, by alembic.

:func:`migrate` runs in the process that starts the service, before any worker; it is safe to repeat.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from registry.store import Store

__all__ = ["migrate"]

_LOCK = 0x0CA7EA7
"""The number under which migrating processes wait for each other; any, as long as it stays."""


def migrate(store: Store) -> None:
    """Create or upgrade the tables. Raises :class:`registry.errors.StorageError`."""
    with store.administer() as connection:
        if connection.dialect.name == "postgresql":
            # Several processes may start on an empty database; SQLite's BEGIN IMMEDIATE does the same.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
