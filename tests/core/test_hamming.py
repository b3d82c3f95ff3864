import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.hamming import HammingIndex, Matches, hamming_distances

pytestmark = pytest.mark.usefixtures("both_paths")

WIDTHS = (1, 4, 8)


def radii(count, radius=31):
    return np.full(count, radius, np.uint8)


def index_of(hashes):
    index = HammingIndex(hashes.shape[1])
    index.add(hashes, radii(len(hashes)))
    return index


def triples(matches):
    return list(zip(matches.query.tolist(), matches.record.tolist(), matches.distance.tolist(), strict=True))


def distance(one, other):
    return sum((int(a) ^ int(b)).bit_count() for a, b in zip(one, other, strict=True))


def brute_force(hashes, removed, queries, radius):
    found = [
        (q, distance(asked, stored), r)
        for q, asked in enumerate(queries)
        for r, stored in enumerate(hashes)
        if r not in removed and distance(asked, stored) <= radius
    ]
    return [(q, r, d) for q, d, r in sorted(found)]


def random_words(seed, count, words):
    return np.random.default_rng(seed).integers(0, 2**64, (count, words), np.uint64)


def one_bit_apart(words):
    """Zero, then every hash with one bit set."""
    ones = np.zeros((64 * words + 1, words), np.uint64)
    for bit in range(64 * words):
        ones[bit + 1, bit // 64] = np.uint64(1) << np.uint64(bit % 64)
    return ones


@pytest.mark.parametrize("words", WIDTHS)
def test_an_empty_index_finds_nothing(words):
    index = HammingIndex(words)
    assert len(index) == 0
    found = index.query(random_words(1, 3, words), 64 * words)
    assert (len(found), triples(found)) == (0, [])
    assert (found.query.dtype, found.record.dtype, found.distance.dtype) == (np.int64, np.int64, np.uint16)


@pytest.mark.parametrize("words", WIDTHS)
def test_no_query_finds_nothing(words):
    assert len(index_of(random_words(1, 3, words)).query(np.empty((0, words), np.uint64), 64 * words)) == 0


@pytest.mark.parametrize("words", [0, 2, 3, 16, -1])
def test_another_width_is_refused(words):
    with pytest.raises(ValueError, match="expected 1, 4 or 8 words"):
        HammingIndex(words)


@pytest.mark.parametrize(
    ("hashes", "own"),
    [
        (np.zeros((2, 1), np.uint64), radii(2)),
        (np.zeros((2, 4), np.uint64), radii(1)),
        (np.zeros(4, np.uint64), radii(4)),
    ],
    ids=["width", "radii", "one dimension"],
)
def test_hashes_and_radii_that_do_not_fit_are_refused_and_nothing_is_added(hashes, own):
    index = HammingIndex(4)
    with pytest.raises(ValueError, match=r"expected uint64\[n, 4\]"):
        index.add(hashes, own)
    assert len(index) == 0


@pytest.mark.parametrize("words", WIDTHS)
def test_the_radius_is_inclusive(words):
    stored = np.zeros((1, words), np.uint64)
    asked = np.zeros((1, words), np.uint64)
    asked[0, -1] = 0b111
    assert triples(index_of(stored).query(asked, 3)) == [(0, 0, 3)]
    assert triples(index_of(stored).query(asked, 2)) == []


def test_all_bits_of_512_apart_is_512():
    zero, ones = np.zeros((1, 8), np.uint64), np.full((1, 8), 2**64 - 1, np.uint64)
    assert hamming_distances(zero, ones[0]).tolist() == [512]
    assert triples(index_of(zero).query(ones, 512)) == [(0, 0, 512)]
    assert triples(index_of(zero).query(ones, 511)) == []


@pytest.mark.parametrize("words", WIDTHS)
@pytest.mark.parametrize("value", [0, 1, 2**64 - 1], ids=["zero", "one", "ones"])
def test_equal_hashes_are_all_found_in_the_order_in_which_they_came(words, value):
    same = np.full((300, words), value, np.uint64)
    assert triples(index_of(same).query(same[:2], 0)) == [(q, r, 0) for q in (0, 1) for r in range(300)]


@pytest.mark.parametrize("words", WIDTHS)
def test_hashes_one_bit_apart_are_told_apart(words):
    stored = one_bit_apart(words)
    index, zero = index_of(stored), np.zeros((1, words), np.uint64)
    assert triples(index.query(zero, 0)) == [(0, 0, 0)]
    assert triples(index.query(zero, 1)) == [(0, 0, 0)] + [(0, r, 1) for r in range(1, 64 * words + 1)]
    assert triples(index.query(stored[5:6], 1)) == [(0, 5, 0), (0, 0, 1)]


def test_matches_are_sorted_by_query_distance_and_record():
    stored = np.array([[7], [1], [0], [1]], np.uint64)
    assert triples(index_of(stored).query(np.array([[0], [7]], np.uint64), 3)) == [
        *[(0, 2, 0), (0, 1, 1), (0, 3, 1), (0, 0, 3)],
        *[(1, 0, 0), (1, 1, 2), (1, 3, 2), (1, 2, 3)],
    ]


def test_a_removed_record_is_never_found_and_keeps_its_number():
    index = index_of(np.zeros((3, 4), np.uint64))
    index.remove(1)
    index.remove(1)
    asked = np.zeros((1, 4), np.uint64)
    assert triples(index.query(asked, 0)) == [(0, 0, 0), (0, 2, 0)]
    assert index.add(np.zeros((5000, 4), np.uint64), radii(5000)) == 3
    assert index.query(asked, 0).record.tolist() == [0, *range(2, 5003)]
    assert len(index) == 5003


@pytest.mark.parametrize("record", [-1, 3, 1000])
def test_removing_what_is_not_there_is_refused(record):
    with pytest.raises(IndexError, match="of 3"):
        index_of(np.zeros((3, 4), np.uint64)).remove(record)


def test_each_record_keeps_its_own_radius_when_the_index_grows():
    index = HammingIndex(1)
    assert index.add(np.zeros((3, 1), np.uint64), np.array([0, 7, 255], np.uint8)) == 0
    assert index.add(np.zeros((0, 1), np.uint64), radii(0)) == 3
    assert index.add(np.zeros((4000, 1), np.uint64), radii(4000, 12)) == 3
    assert index.radius_of(np.array([2, 0, 1, 3, 4002])).tolist() == [255, 0, 7, 12, 12]


def test_records_beyond_one_block_are_found():
    stored = np.zeros((70_000, 1), np.uint64)
    stored[[0, 65_535, 65_536, 69_999]] = 2**64 - 1
    assert index_of(stored).query(np.full((1, 1), 2**64 - 1, np.uint64), 3).record.tolist() == [
        *(0, 65_535, 65_536, 69_999)
    ]


@pytest.mark.parametrize("words", WIDTHS)
def test_random_hashes_match_as_brute_force_says(words):
    stored, asked = random_words(words, 400, words), random_words(words + 9, 20, words)
    asked[:5] = stored[:5] ^ np.uint64(0x11)
    removed = {2, 50, 399}
    index = index_of(stored)
    for record in removed:
        index.remove(record)
    for radius in (0, 2, 10, 31 * words, 64 * words):
        assert triples(index.query(asked, radius)) == brute_force(stored, removed, asked, radius)
    assert triples(index.query(asked, -1)) == []


SMALL = st.integers(0, 7) | st.integers(0, 2**64 - 1) | st.just(2**64 - 1)


@given(data=st.data(), words=st.sampled_from(WIDTHS))
def test_adding_removing_and_asking_in_any_order_is_what_brute_force_says(data, words):
    rows = st.lists(st.lists(SMALL, min_size=words, max_size=words), max_size=6)
    index, stored, removed = HammingIndex(words), [], set()
    for _ in range(data.draw(st.integers(0, 5))):
        new = data.draw(rows)
        assert index.add(np.array(new, np.uint64).reshape(-1, words), radii(len(new))) == len(stored)
        stored += new
        if stored and data.draw(st.booleans()):
            record = data.draw(st.integers(0, len(stored) - 1))
            index.remove(record)
            removed.add(record)
    asked, radius = data.draw(rows), data.draw(st.integers(0, 64 * words))
    found = index.query(np.array(asked, np.uint64).reshape(-1, words), radius)
    assert isinstance(found, Matches)
    assert triples(found) == brute_force(stored, removed, asked, radius)
    assert len(index) == len(stored)


@given(st.lists(st.lists(SMALL, min_size=4, max_size=4), min_size=3, max_size=3))
def test_the_distance_is_a_metric(rows):
    a, b, c = np.array(rows, np.uint64)

    def apart(one, other):
        return int(hamming_distances(one[None], other)[0])

    assert apart(a, b) == apart(b, a) == distance(a, b)
    assert apart(a, a) == 0
    assert apart(a, c) <= apart(a, b) + apart(b, c)
    assert hamming_distances(np.stack([a, b]), c).dtype == np.uint16


def test_a_query_of_another_width_is_refused():
    index = HammingIndex(4)
    index.add(np.zeros((1, 4), np.uint64), np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="uint64"):
        index.query(np.zeros((1, 1), np.uint64), 0)
