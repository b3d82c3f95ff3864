"""Pictures inside parquet: as datasets and img2dataset write them, filtered, and loaded again by datasets."""

import io
import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from registry.client import Options, Rules, filter_dataset
from registry.client.formats import detect
from registry.client.formats.cell import Cell
from registry.client.noted import Notes, write_notes
from registry.preference import Action

from .conftest import DOMAIN

FREE, HERS = "https://free.example/{}.jpg", f"https://img.{DOMAIN}/{{}}.jpg"
RESERVING_XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" rdf:about=""
 plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def filter_(live, tmp_path):
    def run(source, target, rules=Rules(), workers=1):  # noqa: B008 - frozen
        with live.client() as client:
            return filter_dataset(
                source, tmp_path / target, [client], rules=rules, options=Options(workers=workers)
            )

    return run


@pytest.fixture(scope="module")
def reserving(kit):
    """A picture of nobody that says itself that it is reserved."""
    with Image.open(io.BytesIO(kit.free(77))) as image:
        return kit.packed(image.convert("RGB"), "JPEG", xmp=RESERVING_XMP)


@pytest.fixture
def rows(kit, copies, reserving):
    """Pictures with what must become of each."""
    return [
        (kit.free(1), "keep"),
        (copies["jpeg"], "remove"),
        (kit.free(2), "keep"),
        (copies["same"], "remove"),
        (b"no picture at all", "error"),
        (None, "error"),
        (reserving, "remove"),
        (b"", "error"),
        (copies["mirror"], "remove"),
        (kit.free(3), "keep"),
    ]


def expected(rows):
    return [number for number, (_, action) in enumerate(rows) if action == "keep"]


def hf_table(path, pictures, **columns):
    """Write a table as datasets does, with its metadata."""
    features = datasets.Features(
        {"image": datasets.Image(), **{name: datasets.Value("string") for name in columns}}
    )
    table = pa.table(
        {"image": pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), **columns},
        schema=features.arrow_schema,
    )
    pq.write_table(table, path, row_group_size=4)
    return table


@pytest.mark.parametrize("workers", [1, 2])
def test_datasets_row_by_row(filter_, tmp_path, rows, workers):
    pictures = [{"bytes": data, "path": f"{n}.png"} for n, (data, _) in enumerate(rows)]
    pictures[5] = None
    table = hf_table(tmp_path / "a.parquet", pictures, text=[f"t{n}" for n in range(10)])
    summary = filter_(tmp_path / "a.parquet", "clean.parquet", workers=workers)
    assert summary.why == "has pictures in image"
    after = pq.read_table(tmp_path / "clean.parquet")
    assert after.equals(table.take(expected(rows)))
    assert after.schema.equals(table.schema, check_metadata=True)
    assert {v.sample.key: str(v.action) for v in summary.notable} == {
        str(n): action for n, (_, action) in enumerate(rows) if action != "keep"
    }
    assert dict(summary.reasons) == {"pdq": 2, "sha256": 1, "iptc": 1}
    # Three of the removed pictures, and the one that speaks for itself, are shown.
    assert (tmp_path / "clean.parquet.caveat/report.html").read_text().count("data:image/jpeg") == 4


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_loads_what_is_left(filter_, tmp_path, rows, streaming):
    (tmp_path / "set").mkdir()
    for part in range(2):
        pictures = [{"bytes": data, "path": f"{n}.png"} for n, (data, _) in enumerate(rows)]
        hf_table(tmp_path / f"set/train-{part}.parquet", pictures, text=[f"{part}-{n}" for n in range(10)])
    filter_(tmp_path / "set", "clean")
    files = sorted(str(one) for one in (tmp_path / "clean").glob("*.parquet"))
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=tmp_path / "cache", streaming=streaming
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    found = list(loaded)
    assert [one["text"] for one in found] == [f"{part}-{n}" for part in range(2) for n in expected(rows)]
    for one, (data, _) in zip(found, [rows[n] for n in expected(rows)] * 2, strict=True):
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(one["image"]), np.asarray(image))


def test_img2dataset_row_by_row(filter_, tmp_path, rows):
    table = pa.table(
        {
            "jpg": pa.array([data for data, _ in rows], pa.binary()),
            "key": [f"{n:09}" for n in range(10)],
            "url": [(HERS if n == 2 else FREE).format(n) for n in range(10)],
            "caption": [f"t{n}" for n in range(10)],
            "sha256": [f"{n:064x}" for n in range(10)],
        }
    )
    pq.write_table(table, tmp_path / "00000.parquet")
    summary = filter_(tmp_path / "00000.parquet", "clean.parquet")
    assert summary.why == "has url and sha256 and pictures in jpg"
    assert pq.read_table(tmp_path / "clean.parquet")["key"].to_pylist() == ["000000000", "000000009"]
    causes = {v.sample.key: v.cause for v in summary.notable if v.action is Action.REMOVE}
    assert causes == {"1": "pdq", "2": "domain", "3": "sha256", "6": "iptc", "8": "pdq"}


def test_the_file_that_was_downloaded_is_looked_up_beside_the_picture(filter_, tmp_path, kit, live):
    digest = sorted(live.sha256s)[0].hex()
    table = pa.table({"jpg": [kit.free(1), kit.free(2)], "sha256": [digest, "00" * 32]})
    pq.write_table(table, tmp_path / "a.parquet")
    summary = filter_(tmp_path / "a.parquet", "clean.parquet")
    assert [(v.sample.key, v.cause) for v in summary.notable] == [("0", "sha256")]
    assert pq.read_table(tmp_path / "clean.parquet").equals(table.slice(1))


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_every_picture_of_a_row_counts(filter_, tmp_path, kit, copies):
    def one(data):
        return {"bytes": data, "path": None}

    free = [one(kit.free(n)) for n in range(4)]
    lists = [[free[1]], [free[1], one(copies["jpeg"])], [], [free[2], free[3]], [one(b"broken"), free[1]]]
    second = [free[2], free[3], one(copies["same"]), free[1], free[0]]
    table = pa.table(
        {
            "n": range(5),
            "images": pa.array(lists, pa.list_(STRUCT)),
            "conditioning_image": pa.array(second, STRUCT),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    summary = filter_(tmp_path / "a.parquet", "clean.parquet")
    assert summary.samples == 5
    assert pq.read_table(tmp_path / "clean.parquet")["n"].to_pylist() == [0, 3]
    told = {v.sample.key: (str(v.action), v.sample.place) for v in summary.notable}
    assert {key: action for key, (action, _) in told.items()} == {"1": "remove", "2": "remove", "4": "error"}
    assert told["1"][1].read() == copies["jpeg"]
    assert (told["1"][1].column, told["1"][1].item) == ("images.bytes", 1)


def test_a_picture_that_is_elsewhere_is_looked_up_by_its_address(filter_, tmp_path, kit):
    pictures = [
        {"bytes": None, "path": FREE.format(0)},
        {"bytes": None, "path": HERS.format(1)},
        {"bytes": kit.free(2), "path": HERS.format(2)},
        {"bytes": None, "path": "3.png"},
    ]
    pq.write_table(pa.table({"image": pa.array(pictures, STRUCT), "n": range(4)}), tmp_path / "a.parquet")
    summary = filter_(tmp_path / "a.parquet", "clean.parquet")
    assert pq.read_table(tmp_path / "clean.parquet")["n"].to_pylist() == [0]
    assert {v.sample.key: str(v.action) for v in summary.notable} == {
        "1": "remove", "2": "remove", "3": "error"
    }  # fmt: skip


def test_bytes_that_begin_like_a_picture_are_one_under_any_name(filter_, tmp_path, kit, copies):
    odd = [b"\x00\x01", copies["jpeg"], None, kit.free(1), b""]
    pq.write_table(
        pa.table({"url": [FREE.format(n) for n in range(5)], "payload": odd, "n": range(5)}),
        tmp_path / "a.parquet",
    )
    filter_(tmp_path / "a.parquet", "clean.parquet")
    assert pq.read_table(tmp_path / "clean.parquet")["n"].to_pylist() == [0, 2, 3, 4]


def test_the_report_reads_pictures_again_from_where_they_are(filter_, tmp_path, rows):
    pictures = [{"bytes": data, "path": None} for data, _ in rows] * 5
    hf_table(tmp_path / "a.parquet", pictures)
    summary = filter_(tmp_path / "a.parquet", "clean.parquet")
    write_notes(tmp_path / "notes.jsonl", summary.notable)
    notes = Notes()
    notes.add(tmp_path / "notes.jsonl")
    assert [one.to_wire() for one in notes] == [one.to_wire() for one in summary.notable]
    assert [one.sample.place for one in notes] == [one.sample.place for one in summary.notable]
    # In any order, and the bytes are not kept with the verdicts.
    for one in [*notes, *reversed(list(notes))]:
        place = one.sample.place
        if place is not None:
            assert isinstance(place, Cell)
            assert place.data is None
            assert place.read() == rows[int(one.sample.key) % 10][0]
    with pytest.raises(OSError, match="not there any more"):
        Cell(tmp_path / "a.parquet", column="image.bytes", row=4, item=1).read()
    with pytest.raises(OSError, match="not there any more"):
        Cell(tmp_path / "a.parquet", column="image.bytes", row=5000).read()


def test_a_folder_of_tables_with_pictures_is_told_of_row_by_row(filter_, tmp_path, rows, live, caveat):
    (tmp_path / "set").mkdir()
    for part in range(2):
        hf_table(tmp_path / f"set/{part}.parquet", [{"bytes": data, "path": None} for data, _ in rows])
    told = caveat(
        "filter", tmp_path / "set", tmp_path / "clean", "--registry", live.url, "--output", "json",
        "--workers", "2",
    )  # fmt: skip
    assert told.returncode == 2, told.stderr
    wire = json.loads(told.stdout)
    assert (wire["samples"], wire["kept"], wire["removed"], wire["errors"]) == (20, 6, 8, 6)
    for part in range(2):
        bits = (tmp_path / f"clean.caveat/decisions/{part}.parquet.keep").read_bytes()
        found = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), count=10)).tolist()
        assert found == expected(rows)
    assert "data:image/jpeg" in (tmp_path / "clean.caveat/report.html").read_text()


def test_samples_of_a_table_are_its_pictures(tmp_path, kit):
    pq.write_table(pa.table({"jpg": [kit.free(1), kit.free(2)]}), tmp_path / "a.parquet")
    found = list(detect(tmp_path / "a.parquet").samples())
    assert [one.key for one in found] == ["0", "1"]
    assert [one.place.read() for one in found] == [kit.free(1), kit.free(2)]
