"""``caveat index`` and ``caveat find``: planted works are found in every dataset, and nothing is lost."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry import fast
from registry.calibration import Calibration, radii_of, shipped_calibration
from registry.client import DatasetIndex, index_dataset
from registry.client.indexing import building
from registry.client.pictures import hash_files
from registry.dataset_index.batch import FORM_CODES, Batch, Form
from registry.dataset_index.listing import Listing
from registry.dataset_index.part import open_part, write_part
from registry.dataset_index.texts import A_BLOCK, Texts
from registry.demo.training_set import PICTURES, make_training_set
from registry.disk import only_writer
from registry.errors import DatasetError, FormatError, InputError, StorageError
from registry.fingerprint import hash_words, pack_windows
from registry.index import Entries, Index, RowKeys
from registry.matching import Question
from registry.matching import find as find_lodged
from registry.preference import Status
from registry.urls import canonicalize_url, host_of, registered_domain

# Which work each of the planted copies is of, and how it is found.
PLANTED = {
    "same": ("ben/tuxedo-cat", "sha256"),
    "jpeg": ("ada/sunflower", "pdq"),
    "mirror": ("ada/sailboats-at-sunset", "pdq"),
    "framed": ("ben/tractor", "pdq"),
    "square": ("ada/xylophone", "pdq"),
}
STRANGERS = sorted((PICTURES / "others").glob("*.jpg"))[:3]


def index_of(source, folder=None, **options):
    return DatasetIndex.open(index_dataset(source, folder, workers=1, **options).folder)


def work(name):
    return PICTURES / f"{name}.jpg"


def names(answer):
    return [one.sample for one in answer.found]


def table_of(folder, name, columns):
    """Write columns as the kind of table that the ending of ``name`` says."""
    path = folder / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=3)
        return path
    mark = "\t" if path.suffix == ".tsv" else ","
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    lines = (mark.join("" if one is None else str(one) for one in row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# -- pictures ----------------------------------------------------------------------------------------


def as_folder(members, path):
    for name, data in members.items():
        (path / "set").mkdir(exist_ok=True)
        (path / "set" / name).write_bytes(data)
    return path / "set", ""


def as_zip(members, path):
    with zipfile.ZipFile(path / "set.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path / "set.zip", ""


def as_tar(members, path):
    (path / "shards").mkdir()
    with tarfile.open(path / "shards" / "00000.tar", "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path / "shards", "00000.tar/"


@pytest.mark.parametrize("put", [as_folder, as_zip, as_tar], ids=["folder", "zip", "webdataset"])
def test_planted_works_are_found_in_every_kind_of_dataset(put, copies, kit, tmp_path):
    endings = {"same": "jpg", "jpeg": "jpg", "mirror": "png", "framed": "jpg", "square": "webp"}
    members = {f"{name}.{endings[name]}": data for name, data in copies.items()}
    members |= {f"free{seed}.png": kit.free(seed) for seed in range(3)}
    source, below = put(members, tmp_path)
    index = index_of(source)
    counts = index.listing.counts
    assert (counts.samples, counts.pictures, counts.files, counts.faults) == (8, 8, 8, 0)
    works = [work(name) for name, _ in PLANTED.values()]
    for (planted, (_, kind)), answer in zip(PLANTED.items(), index.find_pictures(works), strict=True):
        assert names(answer) == [f"{below}{planted}.{endings[planted]}"], planted
        assert (answer.status, answer.count) == (Status.OK, 1)
        assert (answer.found[0].match.kind, answer.found[0].match.certain) == (kind, True)
    for answer in index.find_pictures(STRANGERS):
        assert (answer.status, answer.count, answer.reason) == (Status.OK, 0, "not found among 8 pictures")


def test_it_finds_what_a_registry_would(tmp_path):
    """The same pairs, to the bit, as if the works had been lodged and the dataset filtered."""
    make_training_set(tmp_path / "set")
    index = index_of(tmp_path / "set")
    samples = sorted((tmp_path / "set/10_cosy").glob("*.[jpw]*g")) + list(tmp_path.glob("set/*/*.webp"))
    works = sorted(PICTURES.glob("*/*.jpg"))
    lodged = Index()
    for number, one in enumerate(hash_files(works, registered=True)):
        packed = pack_windows(one.fingerprint, radii_of(one.fingerprint, shipped_calibration()))
        lodged.add(Entries.of([RowKeys(number, sha256=one.fingerprint.sha256, packed=packed)]))
    questions = [Question(None, one.fingerprint.sha256, one.fingerprint) for one in hash_files(samples)]
    expected = {}
    for sample, found in zip(samples, find_lodged(lodged, questions, review=True)[0], strict=True):
        for (number, kind), match in found.items():
            pair = works[number], f"10_cosy/{sample.name}"
            if expected.get(pair) is None or kind == "sha256":
                expected[pair] = (match.kind, match.certain, match.distance)
    got = {
        (path, one.sample): (one.match.kind, one.match.certain, one.match.distance)
        for path, answer in zip(works, index.find_pictures(works), strict=True)
        for one in answer.found
    }
    assert got == expected
    assert len(got) >= 14


def test_addresses_and_pictures_of_one_sample_are_found_alike(copies, kit, tmp_path):
    lines = [
        {"file_name": "a.jpg", "url": "https://img.ada.example/1.jpg", "src": "https://cdn.example.net/1"},
        {"file_name": "b.png", "url": None},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    source = kit.plant(
        tmp_path / "set", {"metadata.jsonl": text, "a.jpg": copies["jpeg"], "b.png": kit.free(1)}
    )
    index = index_of(source)
    [picture] = index.find_pictures([work("ada/sunflower")])
    assert picture.found[0].urls == ("https://img.ada.example/1.jpg", "https://cdn.example.net/1")
    for query in ("ada.example", "https://cdn.example.net/1"):
        assert names(index.find(query)) == ["a.jpg"]


def test_what_cannot_be_read_is_named_and_told_with_every_miss(kit, tmp_path):
    source = kit.plant(
        tmp_path / "set",
        {"bad.jpg": b"no picture", "a.png": kit.free(1), "flat.png": kit.packed(Image.new("RGB", (99, 99)))},
    )
    index = index_of(source)
    assert (index.listing.counts.faults, index.listing.counts.plain) == (1, 1)
    [(name, reason)] = index.faults()
    assert (name, "not a picture" in reason) == ("bad.jpg", True)
    [stranger, flat] = index.find_pictures([STRANGERS[0], source / "flat.png"])
    assert stranger.reason == "not found among 1 pictures; 1 samples could not be read"
    assert names(flat) == ["flat.png"]


def test_a_sample_with_nothing_to_find_it_by_is_named(kit, tmp_path):
    source, _ = as_tar({"a.png": kit.free(1), "b.txt": b"a caption alone"}, tmp_path)
    [(name, reason)] = index_of(source).faults()
    assert (name, reason) == ("00000.tar/b", "it has neither a picture that is read nor an address")


def test_a_match_of_a_plain_sample_asks_for_a_look(tmp_path):
    """A pale copy is of low quality: the registry reviews it, and so does the index."""
    with Image.open(work("ada/sunflower")) as image:
        pale = Image.blend(Image.new("RGB", image.size, "white"), image.convert("RGB"), 0.12)
    (tmp_path / "set").mkdir()
    pale.save(tmp_path / "set/pale.png")
    [one] = index_of(tmp_path / "set").find_pictures([work("ada/sunflower")])
    assert (names(one), one.found[0].match.kind, one.found[0].match.certain) == (["pale.png"], "pdq", False)


def flipped(value, bits):
    """A hash so many bits away."""
    return (int.from_bytes(value, "big") ^ ((1 << bits) - 1) << 9).to_bytes(32, "big")


def at_distances(folder, value, distances, form):
    """An index of samples so far from a hash, all of one form."""
    batch = Batch(0, len(distances), [str(bits) for bits in distances])
    batch.pdq, batch.pdq_of = [flipped(value, bits) for bits in distances], list(range(len(distances)))
    batch.pdq_forms = [FORM_CODES.index(form)] * len(distances)
    listed = write_part(folder, batch, "d")
    return DatasetIndex(Listing("a", "folder", "d", (listed,)), [open_part(folder, listed, "d")])


@pytest.mark.parametrize("plain", [False, True], ids=["good", "plain"])
def test_how_near_a_sample_is_decides_as_in_a_registry(plain, tmp_path):
    [hashed] = hash_files([work("ada/sunflower")], registered=True)
    assert radii_of(hashed.fingerprint, shipped_calibration())["full"] == 47
    full = hashed.fingerprint.pdq["full"]
    index = at_distances(tmp_path, full, [0, 31, 32, 47, 48], Form("mirror", plain))
    [answer] = index.find_pictures([work("ada/sunflower")])
    got = [(one.sample, one.match.distance, one.match.certain, one.match.form) for one in answer.found]
    assert got == [
        ("0", 0, not plain, "mirror"), ("31", 31, not plain, "mirror"),
        ("32", 32, False, "mirror"), ("47", 47, False, "mirror"),
    ]  # fmt: skip


@pytest.mark.parametrize("radius", [0, 12, 47])
def test_a_window_finds_nothing_beyond_its_own_radius(radius, tmp_path, monkeypatch):
    [hashed] = hash_files([work("ada/sunflower")], registered=True)
    full = hashed.fingerprint.pdq["full"]
    stranger = Calibration(200, 60 - radius, hash_words([flipped(full, 60)]), np.zeros(1, np.uint32))
    monkeypatch.setattr("registry.dataset_index.searching.shipped_calibration", lambda: stranger)
    index = at_distances(tmp_path, full, [0, 12, 13, 47], Form("full", False))
    [answer] = index.find_pictures([work("ada/sunflower")])
    assert [one.match.distance for one in answer.found] == [n for n in (0, 12, 13, 47) if n <= radius]


# -- addresses -----------------------------------------------------------------------------------------

URLS = [
    "http://www.ada.example/works/a.jpg?utm_source=x",
    "https://img.ada.example/works/b.jpg",
    "https://img.ada.example/old/c.jpg",
    "https://img.ada.example/works/b.jpg",
    "https://other.example/d.jpg",
    "https://198.51.100.7/e.jpg",
    "https://ada.example:8443/f.jpg",
    "https://münchen.example/g.jpg",
    None,
    "nothing",
    "https://notada.example/works/h.jpg",
]
ASKED = {
    # query: kind, rows
    "https://ada.example/works/a.jpg": ("url", [0]),
    "HTTP://IMG.ada.example:80/works/b.jpg#top": ("url", [1, 3]),
    "https://img.ada.example/works/": ("prefix", [1, 3]),
    "https://img.ada.example/wor/": ("prefix", []),
    "https://img.ada.example/": ("host", [1, 2, 3]),
    "img.ada.example": ("host", [1, 2, 3]),
    "www.ada.example": ("domain", [0, 1, 2, 3, 6]),
    "ada.example": ("domain", [0, 1, 2, 3, 6]),
    "https://ada.example:8443/": ("host", [6]),
    "198.51.100.7": ("host", [5]),
    "xn--mnchen-3ya.example": ("domain", [7]),
    "nobody.example": ("domain", []),
    "https://ada.example/works/a.jpg?page=2": ("url", []),
}


@pytest.mark.parametrize("name", ["urls.csv", "urls.tsv", "urls.parquet"])
def test_addresses_are_found_however_they_are_asked(name, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "A_PART_OF_ROWS", 4)
    source = table_of(tmp_path, name, {"URL": URLS, "n": list(range(len(URLS)))})
    index = index_of(source)
    for query, (kind, rows) in ASKED.items():
        answer = index.find(query)
        assert (answer.status, answer.count) == (Status.OK, len(rows)), query
        assert sorted(one.number for one in answer.found) == rows, query
        assert {one.match.kind for one in answer.found} <= {kind}, query
        assert all(one.sample == f"row {one.number}" for one in answer.found)
        assert all(one.urls == (URLS[one.number],) for one in answer.found)
    reasons = {"row 8": "the row has no URL", "row 9": "not a URL: 'nothing'"}
    assert dict(index.faults()) == reasons
    assert index.listing.counts.addresses == 9


SHARDS = {
    "a.parquet": [f"https://ada.example/{n}.jpg" for n in range(7)],
    "b/c.parquet": [None, "https://ada.example/c.jpg", "nothing"],
    "b/d.parquet": ["https://ben.example/d.jpg"],
}


def tables_below(folder):
    own, other = phash_of(work("ben/seascape")), phash_of(STRANGERS[0])
    for name, urls in SHARDS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        hashes = [other] * (len(urls) - 1) + [own]
        table_of(folder, name, {"url": urls, "image_phash": hashes})
    (folder / "clip.mp4").write_bytes(b"beside the tables")
    return folder


def test_a_folder_of_tables_is_one_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "A_PART_OF_ROWS", 3)
    index = index_of(tables_below(tmp_path / "set"))
    assert [(part.table, part.row) for part in index.listing.parts] == [
        ("a.parquet", 0), ("a.parquet", 3), ("a.parquet", 6), ("b/c.parquet", 0), ("b/d.parquet", 0),
        ("", None),
    ]  # fmt: skip
    assert names(index.find("ada.example", limit=99)) == [
        *(f"a.parquet/{n}" for n in range(7)),
        "b/c.parquet/1",
    ]
    assert [one.number for one in index.find("ben.example").found] == [10]
    [picture] = index.find_pictures([work("ben/seascape")])
    assert names(picture) == ["a.parquet/6", "b/c.parquet/2", "b/d.parquet/0"]
    faults = dict(index.faults())
    assert faults.keys() == {"b/c.parquet/2", "clip.mp4"}
    assert index.listing.counts.samples == 12


@pytest.mark.parametrize("stop", range(5))
def test_a_folder_of_tables_is_gone_on_with_after_any_part(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "A_PART_OF_ROWS", 3)
    source, done = tables_below(tmp_path / "set"), []

    def told(count, size):
        done.append(count)
        if len(done) > stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_dataset(source, tmp_path / "index", progress=told)
    assert index_dataset(source, tmp_path / "index").resumed == [3, 6, 7, 10, 11][stop]
    index_dataset(source, tmp_path / "whole")
    assert files_of(tmp_path / "index") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("https://", Status.MALFORMED),
        ("ftp://ada.example/", Status.MALFORMED),
        ("ada.example:8443", Status.MALFORMED),
        ("a b.example", Status.MALFORMED),
    ],
)
def test_what_is_no_address_is_no_answer(query, status, tmp_path):
    index = index_of(table_of(tmp_path, "urls.csv", {"url": URLS[:1]}))
    answer = index.find(query)
    assert (answer.status, answer.count) == (status, 0)


def test_the_limit_names_fewer_and_counts_all(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "A_PART_OF_ROWS", 7)
    urls = [f"https://ada.example/{n}.jpg" for n in range(30)]
    index = index_of(table_of(tmp_path, "urls.csv", {"url": urls}))
    for limit in (0, 5, 10, 100):
        answer = index.find("ada.example", limit=limit)
        assert (answer.count, len(answer.found)) == (30, min(limit, 30))
    assert [one.number for one in index.find("ada.example", limit=10).found] == list(range(10))


_HOSTS = st.sampled_from(
    ["ada.example", "www.ada.example", "img.ada.example", "ada.example:81", "a.co.uk", "b.a.co.uk", "co.uk",
     "10.0.0.1", "[::1]", "ada.github.io", "github.io", "ben.github.io", "x.y.z.example"]
)  # fmt: skip
_PATHS = st.sampled_from(["", "a.jpg", "a/", "a/b.jpg", "b.jpg?x=1", "%C3%A9.jpg", "é.jpg"])


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(_HOSTS, _PATHS), max_size=40))
def test_every_address_is_under_its_own_keys_and_no_others(compiled, pairs, tmp_path_factory):
    """Law: what is found under a host, a domain and an address is what canonicalisation says."""
    folder = tmp_path_factory.mktemp("part")
    urls = [f"https://{host}/{path}" for host, path in pairs]
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(fast, "kernels", None)
        listed = write_part(folder, Batch(0, len(urls), (), urls, np.arange(len(urls)), row=0), "d")
        index = DatasetIndex(Listing("a", "csv", "d", (listed,)), [open_part(folder, listed, "d")])
        canonical = [canonicalize_url(url) for url in urls]
        for one in set(canonical):
            wanted = sorted(n for n, other in enumerate(canonical) if other == one)
            if not one.endswith("/"):
                assert sorted(f.number for f in index.find(one, limit=99).found) == wanted
        for host in {host_of(one) for one in canonical}:
            if registered_domain(host) == host:
                wanted = [registered_domain(host_of(one)) == host for one in canonical]
            else:
                wanted = [one.startswith(f"https://{host}/") for one in canonical]
            assert index.find(host, limit=0).count == sum(wanted) or not urls


@given(st.lists(st.text() | st.lists(st.text(), max_size=2), max_size=3 * A_BLOCK), st.data())
@settings(max_examples=30)
def test_texts_come_back(texts, data):
    packed = Texts.of(texts)
    assert packed.all() == texts
    numbers = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=9)) if texts else []
    assert packed.read(numbers) == [texts[number] for number in numbers]


def test_texts_of_several_blocks_are_read_in_any_order():
    texts = [f"text {n}" for n in range(2 * A_BLOCK + 9)]
    wanted = [0, 2 * A_BLOCK + 8, A_BLOCK, A_BLOCK - 1, A_BLOCK + 1]
    assert Texts.of(texts).read(wanted) == [texts[n] for n in wanted]


# -- hashes that a table brings ------------------------------------------------------------------------


def phash_of(path):
    with Image.open(path) as image:
        return str(imagehash.phash(image.convert("RGB")))


def turned(text, bits):
    return f"{int(text, 16) ^ bits:016x}"


PHASHES = {
    "hex.parquet": lambda text: text,
    "hex-upper.csv": lambda text: text.upper(),
    "hex.tsv": lambda text: text,
    "signed.parquet": lambda text: int(text, 16) - (int(text, 16) >> 63 << 64),
    "unsigned.csv": lambda text: int(text, 16),
    "signed.csv": lambda text: int(text, 16) - (int(text, 16) >> 63 << 64),
}


@pytest.mark.parametrize("name", PHASHES)
@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
def test_a_work_is_found_by_the_phash_that_a_table_has_of_it(name, gaps, tmp_path):
    own, others = phash_of(work("ben/seascape")), [phash_of(path) for path in STRANGERS]
    hashes = [PHASHES[name](text) for text in (*others, own, turned(own, 0b101), turned(own, 0b1111))]
    urls = [f"https://a.example/{n}.jpg" for n in range(len(hashes))]
    if gaps:
        hashes, urls = [None, *hashes], [None, *urls]
    index = index_of(table_of(tmp_path, name, {"url": urls, "image_phash": hashes}))
    assert (index.listing.counts.phashes, index.listing.counts.pictures) == (6, 0)
    [answer] = index.find_pictures([work("ben/seascape")])
    assert [(one.number - gaps, one.match.distance) for one in answer.found] == [(3, 0), (4, 2)]
    assert {(one.match.kind, one.match.certain) for one in answer.found} == {("phash", False)}
    assert answer.found[0].urls == ("https://a.example/3.jpg",)
    assert dict(index.faults()) == ({"row 0": "the row has no URL"} if gaps else {})
    [none] = index.find_pictures([work("ada/xylophone")])
    assert (none.status, none.reason.startswith("not found among 6 pictures")) == (Status.OK, True)


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        (["0123456789abcdef", "xyz"], [1]),
        (["0123456789abcdef", "0123456789abcde"], [1]),
        (["0123456789abcdef", "0123456789 bcdef"], [1]),
        (["0123456789abcdef", " " * 16], [1]),
        (["0123456789abcdef", "-5"], [1]),
        (["17", "18446744073709551616"], [1]),
        (["17", "0123456789abcdef"], [0]),
    ],
    ids=["letters", "short", "blank", "blanks", "integer-in-hex", "too-large", "integer-before-hex"],
)
def test_a_phash_that_is_none_is_named(values, bad, tmp_path):
    urls = [f"https://a.example/{n}.jpg" for n in range(len(values))]
    index = index_of(table_of(tmp_path, "urls.csv", {"url": urls, "phash": values}))
    assert [name for name, reason in index.faults() if "no pHash of 64 bits" in reason] == [
        f"row {n}" for n in bad
    ]
    assert index.find("a.example").count == len(values)


@pytest.mark.parametrize("kind", [pa.int32(), pa.float64(), pa.list_(pa.float64())], ids=str)
def test_a_column_that_holds_no_phashes_is_refused(kind, tmp_path):
    values = pa.array([[1]] if pa.types.is_list(kind) else [1], kind)
    source = table_of(tmp_path, "urls.parquet", {"url": ["https://a.example/"], "phash": values})
    with pytest.raises(DatasetError, match="the column phash is of"):
        index_dataset(source)


def test_the_same_file_is_found_by_the_sha256_that_a_table_has(tmp_path):
    own = hashlib.sha256(work("ada/sunflower").read_bytes()).hexdigest()
    columns = {
        "url": [f"https://a.example/{n}" for n in range(4)],
        "sha256": ["", own.upper(), "0" * 64, "x"],
    }
    index = index_of(table_of(tmp_path, "urls.csv", columns))
    [answer] = index.find_pictures([work("ada/sunflower")])
    assert [(one.sample, one.match.kind) for one in answer.found] == [("row 1", "sha256")]
    assert [name for name, _ in index.faults()] == ["row 3"]


# -- silence is no answer ------------------------------------------------------------------------------


def test_what_was_not_compared_is_not_called_absent(kit, tmp_path):
    addresses = index_of(table_of(tmp_path, "urls.csv", {"url": URLS[:2]}))
    pictures = index_of(kit.plant(tmp_path / "set", {"a.png": kit.free(1)}))
    flat = tmp_path / "flat.png"
    flat.write_bytes(kit.packed(Image.new("RGB", (99, 99))))
    table = {"url": ["https://a.example/"], "phash": [phash_of(flat)]}
    [by_phash] = index_of(table_of(tmp_path, "hashes.csv", table)).find_pictures([flat])
    assert (by_phash.status, by_phash.count, "too plain" in by_phash.reason) == (Status.NOT_CHECKED, 0, True)
    gone = tmp_path / "gone.png"
    [by_address] = addresses.find_pictures([work("ada/sunflower")])
    assert (by_address.status, "no pictures" in by_address.reason) == (Status.NOT_CHECKED, True)
    by_picture = pictures.find("ada.example")
    assert (by_picture.status, "no addresses" in by_picture.reason) == (Status.NOT_CHECKED, True)
    [plain, missing] = pictures.find_pictures([flat, gone])
    assert (plain.status, "too plain" in plain.reason) == (Status.NOT_CHECKED, True)
    assert (missing.status, "cannot be read" in missing.reason) == (Status.ERROR, True)


def test_without_the_library_it_says_what_to_install(kit, tmp_path):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    code = (
        "import sys; sys.modules['xxhash'] = None\n"
        "from registry.client import index_dataset\n"
        "from registry.errors import FormatError\n"
        f"try:\n    index_dataset({str(source)!r})\n"
        "except FormatError as error:\n    print(error.message, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs xxhash" in done.stdout
    assert "caveat-registry[index]" in done.stdout


# -- broken off, and damaged ---------------------------------------------------------------------------


def files_of(folder):
    """Name → bytes, without what a run may leave that nobody reads."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A table of 50 rows, in parts of 10, and the index that was made of it at once."""
    monkeypatch.setattr(building, "A_PART_OF_ROWS", 10)
    urls = [None if n == 33 else f"https://h{n % 7}.example/{n}.jpg" for n in range(50)]
    source = table_of(tmp_path, "urls.parquet", {"url": urls})
    index_dataset(source, tmp_path / "whole")
    return source


KILLED = """
import os, signal
from registry.client.indexing import building
building.A_PART_OF_ROWS = 10
def told(done, size):
    if done == 30:
        os.kill(os.getpid(), signal.SIGKILL)
building.index_dataset({source!r}, {folder!r}, progress=told)
"""


def test_a_run_that_was_killed_goes_on_where_it_was(rows, tmp_path):
    folder = tmp_path / "index"
    code = KILLED.format(source=str(rows), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(DatasetError, match="not complete: 30 samples so far"):
        DatasetIndex.open(folder)
    (folder / ".samples-30-10.caveat.123").write_bytes(b"half of a part")
    before = {path.name: path.stat().st_ino for path in folder.glob("samples-*")}
    summary = index_dataset(rows, folder)
    assert (summary.resumed, summary.counts.samples, summary.counts.faults) == (30, 50, 1)
    assert files_of(folder) == files_of(tmp_path / "whole")
    assert before.items() <= {path.name: path.stat().st_ino for path in folder.glob("samples-*")}.items()


def test_parts_with_pictures_are_put_together_at_the_end(copies, kit, tmp_path, monkeypatch):
    files = {f"{name}.img.png": data for name, data in copies.items()}
    files |= {f"free{seed}.png": kit.free(seed) for seed in range(3)} | {"bad.png": b"none"}
    files["flat.png"] = kit.packed(Image.new("RGB", (99, 99)))
    lines = [{"file_name": name, "url": f"https://h{len(name)}.example/{name}"} for name in files]
    files["metadata.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines)
    source = kit.plant(tmp_path / "set", files)
    at_once = index_dataset(source, tmp_path / "whole", workers=1)
    monkeypatch.setattr(building, "A_PART_OF_PICTURES", 2)
    for most, parts in ((100, [10]), (5, [4, 4, 2]), (1, [2, 2, 2, 2, 2])):
        monkeypatch.setattr(building, "A_PART_AT_LAST", most)
        summary = index_dataset(source, tmp_path / "parts", workers=1, anew=True)
        assert summary.counts == at_once.counts
        index, whole = (DatasetIndex.open(tmp_path / name) for name in ("parts", "whole"))
        assert [part.counts.samples for part in index.listing.parts] == parts
        assert len(list((tmp_path / "parts").glob("*"))) == len(parts) + 1
        assert list(index.faults()) == list(whole.faults())
        works = [work(name) for name, _ in PLANTED.values()]
        assert list(index.find_pictures(works)) == list(whole.find_pictures(works))
        for host in {line["url"].split("/")[2] for line in lines}:
            answers = [one.find(host) for one in (index, whole)]
            assert len({answer.count for answer in answers}) == 1
            assert len({frozenset(names(answer)) for answer in answers}) == 1


def test_a_picture_that_is_near_to_very_many_is_found_and_said_to_be_in_more(kit, tmp_path, monkeypatch):
    monkeypatch.setattr("registry.dataset_index.searching.MAX_NEAR", 3)
    source = kit.plant(tmp_path / "set", {f"{n}.png": kit.free(1) for n in range(6)})
    with Image.open(source / "0.png") as image:
        image.save(tmp_path / "copy.jpg", quality=90)
    [answer] = index_of(source).find_pictures([tmp_path / "copy.jpg"])
    assert (answer.status, answer.complete, 1 <= answer.count <= 6) == (Status.OK, False, True)
    assert "not all were looked at" in answer.reason


def test_an_index_that_is_there_is_left_as_it_is(rows, tmp_path):
    folder = tmp_path / "whole"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert index_dataset(rows, folder).resumed == 50
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a bit": lambda folder: flip(folder / "samples-20-10.caveat"),
    "cut off": lambda folder: os.truncate(folder / "samples-20-10.caveat", 5000),
    "empty": lambda folder: os.truncate(folder / "samples-20-10.caveat", 0),
    "missing": lambda folder: (folder / "samples-20-10.caveat").unlink(),
    "another part": lambda folder: shutil.copy(
        folder / "samples-10-10.caveat", folder / "samples-20-10.caveat"
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_part_is_refused_and_made_anew(how, rows, tmp_path):
    folder, whole = tmp_path / "whole", files_of(tmp_path / "whole")
    DAMAGE[how](folder)
    with pytest.raises(DatasetError, match="is damaged"):
        DatasetIndex.open(folder)
    assert index_dataset(rows, folder).resumed == 20
    assert files_of(folder) == whole


LISTS = {
    "no JSON": lambda text: text[:-9],
    "another format": lambda text: text.replace('"format": 1', '"format": 2', 1),
    "another fingerprint": lambda text: text.replace('"fingerprint": 1', '"fingerprint": 9'),
    "a gap": lambda text: text.replace('"first": 20', '"first": 21'),
    "a path": lambda text: text.replace("samples-20-10.caveat", "../samples-20-10.caveat"),
    "a text for a number": lambda text: text.replace('"samples": 10', '"samples": "10"', 1),
    "neither": lambda text: text.replace("true", "1"),
    "a table that is none": lambda text: text.replace('"table": ""', '"table": 1', 1),
    "a row before the first": lambda text: text.replace('"row": 10', '"row": -10'),
    "a list": lambda text: "[]",
}


@pytest.mark.parametrize("how", LISTS)
def test_a_list_that_was_not_written_here_is_refused(how, rows, tmp_path):
    place = tmp_path / "whole/index.json"
    text = place.read_text(encoding="utf-8")
    assert LISTS[how](text) != text
    place.write_text(LISTS[how](text), encoding="utf-8")
    for use in (lambda: DatasetIndex.open(place.parent), lambda: index_dataset(rows, place.parent)):
        with pytest.raises(DatasetError, match="not the list of an index") as caught:
            use()
        assert "--replace" in caught.value.hint
    assert index_dataset(rows, place.parent, anew=True).counts.samples == 50
    assert place.read_text(encoding="utf-8") == text


def test_a_dataset_that_changed_is_not_gone_on_with(rows, tmp_path):
    before = os.stat(rows)
    os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(DatasetError, match="has changed since"):
        index_dataset(rows, tmp_path / "whole")
    assert DatasetIndex.open(tmp_path / "whole").find("h1.example").count == 7
    assert index_dataset(rows, tmp_path / "whole", anew=True).resumed == 0


def test_the_table_beside_a_shard_belongs_to_the_dataset(kit, tmp_path):
    folder, _ = as_tar({"a.png": kit.free(1)}, tmp_path)
    table = table_of(folder, "00000.parquet", {"key": ["a"], "url": ["https://ada.example/a"]})
    made = index_dataset(folder / "00000.tar", tmp_path / "index", workers=1)
    assert DatasetIndex.open(made.folder).find("ada.example").found[0].sample == "00000.tar/a.png"
    os.utime(table, ns=(0, 1))
    with pytest.raises(DatasetError, match="has changed since"):
        index_dataset(folder / "00000.tar", made.folder)


def test_a_dataset_that_changes_meanwhile_is_not_called_complete(rows, tmp_path):
    def told(done, size):
        if done == 20:
            os.utime(rows, ns=(0, done))

    with pytest.raises(DatasetError, match="changed during the run"):
        index_dataset(rows, tmp_path / "index", progress=told)
    with pytest.raises(DatasetError, match="not complete"):
        DatasetIndex.open(tmp_path / "index")


def test_where_an_index_may_not_go(kit, rows, tmp_path):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    for folder, error, what in (
        (source / "index", InputError, "in the dataset itself"),
        (source, InputError, "in the dataset itself"),
        (rows, InputError, "no folder"),
        (tmp_path / "full", InputError, "something else"),
    ):
        with pytest.raises(error, match=what):
            index_dataset(source, folder)
    with only_writer(tmp_path / "index"), pytest.raises(StorageError, match="another process"):
        index_dataset(source, tmp_path / "index")
    with pytest.raises(DatasetError, match="no index in"):
        DatasetIndex.open(tmp_path / "full")
    with pytest.raises(FormatError, match="no dataset that is read here"):
        index_dataset(tmp_path / "full/letter.txt")
    assert (tmp_path / "full/letter.txt").read_text() == "mine"


# -- the command ---------------------------------------------------------------------------------------


def test_the_commands_tell_people_and_machines(caveat, tmp_path):
    make_training_set(tmp_path / "my-set")
    (tmp_path / "my-set/10_cosy/broken.png").write_bytes(b"broken")
    made = caveat("index", "my-set", cwd=tmp_path)
    assert made.returncode == 2
    assert "not read: 10_cosy/broken.png: not a picture" in made.stderr
    assert "18 samples, kohya" in made.stdout
    assert "17 pictures to compare with" in made.stdout
    words = ("--in", "my-set.caveat-index")
    found = caveat("find", PICTURES / "ada", *words, cwd=tmp_path)
    assert found.returncode == 1
    assert "10_cosy/img_007.png" in found.stdout
    assert "its window middle" in found.stdout
    wire = caveat("find", work("ada/sunflower"), STRANGERS[0], *words, "--output", "json", cwd=tmp_path)
    first, second = json.loads(wire.stdout)
    assert (first["status"], first["count"], second["count"]) == ("ok", 1, 1)
    assert first["found"][0]["sample"] == "10_cosy/img_001.jpg"
    assert set(first["found"][0]["match"]) == {"kind", "certain", "distance", "window", "form"}
    again = caveat("index", "my-set", "--output", "json", cwd=tmp_path)
    told = json.loads(again.stdout)
    assert (again.returncode, told["resumed"], told["pictures"], told["faults"]) == (2, 18, 17, 1)
    assert [one["sample"] for one in told["not_read"]] == ["10_cosy/broken.png"]


def test_the_command_counts_what_is_under_a_domain(caveat, tmp_path):
    urls = [f"https://img{n % 2}.ada.example/{n}.jpg" for n in range(30)] + ["https://ben.example/a.jpg"]
    table_of(tmp_path, "urls.csv", {"url": urls})
    assert caveat("index", "urls.csv", "--to", "index", cwd=tmp_path).returncode == 0
    found = caveat("find", "ada.example", "--in", "index", "--limit", "3", cwd=tmp_path)
    assert found.returncode == 1
    assert "30 addresses under this domain" in found.stdout
    assert "… and 27 more" in found.stdout
    lines = caveat("find", "ada.example", "cy.example", "--in", "index", "--output", "ndjson", cwd=tmp_path)
    counts = [json.loads(line)["count"] for line in lines.stdout.splitlines()]
    assert (lines.returncode, counts) == (1, [30, 0])
    assert caveat("find", "cy.example", "--in", "index", cwd=tmp_path).returncode == 0
    assert caveat("find", work("ada/sunflower"), "--in", "index", cwd=tmp_path).returncode == 2


CALLS = {
    # words: what standard error, or the help, says; the exit code
    ("find", "gone.jpg", "--in", "."): ("neither a file or folder here", 3),
    ("find", "works/gone", "--in", "."): ("neither a file or folder here", 3),
    ("find", "ada.example", "--in", "."): ("no index in", 3),
    ("find", "ada.example"): ("Missing option '--in'", 3),
    ("index", "gone"): ("does not exist", 3),
    ("index", "."): ("no pictures below", 3),
    ("index", "--help"): ("caveat index laion.parquet --to laion-index", 0),
    ("find", "--help"): ("caveat find paintings/ --in laion-index", 0),
}


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_call_that_is_wrong_says_what_to_do_and_the_help_shows_how(caveat, tmp_path, words):
    (tmp_path / "here").mkdir()
    done = caveat(*words, cwd=tmp_path / "here")
    said, code = CALLS[words]
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), (done.stdout, done.stderr)
