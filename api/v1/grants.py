"""``/api/v1/grants``: what the owner of a reservation permits one licensee, signed by the key of the log.

Whoever may change the reservation grants, and takes back. Whoever knows the identifier of a grant may see it:
nobody can guess it, and neither log nor list names it.
"""

from typing import Any

from flask import Blueprint, Response, jsonify, url_for
from pydantic import BaseModel, Field
from sqlalchemy import Row

from api.auth import require_caller
from api.body import Body, Text, Word, read_body
from api.operations import Operation, operation
from api.repeating import repeatable
from api.signing import log_signer
from api.state import state
from registry.errors import LogError, NotFoundError
from registry.grant import MAX_WORKS, is_grant_id, sign_grant
from registry.granting import GrantDraft, state_of
from registry.preference import Use
from registry.store import grants

__all__ = ["blueprint"]

blueprint = Blueprint("grants", __name__, url_prefix="/api/v1/grants")

_HEADERS = ("Idempotency-Key",)


class LicenseeBody(Body):
    """To whom: a name for people, and where to find them."""

    name: Text = Field(min_length=1, max_length=200)
    url: Text = Field(default="", max_length=2000)


class GrantBody(Body):
    """What to grant; without ``works`` the whole reservation, without ``valid_from`` from now on.

    Times are seconds since 1970; ``valid_until`` is the first second at which it no longer holds.
    """

    reservation: Text
    uses: list[Word[Use]] = Field(min_length=1, max_length=len(Use))
    licensee: LicenseeBody
    valid_from: int | None = None
    valid_until: int
    works: list[str] | None = Field(default=None, min_length=1, max_length=MAX_WORKS)
    terms: Text = Field(default="", max_length=2000)
    contact: Text = Field(default="", max_length=500)


class GrantAnswer(BaseModel):
    """A grant and how it stands; ``envelope`` is null in a mirror, which has no key to sign with."""

    id: str
    seq: int
    state: str
    grant: dict[str, Any]
    envelope: dict[str, Any] | None


class RevokedAnswer(BaseModel):
    """The grant was taken back with event ``seq``."""

    id: str
    seq: int
    state: str


@blueprint.post("")
@operation(
    Operation(
        "Grant the works of an own reservation to a licensee",
        answer=GrantAnswer,
        body=GrantBody,
        status=201,
        scope="register",
        errors=(400, 401, 403, 404, 409, 413, 415, 422, 503, 507),
        headers=_HEADERS,
    )
)
def create() -> tuple[Response, int, dict[str, str]]:
    """Write a grant, and hand it out signed."""
    caller = require_caller("register")
    body = read_body(GrantBody)
    if not state().settings.mirror:
        log_signer()  # What could not be signed must not be granted.
    draft = GrantDraft(
        reservation=body.reservation,
        uses=body.uses,
        licensee=body.licensee.name,
        licensee_url=body.licensee.url,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
        works=body.works,
        terms=body.terms,
        contact=body.contact,
    )
    done = state().granter.grant(caller, draft, repeatable())
    return jsonify(_wire(_row(done.id))), 201, {"Location": url_for("grants.show", id_=done.id)}


@blueprint.get("/<id_>")
@operation(Operation("Show a grant, and how it stands", answer=GrantAnswer, errors=(404, 503)))
def show(id_: str) -> Response:
    """Give a grant, signed by the log's key of today, to whoever knows its identifier."""
    return jsonify(_wire(_row(id_)))


@blueprint.delete("/<id_>")
@operation(
    Operation(
        "Take back a grant of an own reservation",
        answer=RevokedAnswer,
        scope="register",
        errors=(401, 403, 404, 409, 422, 503, 507),
        headers=_HEADERS,
    )
)
def revoke(id_: str) -> Response:
    """Take a grant back: from this event on it lifts nothing."""
    caller = require_caller("register")
    done = state().granter.revoke(caller, id_, repeatable())
    return jsonify(id=done.id, seq=done.seq, state=done.state)


def _row(id_: str) -> Row[Any]:
    with state().store.read() as connection:
        row = grants.find(connection, id_) if is_grant_id(id_) else None
    if row is None or row.from_seq > state().store.head():
        raise NotFoundError(
            "no such grant", hint="Check the identifier. Whoever gave it may have erased the reservation."
        )
    return row


def _wire(row: Row[Any]) -> dict[str, Any]:
    signer = None if state().settings.mirror else log_signer()
    grant = grants.grant_of(row, _origin() if signer is None else signer.name)
    return {
        "id": grant.id,
        "seq": row.from_seq if row.to_seq is None else row.to_seq,
        "state": state_of(row),
        "grant": grant.to_wire(),
        "envelope": None if signer is None else sign_grant(grant, signer).to_wire(),
    }


def _origin() -> str:
    """Return the name of the log of which this mirror has a copy."""
    log = state().log
    keys = [] if log is None else log.verifiers()
    if not keys:
        raise LogError("this mirror has no copy of the log yet", hint="Ask again in some seconds.")
    return keys[0].name
