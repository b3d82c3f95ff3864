"""The writer of subscriptions: who is told when works that passed may not be used any more.

A subscription holds the items that its owner sent, and nothing that they did not send; when it is deleted,
they are. It is no event of the log. Its identifier, 128 random bits, is what its feed is read by, so whoever
knows it reads what was found; to change it takes a key of its owner.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from registry.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    PayloadTooLargeError,
)
from registry.preference import Mode, Use
from registry.store import Store, receipts, subscriptions
from registry.watched import Watched, packed_items, wires_of
from registry.webhook import SECRET_BYTES, secret_text

__all__ = ["Budget", "Subscribed", "Subscribing", "Wanted"]

ID_BYTES = 16
MAX_PARTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What one key may have: so many subscriptions, and so many items in all of them."""

    subscriptions: int
    items: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to be told of: ``items`` passed as of event ``as_of_seq``, None for now.

    ``receipt`` names the published receipt of the run, ``webhook`` is an address that was found fit.
    """

    use: Use
    mode: Mode
    as_of_seq: int | None
    label: str
    receipt: str | None
    webhook: str | None
    items: Sequence[Watched]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A new subscription; ``secret`` is shown this once, and null without a webhook."""

    id: str
    as_of_seq: int
    secret: str | None


class Subscribing:
    """Subscribes in ``store``; ``seconds`` tells the time, ``budget`` what one key may have."""

    def __init__(self, store: Store, seconds: Callable[[], float], budget: Budget) -> None:
        self._store, self._seconds, self._budget = store, seconds, budget

    def create(self, principal_id: str, wanted: Wanted) -> Subscribed:
        """Begin a subscription with its first items.

        Raises :class:`InputError` for a state yet to come, :class:`NotFoundError` for a receipt that is not
        of this key, :class:`PayloadTooLargeError` beyond the budget.
        """
        self._require_own()
        id_, secret = secrets.token_hex(ID_BYTES), secrets.token_bytes(SECRET_BYTES)
        head = self._store.head()
        as_of = head if wanted.as_of_seq is None else wanted.as_of_seq
        if not 0 <= as_of <= head:
            raise InputError(f"as_of_seq: passed as of event {as_of}; the last one is {head}")
        with self._store.administer() as connection:
            self._require_room(connection, principal_id, len(wanted.items), new=True)
            _require_receipt(connection, principal_id, wanted.receipt)
            subscriptions.add(
                connection,
                {
                    "id": id_,
                    "principal_id": principal_id,
                    "label": wanted.label,
                    "use": str(wanted.use),
                    "mode": str(wanted.mode),
                    "as_of_seq": as_of,
                    "receipt": wanted.receipt,
                    "webhook": wanted.webhook,
                    "hook_state": subscriptions.ON if wanted.webhook else "",
                    "secret": secret,
                    "items": 0,
                    "notices": 0,
                    "at": int(self._seconds()),
                    "fault": "",
                },
            )
            if wanted.items:
                subscriptions.add_block(connection, _block(id_, 0, wanted.items))
        return Subscribed(id_, as_of, secret_text(secret) if wanted.webhook else None)

    def add_items(self, principal_id: str, id_: str, part: int, items: Sequence[Watched]) -> int:
        """Add items as part number ``part``, from 1 on; returns how many there are now.

        The same part again changes nothing. Raises :class:`ConflictError` when another one has its number,
        :class:`NotFoundError`, :class:`PayloadTooLargeError` beyond the budget.
        """
        self._require_own()
        if not 1 <= part <= MAX_PARTS:
            raise InputError(f"part: expected a number from 1 to {MAX_PARTS}, got {part}")
        block = _block(id_, part, items)
        with self._store.administer() as connection:
            row = self.own(connection, principal_id, id_)
            before = subscriptions.block_of(connection, id_, part)
            if before is not None:
                if bytes(before.sha256) != block["sha256"]:
                    raise ConflictError(
                        f"part {part} has come, with other items", hint="Give each part a number of its own."
                    )
                return int(row.items)
            self._require_room(connection, principal_id, len(items), new=False)
            subscriptions.add_block(connection, block)
        return int(row.items) + len(items)

    def delete(self, principal_id: str, id_: str) -> None:
        """Delete an own subscription, its items, and all that was found. Raises :class:`NotFoundError`."""
        self._require_own()
        with self._store.administer() as connection:
            self.own(connection, principal_id, id_)
            subscriptions.locked(connection, id_)
            subscriptions.delete_all(connection, id_)

    @staticmethod
    def own(connection: Connection, principal_id: str, id_: str) -> Row[Any]:
        """Return an own subscription. Raises :class:`NotFoundError`, for foreign and missing ones alike."""
        row = subscriptions.find(connection, id_) if "\0" not in id_ else None
        if row is None or row.principal_id != principal_id:
            raise NotFoundError("no such subscription of yours", hint="The key that made it can see it.")
        return row

    def _require_own(self) -> None:
        if self._store.mirror_of:
            raise ForbiddenError(
                "this is a mirror, and watches for nobody", hint=f"Subscribe at {self._store.mirror_of}."
            )

    def _require_room(self, connection: Connection, principal_id: str, items: int, *, new: bool) -> None:
        subscriptions.lock_principal(connection, principal_id)
        count, held = subscriptions.count_of(connection, principal_id)
        if new and count >= self._budget.subscriptions:
            raise PayloadTooLargeError(
                f"{count} subscriptions; a key may have {self._budget.subscriptions}", hint="Delete one."
            )
        if held + items > self._budget.items:
            raise PayloadTooLargeError(
                f"{held + items:,} items in all subscriptions; a key may have {self._budget.items:,}",
                hint="Delete a subscription that is not needed, or ask the registry's operator.",
            )


def _require_receipt(connection: Connection, principal_id: str, receipt: str | None) -> None:
    if receipt is None:
        return
    row = receipts.find(connection, receipt) if "\0" not in receipt else None
    if row is None or row.principal_id != principal_id:
        raise NotFoundError(
            "receipt: no such receipt of yours was published",
            hint="Publish it with this key first, or leave it out.",
        )


def _block(id_: str, part: int, items: Sequence[Watched]) -> dict[str, Any]:
    wires = wires_of(items)
    return {
        "subscription_id": id_,
        "part": part,
        "items": len(items),
        "checked_seq": None,
        "sha256": hashlib.sha256(wires).digest(),
        "packed": packed_items(items),
        "wires": wires,
    }
