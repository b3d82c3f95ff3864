"""Records that a published receipt names: rows that one event brings each, and what that event says.

    mention         {"mention": {"id": "k3…", "receipt_id": "9448…", "reservation_id": "6h…", …}}

The record of such an event is an identifier of its own, so the log tells nobody who named whom; and so each
can be erased by itself, with the receipt or with the reservation, whichever goes first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from registry.errors import StorageError
from registry.store import Transaction
from registry.store.sql import table_of
from registry.tables import Event, MentionRow, ReceiptRow

__all__ = [
    "CONSENT",
    "HONOURED",
    "MENTION",
    "OPS",
    "add",
    "counted",
    "erase",
    "forget_beyond",
    "misplaced",
    "of_receipt",
    "of_reservation",
    "payload_of",
    "published_of",
    "replay",
]

MENTION = "mention"
OPS = (MENTION,)
"""What happens to mentions."""

HONOURED, CONSENT = "honoured", "consent"
"""Kinds: works of the record were left out; or they were used with the permission of a grant."""

_MENTION, _RECEIPT, _EVENT = table_of(MentionRow), table_of(ReceiptRow), table_of(Event)
_COLUMNS = ("id", "receipt_id", "reservation_id", "kind", "grant_id", "at")


def add(tx: Transaction, said: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a mention with this transaction's event; returns the payload of the event."""
    row = {name: said[name] for name in _COLUMNS}
    tx.connection.execute(insert(_MENTION).values(**row, from_seq=tx.seq))
    return {"mention": row}


def of_receipt(connection: Connection, receipt: str) -> list[Row[Any]]:
    """Return the rows of a receipt, in the order of their events."""
    wanted = select(_MENTION).where(_MENTION.c.receipt_id == receipt)
    return list(connection.execute(wanted.order_by(_MENTION.c.from_seq)))


def of_reservation(connection: Connection, reservation: str) -> list[Row[Any]]:
    """Return the rows that name a reservation, in the order of their events."""
    wanted = select(_MENTION).where(_MENTION.c.reservation_id == reservation)
    return list(connection.execute(wanted.order_by(_MENTION.c.from_seq)))


def counted(connection: Connection, reservation: str, head: int) -> dict[str, int]:
    """Return how many receipts that are published at event ``head`` name a reservation, by kind."""
    there = _MENTION.join(_RECEIPT, _RECEIPT.c.id == _MENTION.c.receipt_id)
    receipts = func.count(_MENTION.c.receipt_id.distinct())
    wanted = select(_MENTION.c.kind, receipts).select_from(there).group_by(_MENTION.c.kind)
    wanted = wanted.where(_MENTION.c.reservation_id == reservation, _MENTION.c.from_seq <= head)
    found = {kind: int(count) for kind, count in connection.execute(wanted)}
    return {kind: found.get(kind, 0) for kind in (HONOURED, CONSENT)}


def published_of(connection: Connection, reservation: str, head: int, limit: int) -> list[Row[Any]]:
    """Return up to ``limit`` rows of published receipts that name a reservation, the newest first."""
    there = _MENTION.join(_RECEIPT, _RECEIPT.c.id == _MENTION.c.receipt_id)
    wanted = select(_MENTION).select_from(there).where(_MENTION.c.reservation_id == reservation)
    wanted = wanted.where(_MENTION.c.from_seq <= head).order_by(_MENTION.c.from_seq.desc())
    return list(connection.execute(wanted.limit(limit)))


def payload_of(connection: Connection, event: Row[Any]) -> dict[str, Any]:
    """Return what an event of one of ``OPS`` says, put together again from its row.

    Raises :class:`StorageError` when that is gone.
    """
    row = connection.execute(select(_MENTION).where(_MENTION.c.from_seq == event.seq)).one_or_none()
    if row is None or row.id != event.record:
        raise StorageError(
            f"event {event.seq}: the mention of which it tells is not there",
            hint="The database is damaged: restore it from a backup or a mirror.",
        )
    return {"mention": {name: getattr(row, name) for name in _COLUMNS}}


def replay(tx: Transaction, record: str, wire: Mapping[str, Any]) -> None:
    """Write what an event told elsewhere did. Raises ValueError or KeyError for what none of them says."""
    if set(wire) != {"mention"} or set(wire["mention"]) != set(_COLUMNS) or wire["mention"]["id"] != record:
        raise ValueError(f"an event that named a record says {sorted(wire)}")
    add(tx, wire["mention"])


def erase(tx: Transaction, id_: str) -> None:
    """Delete a mention."""
    tx.connection.execute(delete(_MENTION).where(_MENTION.c.id == id_))


def forget_beyond(connection: Connection, seq: int) -> None:
    """Undo what the events after ``seq`` did to mentions."""
    connection.execute(delete(_MENTION).where(_MENTION.c.from_seq > seq))


def misplaced(connection: Connection, head: int) -> Iterator[str]:
    """Yield what is wrong with rows of mentions that no leaf speaks for: brought by no event."""
    by = (_EVENT.c.seq == _MENTION.c.from_seq) & (_EVENT.c.op == MENTION) & (_EVENT.c.record == _MENTION.c.id)
    by = by & _EVENT.c.erased_by.is_(None) & (_EVENT.c.seq <= head)
    wanted = select(_MENTION.c.from_seq, _MENTION.c.id).outerjoin(_EVENT, by).where(_EVENT.c.seq.is_(None))
    for seq, id_ in connection.execute(wanted):
        yield f"mention_row: the mention {id_} that no event {seq} brought"
