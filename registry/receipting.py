"""The writer of receipts that are published: one event each, and one that erases it.

A receipt is published with what the registry countersigned, by whoever has a key here, once: the same again
changes nothing. A run has one receipt; so nobody can have two sets told by the requests of one.
"""

from typing import Any

from registry.countersignature import Bundle, Countersignature
from registry.errors import ConflictError, NotFoundError
from registry.registrar import AlreadyDoneError, Caller, Registered, Registrar
from registry.store import Transaction, events, payloads, receipts

__all__ = ["ERASED", "PUBLISHED", "Receipting", "receipt_id"]

PUBLISHED, ERASED = "published", "erased"
_NOTHING: dict[str, Any] = {"version": None, "works": [], "rules": []}
_HINT = "Only the key that published it can erase it."


def receipt_id(sha256: str) -> str:
    """Return the identifier of a receipt whose statement has this SHA-256."""
    return sha256[: receipts.ID_DIGITS]


class Receipting:
    """Publishes receipts by way of ``registrar``."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def publish(self, caller: Caller, bundle: Bundle, said: Countersignature) -> Registered:
        """Publish a receipt that was countersigned; again it is the event of the first time.

        Raises :class:`ConflictError` when another receipt was published for the same run.
        """
        id_ = receipt_id(said.receipt)

        def write(tx: Transaction) -> Registered:
            before = receipts.find(tx.connection, id_)
            if before is not None and before.sha256 == said.receipt:
                raise AlreadyDoneError(Registered(id_, before.from_seq, PUBLISHED))
            other = receipts.by_run(tx.connection, said.run)
            if other is not None or before is not None:
                raise ConflictError(
                    "another receipt was published for this run",
                    hint="A run has one receipt. Filter again for another one.",
                )
            now = self._registrar.seconds()
            row = {"id": id_, "sha256": said.receipt, "run": said.run, "bundle": bundle.to_json().decode()}
            payload = receipts.add(tx, row | {"principal_id": caller.principal_id, "at": now})
            events.commit_to(tx, receipts.PUBLISH, id_, payload, now)
            return Registered(id_, tx.seq, PUBLISHED)

        return self._registrar.once(caller, None, write)

    def erase(self, caller: Caller, id_: str) -> Registered:
        """Destroy an own receipt: the log tells that there was one, and nothing of it.

        Raises :class:`NotFoundError`, in which foreign and missing ones look the same.
        """

        def write(tx: Transaction) -> Registered:
            row = receipts.find(tx.connection, id_) if "\0" not in id_ else None
            if row is None or row.principal_id != caller.principal_id:
                raise NotFoundError("no such receipt of yours", hint=_HINT)
            payloads.erase(tx, id_)
            said = payloads.insert(tx, id_, _NOTHING)
            events.commit_to(tx, "erase", id_, said, self._registrar.seconds())
            return Registered(id_, tx.seq, ERASED)

        return self._registrar.once(caller, None, write)
