"""``GET /api/v1/reservations/{id}/evidence``, ``GET /api/v1/log/keys``: what the log proves about a record.

The form is that of :mod:`registry.evidence`. Whoever lodged a reservation sees what each event said, and its
salt; a key of scope ``lookup`` sees that the events happened. ``?work=5.17`` adds that work of an import,
with its proof within its part, for whoever lodged it.

``evidence.pdf`` is the same for people, and carries the JSON as a file (:mod:`api.v1.evidence_paper`).
"""

import re
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel
from sqlalchemy import Connection, Row

from api.auth import require_caller
from api.operations import Operation, operation
from api.state import last_checkpoint, published_log, state
from api.v1.evidence_paper import paper
from registry.errors import InputError, NotFoundError, PayloadTooLargeError
from registry.leaf import plain
from registry.merkle import inclusion_proof
from registry.note import Checkpoint, open_note, parse_checkpoint
from registry.registrar import LOG, NOT_YOURS, NOT_YOURS_HINT
from registry.store import events, imports, payloads, reservations
from registry.tiles import TileReader

__all__ = ["blueprint"]

blueprint = Blueprint("evidence", __name__, url_prefix="/api/v1")

_WORK = re.compile(r"(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,8})", re.ASCII)
_MOST_WORKS = 100
"""Works of an import in one answer: each is read from a block of a megabyte."""


class RecordEvidence(BaseModel):
    """The events of a record; ``proof`` is null until a checkpoint covers the event."""

    record: str
    checkpoint: str | None
    events: list[dict[str, Any]]


class EvidenceAnswer(RecordEvidence):
    """With the works of an import that were asked for, each with its proof within its part."""

    works: list[dict[str, Any]] | None = None


class LogKeysAnswer(RecordEvidence):
    """The public keys that sign the log, the current one first, and the events that announced them."""

    keys: list[str]


@blueprint.get("/reservations/<id_>/evidence")
@operation(
    Operation(
        "Prove what was lodged, changed and withdrawn",
        answer=EvidenceAnswer,
        scope="register or lookup",
        errors=(401, 403, 404, 413, 422, 503),
        query=("work",),
    )
)
def of_reservation(id_: str) -> Response:
    """Give the events of a reservation with their proofs."""
    return jsonify(_of_reservation(id_))


@blueprint.get("/reservations/<id_>/evidence.pdf")
@operation(
    Operation(
        "The same for people, as a paper that carries the JSON",
        scope="register or lookup",
        errors=(401, 403, 404, 413, 422, 503),
        query=("work",),
        media="application/pdf",
    )
)
def for_people(id_: str) -> Response:
    """Give the evidence of a reservation as PDF."""
    return paper(_of_reservation(id_))


def _of_reservation(id_: str) -> dict[str, Any]:
    caller = require_caller("register", "lookup")
    with state().store.read() as connection:
        version = reservations.current(connection, id_) if "\0" not in id_ else None
    own = version is not None and version.principal_id == caller.principal_id
    if version is None or not (own or "lookup" in caller.scopes):
        raise NotFoundError(NOT_YOURS, hint=NOT_YOURS_HINT)
    named = request.args.getlist("work")
    if named and not own:
        raise NotFoundError("the works of a record are shown to whoever lodged it", hint=NOT_YOURS_HINT)
    evidence = _evidence(id_, full=own)
    return evidence | {"works": _works(evidence, named)} if named else evidence


@blueprint.get("/log/keys")
@operation(Operation("The keys of the log, and their announcements", answer=LogKeysAnswer, errors=(404, 503)))
def ofpublished_log() -> Response:
    """Give the public keys, and the proofs of their announcement."""
    return jsonify(_evidence(LOG, full=True) | {"keys": [one.text for one in published_log().verifiers()]})


def _evidence(record: str, *, full: bool) -> dict[str, Any]:
    note = last_checkpoint()
    checkpoint = None if note is None else _opened(note)
    with state().store.read() as connection:
        rows = events.of_record(connection, record)
        # Thousands of works in one piece are not told here.
        shown = [row.seq for row in rows if row.op != "part"]
        said = payloads.payloads_of(connection, shown) if full else {}
    wires = [_wire(row, said.get(row.seq)) | {"proof": _proof(row.seq, checkpoint)} for row in rows]
    return {"record": record, "checkpoint": note, "events": wires}


def _works(evidence: dict[str, Any], named: Sequence[str]) -> list[dict[str, Any]]:
    """Return the works of an import that are named, each with its proof within its part."""
    if len(named) > _MOST_WORKS:
        raise PayloadTooLargeError(f"{len(named)} works; at most {_MOST_WORKS} in one request")
    parts = {event["seq"] for event in evidence["events"] if event["op"] == "part"}
    wanted: dict[int, list[int]] = {}
    for text in named:
        found = _WORK.fullmatch(text)
        if found is None:
            raise InputError(f"work: expected EVENT.NUMBER as in 5.17, got {text[:40]!r}")
        if int(found[1]) not in parts:
            raise NotFoundError(f"work {text} is in no part of this record", hint=_IN_PARTS)
        wanted.setdefault(int(found[1]), []).append(int(found[2]))
    with state().store.read() as connection:
        return [
            work for seq in sorted(wanted) for work in _of_part(connection, seq, sorted(set(wanted[seq])))
        ]


_IN_PARTS = "Works that were not imported are told with their event, and need no proof of their own."


def _of_part(connection: Connection, seq: int, ordinals: Sequence[int]) -> list[dict[str, Any]]:
    block = next((block for _, block in imports.blocks_between(connection, seq - 1, seq)), None)
    if block is None or ordinals[-1] >= len(block):
        held = 0 if block is None else len(block)
        raise NotFoundError(f"work {seq}.{ordinals[-1]}: the part of event {seq} holds {held:,} works")
    return [
        {
            "work": f"{seq}.{ordinal}",
            "of": len(block),
            "row": plain(block.row(ordinal)),
            "salt": block.salt(ordinal).hex(),
            "proof": [one.hex() for one in block.proof(ordinal)],
        }
        for ordinal in ordinals
    ]


def _opened(note: str) -> Checkpoint:
    return parse_checkpoint(open_note(note, published_log().verifiers())[0])


def _wire(row: Row[Any], payload: dict[str, Any] | None) -> dict[str, Any]:
    wire = payloads.to_wire(row, payload)
    return {name: wire[name] for name in ("seq", "op", "at", "leaf", "salt", "payload")}


def _proof(seq: int, checkpoint: Checkpoint | None) -> list[str] | None:
    if checkpoint is None or seq > checkpoint.size:
        return None
    reader = TileReader(checkpoint.size, published_log().read_tile)
    return [one.hex() for one in inclusion_proof(reader, seq - 1, checkpoint.size)]
