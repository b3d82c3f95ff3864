"""What a mirror knows of whom it follows, and the rows of events that are not verified yet.

Such rows lie beyond the head, where no look-up sees them.
"""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from registry.store import grants, imports, mentions, receipts
from registry.store.sql import table_of
from registry.tables import Event, Head, Mirrored, ReservationVersion, UrlRuleRow, Work

__all__ = [
    "discard_beyond",
    "last_event",
    "mirrored",
    "move_head",
    "note_synced",
    "pin",
    "unproven_erasures",
    "verify_upto",
]

_MIRRORED, _HEAD, _EVENT = table_of(Mirrored), table_of(Head), table_of(Event)
_ERASING = ("erase", "rollback")
_VERSION, _WORK, _RULE = (table_of(one) for one in (ReservationVersion, Work, UrlRuleRow))


def mirrored(connection: Connection) -> Row[Any] | None:
    """Return whom this database mirrors, and how far; None when it is no mirror."""
    return connection.execute(select(_MIRRORED)).one_or_none()


def pin(connection: Connection, upstream: str, verifiers: str) -> None:
    """Note whom this database follows from now on, and by which keys its log is known, a line each."""
    connection.execute(
        insert(_MIRRORED).values(id=1, upstream=upstream, verifier=verifiers, note="", synced_at=0)
    )


def note_synced(connection: Connection, at: int) -> None:
    """Note that everything that the upstream knew at ``at`` is here; seconds since 1970."""
    connection.execute(update(_MIRRORED).values(synced_at=at))


def last_event(connection: Connection) -> int:
    """Return the number of the last event that is here, verified or not."""
    return int(connection.execute(select(func.coalesce(func.max(_EVENT.c.seq), 0))).scalar_one())


def unproven_erasures(connection: Connection, after: int, upto: int) -> list[int]:
    """Return the events whose erasure is said of one of ``after < seq <= upto`` that is none of theirs."""
    by = _EVENT.alias()
    proven = (by.c.seq == _EVENT.c.erased_by) & (by.c.record == _EVENT.c.record) & by.c.op.in_(_ERASING)
    wanted = select(_EVENT.c.seq).outerjoin(by, proven)
    wanted = wanted.where(_EVENT.c.erased_by > after, _EVENT.c.erased_by <= upto, by.c.seq.is_(None))
    return list(connection.execute(wanted).scalars())


def verify_upto(connection: Connection, seq: int, note: str, verifiers: str) -> None:
    """Let look-ups see the events up to ``seq``, which the signed ``note`` covers."""
    move_head(connection, seq)
    connection.execute(update(_MIRRORED).values(note=note, verifier=verifiers))


def move_head(connection: Connection, seq: int) -> None:
    """Let look-ups see the events up to ``seq``."""
    connection.execute(update(_HEAD).values(n=seq))


def discard_beyond(connection: Connection, seq: int) -> None:
    """Delete the events after ``seq``, with what they brought."""
    for table in (_VERSION, _WORK, _RULE):
        connection.execute(delete(table).where(table.c.from_seq > seq))
    connection.execute(update(_VERSION).where(_VERSION.c.to_seq > seq).values(to_seq=None))
    imports.forget_beyond(connection, seq)
    grants.forget_beyond(connection, seq)
    receipts.forget_beyond(connection, seq)
    mentions.forget_beyond(connection, seq)
    connection.execute(delete(_EVENT).where(_EVENT.c.seq > seq))
