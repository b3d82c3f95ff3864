"""What the files of the store share: the table behind a model, versioned rows, long lists in portions."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Table, and_, or_
from sqlmodel import SQLModel

__all__ = ["holds", "portions", "table_of"]

_MANY = 500
"""Rows named in one statement."""
_T = TypeVar("_T")


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of ``model``."""
    return cast(Table, cast(Any, model).__table__)


def holds(table: Table, seq: int) -> ColumnElement[bool]:
    """Return the condition that a row of ``table`` holds at event ``seq``."""
    return and_(table.c.from_seq <= seq, or_(table.c.to_seq.is_(None), table.c.to_seq > seq))


def portions(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield ``values`` a portion at a time, as many as one statement may name."""
    for at in range(0, len(values), _MANY):
        yield values[at : at + _MANY]
