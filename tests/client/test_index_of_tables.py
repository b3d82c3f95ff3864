"""Indexes of tables: their rows are what the filter takes them for, pictures inside among them."""

import hashlib

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.client import DatasetIndex, index_dataset
from registry.client.formats.base import Cells, Rows
from registry.client.formats.table import ParquetTable
from registry.client.indexing import building
from registry.demo.training_set import PICTURES
from registry.errors import DatasetError, SegmentError

SUNFLOWER, SAILBOATS = PICTURES / "ada/sunflower.jpg", PICTURES / "ada/sailboats-at-sunset.jpg"
STRANGER = PICTURES / "others/coffee.jpg"


def index_of(source, workers=1):
    return DatasetIndex.open(index_dataset(source, workers=workers).folder)


def found(index, *works):
    """Of each work the samples that are found, with the kind of match."""
    return [[(one.sample, one.match.kind) for one in answer.found] for answer in index.find_pictures(works)]


def as_datasets(path, pictures, **columns):
    """The way :mod:`datasets` keeps pictures: bytes and the name of the file."""
    cells = [None if data is None else {"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(pictures)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind), **columns}), path, row_group_size=3)
    return path


def as_img2dataset(path, pictures, **columns):
    pq.write_table(pa.table({"key": list(map(str, range(len(pictures)))), "jpg": pictures, **columns}), path)
    return path


def under_any_name(path, pictures, **columns):
    urls = [f"https://a.example/{n}" for n in range(len(pictures))]
    pq.write_table(pa.table({"url": urls, "stuff": pictures, **columns}), path)
    return path


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("put", [as_datasets, as_img2dataset, under_any_name], ids=lambda put: put.__name__)
def test_a_work_is_found_by_the_picture_in_a_cell(put, workers, copies, kit, tmp_path):
    pictures = [kit.free(1), copies["jpeg"], kit.free(2), copies["mirror"], copies["same"]]
    source = put(tmp_path / "set.parquet", pictures)
    index = index_of(source, workers)
    counts = index.listing.counts
    assert (counts.samples, counts.pictures, counts.files, counts.faults) == (5, 5, 5, 0)
    cat = PICTURES / "ben/tuxedo-cat.jpg"
    assert found(index, SUNFLOWER, SAILBOATS, cat, STRANGER) == [
        [("row 1", "pdq")], [("row 3", "pdq")], [("row 4", "sha256")], [],
    ]  # fmt: skip


def test_what_is_no_picture_in_a_cell_is_named_and_the_others_are_found(copies, kit, tmp_path):
    source = as_datasets(tmp_path / "set.parquet", [copies["jpeg"], b"none at all", None, kit.free(1), b""])
    index = index_of(source)
    assert found(index, SUNFLOWER) == [[("row 0", "pdq")]]
    faults = dict(index.faults())
    assert faults.keys() == {"row 1", "row 2", "row 4"}
    assert "not a picture" in faults["row 1"]
    assert "is not in the file" in faults["row 2"]
    [missed] = index.find_pictures([STRANGER])
    assert missed.reason == "not found among 2 pictures; 3 samples could not be read"


def test_every_picture_of_a_row_is_found_under_its_row(copies, kit, tmp_path):
    cells = [[kit.free(1)], [copies["jpeg"], kit.free(2), copies["mirror"]], [], [kit.free(3)]]
    column = pa.array(cells, pa.list_(pa.binary()))
    urls = [f"https://a.example/{n}" for n in range(4)]
    pq.write_table(pa.table({"images": column, "image": column, "url": urls}), tmp_path / "set.parquet")
    index = index_of(tmp_path / "set.parquet")
    assert found(index, SUNFLOWER, SAILBOATS) == [[("row 1", "pdq")], [("row 1", "pdq")]]
    assert index.listing.counts.pictures == 3
    assert index.find("https://a.example/2").found[0].sample == "row 2"


def test_a_phash_counts_only_where_no_picture_was_hashed(copies, kit, tmp_path):
    with Image.open(SUNFLOWER) as image:
        own = str(imagehash.phash(image.convert("RGB")))
    pictures = [kit.free(1), None, b"broken", copies["jpeg"]]
    urls = [f"https://a.example/{n}" for n in range(4)]
    index = index_of(as_datasets(tmp_path / "set.parquet", pictures, url=urls, phash=[own] * 4))
    assert index.listing.counts.phashes == 2
    assert found(index, SUNFLOWER) == [[("row 3", "pdq"), ("row 1", "phash"), ("row 2", "phash")]]


def test_the_file_that_was_downloaded_is_found_beside_the_picture(copies, kit, tmp_path):
    was = hashlib.sha256(SUNFLOWER.read_bytes()).hexdigest()
    source = as_img2dataset(tmp_path / "set.parquet", [kit.free(1), kit.free(2)], sha256=[None, was])
    assert found(index_of(source), SUNFLOWER) == [[("row 1", "sha256")]]


def test_a_table_without_a_header_has_addresses_as_in_the_filter(tmp_path):
    """As CC12M is published: an address and a caption, and quotes that mean nothing."""
    lines = ['https://ada.example/1.jpg\tA "view\n', "https://b.example/2.jpg\tOne, two\n"]
    (tmp_path / "cc12m.tsv").write_text("".join(lines), encoding="utf-8")
    index = index_of(tmp_path / "cc12m.tsv")
    assert index.listing.counts.samples == 2
    assert [one.sample for one in index.find("ada.example").found] == ["row 0"]
    assert [one.sample for one in index.find("b.example").found] == ["row 1"]


def test_addresses_in_lists_and_structs_are_found(tmp_path):
    rows = [{"url": ["https://ada.example/1", "https://ada.example/2"]}, {"url": ["https://b.example/3"]}]
    pq.write_table(pa.table({"meta": rows}), tmp_path / "set.parquet")
    index = index_of(tmp_path / "set.parquet")
    assert index.find("ada.example").count == 2
    assert index.find("https://b.example/3").found[0].sample == "row 1"


def test_two_columns_of_one_name_are_refused_as_in_the_filter(tmp_path):
    (tmp_path / "urls.csv").write_text("url,URL\nhttps://a.example/,https://b.example/\n")
    with pytest.raises(DatasetError, match="columns of one name"):
        index_dataset(tmp_path / "urls.csv")


@pytest.mark.parametrize("stop", range(3))
def test_a_table_of_pictures_is_gone_on_with_after_any_part(stop, copies, kit, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "A_PART_OF_PICTURES", 2)
    source = as_datasets(tmp_path / "set.parquet", [kit.free(1), *copies.values()])
    done = []

    def told(count, size):
        done.append(count)
        if len(done) > stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_dataset(source, tmp_path / "index", workers=1, progress=told)
    assert done == [2, 4, 6][: stop + 1]
    assert index_dataset(source, tmp_path / "index", workers=1).resumed == done[-1]
    index_dataset(source, tmp_path / "whole", workers=1)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("index", "whole")
    )
    assert first == second


def test_parts_of_a_table_of_pictures_are_put_together_at_the_end(copies, kit, tmp_path, monkeypatch):
    source = as_datasets(tmp_path / "set.parquet", [kit.free(1), b"none", *copies.values(), kit.free(2)])
    (tmp_path / "sets").mkdir()
    for name in ("a", "b"):
        as_datasets(tmp_path / "sets" / f"{name}.parquet", [copies["jpeg"], kit.free(1), copies["mirror"]])
    whole = index_of(source)
    monkeypatch.setattr(building, "A_PART_OF_PICTURES", 2)
    for most, parts in ((100, [8]), (5, [4, 4]), (1, [2, 2, 2, 2])):
        monkeypatch.setattr(building, "A_PART_AT_LAST", most)
        made = index_dataset(source, tmp_path / "parts", workers=1, anew=True)
        index = DatasetIndex.open(made.folder)
        assert [part.counts.samples for part in index.listing.parts] == parts
        assert found(index, SUNFLOWER, SAILBOATS) == found(whole, SUNFLOWER, SAILBOATS)
        assert list(index.faults()) == list(whole.faults())
    monkeypatch.setattr(building, "A_PART_AT_LAST", 100)
    several = index_of(tmp_path / "sets")
    assert [(part.table, part.row) for part in several.listing.parts] == [("a.parquet", 0), ("b.parquet", 0)]
    assert found(several, SAILBOATS) == [[("a.parquet/2", "pdq"), ("b.parquet/2", "pdq")]]


def test_parts_begin_behind_what_is_skipped_across_row_groups(kit, tmp_path):
    source = as_datasets(tmp_path / "set.parquet", [kit.free(n) for n in range(7)])
    batches = list(building.table_batches(ParquetTable(source), 5, 1))
    assert [(one.first, one.count) for one in batches] == [(1, 5), (6, 1)]
    assert [sorted(set(one.pdq_of)) for one in batches] == [[0, 1, 2, 3, 4], [0]]


_OF = st.lists(st.integers(0, 9), max_size=12)


@settings(max_examples=50)
@given(urls=_OF, files=_OF, faults=st.sets(st.integers(0, 9)), cuts=st.sets(st.integers(1, 9)))
def test_parts_of_rows_are_the_rows(urls, files, faults, cuts):
    """Law: however rows are cut, every cell is in one part, under its row."""
    rows = Rows(
        100,
        10,
        Cells([f"u{n}" for n in range(len(urls))], np.array(urls, np.int64)),
        Cells([bytes([n]) for n in range(len(files))], np.array(files, np.int64)),
        faults={row: "bad" for row in faults},
    )
    ends = [*sorted(cuts), 10]
    parts = [rows.part(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    assert sum(map(len, parts)) == 10
    for name in ("urls", "files", "phashes", "pictures"):
        whole = getattr(rows, name)
        cut = [
            (part.first - 100 + row, value)
            for part in parts
            for value, row in zip(getattr(part, name).values, getattr(part, name).of.tolist(), strict=True)
        ]
        assert sorted(cut) == sorted(zip(whole.of.tolist(), whole.values, strict=True))
    assert {part.first - 100 + row for part in parts for row in part.faults} == faults


@pytest.mark.parametrize(
    ("most", "count", "complete", "status"),
    [(None, 3, True, "ok"), (9, 3, True, "ok"), (2, 2, False, "ok"), (0, 0, False, "error")],
    ids=["all", "enough", "some", "none"],
)
@pytest.mark.parametrize("size", [1, 100], ids=["many parts", "one part"])
def test_of_a_folder_on_a_host_with_too_many_the_answer_says_that_not_all_were_looked_at(
    size, most, count, complete, status, tmp_path, monkeypatch
):
    monkeypatch.setattr(building, "A_PART_OF_ROWS", size)
    lines = [f"https://ada.example/a/{n}.jpg\n" for n in range(3)] + ["https://ada.example/b/4.jpg\n"]
    (tmp_path / "urls.csv").write_text("url\n" + "".join(lines))
    answer = index_of(tmp_path / "urls.csv").find("https://ada.example/a/", most=most)
    assert (answer.count, answer.complete, answer.status) == (count, complete, status)
    assert complete or "not all were looked at" in answer.reason


def test_a_bit_that_turns_in_an_open_part_is_found_when_it_is_checked_again(tmp_path):
    (tmp_path / "urls.csv").write_text("url\nhttps://ada.example/\n")
    index = index_of(tmp_path / "urls.csv")
    [part] = index.parts
    part.check(0)
    [path] = tmp_path.glob("*.caveat-index/samples-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    with pytest.raises(SegmentError, match="damaged since it was opened"):
        [part.check(number) for number in range(part.blocks)]
    assert part.damage is not None
