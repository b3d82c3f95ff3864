"""Grants: the word of whoever lodged a reservation that one licensee may use its works after all.

    {"id":"k3…","issued_at":1795000000,"licensee":{"name":"Acme","url":""},"registry":"log.example",
     "reservation":"6h…","seq":17,"terms":"","contact":"","uses":["genai-train"],"v":1,
     "valid_from":1795000000,"valid_until":1797600000,"works":null}

A grant lifts what its own reservation says, for its uses, while it is valid, and nothing that anybody else
says. ``works`` null is the whole reservation, with the works that are added to it later. Times are seconds
since 1970, and ``valid_until`` is the first second at which it no longer holds. The registry signs it, with
the key of its log, in an envelope of :mod:`registry.dsse`; that it was not taken back, only the registry
knows.

Read strictly: what is accepted is what :func:`format_grant` would have written, RFC 8785.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import rfc8785

from registry.dsse import Envelope, sign, verify
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.note import Signer, Verifier
from registry.preference import Use

__all__ = [
    "GRANT_TYPE",
    "MAX_GRANTS",
    "MAX_WORKS",
    "Grant",
    "check_grant",
    "format_grant",
    "is_grant_id",
    "open_grant",
    "parse_grant",
    "parse_work",
    "sign_grant",
]

GRANT_TYPE = "application/vnd.caveat.grant+json"
"""The kind of payload that an envelope of a grant has."""
MAX_GRANTS = 100
"""Most grants in one look-up."""
MAX_WORKS = 1000
"""Most works that one grant names."""

_VERSION = 1
_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)
_WORK = re.compile(r"([1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,8})", re.ASCII)
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of surrogate pairs, and separators of lines."""
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""
_LARGEST = 2**53 - 1
_LONGEST = {"licensee": 200, "url": 2000, "terms": 2000, "contact": 500, "registry": 200}
_MEMBERS = {
    *("v", "id", "registry", "reservation", "works", "uses", "licensee", "valid_from", "valid_until"),
    *("terms", "contact", "seq", "issued_at"),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted: ``reservation`` or single ``works`` of it, for ``uses``, to ``licensee``.

    ``registry`` is the name of the log on which it is event ``seq``, of ``issued_at``. ``works`` are named as
    the registry lists them, ``event.ordinal``, in their order; None is the whole reservation. It holds while
    ``valid_from`` <= now < ``valid_until``, seconds since 1970.
    """

    id: str
    registry: str
    reservation: str
    works: tuple[str, ...] | None
    uses: tuple[Use, ...]
    licensee: str
    licensee_url: str
    valid_from: int
    valid_until: int
    terms: str
    contact: str
    seq: int
    issued_at: int

    def covers(self, use: Use, now: float) -> bool:
        """Say whether it permits ``use`` at ``now``, seconds since 1970."""
        return use in self.uses and self.valid_from <= now < self.valid_until

    def covers_work(self, work: str) -> bool:
        """Say whether it is about this work of its reservation; about a rule of it, give an empty text."""
        return self.works is None or work in self.works

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "v": _VERSION,
            "id": self.id,
            "registry": self.registry,
            "reservation": self.reservation,
            "works": None if self.works is None else list(self.works),
            "uses": [str(use) for use in self.uses],
            "licensee": {"name": self.licensee, "url": self.licensee_url},
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "terms": self.terms,
            "contact": self.contact,
            "seq": self.seq,
            "issued_at": self.issued_at,
        }

    @classmethod
    def from_wire(cls, wire: object) -> "Grant":
        """Undo :meth:`to_wire`. Raises :class:`InputError` that names the member."""
        read = _members(wire, _MEMBERS, "a grant")
        if type(read["v"]) is not int or read["v"] != _VERSION:
            raise InputError(f"v: {repr(read['v'])[:40]}; version {_VERSION} is read here")
        licensee = _members(read["licensee"], {"name", "url"}, "licensee")
        grant = cls(
            id=read["id"],
            registry=read["registry"],
            reservation=read["reservation"],
            works=None if read["works"] is None else tuple(_list(read["works"], "works", MAX_WORKS)),
            uses=tuple(_use(one) for one in _list(read["uses"], "uses", len(Use))),
            licensee=licensee["name"],
            licensee_url=licensee["url"],
            valid_from=read["valid_from"],
            valid_until=read["valid_until"],
            terms=read["terms"],
            contact=read["contact"],
            seq=read["seq"],
            issued_at=read["issued_at"],
        )
        check_grant(grant)
        return grant


def check_grant(grant: Grant) -> None:
    """Raise :class:`InputError`, which names the member, unless the grant is one that is written."""
    for name in ("id", "reservation"):
        if not is_grant_id(getattr(grant, name)):
            raise InputError(f"{name}: expected 26 letters a-z and digits 2-7")
    _require_text(grant.registry, "registry", least=1)
    _require_text(grant.licensee, "licensee", least=1)
    _require_text(grant.licensee_url, "url")
    _require_text(grant.terms, "terms", lines=True)
    _require_text(grant.contact, "contact", lines=True)
    _require_uses(grant.uses)
    if grant.works is not None:
        _require_works(grant.works)
    for name, least, largest in (
        ("valid_from", 0, _LAST_SECOND),
        ("valid_until", 0, _LAST_SECOND),
        ("seq", 1, _LARGEST),
        ("issued_at", 0, _LAST_SECOND),
    ):
        value = getattr(grant, name)
        if type(value) is not int or not least <= value <= largest:
            raise InputError(f"{name}: expected an integer from {least} to {largest}, got {repr(value)[:40]}")
    if grant.valid_until <= grant.valid_from:
        raise InputError(f"valid_until: {grant.valid_until} is not after valid_from, {grant.valid_from}")


def format_grant(grant: Grant) -> bytes:
    """Return the canonical JSON, which is what is signed."""
    return rfc8785.dumps(grant.to_wire())


def parse_grant(data: bytes) -> Grant:
    """Undo :func:`format_grant`. Raises :class:`InputError` for anything else, also in other bytes."""
    grant = Grant.from_wire(strict_json(data))
    if format_grant(grant) != data:
        raise InputError("not a grant as it is written: other spaces, or another order of its members")
    return grant


def sign_grant(grant: Grant, signer: Signer) -> Envelope:
    """Return the grant signed by the key of its registry's log. Raises :class:`InputError`."""
    check_grant(grant)
    _require_its_key(grant, [signer.verifier])
    return sign(GRANT_TYPE, format_grant(grant), [signer])


def open_grant(envelope: Envelope, keys: Sequence[Verifier]) -> Grant:
    """Return the grant in ``envelope``, signed by one of ``keys`` that is a key of the registry it names.

    Raises :class:`ProofError` for a signature that does not hold, and for what is no grant.
    """
    payload = verify(envelope, keys, GRANT_TYPE)
    try:
        grant = parse_grant(payload)
    except InputError as error:
        raise ProofError(f"not a grant of this kind: {error.message}") from error
    verify(envelope, _require_its_key(grant, keys), GRANT_TYPE)
    return grant


def is_grant_id(text: object) -> bool:
    """Say whether ``text`` has the form of an identifier of a grant, and of a reservation."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def parse_work(text: object) -> tuple[int, int]:
    """Return event and ordinal of a work that is named ``event.ordinal``. Raises :class:`InputError`."""
    found = _WORK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InputError(
            f"works: {repr(text)[:40]} is no work",
            hint="A work is named as the list of the reservation's works does: 12.0.",
        )
    return int(found[1]), int(found[2])


def _require_its_key(grant: Grant, keys: Sequence[Verifier]) -> list[Verifier]:
    """Return those of ``keys`` that are of the grant's registry: another one cannot speak for it."""
    own = [key for key in keys if key.name == grant.registry]
    if not own:
        names = ", ".join(sorted({key.name for key in keys}))
        raise ProofError(f"a grant of {grant.registry!r}, signed by {names}")
    return own


def _require_works(works: tuple[str, ...]) -> None:
    places = [parse_work(one) for one in works]
    if not 1 <= len(works) <= MAX_WORKS or places != sorted(set(places)):
        raise InputError(f"works: expected 1 to {MAX_WORKS}, each once, in their order")


def _require_uses(uses: tuple[Use, ...]) -> None:
    if not uses or list(uses) != sorted(set(uses)):
        raise InputError("uses: expected at least one, each once, in the order of the alphabet")


def _require_text(value: object, name: str, *, least: int = 0, lines: bool = False) -> None:
    """Check a text for people; only what may have ``lines`` may have breaks between them."""
    longest = _LONGEST[name]
    if not isinstance(value, str) or not least <= len(value) <= longest:
        raise InputError(f"{name}: expected a text of {least} to {longest} characters")
    plain = value.replace("\n", " ") if lines else value
    if value != value.strip() or any(category(one) in _CONTROLS for one in plain):
        raise InputError(f"{name}: has control characters, or spaces around it")


def _use(value: object) -> Use:
    try:
        return Use(value)  # type: ignore[arg-type] # what is none is a ValueError
    except ValueError as error:
        raise InputError(f"uses: {repr(value)[:40]} is no use") from error


def _list(value: object, name: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise InputError(f"{name}: expected a list of at most {most}")
    return value


def _members(wire: object, expected: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(wire, Mapping) or set(wire) != expected:
        found = ", ".join(sorted(map(str, wire))) if isinstance(wire, Mapping) else type(wire).__name__
        raise InputError(f"{what}: expected {', '.join(sorted(expected))}; got {found[:200]}")
    return wire
