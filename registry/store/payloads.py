"""Payloads: what an event says, to and from the rows that it brought.

    {"version": {…} | null, "works": [{…}], "rules": [{…}]}

Which members there are depends on what the event did. Rows are never changed in place, so the payload of
an event, to which its leaf commits, can be put together again from its rows. An erased event has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, func, select

from registry.blocks import ROW_COLUMNS
from registry.leaf import parse_leaf, plain
from registry.store import Transaction, events, grants, imports, mentions, receipts, reservations
from registry.store.sql import portions, table_of
from registry.tables import Event, ReservationVersion, UrlRuleRow, Work

__all__ = ["content_of", "erase", "from_wire", "insert", "misplaced", "payloads_of", "sizes_of", "to_wire"]

_VERSION_COLUMNS = (
    "principal_id",
    "preferences",
    "label",
    "terms",
    "contact",
    "evidence_level",
    "state",
    "at",
)
_PUBLIC = "public"
_RULE_COLUMNS = ("kind", "surt", "key")

_EVENT = table_of(Event)
_VERSION, _WORK, _RULE = (table_of(one) for one in (ReservationVersion, Work, UrlRuleRow))
_MEMBERS = {
    "register": ("version", "works", "rules"),
    "works": ("works",),
    "change": ("version",),
    "withdraw": ("version",),
    "erase": ("version", "works", "rules"),
}
_BYTES = frozenset({"url_key", "sha256", "packed", "key"})


def insert(tx: Transaction, record: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write the rows of ``payload``, which begin with this transaction's event; returns what they say.

    A version ends the one before it.
    """
    said = _exactly(payload)
    owner = {"reservation_id": record}
    if said.get("version") is not None:
        reservations.close_version(tx, record)
        reservations.insert_version(tx, {**owner, **said["version"]})
    reservations.insert_works(tx, [{**owner, **row} for row in said.get("works", ())])
    reservations.insert_rules(tx, [{**owner, **row} for row in said.get("rules", ())])
    return said


def to_wire(event: Row[Any], payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the JSON form of an event; its salt and ``payload`` for those who may see them, else null."""
    return {
        "seq": event.seq,
        "op": event.op,
        "record": event.record,
        "at": event.at,
        "leaf": bytes(event.leaf).decode(),
        "erased_by": event.erased_by,
        "salt": None if payload is None else bytes(event.salt).hex(),
        "payload": plain(payload),
    }


def from_wire(op: str, wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of an event that did ``op`` from its JSON form, in which bytes are digits.

    Raises ValueError for what no event of that kind says.
    """
    members = _MEMBERS.get(op, ())
    if set(wire) != set(members) or not members:
        raise ValueError(f"an event that did {op!r} says {sorted(wire)}")
    payload = dict(wire)
    for member in ("works", "rules"):
        if member in wire:
            payload[member] = [_unplain(row) for row in wire[member]]
    return payload


def _unplain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: bytes.fromhex(value) if name in _BYTES and value is not None else value
        for name, value in row.items()
    }


def erase(tx: Transaction, record: str) -> None:
    """Destroy all that earlier events said of ``record``: their rows and their salts."""
    reservations.erase_rows(tx, record)
    imports.erase(tx, record)
    grants.erase(tx, record)
    receipts.erase(tx, record)
    mentions.erase(tx, record)
    events.destroy_salts(tx, record)


def content_of(connection: Connection, record: str) -> dict[str, Any]:
    """Return the works and rules of ``record`` that hold now, as a payload has them."""
    return {
        name: [
            row for rows in _rows(connection, table, columns, _now_of(table, record)).values() for row in rows
        ]
        for name, table, columns in (("works", _WORK, ROW_COLUMNS), ("rules", _RULE, _RULE_COLUMNS))
    }


def payloads_of(connection: Connection, seqs: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the payload of each event of ``seqs``; none for those that were erased."""
    wanted = sorted(set(seqs))
    found: dict[int, dict[str, Any]] = {}
    for some in portions(wanted):
        found |= _payloads(connection, list(some))
    return found


def sizes_of(connection: Connection, after: int, upto: int) -> dict[int, int]:
    """Return how many works and rules the events ``after < seq <= upto`` brought, where they brought any."""
    sizes: dict[int, int] = {}
    for table in (_WORK, _RULE):
        counted = select(table.c.from_seq, func.count()).group_by(table.c.from_seq)
        for seq, count in connection.execute(
            counted.where(table.c.from_seq > after, table.c.from_seq <= upto)
        ):
            sizes[seq] = sizes.get(seq, 0) + count
    return sizes | imports.sizes_of(connection, after, upto)


def misplaced(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with rows that no leaf speaks for: of no event, or ended by none."""
    for table in (_VERSION, _WORK, _RULE):
        brought = (_EVENT.c.seq == table.c.from_seq) & (_EVENT.c.record == table.c.reservation_id)
        lost = select(table.c.from_seq, table.c.reservation_id).outerjoin(_EVENT, brought)
        for seq, record in connection.execute(lost.where(_EVENT.c.seq.is_(None)).distinct()):
            yield f"{table.name}: a row of {record} that no event {seq} brought"
    for table in (_WORK, _RULE):
        ended = select(table.c.from_seq, table.c.ordinal).where(table.c.to_seq.is_not(None))
        for seq, ordinal in connection.execute(ended):
            yield f"{table.name}: row {ordinal} of event {seq} was ended, and no event did so"
    following = func.lead(_VERSION.c.from_seq).over(
        partition_by=_VERSION.c.reservation_id, order_by=_VERSION.c.from_seq
    )
    chain = select(_VERSION.c.reservation_id, _VERSION.c.from_seq, _VERSION.c.to_seq, following.label("due"))
    chained = chain.subquery()
    wrong = select(chained).where(chained.c.to_seq.is_distinct_from(chained.c.due))
    for record, seq, ended, due in connection.execute(wrong):
        yield f"reservation_version: {record} of event {seq} ends with {ended}, and should with {due}"


def _payloads(connection: Connection, seqs: list[int]) -> dict[int, dict[str, Any]]:
    listed = select(_EVENT).where(_EVENT.c.seq.in_(seqs), _EVENT.c.erased_by.is_(None))
    listed_events = connection.execute(listed).all()
    rows_of = _rows(connection, _VERSION, (*_VERSION_COLUMNS, _PUBLIC), _of_events(_VERSION, seqs))
    versions = {seq: _said_version(rows[0]) for seq, rows in rows_of.items()}
    members: dict[str, Mapping[int, Any]] = {
        "version": versions,
        "works": _rows(connection, _WORK, ROW_COLUMNS, _of_events(_WORK, seqs)),
        "rules": _rows(connection, _RULE, _RULE_COLUMNS, _of_events(_RULE, seqs)),
    }
    empty: dict[str, Any] = {"version": None, "works": [], "rules": []}
    found: dict[int, dict[str, Any]] = {}
    for event in listed_events:
        if event.op in events.KEY_OPS:
            # A key of the log is announced in the leaf itself.
            found[event.seq] = {"key": parse_leaf(bytes(event.leaf)).key}
        elif event.op == "part":
            found[event.seq] = imports.payload_of_part(connection, event.seq)
        elif event.op in grants.OPS:
            found[event.seq] = grants.payload_of(connection, event)
        elif event.op in receipts.OPS:
            found[event.seq] = receipts.payload_of(connection, event)
        elif event.op in mentions.OPS:
            found[event.seq] = mentions.payload_of(connection, event)
        elif event.op in imports.OPS:
            version = versions.get(event.seq)
            said = imports.payload_of(connection, event)
            found[event.seq] = said if version is None else {"version": version, **said}
        else:
            names = _MEMBERS[event.op]
            found[event.seq] = {name: members[name].get(event.seq, empty[name]) for name in names}
    return found


def _exactly(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``payload`` with the columns that are committed to and no others."""
    said: dict[str, Any] = {}
    if "version" in payload:
        said["version"] = payload["version"] and _said_version(payload["version"])
    for member, columns in (("works", ROW_COLUMNS), ("rules", _RULE_COLUMNS)):
        if member in payload:
            said[member] = [{name: row[name] for name in columns} for row in payload[member]]
    return said


def _said_version(version: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event says of a version; that it is not public goes without saying, as ever before."""
    said = {name: version[name] for name in _VERSION_COLUMNS}
    return said | ({_PUBLIC: True} if version.get(_PUBLIC) else {})


def _of_events(table: Table, seqs: list[int]) -> ColumnElement[bool]:
    return table.c.from_seq.in_(seqs)


def _now_of(table: Table, record: str) -> ColumnElement[bool]:
    return (table.c.reservation_id == record) & table.c.to_seq.is_(None)


def _rows(
    connection: Connection, table: Table, columns: tuple[str, ...], which: ColumnElement[bool]
) -> dict[int, list[dict[str, Any]]]:
    """Return the rows that each event brought, in their order."""
    wanted = select(table.c.from_seq, *(table.c[name] for name in columns)).where(which)
    order = [table.c.from_seq, *([table.c.ordinal] if "ordinal" in table.c else [])]
    found: dict[int, list[dict[str, Any]]] = {}
    for seq, *values in connection.execute(wanted.order_by(*order)):
        found.setdefault(seq, []).append(dict(zip(columns, values, strict=True)))
    return found
