"""What somebody sees of their own: their records, one of them, and all of it as a file."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row

from api.state import last_checkpoint, state
from api.v1.reservations import work_wire
from registry.errors import NotFoundError
from registry.grant import is_grant_id
from registry.registrar import NOT_YOURS, NOT_YOURS_HINT, Caller
from registry.store import events, payloads, reservations
from registry.urls import RuleKind, UrlRule

__all__ = ["export_of", "own_record", "own_records", "own_row"]

_PAGE = 1000
_MOST_RECORDS = 1000


def own_row(caller: Caller, id_: str) -> Row[Any]:
    """Return an own record as it stands. Raises :class:`NotFoundError` for foreign and missing ones alike."""
    with state().store.read() as connection:
        return _own(connection, caller, id_)


def own_records(caller: Caller) -> list[dict[str, Any]]:
    """Return what somebody lodged, oldest change first, the first thousand."""
    with state().store.read() as connection:
        rows = reservations.owned_by(connection, caller.principal_id, 0, _MOST_RECORDS)
        return [
            {
                "id": row.reservation_id,
                "label": row.label,
                "state": row.state,
                "changed": row.at,
                "works": reservations.count_works(connection, row.reservation_id),
            }
            for row in rows
        ]


def own_record(caller: Caller, id_: str) -> dict[str, Any]:
    """Return an own record with its rules and what happened to it. Raises :class:`NotFoundError`."""
    with state().store.read() as connection:
        return _told(connection, _own(connection, caller, id_))


def export_of(caller: Caller, id_: str) -> dict[str, Any]:
    """Return all that is held of an own record: its works, and what each event said, with its salt.

    Raises :class:`NotFoundError`.
    """
    with state().store.read() as connection:
        row = _own(connection, caller, id_)
        happened = [one for one in events.of_record(connection, id_) if one.op != "part"]
        said = payloads.payloads_of(connection, [one.seq for one in happened])
        return {
            "reservation": _told(connection, row),
            "works": [work_wire(work) for work in _every_work(connection, id_)],
            "events": [payloads.to_wire(one, said.get(one.seq)) for one in happened],
            "checkpoint": last_checkpoint(),
        }


def _own(connection: Connection, caller: Caller, id_: str) -> Row[Any]:
    row = reservations.current(connection, id_) if is_grant_id(id_) else None
    if row is None or row.principal_id != caller.principal_id:
        raise NotFoundError(NOT_YOURS, hint=NOT_YOURS_HINT)
    return row


def _told(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    id_ = row.reservation_id
    return {
        "id": id_,
        "seq": row.from_seq,
        "state": row.state,
        "preferences": json.loads(row.preferences),
        "label": row.label,
        "terms": row.terms,
        "contact": row.contact,
        "public": row.public,
        "evidence_level": row.evidence_level,
        "works": reservations.count_works(connection, id_),
        "rules": [
            {"kind": rule.kind, "value": UrlRule(RuleKind(rule.kind), rule.surt).text}
            for rule in reservations.rules_of(connection, id_)
        ],
        "history": [
            {"seq": one.seq, "op": one.op, "at": one.at} for one in events.of_record(connection, id_)
        ],
    }


def _every_work(connection: Connection, id_: str) -> Iterator[Any]:
    after = (0, -1)
    while page := reservations.works_of(connection, id_, after, _PAGE):
        yield from page
        after = (page[-1].from_seq, page[-1].ordinal)
