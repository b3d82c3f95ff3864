"""hash.js computes what Python computes: every shared vector, and whatever pixels come."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from registry.demo.training_set import PICTURES
from registry.fingerprint import query_fingerprint, registered_fingerprint
from registry.picture import Picture, decode_picture

from .conftest import Node
from .kinds import files_of

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests/vectors"
PDQ = json.loads((VECTORS / "pdq.json").read_text("utf-8"))
DECODE = json.loads((VECTORS / "decode.json").read_text("utf-8"))["files"]
FINGERPRINT = json.loads((VECTORS / "fingerprint.json").read_text("utf-8"))["files"]
NOT_OURS = {"GIF": "GIF", "JPEG in CMYK": "JPEG in CMYK"}
"""Vectors that our own decoders refuse by name; browsers decode them."""


def by_python(picture: Picture, data: bytes = b"") -> dict[str, Any]:
    return {
        "registered": registered_fingerprint(picture, data).to_wire(),
        "asked": query_fingerprint(picture, data).to_wire(),
    }


@pytest.mark.parametrize(
    "case", PDQ["made"], ids=lambda one: f"{one['formula']} {one['width']}x{one['height']}"
)
def test_made_pictures_hash_as_the_reference_says(node: Node, case: dict[str, Any]) -> None:
    picture = {name: case[name] for name in ("formula", "width", "height", "seed")}
    assert {**picture, **node.ask("made", **picture)["answer"]} == case


@pytest.mark.parametrize("case", PDQ["files"], ids=lambda one: Path(one["path"]).stem)
def test_demo_pictures_hash_as_the_reference_says(node: Node, case: dict[str, Any]) -> None:
    told = node.file((ROOT / case["path"]).read_bytes())["answer"]
    asked = told["asked"]
    assert (told["sha256"], asked["quality"]) == (case["sha256"], case["quality"])
    assert (asked["pdq"]["full"], asked["pdq"]["mirror"]) == (case["pdq"], case["mirrored"])


@pytest.mark.parametrize("case", FINGERPRINT, ids=lambda one: Path(one["path"]).stem)
def test_demo_pictures_have_their_fingerprints(node: Node, case: dict[str, Any]) -> None:
    told = node.file((ROOT / case["path"]).read_bytes())["answer"]
    assert {name: told[name] for name in ("sha256", "registered", "asked")} == {
        name: case[name] for name in ("sha256", "registered", "asked")
    }
    assert [told["width"], told["height"]] == case["size"]


@pytest.mark.parametrize("case", DECODE, ids=lambda one: one["name"])
def test_a_published_file_has_its_fingerprint(node: Node, case: dict[str, Any]) -> None:
    data = base64.b64decode(case["file"], validate=True)
    whole = decode_picture(data)
    assert node.pixels(whole.rgb, whole.on_black) == by_python(whole, data)
    told = node.file(data)
    if case["name"] in NOT_OURS:
        assert told["error"]["name"] == "pixels-changed"
        assert NOT_OURS[case["name"]] in told["error"]["message"]
        return
    assert told["answer"]["registered"] == case["registered"]
    assert told["answer"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert [told["answer"]["width"], told["answer"]["height"]] == case["size"]
    if not case["name"].startswith("JPEG"):
        # Of a JPEG that is asked about, Python takes the luma as the file holds it.
        assert told["answer"]["asked"] == case["asked"]


SCENE = PICTURES / "ada/bulldog-puppy.jpg"
REFUSED_BY_OURS = ("JPEG CMYK", "WebP animated", "GIF", "BMP", "AVIF")


def scene() -> Image.Image:
    with Image.open(SCENE) as image:
        return image.convert("RGB").resize((300, 200))


FILES = dict(files_of(scene()))


@pytest.mark.parametrize("kind", FILES)
def test_our_decoders_give_what_pillow_gives(node: Node, kind: str) -> None:
    data = FILES[kind]
    told = node.file(data)
    if kind.startswith(REFUSED_BY_OURS):
        assert told["error"]["name"] == "pixels-changed"
        return
    whole = decode_picture(data)
    assert told["answer"]["registered"] == registered_fingerprint(whole, data).to_wire()
    assert [told["answer"]["width"], told["answer"]["height"]] == list(whole.size)


SIDES = st.integers(1, 150)


def pixels(width: int, height: int, seed: int, smooth: bool) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if not smooth:
        return noise
    small = Image.fromarray(noise).resize((min(width, 30), min(height, 25)))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def framed(rgb: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
    image = Image.fromarray(rgb)
    return np.asarray(ImageOps.expand(image, frame, (250, 240, 230)))


def frequencies(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    from scipy.fftpack import dct

    small = Image.fromarray(rgb).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    found: NDArray[np.float64] = dct(dct(np.asarray(small), axis=0), axis=1)[:8, :8]
    return found


def same(node: Node, rgb: NDArray[np.uint8], black: NDArray[np.uint8] | None = None) -> None:
    by_js, expected = node.pixels(rgb, black), by_python(Picture(rgb, black, "PNG"))
    found = frequencies(rgb)
    if np.abs(found - np.median(found)).min() < 1e-6 * max(1, np.abs(found).max()):
        for one in (*by_js.values(), *expected.values()):
            assert len(one.pop("phash")) == 16
    assert by_js == expected


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0, 0, 3, 20]))
@example(720, 1440, 1, True, 0)  # columns first
@example(33, 34, 1, False, 0)
@example(33, 35, 1, False, 0)
@example(32, 32, 1, False, 0)
@example(64, 64, 1, True, 0)
@example(700, 10, 1, True, 0)
@example(200, 150, 1, True, 20)
@example(5, 4, 1, False, 0)
def test_any_pixels_give_what_python_makes_of_them(
    node: Node, width: int, height: int, seed: int, smooth: bool, frame: int
) -> None:
    same(node, framed(pixels(width, height, seed, smooth), frame))


@settings(max_examples=20, deadline=None)
@given(st.integers(64, 150), st.integers(64, 150), st.integers(0, 2**32 - 1))
def test_what_is_transparent_is_registered_on_both_grounds(
    node: Node, width: int, height: int, seed: int
) -> None:
    same(node, pixels(width, height, seed, True), pixels(width, height, seed + 1, True))


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_every_orientation_is_turned_as_pillow_turns_it(node: Node, orientation: int) -> None:
    image = Image.fromarray(pixels(140, 90, 4, True))
    how = TURNS[orientation]
    upright = image if how is None else image.transpose(how)
    expected = by_python(Picture(np.asarray(upright), None, "PNG"))
    assert node.pixels(np.asarray(image), orientation=orientation) == expected


def test_the_laws_are_not_kept_by_empty_hashes(node: Node) -> None:
    told = node.pixels(pixels(140, 90, 4, True))
    assert set(told["registered"]["pdq"]) >= {"full", "start", "middle", "end"}
    assert told["asked"]["phash"] == str(imagehash.phash(Image.fromarray(pixels(140, 90, 4, True))))
