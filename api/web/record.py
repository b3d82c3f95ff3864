"""``/record/{id}``: what somebody said of their works, since when, and who heeded it.

What is permitted stands as prominently as what is refused. The page is for whoever knows the identifier, and
search engines are told to leave it out. Label, terms, contact and addresses are shown to all only where
whoever lodged the record made them public; else to keys of scope ``lookup``, and to their own.
"""

import json
from typing import Any

from flask import Response
from pydantic import BaseModel
from sqlalchemy import Connection, Row

from api.auth import optional_caller
from api.state import last_checkpoint, state
from api.v1.receipts import known_log
from api.web.pages import address, is_page, shown
from api.web.words import EVIDENCE, HAPPENED, SAID, UNSHOWN, is_link, uses_by_preference
from registry.errors import NotFoundError, StorageError
from registry.grant import is_grant_id
from registry.merkle import inclusion_proof
from registry.preference import ALLOWING_LEVEL, State
from registry.receipt_checks import KnownLog
from registry.snapshot_folder import SnapshotFolder
from registry.store import events, mentions, reservations
from registry.urls import RuleKind, UrlRule

__all__ = ["RecordAnswer", "record_page"]

_MOST = 50
"""Events, receipts and rules that are listed, the newest; all are counted."""
_NAMES = ("label", "terms", "contact")


class RecordAnswer(BaseModel):
    """What a record says as of event ``as_of_seq``, and what became of it.

    ``label``, ``terms``, ``contact`` and ``addresses`` are null for whom they are not shown. ``events`` have
    their leaves and, where the signed log covers them, the hashes that prove it; ``receipts`` are published
    ones that name the record, ``snapshots`` the events as of which it is in one. The newest 50 of each.
    """

    id: str
    as_of_seq: int
    seq: int
    state: str
    preferences: dict[str, str]
    evidence_level: int
    public: bool
    label: str | None
    terms: str | None
    contact: str | None
    addresses: list[dict[str, str]] | None
    works: int
    rules: int
    since: int
    changed: int
    honoured: int
    consents: int
    events: list[dict[str, Any]]
    receipts: list[dict[str, Any]]
    snapshots: list[dict[str, int]]
    checkpoint: str | None


def record_page(id_: str) -> Response:
    """Show a record. Raises :class:`NotFoundError`."""
    head = state().store.head()
    with state().store.read() as connection:
        row = _row(connection, id_, head)
        wire = _told(connection, row, head)
        wire |= _heeded(connection, id_, head)
        rows = _events(connection, id_, head)
    first = _first(rows)
    wire |= {"since": first.at, "events": _proven(rows), "snapshots": _snapshots(wire, first.seq)}
    wire["checkpoint"] = last_checkpoint()
    response = shown("record.html", wire, **(_for_people(wire) if is_page() else {}))
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _row(connection: Connection, id_: str, head: int) -> Row[Any]:
    found = reservations.versions_at(connection, [id_], head) if is_grant_id(id_) else ()
    if not found:
        raise NotFoundError(
            "no such record", hint="Check the identifier. Whoever lodged it may have erased the record."
        )
    return found[0]


def _told(connection: Connection, row: Row[Any], head: int) -> dict[str, Any]:
    caller = optional_caller()
    own = caller is not None and caller.principal_id == row.principal_id
    open_ = row.public or own or (caller is not None and "lookup" in caller.scopes)
    rules = reservations.rules_of(connection, row.reservation_id)
    addresses = [
        {"kind": rule.kind, "value": UrlRule(RuleKind(rule.kind), rule.surt).text} for rule in rules[:_MOST]
    ]
    return {
        "id": row.reservation_id,
        "as_of_seq": head,
        "seq": row.from_seq,
        "state": row.state,
        "preferences": json.loads(row.preferences),
        "evidence_level": row.evidence_level,
        "public": row.public,
        **{name: getattr(row, name) if open_ else None for name in _NAMES},
        "addresses": addresses if open_ else None,
        "works": reservations.count_works(connection, row.reservation_id),
        "rules": len(rules),
        "changed": row.at,
    }


def _heeded(connection: Connection, id_: str, head: int) -> dict[str, Any]:
    """Return which published receipts name the record, and how many of each kind."""
    counts = mentions.counted(connection, id_, head)
    rows = mentions.published_of(connection, id_, head, _MOST)
    listed = [{"id": row.receipt_id, "kind": row.kind, "seq": row.from_seq, "at": row.at} for row in rows]
    return {
        "honoured": counts[mentions.HONOURED],
        "consents": counts[mentions.CONSENT],
        "receipts": listed,
    }


def _events(connection: Connection, id_: str, head: int) -> list[Row[Any]]:
    rows = [row for row in events.of_record(connection, id_) if row.seq <= head]
    if not rows:
        raise StorageError(
            f"the record {id_} has no event", hint="The database is damaged: caveat log fsck says where."
        )
    return rows


def _proven(rows: list[Row[Any]]) -> list[dict[str, Any]]:
    """Return the newest of these events, each with its proof where the log covers it."""
    # An import is told by the event that made it visible, not part by part.
    listed = [row for row in rows if row.op != "part"][-_MOST:]
    log = known_log()
    return [{"seq": row.seq, "op": row.op, "at": row.at, **_proof(row, log)} for row in listed]


def _first(rows: list[Row[Any]]) -> Row[Any]:
    """Return the event since which the record stands: what was erased is not told as its beginning."""
    return next((row for row in rows if row.erased_by is None), rows[-1])


def _proof(row: Row[Any], log: KnownLog | None) -> dict[str, Any]:
    leaf = bytes(row.leaf).decode()
    if log is None or row.seq > log.size:
        return {"leaf": leaf, "proof": None}
    hashes = inclusion_proof(log.reader, row.seq - 1, log.size)
    return {"leaf": leaf, "proof": [one.hex() for one in hashes]}


def _snapshots(wire: dict[str, Any], first: int) -> list[dict[str, int]]:
    """Return the snapshots that are handed out and have the record in them."""
    path, now = state().settings.snapshots, int(state().now())
    if path is None:
        return []
    last = wire["seq"] if wire["state"] == State.WITHDRAWN else wire["as_of_seq"] + 1
    served = SnapshotFolder(path).served(now)
    return [{"seq": one.seq, "built_at": one.built_at} for one in served if first <= one.seq < last]


def _for_people(wire: dict[str, Any]) -> dict[str, Any]:
    return {
        "said": uses_by_preference(wire["preferences"]),
        "withdrawn": wire["state"] == State.WITHDRAWN,
        "happened": _timeline(wire),
        "site": address(),
        "SAID": SAID,
        # A permission counts from this level up; a page must not permit more than a look-up does.
        "unshown": "" if wire["evidence_level"] >= ALLOWING_LEVEL else UNSHOWN,
        "EVIDENCE": EVIDENCE,
        "is_link": is_link,
    }


def _timeline(wire: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what happened to the record in its order, with receipts and snapshots among it."""
    own = [{**one, "text": HAPPENED.get(one["op"], one["op"])} for one in wire["events"]]
    named = [{**one, "text": HAPPENED[one["kind"]], "receipt": one["id"]} for one in wire["receipts"]]
    dated = [{"seq": one["seq"], "at": one["built_at"], "snapshot": one["seq"]} for one in wire["snapshots"]]
    return sorted([*own, *named, *dated], key=lambda one: (one["at"], one["seq"]))
