"""Marks in rows that no leaf commits to by itself: works withdrawn alone, erasures, the states of imports.

They hide works as well as a deleted row does, so each must be borne out by an event; and so must grants,
receipts that were published, and what these name.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from registry.store import grants, mentions, receipts
from registry.store.imports import COMPLETE, OPEN, ROLLED_BACK
from registry.store.mirrored import unproven_erasures
from registry.store.sql import table_of
from registry.tables import Event, ImportBatch, ReservationVersion, UrlRuleRow, WithdrawnWork, Work

__all__ = ["unproven"]

_EVENT, _BATCH, _GONE = (table_of(one) for one in (Event, ImportBatch, WithdrawnWork))
_ROWS = tuple(table_of(one) for one in (ReservationVersion, Work, UrlRuleRow))
_STATES = {"import": COMPLETE, "rollback": ROLLED_BACK}


def unproven(connection: Connection, head: int) -> Iterator[str]:
    """Yield each mark that no event up to ``head`` bears out."""
    for seq in unproven_erasures(connection, -1, 2**62):
        yield f"event {seq}: is marked as erased, and no event did so"
    yield from _unerased(connection)
    by = (_EVENT.c.seq == _GONE.c.to_seq) & (_EVENT.c.op == "withdraw-works") & (_EVENT.c.seq <= head)
    wanted = select(_GONE.c.from_seq, _GONE.c.ordinal).outerjoin(_EVENT, by)
    for seq, ordinal in connection.execute(wanted.where(_EVENT.c.seq.is_(None))):
        yield f"withdrawn_work: work {ordinal} of event {seq} was withdrawn, and no event did so"
    yield from _states(connection)
    yield from grants.misplaced(connection, head)
    yield from receipts.misplaced(connection, head)
    yield from mentions.misplaced(connection, head)


def _unerased(connection: Connection) -> Iterator[str]:
    for table in _ROWS:
        wanted = select(table.c.from_seq).join(_EVENT, _EVENT.c.seq == table.c.from_seq)
        for (seq,) in connection.execute(wanted.where(_EVENT.c.erased_by.is_not(None)).distinct()):
            yield f"{table.name}: event {seq} is marked as erased, and a row of it is there"


def _states(connection: Connection) -> Iterator[str]:
    ended = select(_EVENT.c.record, _EVENT.c.op).where(_EVENT.c.op.in_(_STATES)).subquery()
    wanted = select(_BATCH.c.id, _BATCH.c.state, ended.c.op).outerjoin(ended, ended.c.record == _BATCH.c.id)
    for record, state, op in connection.execute(wanted):
        if state != _STATES.get(op, OPEN):
            yield f"import_batch: {record} is {state}, and should be {_STATES.get(op, OPEN)}"
