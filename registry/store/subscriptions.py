"""Subscriptions and the blocks of items that are watched for them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, tuple_, update

from registry.store.sql import portions, table_of
from registry.tables import Event, Principal
from registry.watch_tables import (
    Subscription,
    SubscriptionBlock,
    SubscriptionDelivery,
    SubscriptionNotice,
)

__all__ = [
    "GONE",
    "ON",
    "Block",
    "add",
    "add_block",
    "behind_since",
    "block_of",
    "bound_to",
    "checked_seq",
    "count_of",
    "delete_all",
    "end_hook",
    "find",
    "lock_principal",
    "locked",
    "note_fault",
    "of_principal",
    "packed_of",
    "settle_blocks",
    "waiting",
    "wires_of",
]

ON, GONE = "on", "gone"
"""How a webhook stands: notices are sent there, or it has answered that it is not there any more."""

_SUBSCRIPTION, _BLOCK, _NOTICE, _DELIVERY = (
    table_of(one) for one in (Subscription, SubscriptionBlock, SubscriptionNotice, SubscriptionDelivery)
)
_EVENT, _PRINCIPAL = table_of(Event), table_of(Principal)


class Block(NamedTuple):
    """Items of one subscription that were held against everything up to ``checked_seq``, null for never."""

    subscription: str
    part: int
    checked_seq: int | None
    use: str
    mode: str
    as_of_seq: int
    hook_state: str

    @property
    def key(self) -> tuple[str, int]:
        """What names it."""
        return self.subscription, self.part


def lock_principal(connection: Connection, principal_id: str) -> None:
    """Let what one principal subscribes to be counted and added to by one writer at a time."""
    wanted = select(_PRINCIPAL.c.id).where(_PRINCIPAL.c.id == principal_id).with_for_update()
    connection.execute(wanted).one()


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Add a subscription."""
    connection.execute(insert(_SUBSCRIPTION).values(**row))


def find(connection: Connection, id_: str) -> Row[Any] | None:
    """Return a subscription, or None."""
    return connection.execute(select(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == id_)).one_or_none()


def locked(connection: Connection, id_: str) -> Row[Any] | None:
    """Return a subscription, or None; nobody else changes or deletes it before this transaction ends."""
    wanted = select(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == id_).with_for_update()
    return connection.execute(wanted).one_or_none()


def of_principal(connection: Connection, principal_id: str) -> Sequence[Row[Any]]:
    """Return the subscriptions of a principal, oldest first."""
    wanted = select(_SUBSCRIPTION).where(_SUBSCRIPTION.c.principal_id == principal_id)
    return connection.execute(wanted.order_by(_SUBSCRIPTION.c.at, _SUBSCRIPTION.c.id)).all()


def count_of(connection: Connection, principal_id: str) -> tuple[int, int]:
    """Return how many subscriptions a principal has, and how many items all of them hold."""
    wanted = select(func.count(), func.coalesce(func.sum(_SUBSCRIPTION.c["items"]), 0))
    wanted = wanted.where(_SUBSCRIPTION.c.principal_id == principal_id)
    count, items = connection.execute(wanted).one()
    return int(count), int(items)


def add_block(connection: Connection, row: Mapping[str, Any]) -> None:
    """Add items, and count them."""
    connection.execute(insert(_BLOCK).values(**row))
    mine = _SUBSCRIPTION.c.id == row["subscription_id"]
    counted = _SUBSCRIPTION.c["items"] + row["items"]
    connection.execute(update(_SUBSCRIPTION).where(mine).values(items=counted))


def block_of(connection: Connection, id_: str, part: int) -> Any:
    """Return number of items and digest of a part, or None."""
    wanted = select(_BLOCK.c["items"], _BLOCK.c.sha256).where(_of(id_, part))
    return connection.execute(wanted).one_or_none()


def packed_of(connection: Connection, id_: str, part: int) -> bytes | None:
    """Return by what the items of a part can be found; None when it was deleted."""
    packed = connection.execute(select(_BLOCK.c.packed).where(_of(id_, part))).scalar_one_or_none()
    return None if packed is None else bytes(packed)


def wires_of(connection: Connection, id_: str, part: int) -> bytes | None:
    """Return the items of a part as they were sent; None when it was deleted."""
    wires = connection.execute(select(_BLOCK.c.wires).where(_of(id_, part))).scalar_one_or_none()
    return None if wires is None else bytes(wires)


def waiting(connection: Connection, head: int) -> list[Block]:
    """Return the blocks that were not held against everything up to ``head``, the oldest state first.

    One of a later state than ``head`` is among them: an older copy of the database was put in place.
    """
    columns = [_BLOCK.c[name] for name in ("subscription_id", "part", "checked_seq")]
    columns += [_SUBSCRIPTION.c[name] for name in ("use", "mode", "as_of_seq", "hook_state")]
    joined = _BLOCK.join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _BLOCK.c.subscription_id)
    wanted = select(*columns).select_from(joined)
    wanted = wanted.where(or_(_BLOCK.c.checked_seq.is_(None), _BLOCK.c.checked_seq != head))
    ordered = wanted.order_by(_BLOCK.c.checked_seq, _BLOCK.c.subscription_id, _BLOCK.c.part)
    return [Block._make(row) for row in connection.execute(ordered)]


def settle_blocks(connection: Connection, blocks: Sequence[Block], seq: int) -> None:
    """Note that ``blocks`` were held against everything up to event ``seq``."""
    for some in portions(blocks):
        here = tuple_(_BLOCK.c.subscription_id, _BLOCK.c.part).in_([one.key for one in some])
        connection.execute(update(_BLOCK).where(here).values(checked_seq=seq))
        healed = _SUBSCRIPTION.c.id.in_({one.subscription for one in some}) & (_SUBSCRIPTION.c.fault != "")
        connection.execute(update(_SUBSCRIPTION).where(healed).values(fault="", fault_at=None))


def note_fault(connection: Connection, ids: Sequence[str], fault: str, at: int) -> None:
    """Note why these subscriptions could not be held against what is new; since when stays what it was."""
    for some in portions(ids):
        mine = _SUBSCRIPTION.c.id.in_(some)
        first = func.coalesce(_SUBSCRIPTION.c.fault_at, at)
        connection.execute(update(_SUBSCRIPTION).where(mine).values(fault=fault[:500], fault_at=first))


def checked_seq(connection: Connection, id_: str) -> int | None:
    """Return the event up to which all items were held against everything; None for never.

    A subscription without items is as of its own beginning.
    """
    wanted = select(func.count(), func.count(_BLOCK.c.checked_seq), func.min(_BLOCK.c.checked_seq))
    blocks, checked, least = connection.execute(wanted.where(_BLOCK.c.subscription_id == id_)).one()
    return None if checked < blocks or least is None else int(least)


def behind_since(connection: Connection, id_: str | None = None) -> int | None:
    """Return since when items wait to be held against what is new, of one subscription or of all.

    None when none do; else when the first event came that they were not held against.
    """
    mine = [] if id_ is None else [_BLOCK.c.subscription_id == id_]
    never = select(_BLOCK.c.subscription_id).where(_BLOCK.c.checked_seq.is_(None), *mine)
    began = select(func.min(_SUBSCRIPTION.c.at)).where(_SUBSCRIPTION.c.id.in_(never))
    never_at = connection.execute(began).scalar_one()
    oldest = select(func.min(_BLOCK.c.checked_seq)).where(*mine).scalar_subquery()
    following = select(_EVENT.c.at).where(_EVENT.c.seq == oldest + 1)
    event_at = connection.execute(following).scalar_one_or_none()
    return min((one for one in (never_at, event_at) if one is not None), default=None)


def end_hook(connection: Connection, id_: str) -> None:
    """Note that the webhook of a subscription is not there any more."""
    connection.execute(update(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == id_).values(hook_state=GONE))


def bound_to(connection: Connection, receipt: str) -> list[str]:
    """Return the subscriptions that are bound to a published receipt."""
    wanted = select(_SUBSCRIPTION.c.id).where(_SUBSCRIPTION.c.receipt == receipt)
    return list(connection.execute(wanted.order_by(_SUBSCRIPTION.c.id)).scalars())


def delete_all(connection: Connection, id_: str) -> None:
    """Delete a subscription with its items, and all that was found and is to be sent."""
    for table in (_DELIVERY, _NOTICE, _BLOCK):
        connection.execute(delete(table).where(table.c.subscription_id == id_))
    connection.execute(delete(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == id_))


def _of(id_: str, part: int) -> Any:
    return (_BLOCK.c.subscription_id == id_) & (_BLOCK.c.part == part)
