"""``/api/v1/subscriptions``: being told when works that passed become reserved.

Whoever holds a receipt sends what passed: the items of a look-up, under identifiers of their own choice. They
are held against what is new, and what is found is told in a feed and, if an address was given, by a webhook.
The items are kept until the subscription is deleted, and looked at for nothing else.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, Field, ValidationError, WithJsonSchema
from sqlalchemy import Connection, Row

from api.auth import require_caller
from api.body import Body, Text, Word, read_body
from api.operations import Operation, operation
from api.state import state
from api.v1.lookup import ITEM, Item
from registry.errors import InputError, PayloadTooLargeError, RefusedAddressError
from registry.fetch import require_callable
from registry.preference import Mode, Use
from registry.store import notices, subscriptions
from registry.subscribing import Subscribing, Wanted
from registry.watched import Watched, parse_item

__all__ = ["blueprint", "feed_path"]

blueprint = Blueprint("subscriptions", __name__, url_prefix="/api/v1/subscriptions")

_SCOPE = "lookup"
_ERRORS = (401, 403, 503)
_WRITES = (400, 401, 403, 404, 413, 415, 422, 503, 507)
_SHOWN = 100
_LONGEST_URL = 2_000


class _Items(Body):
    """Items of a look-up, each with an ``id`` of the subscriber's own."""

    items: list[Annotated[dict[str, Any], WithJsonSchema(ITEM)]]


class SubscriptionBody(_Items):
    """What passed as of ``as_of_seq``, null for now, and how to be told that it may not be used any more.

    ``receipt`` is the identifier of a receipt that the same key published, ``webhook`` an https address.
    """

    use: Word[Use] = Use.GENAI_TRAIN
    mode: Word[Mode] = Mode.EU_ART4
    as_of_seq: int | None = Field(default=None, ge=0)
    receipt: Text | None = None
    webhook: Text | None = Field(default=None, max_length=_LONGEST_URL)
    label: Text = Field(default="", max_length=200)


class MoreItemsBody(_Items):
    """Further items, as part number ``part``, from 1 on: the same part again changes nothing."""

    part: int = Field(strict=True)


class SubscribedAnswer(BaseModel):
    """A new subscription; ``secret`` signs its webhooks, and is not shown again."""

    id: str
    as_of_seq: int
    items: int
    feed: str
    secret: str | None


class ItemsAnswer(BaseModel):
    """How many items there are now."""

    id: str
    items: int


class WebhookState(BaseModel):
    """Where notices are sent, whether still (``on``, ``gone``), and what became of them."""

    url: str
    state: str
    pending: int
    done: int
    failed: int
    fault: str


class NoticeAnswer(BaseModel):
    """What became of one item, in the shape of a look-up's result, as of event ``seq``."""

    number: int
    kind: str
    seq: int
    at: int
    result: dict[str, Any]


class SubscriptionAnswer(BaseModel):
    """How a subscription stands.

    ``checked_seq`` is the event up to which all items were held against everything, null for never.
    ``behind_since`` is when the first event came that they were not held against, null when there is none;
    ``fault`` says what was wrong when that was tried last. ``found`` counts items, ``notices`` are the newest
    100.
    """

    id: str
    label: str
    use: str
    mode: str
    receipt: str | None
    items: int
    as_of_seq: int
    at: int
    checked_seq: int | None
    behind_since: int | None
    fault: str
    found: dict[str, int]
    webhook: WebhookState | None
    feed: str
    notices: list[NoticeAnswer]


class DeletedAnswer(BaseModel):
    """The subscription was deleted, with its items."""

    id: str
    state: str


class ListedSubscription(BaseModel):
    """One of the caller's subscriptions."""

    id: str
    label: str
    receipt: str | None
    items: int
    at: int


class SubscriptionsAnswer(BaseModel):
    """The caller's subscriptions, oldest first."""

    subscriptions: list[ListedSubscription]


@blueprint.post("")
@operation(
    Operation(
        "Be told when items become reserved",
        answer=SubscribedAnswer,
        body=SubscriptionBody,
        status=201,
        scope=_SCOPE,
        errors=_WRITES,
    )
)
def create() -> tuple[Response, int]:
    """Begin a subscription."""
    caller = require_caller(_SCOPE)
    body = read_body(SubscriptionBody)
    items = _items(body.items)
    wanted = Wanted(
        body.use, body.mode, body.as_of_seq, body.label, body.receipt, _webhook(body.webhook), items
    )
    made = state().subscribing.create(caller.principal_id, wanted)
    answer = jsonify(
        id=made.id, as_of_seq=made.as_of_seq, items=len(items), feed=feed_path(made.id), secret=made.secret
    )
    answer.headers["Location"] = f"{blueprint.url_prefix}/{made.id}"
    answer.headers["Cache-Control"] = "no-store"
    return answer, 201


@blueprint.get("")
@operation(Operation("List own subscriptions", answer=SubscriptionsAnswer, scope=_SCOPE, errors=_ERRORS))
def listed() -> Response:
    """List the caller's subscriptions."""
    caller = require_caller(_SCOPE)
    with state().store.read() as connection:
        rows = subscriptions.of_principal(connection, caller.principal_id)
    names = ("id", "label", "receipt", "items", "at")
    return jsonify(subscriptions=[{name: row._mapping[name] for name in names} for row in rows])


@blueprint.post("/<id_>/items")
@operation(
    Operation(
        "Add items to an own subscription",
        answer=ItemsAnswer,
        body=MoreItemsBody,
        scope=_SCOPE,
        errors=(*_WRITES, 409),
    )
)
def add(id_: str) -> Response:
    """Add items."""
    caller = require_caller(_SCOPE)
    body = read_body(MoreItemsBody)
    items = state().subscribing.add_items(caller.principal_id, id_, body.part, _items(body.items))
    return jsonify(id=id_, items=items)


@blueprint.get("/<id_>")
@operation(
    Operation("Show an own subscription", answer=SubscriptionAnswer, scope=_SCOPE, errors=(*_ERRORS, 404))
)
def show(id_: str) -> Response:
    """Say how a subscription stands."""
    caller = require_caller(_SCOPE)
    with state().store.read() as connection:
        row = Subscribing.own(connection, caller.principal_id, id_)
        told = {
            "checked_seq": subscriptions.checked_seq(connection, id_),
            "behind_since": subscriptions.behind_since(connection, id_),
            "fault": row.fault,
            "found": notices.counts(connection, id_),
            "webhook": _hook(connection, row),
            "feed": feed_path(id_),
            "notices": [_notice(one) for one in notices.page(connection, id_, None, _SHOWN)],
        }
    names = ("id", "label", "use", "mode", "receipt", "items", "as_of_seq", "at")
    return jsonify({name: row._mapping[name] for name in names} | told)


@blueprint.delete("/<id_>")
@operation(
    Operation(
        "Delete an own subscription",
        answer=DeletedAnswer,
        scope=_SCOPE,
        errors=(401, 403, 404, 503, 507),
    )
)
def delete(id_: str) -> Response:
    """Delete a subscription, its items, and all that was found."""
    state().subscribing.delete(require_caller(_SCOPE).principal_id, id_)
    return jsonify(id=id_, state="deleted")


def feed_path(id_: str) -> str:
    """Return where the feed of a subscription is."""
    return f"/feed/{id_}.atom"


def _items(wires: Sequence[dict[str, Any]]) -> list[Watched]:
    most = state().settings.max_items
    if len(wires) > most:
        raise PayloadTooLargeError(
            f"{len(wires)} items; at most {most} in one request",
            hint="Send the others as further parts, to …/items.",
        )
    items = [_item(wire, f"items.{place}") for place, wire in enumerate(wires)]
    if len({one.id for one in items}) != len(items):
        raise InputError("items: two items have one id", hint="Give each item an id of its own.")
    return items


def _item(wire: dict[str, Any], where: str) -> Watched:
    """Read one item. One that could not be watched is refused, with all that came with it."""
    try:
        read = Item.model_validate(wire)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}.{place}: {first['msg']}") from error
    if "\0" in read.id:
        raise InputError(f"{where}.id: the character U+0000 cannot be stored")
    return parse_item(read.model_dump(), where)


def _webhook(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        return require_callable(url, state().webhooks)
    except RefusedAddressError as error:
        raise InputError(
            f"webhook: {error.message}", hint="Give an https address that is reached from the internet."
        ) from error


def _hook(connection: Connection, row: Row[Any]) -> dict[str, Any] | None:
    if row.webhook is None:
        return None
    return {
        "url": row.webhook,
        "state": row.hook_state,
        **notices.delivery_counts(connection, row.id),
        "fault": notices.last_fault(connection, row.id),
    }


def _notice(row: Row[Any]) -> dict[str, Any]:
    return {
        "number": row.number,
        "kind": row.kind,
        "seq": row.seq,
        "at": row.at,
        "result": json.loads(row.result),
    }
