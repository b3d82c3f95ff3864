"""``POST /api/v1/receipts``, ``POST …/tickets``: what this registry answered to a run, countersigned.

The registry keeps nothing of who asked what. Whoever asked shows it the tickets that came with the answers,
and it says by the key of its log what they prove; see :mod:`registry.tickets` and
:mod:`registry.countersignature`. A long run changes thousands of tickets for one on the way.
"""

from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, Field

from api.auth import optional_caller, require_caller
from api.body import Body, read_body
from api.operations import Operation, operation
from api.signing import log_signer, no_log_key
from api.state import last_checkpoint, state
from api.ticketing import giving_key, ticket_keys
from api.v1.receipts import known_log
from registry.countersignature import Bundle, countersign
from registry.dsse import Envelope
from registry.errors import InputError, PayloadTooLargeError, ProofError
from registry.model_checks import Result
from registry.model_receipt import Signed, open_receipt
from registry.receipt import seconds_of
from registry.receipt_checks import check_state
from registry.receipting import MAX_NAMED, Publication
from registry.tickets import MAX_TICKETS, Ticket, issue, merge, merge_runs, open_ticket

__all__ = ["blueprint"]

blueprint = Blueprint("countersigning", __name__, url_prefix="/api/v1/receipts")

_ERRORS = (400, 401, 413, 415, 422, 503)
_SKEW = 300
"""Seconds by which the maker's clock may be ahead."""


class TicketsBody(Body):
    """Tickets of one run that follow each other, at most 10,000."""

    tickets: list[str] = Field(min_length=1)


class TicketAnswer(BaseModel):
    """The one ticket that stands for all that were sent."""

    ticket: str


class ReceiptBody(Body):
    """A receipt, and the tickets of runs that it names, from request 0 on; ``publish`` puts it on the log."""

    receipt: dict[str, Any]
    tickets: list[str] = Field(min_length=1)
    publish: bool = False
    honoured: list[str] = Field(default_factory=list, max_length=MAX_NAMED)
    consents: list[str] = Field(default_factory=list, max_length=MAX_NAMED)


class PublishedAt(BaseModel):
    """Its identifier, and the event that published it."""

    id: str
    seq: int


class CountersignedAnswer(BaseModel):
    """What is kept: the receipt and its countersignature, in one file; ``published`` where it is shown."""

    receipt: str
    bundle: dict[str, Any]
    published: PublishedAt | None


@blueprint.post("/tickets")
@operation(
    Operation(
        "Change the tickets of a run for one",
        answer=TicketAnswer,
        body=TicketsBody,
        scope="optional",
        errors=_ERRORS,
    )
)
def change() -> Response:
    """Merge tickets that follow each other."""
    optional_caller()
    ticket = merge(_opened(read_body(TicketsBody).tickets))
    key = giving_key()
    if key is None:
        raise no_log_key()
    return jsonify(ticket=issue(ticket, key))


@blueprint.post("")
@operation(
    Operation(
        "Countersign the receipt of a run",
        answer=CountersignedAnswer,
        body=ReceiptBody,
        scope="optional",
        errors=(*_ERRORS, 403, 409, 507),
    )
)
def create() -> Response:
    """Say what this registry answered to the run of a receipt."""
    optional_caller()
    body = read_body(ReceiptBody)
    # Nobody writes on the log without a key.
    caller = require_caller("lookup", "register") if body.publish else None
    if caller is None and (body.honoured or body.consents):
        raise InputError(
            "honoured, consents: of a receipt that is not published", hint="Send publish as true, or neither."
        )
    receipt = Envelope.from_wire(body.receipt)
    # Whose key it is, the registry does not say: the receipt names it, and its signature must be right.
    signed = open_receipt(receipt.to_json(), [])
    _require_plausible(signed)
    tickets = merge_runs(_opened(body.tickets))
    said, envelope = countersign(signed, tickets, log_signer(), last_checkpoint())
    bundle = Bundle(receipt, (envelope,))
    published = None
    if caller is not None:
        new = Publication(bundle, said, body.honoured, body.consents)
        done = state().receipting.publish(caller, new)
        published = {"id": done.id, "seq": done.seq}
    return jsonify(receipt=signed.sha256, bundle=bundle.to_wire(), published=published)


def _opened(texts: list[str]) -> list[Ticket]:
    if len(texts) > MAX_TICKETS:
        raise PayloadTooLargeError(
            f"{len(texts):,} tickets; at most {MAX_TICKETS:,} in one request",
            hint="Change some of them for one before: POST /api/v1/receipts/tickets.",
        )
    keys = ticket_keys()
    if not keys:
        raise no_log_key()
    return [open_ticket(text, keys) for text in texts]


def _require_plausible(signed: Signed) -> None:
    """Raise :class:`ProofError` for a receipt from the future, or of a state that the log never had."""
    receipt, log = signed.receipt, known_log()
    if seconds_of(receipt.finished) > state().now() + _SKEW:
        raise ProofError(f"from the future: the receipt says {receipt.finished}")
    for asked in receipt.registries:
        found = None if log is None or asked.origin != log.origin else check_state(asked, log)
        if found is not None and found.result is Result.NOT_OK:
            raise ProofError(found.text)
