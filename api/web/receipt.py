"""``/receipt/{id}``: a receipt that was published, as people read it, checked when it is asked for.

What the run counted is the maker's word; what the registry answered is the registry's. The page says which is
which, and what neither shows. Records are named only where whoever lodged them made their names public.
"""

from typing import Any

from flask import Response, request
from pydantic import BaseModel

from api.state import state
from api.v1 import published
from api.web.pages import address, is_page, shown
from api.web.verifying import checked_bundle, told
from api.web.words import CHECKS, HOW_ASKED, cause_of, standing_of
from registry.countersignature import ABOUT, Bundle, parse_countersignature
from registry.model_receipt import Signed, open_receipt
from registry.receipt import Receipt
from registry.store import mentions, reservations
from registry.strictly import wire_of

__all__ = ["ReceiptPageAnswer", "bundle_file", "receipt_page"]

_WORDS = {"CHECKS": CHECKS, "HOW_ASKED": HOW_ASKED, "cause_of": cause_of}
_NAMED = 50
"""Records that are listed; all are counted."""
_LEFT_OUT = ("checkpoint", "about")


class ReceiptPageAnswer(published.PublishedAnswer):
    """A published receipt, what it says, what was countersigned, what holds of it, and whom it names.

    ``named`` has how many records were ``honoured``, how many were used with ``consent``, and those of the
    ``records`` whose names are public.
    """

    said: dict[str, Any]
    countersigned: list[dict[str, Any]]
    verdict: str
    checks: list[dict[str, str]]
    named: dict[str, Any]


class CheckedAnswer(BaseModel):
    """What holds of a receipt, or of a model, that was shown."""

    verdict: str
    receipt: str | None
    key: str | None
    key_known: bool
    tensor_hash: str | None
    checks: list[dict[str, str]]


def receipt_page(id_: str) -> Response:
    """Show a receipt. Raises :class:`NotFoundError`, :class:`StorageError`."""
    shown_by_api: dict[str, Any] = published.show(id_).get_json()
    bundle = Bundle.from_wire(shown_by_api["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [])
    found = told(checked_bundle(bundle, []))
    wire = {
        **shown_by_api,
        "said": wire_of(signed.receipt),
        "countersigned": _countersigned(bundle),
        "verdict": found["verdict"],
        "checks": found["checks"],
        "named": _named(id_),
    }
    return shown("receipt.html", wire, scripts=True, **(_for_people(signed, wire) if is_page() else {}))


def bundle_file(id_: str) -> Response:
    """Give the bundle of a published receipt as a file, to the byte as it is read everywhere."""
    bundle = Bundle.from_wire(published.show(id_).get_json()["bundle"])
    headers = {"Content-Disposition": 'attachment; filename="receipt.bundle.json"'}
    return Response(bundle.to_json(), content_type="application/json", headers=headers)


def _for_people(signed: Signed, wire: dict[str, Any]) -> dict[str, Any]:
    site, watched = address(), wire.get("watched") or {}
    return {
        "standing": standing_of(wire["checks"], wire["verdict"], watched.get("reserved_since", 0)),
        "causes": _causes(signed.receipt),
        "abouts": (signed.receipt.about, ABOUT),
        "site": site,
        "page": f"{site}/receipt/{wire['id']}",
        "picture": f"{site}/badge/{wire['id']}.svg",
        "host": request.host,
        **_WORDS,
    }


def _causes(receipt: Receipt) -> list[tuple[str, int]]:
    """Return why how many samples were left out, the most frequent first."""
    by = sorted(receipt.counts.removed_by.items(), key=lambda one: (-one[1], one[0]))
    return [(cause_of(name), count) for name, count in by]


def _countersigned(bundle: Bundle) -> list[dict[str, Any]]:
    said = [wire_of(parse_countersignature(one.payload)) for one in bundle.countersignatures]
    return [{name: value for name, value in one.items() if name not in _LEFT_OUT} for one in said]


def _named(id_: str) -> dict[str, Any]:
    """Count the records that a receipt names, and list those whose names are public."""
    head = state().store.head()
    with state().store.read() as connection:
        rows = [row for row in mentions.of_receipt(connection, id_) if row.from_seq <= head]
        ids = list(dict.fromkeys(row.reservation_id for row in rows))
        held = {row.reservation_id: row for row in reservations.versions_at(connection, ids, head)}
    by_kind = {
        kind: {row.reservation_id for row in rows if row.kind == kind}
        for kind in (mentions.HONOURED, mentions.CONSENT)
    }
    listed = [
        {"record": one, "label": held[one].label, "kind": kind}
        for kind, found in by_kind.items()
        for one in ids
        if one in found and one in held and held[one].public and held[one].label
    ]
    return {kind: len(found) for kind, found in by_kind.items()} | {"records": listed[:_NAMED]}
