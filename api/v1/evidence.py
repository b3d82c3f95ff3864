"""``GET /api/v1/reservations/{id}/evidence``, ``GET /api/v1/log/keys``: what the log proves about a record.

The form is that of :mod:`registry.evidence`. Whoever lodged a reservation sees what each event said, and its
salt; a key of scope ``lookup`` sees that the events happened.
"""

from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from sqlalchemy import Row

from api.auth import require_caller
from api.operations import Operation, operation
from api.state import last_checkpoint, published_log, state
from registry.errors import NotFoundError
from registry.merkle import inclusion_proof
from registry.note import Checkpoint, open_note, parse_checkpoint
from registry.registrar import LOG, NOT_YOURS, NOT_YOURS_HINT
from registry.store import events, payloads, reservations
from registry.tiles import TileReader

__all__ = ["blueprint"]

blueprint = Blueprint("evidence", __name__, url_prefix="/api/v1")


class EvidenceAnswer(BaseModel):
    """The events of a record; ``proof`` is null until a checkpoint covers the event."""

    record: str
    checkpoint: str | None
    events: list[dict[str, Any]]


class LogKeysAnswer(EvidenceAnswer):
    """The public keys that sign the log, the current one first, and the events that announced them."""

    keys: list[str]


@blueprint.get("/reservations/<id_>/evidence")
@operation(
    Operation(
        "Prove what was lodged, changed and withdrawn",
        answer=EvidenceAnswer,
        scope="register or lookup",
        errors=(401, 403, 404, 503),
    )
)
def of_reservation(id_: str) -> Response:
    """Give the events of a reservation with their proofs."""
    caller = require_caller("register", "lookup")
    with state().store.read() as connection:
        version = reservations.current(connection, id_) if "\0" not in id_ else None
    own = version is not None and version.principal_id == caller.principal_id
    if version is None or not (own or "lookup" in caller.scopes):
        raise NotFoundError(NOT_YOURS, hint=NOT_YOURS_HINT)
    return jsonify(_evidence(id_, full=own))


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
