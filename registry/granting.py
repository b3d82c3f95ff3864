"""The writer of grants: what the owner of a reservation permits one licensee, and that they take it back.

Whoever may change a reservation may grant its works. No level of evidence is asked for: a grant lifts what
its own reservation says and nothing that anybody else says, so nobody can permit more by it than they could
by withdrawing that reservation.

Each is one event of the reservation, whose leaf commits to it and does not name it. The log's key signs a
grant when it is handed out, so it is signed by the key of that day, whatever became of older ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from registry.errors import InputError, NotFoundError
from registry.grant import Grant, check_grant, is_grant_id, parse_work
from registry.preference import Use
from registry.registrar import (
    NOT_YOURS_HINT,
    AlreadyDoneError,
    Caller,
    Registered,
    Registrar,
    Repeatable,
    new_id,
    own_version,
    require_live,
)
from registry.store import Transaction, events, grants, imported_works, reservations

__all__ = ["GRANTED", "REVOKED", "GrantDraft", "Granter", "state_of"]

GRANTED, REVOKED = "granted", "revoked"
_NAMELESS = "-"
"""Stands for the log's name where a grant is checked that is not handed out yet."""


@dataclass(frozen=True, slots=True)
class GrantDraft:
    """A grant to make; ``valid_from`` None begins with its event, ``works`` None is the whole reservation."""

    reservation: str
    uses: Sequence[Use]
    licensee: str
    valid_until: int
    licensee_url: str = ""
    valid_from: int | None = None
    works: Sequence[str] | None = None
    terms: str = ""
    contact: str = ""


class Granter:
    """Writes grants by way of ``registrar``."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def grant(self, caller: Caller, draft: GrantDraft, repeat: Repeatable | None = None) -> Registered:
        """Grant works of an own reservation that holds; the identifier returned is that of the grant.

        Raises :class:`NotFoundError` for a reservation that is not the caller's, :class:`ConflictError` for
        one that was withdrawn, :class:`InputError` for what is no grant.
        """

        def write(tx: Transaction) -> Registered:
            require_live(own_version(tx, caller, draft.reservation))
            now = self._registrar.seconds()
            grant = _drafted(draft, tx.seq, now)
            if grant.valid_until <= now:
                raise InputError(f"valid_until: {grant.valid_until} is past; it is {now}")
            if grant.works is not None:
                _require_its_works(tx, draft.reservation, grant.works)
            payload = grants.add(tx, draft.reservation, _columns(grant))
            events.commit_to(tx, grants.GRANT, draft.reservation, payload, now)
            return Registered(grant.id, tx.seq, GRANTED, len(grant.works or ()))

        return self._registrar.once(caller, repeat, write)

    def revoke(self, caller: Caller, id_: str, repeat: Repeatable | None = None) -> Registered:
        """Take back a grant of an own reservation. Doing it again changes nothing.

        Raises :class:`NotFoundError`, in which foreign and missing ones look the same.
        """

        def write(tx: Transaction) -> Registered:
            row = _own_grant(tx.connection, caller, id_)
            if row.to_seq is not None:
                raise AlreadyDoneError(Registered(id_, row.to_seq, REVOKED))
            payload = grants.revoke(tx, row.reservation_id, id_)
            events.commit_to(tx, grants.REVOKE, row.reservation_id, payload, self._registrar.seconds())
            return Registered(id_, tx.seq, REVOKED)

        return self._registrar.once(caller, repeat, write)


def state_of(row: Row[Any]) -> str:
    """Return how a grant stands, by its row: ``granted`` or ``revoked``."""
    return GRANTED if row.to_seq is None else REVOKED


def _drafted(draft: GrantDraft, seq: int, now: int) -> Grant:
    works = None if draft.works is None else tuple(sorted(set(draft.works), key=parse_work))
    grant = Grant(
        id=new_id(),
        registry=_NAMELESS,
        reservation=draft.reservation,
        works=works,
        uses=tuple(sorted(set(draft.uses))),
        licensee=draft.licensee,
        licensee_url=draft.licensee_url,
        valid_from=now if draft.valid_from is None else draft.valid_from,
        valid_until=draft.valid_until,
        terms=draft.terms,
        contact=draft.contact,
        seq=seq,
        issued_at=now,
    )
    check_grant(grant)
    return grant


def _columns(grant: Grant) -> dict[str, Any]:
    wire = grant.to_wire()
    named = {"licensee": grant.licensee, "licensee_url": grant.licensee_url, "at": grant.issued_at}
    return wire | named


def _require_its_works(tx: Transaction, reservation: str, works: Sequence[str]) -> None:
    """Raise :class:`InputError` unless each of ``works`` is one of the reservation and holds now."""
    places = [parse_work(one) for one in works]
    single = reservations.works_at(tx.connection, places, tx.seq)
    others = sorted(set(places) - {(row.from_seq, row.ordinal) for row in single})
    rows: list[Any] = [*single, *imported_works.works_at(tx.connection, others, tx.seq)]
    known = {(row.from_seq, row.ordinal) for row in rows if row.reservation_id == reservation}
    missing = [one for one, place in zip(works, places, strict=True) if place not in known]
    if missing:
        raise InputError(
            f"works: {missing[0]} is no work of reservation {reservation}",
            hint="GET /api/v1/reservations/{id}/works lists them.",
        )


def _own_grant(connection: Connection, caller: Caller, id_: str) -> Row[Any]:
    row = grants.find(connection, id_) if is_grant_id(id_) else None
    version = None if row is None else reservations.current(connection, row.reservation_id)
    if row is None or version is None or version.principal_id != caller.principal_id:
        raise NotFoundError("no such grant of yours", hint=NOT_YOURS_HINT)
    return row
