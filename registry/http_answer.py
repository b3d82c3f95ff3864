"""An answer of HTTP/1.1 as it comes off a connection: in time, and whole or refused.

:mod:`http.client` is lenient where a reader of reservations must not be. It drops every header line after one
that it cannot read, takes an interim answer for the answer, and waits for as long as something drips. What is
dropped may be the reservation, so here all of that is an error.

Source: RFC 9112 (2.2, 5, 6.1), RFC 9110 (8.4, 15.2), RFC 8297.
"""

import io
import math
import socket
import threading
import time
import zlib
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse
from typing import Any

from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

__all__ = ["Until", "answer_class", "decoded"]

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Until(threading.local):
    """When the call of this thread ends, on the monotonic clock; ``seconds`` is what it was given."""

    end: float = math.inf
    seconds: float = math.inf

    def begin(self, seconds: float) -> None:
        """Begin a call that may take so many seconds."""
        self.end, self.seconds = time.monotonic() + seconds, seconds

    def left(self, most: float) -> float:
        """Return the seconds that are left, at most ``most``. Raises TimeoutError when none are."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not all came within {self.seconds:g} s")
        return min(left, most)


def answer_class(until: Until, read_seconds: float) -> type[HTTPResponse]:
    """Return what http.client is to make of an answer; its errors are HTTPException and TimeoutError."""

    class Answer(HTTPResponse):
        def __init__(self, sock: Any, *args: Any, **named: Any) -> None:
            super().__init__(_Connection(sock, until, read_seconds), *args, **named)  # type: ignore[arg-type]

        def begin(self) -> None:
            super().begin()
            _require_whole(self)

    return Answer


def decoded(chunks: Iterable[bytes], coding: str, most: int) -> bytes:
    """Return a body without its Content-Encoding; of one that is longer, ``most`` + 1 bytes.

    Raises ValueError for a coding that is not read, and for one that is damaged or ends in the midst.
    """
    named = coding.strip().lower()
    if named in ("", "identity"):
        return _plain(chunks, most)
    try:
        return _inflated(chunks, named, most)
    except zlib.error as error:
        raise ValueError(f"its {named} cannot be read") from error


def _plain(chunks: Iterable[bytes], most: int) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            break
    return bytes(data[: most + 1])


def _inflated(chunks: Iterable[bytes], coding: str, most: int) -> bytes:
    data, inflate = bytearray(), None
    for chunk in chunks:
        rest = chunk
        while rest:
            if inflate is None or inflate.eof:
                inflate = _inflater(coding)
            data += inflate.decompress(rest, most + 1 - len(data))
            if len(data) > most:
                return bytes(data)
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if inflate is not None and not inflate.eof:
        raise ValueError("its body ends in the midst")
    return bytes(data)


def _inflater(coding: str) -> "zlib._Decompress":
    if coding not in _WINDOW_BITS:
        raise ValueError(f"its Content-Encoding {coding[:40]!r} is not read here")
    return zlib.decompressobj(_WINDOW_BITS[coding])


class _Connection:
    """What :class:`HTTPResponse` wants of a socket: a file of what comes, here until the call's end."""

    def __init__(self, sock: socket.socket, until: Until, read_seconds: float) -> None:
        self._raw = _Incoming(sock, until, read_seconds)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _Incoming(io.RawIOBase):
    """The bytes of a connection; each wait is bounded by what is left of the whole call."""

    def __init__(self, sock: socket.socket, until: Until, read_seconds: float) -> None:
        self._sock, self._until, self._read_seconds = sock, until, read_seconds
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._until.left(self._read_seconds))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            self._until.left(self._read_seconds)  # Says so if it was the whole call's time.
            raise

    def close(self) -> None:
        self._raw.close()
        super().close()


def _require_whole(answer: HTTPResponse) -> None:
    """Raise HTTPException for an answer of which http.client has left something out."""
    if answer.status < 200:
        raise HTTPException(f"an interim answer, {answer.status}, that is not read here")
    try:
        assert_header_parsing(answer.msg)
    except HeaderParsingError as error:
        raise HTTPException("a header line that cannot be read") from error
    coding = answer.getheader("transfer-encoding", "")
    if coding and coding.strip().lower() != "chunked":
        raise HTTPException(f"its Transfer-Encoding {coding[:40]!r} is not read here")
