"""What only the maker of a dataset or a model knows, as they declare it: nothing here is checked by anybody.

Read strictly. A member that is not known, a text of several lines, an address that is none: each is refused
by name. What is left out is not stated; no default stands for it.

    {"title": "Cosy chairs", "kind": "model", "artists": [{"name": "Zoë", "says": "allowed"}]}
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any
from unicodedata import category

from registry.errors import InputError, InvalidUrlError, ProofError
from registry.grant import is_grant_id
from registry.preference import Preference, Use
from registry.receipt import digest_of, seconds_of
from registry.strictly import parsed, wire_of
from registry.urls import canonicalize_url

__all__ = ["Artist", "Conveyed", "Declared", "Upstream", "declared_json", "is_address", "parse_declared"]

CREDITED = "credited"
KINDS = ("", "dataset", "model")

_SAYS = (CREDITED, str(Preference.ALLOWED), str(Preference.CONDITIONAL))
_USES = ("", *map(str, Use))
_CONVEYED = tuple(str(one) for one in Preference if one is not Preference.UNKNOWN)
# No blanks, no quotes, no brackets but round ones: an address that ends where it seems to, in every format.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_JOINERS = "\u200c\u200d"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_HINT = "Mend the file, or write a new one: caveat receipt card … --format declared."


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What something was made from: a base model or a dataset, with the licence that came with it."""

    name: str
    url: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        _check_lines(self)
        _check_named(self.name, "what it was made from")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artist:
    """Whose works are in the set: ``says`` is ``credited``, ``allowed`` or ``conditional``.

    ``use`` is one of :class:`~registry.preference.Use`. A condition has its terms. ``record`` is the artist's
    reservation, ``grant`` the SHA-256 of the identifier of the grant that the run had: with the identifier
    itself anybody could ask what it covers.
    """

    name: str
    says: str = CREDITED
    use: str = ""
    terms: str = ""
    contact: str = ""
    record: str = ""
    grant: str = ""

    def __post_init__(self) -> None:
        _check_lines(self)
        _check_named(self.name, "an artist")
        _check_identified(self)
        _check_word(self.says, _SAYS, "says of an artist")
        _check_word(self.use, _USES, "use of an artist")
        if self.says == Preference.CONDITIONAL and not self.terms:
            raise InputError(
                f"{self.name[:80]} allows it on a condition, and there are no terms", hint="Say on which."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conveyed:
    """A preference that came with the upstream and goes on with the set (AIPREF vocabulary, section 3.3).

    ``of`` is whose or which works, ``carrier`` where it was said.
    """

    of: str
    use: str
    preference: str
    terms: str = ""
    carrier: str = ""

    def __post_init__(self) -> None:
        _check_lines(self)
        _check_named(self.of, "a conveyed preference")
        _check_word(self.use, _USES[1:], "use of a conveyed preference")
        _check_word(self.preference, _CONVEYED, "a conveyed preference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All of it. ``kind`` says what ``title`` is the name of: ``dataset``, ``model``, or empty.

    ``url`` is where the filtered set is published, ``published`` the day, as in 2026-11-22; ``contact`` an
    address or a mailbox, as text.
    """

    title: str = ""
    kind: str = ""
    author: str = ""
    contact: str = ""
    licence: str = ""
    url: str = ""
    published: str = ""
    base_model: Upstream | None = None
    upstream: tuple[Upstream, ...] = ()
    artists: tuple[Artist, ...] = ()
    conveyed: tuple[Conveyed, ...] = ()
    purposes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_lines(self)
        _check_word(self.kind, KINDS, "kind")
        if self.published:
            _check_day(self.published)
        for name in ("purposes", "limits"):
            for one in getattr(self, name):
                _check_named(one, name)
                _check_line(one, name)


def is_address(text: str) -> bool:
    """Say whether text is a web address that is written as it is in every format."""
    if not _ADDRESS.fullmatch(text):
        return False
    try:
        canonicalize_url(text)
    except InvalidUrlError:
        return False
    return True


def parse_declared(wire: object) -> Declared:
    """Read a declaration from its members. Raises :class:`InputError`, which names the member."""
    try:
        return parsed(Declared, _filled(Declared, wire), "declared")
    except ProofError as error:
        raise InputError(error.message, hint=_HINT) from error


def declared_json(declared: Declared) -> str:
    """Undo :func:`parse_declared`: JSON to be edited, every member in its place."""
    return json.dumps(wire_of(declared), indent=2, ensure_ascii=False) + "\n"


def _check_identified(artist: Artist) -> None:
    if artist.record and not is_grant_id(artist.record):
        raise InputError(f"record of {artist.name[:80]}: expected 26 letters a-z and digits 2-7")
    if artist.grant and not _DIGEST.fullmatch(artist.grant):
        raise InputError(f"grant of {artist.name[:80]}: expected its identifier, or the SHA-256 of that")
    if artist.grant and artist.says == CREDITED:
        raise InputError(f"{artist.name[:80]} is credited, and gave a grant", hint="Say allowed.")


def _hidden(wire: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return an artist with the digest of the grant's identifier, which is not to be published."""
    given = wire.get("grant")
    return {**wire, "grant": digest_of(str(given).encode())} if is_grant_id(given) else wire


def _filled(kind: type[Any], wire: object) -> object:
    """Return the members with those that were left out, each as its default."""
    if not isinstance(wire, Mapping):
        return wire
    wire = _hidden(wire) if kind is Artist else wire
    plain = {one.name: wire_of(one.default) for one in fields(kind) if one.default is not MISSING}
    return plain | {name: _filled_member(name, one) for name, one in wire.items()}


def _filled_member(name: Any, wire: object) -> object:
    kind = {"base_model": Upstream, "upstream": Upstream, "artists": Artist, "conveyed": Conveyed}.get(name)
    if kind is None:
        return wire
    return [_filled(kind, one) for one in wire] if isinstance(wire, list) else _filled(kind, wire)


def _check_lines(value: Any) -> None:
    for one in fields(value):
        said = getattr(value, one.name)
        if isinstance(said, str):
            _check_line(said, one.name)
            if one.name == "url" and said and not is_address(said):
                raise InputError(f"url: no web address: {said[:80]!r}", hint="Write https://… in full.")


def _check_line(text: str, name: str) -> None:
    if text != text.strip() or "  " in text or any(map(_is_unseen, text)):
        raise InputError(
            f"{name}: expected one line without blanks around it and without what cannot be seen, "
            f"got {text[:80]!r}",
            hint=_HINT,
        )


def _is_unseen(one: str) -> bool:
    return category(one) in _UNSEEN and one not in _JOINERS


def _check_named(text: str, name: str) -> None:
    if not text:
        raise InputError(f"{name}: it has no text", hint="Leave it out altogether.")


def _check_day(text: str) -> None:
    try:
        seconds_of(f"{text}T00:00:00Z")
    except ProofError as error:
        raise InputError(f"published: {text[:40]!r} is no day; expected one as in 2026-11-22") from error


def _check_word(text: str, words: tuple[str, ...], name: str) -> None:
    if text not in words:
        known = ", ".join(filter(None, words))
        raise InputError(f"{name}: got {text[:80]!r}; expected one of {known}", hint=_HINT)
