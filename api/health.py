"""``/livez``, ``/readyz`` and ``/openapi.json``: what machines ask before they ask anything else."""

from flask import Blueprint, Response, current_app, jsonify
from pydantic import BaseModel

from api.operations import Operation, openapi, operation
from api.state import state
from registry.store import subscriptions

__all__ = ["blueprint"]

blueprint = Blueprint("health", __name__)


class Live(BaseModel):
    """The process answers."""

    status: str


class Ready(BaseModel):
    """The process can answer look-ups as of this event.

    ``subscriptions_behind_since`` is since when items of subscriptions were not held against what is new,
    seconds since 1970; null where all were.
    """

    status: str
    as_of_seq: int
    subscriptions_behind_since: int | None


@blueprint.get("/livez")
@operation(Operation("Whether the process answers", answer=Live))
def livez() -> Response:
    """Answer without touching the database."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@operation(Operation("Whether look-ups can be answered", answer=Ready, errors=(503,)))
def readyz() -> Response:
    """Catch up with the head, as a look-up would; 503 when that fails."""
    as_of_seq = state().lookup.catch_up()
    with state().store.read() as connection:
        behind = subscriptions.behind_since(connection)
    return jsonify(status="ok", as_of_seq=as_of_seq, subscriptions_behind_since=behind)


@blueprint.get("/openapi.json")
@operation(Operation("This document"))
def document() -> Response:
    """Describe every route in OpenAPI 3.1."""
    return jsonify(openapi(current_app))
