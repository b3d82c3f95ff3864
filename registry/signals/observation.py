"""What was seen of one asset, and what was read in it: what every reader of signals takes and gives.

A reader is a pure function from bytes to a :class:`Reading`. It takes nothing for granted: what cannot be
read is a :class:`Fault` by name, never silence; and it bounds its own time and memory.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from registry.preference import Preference, Scope, Status, Use
from registry.statement import Match, Quality, Signal, Speaker, Statement

__all__ = [
    "HTML_TYPES",
    "Fault",
    "Observation",
    "Origin",
    "Reading",
    "SiteFile",
    "joined",
    "media_type",
    "restricting",
    "statement",
    "writable",
]

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
"""What HTML is sent as, as :func:`media_type` gives it."""

_SHOWN = 200
"""Characters of a signal's own words that are kept."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file of a site, such as ``/robots.txt``, as it was answered.

    ``status`` is that of HTTP, 0 when nothing answered.
    """

    url: str
    status: int
    data: bytes = b""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that was seen of one asset; what was not looked at is empty.

    ``data`` is the file itself, as it came, before any resize. ``sidecar`` is an ``.xmp`` file beside it.
    ``headers`` are those of the answer that brought it, in order, several of one name among them. ``page``
    is the HTML in which it stands, if that is on the same origin. ``site`` has the files of the origin that
    serves ``url``, by path (``/robots.txt``, ``/ai.txt``, ``/.well-known/tdmrep.json``), licences by address.
    """

    url: str = ""
    data: bytes = b""
    sidecar: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    page: bytes = b""
    site: Mapping[str, SiteFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A signal that could not be read: ``status`` is ``malformed`` or ``error``, ``message`` says why."""

    protocol: str
    carrier: str
    status: Status
    message: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was said, and what could not be read. With a fault nothing is known for certain."""

    statements: tuple[Statement, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a statement comes: protocol and version, the carrier with all its bytes, the speaker."""

    protocol: str
    version: str
    carrier: str
    raw: bytes
    speaker: Speaker = Speaker.UNKNOWN


def statement(
    origin: Origin,
    preferences: Mapping[Use, Preference],
    said: str,
    *,
    quality: Quality = Quality.EXACT,
    scope: Scope = Scope.WORK,
    terms: str = "",
) -> Statement:
    """Return what a signal says; natural language is never certain."""
    digest = _digest(origin.raw)
    words = writable(said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…")
    signal = Signal(origin.protocol, origin.version, origin.carrier, origin.speaker, quality, words, digest)
    match = Match(origin.protocol, certain=quality is not Quality.NATURAL_LANGUAGE)
    return Statement(dict(preferences), match, scope, terms=writable(terms), signal=signal)


def media_type(content_type: str) -> str:
    """Return type and subtype of a Content-Type in lower case, without parameters (RFC 9110, 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=2)
def _digest(raw: bytes) -> str:
    """Return the SHA-256 of a carrier; one of many megabytes can make thousands of statements."""
    return hashlib.sha256(raw).hexdigest()


def writable(said: str) -> str:
    """Return words without halves of surrogate pairs, as in JSON's ``"\\ud800"``: no file could hold them."""
    return said.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def joined(readings: Iterable[Reading]) -> Reading:
    """Return all that several readers found."""
    every = list(readings)
    return Reading(
        tuple(one for reading in every for one in reading.statements),
        tuple(one for reading in every for one in reading.faults),
    )


def restricting(reading: Reading, quality: Quality | None = None) -> Reading:
    """Return what of a reading restricts; ``quality`` stands for ``exact``."""
    kept = []
    for one in reading.statements:
        left = {use: value for use, value in one.preferences.items() if value is not Preference.ALLOWED}
        signal = one.signal
        if quality is not None and signal is not None and signal.quality is Quality.EXACT:
            signal = replace(signal, quality=quality)
        if left:
            kept.append(replace(one, preferences=left, signal=signal))
    return Reading(tuple(kept), reading.faults)
