"""The index in memory: places, what rows bring, and that frozen and growing parts answer alike."""

import sys
import threading
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.fingerprint import (
    PHASH_RADIUS,
    REGISTERED_WINDOWS,
    STRICT_RADIUS,
    Fingerprint,
    hash_words,
    pack_windows,
)
from registry.index import Entries, FrozenIndex, Index, Place, RowKeys, place_of
from registry.keys import key_words

LAST_SEQ, LAST_ORDINAL = 2**39 - 1, 2**23 - 1
SEQS, ORDINALS = st.integers(0, LAST_SEQ), st.integers(0, LAST_ORDINAL)


class TestPlaces:
    @pytest.mark.parametrize(
        ("place", "number"),
        [
            (Place(0, 0, False), 0),
            (Place(0, 0, True), 1),
            (Place(0, 1, False), 2),
            (Place(1, 0, False), 2**24),
            (Place(1, LAST_ORDINAL, True), 2**25 - 1),
            (Place(LAST_SEQ, LAST_ORDINAL, True), 2**63 - 1),
        ],
    )
    def test_a_place_has_a_number(self, place, number):
        assert place_of(place.seq, place.ordinal, is_rule=place.is_rule) == number
        assert Place.of(number) == place

    @given(SEQS, ORDINALS, st.booleans())
    def test_the_number_leads_back_and_fits_a_signed_word(self, seq, ordinal, is_rule):
        number = place_of(seq, ordinal, is_rule=is_rule)
        assert Place.of(number) == (seq, ordinal, is_rule)
        assert type(Place.of(number).is_rule) is bool
        assert Place.of(int(np.int64(number))) == (seq, ordinal, is_rule)

    @given(st.tuples(SEQS, ORDINALS, st.booleans()), st.tuples(SEQS, ORDINALS, st.booleans()))
    def test_numbers_stand_in_the_order_of_events(self, one, other):
        numbers = [place_of(*place[:2], is_rule=place[2]) for place in (one, other)]
        assert (numbers[0] < numbers[1]) == (one < other)

    @pytest.mark.parametrize(
        ("seq", "ordinal"), [(-1, 0), (0, -1), (LAST_SEQ + 1, 0), (0, LAST_ORDINAL + 1), (2**64, 2**64)]
    )
    def test_what_has_no_place_is_refused(self, seq, ordinal):
        with pytest.raises(ValueError, match=f"ordinal {ordinal} of event {seq}"):
            place_of(seq, ordinal, is_rule=False)


def packed(windows, phash=None, radius=STRICT_RADIUS):
    return pack_windows(Fingerprint(1, 100, phash, windows), dict.fromkeys(windows, radius))


HASH = bytes(range(100, 132))
ROWS = [
    RowKeys(5),
    RowKeys(6, rule_key=b"r" * 16),
    RowKeys(7, sha256=b"s" * 32),
    RowKeys(8, packed=packed({"full": HASH, "end_black": HASH[::-1]}, b"p" * 8, 12)),
    RowKeys(9, b"r" * 16, b"t" * 32, packed({}, b"q" * 8)),
    RowKeys(10, packed=packed({})),
]


class TestEntries:
    def test_rows_bring_their_keys_in_their_order(self):
        entries = Entries.of(ROWS)
        assert len(entries) == 2 + 2 + 2 + 2
        assert entries.rule_places.tolist() == [6, 9]
        assert entries.file_places.tolist() == [7, 9]
        np.testing.assert_array_equal(entries.rule_keys, key_words([b"r" * 16] * 2))
        np.testing.assert_array_equal(entries.file_keys, key_words([b"s" * 16, b"t" * 16]))
        np.testing.assert_array_equal(entries.pdq, hash_words([HASH, HASH[::-1]]))
        assert entries.pdq_places.tolist() == [8, 8]
        assert entries.pdq_radii.tolist() == [12, 12]
        assert [REGISTERED_WINDOWS[window] for window in entries.pdq_windows] == ["full", "end_black"]
        np.testing.assert_array_equal(entries.phash, hash_words([b"p" * 8, b"q" * 8]))
        assert entries.phash_places.tolist() == [8, 9]

    @pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[-1:]], ids=["none", "no keys", "no hashes"])
    def test_what_brings_nothing_has_the_same_columns(self, rows):
        entries, some = Entries.of(rows), Entries.of(ROWS)
        assert len(entries) == 0
        for field in fields(Entries):
            got, wanted = getattr(entries, field.name), getattr(some, field.name)
            assert (got.dtype, got.shape[1:]) == (wanted.dtype, wanted.shape[1:])
            assert len(got) == 0

    def test_joined_they_stand_one_after_the_other(self):
        parts = [Entries.of(some) for some in (ROWS[:3], [], ROWS[3:], ROWS)]
        assert_equal(Entries.joined(parts), Entries.of(ROWS * 2))


def assert_equal(one, other):
    for field in fields(Entries):
        got, wanted = getattr(one, field.name), getattr(other, field.name)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted, err_msg=field.name)


# Few values, so that the same key belongs to several rows, and hashes lie near to each other.
_KEY = st.sampled_from([bytes(16), b"\xff" * 16, b"a" * 16, b"a" * 15 + b"b"]) | st.binary(
    min_size=16, max_size=16
)
_SHA = st.sampled_from([bytes(32), b"c" * 16 + b"d" * 16, b"c" * 16 + b"e" * 16])


@st.composite
def _near(draw, size):
    base = int.from_bytes(b"\x5a" * size, "big")
    for bit in draw(st.lists(st.integers(0, 8 * size - 1), max_size=6)):
        base ^= 1 << bit
    return base.to_bytes(size, "big")


@st.composite
def _packed(draw):
    windows = draw(st.dictionaries(st.sampled_from(REGISTERED_WINDOWS), _near(32), max_size=4))
    return packed(windows, draw(st.none() | _near(8)), draw(st.integers(0, 255)))


_ROW = st.tuples(st.none() | _KEY, st.none() | _SHA, st.none() | _packed())


@st.composite
def batches(draw):
    """Rows as events bring them: numbered, some events at a time."""
    made, place = [], 0
    for some in draw(st.lists(st.lists(_ROW, max_size=6), max_size=5)):
        made.append([RowKeys(place + n, *row) for n, row in enumerate(some)])
        place += len(some)
    return made


def frozen(entries):
    arrays = {name: np.zeros(shape, kind) for name, (kind, shape) in FrozenIndex.layout(entries).items()}
    made = FrozenIndex.fill(arrays, entries)
    assert made.arrays is arrays
    return made


def by_key(keys, places):
    """The records of each key, in their order."""
    found = {}
    for key, place in zip(map(tuple, keys.tolist()), places.tolist(), strict=True):
        found.setdefault(key, []).append(place)
    return found


def in_order(near):
    columns = (near.query, near.distance, near.place, near.window, near.radius)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


ASKED_KEYS = key_words([bytes(16), b"\xff" * 16, b"a" * 16, b"a" * 15 + b"b", b"c" * 16, b"z" * 16])
ASKED_PDQ = hash_words([b"\x5a" * 32, b"\x5a" * 31 + b"\x5b", b"\xa5" * 32])
ASKED_PHASH = hash_words([b"\x5a" * 8, b"\xa5" * 8])


def answers(index):
    return {
        "rules": [index.rules(ASKED_KEYS).query.tolist(), index.rules(ASKED_KEYS).record.tolist()],
        "files": [index.files(ASKED_KEYS).query.tolist(), index.files(ASKED_KEYS).record.tolist()],
        "pdq": [in_order(index.near_pdq(ASKED_PDQ, radius, 1000)) for radius in (0, 6, 47)],
        "phash": [in_order(index.near_phash(ASKED_PHASH, radius, 1000)) for radius in (0, PHASH_RADIUS)],
    }


def growing(parts):
    index = Index()
    for entries in parts:
        index.add(entries)
    return index


def said_by(rows):
    """Search the rows from end to end."""

    def keyed(asked, key_of):
        hits = [
            (query, row.place)
            for query, key in enumerate(asked)
            for row in rows
            if key_of(row) is not None and key_words([key_of(row)]).tolist() == [key]
        ]
        return [[query for query, _ in hits], [place for _, place in hits]]

    def near(asked, hashes, radius):
        return sorted(
            (query, apart, place, window, own)
            for query, one in enumerate(asked)
            for place, value, window, own in hashes
            if (apart := (int.from_bytes(one, "big") ^ int.from_bytes(value, "big")).bit_count()) <= radius
        )

    pdq, phash = [], []
    for row in rows:
        if row.packed is not None:
            at = 12 if row.packed[3] else 4
            if row.packed[3]:
                phash.append((row.place, row.packed[4:12], 0, PHASH_RADIUS))
            for start in range(at, len(row.packed), 34):
                window, own = row.packed[start], row.packed[start + 1]
                pdq.append((row.place, row.packed[start + 2 : start + 34], window, own))
    asked_pdq = [b"\x5a" * 32, b"\x5a" * 31 + b"\x5b", b"\xa5" * 32]
    asked_phash = [b"\x5a" * 8, b"\xa5" * 8]
    return {
        "rules": keyed(ASKED_KEYS.tolist(), lambda row: row.rule_key),
        "files": keyed(ASKED_KEYS.tolist(), lambda row: row.sha256),
        "pdq": [near(asked_pdq, pdq, radius) for radius in (0, 6, 47)],
        "phash": [near(asked_phash, phash, radius) for radius in (0, PHASH_RADIUS)],
    }


@pytest.mark.usefixtures("both_paths")
class TestIndexes:
    @given(batches(), st.data())
    def test_frozen_and_growing_parts_answer_alike(self, parts, data):
        rows = [row for some in parts for row in some]
        brought = [Entries.of(some) for some in parts]
        wanted = said_by(rows)
        assert answers(growing(brought)) == wanted
        cut = data.draw(st.integers(0, len(parts)))
        mixed = Index([frozen(entries) for entries in brought[:cut]])
        for entries in brought[cut:]:
            mixed.add(entries)
        assert answers(mixed) == wanted
        if parts:
            assert answers(Index([frozen(Entries.joined(brought))])) == wanted

    @given(batches())
    def test_frozen_entries_come_back(self, parts):
        """All of them: hashes in their order, and of each key its places in theirs."""
        entries = Entries.joined([Entries.of([]), *map(Entries.of, parts)])
        made = frozen(entries)
        back = made.entries()
        assert len(made) == len(back) == len(entries)
        for name in ("pdq", "pdq_radii", "pdq_windows", "pdq_places", "phash", "phash_places"):
            np.testing.assert_array_equal(getattr(back, name), getattr(entries, name))
        for name in ("rule", "file"):
            assert by_key(getattr(back, f"{name}_keys"), getattr(back, f"{name}_places")) == by_key(
                getattr(entries, f"{name}_keys"), getattr(entries, f"{name}_places")
            )
        assert_equal(frozen(back).entries(), back)

    @given(batches())
    def test_merged_segments_hold_what_each_held(self, parts):
        """As the builder puts them together, one after the other."""
        merged = Entries.of([])
        for some in parts:
            merged = Entries.joined([frozen(merged).entries(), Entries.of(some)])
        assert answers(Index([frozen(merged)])) == said_by([row for some in parts for row in some])

    def test_an_index_of_nothing_finds_nothing(self):
        nothing = frozen(Entries.of([]))
        assert len(nothing) == 0
        for index in (Index(), Index([nothing]), Index([nothing, nothing])):
            assert answers(index) == said_by([])

    def test_the_limit_is_kept_and_whoever_had_more_is_named(self):
        rows = [RowKeys(n, packed=packed({"full": b"\x5a" * 32}, b"\x5a" * 8)) for n in range(8)]
        for index in (growing([Entries.of(rows)]), Index([frozen(Entries.of(rows))])):
            for limit, cut in ((7, [0]), (8, []), (9, [])):
                near = index.near_pdq(ASKED_PDQ[::2], 3, limit)
                assert (len(near.place), near.cut.tolist()) == (min(limit, 8), cut)
                near = index.near_phash(ASKED_PHASH, 3, limit)
                assert (len(near.place), near.cut.tolist()) == (min(limit, 8), cut)

    def test_a_part_that_was_cut_short_is_named_in_whatever_part_it_was(self):
        many = [RowKeys(n, packed=packed({"full": b"\x5a" * 32})) for n in range(5)]
        few = [RowKeys(9, packed=packed({"full": b"\xa5" * 32}))]
        for first, second in ((many, few), (few, many)):
            index = Index([frozen(Entries.of(first)), frozen(Entries.of(few))])
            index.add(Entries.of(second))
            assert set(index.near_pdq(ASKED_PDQ, 3, 4).cut.tolist()) == {0, 1}


def test_what_was_added_is_found_with_its_own_columns_by_those_who_ask_meanwhile():
    """A search reads a place for every hash that it can see, also while the columns are replaced."""
    count = 6000
    random = np.random.default_rng(7)
    hashes = [random.bytes(32) for _ in range(count)]
    rows = [
        RowKeys(
            n, n.to_bytes(16, "big"), n.to_bytes(32, "little"), packed({"full": value}, value[:8], n % 251)
        )
        for n, value in enumerate(hashes)
    ]
    index, added, failures, stop = Index(), [0], [], threading.Event()

    def ask():
        random = np.random.default_rng(threading.get_ident() % 2**32)
        while not stop.is_set():
            known = added[0]
            wanted = random.integers(0, max(known, 1), 3).tolist()
            near = index.near_pdq(hash_words([hashes[n] for n in wanted]), 3, 10)
            phash = index.near_phash(hash_words([hashes[n][:8] for n in wanted]), 0, 10)
            rules = index.rules(key_words([n.to_bytes(16, "big") for n in wanted]))
            found = [wanted[query] for query in near.query]
            if found != near.place.tolist() or near.radius.tolist() != [n % 251 for n in found]:
                failures.append("a foreign column")
            if [wanted[query] for query in phash.query] != phash.place.tolist():
                failures.append("a foreign place")
            if known and (len(near.place) < 3 or len(phash.place) < 3 or rules.record.tolist() != wanted):
                failures.append("missing")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        while added[0] < count:
            some = rows[added[0] : added[0] + 1 + added[0] % 40]
            index.add(Entries.of(some))
            added[0] += len(some)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert failures == []
