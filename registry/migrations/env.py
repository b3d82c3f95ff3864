"""Alembic's hook: run on the connection that :func:`registry.migrations.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

from registry import tables

assert tables.__all__  # noqa: S101 - importing it is what fills the metadata
context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
