"""``/grant/{id}``: who may do what with which works until when, and whether that still holds.

Only whoever knows its identifier finds it, as ``GET /api/v1/grants/{id}``.
"""

from typing import Any

from flask import Response

from api.state import state
from api.v1 import grants
from api.web.pages import address, is_page, shown
from api.web.words import USES, Verdict, is_link
from registry.granting import REVOKED
from registry.preference import Use

__all__ = ["GrantPageAnswer", "grant_page"]


class GrantPageAnswer(grants.GrantAnswer):
    """A grant; ``standing`` is granted, not yet, ended or revoked, as of ``now``, seconds since 1970."""

    standing: str
    now: int


_STANDINGS = {
    "granted": Verdict("allowed", "Permitted", "The grant stands, and its time has come and is not over."),
    "not yet": Verdict("conditional", "Not yet", "The grant stands, and its time has not come."),
    "ended": Verdict("unknown", "Ended", "The time of the grant is over. It permits nothing any more."),
    "revoked": Verdict("reserved", "Taken back", "Whoever gave it took it back. It permits nothing."),
}


def grant_page(id_: str) -> Response:
    """Show a grant. Raises :class:`NotFoundError`, :class:`LogError`."""
    told: dict[str, Any] = grants.show(id_).get_json()
    now = int(state().now())
    wire = {**told, "standing": _standing(told, now), "now": now}
    response = shown("grant.html", wire, **(_for_people(wire) if is_page() else {}))
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _standing(told: dict[str, Any], now: int) -> str:
    grant = told["grant"]
    if told["state"] == REVOKED:
        return REVOKED
    if now >= grant["valid_until"]:
        return "ended"
    return "not yet" if now < grant["valid_from"] else "granted"


def _for_people(wire: dict[str, Any]) -> dict[str, Any]:
    uses = [USES[Use(one)] for one in wire["grant"]["uses"]]
    return {
        "verdict": _STANDINGS[wire["standing"]],
        "uses": uses,
        "site": address(),
        "is_link": is_link,
    }
