"""``/api/v1/reservations``: lodging works, seeing, changing and withdrawing what one lodged.

Every write is acknowledged with its sequence number; the next look-up, on any worker, sees it. With an
``Idempotency-Key`` a request may be repeated safely. What belongs to others answers 404, as if it were not
there.
"""

import json
import re
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.auth import require_caller
from api.body import Body, Text, Word, read_body
from api.operations import Operation, operation
from api.repeating import repeatable
from api.state import state
from registry.errors import InputError, NotFoundError, PayloadTooLargeError
from registry.fingerprint import (
    REGISTERED_WINDOWS,
    is_distinctive,
    parse_fingerprint,
    sha256_from_hex,
    unpack_windows,
)
from registry.preference import Preference, Use
from registry.registrar import NOT_YOURS, NOT_YOURS_HINT, Caller, Change, Draft, WorkDraft
from registry.store import events, reservations
from registry.urls import RuleKind, UrlRule, canonicalize_url, url_rule

__all__ = ["ReservationBody", "WorkBody", "blueprint", "work_drafts", "work_wire"]

blueprint = Blueprint("reservations", __name__, url_prefix="/api/v1/reservations")

_WRITE_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
_HEADERS = ("Idempotency-Key",)
_PAGE = 1000
_CURSOR = re.compile(r"([0-9]{1,18})\.(-1|[0-9]{1,9})", re.ASCII)
_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)
_MAX_RULES = 1000


class WorkBody(Body):
    """One work, by at least one of URL, SHA-256 of the file, and registered fingerprint."""

    title: Text = Field(default="", max_length=200)
    url: str | None = None
    sha256: str | None = None
    fingerprint: dict[str, Any] | None = None


class RuleBody(Body):
    """A set of URLs: exact, prefix (ends in a slash), host, or domain."""

    kind: Word[RuleKind]
    value: str


class WorksBody(Body):
    """Works to add."""

    works: list[WorkBody] = Field(min_length=1)


class ChangeBody(Body):
    """What to change; what is left out stays as it is."""

    preferences: dict[Word[Use], Word[Preference]] | None = Field(default=None, min_length=1)
    label: Text | None = Field(default=None, max_length=200)
    terms: Text | None = Field(default=None, max_length=2000)
    contact: Text | None = Field(default=None, max_length=500)
    public: bool | None = Field(default=None, strict=True)


class EraseBody(Body):
    """With ``keep`` works and rules stay reserved, without titles, label, terms and contact."""

    keep: bool = Field(strict=True)


class ReservationBody(Body):
    """What is said about a set of works, and the works; ``public`` shows label, terms, contact to all."""

    preferences: dict[Word[Use], Word[Preference]] = Field(min_length=1)
    label: Text = Field(default="", max_length=200)
    terms: Text = Field(default="", max_length=2000)
    contact: Text = Field(default="", max_length=500)
    public: bool = Field(default=False, strict=True)
    works: list[WorkBody] = Field(default_factory=list)
    rules: list[RuleBody] = Field(default_factory=list)


class Acknowledgement(BaseModel):
    """What was written, and with which event; ``exact_only`` lists the works too plain for likeness."""

    id: str
    seq: int
    state: str
    works: int
    rules: int
    exact_only: list[int]


class ReservationAnswer(BaseModel):
    """A reservation as it stands, with its history."""

    id: str
    seq: int
    state: str
    preferences: dict[Use, Preference]
    label: str
    terms: str
    contact: str
    public: bool
    evidence_level: int
    works: int
    rules: list[dict[str, Any]]
    history: list[dict[str, Any]]


class WorksAnswer(BaseModel):
    """A page of works; ``next`` is null at the end."""

    works: list[dict[str, Any]]
    next: str | None


class ReservationsAnswer(BaseModel):
    """A page of reservations, by the event of their last change; ``next`` is null at the end."""

    reservations: list[dict[str, Any]]
    next: str | None


@blueprint.post("")
@operation(
    Operation(
        "Lodge a reservation",
        answer=Acknowledgement,
        body=ReservationBody,
        status=201,
        scope="register",
        errors=_WRITE_ERRORS,
        headers=_HEADERS,
    )
)
def register() -> tuple[Response, int, dict[str, str]]:
    """Lodge works and rules under one set of preferences."""
    caller = require_caller("register")
    body = read_body(ReservationBody)
    if not body.works and not body.rules:
        raise InputError("works, rules: a reservation of nothing", hint="Give at least one work or one rule.")
    if len(body.rules) > _MAX_RULES:
        raise PayloadTooLargeError(f"{len(body.rules)} rules; at most {_MAX_RULES} in one request")
    draft = Draft(
        preferences=body.preferences,
        works=work_drafts(body.works),
        rules=[_rule(rule, place) for place, rule in enumerate(body.rules)],
        label=body.label,
        terms=body.terms,
        contact=body.contact,
        public=body.public,
    )
    done = state().registrar.register(caller, draft, repeatable())
    return jsonify(done.to_wire()), 201, {"Location": url_for("reservations.show", id_=done.id)}


@blueprint.get("")
@operation(
    Operation(
        "List own reservations",
        answer=ReservationsAnswer,
        scope="register",
        errors=(401, 403, 422, 503),
        query=("after",),
    )
)
def list_own() -> Response:
    """List own reservations, oldest first, a page at a time."""
    caller = require_caller("register")
    after = _cursor(request.args.get("after", "0.-1"))[0]
    with state().store.read() as connection:
        page = reservations.owned_by(connection, caller.principal_id, after, _PAGE)
    last = page[-1] if len(page) == _PAGE else None
    return jsonify(
        reservations=[
            {
                "id": row.reservation_id,
                "seq": row.from_seq,
                "state": row.state,
                "preferences": json.loads(row.preferences),
                "label": row.label,
            }
            for row in page
        ],
        next=last and f"{last.from_seq}.0",
    )


@blueprint.get("/<id_>")
@operation(
    Operation(
        "Show an own reservation", answer=ReservationAnswer, scope="register", errors=(401, 403, 404, 503)
    )
)
def show(id_: str) -> Response:
    """Show a reservation as it stands, with its history."""
    caller = require_caller("register")
    with state().store.read() as connection:
        row = _own(connection, caller, id_)
        works = reservations.count_works(connection, id_)
        rules = reservations.rules_of(connection, id_)
        history = events.of_record(connection, id_)
    return jsonify(
        id=id_,
        seq=row.from_seq,
        state=row.state,
        preferences=json.loads(row.preferences),
        label=row.label,
        terms=row.terms,
        contact=row.contact,
        public=row.public,
        evidence_level=row.evidence_level,
        works=works,
        rules=[{"kind": rule.kind, "value": UrlRule(RuleKind(rule.kind), rule.surt).text} for rule in rules],
        history=[{"seq": event.seq, "op": event.op, "at": event.at} for event in history],
    )


@blueprint.patch("/<id_>")
@operation(
    Operation(
        "Change an own reservation",
        answer=Acknowledgement,
        body=ChangeBody,
        scope="register",
        errors=_WRITE_ERRORS,
        headers=_HEADERS,
    )
)
def change(id_: str) -> Response:
    """Begin a new version with what is to be changed."""
    caller = require_caller("register")
    body = read_body(ChangeBody)
    given = [getattr(body, name) for name in body.model_fields_set]
    if not given or None in given:
        raise InputError(
            "a change of nothing", hint="Give at least one of preferences, label, terms, contact, public."
        )
    wanted = Change(body.preferences, body.label, body.terms, body.contact, body.public)
    return jsonify(state().registrar.change(caller, id_, wanted, repeatable()).to_wire())


@blueprint.delete("/<id_>")
@operation(
    Operation(
        "Withdraw an own reservation",
        answer=Acknowledgement,
        scope="register",
        errors=(401, 403, 404, 409, 422, 503, 507),
        headers=_HEADERS,
    )
)
def withdraw(id_: str) -> Response:
    """Withdraw: from this event on the reservation says nothing. The log keeps that it was there."""
    caller = require_caller("register")
    return jsonify(state().registrar.withdraw(caller, id_, repeatable()).to_wire())


@blueprint.post("/<id_>/erase")
@operation(
    Operation(
        "Erase an own reservation, its past too, or what in it names a person",
        answer=Acknowledgement,
        body=EraseBody,
        scope="register",
        errors=_WRITE_ERRORS,
        headers=_HEADERS,
    )
)
def erase(id_: str) -> Response:
    """Destroy what the reservation says and ever said; the log keeps leaves that tell nothing."""
    caller = require_caller("register")
    body = read_body(EraseBody)
    return jsonify(state().registrar.erase(caller, id_, keep=body.keep, repeat=repeatable()).to_wire())


@blueprint.post("/<id_>/works")
@operation(
    Operation(
        "Add works to an own reservation",
        answer=Acknowledgement,
        body=WorksBody,
        status=201,
        scope="register",
        errors=_WRITE_ERRORS,
        headers=_HEADERS,
    )
)
def add_works(id_: str) -> tuple[Response, int]:
    """Add works under the preferences of the reservation."""
    caller = require_caller("register")
    works = work_drafts(read_body(WorksBody).works)
    return jsonify(state().registrar.add_works(caller, id_, works, repeatable()).to_wire()), 201


@blueprint.get("/<id_>/works")
@operation(
    Operation(
        "List the works of an own reservation",
        answer=WorksAnswer,
        scope="register",
        errors=(401, 403, 404, 422, 503),
        query=("after",),
    )
)
def works(id_: str) -> Response:
    """List works, a page at a time."""
    caller = require_caller("register")
    after = _cursor(request.args.get("after", "0.-1"))
    with state().store.read() as connection:
        _own(connection, caller, id_)
        page = reservations.works_of(connection, id_, after, _PAGE)
    last = page[-1] if len(page) == _PAGE else None
    return jsonify(works=[work_wire(w) for w in page], next=last and f"{last.from_seq}.{last.ordinal}")


def _own(connection: Connection, caller: Caller, id_: str) -> Any:
    """Return the caller's own reservation; foreign, missing and impossible ones look the same."""
    row = reservations.current(connection, id_) if _ID.fullmatch(id_) else None
    if row is None or row.principal_id != caller.principal_id:
        raise NotFoundError(NOT_YOURS, hint=NOT_YOURS_HINT)
    return row


def work_drafts(bodies: list[WorkBody]) -> list[WorkDraft]:
    """Return works as they are lodged. Raises :class:`InputError` and :class:`PayloadTooLargeError`."""
    if len(bodies) > state().settings.max_items:
        raise PayloadTooLargeError(
            f"{len(bodies)} works; at most {state().settings.max_items} in one request",
            hint="Lodge the first, then add the others with POST …/works.",
        )
    return [_work(body, place) for place, body in enumerate(bodies)]


def _work(body: WorkBody, place: int) -> WorkDraft:
    where = f"works.{place}"
    try:
        url = None if body.url is None else canonicalize_url(body.url)
    except InputError as error:
        raise InputError(f"{where}.url: {error.message}", hint=error.hint) from error
    sha256 = None if body.sha256 is None else sha256_from_hex(body.sha256, where=f"{where}.sha256")
    print_ = None
    if body.fingerprint is not None:
        print_ = parse_fingerprint(body.fingerprint, REGISTERED_WINDOWS, where=f"{where}.fingerprint")
    if url is None and sha256 is None:
        if print_ is None:
            raise InputError(f"{where}: none of url, sha256 and fingerprint is given")
        if not print_.pdq or not is_distinctive(print_.quality, print_.pdq):
            raise InputError(
                f"{where}.fingerprint: too plain to be told apart from other pictures",
                hint="Send the sha256 of the file too: a plain picture is found by its exact bytes only.",
            )
    return WorkDraft(body.title, url, sha256, print_)


def _rule(body: RuleBody, place: int) -> UrlRule:
    try:
        return url_rule(body.kind, body.value)
    except InputError as error:
        raise InputError(f"rules.{place}: {error.message}", hint=error.hint) from error


def work_wire(row: Any) -> dict[str, Any]:
    """Return the JSON form of a work that is stored."""
    windows = [] if row.packed is None else list(unpack_windows(bytes(row.packed))[0].pdq)
    return {
        "work": f"{row.from_seq}.{row.ordinal}",
        "title": row.title,
        "url": row.url,
        "sha256": None if row.sha256 is None else bytes(row.sha256).hex(),
        "windows": windows,
    }


def _cursor(text: str) -> tuple[int, int]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InputError(f"after: expected the 'next' of an earlier page, got {text[:40]!r}")
    return int(match[1]), int(match[2])
