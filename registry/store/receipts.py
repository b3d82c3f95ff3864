"""Receipts that were published: rows that one event brings, and what that event says.

    receipt         {"receipt": {"id": "9448…", "sha256": "9448…", "run": "…", "bundle": "{…}", …}}

The record of the event is the receipt's identifier: the beginning of its digest, so that whoever has a
receipt finds it, and the same one is published once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from registry.errors import StorageError
from registry.store import Transaction, principals
from registry.store.sql import table_of
from registry.tables import Event, ReceiptRow

__all__ = [
    "ID_DIGITS",
    "OPS",
    "PUBLISH",
    "add",
    "by_run",
    "erase",
    "find",
    "forget_beyond",
    "misplaced",
    "payload_of",
    "replay",
]

PUBLISH = "receipt"
OPS = (PUBLISH,)
"""What happens to receipts."""

ID_DIGITS = 32
"""Digits of a receipt's digest that are its identifier."""

_RECEIPT, _EVENT = table_of(ReceiptRow), table_of(Event)
_COLUMNS = ("id", "sha256", "run", "bundle", "principal_id", "at")


def add(tx: Transaction, said: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a receipt with this transaction's event; returns the payload of the event."""
    row = {name: said[name] for name in _COLUMNS}
    tx.connection.execute(insert(_RECEIPT).values(**row, from_seq=tx.seq))
    return {"receipt": row}


def find(connection: Connection, id_: str) -> Row[Any] | None:
    """Return the row of a receipt, or None."""
    return connection.execute(select(_RECEIPT).where(_RECEIPT.c.id == id_)).one_or_none()


def by_run(connection: Connection, run: str) -> Row[Any] | None:
    """Return the row of the receipt that was published for a run, by its digest, or None."""
    return connection.execute(select(_RECEIPT).where(_RECEIPT.c.run == run)).one_or_none()


def payload_of(connection: Connection, event: Row[Any]) -> dict[str, Any]:
    """Return what an event of one of ``OPS`` says, put together again from its row.

    Raises :class:`StorageError` when that is gone.
    """
    row = connection.execute(select(_RECEIPT).where(_RECEIPT.c.from_seq == event.seq)).one_or_none()
    if row is None or row.id != event.record:
        raise StorageError(
            f"event {event.seq}: the receipt of which it tells is not there",
            hint="The database is damaged: restore it from a backup or a mirror.",
        )
    return {"receipt": {name: getattr(row, name) for name in _COLUMNS}}


def replay(tx: Transaction, record: str, wire: Mapping[str, Any]) -> None:
    """Write what an event told elsewhere did. Raises ValueError or KeyError for what none of them says."""
    if set(wire) != {"receipt"} or set(wire["receipt"]) != set(_COLUMNS) or wire["receipt"]["id"] != record:
        raise ValueError(f"an event that published a receipt says {sorted(wire)}")
    principals.ensure_principal(tx.connection, wire["receipt"]["principal_id"], wire["receipt"]["at"])
    add(tx, wire["receipt"])


def erase(tx: Transaction, id_: str) -> None:
    """Delete a receipt."""
    tx.connection.execute(delete(_RECEIPT).where(_RECEIPT.c.id == id_))


def forget_beyond(connection: Connection, seq: int) -> None:
    """Undo what the events after ``seq`` did to receipts."""
    connection.execute(delete(_RECEIPT).where(_RECEIPT.c.from_seq > seq))


def misplaced(connection: Connection, head: int) -> Iterator[str]:
    """Yield what is wrong with rows of receipts that no leaf speaks for: brought by no event."""
    by = (_EVENT.c.seq == _RECEIPT.c.from_seq) & (_EVENT.c.op == PUBLISH) & (_EVENT.c.record == _RECEIPT.c.id)
    by = by & _EVENT.c.erased_by.is_(None) & (_EVENT.c.seq <= head)
    wanted = select(_RECEIPT.c.from_seq, _RECEIPT.c.id).outerjoin(_EVENT, by).where(_EVENT.c.seq.is_(None))
    for seq, id_ in connection.execute(wanted):
        yield f"receipt_row: the receipt {id_} that no event {seq} brought"
