"""Path patterns of robots.txt and of what borrows from it (RFC 9309, 2.2.2 and 2.2.3).

A pattern is held against the beginning of path and query, case-sensitively. ``*`` stands for any run of
characters, ``$`` at the end for the end; elsewhere it is a character like others. Both sides are brought to
one spelling first:

1. what no address may hold (all but ASCII, spaces, ``"<>\\^`{|}``) is written as escapes, octet by octet;
2. an escape of an unreserved character, or of a reserved one that parts nothing, becomes the character;
3. ``%2F`` and ``%3F`` become ``/`` and ``?`` in the query only, where these part nothing;
4. other escapes are written in upper case; a ``%`` that begins none stays;
5. a ``*`` or ``$`` of an address, and one that a pattern does not use as a sign, is an escape.

    >>> matches("/*.jpg$", "/a/b.jpg"), matches("/a%7eb", "/a~bc"), matches("/a", "/A")
    (True, True, False)
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import ada_url

from registry.errors import InvalidUrlError

__all__ = ["PathPattern", "matches", "origin_of", "path_of", "path_pattern", "specificity", "spelling"]

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_DECODED = frozenset(_UNRESERVED + b":@!&'()+,;=[]")
_WRITTEN = [chr(one) if one in _DECODED | frozenset(b"/?#%*$") else f"%{one:02X}" for one in range(256)]
"""How each octet of a text is written; what no address may hold, as an escape."""
_DECODED_IN_QUERY = frozenset(b"/?")
_ORDINARY = re.compile(r"[A-Za-z0-9._~/%*$?=&:@!'()+,;#\[\]-]*")
_KEPT = 200
"""Characters of a pattern that is kept ready; so what is kept stays small."""
_SIGNS = {"*": "%2A", "$": "%24"}


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern ready to be held against paths.

    ``parts`` are what stands between the ``*``, in one spelling; ``closed`` says that it ends in ``$``;
    ``octets`` is how specific it is.
    """

    parts: tuple[str, ...]
    closed: bool
    octets: int

    def matches(self, path: str) -> bool:
        """Say whether it covers ``path``, which :func:`path_of` or :func:`spelling` has made.

        Takes the leftmost place for each part, so it never goes back.
        """
        if not path.startswith(self.parts[0]):
            return False
        if len(self.parts) == 1:
            return not self.closed or len(path) == len(self.parts[0])
        at = len(self.parts[0])
        for part in self.parts[1:-1]:
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        last = self.parts[-1]
        if self.closed:
            return len(path) - len(last) >= at and path.endswith(last)
        return path.find(last, at) >= 0


def matches(pattern: str, path: str) -> bool:
    """Say whether ``pattern`` covers ``path`` (path and query, beginning with ``/``)."""
    return path_pattern(pattern).matches(spelling(path))


def specificity(pattern: str) -> int:
    """Return the octets of ``pattern`` in the one spelling: of two that match, the longer counts."""
    return path_pattern(pattern).octets


def path_pattern(pattern: str) -> PathPattern:
    """Make a pattern ready."""
    return _kept(pattern) if len(pattern) <= _KEPT else _made(pattern)


@lru_cache(maxsize=4096)
def _kept(pattern: str) -> PathPattern:
    return _made(pattern)


def _made(pattern: str) -> PathPattern:
    normal = _normal(pattern)
    closed = normal.endswith("$")
    body = normal[:-1] if closed else normal
    first, *others = body.replace("$", _SIGNS["$"]).split("*")
    # Two stars that follow each other say no more than one.
    inner = [part for part in others[:-1] if part]
    return PathPattern((first, *inner, *others[-1:]), closed, len(normal))


def spelling(path: str) -> str:
    """Return ``path`` (path and query) in the one spelling."""
    normal = _normal(path)
    for sign, escape in _SIGNS.items():
        normal = normal.replace(sign, escape)
    return normal


def path_of(url: str) -> str:
    """Return path and query of an http(s) URL, in the one spelling.

    Raises :class:`InvalidUrlError` for anything else.
    """
    address = _parsed(url)
    start = address.index("/", address.index("//") + 2)
    return spelling(address[start:].partition("#")[0])


def origin_of(url: str) -> str:
    """Return host and port of an http(s) URL. Raises :class:`InvalidUrlError` for anything else."""
    address = _parsed(url)
    start = address.index("//") + 2
    return address[start : address.index("/", start)].rpartition("@")[2]


def _parsed(url: str) -> str:
    try:
        address: str = ada_url.URL(url).href
    except ValueError as error:
        raise InvalidUrlError(f"not a URL: {url[:120]!r}") from error
    if not address.startswith(("http://", "https://")):
        raise InvalidUrlError(f"not an http or https URL: {url[:120]!r}")
    return address


def _normal(text: str) -> str:
    if not _ORDINARY.fullmatch(text):
        text = "".join(_WRITTEN[one] for one in _octets(text))
    if "%" not in text:
        return text
    before, mark, query = text.partition("?")
    return _decoded(before, _DECODED) + mark + _decoded(query, _DECODED | _DECODED_IN_QUERY)


def _decoded(text: str, characters: frozenset[int]) -> str:
    def one(escape: re.Match[str]) -> str:
        octet = int(escape[0][1:], 16)
        return chr(octet) if octet in characters else escape[0].upper()

    return _ESCAPE.sub(one, text)


def _octets(text: str) -> bytes:
    """Return UTF-8; a lone surrogate stands for the octet that was no UTF-8 in a file, if it can."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
