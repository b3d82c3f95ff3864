"""``/api/v1/imports``: works in bulk, in parts that may come in any order and as often as need be.

A key sees the imports of its principal in the namespaces of its scopes ``import:NAME``; what belongs to
others answers 404. A body that is cut off, or has one bad row, leaves nothing.
"""

import re
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for
from pydantic import BaseModel, Field

from api.auth import optional_caller, require_caller
from api.body import Body, Text, Word, read_body
from api.operations import Operation, operation
from api.state import state
from registry.errors import ForbiddenError, InputError
from registry.fingerprint import sha256_from_hex
from registry.import_claim import Claim
from registry.imports import MAX_PARTS, PART_WORKS, Completed, PartBody
from registry.listing import KINDS
from registry.preference import Preference, Use
from registry.registrar import Caller, Draft

__all__ = ["blueprint"]

blueprint = Blueprint("imports", __name__, url_prefix="/api/v1/imports")

_WRITE_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
_NUMBER = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)
_AGAIN_SECONDS = 2
_MAX_NOTE = 10_000
_MAX_WORKS = 10**12


class ImportBody(Body):
    """What will be said about the works of an import, and in whose namespace."""

    namespace: str = Field(max_length=63)
    preferences: dict[Word[Use], Word[Preference]] = Field(min_length=1)
    label: Text = Field(default="", max_length=200)
    terms: Text = Field(default="", max_length=2000)
    contact: Text = Field(default="", max_length=500)


class CompleteBody(Body):
    """What the import is: number of parts and works, digest, and the note that says so, signed."""

    parts: int = Field(ge=1, le=MAX_PARTS)
    works: int = Field(ge=1, le=_MAX_WORKS)
    digest: str
    note: str = Field(max_length=_MAX_NOTE)


class PlaceBody(Body):
    """A work by its part (from 1) and its place there (from 0)."""

    part: int = Field(ge=1, le=MAX_PARTS)
    ordinal: int = Field(ge=0, lt=PART_WORKS)


class WithdrawBody(Body):
    """Works to withdraw."""

    works: list[PlaceBody] = Field(min_length=1, max_length=PART_WORKS)


class OpenedAnswer(BaseModel):
    """An import that begins; ``signer`` is the key that must sign it, ``part_works`` the most of a part."""

    id: str
    namespace: str
    state: str
    signer: str
    part_works: int


class PartAnswer(BaseModel):
    """The acknowledgement of a part; ``exact_only`` lists the works too plain for likeness."""

    id: str
    part: int
    seq: int
    works: int
    sha256: str
    exact_only: list[int]


class ImportAnswer(BaseModel):
    """An import as it stands; ``parts`` are those that are there."""

    id: str
    namespace: str
    state: str
    opened_at: int
    seq: int | None
    works: int
    withdrawn: int
    preferences: dict[Use, Preference]
    label: str
    terms: str
    contact: str
    parts: list[dict[str, Any]]


class CompletedAnswer(BaseModel):
    """What became of an import, and with which event."""

    id: str
    seq: int
    state: str
    parts: int
    works: int


class BuildingAnswer(BaseModel):
    """The index files do not hold the works yet: ask again in ``retry_after`` seconds."""

    id: str
    state: str
    retry_after: int


class WithdrawnAnswer(BaseModel):
    """How many works were withdrawn now, and the last event that withdrew one of those that were named."""

    id: str
    seq: int
    withdrawn: int


@blueprint.post("")
@operation(
    Operation(
        "Begin an import",
        answer=OpenedAnswer,
        body=ImportBody,
        status=201,
        scope="import",
        errors=(400, 401, 403, 413, 415, 422, 503, 507),
    )
)
def begin() -> tuple[Response, int, dict[str, str]]:
    """Begin an import into a namespace, with what will be said about its works."""
    caller = _caller()
    body = read_body(ImportBody)
    draft = Draft(body.preferences, label=body.label, terms=body.terms, contact=body.contact)
    id_, verifier = state().importer.open(caller, body.namespace, draft)
    answer = jsonify(
        id=id_, namespace=body.namespace, state="open", signer=verifier.text, part_works=_part_works()
    )
    return answer, 201, {"Location": url_for("imports.show", id_=id_)}


@blueprint.get("/<id_>")
@operation(Operation("Show an own import", answer=ImportAnswer, scope="import", errors=(401, 403, 404, 503)))
def show(id_: str) -> Response:
    """Show the state of an import, and which parts stand."""
    return jsonify(state().importer.show(_caller(), id_))


@blueprint.put("/<id_>/parts/<number>")
@operation(
    Operation(
        "Store a part of an own import",
        answer=PartAnswer,
        body="A list of works: JSON lines, CSV or parquet",
        kinds=KINDS,
        scope="import",
        errors=_WRITE_ERRORS,
    )
)
def put_part(id_: str, number: str) -> Response:
    """Store one part; the same body again gets the same answer."""
    caller = _caller()
    if not _NUMBER.fullmatch(number):
        raise InputError(f"part {number[:40]!r}; parts are numbered from 1 to {MAX_PARTS}")
    body = PartBody(_whole_body(), request.mimetype, _part_works())
    done = asdict(state().importer.put(caller, id_, int(number), body))
    return jsonify(done | {"sha256": done["sha256"].hex()})


@blueprint.post("/<id_>/complete")
@operation(
    Operation(
        "Complete an own import",
        answer=CompletedAnswer,
        later=BuildingAnswer,
        body=CompleteBody,
        scope="import",
        errors=_WRITE_ERRORS,
    )
)
def complete(id_: str) -> Response:
    """Make all works of an import visible at once."""
    caller = _caller()
    body = read_body(CompleteBody)
    digest = sha256_from_hex(body.digest, where="digest")
    done = state().importer.complete(caller, id_, Claim(body.parts, body.works, digest, body.note))
    if done is not None:
        return _told(done)
    response = jsonify(id=id_, state="building", retry_after=_AGAIN_SECONDS)
    response.status_code = 202
    response.headers["Retry-After"] = str(_AGAIN_SECONDS)
    return response


@blueprint.delete("/<id_>")
@operation(
    Operation(
        "Roll an own import back", answer=CompletedAnswer, scope="import", errors=(401, 403, 404, 503, 507)
    )
)
def roll_back(id_: str) -> Response:
    """Destroy the works of an import that is not complete; withdraw all of one that is."""
    return _told(state().importer.roll_back(_caller(), id_))


@blueprint.post("/<id_>/withdraw")
@operation(
    Operation(
        "Withdraw works of an own import",
        answer=WithdrawnAnswer,
        body=WithdrawBody,
        scope="import",
        errors=_WRITE_ERRORS,
    )
)
def withdraw(id_: str) -> Response:
    """Withdraw single works; the others go on holding."""
    caller = _caller()
    works = [(work.part, work.ordinal) for work in read_body(WithdrawBody).works]
    seq, count = state().importer.withdraw_works(caller, id_, works)
    return jsonify(id=id_, seq=seq, withdrawn=count)


def _caller() -> Caller:
    """Return the caller, whose key has a scope for imports."""
    caller = optional_caller()
    if caller is None:
        return require_caller("import:NAME")
    if not any(scope.startswith("import:") for scope in caller.scopes):
        raise ForbiddenError(
            "this key has no scope 'import:NAME'", hint="Ask the registry's operator for it."
        )
    return caller


def _part_works() -> int:
    return min(PART_WORKS, state().settings.max_items)


def _whole_body() -> bytes:
    """Return the body. Raises :class:`InputError` unless all of it came."""
    if request.content_length is None:
        raise InputError("a body of unknown length", hint="Send the header Content-Length.")
    data = request.get_data()
    if len(data) != request.content_length:
        raise InputError(
            f"the body is cut off: {len(data)} of {request.content_length} bytes", hint="Send the part again."
        )
    return data


def _told(done: Completed) -> Response:
    return jsonify(asdict(done))
