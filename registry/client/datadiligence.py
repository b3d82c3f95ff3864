"""Rules for the package datadiligence, so that who uses it gets our answers from the same calls.

    import datadiligence
    from registry.client.datadiligence import obey

    obey("https://registry.example", key)

From then on ``is_allowed`` and ``filter_allowed`` ask the registry, and read what headers and files say:
AIPREF, X-Robots-Tag, TDMRep, RSL, IPTC and C2PA. Rules that you registered yourself stay beside them.

1. Allowed is what our decision keeps. What wants a second look is not allowed: nobody is asked here.
2. A registry that cannot be asked raises, and datadiligence lets that through; so does a call that names
   nothing.
3. One item that cannot be read, fetched or decoded is not allowed, and the log says why.
4. An address is asked about once however often it stands in a list, and a work is fetched once.

datadiligence reads the environment and prints as it is imported, so nothing else here imports this module.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import datadiligence
import requests
from datadiligence import rules as theirs

from registry.client.http import Asked, Known, RegistryClient
from registry.client.pictures import hash_files
from registry.client.site import asked_file, with_licences
from registry.decision import decide
from registry.errors import FetchError, InputError, PictureError, RegistryUnreachableError
from registry.fetch import Fetcher, Policy
from registry.fingerprint import Fingerprint, query_fingerprint
from registry.picture import decode_picture
from registry.preference import Action, Mode, Status, Use
from registry.signals import Fault, Observation, Reading, SiteFile, read_signals

__all__ = ["WORKS", "RegistryRule", "WorkRule", "obey"]

WORKS = Policy("works for datadiligence", largest=100_000_000, read_seconds=30.0, total_seconds=120.0)
"""For works that are named by their address alone."""

_LOG = logging.getLogger("caveat.datadiligence")
_REPLACED = (theirs.SpawningAPI, theirs.XRobotsTagHeader, theirs.TDMRepHeader, theirs.C2PAMetadataRule)


def obey(
    registry: str | RegistryClient,
    key: str | None = None,
    *,
    use: Use = Use.GENAI_TRAIN,
    mode: Mode = Mode.EU_ART4,
    fetcher: Fetcher | None = None,
) -> None:
    """Put our rules in the place of datadiligence's own, in its evaluators preprocess, postprocess and file.

    ``registry`` is an address or a client, ``key`` an API key with the scope lookup. ``fetcher`` calls works
    by their address; without one :data:`WORKS` bounds it, and public addresses only are called.
    """
    client = RegistryClient(registry, key) if isinstance(registry, str) else registry
    of_addresses = RegistryRule(client, use, mode)
    of_works = WorkRule(client, use, mode, fetcher or Fetcher(WORKS))
    for name, rule in (("preprocess", of_addresses), ("postprocess", of_works), ("file", of_works)):
        evaluator = datadiligence.get_evaluator(name)
        ours = (*_REPLACED, RegistryRule, WorkRule)
        evaluator.rules = [one for one in evaluator.rules if not isinstance(one, ours)]
        evaluator.add_rule(rule)


class RegistryRule(theirs.BulkRule):  # type: ignore[misc] # datadiligence has no types
    """Asks a registry about addresses, before anything is downloaded."""

    def __init__(self, client: RegistryClient, use: Use = Use.GENAI_TRAIN, mode: Mode = Mode.EU_ART4) -> None:
        super().__init__()
        self._client, self._use, self._mode = client, use, mode

    def is_ready(self) -> bool:
        """Return True: a rule that is not ready would be passed over, and everything allowed."""
        return True

    def is_allowed(self, urls: Sequence[str] | None = None, url: str | None = None, **_: Any) -> list[bool]:
        """Return, for each address in its order, whether it is allowed.

        What is no address is not. Raises :class:`registry.errors.RegistryError` when the registry cannot say.
        """
        asked = _listed(urls, url)
        distinct = list(dict.fromkeys(asked))
        known = self._client.lookup([Asked(url=one) for one in distinct], self._use)
        allowed = {one: self._keeps(one, answer) for one, answer in zip(distinct, known, strict=True)}
        return [allowed[one] for one in asked]

    def filter_allowed(
        self, urls: Sequence[str] | None = None, url: str | None = None, **_: Any
    ) -> list[str]:
        """Return the addresses that are allowed, in their order."""
        asked = _listed(urls, url)
        return [one for one, keeps in zip(asked, self.is_allowed(asked), strict=True) if keeps]

    async def is_allowed_async(self, urls: Sequence[str] | None = None, url: str | None = None) -> list[bool]:
        """Do as :meth:`is_allowed`, in a thread."""
        return await asyncio.to_thread(self.is_allowed, urls, url)

    async def filter_allowed_async(
        self, urls: Sequence[str] | None = None, url: str | None = None
    ) -> list[str]:
        """Do as :meth:`filter_allowed`, in a thread."""
        return await asyncio.to_thread(self.filter_allowed, urls, url)

    def _keeps(self, url: str, known: Known) -> bool:
        if known.status is Status.MALFORMED:
            return _refuse(url, known.reason)
        _require_answer(url, known)
        return decide(known.statements, self._use, self._mode).action is Action.KEEP


@dataclass(slots=True)
class _Seen:
    """What is at hand of one work; ``fault`` says why it is not allowed whatever is read."""

    name: str
    urls: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    data: bytes | None = None
    fingerprint: Fingerprint | None = None
    reading: Reading = field(default_factory=Reading)
    fault: str = ""


class WorkRule(theirs.HttpRule):  # type: ignore[misc] # datadiligence has no types
    """Looks at one work: what its headers and bytes say, and what a registry knows of it."""

    def __init__(
        self,
        client: RegistryClient,
        use: Use = Use.GENAI_TRAIN,
        mode: Mode = Mode.EU_ART4,
        fetcher: Fetcher | None = None,
    ) -> None:
        super().__init__()
        self._client, self._use, self._mode = client, use, mode
        self._fetcher = fetcher or Fetcher(WORKS)

    def is_allowed(self, **given: Any) -> bool:
        """Return whether a work is allowed, by its ``path``, ``url``, ``response``, ``headers`` or ``body``.

        Several may be given. A work is fetched only if its address alone is given. Raises
        :class:`InputError` for a call that names nothing, or headers that are none, and
        :class:`registry.errors.RegistryError` when the registry cannot say.
        """
        seen = self._seen(given)
        if seen.fault:
            return _refuse(seen.name, seen.fault)
        observation = Observation(seen.urls[0] if seen.urls else "", seen.data or b"", headers=seen.headers)
        reading = read_signals(with_licences(observation, self._licence))
        faults = [_told(one) for one in (*reading.faults, *seen.reading.faults)]
        known = self._registered(seen)
        faults += [one.reason for one in known if one.status is Status.MALFORMED]
        if faults:
            return _refuse(seen.name, faults[0])
        registered = (statement for one in known for statement in one.statements)
        said = (*reading.statements, *seen.reading.statements, *registered)
        return decide(said, self._use, self._mode).action is Action.KEEP

    def _registered(self, seen: _Seen) -> list[Known]:
        items = [Asked(url=url) for url in seen.urls]
        if seen.fingerprint is not None:
            items.append(Asked(fingerprint=seen.fingerprint))
        known = self._client.lookup(items, self._use) if items else []
        for one in known:
            _require_answer(seen.name, one)
        return known

    def _licence(self, address: str) -> SiteFile:
        try:
            return asked_file(self._fetcher, address)
        except FetchError:
            return SiteFile(address, 0)

    def _seen(self, given: dict[str, Any]) -> _Seen:
        path, url, response, headers, body = (
            given.get(name) for name in ("path", "url", "response", "headers", "body")
        )
        if path is not None:
            return _of_file(Path(path))
        if url is not None and not isinstance(url, str):
            raise InputError(f"an address that is no text: {url!r:.120}")
        if response is None and headers is None and body is None:
            if not url:
                raise InputError("nothing to look at", hint="Give path, url, response, headers or body.")
            return self._fetched(url)
        seen = _of_response(response, url) if response is not None else _Seen(url or "a work", _named(url))
        if headers is not None:
            seen.headers = _fields(headers)
        return _with_body(seen, seen.data if body is None else body)

    def _fetched(self, url: str) -> _Seen:
        try:
            answer = self._fetcher.get(url)
        except FetchError as error:
            return _Seen(url, fault=error.message)
        seen = _Seen(url, _named(url, answer.url), answer.headers)
        if not 200 <= answer.status < 300:
            seen.fault = f"the answer was {answer.status}"
        elif answer.cut:
            seen.fault = f"larger than {self._fetcher.policy.largest} bytes"
        return seen if seen.fault else _with_body(seen, answer.data)


# -- what is at hand of a work ---------------------------------------------------------------------


def _of_file(path: Path) -> _Seen:
    [hashed] = hash_files([path])
    seen = _Seen(str(path), fingerprint=hashed.fingerprint, reading=hashed.reading)
    # What it says is read whether it decodes or not, but nobody can look for what has no fingerprint.
    seen.fault = hashed.error if hashed.fingerprint is None else ""
    return seen


def _of_response(response: Any, url: str | None) -> _Seen:
    """Return what is in the answer of requests, or of http.client, whose body may be gone already."""
    if isinstance(response, requests.Response):
        lines = getattr(response.raw, "headers", None) or response.headers
        status, final, body = response.status_code, response.url, response.content
    elif isinstance(response, HTTPResponse):
        lines, status, final, body = response.getheaders(), response.status, response.geturl(), None
    else:
        raise InputError(
            f"no answer that is known: {type(response).__name__}",
            hint="Give that of requests or http.client, or headers and body.",
        )
    seen = _Seen(url or final or "a work", _named(url, final), _fields(lines), body)
    if not 200 <= status < 300:
        seen.fault = f"the answer was {status}"
    return seen


def _with_body(seen: _Seen, body: Any) -> _Seen:
    """Add the bytes of a work, with the fingerprint of the picture in them."""
    if body is None:
        return seen
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InputError(f"a body that is no bytes: {type(body).__name__}")
    seen.data = bytes(body)
    try:
        seen.fingerprint = query_fingerprint(decode_picture(seen.data, reduced=True), seen.data)
    except PictureError as error:
        seen.fault = seen.fault or error.message
    return seen


def _fields(headers: Any) -> tuple[tuple[str, str], ...]:
    """Return header fields, a pair for each line where they still are lines."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    try:
        found = tuple((name, value) for name, value in pairs)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"headers that are none: {type(headers).__name__}", hint="Give a mapping, or pairs of texts."
        ) from error
    if not all(isinstance(text, str) for field_ in found for text in field_):
        raise InputError("a header that is no text", hint="Give names and values as texts.")
    return found


def _named(*urls: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for url in urls if url))


def _listed(urls: Iterable[str] | None, url: str | None) -> list[str]:
    if isinstance(urls, str):
        raise InputError("one text where a list of addresses is expected", hint="Give it as url.")
    if urls is None and url is None:
        raise InputError("nothing to ask about", hint="Give urls, or one as url.")
    asked = [url] if urls is None else list(urls)
    texts = [one for one in asked if isinstance(one, str)]
    if len(texts) < len(asked):
        odd = next(one for one in asked if not isinstance(one, str))
        raise InputError(f"an address that is no text: {odd!r:.120}")
    return texts


# -- what cannot be known --------------------------------------------------------------------------


def _require_answer(name: str, known: Known) -> None:
    """Raise :class:`RegistryUnreachableError` where the registry answered, and could not say."""
    if known.status not in (Status.OK, Status.MALFORMED):
        raise RegistryUnreachableError(
            f"the registry could not say about {name}: {known.reason}", hint="Ask again later."
        )


def _refuse(name: str, why: str) -> bool:
    _LOG.warning("not allowed, since it cannot be known: %s: %s", name, why)
    return False


def _told(fault: Fault) -> str:
    return f"{fault.carrier}: {fault.message}"
