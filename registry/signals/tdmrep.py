"""TDMRep: the TDM Reservation Protocol (W3C Community Group Final Report, 10 May 2024).

``tdm-reservation`` is 1 (reserved) or 0 (not reserved), ``tdm-policy`` the address of terms. They stand in
``/.well-known/tdmrep.json``, in header fields, in the metadata of a page, and in XMP.

1. In the file the first entry whose location matches counts, not the longest (section 6.1).
2. Header fields supersede the file, property by property; what is absent resets nothing (section 5).
3. Any other value is a protocol error, hence unset. It is recorded as unknown, ``malformed``, except where it
   plainly reserves: ``true``, ``yes``, a 1 in quotes or among values that were merged. That reserves, as
   ``malformed``; so does what another spelling of the name in the file says.
4. A reservation with a policy is conditional, whether the policy can be read or not (section 7). A policy
   without a reservation says nothing.
5. The metadata of a page speak about its text, and XMP in a picture is in no specification: both reserve
   beside what the host says, and lift nothing of it.

    read_headers([("tdm-reservation", "1")])    →    every use but search is reserved
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from registry.errors import InputError, InvalidUrlError
from registry.jsontext import strict_json
from registry.preference import Preference, Scope, Status, Use
from registry.signals.observation import (
    HTML_TYPES,
    Fault,
    Origin,
    Reading,
    SiteFile,
    media_type,
    statement,
    writable,
)
from registry.signals.page import Page
from registry.signals.paths import PathPattern, origin_of, path_of, path_pattern
from registry.signals.robots import absent, fault_of
from registry.statement import Quality, Speaker, Statement

__all__ = [
    "CARRIER",
    "LARGEST",
    "PATH",
    "PROTOCOL",
    "VERSION",
    "TdmRep",
    "combine",
    "read_file",
    "read_headers",
    "read_page",
    "read_xmp",
]

PROTOCOL = "tdmrep"
VERSION = "2024-05-10"
CARRIER = "tdmrep.json"
PATH = "/.well-known/tdmrep.json"
LARGEST = 1_000_000
"""Bytes of the file, and of a policy, that are read."""

_LONGEST_POLICY = 8192
_RESERVES = (Use.TDM, Use.TRAIN, Use.GENAI_TRAIN, Use.AI_INPUT, Use.AI_INDEX)
_PERMITS = (Use.TDM, Use.TRAIN, Use.GENAI_TRAIN)
_YES = frozenset({"true", "yes"})
_ONE = re.compile(r"(?:^|[^\w.-])(?:1|true|yes)(?![\w.])", re.ASCII | re.IGNORECASE)
_JSON = re.compile(r"[\r\n\t ]*[\[{]")
_LETTERS = re.compile(r"[^a-z]+")


@dataclass(frozen=True, slots=True)
class TdmRep:
    """What one carrier says.

    ``reservation`` is True for 1, False for 0, None for what is absent or unset; ``policy`` an address, empty
    if there is none. ``said`` are the words that were read; with no reservation, those that were ignored.
    """

    reservation: bool | None = None
    policy: str = ""
    quality: Quality = Quality.EXACT
    said: str = ""
    origin: Origin | None = None
    scope: Scope = Scope.WORK
    faults: tuple[Fault, ...] = ()


_NOTHING = TdmRep()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member of the file's array; ``error`` says why it cannot be held against a path."""

    location: str = ""
    pattern: PathPattern | None = None
    reservation: Any = None
    policy: Any = None
    error: str = ""


def combine(
    file: TdmRep = _NOTHING,
    headers: TdmRep = _NOTHING,
    page: TdmRep = _NOTHING,
    embedded: TdmRep = _NOTHING,
    policies: Mapping[str, SiteFile] | None = None,
) -> Reading:
    """Return what follows from all carriers; see the module's rules 2 to 5.

    ``policies`` are files by address: one that can be read names who reserves.
    """
    carriers = (file, headers, page, embedded)
    told = [_superseded(file, headers), _inferred(page), embedded]
    spoken = [_spoken(one, policies or {}) for one in told if one.reservation is not None]
    ignored = [_ignored(one) for one in carriers if one.reservation is None and one.said]
    return Reading((*spoken, *ignored), tuple(fault for one in carriers for fault in one.faults))


def read_file(site_file: SiteFile, url: str) -> TdmRep:
    """Read what the file of a host says about the asset at ``url``.

    A status 4xx is no file, save for 408, 425 and 429; so is a page of HTML, with which many hosts answer for
    every address. Anything else that cannot be read is a fault.
    """
    if absent(site_file.status) or _is_page(site_file):
        return _NOTHING
    origin = Origin(PROTOCOL, VERSION, CARRIER, site_file.data, Speaker.HOST)
    fault = fault_of(site_file, origin, LARGEST)
    if fault is not None:
        return TdmRep(faults=(fault,))
    try:
        path, at_home = path_of(url), origin_of(url) == origin_of(site_file.url)
    except InvalidUrlError as error:
        return TdmRep(faults=(Fault(PROTOCOL, CARRIER, Status.ERROR, error.message),))
    try:
        entry = _first(_parsed(site_file.data), path)
    except InputError as error:
        return TdmRep(faults=(Fault(PROTOCOL, CARRIER, Status.MALFORMED, error.message),))
    return _of_entry(entry, origin if at_home else replace(origin, speaker=Speaker.UNKNOWN))


def read_headers(headers: Iterable[tuple[str, str]]) -> TdmRep:
    """Read the header fields of the answer that brought the asset."""
    fields = [(name.lower(), value) for name, value in headers]
    values = {key: [value for name, value in fields if name == key] for key in _KEYS}
    return _told(values, Origin(PROTOCOL, VERSION, "header", _raw(values), Speaker.HOST))


def read_page(page: Page) -> TdmRep:
    """Read the metadata of the page in which the asset stands."""
    values = {key: page.contents(key) for key in _KEYS}
    return _told(values, Origin(PROTOCOL, VERSION, "page", page.data, Speaker.HOST))


def read_xmp(properties: Mapping[str, str | Sequence[str]], raw: bytes = b"") -> TdmRep:
    """Read ``tdm-reservation`` and ``tdm-policy`` (or ``tdm:…``, or neither) of the packet ``raw``.

    Values that are equal count once, since both namespaces that are in use may stand in one packet.
    """
    values = {key: tuple(dict.fromkeys(_of_xmp(properties, key))) for key in _KEYS}
    return _told(values, Origin(PROTOCOL, VERSION, "xmp", raw or _raw(values), Speaker.EMBEDDED))


_KEYS = ("tdm-reservation", "tdm-policy")


def _of_xmp(properties: Mapping[str, str | Sequence[str]], key: str) -> Iterable[str]:
    for name in (key, key.replace("-", ":"), key.removeprefix("tdm-")):
        value = properties.get(name, ())
        yield from (value,) if isinstance(value, str) else value


def _raw(values: Mapping[str, Sequence[str]]) -> bytes:
    lines = [f"{key}: {value}" for key, every in values.items() for value in every]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _told(values: Mapping[str, Sequence[str]], origin: Origin) -> TdmRep:
    reservations, policies = (values[key] for key in _KEYS)
    policy = next((one.strip() for one in policies if one.strip()), "")
    policy = policy if len(policy) <= _LONGEST_POLICY else ""
    if not reservations:
        return TdmRep(policy=policy, origin=origin)
    merged = ",".join(reservations)
    reservation, quality = _meant(merged.strip())
    return TdmRep(reservation, policy, quality, f"tdm-reservation: {merged.strip()}", origin)


def _meant(merged: str) -> tuple[bool | None, Quality]:
    if merged in ("0", "1"):
        return merged == "1", Quality.EXACT
    return (True if _ONE.search(merged) else None), Quality.MALFORMED


def _is_page(site_file: SiteFile) -> bool:
    """Say whether the answer is HTML; JSON that was only called so is read all the same."""
    if site_file.status >= 300 or media_type(site_file.content_type) not in HTML_TYPES:
        return False
    return _JSON.match(site_file.data[:256].decode("utf-8-sig", "replace")) is None


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> tuple[_Entry, ...]:
    """Parse the file. Raises :class:`InputError` unless it is a JSON array."""
    entries = strict_json(data.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(entries, list):
        raise InputError(f"/{CARRIER}: an array of entries is expected, got {type(entries).__name__}")
    return tuple(_entry(one, at) for at, one in enumerate(entries, 1))


def _entry(member: Any, at: int) -> _Entry:
    if not isinstance(member, dict):
        return _Entry(error=f"entry {at} is no object")
    location = member.get("location")
    if not isinstance(location, str) or not location.startswith(("/", "*")):
        return _Entry(error=f"the location of entry {at} is no path: {str(location)[:80]!r}")
    pattern = path_pattern(location)
    return _Entry(location, pattern, _reservation(member), member.get("tdm-policy"))


def _reservation(member: Mapping[str, Any]) -> Any:
    """Return the value of ``tdm-reservation``; that of another spelling as a text, which cannot permit."""
    if "tdm-reservation" in member:
        return member["tdm-reservation"]
    spelt = {_LETTERS.sub("", name.lower()): value for name, value in member.items()}
    return str(spelt["tdmreservation"]) if "tdmreservation" in spelt else None


def _first(entries: tuple[_Entry, ...], path: str) -> _Entry | None:
    """Return the first entry that matches; one before it that cannot be held against the path is an error."""
    for entry in entries:
        if entry.pattern is None:
            raise InputError(f"/{CARRIER}: {entry.error}")
        if entry.pattern.matches(path):
            return entry
    return None


def _of_entry(entry: _Entry | None, origin: Origin) -> TdmRep:
    if entry is None:
        return _NOTHING
    policy = entry.policy if isinstance(entry.policy, str) else ""
    policy = policy.strip() if len(policy) <= _LONGEST_POLICY else ""
    scope = Scope.HOST if entry.location in ("/", "*", "/*") else Scope.PREFIX
    if entry.reservation is None:
        return TdmRep(policy=policy, origin=origin, scope=scope)
    exact = type(entry.reservation) is int and entry.reservation in (0, 1)
    said = f"{entry.location}: tdm-reservation {str(entry.reservation)[:80]}"
    if exact:
        return TdmRep(entry.reservation == 1, policy, said=said, origin=origin, scope=scope)
    reserves = entry.reservation == 1 or str(entry.reservation).strip().lower() in _YES | {"1"}
    return TdmRep(True if reserves else None, policy, Quality.MALFORMED, said, origin, scope)


def _superseded(file: TdmRep, headers: TdmRep) -> TdmRep:
    winner = file if headers.reservation is None else headers
    return replace(winner, policy=headers.policy or file.policy)


def _inferred(page: TdmRep) -> TdmRep:
    exact = page.quality is Quality.EXACT
    return replace(page, quality=Quality.INFERRED) if exact else page


def _spoken(one: TdmRep, policies: Mapping[str, SiteFile]) -> Statement:
    origin = _origin(one)
    if not one.reservation:
        allowed = dict.fromkeys(_PERMITS, Preference.ALLOWED)
        return statement(origin, allowed, one.said, quality=one.quality, scope=one.scope)
    value = Preference.CONDITIONAL if one.policy else Preference.RESERVED
    preferences = dict.fromkeys(_RESERVES, value)
    told = statement(origin, preferences, one.said, quality=one.quality, scope=one.scope, terms=one.policy)
    name, contact = _assigner(policies[one.policy]) if one.policy in policies else ("", "")
    return replace(told, label=name, contact=contact)


def _ignored(one: TdmRep) -> Statement:
    unknown = dict.fromkeys(Use, Preference.UNKNOWN)
    return statement(_origin(one), unknown, one.said, quality=Quality.MALFORMED, scope=one.scope)


def _origin(one: TdmRep) -> Origin:
    if one.origin is None:
        raise InputError("what TDMRep says was read from nowhere", hint="Give the carrier's origin.")
    return one.origin


def _assigner(policy: SiteFile) -> tuple[str, str]:
    """Return name and contact of who reserves by an ODRL policy; both empty if it cannot be read."""
    try:
        offer = strict_json(policy.data) if policy.status == 200 and len(policy.data) <= LARGEST else None
    except InputError:
        return "", ""
    assigner = offer.get("assigner") if isinstance(offer, dict) else None
    if not isinstance(assigner, dict):
        return "", ""
    return _card(assigner, ("fn", "nickname")), _card(assigner, ("hasEmail", "hasURL", "hasTelephone"))


def _card(assigner: Mapping[str, Any], names: Iterable[str]) -> str:
    values = (assigner.get(f"{prefix}{name}") for name in names for prefix in ("vcard:", ""))
    return next(
        (writable(value[:_LONGEST_POLICY]) for value in values if isinstance(value, str) and value), ""
    )
