import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from registry.errors import InvalidFingerprintError
from registry.fingerprint import (
    MIN_BITS,
    MIN_QUALITY,
    QUERY_FORMS,
    REGISTERED_WINDOWS,
    REVIEW_RADIUS,
    STRICT_RADIUS,
    VERSION,
    Fingerprint,
    has_bits,
    hash_words,
    is_distinctive,
    pack_windows,
    parse_fingerprint,
    query_fingerprint,
    registered_fingerprint,
    sha256_from_hex,
    trim_box,
    unpack_windows,
)
from registry.hamming import HammingIndex
from registry.pdq import luma_of, pdq
from registry.picture import LEAST_SIDE, decode_picture

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "fingerprint.json").read_text("utf-8"))
HALF = bytes([0b01010101]) * 32


def bits(value):
    return int.from_bytes(value, "big").bit_count()


def framed(image, grey):
    width, height = image.width // 10, image.height // 10
    return ImageOps.expand(image, (width, height, width, height), fill=(grey, grey, grey))


def square(image):
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def half(image):
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


LOSSLESS = {"kind": "BMP"}
# How the copy is made, how it is saved, and the largest distance (bits) measured over the 16 demo pictures.
COPIES = {
    "JPEG 90": (lambda image: image, {"kind": "JPEG", "quality": 90}, 2),
    "JPEG 50": (lambda image: image, {"kind": "JPEG", "quality": 50}, 4),
    "JPEG 30": (lambda image: image, {"kind": "JPEG", "quality": 30}, 6),
    "WebP 50": (lambda image: image, {"kind": "WEBP", "quality": 50}, 6),
    "PNG": (lambda image: image, {"kind": "PNG", "compress_level": 1}, 0),
    "half size": (half, LOSSLESS, 12),
    "mirror": (ImageOps.mirror, LOSSLESS, 16),
    "centre square": (square, LOSSLESS, 0),
    "white border": (lambda image: framed(image, 255), LOSSLESS, 6),
    "black border": (lambda image: framed(image, 0), LOSSLESS, 0),
}


@pytest.fixture(scope="module")
def registered(demo):
    """The 16 fingerprints, the index of their windows, and the picture of each record."""
    prints = {path: registered_fingerprint(picture, data) for path, (data, picture) in demo.items()}
    owners = [path for path, one in prints.items() for _ in one.pdq]
    words = hash_words([value for one in prints.values() for value in one.pdq.values()])
    index = HammingIndex(4)
    index.add(words, np.full(len(words), STRICT_RADIUS, np.uint8))
    return prints, index, owners


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda one: Path(one["path"]).stem)
def test_the_demo_pictures_keep_their_fingerprints(case, demo, registered):
    data, picture = demo[case["path"]]
    print_ = registered[0][case["path"]]
    assert list(picture.size) == case["size"]
    assert print_.to_wire() == case["registered"]
    assert query_fingerprint(picture, data).to_wire() == case["asked"]
    assert print_.sha256 == hashlib.sha256(data).digest() == bytes.fromhex(case["sha256"])


def test_the_vectors_cover_every_demo_picture(demo):
    assert {case["path"] for case in VECTORS["files"]} == set(demo)


@pytest.mark.parametrize("copy", COPIES)
def test_all_16_demo_pictures_are_recognised_in_a_copy_and_taken_for_no_other(copy, demo, registered, encode):
    change, saved, farthest = COPIES[copy]
    own, other = {}, {}
    for path, (_, picture) in demo.items():
        data = encode(change(Image.fromarray(picture.rgb)), **saved)
        asked = query_fingerprint(decode_picture(data), data)
        found = registered[1].query(hash_words(list(asked.pdq.values())), 256)
        for record, distance in zip(found.record.tolist(), found.distance.tolist(), strict=True):
            nearest = own if registered[2][record] == path else other
            nearest[path] = min(distance, nearest.get(path, 256))
    assert len(own) == len(other) == 16
    assert max(own.values()) <= farthest + 2 <= STRICT_RADIUS
    # The nearest of all unrelated pairs measured is 98 bits apart.
    assert min(other.values()) > 90 > REVIEW_RADIUS


def test_a_quarter_turn_is_not_recognised(demo, registered, encode):
    data = encode(
        Image.fromarray(demo["registry/demo/pictures/ada/sunflower.jpg"][1].rgb).rotate(90, expand=True)
    )
    asked = query_fingerprint(decode_picture(data), data)
    assert len(registered[1].query(hash_words(list(asked.pdq.values())), REVIEW_RADIUS)) == 0


def noise(width, height, low=0, high=256):
    """Blocks of random grey: nothing plain in it."""
    grey = np.random.default_rng(width * height).integers(low, high, (height // 16 + 1, width // 16 + 1))
    return grey.repeat(16, 0).repeat(16, 1)[:height, :width].astype(np.uint8)


def both_of(pixels, encode, **options):
    data = encode(Image.fromarray(pixels), **options)
    picture = decode_picture(data)
    return registered_fingerprint(picture, data), query_fingerprint(picture, data)


def test_the_windows_are_whole_trimmed_and_three_squares(encode):
    grey = np.full((240, 360), 255, np.uint8)
    grey[20:220, 30:330] = noise(300, 200, 0, 200)
    registered, asked = both_of(grey, encode)
    luma = luma_of(grey[..., None].repeat(3, 2))
    expected = {
        "full": luma,
        "trim": luma[20:220, 30:330],
        "start": luma[:, :240],
        "middle": luma[:, 60:300],
        "end": luma[:, 120:],
    }
    hashes = {name: pdq(np.ascontiguousarray(part)) for name, part in expected.items()}
    assert registered.pdq == {name: one.bits for name, one in hashes.items()}
    assert asked.pdq == {
        "full": hashes["full"].bits,
        "mirror": hashes["full"].mirrored,
        "trim": hashes["trim"].bits,
        "trim_mirror": hashes["trim"].mirrored,
    }
    upright, _ = both_of(np.ascontiguousarray(grey.T), encode)
    assert upright.pdq["start"] == pdq(np.ascontiguousarray(luma.T[:240])).bits


def test_equal_windows_are_folded(encode):
    registered, asked = both_of(noise(200, 200), encode)
    assert list(registered.pdq) == ["full"]
    assert list(asked.pdq) == ["full", "mirror"]


def test_a_picture_with_alpha_is_registered_on_white_and_on_black(encode):
    grey = noise(320, 200)
    alpha = np.full((200, 320), 255, np.uint8)
    alpha[30:150, 120:200] = 0
    registered, asked = both_of(np.stack([grey, grey, grey, alpha], -1), encode)
    assert {"full", "middle", "full_black", "middle_black"} <= set(registered.pdq) <= set(REGISTERED_WINDOWS)
    for ground, name in ((255, "full"), (0, "full_black")):
        flat = np.where(alpha == 255, grey, ground).astype(np.uint8)
        assert both_of(flat, encode)[1].pdq["full"] == registered.pdq[name]
    assert set(asked.pdq) <= set(QUERY_FORMS)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((100, 160), 128, np.uint8),
        np.zeros((64, 64), np.uint8),
        np.linspace(0, 255, 300).astype(np.uint8)[None].repeat(200, 0),
        noise(4, 300),
        np.full((1, 1), 9, np.uint8),
    ],
    ids=["grey", "black", "gradient", "four pixels wide", "one pixel"],
)
def test_a_plain_picture_is_registered_by_its_sha256_alone(pixels, encode):
    data = encode(Image.fromarray(pixels))
    for one in both_of(pixels, encode):
        assert one.quality < MIN_QUALITY
        assert one.sha256 == hashlib.sha256(data).digest()
        assert len(one.phash) == 8
    assert one.pdq == {} or all(has_bits(value) for value in one.pdq.values())
    assert both_of(pixels, encode)[0].pdq == {}


@pytest.mark.parametrize(
    ("quality", "count", "expected"),
    [(50, 112, True), (49, 128, False), (50, 111, False), (100, 256, True), (0, 0, False)],
)
def test_what_is_distinctive(quality, count, expected):
    assert (
        is_distinctive(quality, {"full": ((1 << count) - 1).to_bytes(32, "big"), "mirror": HALF}) is expected
    )
    assert (MIN_QUALITY, MIN_BITS) == (50, 112)


def canvas(height, width, box, ground=255.0):
    luma = np.full((height, width), ground, np.float32)
    top, bottom, left, right = box
    luma[top:bottom, left:right] = noise(right - left, bottom - top, 0, 200)
    return luma


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((20, 180, 30, 270), (20, 180, 30, 270)),
        ((0, 180, 0, 300), (0, 180, 0, 300)),
        ((5, 200, 0, 300), (5, 200, 0, 300)),
        ((0, 200, 0, 300), None),
        ((60, 127, 0, 300), (60, 127, 0, 300)),
        ((60, 126, 0, 300), None),
        ((0, 200, 100, 200), (0, 200, 100, 200)),
        ((0, 200, 100, 199), None),
        ((0, 67, 0, 300), (0, 67, 0, 300)),
    ],
    ids=["all sides", "bottom", "top", "no border", "low", "too low", "narrow", "too narrow", "one side"],
)
def test_a_plain_border_is_found(box, expected):
    assert trim_box(canvas(200, 300, box)) == expected
    mirrored = trim_box(np.ascontiguousarray(canvas(200, 300, box)[:, ::-1]))
    assert mirrored == (expected and (*expected[:2], 300 - expected[3], 300 - expected[2]))


def test_a_remainder_below_64_pixels_is_no_picture_in_a_frame():
    assert trim_box(canvas(70, 70, (3, 67, 3, 67))) == (3, 67, 3, 67)
    assert trim_box(canvas(70, 70, (3, 66, 3, 67))) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (200, 200)])
def test_a_plain_picture_has_no_border(size):
    assert trim_box(np.full(size, 7, np.float32)) is None


def test_the_border_may_differ_by_ten_grey_levels_on_98_percent_of_a_line():
    luma = canvas(200, 300, (20, 200, 0, 300), ground=100.0)
    luma[5:20] = 110.0
    luma[7, :5] = 0.0
    assert trim_box(luma) == (20, 200, 0, 300)
    luma[7, :7] = 0.0
    assert trim_box(luma) == (7, 200, 0, 300)
    luma[3] = 110.5
    assert trim_box(luma) == (3, 200, 0, 300)


HEX = "0123456789abcdef" * 4
GOOD = {"v": 1, "quality": 77, "phash": "00ff" * 4, "pdq": {"full": HEX}}


def test_the_wire_form_is_read_and_written_alike():
    found = parse_fingerprint(GOOD, QUERY_FORMS)
    assert found == Fingerprint(1, 77, bytes.fromhex("00ff" * 4), {"full": bytes.fromhex(HEX)})
    assert found.to_wire() == GOOD
    assert parse_fingerprint({"v": 1, "quality": 0}, QUERY_FORMS) == Fingerprint(VERSION, 0)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"v": True}, "fingerprint.v"),
        ({"v": "1"}, "fingerprint.v"),
        ({"v": 1.0}, "fingerprint.v"),
        ({"v": "+1"}, "fingerprint.v"),
        ({"v": 0}, "fingerprint.v"),
        ({"v": 2}, "fingerprint.v"),
        ({"v": None}, "fingerprint.v"),
        ({"quality": True}, "fingerprint.quality"),
        ({"quality": "+5"}, "fingerprint.quality"),
        ({"quality": 50.0}, "fingerprint.quality"),
        ({"quality": -1}, "fingerprint.quality"),
        ({"quality": 101}, "fingerprint.quality"),
        ({"quality": None}, "fingerprint.quality"),
        ({"phash": None}, "fingerprint.phash"),
        ({"phash": "00FF" * 4}, "fingerprint.phash"),
        ({"phash": "00ff" * 4 + "\n"}, "fingerprint.phash"),
        ({"phash": 0}, "fingerprint.phash"),
        ({"pdq": None}, "fingerprint.pdq"),
        ({"pdq": [HEX]}, "fingerprint.pdq"),
        ({"pdq": {"start": HEX}}, "fingerprint.pdq"),
        ({"pdq": {"full": HEX.upper()}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": HEX + "\n"}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": HEX[:-1] + "\n"}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": HEX[:-1]}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": "0x" + HEX[2:]}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": " " + HEX[1:]}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": "٣" * 64}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": ""}}, "fingerprint.pdq.full"),
        ({"pdq": {"full": HALF}}, "fingerprint.pdq.full"),
        ({"sha256": HEX}, "fingerprint: unknown member 'sha256'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_we_would_not_have_written_is_refused_at_its_place(change, place):
    with pytest.raises(InvalidFingerprintError) as caught:
        parse_fingerprint({**GOOD, **change}, QUERY_FORMS)
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("missing", ["v", "quality"])
def test_a_missing_member_is_refused(missing):
    with pytest.raises(InvalidFingerprintError, match=rf"x\[3\]\.{missing}"):
        parse_fingerprint({k: v for k, v in GOOD.items() if k != missing}, QUERY_FORMS, where="x[3]")


@pytest.mark.parametrize("wire", [None, [], "1", 1, True], ids=repr)
def test_what_is_no_object_is_refused(wire):
    with pytest.raises(InvalidFingerprintError, match="expected an object"):
        parse_fingerprint(wire, QUERY_FORMS)


def test_a_sha256_is_64_lower_case_digits():
    assert sha256_from_hex(HEX) == bytes.fromhex(HEX)


@pytest.mark.parametrize(
    "text", [HEX.upper(), HEX + "\n", HEX[:-1], HEX + "0", "", None, 5, b"0" * 64], ids=repr
)
def test_another_sha256_is_refused(text):
    with pytest.raises(InvalidFingerprintError, match=r"^item\.sha256: expected 64 lower-case hex digits"):
        sha256_from_hex(text, where="item.sha256")


def test_words_are_big_endian_and_keep_their_order():
    one, two = bytes(range(32)), bytes(31) + b"\x01"
    words = hash_words([one, two])
    assert (words.dtype, words.shape) == (np.uint64, (2, 4))
    assert words[0, 0] == 0x0001020304050607
    assert words[1].tolist() == [0, 0, 0, 1]
    assert hash_words([b"\x80" + bytes(7)]).tolist() == [[2**63]]
    assert len(hash_words([])) == 0


def test_the_packed_form_is_frozen():
    fingerprint = Fingerprint(1, 77, b"phash..8", {"middle": b"m" * 32, "full": b"f" * 32})
    assert pack_windows(fingerprint, {"full": 30, "middle": 9}, 5) == (
        b"\x01\x4d\x05\x01phash..8" + b"\x00\x1e" + b"f" * 32 + b"\x03\x09" + b"m" * 32
    )
    assert unpack_windows(pack_windows(fingerprint))[1] == {"full": 47, "middle": 47}
    assert pack_windows(Fingerprint(1, 0)) == b"\x01\x00\x00\x00"
    assert (
        *("full", "trim", "start", "middle", "end"),
        *("full_black", "trim_black", "start_black", "middle_black", "end_black"),
    ) == REGISTERED_WINDOWS


def prints(names):
    return st.builds(
        Fingerprint,
        st.just(VERSION),
        st.integers(0, 100),
        st.none() | st.binary(min_size=8, max_size=8),
        st.dictionaries(st.sampled_from(names), st.binary(min_size=32, max_size=32)),
        st.none() | st.binary(min_size=32, max_size=32),
    )


@given(prints(REGISTERED_WINDOWS), st.randoms(), st.integers(0, 255))
def test_packing_and_unpacking_gives_all_but_the_sha256(fingerprint, random, calibration):
    radii = {name: random.randrange(256) for name in fingerprint.pdq}
    packed = pack_windows(fingerprint, radii, calibration)
    again, unpacked = unpack_windows(packed)
    assert again == replace(fingerprint, sha256=None)
    assert unpacked == radii
    assert packed[2] == calibration
    assert pack_windows(again, radii, calibration) == packed


@given(prints(QUERY_FORMS))
def test_writing_and_reading_gives_all_but_the_sha256(fingerprint):
    wire = json.loads(json.dumps(fingerprint.to_wire()))
    assert parse_fingerprint(wire, QUERY_FORMS) == replace(fingerprint, sha256=None)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_words_count_the_bits_of_the_bytes(hashes):
    assert np.bitwise_count(hash_words(hashes)).sum(axis=1).tolist() == [bits(one) for one in hashes]


def test_an_empty_object_of_hashes_is_refused():
    with pytest.raises(InvalidFingerprintError, match="pdq"):
        parse_fingerprint({"v": 1, "quality": 60, "pdq": {}}, QUERY_FORMS)


@pytest.mark.parametrize("megapixels", [2, 12])
def test_a_question_at_reduced_scale_lies_within_20_bits_of_the_whole(megapixels, demo, encode):
    for data, picture in list(demo.values())[:4]:
        factor = (megapixels * 1e6 / (picture.size[0] * picture.size[1])) ** 0.5
        image = Image.fromarray(picture.rgb).resize([round(side * factor) for side in picture.size])
        data = encode(image, "JPEG", quality=90)
        asked = decode_picture(data, reduced=True)
        assert LEAST_SIDE <= min(asked.size) < min(image.size)
        whole = registered_fingerprint(decode_picture(data), data)
        distance = min(
            (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
            for one in query_fingerprint(asked, data).pdq.values()
            for other in whole.pdq.values()
        )
        assert distance <= 20


def test_only_a_large_jpeg_is_reduced(encode):
    image = Image.effect_noise((1300, 1100), 90).convert("RGB")
    assert decode_picture(encode(image, "PNG"), reduced=True).size == (1300, 1100)
    assert decode_picture(encode(image, "JPEG"), reduced=True).size == (650, 550)
    assert decode_picture(encode(image.resize((1000, 1020)), "JPEG"), reduced=True).size == (1000, 1020)
