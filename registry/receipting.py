"""The writer of receipts that are published: one event each, one for each record they name, one that erases.

A receipt is published with what the registry countersigned, by whoever has a key here, once: the same again
changes nothing, but for the records that it names more. A run has one receipt at a time; so nobody can
show two sets by the requests of one.

A record that is named was left out (honoured), or was used with a grant (consent). That is the maker's word.
What the registry can hold it to, it does: the record reserved this use at the state that was asked, no more
records are named than samples were removed, and the grant stood and is one that the receipt has.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from registry.countersignature import Bundle, Countersignature
from registry.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from registry.grant import is_grant_id
from registry.preference import Preference, State
from registry.receipt import Receipt, digest_of, parse_statement
from registry.registrar import AlreadyDoneError, Caller, Registered, Registrar, new_id
from registry.store import Transaction, events, grants, mentions, payloads, receipts, reservations
from registry.store.forgetting import forget_mentions

__all__ = ["ERASED", "MAX_NAMED", "PUBLISHED", "Publication", "Receipting", "receipt_id"]

PUBLISHED, ERASED = "published", "erased"
MAX_NAMED = 1000
"""Most records, and most grants, that are named in one request; the same receipt can be sent again."""

_NOTHING: dict[str, Any] = {"version": None, "works": [], "rules": []}
_HINT = "Only the key that published it can erase it."
_RESTRICTING = (Preference.RESERVED, Preference.CONDITIONAL)


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published: the bundle, what this registry countersigned in it, and what it names.

    ``honoured`` are identifiers of reservations, ``consents`` of grants.
    """

    bundle: Bundle
    said: Countersignature
    honoured: Sequence[str] = ()
    consents: Sequence[str] = ()


def receipt_id(sha256: str) -> str:
    """Return the identifier of a receipt whose statement has this SHA-256."""
    return sha256[: receipts.ID_DIGITS]


class Receipting:
    """Publishes receipts by way of ``registrar``."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def publish(self, caller: Caller, new: Publication) -> Registered:
        """Publish a receipt that was countersigned; again it is the event of the first time.

        Raises :class:`ConflictError` when another receipt was published for the same run,
        :class:`InputError` for a record that it cannot name, :class:`ForbiddenError` when another key
        published it and this one names more.
        """
        id_ = receipt_id(new.said.receipt)
        receipt = parse_statement(new.bundle.receipt.payload)

        def write(tx: Transaction) -> Registered:
            before = receipts.find(tx.connection, id_)
            if before is not None and before.sha256 == new.said.receipt:
                named = _to_be_named(tx.connection, receipt, new)
                if not named:
                    raise AlreadyDoneError(Registered(id_, before.from_seq, PUBLISHED))
                if before.principal_id != caller.principal_id:
                    raise ForbiddenError("another key published this receipt: it alone names records")
                self._name(iter([tx]), tx, id_, named)
                return Registered(id_, before.from_seq, PUBLISHED)
            other = receipts.by_run(tx.connection, new.said.run)
            if other is not None or before is not None:
                raise ConflictError(
                    "another receipt was published for this run",
                    hint="A run has one receipt. Filter again for another one.",
                )
            self._append(tx, caller, id_, new)
            self._name(iter(()), tx, id_, _to_be_named(tx.connection, receipt, new))
            return Registered(id_, tx.seq, PUBLISHED)

        return self._registrar.once(caller, None, write)

    def erase(self, caller: Caller, id_: str) -> Registered:
        """Destroy an own receipt: the log tells that there was one, and nothing of it nor whom it named.

        Raises :class:`NotFoundError`, in which foreign and missing ones look the same.
        """

        def write(tx: Transaction) -> Registered:
            row = receipts.find(tx.connection, id_) if "\0" not in id_ else None
            if row is None or row.principal_id != caller.principal_id:
                raise NotFoundError("no such receipt of yours", hint=_HINT)
            named = mentions.of_receipt(tx.connection, id_)
            payloads.erase(tx, id_)
            said = payloads.insert(tx, id_, _NOTHING)
            events.commit_to(tx, "erase", id_, said, self._registrar.seconds())
            forget_mentions(tx, named, self._registrar.seconds())
            return Registered(id_, tx.seq, ERASED)

        return self._registrar.once(caller, None, write)

    def _append(self, tx: Transaction, caller: Caller, id_: str, new: Publication) -> None:
        said, now = new.said, self._registrar.seconds()
        row = {"id": id_, "sha256": said.receipt, "run": said.run, "bundle": new.bundle.to_json().decode()}
        payload = receipts.add(tx, row | {"principal_id": caller.principal_id, "at": now})
        events.commit_to(tx, receipts.PUBLISH, id_, payload, now)

    def _name(
        self, first: Iterator[Transaction], tx: Transaction, id_: str, named: Sequence[dict[str, str]]
    ) -> None:
        """Append an event for each record that is named, the first of them as ``first`` if it is given."""
        now = self._registrar.seconds()
        for one in named:
            event = next(first, None) or tx.following()
            named_by = new_id()
            row = {"id": named_by, "receipt_id": id_, "at": now, **one}
            events.commit_to(event, mentions.MENTION, named_by, mentions.add(event, row), now)


def _to_be_named(connection: Connection, receipt: Receipt, new: Publication) -> list[dict[str, str]]:
    """Return the members of the rows that are not there yet. Raises :class:`InputError`."""
    before = mentions.of_receipt(connection, receipt_id(new.said.receipt))
    known = {(row.kind, row.reservation_id, row.grant_id) for row in before}
    wanted = [*_honoured(connection, receipt, new), *_consents(connection, receipt, new)]
    named = [one for one in dict.fromkeys(wanted) if one not in known]
    left_out = sum(kind == mentions.HONOURED for kind, *_ in known | set(named))
    if left_out > receipt.counts.removed:
        raise InputError(
            f"honoured: {left_out:,} records, and the receipt says that {receipt.counts.removed:,} samples "
            "were removed",
            hint="Name those only whose works were left out.",
        )
    return [dict(zip(("kind", "reservation_id", "grant_id"), one, strict=True)) for one in named]


def _honoured(connection: Connection, receipt: Receipt, new: Publication) -> Iterator[tuple[str, str, str]]:
    ids, seq = list(dict.fromkeys(new.honoured)), new.said.as_of_seq
    possible = [one for one in ids if is_grant_id(one)]
    held = {row.reservation_id: row for row in reservations.versions_at(connection, possible, seq)}
    for place, id_ in enumerate(new.honoured):
        row, where = held.get(id_), f"honoured.{place}"
        if row is None or row.state == State.WITHDRAWN:
            raise InputError(
                f"{where}: no record {id_[:40]!r} stood at event {seq:,}, as of which the run asked",
                hint="It may have been lodged later, or withdrawn or erased. Leave it out.",
            )
        if json.loads(row.preferences).get(receipt.configuration.use) not in _RESTRICTING:
            raise InputError(
                f"{where}: the record {id_} reserves nothing for {receipt.configuration.use[:40]}",
                hint="Only what was reserved can be honoured. Leave it out.",
            )
        yield mentions.HONOURED, id_, ""


def _consents(connection: Connection, receipt: Receipt, new: Publication) -> Iterator[tuple[str, str, str]]:
    seq, used = new.said.as_of_seq, set(receipt.configuration.grants)
    possible = [one for one in new.consents if is_grant_id(one)]
    held = {row.id: row for row in grants.standing_at(connection, possible, seq)}
    for place, id_ in enumerate(new.consents):
        if id_ not in held:
            raise InputError(
                f"consents.{place}: no grant of this identifier stood at event {seq:,}, as of which the run "
                "asked",
                hint="It may have been given later, or taken back. Leave it out.",
            )
        if digest_of(id_.encode()) not in used:
            raise InputError(
                f"consents.{place}: the run that the receipt tells of did not have this grant",
                hint="Give a grant with --grant when you filter.",
            )
        yield mentions.CONSENT, held[id_].reservation_id, id_
