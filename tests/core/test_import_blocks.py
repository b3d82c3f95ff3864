"""Blocks, and how lists of works become blocks: the same as for single works, to the bit."""

import csv
import dataclasses
import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.blocks import HEAD_BYTES, ROW_COLUMNS, Block, Layout
from registry.calibration import Calibration, radii_of, radii_of_many, shipped_calibration
from registry.canonical import canonical_urls
from registry.errors import InputError, InvalidUrlError, PayloadTooLargeError, ProofError
from registry.fingerprint import REGISTERED_WINDOWS, Fingerprint, is_distinctive, pack_windows
from registry.index import Entries, RowKeys, place_of
from registry.intake import take_in
from registry.leaf import commit
from registry.listing import CSV, NDJSON, PARQUET, read_listing
from registry.merkle import leaf_hash, require_inclusion, root_of
from registry.urls import canonicalize_url, exact_key

pytestmark = pytest.mark.usefixtures("both_paths")

CALIBRATION = shipped_calibration()
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def rows_of(seed, count):
    chance = random.Random(seed)

    def packed(kind):
        if kind < 2:
            return None
        windows = chance.sample(REGISTERED_WINDOWS, 0 if kind == 2 else chance.randint(1, 5))
        phash = chance.randbytes(8) if kind > 2 and chance.random() < 0.5 else None
        print_ = Fingerprint(1, 90, phash, {name: chance.randbytes(32) for name in windows})
        return pack_windows(print_, {name: chance.randint(0, 47) for name in windows}, 1)

    return [
        {
            "title": chance.choice(["", "A", 'é "quoted"\\\n\x1f']),
            "url": chance.choice([None, f"https://a.org/{number}?\\"]),
            "url_key": chance.choice([None, chance.randbytes(16)]),
            "sha256": chance.choice([None, chance.randbytes(32), bytes(32)]),
            "packed": packed(chance.randint(0, 5)),
        }
        for number in range(count)
    ]


def block_of(rows):
    salts = [bytes([number % 256]) * 16 for number in range(len(rows))]
    columns = {name: pa.array([row[name] for row in rows]) for name in ROW_COLUMNS}
    return Block.of(columns | {"salt": pa.array(salts, pa.binary(16))}), salts


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 100])
def test_a_block_gives_back_commits_to_and_finds_its_rows(count):
    rows = rows_of(count, count)
    block, salts = block_of(rows)
    again = Block.load(block.dump())
    assert [again.row(ordinal) for ordinal in range(count)] == rows
    assert [again.salt(ordinal) for ordinal in range(count)] == salts
    commitments = [commit(salt, row) for salt, row in zip(salts, rows, strict=True)]
    assert again.commitments == commitments
    assert again.root == root_of([leaf_hash(one) for one in commitments])
    for ordinal, one in enumerate(commitments):
        require_inclusion(leaf_hash(one), ordinal, count, again.proof(ordinal), again.root)
    with pytest.raises(ProofError):
        again.proof(count)
    wanted = Entries.of(
        RowKeys(place_of(7, ordinal, is_rule=False), row["url_key"], row["sha256"], row["packed"])
        for ordinal, row in enumerate(rows)
    )
    found = again.entries(7)
    for field in dataclasses.fields(Entries):
        mine, theirs = getattr(found, field.name), getattr(wanted, field.name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs, field.name)


@pytest.mark.parametrize("count", [1, 7, 500])
def test_a_work_is_read_where_the_layout_says(count):
    rows = rows_of(1, count)
    data = block_of(rows)[0].dump()
    layout = Layout.of(data[:HEAD_BYTES], count)

    def piece(at, size):
        return data[at : at + size]

    for ordinal, row in enumerate(rows):
        assert piece(*layout.sha256(ordinal)) == (row["sha256"] or bytes(32))
        assert piece(*layout.title(piece(*layout.title_ends(ordinal)))).decode() == row["title"]


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\xff\xff\xff\xff", bytes(3000)], ids=range(4))
def test_what_is_no_block_is_refused(data):
    with pytest.raises(InputError, match="not a block"):
        Block.load(data)
    with pytest.raises(InputError, match="not a block"):
        Layout.of(data, 1)


def test_a_block_cut_off_anywhere_is_refused():
    data = block_of(rows_of(3, 20))[0].dump()
    for end in range(0, len(data) - 8, 97):
        with pytest.raises(InputError):
            Block.load(data[:end])


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://example.org",
            "HTTP://WWW.a.B.co.uk.:80/x%7e/y?utm_a=1&q=%c3%a9#z",
            "http://localhost:08000/a/",
        ),
        *(
            "https://192.0.2.1/",
            "https://例え.jp/",
            "https://[::1]:8080/a",
            "https://a.org:443/?",
            "https://a.org?b",
        ),
        *(
            "https://a.org/%",
            "https://a.org/a%20b?c|d",
            "https://www.www.a.org/",
            "https://www.a/",
            "//a.org/",
        ),
        *("nothing", "https://a,b.org/", "https://a.org/\ud800", "", "https://a.org/" + "a" * 9000),
    ],
    ids=range(18),
)
def test_many_urls_have_the_form_and_key_of_each(url):
    many = ["https://a.org/1", url, "http://b.org:80/2#x"]
    found = canonical_urls(many)
    try:
        text = canonicalize_url(url)
    except InvalidUrlError as error:
        wanted = (None, None, {1: error.message})
    else:
        wanted = (text, exact_key(text), {})
    errors = {place: one.message for place, one in found.errors.items()}
    assert (found.texts[1], found.keys[1], errors) == wanted
    assert (found.texts[0], found.texts[2]) == ("https://a.org/1", "https://b.org/2")


def test_many_works_have_the_radii_of_each():
    """Also of works that are in the set themselves, and of those to which two of its pictures are near."""
    rng = np.random.default_rng(2)
    words = rng.integers(0, 2**64, (60, 4), dtype=np.uint64)
    near = [words[rng.integers(60)].copy() for _ in range(80)]
    for others, flips in zip(near, rng.integers(0, 90, 80), strict=True):
        for bit in rng.choice(256, flips, replace=False).tolist():
            others[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    calibration = Calibration(200, 10, np.array(near), np.arange(80, dtype=np.uint32) // 2)
    works = np.repeat(np.arange(12), 5)
    found = radii_of_many(words, works, calibration)
    for work in range(12):
        values = words[5 * work : 5 * work + 5].astype(">u8")
        print_ = Fingerprint(1, 100, None, {str(n): one.tobytes() for n, one in enumerate(values)})
        assert found[5 * work : 5 * work + 5].tolist() == list(radii_of(print_, calibration).values())
    assert len(set(found.tolist())) > 10


HEX32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
PRINT = st.fixed_dictionaries(
    {"v": st.just(1), "quality": st.integers(0, 100)},
    optional={
        "phash": st.binary(min_size=8, max_size=8).map(bytes.hex),
        "pdq": st.dictionaries(st.sampled_from(REGISTERED_WINDOWS), HEX32, min_size=1, max_size=3),
    },
)
WORK = st.fixed_dictionaries(
    {"sha256": HEX32},
    optional={"title": TEXTS, "url": st.just("http://www.A.org/%7e"), "fingerprint": PRINT},
)


def expected(wire):
    """The row of a work, by the functions for single works."""
    packed = None
    if "fingerprint" in wire:
        given_ = wire["fingerprint"]
        hashes = {name: bytes.fromhex(value) for name, value in given_.get("pdq", {}).items()}
        phash = bytes.fromhex(given_["phash"]) if "phash" in given_ else None
        if not (hashes and is_distinctive(given_["quality"], hashes)):
            hashes, phash = {}, None
        print_ = Fingerprint(1, given_["quality"], phash, hashes)
        packed = pack_windows(print_, radii_of(print_, CALIBRATION), CALIBRATION.id)
    url = canonicalize_url(wire["url"]) if "url" in wire else None
    return {
        "title": wire.get("title", ""),
        "url": url,
        "url_key": None if url is None else exact_key(url),
        "sha256": bytes.fromhex(wire["sha256"]),
        "packed": packed,
    }


def flat(wire):
    print_ = wire.get("fingerprint", {})
    row = {name: wire.get(name) or None for name in ("title", "url", "sha256")}
    row |= {name: print_.get(name) for name in ("v", "quality", "phash")}
    return row | {f"pdq_{name}": print_.get("pdq", {}).get(name) for name in REGISTERED_WINDOWS}


def as_csv(wires):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(flat({})))
    writer.writeheader()
    writer.writerows(flat(wire) for wire in wires)
    return text.getvalue().encode()


def as_parquet(wires):
    schema = pa.schema([(n, pa.int64() if n in ("v", "quality") else pa.string()) for n in flat({})])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([flat(wire) for wire in wires], schema), sink)
    return sink.getvalue()


@settings(max_examples=25, deadline=None)
@given(st.lists(WORK, min_size=1, max_size=6))
def test_a_list_becomes_the_rows_of_its_works_whatever_its_kind(wires):
    bodies = {
        NDJSON: "".join(json.dumps(wire) + "\n" for wire in wires).encode(),
        CSV: as_csv(wires),
        PARQUET: as_parquet(wires),
    }
    wanted = [expected(wire) for wire in wires]
    for kind, data in bodies.items():
        block = take_in(read_listing(data, kind, 10), bytes(16 * len(wires)), CALIBRATION)
        assert [block.row(ordinal) for ordinal in range(len(wires))] == wanted, kind
        plain = [ordinal for ordinal, row in enumerate(wanted) if row["packed"] and len(row["packed"]) == 4]
        assert block.exact_only == plain


@given(st.binary(max_size=200), st.sampled_from([NDJSON, CSV, PARQUET]))
def test_whatever_comes_is_read_or_refused_by_name(data, kind):
    try:
        listing = read_listing(data, kind, 5)
        take_in(listing, bytes(16 * listing.rows), None)
    except (InputError, PayloadTooLargeError):
        pass
