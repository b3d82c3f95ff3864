"""``GET /api/v1/parameters``: what this registry takes and how it matches."""

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from api.operations import Operation, operation
from api.state import state
from api.ticketing import giving_key
from registry import fingerprint
from registry.grant import MAX_GRANTS
from registry.matching import RANGE_DIGITS
from registry.preference import Mode, Use
from registry.tickets import MAX_TICKETS

__all__ = ["blueprint"]

blueprint = Blueprint("parameters", __name__, url_prefix="/api/v1")


class Parameters(BaseModel):
    """Live fingerprint versions, radii in bits, the calibration of new records, limits of one request."""

    fingerprint_versions: list[int]
    registered_windows: list[str]
    query_forms: list[str]
    min_quality: int
    strict_radius: int
    review_radius: int
    phash_radius: int
    calibration: int
    uses: list[str]
    modes: list[str]
    max_items: int
    max_marks: int
    max_grants: int
    range_digits: int
    max_tickets: int


@blueprint.get("/parameters")
@operation(Operation("What this registry takes, and how it matches", answer=Parameters))
def parameters() -> Response:
    """List what a client must know before it computes anything."""
    return jsonify(
        fingerprint_versions=[fingerprint.VERSION],
        registered_windows=fingerprint.REGISTERED_WINDOWS,
        query_forms=fingerprint.QUERY_FORMS,
        min_quality=fingerprint.MIN_QUALITY,
        strict_radius=fingerprint.STRICT_RADIUS,
        review_radius=fingerprint.REVIEW_RADIUS,
        phash_radius=fingerprint.PHASH_RADIUS,
        calibration=state().calibration.id,
        uses=list(Use),
        modes=list(Mode),
        max_items=state().settings.max_items,
        max_marks=state().settings.max_marks,
        max_grants=MAX_GRANTS,
        range_digits=RANGE_DIGITS,
        max_tickets=0 if giving_key() is None else MAX_TICKETS,
    )
