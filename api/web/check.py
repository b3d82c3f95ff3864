"""``/check``: what is said of a work, and in which datasets it is.

By address or domain with GET, so that an answer has a permalink; by picture with POST, since a picture is
sent, hashed and forgotten. ``/check.json`` is the same for machines, as is ``/check`` for those that prefer
JSON.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, request
from pydantic import BaseModel

from api.auth import has_scope
from api.state import state
from api.web.answering import (
    Asked,
    DatasetAsked,
    asked_of_datasets,
    asked_of_registry,
    of_address,
    of_picture,
)
from api.web.pages import is_page, shown
from api.web.pictures import hashed, read_picture
from api.web.room import room
from api.web.words import EVIDENCE, MATCHES, how_found, verdict_of
from registry.dataset_index import read_query
from registry.errors import CaveatError, InputError, PayloadTooLargeError
from registry.lookup import Question
from registry.preference import Use

__all__ = ["WorkAnswer", "by_address", "by_picture"]

_LONGEST = 4000
_WORDS = {"EVIDENCE": EVIDENCE, "MATCHES": MATCHES, "how_found": how_found, "verdict_of": verdict_of}


class UseAnswer(BaseModel):
    """What is said about one use."""

    status: str
    preference: str | None
    reason: str


class DatasetAnswer(BaseModel):
    """In a dataset: ``count`` samples were found, or at least so many where it is not ``complete``."""

    name: str
    format: str
    samples: int
    status: str
    reason: str
    count: int
    complete: bool
    found: list[dict[str, Any]]


class WorkAnswer(BaseModel):
    """What is said of a work as of an event, for the use that was asked and for every other; where it is."""

    asked: dict[str, str]
    as_of_seq: int
    checkpoint: str | None
    result: dict[str, Any]
    uses: dict[str, UseAnswer]
    datasets: list[DatasetAnswer]


def by_address() -> Response:
    """Answer for an address, a folder, a host or a domain; without any, show the forms."""
    detail = has_scope("lookup")
    text, use = request.args.get("q", "").strip(), request.args.get("use", "")
    if not text and is_page():
        return _page({}, {"use": use})
    try:
        typed = _spelled(text)
        query = read_query(typed)
        question, as_name = Question(url=query.address), "://" not in typed
        asked = Asked(typed, query.kind, question, _use(use), detail, as_name)
    except InputError as error:
        return _again(error, {"q": text, "use": use, "wrong": "q"})
    return _answered(asked, asked_of_datasets(room().indexes, of_address(typed), detail=detail), {"q": text})


def by_picture() -> Response:
    """Answer for a picture that is sent in the form field ``picture``."""
    detail = has_scope("lookup")
    fields: Mapping[str, str] = {}
    try:
        sent = read_picture(state().settings.max_picture_bytes)
        fields = sent.fields
        use = _use(fields.get("use", ""))
        fingerprint, registered = hashed(sent.data, for_datasets=bool(room().indexes))
    except (InputError, PayloadTooLargeError) as error:
        return _again(error, {"use": fields.get("use", ""), "wrong": "picture"})
    question = Question(sha256=fingerprint.sha256, fingerprint=fingerprint)
    asked = Asked(sent.name, "picture", question, use, detail)
    if registered is None:
        return _answered(asked, [], {})
    return _answered(
        asked, asked_of_datasets(room().indexes, of_picture(sent.name, registered), detail=detail), {}
    )


def _answered(asked: Asked, found: Iterable[DatasetAsked], fields: Mapping[str, str]) -> Response:
    datasets = list(found)
    wire = {"asked": asked.to_wire(), **asked_of_registry(asked), "datasets": [one.wire for one in datasets]}
    failed = next((one.error for one in datasets if one.error is not None), None)
    if failed is None:
        return _page(wire, {**fields, "use": str(asked.use)})
    if not is_page():
        raise failed
    return _page(wire, {**fields, "use": str(asked.use)}, 503)


def _page(wire: Mapping[str, Any], fields: Mapping[str, str], status: int = 200, **more: Any) -> Response:
    fields = {"use": str(Use.GENAI_TRAIN), **{name: text for name, text in fields.items() if text}}
    most = state().settings.max_picture_bytes // 2**20
    more |= {"fields": fields, "most": most, "indexes": room().indexes, **_WORDS}
    return shown("check.html", wire, status, hashes=True, **more)


def _again(error: CaveatError, fields: Mapping[str, str]) -> Response:
    """Show the form again with what was wrong; raise it for machines."""
    if not is_page():
        raise error
    status = 413 if isinstance(error, PayloadTooLargeError) else 422
    return _page({}, fields, status, error=error)


def _spelled(text: str) -> str:
    """Return an address with its scheme: people leave it out."""
    if not text:
        raise InputError("q: nothing was asked", hint="Give an address or a domain: ada.example")
    if len(text) > _LONGEST:
        raise InputError(f"q: longer than {_LONGEST:,} characters")
    return f"https://{text}" if "/" in text and "://" not in text else text


def _use(text: str) -> Use:
    try:
        return Use(text or Use.GENAI_TRAIN)
    except ValueError:
        raise InputError(f"use: {text[:80]!r} is none of {', '.join(Use)}") from None
