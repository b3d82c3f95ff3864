"""The look-up API that existing clients speak, exactly; the only place where a decision becomes ``optOut``.

One row a line, in order, blanks and doubles included, each URL echoed as it was sent. The use is
``genai-train``, the mode ``eu-art4``: reserved and conditional become ``optOut``, allowed ``optIn``,
unknown neither. A line that is no URL is opted out, since nobody can ever vouch for it. A registry that
cannot know answers 503 for the whole request, because these clients take a short answer for consent.

Both routes exist with and without the final slash: a redirect would turn the POST into a GET, and the
clients would then read no rows and allow everything.
"""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, Field

from api.auth import require_caller
from api.body import Body, read_body
from api.operations import Operation, operation
from api.state import state
from registry.decision import decide
from registry.errors import ForbiddenError, InputError, InvalidUrlError, PayloadTooLargeError
from registry.lookup import Question
from registry.preference import Preference, Use
from registry.registrar import Draft, WorkDraft, may_speak_for
from registry.statement import Statement
from registry.urls import CanonicalUrl, canonicalize_url, host_of

__all__ = ["blueprint"]

blueprint = Blueprint("spawning_v2", __name__, url_prefix="/api/v2")

_USES = (Use.TRAIN, Use.GENAI_TRAIN)


class Row(BaseModel):
    """One line's answer."""

    url: str
    optOut: bool  # noqa: N815 - the clients' spelling
    optIn: bool  # noqa: N815
    reason: str


class Rows(BaseModel):
    """The answers, one a line."""

    urls: list[Row]
    as_of_seq: int


class ParityRow(Body):
    """What a partner says of one URL."""

    url: str
    optOut: bool  # noqa: N815
    optIn: bool  # noqa: N815


class ParityBody(Body):
    """A partner's submission."""

    urls: list[ParityRow] = Field(min_length=1)


class ParityAnswer(BaseModel):
    """What was written: how many URLs, the last event, and the reservations that can be withdrawn again."""

    accepted: int
    seq: int
    reservations: list[str]


@blueprint.post("/query/urls")
@blueprint.post("/query/urls/")
@operation(
    Operation(
        "Look up URLs, one a line",
        answer=Rows,
        body="URLs joined by newlines, UTF-8",
        scope="lookup",
        errors=(400, 401, 403, 413, 422, 503),
    )
)
def query_urls() -> Response:
    """Answer one row a line."""
    require_caller("lookup")
    lines = _lines()
    urls = [_canonical(line) for line in lines]
    answer = state().lookup.ask([Question(url=url) for url in urls if isinstance(url, str)])
    statements = iter(answer.statements)
    rows = [
        _row(line, next(statements)) if isinstance(url, str) else _unparsed(line, url)
        for line, url in zip(lines, urls, strict=True)
    ]
    return jsonify(urls=rows, as_of_seq=answer.as_of_seq)


@blueprint.post("/parity/urls")
@blueprint.post("/parity/urls/")
@operation(
    Operation(
        "Submit a partner's opt-outs and opt-ins",
        answer=ParityAnswer,
        body=ParityBody,
        scope="register",
        errors=(400, 401, 403, 413, 415, 422, 503, 507),
    )
)
def parity_urls() -> Response:
    """Write what a partner says of URLs under the domains that its key is scoped for; all, or nothing."""
    caller = require_caller("register")
    body = read_body(ParityBody)
    if len(body.urls) > state().settings.max_items:
        raise PayloadTooLargeError(
            f"{len(body.urls)} URLs; at most {state().settings.max_items} in one request"
        )
    said: dict[CanonicalUrl, Preference] = {}
    for place, row in enumerate(body.urls):
        url = _submitted(row, place)
        if not may_speak_for(caller, host_of(url)):
            raise ForbiddenError(
                f"urls.{place}: this key may not speak for {host_of(url)}; nothing was written"
            )
        # Said twice in one submission, the more restrictive word stands.
        said[url] = max(_preference(row), said.get(url, Preference.UNKNOWN), key=lambda p: p.restriction)
    groups = {p: [WorkDraft(url=url) for url in said if said[url] is p] for p in set(said.values())}
    drafts = [Draft(dict.fromkeys(_USES, p), works, label="parity") for p, works in groups.items()]
    done = state().registrar.register_together(caller, drafts)
    return jsonify(accepted=len(body.urls), seq=done[-1].seq, reservations=[one.id for one in done])


def _lines() -> list[str]:
    try:
        lines = request.get_data().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8: byte {error.start}") from error
    limit = state().settings.max_urls
    if len(lines) > limit:
        raise PayloadTooLargeError(f"{len(lines)} lines; at most {limit} in one request")
    return lines


def _canonical(line: str) -> CanonicalUrl | InvalidUrlError | None:
    """Return the URL of a line, None for a blank one, or the error that it is."""
    if not line.strip():
        return None
    try:
        return canonicalize_url(line)
    except InvalidUrlError as error:
        return error


def _row(line: str, statements: list[Statement]) -> dict[str, Any]:
    decision = decide(statements, Use.GENAI_TRAIN)
    reserved = decision.preference in (Preference.RESERVED, Preference.CONDITIONAL)
    allowed = decision.preference is Preference.ALLOWED
    return {"url": line, "optOut": reserved, "optIn": allowed, "reason": decision.reason}


def _unparsed(line: str, error: InvalidUrlError | None) -> dict[str, Any]:
    reason = "A blank line." if error is None else f"Nobody can vouch for this: {error.message}."
    return {"url": line, "optOut": error is not None, "optIn": False, "reason": reason}


def _submitted(row: ParityRow, place: int) -> CanonicalUrl:
    try:
        return canonicalize_url(row.url)
    except InvalidUrlError as error:
        raise InputError(f"urls.{place}.url: {error.message}; nothing was written") from error


def _preference(row: ParityRow) -> Preference:
    if row.optOut:
        return Preference.RESERVED
    return Preference.ALLOWED if row.optIn else Preference.UNKNOWN
