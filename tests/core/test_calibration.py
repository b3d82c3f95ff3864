"""A registered window claims no more than the distance to its nearest stranger allows."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.calibration import (
    OWN_IDS,
    SHIPPED_ID,
    Calibration,
    dump_calibration,
    load_calibration,
    radii_of,
    shipped_calibration,
)
from registry.errors import SettingsError
from registry.fingerprint import REVIEW_RADIUS, Fingerprint, hash_words, registered_fingerprint

MARGIN = 10
ZERO = bytes(32)


def bits(count, start=0):
    """Return a hash with ``count`` bits set from ``start`` on."""
    return (((1 << count) - 1) << start).to_bytes(32, "big")


def of(*pictures, margin=MARGIN):
    """Make a calibration of pictures, each given by its hashes."""
    words = hash_words([value for one in pictures for value in one])
    numbers = np.repeat(np.arange(len(pictures), dtype=np.uint32), [len(one) for one in pictures])
    return Calibration(200, margin, words, numbers)


def asked(**windows):
    return Fingerprint(1, 100, None, windows)


pytestmark = pytest.mark.usefixtures("both_paths")


@pytest.mark.parametrize(
    ("apart", "radius"),
    [(256, 47), (60, 47), (58, 47), (57, 47), (56, 46), (30, 20), (11, 1)],
)
def test_the_radius_is_the_distance_to_the_nearest_stranger_less_the_margin(apart, radius):
    assert radii_of(asked(full=ZERO), of([bits(apart)], [bits(128)])) == {
        "full": radius if apart < 128 else REVIEW_RADIUS
    }


def test_each_window_has_its_own():
    calibration = of([bits(20), bits(30, 100)], [bits(100)])
    assert radii_of(asked(full=ZERO, start=bits(62, 100)), calibration) == {"full": 10, "start": 22}


def test_the_picture_itself_does_not_count_though_all_its_windows_are_there():
    work = [bits(3), bits(5), bits(100, 50), bits(17)]
    assert radii_of(asked(full=ZERO), of(work, [bits(35)])) == {"full": 25}
    assert radii_of(asked(full=ZERO), of(work)) == {"full": REVIEW_RADIUS}


def test_two_pictures_as_near_as_copies_are_a_common_shape():
    assert radii_of(asked(full=ZERO), of([bits(3)], [bits(4, 9)], [bits(90)])) == {"full": 0}


def test_a_plain_picture_has_no_radii():
    assert radii_of(asked(), of([bits(3)])) == {}


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=9), st.binary(min_size=32, max_size=32)
)
def test_no_radius_reaches_a_stranger(hashes, one):
    calibration = of(*([value] for value in hashes))
    radius = radii_of(asked(full=one), calibration)["full"]
    apart = sorted((int.from_bytes(one) ^ int.from_bytes(value)).bit_count() for value in hashes)
    strangers = apart[1:] if apart[0] <= 10 else apart
    assert 0 <= radius <= REVIEW_RADIUS
    assert all(radius == 0 or radius + MARGIN <= distance for distance in strangers)


def test_writing_and_reading_gives_the_same():
    calibration = of([bits(3), bits(9)], [bits(200)])
    again = load_calibration(dump_calibration(calibration))
    assert (again.id, again.margin) == (calibration.id, calibration.margin)
    np.testing.assert_array_equal(again.words, calibration.words)
    np.testing.assert_array_equal(again.pictures, calibration.pictures)


def archive(**changed):
    arrays = {
        "format": np.int64(1),
        "id": np.int64(200),
        "margin": np.int64(10),
        "words": np.zeros((2, 4), np.uint64),
        "pictures": np.zeros(2, np.uint32),
    } | changed
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an archive",
        archive()[:-40],
        archive(words=None),
        archive(format=np.int64(2)),
        archive(format=np.array([1, 1])),
        archive(id=np.int64(0)),
        archive(id=np.int64(256)),
        archive(id=np.float64(3.5)),
        archive(margin=np.int64(-1)),
        archive(margin=np.array("ten")),
        archive(words=np.zeros((0, 4), np.uint64), pictures=np.zeros(0, np.uint32)),
        archive(words=np.zeros((2, 5), np.uint64)),
        archive(words=np.zeros((2, 4), np.int64)),
        archive(pictures=np.zeros(3, np.uint32)),
        archive(pictures=np.zeros(2)),
        archive(words=np.array([object()], dtype=object)),
    ],
    ids=range(17),
)
def test_another_file_is_refused(data):
    with pytest.raises(SettingsError, match="calibration"):
        load_calibration(data)


def test_the_shipped_one(demo):
    shipped = shipped_calibration()
    assert shipped.id == SHIPPED_ID
    assert SHIPPED_ID not in OWN_IDS
    assert len(np.unique(shipped.pictures)) >= 1_000
    for data, picture in demo.values():
        radii = radii_of(registered_fingerprint(picture, data), shipped)
        assert radii["full"] == REVIEW_RADIUS
