"""The SQLAlchemy table behind each SQLModel class, with its type."""

from typing import Any, cast

from sqlalchemy import Table
from sqlmodel import SQLModel

__all__ = ["table_of"]


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of ``model``."""
    return cast(Table, cast(Any, model).__table__)
