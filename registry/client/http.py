"""Asking and telling a registry over HTTP.

Every answer is matched by id, never by place, and checked before anything follows from it: one that is
short, doubled, of unknown words, or that contradicts itself is :class:`RegistryAnswerError`. A registry that
cannot be reached is :class:`RegistryUnreachableError` after the retries (429, 502, 503, 504 and connection
errors, honouring Retry-After). Nothing is ever taken for "nobody has said anything".
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import numpy as np
import requests
from numpy.typing import NDArray
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

import registry
from registry.decision import decide
from registry.errors import (
    InputError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
)
from registry.fingerprint import VERSION, Fingerprint
from registry.jsontext import strict_json
from registry.keys import distinct
from registry.preference import Preference, Status, Use
from registry.statement import Statement

__all__ = ["BATCH", "MARKS", "MAX_ANSWER_BYTES", "Asked", "Known", "Marks", "RegistryClient"]

BATCH = 1000
"""Items in one request."""

MARKS = 200_000
"""Keys in one request for marks."""

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Largest answer that is read, in bytes."""

_LONGEST_WAIT = 120
"""Longest Retry-After that is waited out, in seconds."""
_RETRIED = (429, 502, 503, 504)
_SEQ = re.compile(r"[0-9]{1,16}", re.ASCII)
_MARKS = "/api/v1/marks"
_KEYS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One item to look up, by any of its keys."""

    url: str | None = None
    fingerprint: Fingerprint | None = None

    def to_wire(self, id_: str) -> dict[str, Any]:
        """Return the JSON form of the item."""
        wire: dict[str, Any] = {"id": id_}
        if self.url is not None:
            wire["url"] = self.url
        if self.fingerprint is not None:
            if self.fingerprint.sha256 is not None:
                wire["sha256"] = self.fingerprint.sha256.hex()
            wire["fingerprint"] = self.fingerprint.to_wire()
        return wire


@dataclass(frozen=True, slots=True)
class Known:
    """What one registry answered about one item, as of one event."""

    status: Status
    reason: str
    statements: tuple[Statement, ...]
    as_of_seq: int


class Marks(NamedTuple):
    """Which keys have anything standing under them, ``marked: bool[n]``, as of one event.

    True means that the key is to be looked up, False that nothing was said under it by then.
    """

    as_of_seq: int
    marked: NDArray[np.bool_]


class RegistryClient:
    """One registry at ``url``; ``key`` is an API key, needed to write and to see details.

    ``timeout`` is in seconds, for the connection and for each read; ``retries`` counts further tries.
    ``max_items`` and ``max_marks`` are how many items and keys one request may hold, known after
    :meth:`check_parameters`.

    One that is pickled, for another process, takes all of this along, the API key too, and connects anew.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 60.0, retries: int = 4) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(
                f"not the address of a registry: {url!r}", hint="Give it as https://registry.example."
            )
        self.url = url.rstrip("/")
        self.max_items, self.max_marks = BATCH, MARKS
        self._key, self._retries = key, retries
        self._timeout = (min(timeout, 10.0), timeout)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"caveat/{registry.__version__}"
        if key:
            self._session.headers["Authorization"] = f"API {key}"
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
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def __reduce__(self) -> tuple[Any, ...]:
        limits = (self.max_items, self.max_marks)
        return _connected_anew, (self.url, self._key, self._timeout[1], self._retries, limits)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> "RegistryClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lookup(self, items: Sequence[Asked], use: Use, *, review: bool = True) -> list[Known]:
        """Look up ``items`` in batches; one answer an item, in their order.

        Without ``review`` possible copies, which ask for a second look, are not searched for.

        Raises :class:`RegistryUnreachableError`, :class:`RegistryRefusedError`, :class:`RegistryAnswerError`.
        """
        known: list[Known] = []
        for start in range(0, len(items), min(BATCH, self.max_items)):
            batch = items[start : start + min(BATCH, self.max_items)]
            wires = [item.to_wire(str(number)) for number, item in enumerate(batch)]
            body = {"use": str(use), "items": wires} | ({} if review else {"review": False})
            answer = self._call("POST", "/api/v1/lookup", body)
            known.extend(self._matched(answer, len(batch), use))
        return known

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Ask which of ``keys: uint64[n, 2]`` anything stands under; equal ones are sent once.

        ``of`` is ``rule``, for keys as :func:`registry.urlkeys.url_keys` makes them, or ``sha256``, for its
        first 16 bytes. Raises as :meth:`lookup`; a registry that is too old for it is refused by name.
        """
        asked, place = distinct(keys)
        parts = [
            self._marks(asked[start : start + self.max_marks], of)
            for start in range(0, len(asked) or 1, self.max_marks)
        ]
        marked = np.concatenate([part.marked for part in parts])
        return Marks(min(part.as_of_seq for part in parts), marked[place])

    def check_parameters(self) -> Mapping[str, Any]:
        """Ask what the registry takes; :class:`RegistryAnswerError` when our fingerprints are not live."""
        parameters = self._call("GET", "/api/v1/parameters")
        live = parameters.get("fingerprint_versions")
        if not isinstance(live, list) or VERSION not in live:
            raise RegistryAnswerError(
                f"{self.url} takes fingerprint versions {live!r}; this client makes version {VERSION}",
                hint="Update the client: pip install --upgrade caveat-registry.",
            )
        limits = {"max_items": BATCH, "max_marks": MARKS}
        for name, usual in limits.items():
            limits[name] = parameters.get(name, usual)
            if type(limits[name]) is not int or limits[name] < 1:
                raise self._wrong(f"{name} {limits[name]!r}")
        self.max_items, self.max_marks = limits.values()
        return parameters

    def register(self, reservation: Mapping[str, Any]) -> dict[str, Any]:
        """Lodge a reservation (the JSON of ``POST /api/v1/reservations``); return the acknowledgement."""
        return self._write("POST", "/api/v1/reservations", reservation)

    def add_works(self, id_: str, works: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Add works to an own reservation; return the acknowledgement."""
        return self._write("POST", f"{_place(id_)}/works", {"works": list(works)})

    def withdraw(self, id_: str) -> dict[str, Any]:
        """Withdraw an own reservation; return the acknowledgement."""
        return self._write("DELETE", _place(id_), None)

    def erase(self, id_: str, *, keep: bool = False) -> dict[str, Any]:
        """Destroy an own reservation and its past; return the acknowledgement.

        With ``keep`` works and rules are lodged anew under the same identifier, without names.
        """
        return self._write("POST", f"{_place(id_)}/erase", {"keep": keep})

    def show(self, id_: str) -> dict[str, Any]:
        """Return an own reservation as it stands."""
        shown = self._call("GET", _place(id_))
        kinds = {"id": str, "label": str, "works": int, "rules": list, "history": list}
        if not all(isinstance(shown.get(name), kind) for name, kind in kinds.items()):
            raise self._wrong("a reservation that cannot be read")
        return shown

    def works(self, id_: str) -> Iterator[dict[str, Any]]:
        """Yield the works of an own reservation, asked for a page at a time, with what is known of each."""
        path, after = f"{_place(id_)}/works", ""
        while True:
            page = self._call("GET", path + (after and f"?after={quote(after)}"))
            works, following = page.get("works"), page.get("next")
            if not isinstance(works, list) or not isinstance(following, str | None):
                raise self._wrong("works that are no page of them")
            yield from works
            if following is None:
                return
            if not works or following == after:
                raise self._wrong("a page of works that leads nowhere")
            after = following

    def tell_import(
        self, method: str, path: str = "", body: Mapping[str, Any] | bytes | None = None, kind: str = ""
    ) -> dict[str, Any]:
        """Send one request to ``/api/v1/imports`` and return the answer; ``kind`` is of a body of bytes."""
        return self._call(method, f"/api/v1/imports{path}", body, {"Content-Type": kind} if kind else None)

    def evidence(self, id_: str) -> dict[str, Any]:
        """Return what the log proves about a reservation, as :mod:`registry.evidence` has it."""
        return self._call("GET", f"{_place(id_)}/evidence")

    def log_keys(self) -> dict[str, Any]:
        """Return the log's public keys, and the evidence of their announcement."""
        return self._call("GET", "/api/v1/log/keys")

    def fetch(self, path: str, largest: int) -> bytes:
        """Return what is published at ``path``, at most ``largest`` bytes: a checkpoint, a tile."""
        return self._answer("GET", path, largest=largest)

    @contextmanager
    def reading(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Open the file at ``path``; the caller reads its body, as it is stored, or the part of it.

        Raises :class:`RegistryUnreachableError`, also when the connection is lost while the block reads, and
        :class:`RegistryRefusedError`.
        """
        headers = {**(headers or {}), "Accept-Encoding": "identity"}
        try:
            with self._session.get(
                self.url + path, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
            ) as response:
                if response.status_code not in (200, 206):
                    self._require_success(response, _read(response, MAX_ANSWER_BYTES) or b"")
                yield response
        except requests.RequestException as error:
            raise RegistryUnreachableError(
                f"the registry at {self.url} cannot be reached: {_cause(error)}",
                hint="Check the address and the connection, then run the same command again.",
            ) from error

    def _write(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        # A key of its own a call: a retry after a lost answer is not a second reservation.
        answer = self._call(method, path, body, {"Idempotency-Key": uuid.uuid4().hex})
        if not isinstance(answer.get("id"), str) or not isinstance(answer.get("seq"), int):
            raise self._wrong("an acknowledgement without id and seq")
        return answer

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = strict_json(self._answer(method, path, body, headers))
        except InputError as error:
            raise self._wrong(error.message) from error
        if not isinstance(answer, dict):
            raise self._wrong("JSON of another form")
        return answer

    def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        largest: int = MAX_ANSWER_BYTES,
    ) -> bytes:
        return self._exchanged(method, path, body, headers, largest=largest)[0]

    def _exchanged(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None,
        headers: Mapping[str, str] | None,
        *,
        largest: int,
    ) -> tuple[bytes, Mapping[str, str]]:
        try:
            with self._session.request(
                method,
                self.url + path,
                json=None if isinstance(body, bytes) else body,
                data=body if isinstance(body, bytes) else None,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                data = _read(response, largest)
        except requests.RequestException as error:
            raise RegistryUnreachableError(
                f"the registry at {self.url} cannot be reached: {_cause(error)}",
                hint="Check the address and the connection, then run the same command again.",
            ) from error
        if data is None:
            raise self._wrong(f"more than {largest:,} bytes")
        self._require_success(response, data)
        return data, response.headers

    def _require_success(self, response: requests.Response, data: bytes) -> None:
        status, told = response.status_code, _told(data, "detail") or response.reason
        if status >= 500 or status == 429:
            raise RegistryUnreachableError(
                f"the registry at {self.url} answered {status}: {told}",
                hint="It cannot answer now. Run the same command again later.",
            )
        if status == 404 and urlsplit(response.url).path.endswith(_MARKS):
            raise RegistryRefusedError(
                f"the registry at {self.url} is too old: it does not say which keys it knows (404, {_MARKS})",
                hint="Ask its operator to update it, or take another registry or a snapshot.",
            )
        if status not in (200, 201, 202):
            default = "Check the address of the registry." if status == 404 else ""
            raise RegistryRefusedError(
                f"the registry at {self.url} refused ({status}): {told}",
                hint=_told(data, "hint") or default,
            )

    def _marks(self, keys: NDArray[np.uint64], of: str) -> Marks:
        sent = keys.astype(">u8").tobytes()
        length = -(-len(keys) // 8)
        data, headers = self._exchanged("POST", f"{_MARKS}?of={of}", sent, _KEYS, largest=MAX_ANSWER_BYTES)
        seq = headers.get("Caveat-As-Of-Seq", "")
        if not _SEQ.fullmatch(seq):
            raise self._wrong(f"marks as of event {seq[:40]!r}")
        if headers.get("Content-Type") != _KEYS["Content-Type"] or len(data) != length:
            raise self._wrong(f"{len(data)} bytes of {headers.get('Content-Type')}, not {length} of marks")
        bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.bool_)
        if bits[len(keys) :].any():
            raise self._wrong("marks of more keys than were asked for")
        return Marks(int(seq), bits[: len(keys)])

    def _matched(self, answer: Mapping[str, Any], count: int, use: Use) -> Iterator[Known]:
        """Yield the answers by id, in order, after checking that each is there once."""
        results, seq = answer.get("results"), answer.get("as_of_seq")
        if not isinstance(results, list) or type(seq) is not int or seq < 0:
            raise self._wrong("a look-up without results or as_of_seq")
        by_id: dict[str, Mapping[str, Any]] = {}
        for result in results:
            id_ = result.get("id") if isinstance(result, dict) else None
            if not isinstance(id_, str) or id_ in by_id:
                raise self._wrong(f"an item without an id of its own: {id_!r}")
            by_id[id_] = result
        if by_id.keys() != {str(number) for number in range(count)}:
            raise self._wrong(f"{len(by_id)} answers to {count} items, or to others than were asked")
        for number in range(count):
            yield self._known(by_id[str(number)], seq, use)

    def _known(self, result: Mapping[str, Any], seq: int, use: Use) -> Known:
        try:
            status = Status(result["status"])
            preference = None if result["preference"] is None else Preference(result["preference"])
            statements = tuple(Statement.from_wire(wire, registry=self.url) for wire in result["statements"])
            reason = result["reason"]
            if not isinstance(reason, str):
                raise TypeError("the reason is no text")
        except RegistryAnswerError as error:
            raise self._wrong(error.message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(f"an item that cannot be read ({error!r})") from error
        if (status is Status.OK) != (preference is not None):
            raise self._wrong(f"status {status} with preference {preference}")
        if preference is not None and decide(statements, use).preference is not preference:
            raise self._wrong(f"preference {preference}, which its statements do not bear out")
        return Known(status, reason, statements, seq)

    def _wrong(self, what: str) -> RegistryAnswerError:
        return RegistryAnswerError(
            f"the registry at {self.url} answered {what}; nothing can follow from that",
            hint="Check that the address is a Caveat registry of a matching version.",
        )


def _connected_anew(
    url: str, key: str | None, timeout: float, retries: int, limits: tuple[int, int]
) -> RegistryClient:
    client = RegistryClient(url, key, timeout=timeout, retries=retries)
    client.max_items, client.max_marks = limits
    return client


def _cause(error: requests.RequestException) -> str:
    root: BaseException = error
    while root.__cause__ is not None or root.__context__ is not None:
        root = root.__cause__ or root.__context__ or root
    return str(root) or type(root).__name__


def _place(id_: str) -> str:
    """Return where a reservation stands; whatever was given stays one part of the path."""
    return f"/api/v1/reservations/{quote(id_, safe='')}"


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
