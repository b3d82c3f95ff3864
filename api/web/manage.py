"""``/records`` and ``/record/{id}/manage``: coming back with the code, to add, withdraw, take along or erase.

Without the cookie both pages ask for the code. What belongs to another code is not there. Withdrawing and
erasing want a box ticked, since neither can be undone.
"""

import hashlib
from typing import Any

from flask import Response, jsonify, request

from api.codes import caller_by_code
from api.state import state
from api.web.holder import (
    FIELD,
    Holder,
    entered,
    form_token,
    fresh_code,
    held,
    held_code,
    keep,
    sent_by_form,
)
from api.web.lodging import MOST_PICTURES, NotLodged, filled, hashed_pictures
from api.web.own import export_of, own_record, own_records
from api.web.pages import is_page, shown
from api.web.register import read_sheet
from api.web.sending import Form
from api.web.words import HAPPENED, SAID, uses_by_preference
from registry.errors import (
    CaveatError,
    InputError,
    PayloadTooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from registry.preference import State
from registry.registrar import Caller, Repeatable

__all__ = ["add", "export_file", "manage_page", "open_manage", "open_records", "records_page", "take_back"]

_NO_CODE = "no recovery code was given"
_NO_CODE_HINT = "Enter it on the page /records."
_WORDS = {"add": "Works were added", "withdraw": "Withdrawn", "erase": "Erased"}


def records_page() -> Response:
    """Show the own records to whom the browser keeps the code of, else ask for it."""
    caller = held()
    if caller is None:
        return _ask("/records", status=200 if is_page() else 401)
    return _listed(caller, held_code() or "")


def open_records() -> Response:
    """Take the code that was typed, and show the own records."""
    return _opened("/records", lambda caller, code: _listed(caller, code))


def manage_page(id_: str) -> Response:
    """Show what can be done with an own record, else ask for the code. Raises :class:`NotFoundError`."""
    caller = held()
    if caller is None:
        return _ask(f"/record/{id_}/manage", status=200 if is_page() else 401)
    return _managed(caller, held_code() or "", id_)


def open_manage(id_: str) -> Response:
    """Take the code that was typed, and show the own record. Raises :class:`NotFoundError`."""
    return _opened(f"/record/{id_}/manage", lambda caller, code: _managed(caller, code, id_))


def export_file(id_: str) -> Response:
    """Give all that is held of an own record. Raises :class:`UnauthenticatedError`, NotFoundError."""
    caller = _holding()
    response = jsonify(export_of(caller, id_))
    response.headers["Content-Disposition"] = f'attachment; filename="caveat-{id_}.json"'
    response.headers["Cache-Control"] = "no-store"
    return response


def add(id_: str) -> Response:
    """Add the works of a form to an own record, and say what was not added."""
    try:
        form = read_sheet()
    except (InputError, PayloadTooLargeError) as error:
        return _again(id_, {"pictures": error})
    holder = sent_by_form(form.fields.get(FIELD, ""))
    sheet = filled(form, words=False)
    works, failed = ([], []) if sheet.faults else hashed_pictures(form, sheet.faults)
    sheet = sheet.with_works(works)
    if not sheet.faults and not sheet.draft.works and not _by_script(form):
        sheet.faults["works"] = InputError("no works were given", hint="Give addresses, a list, or pictures.")
    if sheet.faults:
        return _again(id_, sheet.faults, failed)
    caller = _holding()
    if sheet.draft.works:
        repeat = _repeat(holder, f"add {id_} {sheet.digest()}")
        state().registrar.add_works(caller, id_, sheet.draft.works, repeat)
    return _managed(caller, holder.code, id_, done=_WORDS["add"], failed=failed)


def take_back(id_: str, what: str) -> Response:
    """Withdraw or erase an own record. Raises :class:`NotFoundError` and the errors of a write."""
    holder = sent_by_form(request.form.get(FIELD, ""))
    caller = _holding()
    if "sure" not in request.form:
        return _again(id_, {what: InputError("the box was not ticked", hint="Nothing was changed.")})
    repeat = _repeat(holder, f"{what} {id_}")
    if what == "withdraw":
        state().registrar.withdraw(caller, id_, repeat)
        return _managed(caller, holder.code, id_, done=_WORDS[what])
    state().registrar.erase(caller, id_, keep=False, repeat=repeat)
    return _listed(caller, holder.code, done=_WORDS[what])


def _by_script(form: Form) -> bool:
    """Say whether the works came before the form, one batch after the other."""
    return "record" in form.fields


def _repeat(holder: Holder, what: str) -> Repeatable:
    digest = hashlib.sha256(f"{holder.nonce}\n{what}".encode())
    return Repeatable(digest.hexdigest(), digest.digest())


def _holding() -> Caller:
    caller = held()
    if caller is None:
        raise UnauthenticatedError(_NO_CODE, hint=_NO_CODE_HINT)
    return caller


def _opened(path: str, show: Any) -> Response:
    sent_by_form(request.form.get(FIELD, ""))
    try:
        code = entered(request.form.get("code", ""))
    except (UnauthenticatedError, TooManyRequestsError) as error:
        if not is_page():
            raise
        return _ask(path, error, 429 if isinstance(error, TooManyRequestsError) else 401)
    caller = caller_of(code)
    return keep(show(caller, code), code)


def caller_of(code: str) -> Caller:
    """Return who lodges under a live code. Raises :class:`UnauthenticatedError`."""
    found = caller_by_code(state().store, code)
    if found is None:
        raise UnauthenticatedError(_NO_CODE, hint=_NO_CODE_HINT)
    return found


def _ask(path: str, error: CaveatError | None = None, status: int = 200) -> Response:
    if not is_page():
        raise error or UnauthenticatedError(_NO_CODE, hint=_NO_CODE_HINT)
    code = fresh_code()
    return keep(shown("code.html", {}, status, path=path, error=error, token=form_token(code)), code)


def _listed(caller: Caller, code: str, done: str = "") -> Response:
    wire = {"records": own_records(caller)}
    return shown("records.html", wire, done=done, token=form_token(code), withdrawn=State.WITHDRAWN)


def _again(id_: str, faults: dict[str, CaveatError], failed: list[NotLodged] | None = None) -> Response:
    """Show the page again with what was wrong; raise it for machines."""
    first = next(iter(faults.values()))
    if not is_page():
        raise first
    status = 413 if isinstance(first, PayloadTooLargeError) else 422
    return _managed(_holding(), held_code() or fresh_code(), id_, status, faults=faults, failed=failed or [])


def _managed(caller: Caller, code: str, id_: str, status: int = 200, **more: Any) -> Response:
    wire = own_record(caller, id_)
    more = {"faults": {}, "failed": [], "done": "", **more} | {
        "said": uses_by_preference(wire["preferences"]),
        "withdrawn": wire["state"] == State.WITHDRAWN,
        "token": form_token(code),
        "most": MOST_PICTURES,
        "largest": state().settings.max_picture_bytes // 2**20,
        "SAID": SAID,
        "HAPPENED": HAPPENED,
    }
    return shown("manage.html", wire, status, hashes=True, **more)
