"""How much the registry holds: figures for people, counted."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from registry.preference import State
from registry.store.sql import table_of
from registry.tables import ImportPart, ReservationVersion, UrlRuleRow, WithdrawnWork, Work

__all__ = ["Figures", "count_all"]

_VERSION, _WORK, _RULE = table_of(ReservationVersion), table_of(Work), table_of(UrlRuleRow)
_PART, _WITHDRAWN = table_of(ImportPart), table_of(WithdrawnWork)
_STANDS = _VERSION.c.to_seq.is_(None) & (_VERSION.c.state != str(State.WITHDRAWN))


class Figures(NamedTuple):
    """What stands now: ``reservations``, the ``works`` in them, and the ``rules`` for addresses."""

    reservations: int
    works: int
    rules: int


def count_all(connection: Connection) -> Figures:
    """Count what stands. It reads every row of a work that was not imported: seconds for millions."""
    reservations = _counted(connection, select(func.count()).select_from(_VERSION).where(_STANDS))
    works, rules = (
        _counted(
            connection,
            select(func.count())
            .select_from(table.join(_VERSION, _VERSION.c.reservation_id == table.c.reservation_id))
            .where(_STANDS, table.c.to_seq.is_(None)),
        )
        for table in (_WORK, _RULE)
    )
    return Figures(reservations, works + _imported(connection), rules)


def _imported(connection: Connection) -> int:
    """Count the works of imports that are complete, less those that were withdrawn alone."""
    visible = _PART.join(_VERSION, _VERSION.c.reservation_id == _PART.c.batch_id)
    holds = _STANDS & (func.length(_PART.c.blob) > 0)
    brought = select(func.coalesce(func.sum(_PART.c.works), 0)).select_from(visible).where(holds)
    gone = select(func.count()).select_from(visible.join(_WITHDRAWN, _WITHDRAWN.c.from_seq == _PART.c.seq))
    return _counted(connection, brought) - _counted(connection, gone.where(holds))


def _counted(connection: Connection, wanted: Select[Any]) -> int:
    return int(connection.execute(wanted).scalar_one())
