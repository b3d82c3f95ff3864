"""Radius search is exact: it says what comparing every pair says, whichever way it goes.

Every test runs three times: with the walk through the tables taken wherever there are tables, with every pair
compared by the compiled loops, and the same with numpy.
"""

import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import fast, hamming
from registry.hamming import HammingIndex, HammingTable, Matches, hamming_distances

pytestmark = pytest.mark.usefixtures("way")

WIDTHS = (1, 4, 8)
RADII = (0, 1, 3, 31, 47, 63)
KERNELS, COMPARED, WALK_PAYS = fast.kernels, hamming._compared, hamming._walk_pays
_SET_BITS = np.array([value.bit_count() for value in range(1 << 16)], np.uint16)


@pytest.fixture(params=["walked", "compared", "numpy"], scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Take the walk, or compare every pair, whatever would be cheaper."""
    assert fast.kernels is not None, "the development set installs [fast]"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "walked":
            patch.setattr(hamming, "_walk_pays", lambda widths, *_: bool(widths))
            patch.setattr(hamming, "_compared", _never_compared(hamming._compared))
        else:
            patch.setattr(hamming, "_walk_pays", lambda *_: False)
            patch.setattr(hamming, "_collected", None)
        if request.param == "numpy":
            patch.setattr(fast, "kernels", None)
        yield request.param


def _never_compared(compared):
    """Only what has no tables, because it has no hashes, may be compared: else the walk was not taken."""

    def checked(words, *rest):
        assert len(words) == 0
        return compared(words, *rest)

    return checked


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


# What the two indexes share: sets of hashes, in which each way of going wrong would show.


def expected(stored, asked, radius, removed=()):
    """Compare every pair, by a table of the set bits of all 16-bit numbers."""
    found = []
    for number, one in enumerate(asked):
        apart = _SET_BITS[np.ascontiguousarray(stored ^ one).view(np.uint16)].sum(axis=1).astype(np.int64)
        near = apart <= radius
        near[list(removed)] = False
        record = np.flatnonzero(near)
        order = np.lexsort((record, apart[record]))
        found.append((np.full(len(record), number), record[order], apart[record][order]))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def assert_found(matches, wanted):
    for got, want in zip((matches.query, matches.record, matches.distance), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    assert (matches.query.dtype, matches.record.dtype, matches.distance.dtype) == (
        np.int64,
        np.int64,
        np.uint16,
    )
    assert matches.cut.tolist() == []


def table_of(hashes):
    return HammingTable.build(hashes)


def grown_of(hashes):
    """Come one by one, some at a time and all at once, through several capacities."""
    index, begin = HammingIndex(hashes.shape[1]), 0
    for count in (1, 1, 7, 1015, 1, len(hashes)):
        some = hashes[begin : begin + count]
        assert index.add(some, radii(len(some))) == begin
        begin += len(some)
    return index


MAKERS = {"table": table_of, "index": index_of, "grown": grown_of}
made_by = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
of_all_widths = pytest.mark.parametrize("words", WIDTHS, ids=lambda words: f"{64 * words}bit")


def flipped(hashes, most, seed):
    """Turn up to ``most`` bits of each hash."""
    random, made = np.random.default_rng(seed), hashes.copy()
    count, rows = random.integers(0, most + 1, len(made)), np.arange(len(made))
    for turn in range(most):
        bit, turned = random.integers(0, 64 * made.shape[1], len(made)), count > turn
        mask = np.uint64(1) << (bit % 64).astype(np.uint64)
        made[rows[turned], (bit // 64)[turned]] ^= mask[turned]
    return made


@cache
def clustered(words, count):
    """Copies of few pictures, 0 to 50 bits from each."""
    bases = random_words(5, max(count // 60, 2), words)
    return flipped(bases[np.arange(count) % len(bases)], 50, 5)


def in_one_piece(words, count):
    """Hashes that differ from one in a single piece of 16 bits, and only there."""
    base = random_words(3, 1, words).view(np.uint16)
    made = np.repeat(base, count, axis=0)
    rows = np.arange(count)
    made[rows, rows % base.shape[1]] ^= np.random.default_rng(4).integers(0, 1 << 16, count, np.uint16)
    return made.view(np.uint64)


SETS = {
    "one": lambda words: random_words(1, 1, words),
    "two": lambda words: random_words(1, 2, words),
    "random": lambda words: random_words(1, 3000, words),
    "clustered": lambda words: clustered(words, 3000),
    "equal": lambda words: np.repeat(random_words(2, 1, words), 1500, axis=0),
    "zero": lambda words: np.zeros((1500, words), np.uint64),
    "ones": lambda words: np.full((1500, words), 2**64 - 1, np.uint64),
    "one bit apart": one_bit_apart,
    "in one piece": lambda words: in_one_piece(words, 2000),
    "counting": lambda words: np.repeat(np.arange(2000, dtype=np.uint64)[:, None], words, axis=1),
}


@made_by
@of_all_widths
@pytest.mark.parametrize("hashes", SETS.values(), ids=SETS)
def test_what_is_found_is_what_comparing_every_pair_finds(make, words, hashes):
    stored = hashes(words)
    asked = np.concatenate(
        [stored[:: max(len(stored) // 2, 1)][:2], flipped(stored[-1:], 40, 8), random_words(9, 1, words)]
    )
    searched = make(stored)
    assert len(searched) == len(stored)
    for radius in (*RADII, 64 * words):
        assert_found(searched.query(asked, radius), expected(stored, asked, radius))


def pieces_of(count, words):
    return len(HammingTable.plan(count, words)[0])


def boundaries(words):
    """Sizes from which on there is a piece less: the first, a middle and the last one."""
    sizes = range(2, 50_001)
    fewer = [bisect_left(sizes, -n, key=lambda size: -pieces_of(size, words)) for n in range(63, 1, -1)]
    changes = [sizes[at] for at in dict.fromkeys(fewer) if 0 < at < len(sizes)]
    return changes[0], changes[len(changes) // 2], changes[-1]


BOUNDARIES = [(words, above) for words in WIDTHS for above in dict.fromkeys(boundaries(words))]
SIZES = [(words, above - below) for words, above in BOUNDARIES for below in (1, 0)]
SIZES += [(words, size) for words in WIDTHS for size in (3, 255, 256, 257, 50_000)]


@dataclass(frozen=True)
class Spans:
    """First bit and width of each piece."""

    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, searched, words):
        pieces = searched.pieces if isinstance(searched, HammingTable) else np.empty((0, 4), np.int64)
        return cls([tuple(row) for row in pieces[:, :2].tolist()] or [(16 * n, 16) for n in range(4 * words)])

    def turned(self, hash_, bits, random):
        """Turn as many bits of each piece as ``bits`` says; None where a piece has not so many."""
        if any(count > width or count < 0 for count, (_, width) in zip(bits, self.spans, strict=True)):
            return None
        turned = hash_.copy()
        for count, (first, width) in zip(bits, self.spans, strict=True):
            for bit in random.permutation(width)[:count] + first:
                turned[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
        return turned

    def hard(self, hash_, radius, random):
        """Hashes as far apart as the radius, each to be found by one piece alone, and some just beyond.

        With radius = m·q + b, a hash is found by one of the first b + 1 pieces if it differs there by q bits,
        or by another one if it differs there by q − 1; elsewhere it differs by a bit too many.
        """
        count = len(self.spans)
        each, rest = divmod(radius, count)
        too_many = [each + 1] * (rest + 1) + [each] * (count - rest - 1)
        assert sum(too_many) == radius + 1
        plans = [too_many]
        for piece in range(count):
            plans.append([bits - (n == piece) for n, bits in enumerate(too_many)])
            plans += [[all_ * (n == piece) for n in range(count)] for all_ in (radius, radius + 1)]
        return [made for plan in plans if (made := self.turned(hash_, plan, random)) is not None]


@pytest.mark.parametrize("way", ["walked"], indirect=True, scope="module")
class TestPieces:
    """Only the walk has pieces that the bits could be laid out against."""

    @pytest.mark.parametrize(("words", "above"), BOUNDARIES)
    def test_the_boundaries_are_boundaries(self, words, above):
        assert pieces_of(above - 1, words) == pieces_of(above, words) + 1

    @pytest.mark.parametrize("make", [table_of, index_of], ids=["table", "index"])
    @pytest.mark.parametrize(("words", "size"), SIZES)
    def test_sizes_at_which_the_pieces_change(self, make, words, size):
        stored = clustered(words, size)
        asked = np.concatenate([stored[[0, size // 2, -1]], flipped(stored[:1], 30, 7)])
        searched = make(stored)
        for radius in (0, 3, 31, 47):
            assert_found(searched.query(asked, radius), expected(stored, asked, radius))

    @pytest.mark.parametrize("radius", [*RADII, 100, 200])
    @pytest.mark.parametrize(
        ("make", "size"),
        [(table_of, 500), (table_of, 50_000), (index_of, 3000)],
        ids=["table-500", "table-50000", "index"],
    )
    @of_all_widths
    def test_differences_laid_out_against_the_pieces_are_found(self, make, size, words, radius):
        if radius >= 64 * words:
            return
        random = np.random.default_rng(radius)
        asked, filling = random_words(radius, 2, words), clustered(words, size)
        spans = Spans.of(make(filling), words)
        hard = np.array([made for one in asked for made in spans.hard(one, radius, random)])
        assert len(hard) >= 2 * min(radius, len(spans.spans))
        stored = np.concatenate([filling[: size - len(hard)], hard])[random.permutation(size)]
        searched = make(stored)
        assert Spans.of(searched, words) == spans
        wanted = expected(stored, asked, radius)
        assert radius in wanted[2]
        assert_found(searched.query(asked, radius), wanted)
        assert_found(searched.query(asked, radius + 1), expected(stored, asked, radius + 1))


@pytest.mark.parametrize("words", WIDTHS)
@pytest.mark.parametrize("count", [1, 1000, 330_000, 10**7, 6 * 10**7, 3 * 10**8, 2**31])
def test_tables_are_not_far_larger_than_what_they_hold(words, count):
    pieces, _ = HammingTable.plan(count, words)
    assert [int(width) for width in pieces[:, 1] if 1 << width > 16 * max(count, 256)] == []


class TestLimits:
    """A query gives its matches up to a limit, and says whether there were more."""

    @staticmethod
    def stored(words):
        """Near the n-th query are as many as the n-th number says."""
        asked, counts = random_words(21, 7, words), (0, 1, 5, 6, 7, 100, 3)
        near = np.repeat(asked, counts, axis=0)
        order = np.random.default_rng(22).permutation(len(near))
        return flipped(near, 3, 23)[order], asked, np.array(counts)

    @made_by
    @of_all_widths
    @pytest.mark.parametrize("limit", [0, 1, 6, 7, 99, 100, 70_000])
    def test_no_query_gives_more_and_those_that_had_more_are_named(self, make, words, limit):
        stored, asked, counts = self.stored(words)
        matches = make(stored).query(asked, 3, limit)
        assert matches.cut.tolist() == np.flatnonzero(counts > limit).tolist()
        assert matches.cut.dtype == np.int64
        assert np.bincount(matches.query, minlength=7).tolist() == np.minimum(counts, limit).tolist()
        got, wanted = triples(matches), triples(Matches(*expected(stored, asked, 3), matches.cut))
        assert got == sorted(set(got), key=lambda one: (one[0], one[2], one[1]))
        assert set(got) <= set(wanted)
        whole = set(range(7)) - set(matches.cut.tolist())
        assert [one for one in got if one[0] in whole] == [one for one in wanted if one[0] in whole]

    @made_by
    def test_a_removed_hash_takes_no_room(self, make):
        if make is table_of:
            return
        index = make(np.zeros((9, 4), np.uint64))
        for record in (0, 3, 8):
            index.remove(record)
        matches = index.query(np.zeros((1, 4), np.uint64), 0, 6)
        assert (matches.record.tolist(), matches.cut.tolist()) == ([1, 2, 4, 5, 6, 7], [])

    @made_by
    @pytest.mark.parametrize("limit", [1, 65_535, 65_536, 69_999, 70_000, 70_001, None])
    def test_more_results_than_there_is_room_for_at_first(self, make, limit):
        stored = np.full((70_000, 4), 0xF0F0, np.uint64)
        asked = np.stack([stored[0], ~stored[0], stored[0], stored[0] ^ np.uint64(1)])
        matches = make(stored).query(asked, 8, limit)
        most = min(70_000, limit or 70_000)
        assert np.bincount(matches.query, minlength=4).tolist() == [most, 0, most, most]
        assert matches.cut.tolist() == ([0, 2, 3] if most < 70_000 else [])
        for query, distance in ((0, 0), (2, 0), (3, 4)):
            of_one = matches.query == query
            assert len(set(matches.record[of_one].tolist())) == most
            assert set(matches.distance[of_one].tolist()) == {distance}
        if most == 70_000:
            assert matches.record.tolist() == list(range(70_000)) * 3

    @pytest.mark.parametrize("way", ["walked"], indirect=True, scope="module")
    @pytest.mark.parametrize("make", [table_of, index_of], ids=["table", "index"])
    def test_more_results_than_there_is_room_for_at_second(self, make):
        found = make(np.ones((1_100_000, 1), np.uint64)).query(np.zeros((2, 1), np.uint64), 1)
        np.testing.assert_array_equal(found.record, np.tile(np.arange(1_100_000), 2))
        assert (found.query.sum(), found.distance.sum(), len(found.cut)) == (1_100_000, 2_200_000, 0)

    @made_by
    @pytest.mark.parametrize("limit", [None, 3])
    def test_one_huge_query_among_many(self, make, limit):
        few, many = random_words(31, 600, 1), 70_000
        stored = np.concatenate([np.zeros((many, 1), np.uint64), few])
        asked = few.copy()
        asked[300] = 1
        matches = make(stored).query(asked, 1, limit)
        huge = matches.query == 300
        assert (huge.sum(), matches.cut.tolist()) == ((many, []) if limit is None else (3, [300]))
        assert set(matches.distance[huge].tolist()) == {1}
        others = np.delete(np.arange(600), 300)
        np.testing.assert_array_equal(matches.query[~huge], others)
        np.testing.assert_array_equal(matches.record[~huge], others + many)


BITS = st.lists(st.integers(0, 511), max_size=12)


@given(
    data=st.data(),
    words=st.sampled_from(WIDTHS),
    size=st.integers(0, 400),
    copies=st.lists(BITS, max_size=8),
    limit=st.none() | st.integers(1, 9),
)
def test_copies_among_any_number_of_others_are_found(data, words, size, copies, limit):
    base = random_words(size, 1, words)
    turned = np.repeat(base, len(copies), axis=0)
    for row, bits in enumerate(copies):
        for bit in bits:
            turned[row, bit // 64 % words] ^= np.uint64(1) << np.uint64(bit % 64)
    stored = np.concatenate([turned, random_words(7, size, words)])
    radius = data.draw(st.integers(-2, 64 * words + 2))
    make = data.draw(st.sampled_from(list(MAKERS.values())))
    matches = make(stored).query(base, radius, limit)
    query, record, distance_ = expected(stored, base, radius)
    if limit is None or len(record) <= limit:
        assert_found(matches, (query, record, distance_))
    else:
        assert (len(matches), matches.cut.tolist()) == (limit, [0])
        assert set(triples(matches)) <= set(triples(Matches(query, record, distance_, matches.cut)))


class TestTables:
    def test_arrays_that_cannot_be_written_are_searched(self):
        stored = clustered(4, 2000)
        built = HammingTable.build(stored)
        arrays = [array.copy() for array in (built.words, built.pieces, built.starts, built.ids)]
        for array in arrays:
            array.flags.writeable = False
        asked = stored[:3].copy()
        asked.flags.writeable = False
        assert_found(HammingTable(*arrays).query(asked, 31), expected(stored, asked, 31))

    @pytest.mark.parametrize("with_loops", [True, False], ids=["with", "without"])
    def test_tables_built_with_the_loops_serve_without_and_the_other_way_round(self, with_loops, monkeypatch):
        stored = clustered(4, 2000)
        with monkeypatch.context() as patch:
            patch.setattr(fast, "kernels", KERNELS if with_loops else None)
            table = HammingTable.build(stored)
        assert bool(len(table.pieces)) is with_loops
        monkeypatch.setattr(hamming, "_compared", COMPARED)
        assert_found(table.query(stored[:5], 31), expected(stored, stored[:5], 31))

    @pytest.mark.parametrize(
        "hashes",
        [
            np.zeros((2, 2), np.uint64),
            np.zeros((2, 4), np.int64),
            np.zeros((2, 4), ">u8"),
            np.zeros(4, np.uint64),
        ],
        ids=["width", "signed", "big-endian", "one dimension"],
    )
    def test_hashes_of_another_kind_are_refused(self, hashes):
        with pytest.raises(ValueError, match=r"expected uint64"):
            HammingTable.build(hashes)
        with pytest.raises(ValueError, match=r"expected uint64"):
            HammingTable.build(np.zeros((1, 4), np.uint64)).query(hashes, 0)

    def test_hashes_that_do_not_lie_in_a_row_are_searched(self):
        wide = random_words(1, 4000, 8)
        stored, asked = wide[::2, ::2], wide[:6:2, ::2]
        assert_found(HammingTable.build(stored).query(asked, 20), expected(stored, asked, 20))
        assert_found(index_of(stored).query(asked, 20), expected(stored, asked, 20))


@pytest.mark.parametrize(
    ("pieces", "count", "radius", "pays"),
    [
        (0, 10**6, 31, False),
        (16, 100, 31, False),
        (16, 10**6, 31, True),
        (16, 10**6, 47, True),
        (16, 10**6, 256, False),
        (4, 10**6, 3, True),
    ],
)
def test_the_walk_is_taken_where_it_pays(pieces, count, radius, pays):
    assert WALK_PAYS([16] * pieces, count, radius) is pays


class TestAddingAndRemovingWhileOthersAsk:
    """One writes, others ask; both run at once, since the loops let go of the interpreter."""

    @staticmethod
    def hashes(words, count):
        """Few pieces' values and many hashes: every bucket is in use while it is added to."""
        return flipped(random_words(41, 50, words)[np.arange(count) % 50], 40, 42)

    @pytest.mark.parametrize("words", [1, 4])
    def test_what_was_added_is_found_and_what_was_removed_is_not(self, way, words):
        count = 20_000 if way == "walked" else 3_000
        hashes, index = self.hashes(words, count), HammingIndex(words)
        added, removed, asked_times, failures = [0], [0], [0], []
        stop = threading.Event()

        def write():
            random = np.random.default_rng(43)
            while added[0] < count and not stop.is_set():
                if added[0] > 40 * (asked_times[0] + 1):
                    time.sleep(0)
                    continue
                begin = added[0]
                some = hashes[begin : begin + int(random.choice([1, 1, 2, 60]))]
                assert index.add(some, radii(len(some))) == begin
                added[0] = len(index)
                # Every third of the older half goes again.
                while removed[0] + 3 < added[0] // 2:
                    index.remove(removed[0])
                    removed[0] += 3
            stop.set()

        def ask(seed):
            random = np.random.default_rng(seed)
            while not stop.is_set():
                known, gone = added[0], removed[0]
                if known == 0:
                    continue
                wanted = random.integers(0, known, 4)
                wanted[0] = known - 1
                found = index.query(hashes[wanted], 6)
                apart = _SET_BITS[(hashes[found.record] ^ hashes[wanted[found.query]]).view(np.uint16)]
                if not np.array_equal(apart.reshape(len(found), -1).sum(axis=1), found.distance):
                    failures.append("a wrong distance")
                pairs = set(zip(found.query.tolist(), found.record.tolist(), strict=True))
                if len(pairs) != len(found):
                    failures.append("a record twice")
                for number, record in enumerate(wanted.tolist()):
                    taken_away = record % 3 == 0 and record < count // 2
                    if (number, record) not in pairs and not taken_away:
                        failures.append(f"record {record} of {known} was not found")
                if any(record % 3 == 0 and record < gone for _, record in pairs):
                    failures.append(f"a record before {gone} was found after its removal")
                asked_times[0] += 1

        run_together(stop, write, lambda: ask(1), lambda: ask(2))
        assert failures == []
        asked = hashes[[0, 1, -1]]
        assert_found(index.query(asked, 6), expected(hashes, asked, 6, range(0, removed[0], 3)))


def run_together(stop, *tasks):
    """Run each task in a thread, with the interpreter switching often, until the first one ends."""
    errors = []

    def guarded(task):
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
        finally:
            stop.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        in_time = stop.wait(60)
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert in_time
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
