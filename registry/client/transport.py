"""One request to a registry over HTTP, and its answer; which routes there are is for others to know.

A registry that cannot be reached is :class:`RegistryUnreachableError` after the retries (429, 502, 503, 504
and connection errors, honouring Retry-After), a request that it does not take
:class:`RegistryRefusedError`, and a body that is too large or no JSON object :class:`RegistryAnswerError`.
No redirect is followed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

import registry
from registry.client.ticket_book import TicketBook
from registry.errors import (
    InputError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
)
from registry.jsontext import strict_json
from registry.tickets import RUN_HEADER, TICKET_HEADER

__all__ = ["MAX_ANSWER_BYTES", "Request", "Transport", "wrong_answer"]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Largest answer that is read, in bytes."""

_LONGEST_WAIT = 120
"""Longest Retry-After that is waited out, in seconds."""
_TICKETED = ("/api/v1/lookup", "/api/v1/marks", "/api/v1/range/")
"""Where the answers are that a registry gives tickets with."""
_RETRIED = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``body`` is bytes as they are, or what goes as JSON.

    An answer of more than ``largest`` bytes is refused. ``too_old`` says what a registry that answers 404
    does not do, ``say which keys it knows``; it is empty where every registry has the path.
    """

    method: str
    path: str
    body: Mapping[str, Any] | bytes | None = None
    headers: Mapping[str, str] | None = None
    largest: int = MAX_ANSWER_BYTES
    too_old: str = ""


class Transport:
    """The connections to one registry at ``url``; the settings are those of the client."""

    def __init__(self, url: str, key: str | None, timeout: float, retries: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(
                f"not the address of a registry: {url!r}", hint="Give it as https://registry.example."
            )
        self.url = url.rstrip("/")
        self.settings = (key, timeout, retries)
        self._timeout = (min(timeout, 10.0), timeout)
        self._session = _session(key, retries)
        self.book: TicketBook | None = None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, request: Request) -> dict[str, Any]:
        """Send ``request`` and return the JSON object it is answered with."""
        try:
            answer = strict_json(self.exchange(request)[0])
        except InputError as error:
            raise self.wrong(error.message) from error
        if not isinstance(answer, dict):
            raise self.wrong("JSON of another form")
        return answer

    def exchange(self, request: Request) -> tuple[bytes, Mapping[str, str]]:
        """Send ``request`` and return the body and the headers of the answer.

        While ``book`` is there, its number goes with each look-up, and it keeps the ticket.
        """
        book = self.book
        if book is None or not request.path.startswith(_TICKETED):
            return self._exchange(request)[:2]
        number = book.take()
        headers = {**(request.headers or {}), RUN_HEADER: book.header(number)}
        try:
            data, answered, sent = self._exchange(replace(request, headers=headers))
        except BaseException:
            book.give_back(number)
            raise
        asked = f"{request.method} {request.path}\n".encode() + sent
        book.keep(number, answered.get(TICKET_HEADER), asked, data)
        return data, answered

    def _exchange(self, request: Request) -> tuple[bytes, Mapping[str, str], bytes]:
        """Return the body and the headers of the answer, and the body that was sent."""
        body, is_bytes = request.body, isinstance(request.body, bytes)
        try:
            with self._session.request(
                request.method,
                self.url + request.path,
                json=None if is_bytes else body,
                data=body if is_bytes else None,
                headers=request.headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                data = _read(response, request.largest)
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        if data is None:
            raise self.wrong(f"more than {request.largest:,} bytes")
        self._require_success(response, data, request)
        sent = response.request.body or b""
        return data, response.headers, sent.encode() if isinstance(sent, str) else sent

    @contextmanager
    def reading(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Open the file at ``path``; the caller reads its body, as it is stored, or the part of it."""
        request = Request("GET", path, headers={**(headers or {}), "Accept-Encoding": "identity"})
        try:
            with self._session.get(
                self.url + path,
                headers=request.headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code not in (200, 206):
                    self._require_success(response, _read(response, MAX_ANSWER_BYTES) or b"", request)
                yield response
        except requests.RequestException as error:
            raise self._unreachable(error) from error

    def wrong(self, what: str) -> RegistryAnswerError:
        """Return the error for an answer from which nothing can follow; ``what`` it was."""
        return wrong_answer(self.url, what)

    def _unreachable(self, error: requests.RequestException) -> RegistryUnreachableError:
        return RegistryUnreachableError(
            f"the registry at {self.url} cannot be reached: {_cause(error)}",
            hint="Check the address and the connection, then run the same command again.",
        )

    def _require_success(self, response: requests.Response, data: bytes, request: Request) -> None:
        status, told = response.status_code, _told(data, "detail") or response.reason
        if status >= 500 or status == 429:
            raise RegistryUnreachableError(
                f"the registry at {self.url} answered {status}: {told}",
                hint="It cannot answer now. Run the same command again later.",
            )
        if status == 404 and request.too_old:
            path = urlsplit(request.path).path
            raise RegistryRefusedError(
                f"the registry at {self.url} is too old: it does not {request.too_old} (404, {path})",
                hint="Ask its operator to update it, or take another registry or a snapshot.",
            )
        if status not in (200, 201, 202):
            default = "Check the address of the registry." if status == 404 else ""
            raise RegistryRefusedError(
                f"the registry at {self.url} refused ({status}): {told}",
                hint=_told(data, "hint") or default,
            )


def wrong_answer(url: str, what: str) -> RegistryAnswerError:
    """Return the error for an answer of the registry at ``url`` from which nothing can follow."""
    return RegistryAnswerError(
        f"the registry at {url} answered {what}; nothing can follow from that",
        hint="Check that the address is a Caveat registry of a matching version.",
    )


def _session(key: str | None, retries: int) -> requests.Session:
    session = requests.Session()
    session.headers["User-Agent"] = f"caveat/{registry.__version__}"
    if key:
        session.headers["Authorization"] = f"API {key}"
    retry = Retry(
        total=retries,
        backoff_factor=0.5,
        backoff_max=30,
        retry_after_max=_LONGEST_WAIT,
        status_forcelist=_RETRIED,
        allowed_methods=None,
        raise_on_status=False,
        redirect=0,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _cause(error: requests.RequestException) -> str:
    root: BaseException = error
    while root.__cause__ is not None or root.__context__ is not None:
        root = root.__cause__ or root.__context__ or root
    return str(root) or type(root).__name__


def _read(response: requests.Response, largest: int) -> bytes | None:
    """Return the body, or None when it is larger than it may be."""
    data = bytearray()
    for chunk in response.iter_content(1 << 16):
        data += chunk
        if len(data) > largest:
            return None
    return bytes(data)


def _told(data: bytes, member: str) -> str:
    """Return a member of a problem document, empty when there is none."""
    try:
        problem = strict_json(data)
    except InputError:
        return ""
    value = problem.get(member) if isinstance(problem, dict) else None
    return value if isinstance(value, str) else ""
