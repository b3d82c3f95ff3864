"""``/register``: lodging works with a browser and no key.

The form works without a script. With one, pictures are hashed in the browser and lodged by
``POST /register/batch`` as they are hashed; then the form is sent with the number of that record, for what
else was filled in and for the page that tells how it ended. A form that is sent twice lodges once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from pydantic import Field

from api.auth import optional_caller
from api.body import read_body
from api.codes import caller_by_code
from api.repeating import repeatable
from api.state import state
from api.v1.reservations import ReservationBody, WorkBody, work_drafts
from api.web.holder import (
    FIELD,
    HEADER,
    Holder,
    begun,
    entered,
    forget,
    form_token,
    fresh_code,
    is_open,
    keep,
    sent_by_form,
)
from api.web.lines import lines_for
from api.web.lodging import MOST_PICTURES, Filled, NotLodged, faults_of_terms, filled, hashed_pictures
from api.web.own import own_record, own_row
from api.web.pages import address as address_of_site
from api.web.pages import is_page, shown
from api.web.sending import Form, read_form
from api.web.words import ANSWERS, MEANINGS, SAID, USES, uses_by_preference
from registry.errors import (
    CaveatError,
    ForbiddenError,
    InputError,
    PayloadTooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from registry.jsontext import strict_json
from registry.oneline import one_line
from registry.preference import Preference, Use
from registry.registrar import Caller, Draft, Registered, Repeatable, may_speak_for
from registry.signals.writing.choice import Choice, address
from registry.urls import UrlRule, url_rule

__all__ = ["BATCH", "BatchBody", "forget_code", "lodge", "lodge_batch", "read_sheet", "register_form"]

BATCH = 25
"""Works in one request of the script."""
_PARTS = MOST_PICTURES + 60
_FORM_BYTES = 512 * 1024
_MOST_FAILED = 1000
_DEFAULTS = {Use.GENAI_TRAIN: Preference.RESERVED, Use.TRAIN: Preference.RESERVED}
_SHOWN = 2
"""Uses that are asked about at once; the others stand behind a summary."""
_STATUSES = {ForbiddenError: 403, TooManyRequestsError: 429, PayloadTooLargeError: 413}
"""Of a form that is shown again; 422 for all else."""
_TOO_LARGE = "Send fewer or smaller pictures at once; a browser with scripts sends none."


class BatchBody(ReservationBody):
    """Works to lodge under ``record``, or, where it is null, under a new one of these preferences."""

    record: str | None = None
    works: list[WorkBody] = Field(min_length=1, max_length=BATCH)
    rules: list[Any] = Field(default_factory=list, max_length=0)


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: what was acknowledged, the record as it stands, and what was not lodged."""

    done: Registered | None
    unproven: str
    failed: Sequence[NotLodged]
    record: Mapping[str, Any] | None = None


def register_form() -> Response:
    """Show the form, and have the browser keep a code for it."""
    return _form({}, {}, 200)


def lodge() -> Response:
    """Lodge what was filled in, and show how it ended."""
    try:
        form = read_sheet()
    except (InputError, PayloadTooLargeError) as error:
        return _refused({}, {"pictures": error})
    try:
        holder = _holder(form)
    except (ForbiddenError, TooManyRequestsError, UnauthenticatedError) as error:
        if not is_page():
            raise
        return _refused(form.fields, {_place_of(error): error})
    return _lodged(form, holder)


def lodge_batch() -> tuple[dict[str, Any], int]:
    """Lodge the works of one batch; returns the acknowledgement, and the status."""
    body = read_body(BatchBody)
    works = work_drafts(body.works)
    caller = optional_caller()
    if caller is None:
        caller = begun(sent_by_form(request.headers.get(HEADER, "")).code)
    elif "register" not in caller.scopes:
        raise ForbiddenError("this key has no scope 'register'", hint="Ask the registry's operator for it.")
    if body.record is not None:
        done = state().registrar.add_works(caller, body.record, works, repeatable())
        return done.to_wire(), 201
    for fault in faults_of_terms(body.preferences, body.terms).values():
        raise fault
    draft = Draft(body.preferences, works, (), body.label, body.terms, body.contact, body.public)
    return state().registrar.register(caller, draft, repeatable()).to_wire(), 201


def forget_code() -> Response:
    """Have the browser forget its code."""
    sent_by_form(request.form.get(FIELD, ""))
    return forget(shown("forgotten.html", {}))


def read_sheet() -> Form:
    """Read a form with works. Raises as :func:`api.web.sending.read_form` does."""
    most = max(0, state().settings.max_body_bytes - _FORM_BYTES)
    return read_form(most, "what was sent", _TOO_LARGE, _PARTS)


def _holder(form: Form) -> Holder:
    """Return under which code this form lodges: the browser's, or one that was typed."""
    holder = sent_by_form(form.fields.get(FIELD, ""))
    typed = form.fields.get("code", "").strip()
    return Holder(entered(typed), holder.nonce) if typed else holder


def _place_of(error: CaveatError) -> str:
    return "form" if isinstance(error, ForbiddenError) else "code"


def _lodged(form: Form, holder: Holder) -> Response:
    record = form.fields.get("record") or None
    sheet = filled(form)
    works, failed = ([], []) if sheet.faults else hashed_pictures(form, sheet.faults)
    sheet = sheet.with_works(works)
    if not sheet.faults and not sheet.draft.works and record is None:
        sheet.faults |= _nothing(sheet, failed)
    if sheet.faults:
        return _refused(form.fields, sheet.faults, failed)
    rules, unproven = _rules(caller_by_code(state().store, holder.code), sheet.website)
    failed = [*_failed_before(form), *failed]
    if not (sheet.draft.works or rules or record):
        return _result(sheet, holder, Ended(None, unproven, failed))
    caller = begun(holder.code)
    done = _written(caller, sheet, rules, record, _repeat(holder, sheet))
    return _result(sheet, holder, Ended(done, unproven, failed, own_record(caller, done.id)))


def _nothing(sheet: Filled, failed: Sequence[NotLodged]) -> dict[str, CaveatError]:
    if failed:
        return {"pictures": InputError("none of the pictures could be hashed, so nothing was lodged")}
    if sheet.website:
        return {}
    return {"works": InputError("no works were given", hint="Give addresses, a list, or pictures.")}


def _rules(caller: Caller | None, website: str) -> tuple[tuple[UrlRule, ...], str]:
    """Return the rule for a website, or, without a proof that it is the caller's, its name as unproven."""
    if not website:
        return (), ""
    rule = url_rule("domain", website)
    return ((rule,), "") if caller is not None and may_speak_for(caller, rule.host) else ((), website)


def _repeat(holder: Holder, sheet: Filled) -> Repeatable:
    digest = hashlib.sha256(f"{holder.nonce}\n{sheet.digest()}".encode())
    return Repeatable(digest.hexdigest(), digest.digest())


def _written(
    caller: Caller, sheet: Filled, rules: tuple[UrlRule, ...], record: str | None, repeat: Repeatable
) -> Registered:
    """Lodge, or add to what the script lodged before."""
    registrar, draft = state().registrar, sheet.draft
    if record is None:
        whole = Draft(
            draft.preferences, draft.works, rules, draft.label, draft.terms, draft.contact, draft.public
        )
        return registrar.register(caller, whole, repeat)
    if not draft.works:
        return _own_record(caller, record)
    return registrar.add_works(caller, record, draft.works, repeat)


def _own_record(caller: Caller, record: str) -> Registered:
    row = own_row(caller, record)
    return Registered(record, row.from_seq, row.state)


def _failed_before(form: Form) -> list[NotLodged]:
    """Return what the script could not hash, as it told it: shown again, and nothing else."""
    try:
        found = strict_json((form.fields.get("failed") or "[]").encode())
    except InputError:
        return []
    pairs = found if isinstance(found, list) else []
    return [
        NotLodged(one_line(str(one[0])), one_line(str(one[1])))
        for one in pairs[:_MOST_FAILED]
        if isinstance(one, list) and len(one) == 2
    ]


def _result(sheet: Filled, holder: Holder, ended: Ended) -> Response:
    done, record = ended.done, ended.record
    preferences = sheet.draft.preferences
    terms = sheet.draft.terms
    if record is not None:
        preferences = {Use(use): Preference(said) for use, said in record["preferences"].items()}
        terms = record["terms"]
    wire = {
        "code": holder.code,
        "record": record,
        "seq": None if done is None else done.seq,
        "exact_only": 0 if done is None else len(done.exact_only),
        "unproven": ended.unproven,
        "not_lodged": [{"name": one.name, "reason": one.reason} for one in ended.failed],
    }
    more: dict[str, Any] = {
        "said": uses_by_preference(preferences),
        "lines": list(lines_for(Choice(preferences, address(terms) if terms else ""))),
        "site": address_of_site(),
        "token": form_token(holder.code),
        "SAID": SAID,
    }
    return keep(
        shown("registered.html", wire, 200 if done is None else 201, hashes=True, **more), holder.code
    )


def _refused(
    fields: Mapping[str, str], faults: Mapping[str, CaveatError], failed: Sequence[NotLodged] = ()
) -> Response:
    """Show the form again with what was wrong; raise the first fault for machines."""
    if not is_page():
        raise next(iter(faults.values()))
    kinds = {type(one) for one in faults.values()}
    status = next((number for kind, number in _STATUSES.items() if kind in kinds), 422)
    return _form(fields, faults, status, failed)


def _form(
    fields: Mapping[str, str],
    faults: Mapping[str, CaveatError],
    status: int,
    failed: Sequence[NotLodged] = (),
) -> Response:
    code = fresh_code()
    answers = {use: fields.get(use, "" if fields else _DEFAULTS.get(use, "")) for use in Use}
    more: dict[str, Any] = {
        "fields": fields,
        "answers": answers,
        "others_open": any(answers[use] or use in faults for use in list(USES)[_SHOWN:]),
        "faults": faults,
        "failed": failed,
        "token": form_token(code),
        "most": MOST_PICTURES,
        "largest": state().settings.max_picture_bytes // 2**20,
        "open": is_open(),
        "ANSWERS": ANSWERS,
        "MEANINGS": MEANINGS,
    }
    return keep(shown("register.html", {}, status, hashes=True, **more), code)
