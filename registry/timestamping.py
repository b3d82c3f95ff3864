"""Timestamps of another authority over evidence: what existed by then, by a word that is not the registry's.

The authority is sent a SHA-256 and nothing else, and answers with a signed token (RFC 3161). What is checked
here is that the token is of this digest and of this request; whether its signer is to be trusted is for those
to say who read it, with certificates of their own: ``openssl ts -verify``.

The same bytes are stamped once while the process runs: so the same evidence gives the same document.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from registry.errors import FetchError, ProofError, SettingsError
from registry.fetch import Fetcher

if TYPE_CHECKING:
    from rfc3161_client import TimeStampRequest, TimeStampResponse

__all__ = ["Stamp", "Timestamper"]

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_GRANTED = (0, 1)
"""PKIStatus ``granted`` and ``grantedWithMods`` (RFC 3161, 2.4.2)."""
_SHA256 = "2.16.840.1.101.3.4.2.1"
_KEPT = 256


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an authority answered: ``reply`` is its TimeStampResp in DER, ``at`` seconds since 1970."""

    authority: str
    at: int
    serial: int
    reply: bytes = field(repr=False)


class Timestamper:
    """Asks the authority at ``url``; may be used by several threads."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url
        self._fetcher = fetcher
        self._kept: OrderedDict[bytes, Stamp] = OrderedDict()
        self._lock = threading.Lock()

    def stamp(self, data: bytes) -> Stamp:
        """Return a timestamp over the SHA-256 of ``data``.

        Raises :class:`FetchError` without an answer, :class:`registry.errors.RefusedAddressError` for an
        authority that may not be called, and :class:`ProofError` for an answer that stamps nothing, or
        something else.
        """
        digest = sha256(data).digest()
        with self._lock:
            if digest in self._kept:
                return self._kept[digest]
        made = self._asked(data, digest)
        with self._lock:
            self._kept[digest] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def _asked(self, data: bytes, digest: bytes) -> Stamp:
        request = _request(data)
        headers = {"Content-Type": _QUERY, "Accept": _REPLY}
        answer = self._fetcher.ask(self._url, request.as_bytes(), headers)
        if answer.status != 200 or answer.cut:
            what = f"answered {answer.status}" if answer.status != 200 else "answered too much"
            raise FetchError(f"the timestamp authority at {self._url} {what}")
        return self._checked(request, answer.data, digest)

    def _checked(self, request: "TimeStampRequest", data: bytes, digest: bytes) -> Stamp:
        from rfc3161_client import decode_timestamp_response

        try:
            response = decode_timestamp_response(data)
            if response.status not in _GRANTED:
                raise self._wrong(_refusal(response))
            told = response.tst_info
            imprint = told.message_imprint
            if (imprint.hash_algorithm.dotted_string, imprint.message) != (_SHA256, digest):
                raise self._wrong("stamped something else than it was sent")
            if told.nonce != request.nonce:
                raise self._wrong("answered another request")
            return Stamp(self._url, int(told.gen_time.timestamp()), told.serial_number, data)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._wrong(f"answered no timestamp ({error})") from error

    def _wrong(self, what: str) -> ProofError:
        return ProofError(f"the timestamp authority at {self._url} {what}")


def _request(data: bytes) -> "TimeStampRequest":
    try:
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
    except ImportError as error:
        raise SettingsError(
            "a timestamp needs rfc3161-client, which is not installed",
            hint="pip install 'caveat-registry[server]'",
        ) from error
    return TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()


def _refusal(response: "TimeStampResponse") -> str:
    said = " ".join(response.status_string) or "without a reason"
    return f"refused (status {response.status}: {said})"
