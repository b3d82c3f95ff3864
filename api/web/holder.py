"""Who holds a recovery code: the cookie in which a browser keeps it, and the token in the forms.

The code is made when the form is shown and comes to life with the first works, so a form that is sent twice
is of one and the same holder. The cookie is read by no script, is sent to this site alone and by its own
pages alone (``SameSite=Strict``), and goes when the browser is closed. Each form holds a token that is signed
with the code: who does not know the cookie cannot make a form for it.
"""

import secrets
from dataclasses import dataclass
from typing import cast

from flask import Flask, Response, current_app, request
from itsdangerous import BadSignature, Signer

from api.codes import begin_code, caller_by_code, new_code, read_code
from api.rates import Rate, who_asks
from api.settings import Settings
from api.state import state
from api.web.pages import address
from registry.errors import ForbiddenError, UnauthenticatedError
from registry.registrar import Caller

__all__ = [
    "COOKIE",
    "FIELD",
    "HEADER",
    "Holder",
    "attach_rates",
    "begun",
    "entered",
    "forget",
    "form_token",
    "fresh_code",
    "held",
    "held_code",
    "is_open",
    "keep",
    "sent_by_form",
]

COOKIE = "caveat_code"
FIELD, HEADER = "form", "Caveat-Form"
"""Where the token of a form is sent: as a field, or by a script as a header."""
_NAME = "caveat-rates"
_SALT = "caveat form"
_HOUR, _WRONG_SECONDS, _WRONG = 3600, 600, 30
_UNKNOWN = "this recovery code is not known here"
_UNKNOWN_HINT = (
    "Check each letter. A code belongs to one registry, and lives once something was lodged under it."
)
_STRANGE_FORM = "the form was not sent from its page, or your browser keeps no cookies for this site"
_STRANGE_HINT = (
    "Nothing was done. Let this site set its one cookie, open the page again, and send it from there."
)


@dataclass(frozen=True, slots=True)
class _Rates:
    begun: Rate
    wrong: Rate


@dataclass(frozen=True, slots=True)
class Holder:
    """A code with whose it is, and the number of the form by which it came."""

    code: str
    nonce: str


def attach_rates(app: Flask, settings: Settings) -> None:
    """Hang on ``app`` what counts new and wrong codes."""
    now = app.extensions["caveat"].now
    begun = Rate(settings.codes_per_hour, _HOUR, "new recovery codes", now)
    app.extensions[_NAME] = _Rates(begun, Rate(_WRONG, _WRONG_SECONDS, "wrong recovery codes", now))


def _rates() -> _Rates:
    return cast(_Rates, current_app.extensions[_NAME])


def held_code() -> str | None:
    """Return the code that this browser keeps, or None."""
    return read_code(request.cookies.get(COOKIE, ""))


def held() -> Caller | None:
    """Return who lodged under the code that this browser keeps, or None."""
    code = held_code()
    return None if code is None else caller_by_code(state().store, code)


def keep(response: Response, code: str) -> Response:
    """Have the browser keep ``code`` until it is closed."""
    secure = address().startswith("https:")
    response.set_cookie(COOKIE, code, httponly=True, samesite="Strict", secure=secure)
    return response


def forget(response: Response) -> Response:
    """Have the browser forget its code."""
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")
    return response


def form_token(code: str) -> str:
    """Return a token for a form that is shown to whoever holds ``code``; each has a number of its own."""
    return Signer(code, salt=_SALT).sign(secrets.token_urlsafe(16)).decode()


def sent_by_form(token: str) -> Holder:
    """Return who sent this form. Raises :class:`ForbiddenError` unless it was made for this browser."""
    code = held_code()
    if code is None or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError(_STRANGE_FORM, hint=_STRANGE_HINT)
    try:
        return Holder(code, Signer(code, salt=_SALT).unsign(token).decode())
    except BadSignature:
        raise ForbiddenError(_STRANGE_FORM, hint=_STRANGE_HINT) from None


def begun(code: str) -> Caller:
    """Return who lodges under ``code``, which begins to live now if it is new.

    Raises :class:`TooManyRequestsError`, and :class:`ForbiddenError` where only keys lodge.
    """
    found = caller_by_code(state().store, code)
    if found is not None:
        return found
    if not is_open():
        raise ForbiddenError(
            "this registry takes works from holders of keys only", hint="Ask its operator for a key."
        )
    _rates().begun.take(who_asks())
    return begin_code(state().store, code, int(state().now()))


def is_open() -> bool:
    """Say whether works are taken here from people without a key."""
    return state().settings.codes_per_hour > 0 and not state().store.mirror_of


def entered(text: str) -> str:
    """Return the code that somebody typed.

    Mistyped and unknown codes are refused alike. Raises :class:`UnauthenticatedError`, and after too many
    :class:`TooManyRequestsError`.
    """
    rate, who = _rates().wrong, who_asks()
    rate.require(who)
    code = read_code(text)
    if caller_by_code(state().store, text) is None or code is None:
        rate.take(who)
        raise UnauthenticatedError(_UNKNOWN, hint=_UNKNOWN_HINT)
    return code


def fresh_code() -> str:
    """Return the code that this browser keeps, or a new one."""
    return held_code() or new_code()
