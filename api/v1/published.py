"""``GET|DELETE /api/v1/receipts/{id}``, ``GET /badge/{id}.svg``: receipts that were published.

Whoever has a receipt finds it by the first 32 digits of its SHA-256. A badge says when a set was filtered and
as of which event; grey, that this is long ago, or that a work which passed is reserved now. The registry does
not know which works the run asked about, so it can say the latter only where the maker has subscribed to be
told (:mod:`api.v1.subscriptions`) and bound that to the receipt.
"""

import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from sqlalchemy import Row

from api.auth import require_caller
from api.operations import Operation, operation
from api.state import state
from registry.countersignature import Bundle, parse_countersignature
from registry.errors import NotFoundError, ProofError, StorageError
from registry.model_checks import MAX_AGE_DAYS
from registry.model_receipt import Signed, open_receipt
from registry.receipt import seconds_of
from registry.receipting import PUBLISHED, receipt_id
from registry.store import notices, receipts, subscriptions

__all__ = ["badge", "blueprint", "published_bundle"]

blueprint = Blueprint("published", __name__, url_prefix="/api/v1/receipts")
badge = Blueprint("badge", __name__)

_ID = re.compile(rf"[0-9a-f]{{{receipts.ID_DIGITS}}}", re.ASCII)
_DAY = 86_400
_GREEN, _GREY = "#2e7d32", "#757575"
_LABEL, _DIGIT = "caveat", 6.6
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
    'aria-label="{label}: {text}"><title>{label}: {text}</title>'
    '<rect width="{width}" height="20" rx="3" fill="{colour}"/>'
    '<rect width="{left}" height="20" rx="3" fill="#424242"/>'
    '<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">'
    '<text x="{at_label}" y="14">{label}</text><text x="{at_text}" y="14">{text}</text></g></svg>\n'
)


class WatchedAnswer(BaseModel):
    """What the subscriptions that are bound to a receipt have found, as of event ``checked_seq``.

    ``reserved_since`` counts the items that passed and may not be used now. ``behind_since`` is since when
    they were not held against what is new, null where they were.
    """

    reserved_since: int
    checked_seq: int | None
    behind_since: int | None


class PublishedAnswer(BaseModel):
    """A receipt that was published: its bundle, and what its badge says.

    ``stale`` is true when the set was filtered more than 90 days ago, or something that passed is reserved
    now. ``watched`` is null where nobody watches for that.
    """

    id: str
    seq: int
    at: int
    state: str
    receipt: str
    key: str
    badge: str
    stale: bool
    watched: WatchedAnswer | None
    bundle: dict[str, Any]


class ErasedAnswer(BaseModel):
    """The receipt was destroyed with event ``seq``."""

    id: str
    seq: int
    state: str


@blueprint.get("/<id_>")
@operation(Operation("Show a receipt that was published", answer=PublishedAnswer, errors=(404, 503)))
def show(id_: str) -> Response:
    """Give a receipt with its countersignature."""
    row = _row(id_)
    bundle, signed = _read(row)
    watched = _watched(row.id)
    text, stale = _said(bundle, signed, watched)
    return jsonify(
        id=row.id,
        seq=row.from_seq,
        at=row.at,
        state=PUBLISHED,
        receipt=row.sha256,
        key=signed.signer.text,
        badge=text,
        stale=stale,
        watched=watched and watched.model_dump(),
        bundle=bundle.to_wire(),
    )


@blueprint.delete("/<id_>")
@operation(
    Operation(
        "Erase an own receipt that was published",
        answer=ErasedAnswer,
        scope="lookup or register",
        errors=(401, 403, 404, 503, 507),
    )
)
def erase(id_: str) -> Response:
    """Destroy a receipt; the log tells that there was one."""
    done = state().receipting.erase(require_caller("lookup", "register"), id_)
    return jsonify(id=done.id, seq=done.seq, state=done.state)


@badge.get("/badge/<id_>.svg")
@operation(Operation("The badge of a published receipt", errors=(404, 503), media="image/svg+xml"))
def picture(id_: str) -> Response:
    """Draw what a published receipt says in a line."""
    row = _row(id_)
    text, stale = _said(*_read(row), _watched(row.id))
    left, right = round(len(_LABEL) * _DIGIT) + 12, round(len(text) * _DIGIT) + 12
    svg = _SVG.format(
        width=left + right,
        left=left,
        at_label=left / 2,
        at_text=left + right / 2,
        label=_LABEL,
        text=text,
        colour=_GREY if stale else _GREEN,
    )
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(svg, content_type="image/svg+xml", headers=headers)


def published_bundle(signed: Signed) -> Bundle | None:
    """Return what was published of a receipt, or None."""
    with state().store.read() as connection:
        row = receipts.find(connection, receipt_id(signed.sha256))
    return None if row is None or row.sha256 != signed.sha256 else _read(row)[0]


def _row(id_: str) -> Row[Any]:
    with state().store.read() as connection:
        row = receipts.find(connection, id_) if _ID.fullmatch(id_) else None
    if row is None:
        raise NotFoundError(
            "no such receipt was published",
            hint=f"Give the first {receipts.ID_DIGITS} digits of its SHA-256. It may have been erased.",
        )
    return row


def _read(row: Row[Any]) -> tuple[Bundle, Signed]:
    try:
        bundle = Bundle.from_json(row.bundle.encode())
        return bundle, open_receipt(bundle.receipt.to_json(), [])
    except ProofError as error:
        raise StorageError(
            f"the receipt {row.id} cannot be read: {error.message}",
            hint="The database is damaged: caveat log fsck says where.",
        ) from error


def _watched(id_: str) -> WatchedAnswer | None:
    with state().store.read() as connection:
        bound = subscriptions.bound_to(connection, id_)
        if not bound:
            return None
        checked = [subscriptions.checked_seq(connection, one) for one in bound]
        behind = [subscriptions.behind_since(connection, one) for one in bound]
        return WatchedAnswer(
            reserved_since=notices.standing_reserved(connection, id_),
            checked_seq=None if None in checked else min(one for one in checked if one is not None),
            behind_since=min((one for one in behind if one is not None), default=None),
        )


def _said(bundle: Bundle, signed: Signed, watched: WatchedAnswer | None) -> tuple[str, bool]:
    finished = seconds_of(signed.receipt.finished)
    seq = min(parse_countersignature(one.payload).as_of_seq for one in bundle.countersignatures)
    day = datetime.fromtimestamp(finished, UTC).date().isoformat()
    found = 0 if watched is None else watched.reserved_since
    since = f" · {found:,} reserved since" if found else ""
    is_old = state().now() - finished > MAX_AGE_DAYS * _DAY
    return f"filtered {day} · state {seq:,}{since}", is_old or found > 0
