"""The one place where errors become HTTP.

Errors are RFC 9457 problem documents; the compatible routes under ``/api/v2/`` answer ``{"detail": …}``, as
their clients expect. What is not in the table is a fault of ours: 500, logged with its traceback, and
nothing of it in the answer.
"""

import logging

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from api.web.pages import error_page, is_page
from registry import errors

__all__ = ["STATUSES", "problem", "register_handlers"]

_LOG = logging.getLogger(__name__)

STATUSES: dict[type[errors.CaveatError], tuple[int, str]] = {
    errors.UnauthenticatedError: (401, "unauthenticated"),
    errors.ForbiddenError: (403, "forbidden"),
    errors.NotFoundError: (404, "not-found"),
    errors.ConflictError: (409, "conflict"),
    errors.PayloadTooLargeError: (413, "too-large"),
    errors.UnsupportedMediaTypeError: (415, "media-type"),
    errors.InputError: (422, "invalid"),
    errors.TooManyRequestsError: (429, "too-many"),
    errors.StorageFullError: (507, "storage-full"),
    errors.StaleIndexError: (503, "stale-index"),
    errors.LogError: (503, "log"),
    errors.SegmentError: (503, "damaged-index"),
    errors.StorageError: (503, "storage"),
}
"""Error → HTTP status and the last part of the problem's type."""

_RETRY_SECONDS = "2"
_LONGEST = 500
"""Characters of a detail: what was sent is quoted, and may be long."""
_HTTP_TITLES = {
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    400: "bad-request",
    503: "busy",
}


def register_handlers(app: Flask) -> None:
    """Answer every error of ``app`` by the table."""
    app.register_error_handler(errors.CaveatError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)


def problem(status: int, kind: str, detail: str, hint: str = "") -> Response:
    """Build the answer for an error on the route of this request."""
    detail = detail if len(detail) <= _LONGEST else detail[:_LONGEST] + "…"
    if is_page():
        response = error_page(status, kind.replace("-", " "), detail, hint)
    elif request.path.startswith("/api/v2/"):
        response = jsonify(detail=detail)
    else:
        body = {
            "type": f"urn:caveat:problem:{kind}",
            "title": kind.replace("-", " "),
            "status": status,
            "detail": detail,
        }
        response = jsonify(body | ({"hint": hint} if hint else {}))
        response.content_type = "application/problem+json"
    response.status_code = status
    if status in (429, 503):
        response.headers["Retry-After"] = _RETRY_SECONDS
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _known(error: errors.CaveatError) -> Response:
    for kind in type(error).__mro__:
        if kind in STATUSES:
            status, name = STATUSES[kind]
            if status >= 500:
                _LOG.warning("%s %s: %s", request.method, request.path, error, exc_info=error.__cause__)
            return problem(status, name, error.message, error.hint)
    return _unknown(error)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    response = problem(status, _HTTP_TITLES.get(status, "http"), error.description or "")
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _unknown(error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal", "an error of the service; it was logged")
