"""What a publisher writes into a picture itself: IPTC's Data Mining property, and TDMRep beside it.

The pixels stay bit for bit, and what else is in the file byte for byte where the format permits; a packet of
XMP that is there keeps all its other properties. A file signed by C2PA is refused, since any change voids
the signature: write first, sign last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from registry.errors import InputError
from registry.signals.c2pa import has_manifest
from registry.signals.containers import find_packets
from registry.signals.iptc import CONSTRAINTS, VOCABULARY, DataMining
from registry.signals.writing.packet import Property, holds, put
from registry.signals.writing.places import edit_packets
from registry.signals.xmp import PLUS, TDM, Name, parse

__all__ = ["XmpRights", "write_packet", "write_preferences"]

_PLUS = ("plus", "http://ns.useplus.org/ldf/xmp/1.0/")
_RIGHTS = ("xmpRights", "http://ns.adobe.com/xap/1.0/rights/")
_TDM = ("tdm", "http://www.w3.org/ns/tdmrep/")
_OWN: frozenset[Name] = frozenset({(PLUS, "DataMining"), (TDM, "reservation"), (TDM, "policy")})


@dataclass(frozen=True, slots=True)
class XmpRights:
    """What is to stand in the XMP of a picture; what is empty or None stays as it is there.

    ``constraints`` are ``plus:OtherConstraints``, a text for people in the default language,
    ``web_statement`` is the address of the terms. ``reservation`` and ``policy`` are those of TDMRep, which
    knows no carrier in pictures: readers that follow its words for PDF read it.
    """

    data_mining: DataMining
    constraints: str = ""
    web_statement: str = ""
    reservation: bool | None = None
    policy: str = ""


def write_preferences(data: bytes, values: XmpRights) -> bytes:
    """Return the picture (JPEG, PNG, WebP or TIFF) with ``values`` in its XMP.

    Raises :class:`InputError` for another kind of file, one with a C2PA manifest, XMP that cannot be read or
    has no room, a place that says otherwise and cannot be edited, and values that lack what they point to.
    """
    if has_manifest(data):
        raise InputError(
            "the picture has a C2PA manifest, or what may be one: a change would void its signature",
            hint="Write into the picture before it is signed, and sign it afterwards.",
        )
    before = find_packets(data)
    if before.faults:
        said = before.faults[0].message
        raise InputError(f"the XMP of the picture cannot be read: {said}", hint="Take it out first.")
    written = edit_packets(data, lambda raw: write_packet(raw, values))
    _check(written, values)
    return written


def write_packet(raw: bytes, values: XmpRights) -> bytes:
    """Return the packet ``raw``, or a new one for empty bytes, with ``values`` in it: the text of a sidecar.

    Raises :class:`InputError` for a packet that cannot be read, and as :func:`write_preferences` for values.
    """
    gone = _OWN if values.reservation is not None else {(PLUS, "DataMining")}
    _check_values(raw, values)
    return put(raw, list(_properties(values)), gone)


def _properties(values: XmpRights) -> Iterator[Property]:
    yield Property(*_PLUS, "DataMining", VOCABULARY + values.data_mining)
    if values.constraints:
        yield Property(*_PLUS, "OtherConstraints", values.constraints, language=True)
    if values.web_statement:
        yield Property(*_RIGHTS, "WebStatement", values.web_statement)
    if values.reservation is not None:
        yield Property(*_TDM, "reservation", str(int(values.reservation)))
    if values.policy:
        yield Property(*_TDM, "policy", values.policy)


def _check_values(raw: bytes, values: XmpRights) -> None:
    if values.policy and not values.reservation:
        raise InputError(
            "a policy of TDMRep, and no reservation", hint="A policy says more of a reservation."
        )
    points_to = CONSTRAINTS.get(values.data_mining)
    if points_to is None or (values.constraints and points_to == (PLUS, "OtherConstraints")):
        return
    if not raw or not any(parse(raw).get(points_to, ())):
        raise InputError(
            f"{values.data_mining} points to {points_to[1]}, which is not there",
            hint="Name constraints, or use DMI-PROHIBITED.",
        )


def _check(written: bytes, values: XmpRights) -> None:
    """Refuse a picture in which a place that is not edited says something else, or that cannot be read."""
    found = find_packets(written)
    code = VOCABULARY + values.data_mining
    own = [one for one in found.packets if code in parse(one.raw).get((PLUS, "DataMining"), ())]
    others = [one for one in found.packets if one not in own and holds(one.raw, _OWN)]
    if found.faults or others or not own:
        where = f" in {others[0].place}" if others else ""
        raise InputError(
            f"the picture says something else of data mining{where}, where it cannot be changed",
            hint="Take out that metadata first.",
        )
