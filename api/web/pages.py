"""What all pages share: HTML for people and JSON for machines from one view, and the headers of both.

A page is HTML unless its address ends in ``.json`` or JSON is what ``Accept`` prefers. Errors of pages, and
of any other address outside of ``/api/`` that a browser opens, are pages as well.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, render_template, request, url_for

import registry
from api.web.assets import asset_name, modules_name
from api.web.words import USES

__all__ = [
    "BLUEPRINT",
    "FOR_A_YEAR",
    "POLICY",
    "POLICY_THAT_HASHES",
    "POLICY_WITH_SCRIPTS",
    "address",
    "error_page",
    "is_page",
    "prepare",
    "shown",
]

BLUEPRINT = "web"
FOR_A_YEAR = "public, max-age=31536000, immutable"
_HTML, _JSON = "text/html", "application/json"
_HTML_TEXT = f"{_HTML}; charset=utf-8"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
"""What a page may load: its own style and pictures, nothing else, and no script at all."""
POLICY_WITH_SCRIPTS = f"{POLICY}; script-src 'self'"
"""What a page may load that is easier to use with a script of ours, and works without."""
POLICY_THAT_HASHES = f"{POLICY}; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'"
"""What a page may load whose script hashes pictures, in workers, with decoders of ours where it must."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def prepare(app: Flask) -> None:
    """Give the templates of ``app`` what they use, and its pages their headers."""
    app.jinja_env.globals |= {
        "asset": _asset,
        "module": _module,
        "version": registry.__version__,
        "USES": USES,
    }
    app.jinja_env.filters |= {"number": _number, "day": _day, "moment": _moment}
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.after_request
    def _guarded(response: Response) -> Response:
        if request.blueprint == BLUEPRINT or response.mimetype == _HTML:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response


def shown(
    template: str,
    wire: Mapping[str, Any],
    status: int = 200,
    *,
    scripts: bool = False,
    hashes: bool = False,
    **more: Any,
) -> Response:
    """Answer with the page ``template`` made of ``wire`` and ``more``, or with ``wire`` as JSON.

    ``scripts`` says that the page may load scripts of ours, ``hashes`` that one of them hashes pictures.
    """
    if is_page():
        response = Response(render_template(template, **wire, **more), status, content_type=_HTML_TEXT)
        if scripts or hashes:
            policy = POLICY_THAT_HASHES if hashes else POLICY_WITH_SCRIPTS
            response.headers["Content-Security-Policy"] = policy
    else:
        response = jsonify(wire)
        response.status_code = status
    # What is said of a work changes, and what somebody asked is nobody else's.
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    return response


def is_page() -> bool:
    """Say whether the answer to this request is for people."""
    accepted = request.accept_mimetypes
    if request.path.endswith(".json") or request.path.startswith("/api/"):
        return False
    if request.blueprint == BLUEPRINT:
        return accepted.best_match([_HTML, _JSON], _HTML) == _HTML
    # A program that takes anything has no use for a page; a browser asks for one by name.
    return accepted.best_match([_JSON, _HTML], _JSON) == _HTML


def address() -> str:
    """Return the address of this registry as whoever asks knows it, without a slash at its end.

    It is only ever shown to them again, so what a proxy or they themselves say of it may be believed.
    """
    secure = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    return f"{'https' if secure else request.scheme}://{request.host}"


def error_page(status: int, title: str, detail: str, hint: str) -> Response:
    """Return the page of an error."""
    text = render_template("error.html", status=status, title=title, detail=detail, hint=hint)
    return Response(text, status, content_type=_HTML_TEXT, headers={"Vary": "Accept"})


def _asset(file: str) -> str:
    return url_for(f"{BLUEPRINT}.static_file", name=asset_name(file))


def _module(file: str) -> str:
    return url_for(f"{BLUEPRINT}.module_file", folder=modules_name(), name=file)


def _number(value: int) -> str:
    return f"{value:,}"


def _day(seconds: int) -> str:
    """Return a day as people write it, by seconds since 1970: 3 November 2026."""
    then = datetime.fromtimestamp(seconds, UTC)
    return f"{then.day} {then:%B %Y}"


def _moment(text: str) -> str:
    """Return a moment as people write it, by RFC 3339: 3 November 2026, 11:06 UTC."""
    then = datetime.fromisoformat(text)
    return f"{then.day} {then:%B %Y}, {then:%H:%M} UTC"
