"""Grants: rows that one event begins and another may end, and what these events say.

    grant           {"grant": {"id": "k3…", "uses": ["genai-train"], "works": null, …}}
    revoke-grant    {"revoked": "k3…"}

Both are events of the reservation: the log never names a grant, so that only those who were given its
identifier know it. Erasing the reservation destroys its grants too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from registry.errors import InputError, StorageError
from registry.grant import Grant
from registry.preference import Use
from registry.store import Transaction
from registry.store.sql import holds, portions, table_of
from registry.tables import Event, GrantRow

__all__ = [
    "GRANT",
    "OPS",
    "REVOKE",
    "add",
    "erase",
    "find",
    "forget_beyond",
    "grant_of",
    "misplaced",
    "payload_of",
    "replay",
    "revoke",
    "standing_at",
]

GRANT, REVOKE = "grant", "revoke-grant"
OPS = (GRANT, REVOKE)
"""What happens to grants."""

_GRANT, _EVENT = table_of(GrantRow), table_of(Event)
_COLUMNS = (
    *("id", "works", "uses", "licensee", "licensee_url", "valid_from", "valid_until", "terms", "contact"),
    "at",
)
_LISTS = ("works", "uses")


def add(tx: Transaction, reservation: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a grant with this transaction's event; ``said`` has its columns, works and uses as lists.

    Returns the payload of the event.
    """
    row = {name: said[name] for name in _COLUMNS}
    packed = {name: None if row[name] is None else json.dumps(row[name]) for name in _LISTS}
    tx.connection.execute(
        insert(_GRANT).values(**row | packed, from_seq=tx.seq, to_seq=None, reservation_id=reservation)
    )
    return {"grant": row}


def revoke(tx: Transaction, reservation: str, id_: str) -> dict[str, Any]:
    """End a grant of ``reservation`` with this transaction's event; returns the payload of the event.

    Raises ValueError when there is none that holds.
    """
    held = (_GRANT.c.id == id_) & (_GRANT.c.reservation_id == reservation) & _GRANT.c.to_seq.is_(None)
    if tx.connection.execute(update(_GRANT).where(held).values(to_seq=tx.seq)).rowcount != 1:
        raise ValueError(f"no grant of {reservation} to be taken back")
    return {"revoked": id_}


def find(connection: Connection, id_: str) -> Row[Any] | None:
    """Return the row of a grant, taken back or not, or None."""
    return connection.execute(select(_GRANT).where(_GRANT.c.id == id_)).one_or_none()


def standing_at(connection: Connection, ids: Sequence[str], seq: int) -> list[Row[Any]]:
    """Return the rows of those of ``ids`` that hold at event ``seq``, in the order of ``ids``."""
    found: dict[str, Row[Any]] = {}
    for some in portions(list(ids)):
        wanted = select(_GRANT).where(_GRANT.c.id.in_(some), holds(_GRANT, seq))
        found |= {row.id: row for row in connection.execute(wanted)}
    return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]


def grant_of(row: Row[Any], registry: str) -> Grant:
    """Return the grant of a row, as the registry whose log has that name states it.

    Raises :class:`StorageError` for a row that cannot be read.
    """
    try:
        wire = {name: getattr(row, name) for name in ("id", "valid_from", "valid_until", "terms", "contact")}
        return Grant.from_wire(
            wire
            | {
                "v": 1,
                "registry": registry,
                "reservation": row.reservation_id,
                "works": None if row.works is None else json.loads(row.works),
                "uses": [str(Use(use)) for use in json.loads(row.uses)],
                "licensee": {"name": row.licensee, "url": row.licensee_url},
                "seq": row.from_seq,
                "issued_at": row.at,
            }
        )
    except (InputError, ValueError, TypeError) as error:
        raise StorageError(
            f"a grant of reservation {row.reservation_id} cannot be read: {error}",
            hint="The database is damaged: caveat log fsck says where.",
        ) from error


def payload_of(connection: Connection, event: Row[Any]) -> dict[str, Any]:
    """Return what an event of one of ``OPS`` says, put together again from its row.

    Raises :class:`StorageError` when that is gone.
    """
    named = _GRANT.c.from_seq if event.op == GRANT else _GRANT.c.to_seq
    row = connection.execute(select(_GRANT).where(named == event.seq)).one_or_none()
    if row is None or row.reservation_id != event.record:
        raise StorageError(
            f"event {event.seq}: the grant of which it tells is not there",
            hint="The database is damaged: restore it from a backup or a mirror.",
        )
    if event.op == REVOKE:
        return {"revoked": row.id}
    said = {name: getattr(row, name) for name in _COLUMNS}
    lists = {name: None if said[name] is None else json.loads(said[name]) for name in _LISTS}
    return {"grant": said | lists}


def replay(tx: Transaction, record: str, op: str, wire: Mapping[str, Any]) -> None:
    """Write what an event told elsewhere did. Raises ValueError or KeyError for what none of them says."""
    if set(wire) != {"grant" if op == GRANT else "revoked"}:
        raise ValueError(f"an event that did {op!r} says {sorted(wire)}")
    if op == REVOKE:
        revoke(tx, record, wire["revoked"])
    elif set(wire["grant"]) != set(_COLUMNS):
        raise ValueError(f"a grant says {sorted(wire['grant'])}")
    else:
        add(tx, record, wire["grant"])


def erase(tx: Transaction, reservation: str) -> None:
    """Delete every grant of a reservation, those that were taken back too."""
    tx.connection.execute(delete(_GRANT).where(_GRANT.c.reservation_id == reservation))


def forget_beyond(connection: Connection, seq: int) -> None:
    """Undo what the events after ``seq`` did to grants."""
    connection.execute(delete(_GRANT).where(_GRANT.c.from_seq > seq))
    connection.execute(update(_GRANT).where(_GRANT.c.to_seq > seq).values(to_seq=None))


def misplaced(connection: Connection, head: int) -> Iterator[str]:
    """Yield what is wrong with rows of grants that no leaf speaks for: begun or ended by no event."""
    for column, op, did in ((_GRANT.c.from_seq, GRANT, "brought"), (_GRANT.c.to_seq, REVOKE, "took back")):
        by = (_EVENT.c.seq == column) & (_EVENT.c.op == op) & (_EVENT.c.record == _GRANT.c.reservation_id)
        by = by & _EVENT.c.erased_by.is_(None) & (_EVENT.c.seq <= head)
        wanted = select(column, _GRANT.c.reservation_id).outerjoin(_EVENT, by)
        wanted = wanted.where(column.is_not(None), _EVENT.c.seq.is_(None))
        for seq, record in connection.execute(wanted):
            yield f"grant_row: a grant of {record} that no event {seq} {did}"
