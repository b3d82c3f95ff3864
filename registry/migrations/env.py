"""Alembic's hook: run on the connection that :func:`registry.migrations.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

from registry import tables, watch_tables

assert tables.__all__ and watch_tables.__all__  # noqa: S101, PT018 - importing them fills the metadata
context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
