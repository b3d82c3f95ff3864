import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.pdq import HASH_BYTES, MIN_SIDE, luma_of, pdq

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "pdq.json").read_text("utf-8"))
MAKER = runpy.run_path(str(FOLDER / "make_pdq.py"))


def made(formula, width, height, seed=3):
    return MAKER["make_pixels"](formula, width, height, seed)


def check(rgb, case):
    found = pdq(luma_of(rgb))
    assert (found.bits.hex(), found.mirrored.hex(), found.quality) == (
        case["pdq"],
        case["mirrored"],
        case["quality"],
    )


pytestmark = pytest.mark.usefixtures("both_paths")


@pytest.mark.parametrize(
    "case", VECTORS["made"], ids=lambda one: f"{one['formula']} {one['width']}x{one['height']}"
)
def test_made_pictures_hash_as_the_reference_says(case):
    rgb = made(case["formula"], case["width"], case["height"], case["seed"])
    assert hashlib.sha256(rgb.tobytes()).hexdigest() == case["pixels_sha256"]
    check(rgb, case)


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda one: Path(one["path"]).stem)
def test_the_demo_pictures_hash_as_the_reference_says(case, demo):
    data, picture = demo[case["path"]]
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    check(picture.rgb, case)


def test_the_vectors_cover_every_demo_picture_and_formula(demo):
    assert {one["path"] for one in VECTORS["files"]} == set(demo)
    assert len(demo) == 16
    assert {one["formula"] for one in VECTORS["made"]} == set(VECTORS["formulas"]) == set(MAKER["FORMULAS"])


def test_luma_is_bt_601():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    assert luma_of(primaries).dtype == np.float32
    assert luma_of(primaries)[0].tolist() == pytest.approx([76.245, 149.685, 29.07, 255, 0], abs=1e-4)


@pytest.mark.parametrize(("width", "height"), [(4, 4), (4, 900), (900, 4), (1, 1), (1, 64)])
def test_below_five_pixels_there_is_nothing_to_hash(width, height):
    found = pdq(luma_of(made("lcg", width, height)))
    assert (found.bits, found.mirrored, found.quality) == (bytes(32), bytes(32), 0)
    assert (MIN_SIDE, HASH_BYTES) == (5, 32)


@pytest.mark.parametrize("grey", [0, 1, 128, 255])
@pytest.mark.parametrize("size", [(64, 64), (100, 200)])
def test_a_flat_picture_has_quality_zero_and_few_bits(grey, size):
    found = pdq(np.full(size, grey, np.float32))
    assert found.quality == 0
    assert int.from_bytes(found.bits, "big").bit_count() <= 80


def distance(one, other):
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


SIZES = st.integers(5, 150)
FORMULAS = st.sampled_from(["products", "tiles"])


@given(FORMULAS, SIZES, SIZES, st.integers(0, 255))
def test_half_of_the_bits_are_set_and_hashing_again_gives_the_same(formula, width, height, seed):
    luma = luma_of(made(formula, width, height, seed))
    before = luma.copy()
    found = pdq(luma)
    assert (len(found.bits), len(found.mirrored)) == (HASH_BYTES, HASH_BYTES)
    assert int.from_bytes(found.bits, "big").bit_count() <= 128
    assert 0 <= found.quality <= 100
    assert pdq(luma) == found
    assert np.array_equal(luma, before)


@given(FORMULAS, st.integers(0, 255))
def test_the_mirrored_hash_is_that_of_mirrored_pixels(formula, seed):
    luma = luma_of(made(formula, 64, 64, seed))
    found, flipped = pdq(luma), pdq(np.ascontiguousarray(luma[:, ::-1]))
    assert distance(found.mirrored, flipped.bits) <= 4
    assert distance(found.bits, flipped.bits) > 60


def test_memory_layout_does_not_change_the_hash():
    luma = luma_of(made("products", 90, 70))
    assert pdq(np.asfortranarray(luma)) == pdq(luma)
    assert pdq(luma[:, ::-1][:, ::-1]) == pdq(luma)
