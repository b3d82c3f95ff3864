"""What the filter writes, the loaders of real trainers read: every row, decoded."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import LEAVES_FILES_OPEN

pytestmark = LEAVES_FILES_OPEN

FOLDERS = ["folder", "kohya", "jsonl", "csv_metadata", "control_from_another_row", "emptied_metadata"]


def captions_of(case):
    return sorted((caption for caption in case.loaded.values() if caption is not None), key=str)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("way", ["data_dir", "diffusers"])
@pytest.mark.parametrize("name", FOLDERS)
def test_imagefolder_loads_the_kept_pictures_with_their_captions(
    run_of, datasets, tmp_path, name, way, streaming
):
    run = run_of(name)
    where = (
        {"data_dir": str(run.target)} if way == "data_dir" else {"data_files": {"train": f"{run.target}/**"}}
    )
    loaded = datasets.load_dataset(
        "imagefolder", **where, split="train", streaming=streaming, cache_dir=str(tmp_path), drop_labels=True
    )
    rows = list(loaded)
    sizes = [row["image"].convert("RGB").size for row in rows]
    paths = list(loaded.cast_column("image", datasets.Image(decode=False)))
    names = sorted(row["image"]["path"].removeprefix(f"{run.target}/") for row in paths)
    assert names == sorted(run.case.loaded)
    assert all(width and height for width, height in sizes)
    assert sorted(row["text"] for row in rows if "text" in row) == captions_of(run.case)
    if name == "control_from_another_row":
        assert {row["control"].convert("RGB").size for row in rows} == {(160, 160)}


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_parquet_loads_the_kept_rows_with_the_features_of_the_source(run_of, datasets, tmp_path, streaming):
    run = run_of("table_parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(run.target), split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    kept = pq.read_table(run.target).to_pylist()
    assert list(loaded) == kept
    assert len(kept) == 4
    assert loaded.features == datasets.Features(
        json.loads(pq.read_schema(run.source).metadata[b"huggingface"])["info"]["features"]
    ) or set(loaded.features) == {"url", "n"}


@pytest.mark.parametrize(("name", "separator"), [("table_csv", ","), ("table_tsv", "\t")])
def test_csv_loads_the_kept_rows(run_of, datasets, tmp_path, name, separator):
    run = run_of(name)
    loaded = datasets.load_dataset(
        "csv", data_files=str(run.target), split="train", cache_dir=str(tmp_path), sep=separator
    )
    assert len(loaded) == run.summary.kept


def in_parquet(rows, features):
    """Rows as a parquet file that carries the features of the library."""
    out = io.BytesIO()
    named = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(named), out)
    return out.getvalue()


VALUE = {"dtype": "string", "_type": "Value"}


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_imagefolder_loads_what_metadata_in_parquet_still_names(
    filter_planted, datasets, kit, copies, tmp_path, streaming
):
    rows = [
        {"file_name": "a.png", "text": "A"},
        {"file_name": "work.jpg", "text": "B"},
        {"file_name": "c.png", "text": "C"},
    ]
    metadata = in_parquet(rows, {"file_name": VALUE, "text": VALUE})
    files = {
        "metadata.parquet": metadata,
        "a.png": kit.free(1),
        "work.jpg": copies["same"],
        "c.png": kit.free(2),
    }
    target, summary = filter_planted(files)
    loaded = datasets.load_dataset(
        "imagefolder",
        data_dir=str(target),
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path / "cache"),
    )
    assert summary.format == "imagefolder"
    assert sorted(row["text"] for row in loaded if row["image"].convert("RGB").size == (160, 160)) == [
        "A",
        "C",
    ]
    before, after = (pq.read_table(folder / "metadata.parquet") for folder in (tmp_path / "set", target))
    assert after.schema.equals(before.schema, check_metadata=True)


def test_the_lists_of_trainers_load_without_what_was_removed(filter_planted, datasets, kit, copies, tmp_path):
    rows = [{"image_path": f"10_x/{name}", "caption": name} for name in ("a.png", "work.jpg", "c.png")]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    table = "filename,caption\n" + "".join(f"{row['image_path']},{row['caption']}\n" for row in rows)
    target, summary = filter_planted(
        {
            "10_x/a.png": kit.free(1),
            "10_x/work.jpg": copies["same"],
            "10_x/c.png": kit.free(2),
            "train.jsonl": lines,
            "train.csv": table,
            "train.parquet": in_parquet(rows, {"image_path": VALUE, "caption": VALUE}),
            "meta_cap.json": json.dumps({row["image_path"]: {"caption": row["caption"]} for row in rows}),
        }
    )
    assert summary.to_wire()["errors"] == 0
    assert summary.left_out == dict.fromkeys(
        ["meta_cap.json", "train.csv", "train.jsonl", "train.parquet"], "1 of 3 rows"
    )
    for kind in ("json", "csv", "parquet"):
        path = target / f"train.{kind.replace('json', 'jsonl')}"
        loaded = datasets.load_dataset(
            kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert loaded["caption"] == ["a.png", "c.png"]
    assert list(json.loads((target / "meta_cap.json").read_bytes())) == ["10_x/a.png", "10_x/c.png"]
