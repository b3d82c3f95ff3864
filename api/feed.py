"""``GET /feed/{id}.atom``: what was found for a subscription, for feed readers.

An Atom feed of pages, the newest first. Whoever knows the address reads it: readers have no key, and the
address holds 128 random bits. While the items are not held against what is new, the feed says so, with since
when, in an entry of its own: a feed that is silent must mean that there is nothing to tell.

Source: RFC 4287; RFC 5005, 3 (pages); RFC 9110, 13.1.2.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from flask import Blueprint, Response, request
from sqlalchemy import Row

from api.operations import Operation, operation
from api.state import state
from registry.errors import InputError, NotFoundError
from registry.store import notices, subscriptions

__all__ = ["LATE_SECONDS", "blueprint"]

blueprint = Blueprint("feed", __name__)

LATE_SECONDS = 900
"""Seconds for which items may wait to be held against what is new before the feed says so."""

_ATOM = "http://www.w3.org/2005/Atom"
_A_PAGE = 100
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TITLES = {
    notices.RESERVED: "{item}: {preference} now",
    notices.FREE: "{item}: free again",
    notices.NOT_CHECKED: "{item}: cannot be checked",
}


@blueprint.get("/feed/<id_>.atom")
@operation(
    Operation(
        "What was found for a subscription, as a feed",
        errors=(404, 422, 503),
        also=(304,),
        query=("before",),
        media="application/atom+xml",
    )
)
def feed(id_: str) -> Response:
    """Give a page of the feed."""
    before = _before()
    with state().store.read() as connection:
        row = subscriptions.find(connection, id_) if _ID.fullmatch(id_) else None
        if row is None:
            raise NotFoundError("no such feed", hint="It may have been deleted with its subscription.")
        late = _late_since(subscriptions.behind_since(connection, id_)) if before is None else None
        found = notices.page(connection, id_, before, _A_PAGE + 1)
    data = ElementTree.tostring(_feed(row, found, before, late), "utf-8", xml_declaration=True)
    answer = Response(data, content_type="application/atom+xml; charset=utf-8")
    answer.set_etag(hashlib.sha256(data).hexdigest()[:32])
    answer.headers["Cache-Control"] = "private, max-age=60"
    answer.headers["X-Robots-Tag"] = "noindex"
    answer.make_conditional(request)
    return answer


def _before() -> int | None:
    text = request.args.get("before")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise InputError(f"before: expected the number of an entry, got {text[:40]!r}")
    return int(text)


def _late_since(behind_since: int | None) -> int | None:
    """Return since when items wait, where that is too long."""
    is_late = behind_since is not None and state().now() - behind_since > LATE_SECONDS
    return behind_since if is_late else None


def _feed(
    row: Row[Any], found: Sequence[Row[Any]], before: int | None, late: int | None
) -> ElementTree.Element:
    shown = found[:_A_PAGE]
    here = request.base_url
    root = ElementTree.Element("feed", {"xmlns": _ATOM})
    _add(root, "id", f"urn:caveat:subscription:{row.id}")
    _add(root, "title", f"{row.label or 'Works that passed'}: what is reserved since")
    _add(root, "subtitle", f"{row.items:,} items for {row.use}, which passed as of event {row.as_of_seq:,}")
    _add(root, "updated", _time(max([row.at, *(one.at for one in shown[:1]), *([late] if late else [])])))
    _add(ElementTree.SubElement(root, "author"), "name", "Caveat")
    _link(root, "self", here if before is None else f"{here}?before={before}")
    _link(root, "first", here)
    if len(found) > _A_PAGE:
        _link(root, "next", f"{here}?before={shown[-1].number}")
    if late is not None:
        _add_late(root, row, late)
    for one in shown:
        _add_entry(root, one)
    return root


def _add_late(root: ElementTree.Element, row: Row[Any], late: int) -> None:
    entry = ElementTree.SubElement(root, "entry")
    _add(entry, "id", f"urn:caveat:subscription:{row.id}:not-checked:{late}")
    _add(entry, "title", f"Not held against what is new since {_time(late)}")
    _add(entry, "updated", _time(late))
    why = f" What was wrong: {row.fault}." if row.fault else ""
    _add(entry, "content", f"What became reserved since then is not told here yet.{why}")


def _add_entry(root: ElementTree.Element, one: Row[Any]) -> None:
    result = json.loads(one.result)
    entry = ElementTree.SubElement(root, "entry")
    _add(entry, "id", f"urn:caveat:subscription:{one.subscription_id}:{one.number}")
    _add(entry, "title", _TITLES[one.kind].format(item=one.item[:200], preference=result["preference"]))
    _add(entry, "updated", _time(one.at))
    _add(entry, "content", f"{result['reason']} As of event {one.seq:,}.")
    ElementTree.SubElement(entry, "category", {"term": one.kind})


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    # Identifiers are the subscriber's, and may hold what XML cannot.
    ElementTree.SubElement(parent, name).text = _NOT_XML.sub("\ufffd", text)


def _link(parent: ElementTree.Element, rel: str, href: str) -> None:
    ElementTree.SubElement(parent, "link", {"rel": rel, "href": href})


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
