"""What became of watched items, and the webhooks that tell of it.

A notice is written once and never changed but for ``standing``: the last one of each item stands. A delivery
names notices of one subscription, of one kind and one number after the other; so what it says is the same
each time that it is sent.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select, tuple_, update

from registry.store import subscriptions
from registry.store.sql import portions, table_of
from registry.watch_tables import Subscription, SubscriptionDelivery, SubscriptionNotice
from registry.webhook import ID_PREFIX

__all__ = [
    "BEFORE",
    "DONE",
    "FAILED",
    "FREE",
    "KINDS",
    "MOST_IN_ONE",
    "NOT_CHECKED",
    "PENDING",
    "RESERVED",
    "Found",
    "add",
    "between",
    "counts",
    "delivery_counts",
    "due",
    "give_up",
    "last_fault",
    "page",
    "settle",
    "standing",
    "standing_reserved",
]

RESERVED, FREE, NOT_CHECKED, BEFORE = KINDS = ("reserved", "free", "not_checked", "before")
"""What became of an item: it may not be used any more, it may again, nobody can tell, or it never passed.

The last is counted, and told to nobody: it had not passed when the subscription says that it did.
"""
PENDING, DONE, FAILED = "pending", "done", "failed"
MOST_IN_ONE = 100
"""Notices that one webhook tells of."""

_NOTICE, _DELIVERY = table_of(SubscriptionNotice), table_of(SubscriptionDelivery)
_SUBSCRIPTION = table_of(Subscription)
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the item at ``place`` of a block; ``result`` is in the shape of a look-up's."""

    place: int
    item: str
    kind: str
    result: Mapping[str, Any]


class Due(NamedTuple):
    """A delivery whose time has come, and where it goes."""

    id: str
    subscription: str
    first: int
    last: int
    tries: int
    begun_at: int
    webhook: str
    secret: bytes
    label: str


def standing(connection: Connection, block: subscriptions.Block) -> dict[int, str]:
    """Return the kind of the last notice of each item of a block that has any, by its place."""
    wanted = select(_NOTICE.c.place, _NOTICE.c.kind)
    wanted = wanted.where(_NOTICE.c.subscription_id == block.subscription, _NOTICE.c.standing)
    return {place: kind for place, kind in connection.execute(wanted.where(_NOTICE.c.part == block.part))}


def add(
    connection: Connection, block: subscriptions.Block, found: Sequence[Found], seq: int, now: int
) -> bool:
    """Write what was found of items of a block, and what is to be sent; False if it was deleted meanwhile."""
    owner = subscriptions.locked(connection, block.subscription)
    if owner is None:
        return False
    ordered = sorted(found, key=lambda one: (KINDS.index(one.kind), one.place))
    for some in portions(ordered):
        here = tuple_(_NOTICE.c.part, _NOTICE.c.place).in_([(block.part, one.place) for one in some])
        mine = (_NOTICE.c.subscription_id == block.subscription) & _NOTICE.c.standing
        connection.execute(update(_NOTICE).where(mine, here).values(standing=False))
    rows = [_row(block, owner.notices + place, one, seq, now) for place, one in enumerate(ordered, 1)]
    if rows:
        connection.execute(insert(_NOTICE), rows)
        last = {"notices": owner.notices + len(rows)}
        connection.execute(update(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == owner.id).values(**last))
    if owner.hook_state == subscriptions.ON and (sent := _deliveries(rows, now)):
        connection.execute(insert(_DELIVERY), sent)
    return True


def _row(block: subscriptions.Block, number: int, one: Found, seq: int, now: int) -> dict[str, Any]:
    return {
        "subscription_id": block.subscription,
        "number": number,
        "part": block.part,
        "place": one.place,
        "item": one.item,
        "kind": one.kind,
        "standing": True,
        "seq": seq,
        "at": now,
        "result": json.dumps(one.result, ensure_ascii=False),
    }


def _deliveries(rows: Sequence[Mapping[str, Any]], now: int) -> list[dict[str, Any]]:
    """Return the deliveries that tell of new notices, which come by kind."""
    found = []
    for kind in KINDS:
        numbers = [row["number"] for row in rows if row["kind"] == kind and kind != BEFORE]
        for some in (numbers[at : at + MOST_IN_ONE] for at in range(0, len(numbers), MOST_IN_ONE)):
            found.append(
                {
                    "id": ID_PREFIX + secrets.token_hex(_ID_BYTES),
                    "subscription_id": rows[0]["subscription_id"],
                    "first": some[0],
                    "last": some[-1],
                    "state": PENDING,
                    "tries": 0,
                    "begun_at": now,
                    "due_at": now,
                    "fault": "",
                }
            )
    return found


def page(connection: Connection, id_: str, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Return up to ``limit`` notices that are told, the newest first, with numbers below ``before``."""
    wanted = select(_NOTICE).where(_NOTICE.c.subscription_id == id_, _NOTICE.c.kind != BEFORE)
    if before is not None:
        wanted = wanted.where(_NOTICE.c.number < before)
    return connection.execute(wanted.order_by(_NOTICE.c.number.desc()).limit(limit)).all()


def between(connection: Connection, id_: str, first: int, last: int) -> Sequence[Row[Any]]:
    """Return the notices from number ``first`` to ``last``, in order."""
    wanted = select(_NOTICE).where(_NOTICE.c.subscription_id == id_, _NOTICE.c.number.between(first, last))
    return connection.execute(wanted.order_by(_NOTICE.c.number)).all()


def counts(connection: Connection, id_: str) -> dict[str, int]:
    """Return how many items stand under each kind of notice."""
    wanted = select(_NOTICE.c.kind, func.count()).where(_NOTICE.c.subscription_id == id_, _NOTICE.c.standing)
    found = {kind: int(count) for kind, count in connection.execute(wanted.group_by(_NOTICE.c.kind))}
    return {kind: found.get(kind, 0) for kind in KINDS}


def standing_reserved(connection: Connection, receipt: str) -> int:
    """Return how many watched items of the run of a receipt may not be used any more."""
    bound = select(_SUBSCRIPTION.c.id).where(_SUBSCRIPTION.c.receipt == receipt)
    wanted = select(func.count()).select_from(_NOTICE).where(_NOTICE.c.subscription_id.in_(bound))
    counted = wanted.where(_NOTICE.c.standing, _NOTICE.c.kind == RESERVED)
    return int(connection.execute(counted).scalar_one())


def delivery_counts(connection: Connection, id_: str) -> dict[str, int]:
    """Return how many deliveries stand in each state."""
    wanted = select(_DELIVERY.c.state, func.count()).where(_DELIVERY.c.subscription_id == id_)
    found = {state: int(count) for state, count in connection.execute(wanted.group_by(_DELIVERY.c.state))}
    return {state: found.get(state, 0) for state in (PENDING, DONE, FAILED)}


def last_fault(connection: Connection, id_: str) -> str:
    """Return why the webhook that was begun last, of those that did not arrive, did not; empty if all did."""
    wanted = select(_DELIVERY.c.fault).where(_DELIVERY.c.subscription_id == id_, _DELIVERY.c.state != DONE)
    wanted = wanted.where(_DELIVERY.c.fault != "").order_by(_DELIVERY.c.begun_at.desc(), _DELIVERY.c.id)
    return str(connection.execute(wanted.limit(1)).scalar_one_or_none() or "")


def due(connection: Connection, now: float, limit: int) -> list[Due]:
    """Return deliveries whose time has come, at most one a subscription, those that wait longest first."""
    pending = (_DELIVERY.c.state == PENDING) & (_DELIVERY.c.due_at <= now)
    earliest = func.row_number().over(
        partition_by=_DELIVERY.c.subscription_id, order_by=(_DELIVERY.c.due_at, _DELIVERY.c.first)
    )
    ranked = select(_DELIVERY, earliest.label("rank")).where(pending).subquery()
    joined = ranked.join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == ranked.c.subscription_id)
    columns = [ranked.c[name] for name in ("id", "subscription_id", "first", "last", "tries", "begun_at")]
    columns += [_SUBSCRIPTION.c[name] for name in ("webhook", "secret", "label")]
    wanted = select(*columns).select_from(joined).where(ranked.c.rank == 1)
    wanted = wanted.order_by(ranked.c.due_at, ranked.c.id).limit(limit)
    return [Due(*row)._replace(secret=bytes(row.secret)) for row in connection.execute(wanted)]


def settle(connection: Connection, id_: str, changes: Mapping[str, Any]) -> None:
    """Note what became of a delivery."""
    connection.execute(update(_DELIVERY).where(_DELIVERY.c.id == id_).values(**changes))


def give_up(connection: Connection, subscription: str, fault: str) -> None:
    """Fail all that is still to be sent for a subscription."""
    mine = (_DELIVERY.c.subscription_id == subscription) & (_DELIVERY.c.state == PENDING)
    connection.execute(update(_DELIVERY).where(mine).values(state=FAILED, fault=fault))
