"""The “Data Mining” property of IPTC Photo Metadata 2025.1 and PLUS: ``plus:DataMining`` in XMP.

Its value is one of nine; each says something of some uses (``USES``). ``SEE…`` points elsewhere in the same
packet, and binds to what is found there. What is no value of PLUS restricts if it begins as a prohibition,
and is recorded as unknown if not. Of several values each is a statement: the strictest decides.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from registry.preference import Preference, Status, Use
from registry.signals.containers import Found, Packet, find_packets
from registry.signals.observation import Fault, Origin, Reading, joined, statement
from registry.signals.parts import UnreadableError
from registry.signals.xmltext import marks
from registry.signals.xmp import (
    IPTC_EXT,
    PLUS,
    RIGHTS,
    XMP_NOTE,
    Properties,
    licence_texts,
    merged,
    parse,
    tdm_properties,
)
from registry.statement import Quality, Speaker, Statement

__all__ = [
    "CONSTRAINTS",
    "MAX_MARKS",
    "PROTOCOL",
    "USES",
    "VERSION",
    "VOCABULARY",
    "DataMining",
    "Embedded",
    "read",
    "read_embedded",
]

PROTOCOL = "iptc"
VERSION = "2025.1"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
"""What each value begins with (PLUS License Data Format, vocabulary)."""


class DataMining(StrEnum):
    """The values of ``plus:DataMining``, without ``VOCABULARY``."""

    UNSPECIFIED = "DMI-UNSPECIFIED"
    ALLOWED = "DMI-ALLOWED"
    PROHIBITED_AI_TRAINING = "DMI-PROHIBITED-AIMLTRAINING"
    PROHIBITED_GENAI_TRAINING = "DMI-PROHIBITED-GENAIMLTRAINING"
    PROHIBITED_EXCEPT_SEARCH = "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"
    PROHIBITED = "DMI-PROHIBITED"
    SEE_CONSTRAINT = "DMI-PROHIBITED-SEECONSTRAINT"
    SEE_EMBEDDED = "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR"
    SEE_LINKED = "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR"


_RESERVED, _ALLOWED = Preference.RESERVED, Preference.ALLOWED
_ALL_RESERVED = dict.fromkeys(Use, _RESERVED)
_ALL_CONDITIONAL = dict.fromkeys(Use, Preference.CONDITIONAL)
_NOTHING_KNOWN = dict.fromkeys(Use, Preference.UNKNOWN)

USES: Mapping[DataMining, Mapping[Use, Preference]] = {
    DataMining.UNSPECIFIED: {},
    DataMining.ALLOWED: dict.fromkeys((Use.TDM, Use.TRAIN, Use.GENAI_TRAIN), _ALLOWED),
    DataMining.PROHIBITED_AI_TRAINING: dict.fromkeys((Use.TRAIN, Use.GENAI_TRAIN), _RESERVED),
    DataMining.PROHIBITED_GENAI_TRAINING: {Use.GENAI_TRAIN: _RESERVED},
    DataMining.PROHIBITED_EXCEPT_SEARCH: {**_ALL_RESERVED, Use.SEARCH: _ALLOWED},
    DataMining.PROHIBITED: _ALL_RESERVED,
    DataMining.SEE_CONSTRAINT: _ALL_CONDITIONAL,
    DataMining.SEE_EMBEDDED: _ALL_CONDITIONAL,
    DataMining.SEE_LINKED: _ALL_CONDITIONAL,
}
"""What each value says of which use; of the others it says nothing."""

CONSTRAINTS = {
    DataMining.SEE_CONSTRAINT: (PLUS, "OtherConstraints"),
    DataMining.SEE_EMBEDDED: (IPTC_EXT, "EncRightsExpr"),
    DataMining.SEE_LINKED: (IPTC_EXT, "LinkedRightsExpr"),
}
"""The property in which the constraints stand that a value points to."""

_CODES = {str(code): code for code in DataMining}
_WEB_STATEMENT = (RIGHTS, "WebStatement")
MAX_MARKS = 400_000
"""Tags and attributes in all XMP of one file that are read."""

_MAX_TERMS = 4000
_MAX_VALUES = 64
_PARTS = re.compile("[/#:]")


def read(properties: Properties, origin: Origin) -> Reading:
    """Return what ``plus:DataMining`` says, a statement for each value; nothing when it is not there.

    At most 64 values are read; a fault says that there are more.
    """
    values = properties.get((PLUS, "DataMining"), ())
    found = (_statement(value, properties, origin) for value in values[:_MAX_VALUES])
    statements = tuple(one for one in found if one is not None)
    if len(values) > _MAX_VALUES:
        said = f"at most {_MAX_VALUES} values of plus:DataMining are read; there are {len(values)}"
        return Reading(statements, (Fault(PROTOCOL, origin.carrier, Status.ERROR, said),))
    return Reading(statements)


def _statement(value: str, properties: Properties, origin: Origin) -> Statement | None:
    code = _code(value)
    terms = _terms(code, properties)
    if code is None:
        guess = _ALL_RESERVED if _begins_as_prohibition(value) else _NOTHING_KNOWN
        return statement(origin, guess, value, quality=Quality.MALFORMED, terms=terms)
    if not USES[code]:
        return None
    as_written = value in (VOCABULARY + code, code)
    quality = Quality.EXACT if as_written else Quality.MALFORMED
    return statement(origin, USES[code], str(code), quality=quality, terms=terms)


def _code(value: str) -> DataMining | None:
    """Return the value of PLUS that is meant: ``https``, a final ``/`` and lower case are overlooked."""
    return _CODES.get(_bare(value))


def _bare(value: str) -> str:
    scheme, _, rest = value.strip().partition("://")
    text = f"http://{rest}" if scheme.lower() in ("http", "https") else value.strip()
    if text[: len(VOCABULARY)].lower() == VOCABULARY:
        text = text[len(VOCABULARY) :]
    return text.rstrip("/").upper()


def _begins_as_prohibition(value: str) -> bool:
    """Say whether it prohibits what no table knows, in any vocabulary, or in the words shown to people."""
    parts = _PARTS.split(_bare(value).replace("_", "-"))
    return any(one.lstrip().startswith(("DMI-PROHIBITED", "PROHIBITED", "NOT ALLOWED")) for one in parts)


def _terms(code: DataMining | None, properties: Properties) -> str:
    """Return the constraints that are pointed to, else the address of the rights statement, else nothing."""
    named = properties.get(CONSTRAINTS[code], ()) if code in CONSTRAINTS else ()
    said = next(filter(None, (*named, *properties.get(_WEB_STATEMENT, ()))), "")
    return said if len(said) <= _MAX_TERMS else f"{said[:_MAX_TERMS]}…"


# -- a file ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the XMP of one file says, and that of the sidecar beside it.

    ``reading`` has the statements of this protocol and the faults of all XMP. ``tdm`` is for the reader of
    TDMRep, ``licences`` for that of licences; both come from ``raw``, the bytes of all packets.
    """

    reading: Reading
    tdm: Mapping[str, tuple[str, ...]]
    licences: tuple[str, ...]
    raw: bytes


_SILENT = Embedded(Reading(), {}, (), b"")


def read_embedded(data: bytes, sidecar: bytes = b"") -> Embedded:
    """Read all XMP in the file ``data`` and in the text of its sidecar; empty bytes are not there."""
    found = find_packets(data)
    if not (sidecar or found.packets or found.faults):
        return _SILENT
    properties, faults = _parsed(found.packets)
    beside, faults_beside = _parsed((Packet(sidecar, "the sidecar", 0),) if sidecar else ())
    raw = b"".join(packet.raw for packet in found.packets)
    readings = [
        Reading(faults=found.faults + faults + _missing(found, properties) + faults_beside),
        read(properties, _origin("xmp", raw)),
        read(beside, _origin("xmp sidecar", sidecar)),
    ]
    every = merged((properties, beside))
    return Embedded(joined(readings), tdm_properties(every), licence_texts(every), raw + sidecar)


def _origin(carrier: str, raw: bytes) -> Origin:
    return Origin(PROTOCOL, VERSION, carrier, raw, Speaker.EMBEDDED)


def _parsed(packets: tuple[Packet, ...]) -> tuple[Properties, tuple[Fault, ...]]:
    every, faults, left = [], [], MAX_MARKS
    for packet in packets:
        left -= marks(packet.raw)
        if left < 0:
            said = f"{packet.place}: at most {MAX_MARKS} tags and attributes of XMP are read; there are more"
            faults.append(Fault("xmp", "xmp", Status.ERROR, said))
            break
        try:
            every.append(parse(packet.raw))
        except UnreadableError as error:
            faults.append(Fault("xmp", "xmp", error.status, f"{packet.place}: {error.message}"))
    return merged(every), tuple(faults)


def _missing(found: Found, properties: Properties) -> tuple[Fault, ...]:
    """Return a fault for Extended XMP that the packet of a JPEG announces and that is not there.

    In other files the note is left over from a JPEG, and says nothing (XMP part 3, section 1.1.3.1).
    """
    said = {value.upper() for value in properties.get((XMP_NOTE, "HasExtendedXMP"), ()) if value}
    missing = sorted(said - found.guids) if found.kind == "jpeg" else []
    text = "the XMP of the JPEG names Extended XMP {}, which is not in the file"
    return tuple(Fault("xmp", "xmp", Status.MALFORMED, text.format(repr(guid[:40]))) for guid in missing[:1])
