"""The Data Mining property is read in four formats and two forms, as written here and by Exiv2."""

import json
from pathlib import Path

import pyexiv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Status, Use
from registry.signals.iptc import USES, VOCABULARY, DataMining, read, read_embedded
from registry.signals.observation import Origin
from registry.signals.xmp import PLUS
from registry.statement import Quality, Speaker
from tests.core.signals.packets import (
    FORMATS,
    STANDARD,
    extended,
    itxt,
    jpeg,
    mined,
    packet,
    picture,
    png,
    segment,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "iptc.json").read_text("utf-8"))
ORIGIN = Origin("iptc", "2025.1", "xmp", b"<x/>", Speaker.EMBEDDED)
RESTRICTS = (Preference.RESERVED, Preference.CONDITIONAL)


@pytest.mark.parametrize("case", VECTORS["packets"], ids=lambda case: case["name"])
def test_a_packet_is_read(case, check_reading):
    check_reading(read_embedded(jpeg(segment(STANDARD + case["xmp"].encode()))).reading, case)


def test_the_vectors_have_every_value():
    said = {one["said"] for case in VECTORS["packets"] for one in case["expect"] if "said" in one}
    assert said >= {str(code) for code in DataMining if USES[code]}
    assert set(USES) == set(DataMining)


def by_exiv2(kind: str, code: str, form: str) -> bytes:
    with pyexiv2.ImageData(picture(kind)) as image:
        if form == "attribute":
            image.modify_xmp({"Xmp.plus.DataMining": VOCABULARY + code})
        else:
            image.modify_raw_xmp(mined(code, form).decode())
        return image.get_bytes()


def by_hand(kind: str, code: str, form: str) -> bytes:
    return picture(kind, mined(code, form))


@pytest.mark.parametrize("code", list(DataMining), ids=str)
@pytest.mark.parametrize("form", ["attribute", "element"])
@pytest.mark.parametrize("write", [by_exiv2, by_hand])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_value_is_read_in_every_format_and_form(kind, write, form, code):
    embedded = read_embedded(write(kind, code, form))
    assert embedded.reading.faults == ()
    said = [(one.preferences, one.signal.said, one.signal.quality) for one in embedded.reading.statements]
    assert said == ([(dict(USES[code]), str(code), Quality.EXACT)] if USES[code] else [])
    assert (VOCABULARY + code).encode() in embedded.raw


def values(*found: str) -> dict:
    return {(PLUS, "DataMining"): found}


def test_values_without_end_are_cut_by_name():
    reading = read(values(*(f"DMI-PROHIBITED-{number}" for number in range(65))), ORIGIN)
    assert len(reading.statements) == 64
    assert [(one.status, one.message[-12:]) for one in reading.faults] == [(Status.ERROR, "there are 65")]


def test_terms_without_end_are_cut():
    properties = {**values("DMI-PROHIBITED-SEECONSTRAINT"), (PLUS, "OtherConstraints"): ("x" * 5000,)}
    (one,) = read(properties, ORIGIN).statements
    assert one.terms == "x" * 4000 + "…"


@given(st.sampled_from(["", VOCABULARY, VOCABULARY.replace("http", "https"), "urn:"]), st.text(max_size=30))
def test_only_what_the_table_knows_says_less_than_a_restriction(prefix, rest):
    for statement in read(values(f"{prefix}DMI-PROHIBITED{rest}"), ORIGIN).statements:
        restricted = [use for use, value in statement.preferences.items() if value in RESTRICTS]
        assert Use.GENAI_TRAIN in restricted or prefix == "urn:"


@given(st.text(max_size=40))
def test_nothing_that_the_table_does_not_know_permits(value):
    for statement in read(values(value), ORIGIN).statements:
        permits = Preference.ALLOWED in statement.preferences.values()
        assert not permits or value.strip().upper().endswith(("DMI-ALLOWED", "DMI-ALLOWED/", "INDEXING"))


def said(data: bytes, sidecar: bytes = b"") -> list[tuple[str, str]]:
    embedded = read_embedded(data, sidecar)
    assert embedded.reading.faults == ()
    return [(one.signal.carrier, one.signal.said) for one in embedded.reading.statements]


def test_two_packets_both_speak():
    data = png(itxt(mined("DMI-ALLOWED")), itxt(mined("DMI-PROHIBITED")))
    assert said(data) == [("xmp", "DMI-ALLOWED"), ("xmp", "DMI-PROHIBITED")]


def test_a_sidecar_speaks_beside_the_picture():
    assert said(picture("PNG"), mined("DMI-PROHIBITED")) == [("xmp sidecar", "DMI-PROHIBITED")]
    both = said(picture("JPEG", mined("DMI-ALLOWED")), mined("DMI-PROHIBITED"))
    assert both == [("xmp", "DMI-ALLOWED"), ("xmp sidecar", "DMI-PROHIBITED")]


def with_extended(raw: bytes, note: str) -> bytes:
    main = packet(attributes=f'xmpNote:HasExtendedXMP="{note}"').encode()
    return jpeg(segment(STANDARD + main), *extended(raw)[1])


def test_extended_xmp_speaks():
    raw = mined("DMI-PROHIBITED")
    assert said(with_extended(raw, extended(raw)[0])) == [("xmp", "DMI-PROHIBITED")]


def test_terms_may_stand_in_the_extended_part():
    raw = packet("<plus:OtherConstraints>Ask</plus:OtherConstraints>", wrapped=False).encode()
    uri = f"{VOCABULARY}DMI-PROHIBITED-SEECONSTRAINT"
    note = f'xmpNote:HasExtendedXMP="{extended(raw)[0]}" plus:DataMining="{uri}"'
    data = jpeg(segment(STANDARD + packet(attributes=note).encode()), *extended(raw)[1])
    assert [one.terms for one in read_embedded(data).reading.statements] == ["Ask"]


def test_extended_xmp_that_is_announced_and_missing_is_a_fault():
    main = packet(attributes=f'xmpNote:HasExtendedXMP="{"A" * 32}"').encode()
    (fault,) = read_embedded(jpeg(segment(STANDARD + main))).reading.faults
    assert fault.status is Status.MALFORMED
    assert "names Extended XMP 'AAAA" in fault.message


def test_in_a_png_the_note_of_a_jpeg_is_left_over():
    main = packet(attributes=f'xmpNote:HasExtendedXMP="{"A" * 32}"').encode()
    assert said(picture("PNG", main)) == []


def test_a_fault_names_the_place_and_leaves_what_else_was_read():
    data = png(itxt(mined("DMI-PROHIBITED")), itxt(b"<a>"))
    reading = read_embedded(data, b"<b>").reading
    assert [one.signal.said for one in reading.statements] == ["DMI-PROHIBITED"]
    places = [one.message.split(":")[0] for one in reading.faults]
    assert places == [f"PNG iTXt at byte {33 + len(itxt(mined('DMI-PROHIBITED')))}", "the sidecar"]
    assert {one.status for one in reading.faults} == {Status.MALFORMED}


def test_what_other_readers_need_is_handed_on():
    raw = packet("<cc:license>CC</cc:license>", 'tdm:reservation="1"').encode()
    beside = packet(attributes='tdm:policy="https://example.org/p"').encode()
    embedded = read_embedded(picture("WEBP", raw), beside)
    assert embedded.tdm == {"tdm-reservation": ("1",), "tdm-policy": ("https://example.org/p",)}
    assert embedded.licences == ("CC",)
    assert embedded.raw == raw + beside
    assert embedded.reading.statements == ()


def test_a_statement_carries_who_speaks_and_the_digest_of_all_packets():
    embedded = read_embedded(picture("TIFF", mined("DMI-PROHIBITED")))
    (one,) = embedded.reading.statements
    assert one.signal.speaker is Speaker.EMBEDDED
    assert (one.match.kind, one.match.certain, one.evidence_level) == ("iptc", True, 0)
    assert len(one.signal.raw_sha256) == 64


def test_pictures_without_xmp_say_nothing(demo):
    for data, _ in demo.values():
        embedded = read_embedded(data)
        assert (embedded.reading.faults, embedded.tdm) == ((), {})
