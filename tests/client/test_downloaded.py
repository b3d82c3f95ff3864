"""What ``img2dataset`` wrote as files: rows and statistics go with the pictures, and the rest still loads."""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, filter_dataset
from registry.client.formats.downloaded import Downloaded, numbered_folders
from registry.errors import DatasetError

from .conftest import LEAVES_FILES_OPEN

pytestmark = LEAVES_FILES_OPEN

FAILED = "failed_to_download"


def row(key, url=None, status="success", message=None):
    url = f"https://free.example/{key}.jpg" if url is None else url
    return {"url": url, "caption": f"text of {key}", "key": key, "status": status, "error_message": message}


def table(*rows):
    out = io.BytesIO()
    schema = pa.schema([(name, pa.string()) for name in row("")]).with_metadata({"huggingface": "{}"})
    pq.write_table(pa.Table.from_pylist(list(rows), schema), out, row_group_size=2)
    return out.getvalue()


def stats(successes):
    fixed = {"failed_to_download": 0, "failed_to_resize": 0, "duration": 1.5}
    return json.dumps(
        {"count": successes, "successes": successes, **fixed, "status_dict": {"success": successes}}
    )


def sample(folder, key, picture, **values):
    name = f"{folder}/{key}"
    return {
        f"{name}.jpg": picture,
        f"{name}.txt": f"text of {key}",
        f"{name}.json": json.dumps({"key": key, "url": f"https://free.example/{key}.jpg", **values}),
    }


def rows_of(data):
    return pq.read_table(io.BytesIO(data)).to_pylist()


@pytest.fixture
def filtered(filter_planted, kit):
    def run(files):
        target, summary = filter_planted(files)
        return kit.tree(target) if target.exists() else {}, summary

    return run


@pytest.fixture
def planted(kit, copies):
    reserved = "https://images.gallery.example/5.jpg"
    stays = {
        **sample("00000", "000000000", kit.free(1)),
        **sample("00000", "000000003", kit.free(2)),
        "README.md": "about it",
    }
    goes = {
        **sample("00000", "000000001", copies["same"]),
        **sample("00000", "000000004", kit.free(3), url=reserved),
        "00000/000000001_0512x0512_sdxl.npz": "made from it",
        **sample("00001", "000010000", copies["mirror"]),
    }
    rows = [
        row("000000000"),
        row("000000001"),
        row("000000002", status=FAILED, message="404"),
        row("000000003"),
        row("000000004"),
        row("000000005", reserved, status=FAILED, message="404"),
    ]
    failed = {FAILED: 2, "status_dict": {"success": 4, "404": 2}}
    lists = {
        "00000.parquet": table(*rows),
        "00000_stats.json": json.dumps({**json.loads(stats(4)), "count": 6, **failed}),
        "00001.parquet": table(row("000010000"), row("000010001", status=FAILED, message="404")),
        "00001_stats.json": stats(1),
    }
    return stays, goes, lists, [rows[0], rows[2], rows[3]]


def test_files_rows_and_statistics_of_a_removed_work_go(filtered, planted):
    stays, goes, lists, left = planted
    output, summary = filtered({**stays, **goes, **lists})
    assert summary.format == "img2dataset"
    assert output.keys() == stays.keys() | {"00000.parquet", "00000_stats.json"}
    assert {path: output[path] for path in stays} == {
        path: data.encode() if isinstance(data, str) else data for path, data in stays.items()
    }
    assert rows_of(output["00000.parquet"]) == left
    assert pq.read_schema(io.BytesIO(output["00000.parquet"])).metadata == {b"huggingface": b"{}"}
    counted = json.loads(output["00000_stats.json"])
    assert (counted["count"], counted["successes"], counted[FAILED]) == (3, 2, 1)
    assert counted["status_dict"] == {"success": 2, "404": 1}
    told = summary.left_out
    assert told["00000.parquet"] == "3 of 6 rows"
    assert told["00001.parquet"] == told["00001_stats.json"] == "no sample is left in it"
    wire = summary.to_wire()
    assert (wire["errors"], wire["kept"]) == (0, 3)
    for path, data in goes.items():
        assert (data.encode() if isinstance(data, str) else data) not in output.values(), path


def test_the_output_loads_and_filters_to_itself(filtered, planted, live, kit, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    stays, goes, lists, left = planted
    output, _ = filtered({**stays, **goes, **lists})
    cache = str(tmp_path / "cache")
    pictures = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "clean/00000"), split="train", cache_dir=cache
    )
    rows = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "clean/00000.parquet"), split="train", cache_dir=cache
    )
    assert [one["image"].convert("RGB").size for one in pictures] == [(160, 160)] * 2
    assert list(rows) == left
    with live.client() as client:
        filter_dataset(tmp_path / "clean", tmp_path / "again", [client], options=Options(workers=1))
    assert kit.tree(tmp_path / "again") == output


_OUT = io.BytesIO()
pq.write_table(pa.table({"n": [1]}), _OUT)
NUMBERS = _OUT.getvalue()

ASIDE = {
    # what: (files, what is set aside, why)
    "no row and no address": (
        {"00000/1.jpg": 1, "00000/2.jpg": 2, "00000.parquet": table(row("1"))},
        "00000/2.jpg", "00000.parquet has no row of its key",
    ),
    "a .json that is none": (
        {"00000/1.jpg": 1, "00000/2.jpg": 2, "00000/2.json": "{", "00000.parquet": table(row("1"), row("2"))},
        "00000/2.jpg", "its .json cannot be read: not JSON",
    ),
    "a row without an address": (
        {"00000/1.jpg": 1, "00000.parquet": table(row("1"), row("2", ""))},
        "00000.parquet/2", "the row has no URL",
    ),
    "a table that cannot be read": (
        {"1.jpg": 3, "00000/2.jpg": 2, "00000.parquet": "PAR1"},
        "00000/2.jpg", "its table cannot be read",
    ),
    "a table of something else": (
        {"1.jpg": 3, "00000/2.jpg": 2, "00000_stats.json": stats(1), "00000.parquet": NUMBERS},
        "00000/2.jpg", "has no column key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "key", "why"), ASIDE.values(), ids=ASIDE)
def test_what_cannot_be_vouched_for_is_set_aside_with_its_files(filtered, kit, files, key, why):
    files = {path: kit.free(data) if isinstance(data, int) else data for path, data in files.items()}
    output, summary = filtered(files)
    [fault] = [verdict for verdict in summary.notable if verdict.reason != "Nobody has said anything."]
    assert (fault.sample.key, why in fault.reason) == (key, True), fault.reason
    assert key not in output
    left = {path.rpartition("/")[2].partition(".")[0] for path in output if path.endswith(".jpg")}
    assert left == {"1"}
    rows = rows_of(output["00000.parquet"]) if "00000.parquet" in output else []
    assert {one["key"] for one in rows} <= left


def test_pictures_of_one_key_share_its_row_and_go_together(filtered, kit, copies):
    files = {
        "0/1.jpg": kit.free(1), "0/2.jpg": copies["same"], "0/2.png": kit.free(2), "0/2.txt": "of both",
        "0.parquet": table(row("1"), row("2")),
    }  # fmt: skip
    output, summary = filtered(files)
    assert output.keys() == {"0/1.jpg", "0.parquet"}
    assert [one["key"] for one in rows_of(output["0.parquet"])] == ["1"]
    assert "another of its key goes" in next(v.reason for v in summary.notable if v.sample.key == "0/2.png")


def test_statistics_without_a_table_count_what_is_left(filtered, kit, copies):
    files = {**sample("0", "1", kit.free(1)), **sample("0", "2", copies["same"]), "0_stats.json": stats(2)}
    output, _ = filtered(files)
    counted = json.loads(output["0_stats.json"])
    assert (counted["count"], counted["successes"]) == (1, 1)


def test_statistics_that_do_not_fit_are_left_out(filtered, kit, copies):
    files = {**sample("0", "1", kit.free(1)), **sample("0", "2", copies["same"]), "0_stats.json": stats(0)}
    output, summary = filtered(files)
    assert "0_stats.json" not in output
    assert summary.left_out["0_stats.json"] == "its counts do not fit the samples"


def test_a_table_that_changes_during_the_run_ends_it(kit, tmp_path):
    files = {"0/1.jpg": kit.free(1), "0.parquet": table(row("1"))}
    kit.plant(tmp_path / "set", files)
    dataset = Downloaded(tmp_path / "set", files, "")
    [found] = dataset.samples()
    kit.plant(tmp_path / "set", {"0.parquet": table(row("1"), row("2"))})
    digests = {found.key: hashlib.sha256(files["0/1.jpg"]).digest()}
    with pytest.raises(DatasetError, match=r"0\.parquet changed during the run"):
        dataset.write(tmp_path / "clean", dataset.plan({}), digests)


NUMBERED = {
    "0/1.jpg 0.parquet": ["0"],
    "0/1.jpg 0_stats.json": ["0"],
    "x/00000/1.PNG x/00000.parquet 00001/1.jpg 00001_stats.json": ["00001", "x/00000"],
    "0/1.jpg": [],
    "a/1.jpg a.parquet": [],
    "0/sub/1.jpg 0.parquet": [],
    "0/1.txt 0.parquet": [],
    "0/1.jpg 1.parquet": [],
}


@pytest.mark.parametrize("files", NUMBERED)
def test_folders_of_downloads_are_numbered_and_have_a_table_or_statistics_beside(files):
    assert numbered_folders(files.split()) == NUMBERED[files]
