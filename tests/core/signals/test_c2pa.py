"""What is read of manifests: by whom, in which state, of whom it descends."""

import io
import json
from pathlib import Path

import c2pa as library
import numpy as np
import pyexiv2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from registry.errors import SettingsError
from registry.preference import Preference, Status
from registry.signals import c2pa
from registry.signals.manifests import pieces
from registry.signals.observation import Reading
from registry.statement import Quality, Speaker
from tests.core.signals.certificates import Issued, credential
from tests.core.signals.signing import (
    FORMATS,
    INVALID,
    PERMITS,
    RESERVES,
    VALID,
    assertion,
    only,
    permits,
    picture,
    restricts,
    shown,
    signed,
)

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "signals" / "c2pa.json").read_text("utf-8"))["cases"]


# -- what is said ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def png() -> bytes:
    return picture("PNG")


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_an_assertion_is_read(case, png, check_reading):
    check_reading(c2pa.read(signed(png, *case["assertions"])), case)


@pytest.mark.parametrize("kind", [*FORMATS, "GIF", "AVIF"])
def test_every_format_is_read(kind):
    data = picture(kind)
    assert not c2pa.has_manifest(data)
    assert c2pa.read(data) == Reading()
    with_manifest = signed(data, assertion(RESERVES))
    assert c2pa.has_manifest(with_manifest)
    assert only(c2pa.read(with_manifest)) == (Preference.RESERVED, VALID)


@pytest.mark.parametrize("kind", [*FORMATS, "GIF", "AVIF"])
def test_a_manifest_of_several_segments_is_read(kind):
    terms = "x" * 150_000
    entries = {"cawg.ai_training": {"use": "constrained", "constraint_info": terms}}
    data = signed(picture(kind), assertion(entries))
    assert only(c2pa.read(data)) == (Preference.CONDITIONAL, VALID)
    assert terms.encode() in b"".join(pieces(data))


def test_a_statement_says_in_which_state_the_manifest_is():
    data = signed(picture(), assertion(RESERVES))
    [one] = c2pa.read(data).statements
    assert one.signal.said == "Valid, credential untrusted, signed by Jane Doe: cawg.ai_training notAllowed"
    [one] = c2pa.read(data, trust_anchors=credential().root).statements
    assert one.signal.said == "Trusted, signed by Jane Doe: cawg.ai_training notAllowed"
    assert one.match.kind == "c2pa"
    assert one.match.certain


@pytest.mark.parametrize("purpose", ["emailProtection", "documentSigning", "claimSigning"])
def test_every_purpose_of_a_certificate_that_may_sign_is_trusted(purpose):
    data = signed(picture("WEBP"), assertion(PERMITS), by=credential(purpose))
    reading = c2pa.read(data, trust_anchors=credential().root)
    assert only(reading) == (Preference.ALLOWED, VALID)
    assert reading.statements[0].signal.said.startswith("Trusted, ")


@pytest.mark.parametrize("anchors", [b"not PEM", credential().key, "ä".encode()])
def test_trust_anchors_that_are_none_are_an_error(anchors):
    with pytest.raises(SettingsError, match="not PEM certificates"):
        c2pa.read(b"", trust_anchors=anchors)


# -- what is not as it was signed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "left"), [(RESERVES, Preference.RESERVED), (PERMITS, Preference.UNKNOWN)], ids=["no", "yes"]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_was_tampered_with_is_restricted_and_not_permitted(kind, entries, left):
    data = bytearray(signed(picture(kind), assertion(entries)))
    scan = data.index(picture(kind)[1500:1532])
    data[scan + 16] ^= 1
    reading = c2pa.read(bytes(data))
    assert only(reading) == (left, INVALID)
    assert "Invalid, assertion.dataHash.mismatch" in reading.statements[0].signal.said


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        (credential(first=-20, last=-10), "signingCredential.expired"),
        (credential(first=10, last=20), "signingCredential.expired"),
        (credential("serverAuth"), "signingCredential.invalid"),
    ],
    ids=["expired", "not yet valid", "server"],
)
@pytest.mark.parametrize(
    ("entries", "left"), [(RESERVES, Preference.RESERVED), (PERMITS, Preference.UNKNOWN)], ids=["no", "yes"]
)
def test_a_certificate_that_may_not_sign_restricts_and_does_not_permit(leaf, code, entries, left):
    reading = c2pa.read(shown(picture(), entries, leaf), trust_anchors=leaf.root)
    assert only(reading) == (left, INVALID)
    assert f"Invalid, {code}" in reading.statements[0].signal.said


def test_a_signature_by_another_key_restricts_and_does_not_permit():
    mixed = Issued(credential().chain, credential(owner="John Doe").key, b"", b"")
    settings = dict(c2pa.library_settings()) | {"verify": {"verify_after_sign": False}}
    for entries, left in ((RESERVES, Preference.RESERVED), (PERMITS, Preference.UNKNOWN)):
        data = signed(picture(), assertion(entries), by=mixed, settings=settings)
        assert only(c2pa.read(data)) == (left, INVALID)


@pytest.mark.parametrize(("old", "new"), [(b"notAllowed", b"nowAllowed"), (b"gallowed", b"gallowee")])
def test_an_assertion_that_was_altered_is_a_fault(old, new):
    data = signed(picture("PNG"), assertion(RESERVES if old == b"notAllowed" else PERMITS))
    assert data.count(old) == 1
    reading = c2pa.read(data.replace(old, new))
    assert not permits(reading)
    assert {one.status for one in reading.faults} == {Status.MALFORMED}
    assert any("assertion.hashedURI.mismatch" in one.message for one in reading.faults)


def test_an_assertion_that_was_turned_round_does_not_permit():
    refused = signed(picture("PNG"), assertion({"cawg.data_mining": {"use": "notAllowed"}}))
    turned = refused.replace(b"cusejnotAllowed", b"cuseiallowed\x60\x60\x60")
    assert len(turned) == len(refused)
    assert turned != refused
    reading = c2pa.read(turned)
    assert not permits(reading)
    assert reading.faults


@pytest.mark.parametrize("kind", FORMATS)
def test_xmp_that_is_written_after_signing_breaks_the_signature(kind):
    with pyexiv2.ImageData(signed(picture(kind), assertion(PERMITS))) as image:
        image.modify_xmp({"Xmp.dc.title": "later"})
        data = image.get_bytes()
    assert only(c2pa.read(data)) == (Preference.UNKNOWN, INVALID)


@pytest.mark.parametrize("kind", FORMATS)
def test_saving_again_takes_the_manifest_away(kind):
    data = signed(picture(kind), assertion(RESERVES))
    again = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        Image.fromarray(np.asarray(image)).save(again, kind)
    assert not c2pa.has_manifest(again.getvalue())
    assert c2pa.read(again.getvalue()) == Reading()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_cut_short_is_never_silent_once_the_manifest_has_begun(kind):
    data = signed(picture(kind), assertion(RESERVES))
    begin = data.index(b"jumb")
    for stop in range(begin + 8, len(data), 331):
        reading = c2pa.read(data[:stop])
        assert reading.faults or restricts(reading), stop


@pytest.fixture(scope="module")
def store() -> tuple[bytes, int, int]:
    """A signed PNG, and from where to where its manifest goes."""
    data = signed(picture("PNG"), assertion(RESERVES))
    [one] = pieces(data)
    begin = data.index(one)
    return data, begin, begin + len(one)


@given(part=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_no_byte_of_a_manifest_can_be_changed_so_that_nothing_is_said(store, part, value):
    data, begin, end = store
    at = begin + int(part * (end - begin))
    reading = c2pa.read(data[:at] + bytes([value]) + data[at + 1 :])
    assert restricts(reading) or reading.faults
    assert not permits(reading)


# -- ingredients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_parent_reserved_stays_reserved(kind):
    parent = signed(picture(kind), assertion(RESERVES))
    child = signed(parent, assertion(PERMITS))
    reading = c2pa.read(child)
    assert only(reading) == (Preference.ALLOWED, VALID)
    assert only(reading, "ingredient") == (Preference.RESERVED, (Speaker.EMBEDDED, Quality.EXACT))


def test_what_a_parent_allowed_is_not_said_of_the_child():
    child = signed(signed(picture(), assertion(PERMITS)))
    assert c2pa.read(child) == Reading()


def test_a_grandparent_speaks_too():
    data = signed(signed(signed(picture(), assertion(RESERVES)), assertion(PERMITS)), assertion(PERMITS))
    assert only(c2pa.read(data), "ingredient") == (Preference.RESERVED, (Speaker.EMBEDDED, Quality.EXACT))


def test_a_parent_whose_manifest_is_gone_is_a_fault():
    parent = signed(picture("PNG"), assertion(RESERVES))
    child = signed(parent, assertion(PERMITS))
    name = next(iter(json.loads(library.Reader(io.BytesIO(parent)).json())["manifests"])).encode()
    at = child.index(name)
    reading = c2pa.read(child[:at] + name[:-1] + b"x" + child[at + len(name) :])
    assert not permits(reading)
    assert any("ingredient.manifest.missing" in one.message for one in reading.faults)
