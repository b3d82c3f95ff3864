"""``GET /api/v1/changes``: every event in order, as mirrors and monitors follow it.

Leaves are open to all; what they commit to, with the salts, goes to keys of scope ``mirror``. An erased
event has neither.
"""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel
from sqlalchemy import Connection, Row

from api.auth import has_scope
from api.operations import Operation, operation
from api.state import last_checkpoint, state
from registry.errors import InputError
from registry.store import events, payloads

__all__ = ["blueprint"]

blueprint = Blueprint("changes", __name__, url_prefix="/api/v1")

_PAGE = 1_000
_MOST_ROWS = 20_000
"""Works and rules in one page, unless a single event brought more."""
_LARGEST = 2**62


class ChangesAnswer(BaseModel):
    """A page of events; ``next`` is the last one's number, to ask after, and null at the end."""

    head: int
    checkpoint: str | None
    events: list[dict[str, Any]]
    next: int | None


@blueprint.get("/changes")
@operation(
    Operation(
        "Follow what happens, event by event",
        answer=ChangesAnswer,
        scope="optional",
        errors=(401, 422, 503),
        query=("after",),
    )
)
def changes() -> Response:
    """Give the events after one, a page at a time."""
    full = has_scope("mirror")
    after = _after(request.args.get("after", "0"))
    # The checkpoint is read first, so that it never covers more than the page can reach.
    checkpoint, head = last_checkpoint(), state().store.head()
    with state().store.read() as connection:
        rows = _page(connection, after, head, full=full)
        said = payloads.payloads_of(connection, [row.seq for row in rows]) if full else {}
    last = rows[-1].seq if rows and rows[-1].seq < head else None
    wires = [payloads.to_wire(row, said.get(row.seq)) for row in rows]
    return jsonify(head=head, checkpoint=checkpoint, events=wires, next=last)


def _page(connection: Connection, after: int, head: int, *, full: bool) -> list[Row[Any]]:
    upto = min(after + _PAGE, head)
    rows = list(events.between(connection, after, upto)) if upto > after else []
    if not full:
        return rows
    sizes = payloads.sizes_of(connection, after, upto)
    kept, held = 0, 0
    for row in rows:
        held += sizes.get(row.seq, 0)
        if kept and held > _MOST_ROWS:
            break
        kept += 1
    return rows[:kept]


def _after(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < _LARGEST):
        raise InputError(f"after: expected the number of an event, got {text[:40]!r}")
    return int(text)
