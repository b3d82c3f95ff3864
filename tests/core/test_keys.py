"""Exact keys are found as searching a list from end to end finds them; with compiled loops and with numpy."""

import sys
import threading
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import fast
from registry.keys import KEY_BYTES, Hits, KeySet, KeyTable, key_bytes, key_words

pytestmark = pytest.mark.usefixtures("both_paths")

LOOPS = fast.kernels
LOWEST, HIGHEST = bytes(16), b"\xff" * 16


class Model:
    """Which records carry a key, in the order in which they came."""

    def __init__(self, pairs=()):
        self.records = defaultdict(list)
        for key, record in pairs:
            self.records[key].append(record)

    def query(self, keys):
        return [(place, record) for place, key in enumerate(keys) for record in self.records.get(key, ())]

    def range(self, prefix):
        return sorted(key for key in self.records if key.startswith(prefix))


def pairs_of(hits):
    assert isinstance(hits, Hits)
    assert (hits.query.dtype, hits.record.dtype) == (np.int64, np.int64)
    assert len(hits) == len(hits.query)
    return list(zip(hits.query.tolist(), hits.record.tolist(), strict=True))


def columns(pairs):
    return key_words([key for key, _ in pairs]), np.array([record for _, record in pairs], np.int64)


def table(pairs):
    return KeyTable.build(*columns(pairs))


def added_together(pairs):
    keys = KeySet()
    keys.add(*columns(pairs))
    return keys


def added_in_portions(pairs):
    """Some in tables that are there already, the others in portions of all sizes."""
    third = len(pairs) // 3
    keys, begin = KeySet([table(pairs[: third // 2]), table(pairs[third // 2 : third])]), third
    for count in (0, 1, 1, 2, 40, 3, len(pairs)):
        keys.add(*columns(pairs[begin : begin + count]))
        begin += count
    return keys


MAKERS = {"table": table, "together": added_together, "portions": added_in_portions}


def assert_answers_like(keys, pairs, absent=()):
    model = Model(pairs)
    asked = [*dict.fromkeys(key for key, _ in pairs), *absent, LOWEST, HIGHEST]
    np.random.default_rng(len(pairs)).shuffle(asked)
    asked += asked[:3]
    assert len(keys) == len(pairs)
    assert pairs_of(keys.query(key_words(asked))) == model.query(asked)
    if isinstance(keys, KeyTable):
        assert keys.contains(key_words(asked)).tolist() == [key in model.records for key in asked]
    for key in asked[:20]:
        for length in (0, 1, 7, 8, 9, 15, 16):
            assert list(keys.range(key[:length])) == model.range(key[:length])


def key(high, low=0):
    return high.to_bytes(8, "big") + low.to_bytes(8, "big")


def random_keys(seed, count):
    data = np.random.default_rng(seed).bytes(KEY_BYTES * count)
    return [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]


def neighbours(one):
    """The keys just below and just above."""
    number = int.from_bytes(one, "big")
    return [(number + step).to_bytes(16, "big") for step in (-1, 1) if 0 <= number + step < 2**128]


def numbered(keys):
    """With records that are no places: they come in no order, and some come again."""
    return [(one, (7919 * n) % 1000 - 300) for n, one in enumerate(keys)]


SETS = {
    **{f"{count} random": numbered(random_keys(1, count)) for count in (0, 1, 2, 3, 31, 32, 33, 64, 5000)},
    "one key": numbered([key(5, 5)] * 4000),
    "lowest": numbered([LOWEST] * 50 + random_keys(2, 60)),
    "highest": numbered(random_keys(2, 60) + [HIGHEST] * 50),
    "lowest and highest": numbered([HIGHEST, LOWEST] * 500),
    "one upper half": numbered([key(77, low) for low in (5, 2**64 - 1, 0, 2, 5, 2**63, 3) * 200]),
    "one lower half": numbered([key(high << 40, 9) for high in (5, 3, 2**24 - 1, 0, 3)] * 50),
    "one popular key": numbered([key(2**63, 1)] * 3000 + random_keys(3, 500) + [key(2**63, 1)] * 9),
    "one bit each": numbered([(1 << bit).to_bytes(16, "big") for bit in range(128)]),
    "upper 60 bits": numbered([key((0xABCDEF << 40) + n % 16, n) for n in range(3000)]),
    "all below the middle": numbered([key(n, n) for n in range(3000)]),
    "all at the end": numbered([key(2**64 - 1 - n % 40, n) for n in range(3000)]),
    "few buckets": numbered([key((n % 3) << 62 | n % 5, n % 7) for n in range(4000)]),
    "growing": numbered([key(1 << n % 64, n // 64) for n in range(2000)]),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("pairs", SETS.values(), ids=SETS)
def test_every_key_leads_to_its_records(make, pairs):
    held = [one for one, _ in pairs[:: max(len(pairs) // 50, 1)]]
    absent = random_keys(8, 20) + [near for one in held for near in neighbours(one)]
    assert_answers_like(make(pairs), pairs, absent)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_no_question_has_no_answer(make):
    keys = make(SETS["33 random"])
    assert pairs_of(keys.query(key_words([]))) == []


def test_a_table_says_nothing_of_no_key():
    assert table(SETS["33 random"]).contains(key_words([])).tolist() == []


@pytest.mark.parametrize("name", SETS)
def test_both_ways_give_the_same_places(name, monkeypatch):
    """Tables are built and searched with the loops in one process, and without in another."""
    pairs = SETS[name]
    asked = key_words([*dict.fromkeys(one for one, _ in pairs), *random_keys(8, 50)])
    answers = []
    for building in (LOOPS, None):
        monkeypatch.setattr(fast, "kernels", building)
        built = table(pairs)
        for searching in (LOOPS, None):
            monkeypatch.setattr(fast, "kernels", searching)
            answers.append((pairs_of(built.query(asked)), built.contains(asked).tolist()))
    assert all(answer == answers[0] for answer in answers)


def test_arrays_that_cannot_be_written_are_searched():
    pairs = SETS["5000 random"]
    built = table(pairs)
    arrays = [array.copy() for array in (built.keys, built.records, built.starts)]
    for array in arrays:
        array.flags.writeable = False
    assert_answers_like(KeyTable(*arrays), pairs)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 45, 46, 64, 90, 91, 1000, 10**6, 2**32 - 1])
def test_buckets_hold_about_as_many_keys_as_is_said(count):
    buckets = KeyTable.buckets(count)
    assert buckets.bit_count() == 1
    assert buckets == 1 or 16 <= count / buckets <= 64


class TestWords:
    @pytest.mark.parametrize(
        ("given_", "words"),
        [
            ([], []),
            ([LOWEST], [[0, 0]]),
            ([HIGHEST], [[2**64 - 1, 2**64 - 1]]),
            ([key(1, 2), key(2**63, 3) + b"the rest of a SHA"], [[1, 2], [2**63, 3]]),
        ],
        ids=["none", "lowest", "highest", "a longer one"],
    )
    def test_keys_are_two_words_the_upper_half_first(self, given_, words):
        made = key_words(given_)
        assert (made.tolist(), made.dtype, made.shape) == (words, np.uint64, (len(words), 2))
        assert key_bytes(made) == [one[:16] for one in given_]

    @pytest.mark.parametrize(
        "keys", [[b""], [bytes(15)], [bytes(16), bytes(15)]], ids=["empty", "short", "one of two"]
    )
    def test_a_shorter_key_is_refused(self, keys):
        with pytest.raises(ValueError, match="fewer than 16 bytes"):
            key_words(keys)

    @given(st.lists(st.binary(min_size=16, max_size=40)))
    def test_they_come_back_and_keep_their_order(self, keys):
        words = key_words(keys)
        assert key_bytes(words) == [one[:16] for one in keys]
        order = np.lexsort((words[:, 1], words[:, 0]))
        assert [keys[at][:16] for at in order] == sorted(one[:16] for one in keys)


class TestRanges:
    KEYS = tuple(
        bytes.fromhex(text.ljust(32, "0")) for text in ("0aff", "0b00", "0b01", "0bff", "0c00", "0bff")
    )

    @pytest.mark.parametrize(
        ("prefix", "found"),
        [
            ("", ["0aff", "0b00", "0b01", "0bff", "0c00"]),
            ("0b", ["0b00", "0b01", "0bff"]),
            ("0bff", ["0bff"]),
            ("0d", []),
            ("0bff".ljust(32, "0"), ["0bff"]),
            ("0bff".ljust(32, "1"), []),
            ("0b00".ljust(16, "0"), ["0b00"]),
        ],
    )
    @pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
    def test_it_holds_the_keys_with_the_prefix_in_order_and_no_neighbour(self, make, prefix, found):
        keys = make(numbered(self.KEYS))
        assert [one.hex().rstrip("0").ljust(4, "0") for one in keys.range(bytes.fromhex(prefix))] == found

    @pytest.mark.parametrize("length", range(17))
    def test_highest_bytes_end_at_the_end(self, length):
        keys = added_in_portions(SETS["highest"])
        assert list(keys.range(HIGHEST[:length])) == Model(SETS["highest"]).range(HIGHEST[:length])

    def test_a_range_under_way_goes_on_with_what_was_there(self):
        keys = added_together(numbered([key(1), key(3)]))
        going = keys.range(b"")
        assert next(going) == key(1)
        keys.add(*columns([(key(2), 0)]))
        assert list(going) == [key(3)]
        assert list(keys.range(b"")) == [key(1), key(2), key(3)]


class TestAdding:
    def test_nothing_added_is_nothing(self):
        keys = KeySet()
        keys.add(key_words([]), np.empty(0, np.int64))
        assert (len(keys), pairs_of(keys.query(key_words([LOWEST]))), list(keys.range(b""))) == (0, [], [])

    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_each_table_is_twice_as_long_as_the_next_and_few_remain(self, count):
        keys, pairs = KeySet([table(SETS["33 random"])]), []
        for turn in range(200):
            some = numbered(random_keys(turn, count + turn % 3))
            pairs += some
            keys.add(*columns(some))
            sizes = [len(one) for one in keys._added]
            assert all(longer >= 2 * shorter for longer, shorter in pairwise(sizes))
            assert sum(sizes) == len(pairs)
        assert len(sizes) <= 11
        assert_answers_like(keys, SETS["33 random"] + pairs)

    def test_the_tables_that_were_there_are_left_as_they_are(self):
        there = table(SETS["33 random"])
        before = [there.keys.copy(), there.records.copy()]
        keys = KeySet([there])
        keys.add(*columns(SETS["5000 random"]))
        for old, now in zip(before, (there.keys, there.records), strict=True):
            np.testing.assert_array_equal(old, now)
        assert keys._tables()[0] is there

    def test_records_of_one_key_keep_their_order_through_every_merge(self):
        keys, one = KeySet(), key(9, 9)
        random = np.random.default_rng(3)
        came = []
        for turn in range(60):
            count = int(random.integers(1, 9))
            records = random.integers(-(2**62), 2**62, count)
            keys.add(key_words([one] * count + [key(turn)]), np.append(records, turn))
            came += records.tolist()
        assert keys.query(key_words([one])).record.tolist() == came

    def test_what_was_added_is_found_by_those_who_ask_meanwhile(self):
        asked = random_keys(6, 3000)
        keys, added, failures = KeySet(), [0], []
        words, stop = key_words(asked), threading.Event()

        def ask():
            random = np.random.default_rng(1)
            while not stop.is_set():
                known = added[0]
                wanted = random.integers(0, len(asked), 8)
                found = pairs_of(keys.query(words[wanted]))
                missing = [n for n, record in enumerate(wanted.tolist()) if record < known]
                if [n for n in missing if (n, int(wanted[n])) not in found]:
                    failures.append("missing")
                if any(wanted[n] != record for n, record in found) or len(set(found)) != len(found):
                    failures.append("wrong")

        threads = [threading.Thread(target=ask) for _ in range(2)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            while added[0] < len(asked):
                end = added[0] + 1 + added[0] % 13
                keys.add(words[added[0] : end], np.arange(added[0], min(end, len(asked))))
                added[0] = min(end, len(asked))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)
        assert failures == []


# Few values for each half, so that equal ones, equal upper halves and neighbours come by themselves.
HALVES = st.sampled_from([0, 1, 2, 2**32, 2**60, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1])
KEYS = st.builds(key, HALVES, HALVES) | st.binary(min_size=16, max_size=16)
PAIRS = st.lists(st.tuples(KEYS, st.integers(-(2**63), 2**63 - 1)), max_size=60)


@given(
    st.lists(PAIRS, max_size=2),
    st.lists(PAIRS, max_size=6),
    st.lists(KEYS, max_size=8),
    st.binary(max_size=16),
)
def test_adding_and_asking_in_any_order_answers_like_a_list(tables, portions, asked, prefix):
    keys, pairs = KeySet([table(some) for some in tables]), [pair for some in tables for pair in some]
    for some in [[], *portions]:
        keys.add(*columns(some))
        pairs += some
        model = Model(pairs)
        wanted = asked + [one for one, _ in pairs[-5:]]
        assert pairs_of(keys.query(key_words(wanted))) == model.query(wanted)
        for start in (prefix, *(one[: len(prefix)] for one in wanted[:3])):
            assert list(keys.range(start)) == model.range(start)
    assert len(keys) == len(pairs)


@given(st.lists(KEYS, max_size=80), st.lists(KEYS, max_size=8))
def test_a_table_contains_what_it_was_built_from(held, asked):
    built = table(numbered(held))
    assert built.contains(key_words(held + asked)).tolist() == [one in set(held) for one in held + asked]
    assert pairs_of(built.query(key_words(asked))) == Model(numbered(held)).query(asked)
