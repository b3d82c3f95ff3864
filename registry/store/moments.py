"""What the registry knew at a moment: up to which event, and what of that cannot be told any more."""

from bisect import bisect_right

from sqlalchemy import Connection, distinct, func, select

from registry.errors import StorageError
from registry.store.sql import table_of
from registry.tables import Event

__all__ = ["at_of", "erased_later", "last_by"]

_EVENT = table_of(Event)
_BEGIN, _END = ("register", "import", "erase"), ("withdraw", "rollback")
"""What makes a record stand, and what ends it; erasing may lodge works and addresses anew."""


def at_of(connection: Connection, seq: int) -> int:
    """Return when an event happened, by the registry's clock. Raises :class:`StorageError` without it."""
    at = connection.execute(select(_EVENT.c.at).where(_EVENT.c.seq == seq)).scalar_one_or_none()
    if at is None:
        raise StorageError(
            f"event {seq} is not there", hint="The database is damaged: caveat log fsck says where."
        )
    return int(at)


def last_by(connection: Connection, head: int, seconds: int) -> int:
    """Return the last event up to ``head`` that had happened at ``seconds`` since 1970, 0 when none had.

    Events have no gaps, so some twenty are read of a million. Where the clock was once set back, it is an
    event before which there is one of that time or earlier, and after which there is a later one.
    """
    return bisect_right(range(1, head + 1), seconds, key=lambda seq: at_of(connection, seq))


def erased_later(connection: Connection, seq: int) -> int:
    """Return how many records stood at event ``seq`` of which a later event destroyed what they said then."""
    begun = _EVENT.c.op.in_(_BEGIN) & (_EVENT.c.seq <= seq) & (_EVENT.c.erased_by > seq)
    ended = select(_EVENT.c.record).where(_EVENT.c.op.in_(_END), _EVENT.c.seq <= seq)
    counted = select(func.count(distinct(_EVENT.c.record))).where(begun, _EVENT.c.record.not_in(ended))
    return int(connection.execute(counted).scalar_one())
