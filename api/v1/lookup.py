"""``POST /api/v1/lookup``: what is known of up to 10,000 items, each answered in its place.

An item that cannot be read is ``malformed``, one that gives nothing to compare is ``not_checked``; neither
has a preference, and the others are answered all the same. A registry that cannot know answers 503.

Without a key: preference, state and kind of match. With a key of scope ``lookup``: the record, its label,
terms and contact, and the distance too. A statement that one of the ``grants`` of the request covers names
it, for everybody: who knows its identifier was given it.
"""

from typing import Annotated, Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, Field, ValidationError, WithJsonSchema

from api.answers import Answering, unanswered
from api.auth import has_scope
from api.body import Body, Word, read_body
from api.operations import Operation, operation
from api.state import last_checkpoint, state
from api.ticketing import note, ticketed
from registry.errors import InputError, PayloadTooLargeError
from registry.fingerprint import QUERY_FORMS, VERSION, parse_fingerprint, sha256_from_hex
from registry.grant import MAX_GRANTS, is_grant_id
from registry.lookup import Question
from registry.matching import TOO_PLAIN
from registry.preference import Mode, Preference, Status, Use
from registry.said import Held
from registry.tickets import RUN_HEADER
from registry.urls import canonicalize_url

__all__ = ["ITEM", "Item", "blueprint"]

blueprint = Blueprint("lookup", __name__, url_prefix="/api/v1")


ITEM = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "url": {"type": "string"},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "fingerprint": {
            "type": "object",
            "required": ["v", "quality"],
            "properties": {
                "v": {"type": "integer"},
                "quality": {"type": "integer", "minimum": 0, "maximum": 100},
                "phash": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                "pdq": {
                    "type": "object",
                    "properties": {f: {"type": "string", "pattern": "^[0-9a-f]{64}$"} for f in QUERY_FORMS},
                    "additionalProperties": False,
                },
            },
        },
    },
}
"""The form of one item, for the document that describes the routes."""


class Item(Body):
    """One item of a look-up."""

    id: str = Field(max_length=1000)
    url: str | None = None
    sha256: str | None = None
    fingerprint: dict[str, Any] | None = None


class LookupRequest(Body):
    """What to look up, for which use; ``grants`` are the identifiers of those that the asker holds."""

    use: Word[Use] = Use.GENAI_TRAIN
    mode: Word[Mode] = Mode.EU_ART4
    as_of_seq: int | None = Field(default=None, ge=0)
    review: bool = Field(default=True, strict=True)
    grants: list[str] = Field(default_factory=list)
    items: list[Annotated[dict[str, Any], WithJsonSchema(ITEM)]]


class Result(BaseModel):
    """The answer to one item; ``preference`` is null unless ``status`` is ok."""

    id: str
    status: Status
    preference: str | None
    reason: str
    matched_by: str | None
    state: str | None
    statements: list[dict[str, Any]]


class LookupAnswer(BaseModel):
    """The answers, in the order of the items, as of one event."""

    as_of_seq: int
    checkpoint: str | None
    fingerprint_version: int
    results: list[Result]


@blueprint.post("/lookup")
@operation(
    Operation(
        "Look up what is said of items",
        answer=LookupAnswer,
        body=LookupRequest,
        scope="optional",
        errors=(400, 401, 413, 415, 422, 503),
        headers=(RUN_HEADER,),
    )
)
@ticketed
def lookup() -> Response:
    """Answer each item in its place."""
    detail = has_scope("lookup")
    asked = read_body(LookupRequest)
    answering = Answering(asked.use, asked.mode, detail)
    if len(asked.items) > state().settings.max_items:
        raise PayloadTooLargeError(
            f"{len(asked.items)} items; at most {state().settings.max_items} in one request"
        )
    ids = [_id(item, place) for place, item in enumerate(asked.items)]
    if len(set(ids)) != len(ids):
        raise InputError(
            "items: two items have one id", hint="Give each item an id of its own in the request."
        )
    parsed = [_parse(item) for item in asked.items]
    questions = [p for p in parsed if isinstance(p, Question)]
    answer = state().lookup.ask(questions, asked.as_of_seq, review=asked.review, held=_held(asked))
    note(answer.as_of_seq, len(parsed))
    answers = iter(enumerate(answer.statements))
    results = []
    for id_, question in zip(ids, parsed, strict=True):
        if isinstance(question, Question):
            place, statements = next(answers)
            complete = place not in answer.incomplete
            result = answering.result(id_, statements, complete=complete)
            results.append(_of_then(result, answer.erased) if answer.erased else result)
        else:
            results.append(unanswered(id_, *question))
    return jsonify(
        as_of_seq=answer.as_of_seq,
        checkpoint=last_checkpoint(),
        fingerprint_version=VERSION,
        results=results,
    )


def _of_then(result: dict[str, Any], erased: int) -> dict[str, Any]:
    """Return the answer as of an earlier event, since which records that stood then were erased.

    What was said in these could only make it stricter: a reservation stands, anything else not.
    """
    if result["preference"] in (None, str(Preference.RESERVED)):
        return result
    records = "1 record that stood then was" if erased == 1 else f"{erased:,} records that stood then were"
    reason = f"nothing that can still be read reserved it then, but {records} erased since"
    return unanswered(result["id"], Status.ERROR, reason)


def _held(asked: LookupRequest) -> Held | None:
    """Return the grants of the request. One that is not known is none: who holds it learns that elsewhere."""
    if len(asked.grants) > MAX_GRANTS:
        raise PayloadTooLargeError(f"{len(asked.grants)} grants; at most {MAX_GRANTS} in one request")
    for place, id_ in enumerate(asked.grants):
        if not is_grant_id(id_):
            raise InputError(f"grants.{place}: {id_[:40]!r} is no identifier of a grant")
    return Held(tuple(asked.grants), asked.use, state().now()) if asked.grants else None


def _id(item: dict[str, Any], place: int) -> str:
    id_ = item.get("id")
    if not isinstance(id_, str):
        raise InputError(f"items.{place}.id: expected a string, got {id_!r}")
    return id_


def _parse(item: dict[str, Any]) -> Question | tuple[Status, str]:
    """Return the question of an item, or why there is none."""
    try:
        read = Item.model_validate(item)
        question = Question(
            url=None if read.url is None else canonicalize_url(read.url),
            sha256=None if read.sha256 is None else sha256_from_hex(read.sha256),
            fingerprint=None
            if read.fingerprint is None
            else parse_fingerprint(read.fingerprint, QUERY_FORMS),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Status.MALFORMED, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except InputError as error:
        return Status.MALFORMED, error.message
    if question.url is None and question.sha256 is None and question.fingerprint is None:
        return Status.MALFORMED, "none of url, sha256 and fingerprint is given"
    if question.too_plain:
        return Status.NOT_CHECKED, TOO_PLAIN
    return question
