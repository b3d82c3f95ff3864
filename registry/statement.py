"""Statements: what one speaker said about the uses of one asset, or of a set of assets.

A registry's record is one, and so is what a work or its site says itself: that has a :class:`Signal`, which
tells the protocol, where it stood, who speaks there and how well it could be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from registry.errors import RegistryAnswerError
from registry.preference import Preference, Scope, State, Use

__all__ = ["EXACT_MATCHES", "Match", "Quality", "Signal", "Speaker", "Statement"]

_SCOPE_NAMES = {scope: scope.name.lower() for scope in Scope}
_SCOPES_BY_NAME = {name: scope for scope, name in _SCOPE_NAMES.items()}
_LIKENESSES = frozenset({"pdq", "phash"})
EXACT_MATCHES = frozenset({"url", "sha256", "prefix", "host", "domain"})
"""Kinds of match of a registry's record that leave no doubt about which asset is meant."""


class Speaker(StrEnum):
    """Who speaks through a signal."""

    SIGNED = "signed"
    """Whoever signed what is embedded in the work; the signature is valid."""
    EMBEDDED = "embedded"
    """Whoever wrote into the file, unsigned or with a signature that is not valid."""
    HOST = "host"
    """The site from whose origin the work comes."""
    UNKNOWN = "unknown"


class Quality(StrEnum):
    """How well a signal could be read."""

    EXACT = "exact"
    INFERRED = "inferred"
    """It says something else, from which this follows by our own rule."""
    MALFORMED = "malformed"
    """It breaks its protocol's rules; what it was meant to say restricts, and never permits."""
    NATURAL_LANGUAGE = "natural-language"
    HINT = "hint"
    """It is about something else, and counts in strict mode only."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Where a statement was read that no registry keeps.

    ``protocol`` and ``version`` name the specification, ``carrier`` where it stands (``xmp``, ``header``,
    ``robots.txt``), ``said`` the words that were read, shortened, and ``raw_sha256`` is the SHA-256 of the
    carrier's whole text, hexadecimal.
    """

    protocol: str
    version: str
    carrier: str
    speaker: Speaker
    quality: Quality
    said: str
    raw_sha256: str

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "protocol": self.protocol,
            "version": self.version,
            "carrier": self.carrier,
            "speaker": str(self.speaker),
            "quality": str(self.quality),
            "said": self.said,
            "raw_sha256": self.raw_sha256,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Signal":
        """Read the JSON form. Raises KeyError, TypeError or ValueError where it cannot be read."""
        if not wire["protocol"]:
            raise ValueError("a signal of no protocol")
        return cls(
            protocol=_text(wire["protocol"]),
            version=_text(wire["version"]),
            carrier=_text(wire["carrier"]),
            speaker=Speaker(wire["speaker"]),
            quality=Quality(wire["quality"]),
            said=_text(wire["said"]),
            raw_sha256=_text(wire["raw_sha256"]),
        )


@dataclass(frozen=True, slots=True)
class Match:
    """How a statement came to be about this item.

    ``kind`` is url, prefix, host, domain, sha256, pdq or phash, and for a signal its protocol. ``certain`` is
    False for a near duplicate beyond the strict radius. ``distance`` is in bits, for hashes; ``window`` names
    the registered window and ``form`` the queried one.
    """

    kind: str
    certain: bool = True
    distance: int | None = None
    window: str | None = None
    form: str | None = None

    def to_wire(self, *, detail: bool = True) -> dict[str, Any]:
        """Return the JSON form; without ``detail`` nothing that measures distance."""
        wire: dict[str, Any] = {"kind": self.kind, "certain": self.certain}
        if detail and self.distance is not None:
            wire |= {"distance": self.distance, "window": self.window, "form": self.form}
        return wire


@dataclass(frozen=True, slots=True)
class Statement:
    """Use → preference, said by one speaker about one asset or set of assets.

    ``record`` and ``principal`` are empty where the caller may not know them. ``label`` is what the speaker
    calls the set, ``title`` what the work in it is called. ``seq`` is the registry's sequence number from
    which the statement holds; ``at`` its time, RFC 3339. ``signal`` is None for a registry's record.
    ``grant`` is one of those that the asker named, by which the speaker permits the use that was asked for.
    """

    preferences: Mapping[Use, Preference]
    match: Match
    scope: Scope = Scope.WORK
    evidence_level: int = 0
    state: State = State.ASSERTED
    seq: int = 0
    at: str = ""
    record: str = ""
    principal: str = ""
    label: str = ""
    title: str = ""
    terms: str = ""
    contact: str = ""
    registry: str = field(default="", compare=False)
    signal: Signal | None = None
    grant: str = ""

    def to_wire(self, *, detail: bool = True) -> dict[str, Any]:
        """Return the JSON form; without ``detail`` nothing that names the record or the person."""
        wire: dict[str, Any] = {
            "preferences": {str(use): str(value) for use, value in self.preferences.items()},
            "scope": _SCOPE_NAMES[self.scope],
            "evidence_level": self.evidence_level,
            "state": str(self.state),
            "seq": self.seq,
            "at": self.at,
            "match": self.match.to_wire(detail=detail),
        }
        if detail:
            wire |= {"record": self.record, "label": self.label, "title": self.title}
            wire |= {"terms": self.terms, "contact": self.contact}
        if self.grant:
            wire["grant"] = self.grant
        if self.signal is not None:
            wire["signal"] = self.signal.to_wire()
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], *, registry: str = "") -> "Statement":
        """Read the JSON form, ignoring keys that it does not know.

        Raises :class:`RegistryAnswerError` when a value is missing, of another type or outside the
        vocabulary, since a statement that cannot be read must not turn into "nothing was said".
        """
        try:
            if not wire["preferences"]:
                raise ValueError("no preference")
            texts: dict[str, Any] = {name: _text(wire.get(name, "")) for name in _TEXTS}
            signal = None if wire.get("signal") is None else Signal.from_wire(wire["signal"])
            return cls(
                preferences={Use(use): Preference(value) for use, value in wire["preferences"].items()},
                match=_read_match(wire["match"], signal),
                scope=_SCOPES_BY_NAME[wire["scope"]],
                evidence_level=_integer(wire["evidence_level"], 4),
                state=State(wire["state"]),
                seq=_integer(wire["seq"], _LARGEST),
                registry=registry,
                signal=signal,
                **texts,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryAnswerError(f"a statement that cannot be read ({error!r})") from error


_TEXTS = ("at", "record", "label", "title", "terms", "contact", "grant")
_LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON takes for the same (RFC 8259, section 6)."""


def _read_match(wire: Mapping[str, Any], signal: Signal | None) -> Match:
    distance = wire.get("distance")
    if not isinstance(wire["certain"], bool):
        raise TypeError("certain is neither true nor false")
    return Match(
        kind=_match_kind(wire["kind"], signal),
        certain=wire["certain"],
        distance=None if distance is None else _integer(distance, 256),
        window=None if wire.get("window") is None else _text(wire["window"]),
        form=None if wire.get("form") is None else _text(wire["form"]),
    )


def _match_kind(value: object, signal: Signal | None) -> str:
    """Read the kind of match: of a signal its protocol, of a record one of those that are known."""
    known = EXACT_MATCHES | _LIKENESSES if signal is None else {signal.protocol}
    if value not in known:
        raise ValueError(f"no kind of match {repr(value)[:40]}")
    return _text(value)


def _integer(value: object, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(f"expected an integer from 0 to {largest}, got {repr(value)[:40]}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    value.encode()  # Half of a surrogate pair is no text: UnicodeEncodeError is a ValueError.
    return value
