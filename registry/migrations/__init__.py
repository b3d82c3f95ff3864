"""Bringing a database to the schema of this version, by alembic.

:func:`migrate` runs in the process that starts the service, before any worker; it is safe to repeat.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from registry.store import Store

__all__ = ["migrate"]


def migrate(store: Store) -> None:
    """Create or upgrade the tables. Raises :class:`registry.errors.StorageError`."""
    with store.administer() as connection:
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
