"""What is signed: every word of every key reads back, and nobody signs with what others would refuse."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyexiv2
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.errors import InputError, PictureError, PictureTooLargeError, ProofError, SettingsError
from registry.preference import Preference, Use
from registry.signals import c2pa
from registry.signals.writing.c2pa import MIMES, Credential, carried, sign
from registry.signals.writing.choice import Choice, losses
from registry.statement import Quality, Speaker
from tests.core.signals.certificates import credential, pem_key
from tests.core.signals.signing import FORMATS, PERMITS, assertion, only, picture, signed

RESERVED, CONDITIONAL, ALLOWED, _ = Preference
EVERY = Choice(dict.fromkeys(c2pa.KEYS.values(), RESERVED))
TERMS = "https://example.com/licence"
DMI = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"


def by(**options: object) -> Credential:
    issued = credential(**options)
    return Credential(issued.chain, issued.key)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [RESERVED, CONDITIONAL, ALLOWED])
def test_every_value_of_every_key_reads_back(kind, value):
    meant = Choice(dict.fromkeys(c2pa.KEYS.values(), value), TERMS)
    [one] = c2pa.read(sign(picture(kind), Image.MIME[kind], meant, by())).statements
    assert one.preferences == meant.preferences == carried(meant)
    assert one.terms == (TERMS if value is CONDITIONAL else "")
    assert (one.signal.speaker, one.signal.quality) == (Speaker.SIGNED, Quality.EXACT)


VALUES = st.sampled_from([RESERVED, CONDITIONAL, ALLOWED])


@settings(max_examples=25)
@given(preferences=st.dictionaries(st.sampled_from(list(Use)), VALUES), terms=st.sampled_from(["", TERMS]))
def test_of_any_choice_what_is_carried_reads_back_and_the_rest_is_told_as_lost(preferences, terms):
    meant = Choice(preferences, terms)
    said = carried(meant)
    assert {loss.use for loss in losses(meant, said)} == set(preferences) & {Use.AI_INDEX, Use.SEARCH}
    if not said:
        with pytest.raises(InputError, match="nothing to sign"):
            sign(picture("WEBP"), "image/webp", meant, by())
        return
    [one] = c2pa.read(sign(picture("WEBP"), "image/webp", meant, by())).statements
    assert one.preferences == said


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "Ed25519", "RSA-2048"])
def test_every_kind_of_key_that_may_sign_does(kind):
    data = sign(picture("PNG"), "image/png", EVERY, by(kind=kind))
    assert only(c2pa.read(data))[0] is RESERVED


@pytest.mark.parametrize("purpose", ["emailProtection", "documentSigning", "claimSigning"])
def test_every_purpose_that_may_sign_does(purpose):
    assert only(c2pa.read(sign(picture(), "image/jpeg", EVERY, by(purpose=purpose))))[0] is RESERVED


@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
def test_a_key_is_read_in_either_form(form):
    key = serialization.load_pem_private_key(credential().key, None)
    text = key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), serialization.NoEncryption()
    )
    assert sign(picture(), "image/jpeg", EVERY, replace(by(), key=text))


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_and_xmp_stay_as_they_were(kind):
    with pyexiv2.ImageData(picture(kind)) as image:
        image.modify_xmp({"Xmp.dc.title": "Heron", "Xmp.plus.DataMining": DMI})
        before = image.get_bytes()
    after = sign(before, Image.MIME[kind], EVERY, by())
    with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
        assert np.array_equal(np.asarray(old), np.asarray(new))
        assert old.info.get("xmp") == new.info.get("xmp")
    with pyexiv2.ImageData(before) as old, pyexiv2.ImageData(after) as new:
        assert old.read_raw_xmp() == new.read_raw_xmp()
        assert new.read_xmp()["Xmp.plus.DataMining"] == DMI


def test_an_earlier_manifest_stays_as_that_of_the_parent():
    data = sign(signed(picture(), assertion(PERMITS)), "image/jpeg", EVERY, by())
    [one] = c2pa.read(data).statements
    assert one.preferences == EVERY.preferences


def test_the_picture_carries_no_thumbnail():
    plain = picture("WEBP")
    assert len(sign(plain, "image/webp", EVERY, by())) - len(plain) < 6_000


def test_a_credential_does_not_show_its_key():
    assert "PRIVATE" not in repr(by())


OTHER = replace(by(), key=credential(owner="John Doe").key)
HIDDEN = replace(by(), key=pem_key(serialization.load_pem_private_key(by().key, None), b"secret"))


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (by(first=-20, last=-10), "not valid at time of signing"),
        (by(first=10, last=20), "not valid at time of signing"),
        (by(purpose="serverAuth"), r"a certificate for 1\.3\.6\.1\.5\.5\.7\.3\.1"),
        (by(purpose=""), "no named purpose"),
        (OTHER, "not that of the first certificate"),
        (replace(by(), chain=credential().root + by().chain), "not that of the first certificate"),
        (HIDDEN, "encrypted"),
        (replace(by(), key=b"no key"), "private key is not PEM"),
        (replace(by(), chain=b"no chain"), "chain is not PEM"),
        (by(kind="secp256k1"), "a kind that may not sign"),
        (by(kind="RSA-1024"), "a kind that may not sign"),
    ],
    ids=[
        "expired",
        "not yet",
        "server",
        "no purpose",
        "other key",
        "root first",
        "hidden",
        "no key",
        "no chain",
        "curve",
        "short RSA",
    ],
)
def test_who_cannot_sign_is_told_why(who, says):
    with pytest.raises(ProofError, match=says) as caught:
        sign(picture(), "image/jpeg", EVERY, who)
    assert "PRIVATE" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("data", "mime", "chosen", "error", "says"),
    [
        (picture("PNG"), "image/jpeg", EVERY, PictureError, "expected image/jpeg, got image/png"),
        (b"hello", "image/jpeg", EVERY, PictureError, "a file of another kind"),
        (picture("GIF"), "image/gif", EVERY, PictureError, "a file of another kind"),
        (picture()[:300], "image/jpeg", EVERY, PictureError, "cannot be signed"),
        (b"\xff\xd8" + bytes(c2pa.MAX_FILE), "image/jpeg", EVERY, PictureTooLargeError, "at most"),
        (picture(), "image/jpeg", Choice({Use.SEARCH: RESERVED}), InputError, "nothing to sign"),
        (picture(), "image/jpeg", Choice({}), InputError, "nothing to sign"),
    ],
    ids=["mime", "text", "gif", "cut", "large", "search", "empty"],
)
def test_what_cannot_be_signed_is_refused(data, mime, chosen, error, says):
    with pytest.raises(error, match=says):
        sign(data, mime, chosen, by())


def test_without_the_extra_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(SettingsError) as caught:
        sign(picture(), "image/jpeg", EVERY, by())
    assert caught.value.hint == "pip install 'caveat-registry[c2pa]'"


def test_what_does_not_read_back_is_not_given_away(monkeypatch):
    other = signed(picture(), assertion({"cawg.data_mining": {"use": "allowed"}}))
    monkeypatch.setattr("registry.signals.writing.c2pa._signed", lambda *_: other)
    with pytest.raises(ProofError, match=r"does not read back .*cawg.data_mining allowed"):
        sign(picture(), "image/jpeg", EVERY, by())


def test_every_media_type_is_one_that_can_be_signed():
    assert set(MIMES.values()) == {Image.MIME[kind] for kind in FORMATS}


def test_the_guide_has_every_key_with_its_use():
    text = (Path(__file__).parents[3] / "docs" / "how-to" / "sign-with-c2pa.md").read_text("utf-8")
    rows = {tuple(row.split(" | ")[:2]) for row in text.splitlines()}
    assert rows >= {(f"| `{use}`", f"`cawg.{key}`") for key, use in c2pa.KEYS.items()}
