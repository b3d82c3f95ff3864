"""Tables that people train on, as they are published: planted rows, and what must become of each."""

import io
import json
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.formats import detect
from registry.client.formats.parquet_entries import rewrite_parquet
from registry.client.pictures import hash_files
from registry.demo.training_set import PICTURES
from registry.errors import DatasetError, FormatError
from registry.preference import Action

from .conftest import DOMAIN

FREE, HERS = "https://free.example/{}.jpg", f"https://img.{DOMAIN}/{{}}.jpg"


class Counted:
    """A registry that counts what it is asked, and passes it on."""

    def __init__(self, client: RegistryClient) -> None:
        self._client, self.items, self.marks = client, 0, []

    def lookup(self, items, use, *, review=True):
        self.items += len(items)
        return self._client.lookup(items, use, review=review)

    def mark(self, keys, of="rule"):
        self.marks.append((of, len(keys)))
        return self._client.mark(keys, of)

    def __getattr__(self, name):
        return getattr(self._client, name)


@pytest.fixture
def filter_(live, tmp_path):
    def run(source, target, rules=Rules(), **options):  # noqa: B008 - frozen
        with live.client() as client:
            registry = Counted(client)
            summary = filter_dataset(
                source, tmp_path / target, [registry], rules=rules, options=Options(workers=1, **options)
            )
            return summary, registry

    return run


@pytest.fixture(scope="module")
def work():
    """A lodged work: its file, its SHA-256, its pHash."""
    path = PICTURES / "ben/tuxedo-cat.jpg"
    [hashed] = hash_files([path], registered=True)
    return hashed.fingerprint


def near(phash: bytes, bits: int) -> bytes:
    return (int.from_bytes(phash, "big") ^ ((1 << bits) - 1)).to_bytes(8, "big")


def actions(account, size):
    """What became of each row, as the account tells it."""
    [keep] = account.glob("decisions/**/*.keep")
    bits = np.unpackbits(np.frombuffer(keep.read_bytes(), np.uint8), count=size)
    gone = pq.read_table(keep.with_suffix(".parquet")).to_pylist()
    told = {row["row"]: row["action"] for row in gone}
    return [told.get(number, "keep") for number in range(size)], bits.tolist()


# As they are published.


def test_laion(filter_, tmp_path):
    urls = [(HERS if n % 4 == 1 else FREE).format(n) for n in range(40)]
    urls[8], urls[9], urls[10] = None, "", "no address"
    table = pa.table(
        {
            "URL": urls,
            "TEXT": [f"caption {n}" if n % 7 else None for n in range(40)],
            "WIDTH": pa.array(range(40), pa.int32()),
            "similarity": pa.array(np.linspace(0.2, 0.4, 40), pa.float64()),
            "hash": pa.array(np.arange(40) * -(1 << 57), pa.int64()),
            "punsafe": pa.array(np.zeros(40), pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "laion.parquet", row_group_size=16)
    summary, registry = filter_(tmp_path / "laion.parquet", "clean.parquet")
    expected = ["remove" if n % 4 == 1 else "keep" for n in range(40)]
    expected[8:11] = ["error"] * 3
    assert actions(tmp_path / "clean.parquet.caveat", 40)[0] == expected
    assert pq.read_table(tmp_path / "clean.parquet").equals(
        table.filter(pa.array([one == "keep" for one in expected]))
    )
    assert summary.why == "has URL"
    # Only marked rows and those that are no addresses were looked up.
    assert registry.items == 9 + 1
    assert {of for of, _ in registry.marks} == {"rule"}


PHASHES = {
    "hex digits": lambda values: [v and v.hex() for v in values],
    "upper case": lambda values: [v and v.hex().upper() for v in values],
    "int64": lambda values: pa.array(
        [None if v is None else int.from_bytes(v, "big", signed=True) for v in values], pa.int64()
    ),
    "uint64": lambda values: pa.array(
        [None if v is None else int.from_bytes(v, "big") for v in values], pa.uint64()
    ),
    "whole numbers as text": lambda values: [
        None if v is None else str(int.from_bytes(v, "big", signed=True)) for v in values
    ],
}


@pytest.fixture
def coyo(tmp_path, work):
    """A near copy of a lodged work by its pHash in row 1, the same beside an address of hers in row 2."""

    def make(form):
        far = bytes.fromhex("a5c396f00f695a3c")
        hashes = [far, near(work.phash, 2), near(work.phash, 3), None, far, near(work.phash, 4)]
        urls = [(HERS if n in (2, 4) else FREE).format(n) for n in range(6)]
        table = pa.table({"id": range(6), "url": urls, "text": list("abcdef"), "image_phash": form(hashes)})
        pq.write_table(table, tmp_path / "coyo.parquet")
        return tmp_path / "coyo.parquet"

    return make


@pytest.mark.parametrize("form", PHASHES.values(), ids=PHASHES)
def test_coyo_a_phash_asks_for_a_review_and_never_removes(filter_, tmp_path, coyo, form):
    summary, registry = filter_(coyo(form), "clean.parquet")
    assert summary.why == "has url and image_phash"
    assert pq.read_table(tmp_path / "clean.parquet")["id"].to_pylist() == [0, 1, 3, 5]
    found = {v.sample.key: (v.action, v.cause) for v in summary.notable}
    assert found == {"1": ("review", "phash"), "2": ("remove", "domain"), "4": ("remove", "domain")}
    # Rows with a pHash are looked up in full, and row 3 has none.
    assert registry.items == 5


def test_without_review_phashes_are_not_looked_at(filter_, tmp_path, coyo):
    summary, registry = filter_(coyo(PHASHES["int64"]), "clean.parquet", Rules(review=False))
    assert registry.items == 2
    assert (summary.kept, summary.counts[Action.REVIEW]) == (4, 0)


def test_a_row_with_a_phash_alone_is_set_aside_where_it_is_not_looked_at(filter_, tmp_path, work):
    pq.write_table(pa.table({"phash": [work.phash.hex(), "00" * 8]}), tmp_path / "a.parquet")
    assert filter_(tmp_path / "a.parquet", "one.parquet")[0].counts[Action.REVIEW] == 1
    assert filter_(tmp_path / "a.parquet", "two.parquet", Rules(review=False))[0].errors == 2


TSV = [
    ('a "quoted start', FREE.format(1), True),
    ('"never closed', HERS.format(2), False),
    ("plain <PERSON> https://free.example/not-this", FREE.format(3), True),
    ("also, plain", f"http://{DOMAIN}/4", False),
    ('she said "no"', FREE.format(5), True),
]


@pytest.mark.parametrize(("order", "why"), [((0, 1), "2nd"), ((1, 0), "1st")], ids=["CC3M", "CC12M"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_table_without_a_header(filter_, tmp_path, order, why, end):
    lines = ["\t".join(row[at] for at in order) + end for row in TSV]
    (tmp_path / "cc.tsv").write_bytes("".join(lines).encode())
    summary, _ = filter_(tmp_path / "cc.tsv", "clean.tsv")
    assert summary.why == f"has no header; its {why} column has URLs"
    kept = [line for line, row in zip(lines, TSV, strict=True) if row[2]]
    assert (tmp_path / "clean.tsv").read_bytes() == "".join(kept).encode()
    assert actions(tmp_path / "clean.tsv.caveat", 5)[1] == [int(row[2]) for row in TSV]


HEADERLESS = {
    "one column": ("a.csv", "https://free.example/1\nhttps://free.example/2\n", "1st"),
    "a byte order mark": ("a.csv", "\ufeffhttps://free.example/1,x\n", "1st"),
    "in quotes": ("a.csv", '"a, b","https://free.example/1"\n', "2nd"),
    "a TSV in quotes": ("a.tsv", '"a\tb"\t"https://free.example/1"\n', "2nd"),
    "third": ("a.csv", "1,x,HTTPS://free.example/1\n", "3rd"),
    "eleventh": ("a.csv", "," * 10 + "https://free.example/1\n", "11th"),
    "an address in a caption": ("a.tsv", "see https://free.example/x\thttps://free.example/1\n", "2nd"),
    "a second address now and then": (
        "a.csv", "https://free.example/1,https://free.example/x\nhttps://free.example/2,\n", "1st"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "which"), HEADERLESS.values(), ids=HEADERLESS)
def test_which_column_has_addresses_is_seen(tmp_path, kit, name, text, which):
    kit.plant(tmp_path, {name: text})
    table = detect(tmp_path / name)
    assert table.why == f"has no header; its {which} column has URLs"
    assert [one.urls[0].lower()[:22] for one in table.samples()] == [
        "https://free.example/" + d for d in "12"
    ][: len(text.splitlines())]


UNCLEAR = {
    "two columns": ("a.csv", "https://free.example/1,https://free.example/2\n", "columns 1 and 2 have"),
    "now in one, now in the other": (
        "a.tsv", "https://free.example/1\tx\nx\thttps://free.example/2\n", "no column has"
    ),
    "not in a short row": ("a.csv", "x,https://free.example/1\ny\n", "no column has"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), UNCLEAR.values(), ids=UNCLEAR)
def test_of_two_columns_none_is_guessed(tmp_path, kit, name, text, message):
    kit.plant(tmp_path, {name: text})
    with pytest.raises(DatasetError, match=f"has no header, and {message} an address in each") as caught:
        detect(tmp_path / name)
    assert "Put a line" in caught.value.hint


def test_sha256_finds_the_same_file_at_another_address(filter_, tmp_path, work):
    digests = [None, work.sha256.hex(), "00" * 32, work.sha256.hex().upper(), "not a hash", "", "ab" * 31]
    urls = [*(FREE.format(n) for n in range(6)), HERS.format(6)]
    forms = {"text": pa.array(digests)}
    raw = [bytes.fromhex(d) if d and len(d) == 64 else None for d in digests]
    forms |= {"bytes": pa.array(raw), "32 bytes": pa.array(raw, pa.binary(32))}
    for name, column in forms.items():
        table = pa.table({"url": urls, "SHA256": column, "n": range(7)})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        summary, registry = filter_(tmp_path / f"{name}.parquet", f"{name}-clean.parquet")
        wrong = name == "text"
        kept = [0, 2, 5] if wrong else [0, 2, 4, 5]
        assert pq.read_table(tmp_path / f"{name}-clean.parquet")["n"].to_pylist() == kept
        assert dict(summary.reasons) == {"sha256": 2} | ({} if wrong else {"domain": 1})
        # The last row is hers by its address, but its SHA-256 is none.
        assert summary.errors == (2 if wrong else 0)
        assert [of for of, _ in registry.marks] == ["rule", "sha256"]
        assert registry.items == (2 if wrong else 3)


def test_csv_has_the_same_keys(filter_, tmp_path, work):
    head = "image_phash,url,sha256\n"
    rows = [
        f",{FREE.format(0)},{work.sha256.hex()}\n",
        f"{near(work.phash, 1).hex()},{FREE.format(1)},\n",
        f"zzz,{FREE.format(2)},\n",
        f",{FREE.format(3)},\n",
        f",{FREE.format(4)},,a field too many\n",
        f",{FREE.format(5)},,,\n",
        ",,\n",
    ]
    (tmp_path / "a.csv").write_text(head + "".join(rows))
    summary, _ = filter_(tmp_path / "a.csv", "clean.csv")
    assert (tmp_path / "clean.csv").read_text() == head + rows[1] + rows[3] + rows[5]
    told = {v.sample.key: (str(v.action), v.reason) for v in summary.notable}
    assert {key: action for key, (action, _) in told.items()} == {
        "0": "remove", "1": "review", "2": "error", "4": "error", "6": "error"
    }  # fmt: skip
    assert told["2"][1] == "its image_phash is no pHash of 64 bits: 'zzz'"
    assert told["4"][1] == "it has 4 fields, and the first row 3"


def test_columns_inside_structs_and_lists_are_looked_up(filter_, tmp_path):
    rows = [
        {"meta": {"url": FREE.format(0)}, "urls": [{"src": FREE.format(1)}, {"src": None}]},
        {"meta": {"url": HERS.format(1)}, "urls": []},
        {"meta": None, "urls": [{"src": FREE.format(1)}, {"src": HERS.format(2)}]},
        {"meta": None, "urls": None},
        {"meta": {"url": FREE.format(4)}, "urls": None},
    ]
    table = pa.Table.from_pylist([{"n": n, **row} for n, row in enumerate(rows)])
    pq.write_table(table, tmp_path / "a.parquet")
    summary, _ = filter_(tmp_path / "a.parquet", "clean.parquet")
    assert summary.why == "has meta.url and urls.src"
    assert pq.read_table(tmp_path / "clean.parquet").equals(table.take([0, 4]))
    assert (summary.counts[Action.REMOVE], summary.errors) == (2, 1)


UNSEEN = {
    "list view": pa.list_view(pa.binary()),
    "large list view": pa.large_list_view(pa.binary()),
    "fixed size": pa.binary(4),
}


@pytest.mark.parametrize("kind", UNSEEN.values(), ids=UNSEEN)
def test_pictures_in_a_type_that_is_not_read_are_refused(tmp_path, kind):
    values = [b"\xff\xd8\xff\xe0"] if kind == pa.binary(4) else [[b"\xff\xd8\xff\xe0"]]
    table = pa.table({"url": [FREE.format(0)], "image": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "set.parquet")
    with pytest.raises(DatasetError, match=r"the column image is of .*, and pictures in that are not seen"):
        detect(tmp_path / "set.parquet")


TEXTS = {
    "large text": pa.large_string(),
    "bytes": pa.binary(),
    "large bytes": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_addresses_in_any_type_of_text(filter_, tmp_path, kind):
    urls = pa.array([FREE.format(0), HERS.format(1), None, FREE.format(2)]).cast(kind)
    pq.write_table(pa.table({"url": urls}), tmp_path / "a.parquet")
    filter_(tmp_path / "a.parquet", "clean.parquet")
    after = pq.read_table(tmp_path / "clean.parquet")["url"]
    assert after.type == kind
    assert after.to_pylist() == urls.take([0, 3]).to_pylist()


# What is no table, or no good one.


def parquet_of(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


REFUSED = {
    "two columns but for case": ("a.csv", "url,URL\nx,y\n", "2 columns of one name: 'url' and 'URL'"),
    "two columns in parquet": (
        "a.parquet", parquet_of(URL=["x"], url=["y"]), "2 columns of one name: 'URL' and 'url'"
    ),
    "numbers as addresses": ("a.parquet", parquet_of(url=[1]), "the column url is of int64"),
    "half numbers as pHash": (
        "a.parquet", parquet_of(url=["x"], phash=[0.5]), "the column phash is of double"
    ),
    "a NUL in a TSV": ("a.tsv", "https://free.example/1\tx\nhttps://x.example\t\0\n", "line 2: has a NUL"),
    "a line of 2 MB": ("a.tsv", "https://free.example/1\t" + "x" * (1 << 21), "line 1: is longer than"),
    "a field of 2 MB": ("a.csv", 'url\n"' + "x" * (1 << 21) + '"', "field larger than"),
    "nothing": ("a.csv", "", "is empty"),
    "blank lines": ("a.tsv", "\n\n", "is empty"),
    "not UTF-8": ("a.tsv", b"https://free.example/\xff\n", "is not UTF-8"),
    "no parquet": ("a.parquet", b"PAR1", "is not a parquet file"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, kit, name, data, message):
    kit.plant(tmp_path, {name: data})
    with pytest.raises((DatasetError, FormatError), match=message):
        list(detect(tmp_path / name).samples())


def test_texts_that_are_none_are_set_aside(filter_, tmp_path):
    binary = pa.array([b"https://free.example/1", b"\xff\xfe", b"https://free.example/3"])
    text = pa.StringArray.from_buffers(3, *binary.buffers()[1:])
    for name, column in (("binary", binary), ("text", text)):
        pq.write_table(pa.table({"url": column, "n": range(3)}), tmp_path / f"{name}.parquet")
        summary, _ = filter_(tmp_path / f"{name}.parquet", f"{name}-clean.parquet")
        assert [v.reason for v in summary.notable] == ["its url is not UTF-8"]
        assert pq.read_table(tmp_path / f"{name}-clean.parquet")["n"].to_pylist() == [0, 2]


def test_long_and_strange_addresses_are_set_aside(filter_, tmp_path):
    strange = ["https://free.example/" + "x" * (1 << 20), "https://fr\0ee.example/", "javascript:x", " "]
    pq.write_table(pa.table({"url": [*strange, FREE.format(1)]}), tmp_path / "a.parquet")
    summary, _ = filter_(tmp_path / "a.parquet", "clean.parquet")
    assert (summary.kept, summary.errors) == (1, 4)


def test_groups_and_tables_without_rows(filter_, tmp_path):
    schema = pa.schema([("url", pa.string())])
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as out:
        for urls in ([], [FREE.format(1)], [], [HERS.format(2), FREE.format(3)], []):
            out.write_table(pa.table({"url": urls}, schema=schema))
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 5
    filter_(tmp_path / "a.parquet", "clean.parquet")
    assert pq.read_table(tmp_path / "clean.parquet")["url"].to_pylist() == [FREE.format(1), FREE.format(3)]
    pq.write_table(pa.table({"url": []}, schema=schema), tmp_path / "none.parquet")
    summary, _ = filter_(tmp_path / "none.parquet", "none-clean.parquet")
    assert (summary.samples, summary.target) == (0, None)


def test_a_small_file_of_large_values_is_read_in_small_pieces(tmp_path):
    """24 KB that are 16 GB unpacked: a value of 8 MB that a dictionary repeats 2000 times."""
    value = b"\xff\xd8\xff" + bytes(8 << 20)
    large = pa.array([value] * 10, pa.binary())
    schema = pa.schema([("url", pa.string()), ("jpg", pa.binary())])
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), large[:1])
    pq.write_table(
        pa.table({"url": ["x"] * 2000, "jpg": repeated}),
        tmp_path / "bomb.parquet",
        compression="zstd",
        store_schema=False,
    )
    assert (tmp_path / "bomb.parquet").stat().st_size < 30_000
    assert pq.read_schema(tmp_path / "bomb.parquet").equals(schema)
    seen, most = [], 0

    def keep(part):
        nonlocal most
        assert part.first == sum(seen)
        seen.append(part.rows.num_rows)
        most = max(most, pa.total_allocated_bytes())
        if len(seen) == 4:
            raise DatasetError("enough was seen")
        return np.ones(part.rows.num_rows, np.bool_)

    with pytest.raises(DatasetError, match="enough"):
        rewrite_parquet(
            tmp_path / "bomb.parquet",
            None,
            lambda parts: nullcontext((keep(one), one) for one in parts),
            ["url", "jpg"],
        )
    assert max(seen) <= 16
    assert most < 512 << 20


# DataComp.


def uid(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"


@pytest.fixture
def pool(tmp_path, work):
    """Two tables of a pool; of every five rows one is hers by address and one by its SHA-256."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for part in range(2):
        numbers = range(part * 50, part * 50 + 50)
        table = pa.table(
            {
                "uid": [uid(n) for n in numbers],
                "url": [(HERS if n % 5 == 1 else FREE).format(n) for n in numbers],
                "text": [f"t{n}" for n in numbers],
                "original_width": pa.array([512] * 50, pa.int64()),
                "sha256": [work.sha256.hex() if n % 5 == 2 else f"{n:064x}" for n in numbers],
                "face_bboxes": [[[0.1, 0.2, 0.3, 0.4]]] * 50,
            }
        )
        pq.write_table(table, folder / f"{part:08}.parquet", row_group_size=20)
    return folder


KEPT = [n for n in range(100) if n % 5 not in (1, 2)]


def resharded(path):
    """Read a subset as the resharder does, and check what it relies on."""
    subset = np.load(path, mmap_mode="r")
    assert subset.dtype == np.dtype("u8,u8")
    for n in range(100):
        key = np.array([divmod(int(uid(n), 16), 2**64)], np.dtype("u8,u8"))[0]
        count = np.searchsorted(subset, key, "right") - np.searchsorted(subset, key, "left")
        assert count == (n in KEPT)
    return subset


def test_datacomp_pool_row_by_row(filter_, tmp_path, pool):
    summary, _ = filter_(pool, "clean")
    for part in range(2):
        before = pq.read_table(pool / f"{part:08}.parquet")
        after = pq.read_table(tmp_path / f"clean/{part:08}.parquet")
        stays = [n for n in range(50) if n % 5 not in (1, 2)]
        assert after.equals(before.take(stays))
    assert dict(summary.reasons) == {"domain": 20, "sha256": 20}
    assert len(resharded(tmp_path / "clean.caveat/subset.npy")) == 60


@pytest.mark.parametrize("workers", [1, 2])
def test_a_subset_is_written_in_place_of_the_tables(live, tmp_path, pool, workers):
    with live.client() as client:
        options = Options(workers=workers, subset=True)
        summary = filter_dataset(pool, tmp_path / "kept.npy", [client], options=options)
    assert (summary.kept, summary.target) == (60, tmp_path / "kept.npy")
    assert len(resharded(tmp_path / "kept.npy")) == 60
    assert {one.name for one in tmp_path.iterdir()} == {"pool", "kept.npy", "kept.npy.caveat"}
    assert (tmp_path / "kept.npy.caveat/decisions/00000001.parquet.keep").exists()


def test_a_subset_of_one_table(live, tmp_path, pool):
    with live.client() as client:
        options = Options(workers=1, subset=True)
        filter_dataset(pool / "00000000.parquet", tmp_path / "kept.npy", [client], options=options)
    assert np.load(tmp_path / "kept.npy").tolist() == sorted(
        divmod(int(uid(n), 16), 2**64) for n in KEPT if n < 50
    )


def test_a_run_for_a_subset_is_not_resumed_for_tables(live, tmp_path, pool):
    with live.client() as client:
        filter_dataset(
            pool, tmp_path / "kept", [client], options=Options(workers=1, subset=True, share=(1, 2))
        )
        with pytest.raises(DatasetError, match="another subset"):
            filter_dataset(pool, tmp_path / "kept", [client], options=Options(workers=1))


def test_a_uid_of_which_a_row_went_is_not_in_the_subset(filter_, tmp_path):
    uids = [uid(1), uid(2), uid(1), uid(3).lstrip("0"), uid(2), "no uid", "f" * 33]
    urls = [(HERS if n == 2 else FREE).format(n) for n in range(7)]
    table = pa.table({"uid": [uid(9)] * 1000 + uids, "url": [FREE.format(9)] * 1000 + urls})
    pq.write_table(table, tmp_path / "pool.parquet")
    summary, _ = filter_(tmp_path / "pool.parquet", "clean.parquet")
    subset = np.load(tmp_path / "clean.parquet.caveat/subset.npy").tolist()
    assert subset == sorted(divmod(int(uid(n), 16), 2**64) for n in (2, 3, 9))
    assert [v.reason for v in summary.notable if v.action is Action.ERROR] == [
        "its uid is not 32 hex digits: 'no uid'", f"its uid is not 32 hex digits: {'f' * 33!r}"
    ]  # fmt: skip


NO_POOLS = {
    "no uid": {"url": ["https://free.example/1"]},
    "uids of another kind": {"url": ["https://free.example/1"] * 2, "uid": ["17", "user-4"]},
    "numbers": {"url": ["https://free.example/1"], "uid": [1]},
    "short numbers": {"url": ["https://free.example/1"], "uid": ["17"]},
}


@pytest.mark.parametrize("columns", NO_POOLS.values(), ids=NO_POOLS)
def test_what_is_no_pool_has_no_subset(filter_, tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="no DataComp pool"):
        filter_(tmp_path / "a.parquet", "kept.npy", subset=True)
    assert filter_(tmp_path / "a.parquet", "clean.parquet")[0].errors == 0
    assert not (tmp_path / "clean.parquet.caveat/subset.npy").exists()


def test_the_command_writes_a_subset(caveat, live, tmp_path, pool):
    told = caveat(
        "filter", pool, tmp_path / "kept.npy", "--subset", "--registry", live.url, "--output", "json"
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["kept"] == 60
    assert "the uids of a DataComp pool" in told.stderr or "parquet" in told.stderr
    assert len(resharded(tmp_path / "kept.npy")) == 60
