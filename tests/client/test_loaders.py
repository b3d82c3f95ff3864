"""What the filter writes, the loaders of real trainers read: every row, decoded."""

import json

import pyarrow.parquet as pq
import pytest

pytestmark = [
    # datasets leaves files of its streaming reader open until they are collected.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDERS = ["folder", "kohya", "jsonl", "csv_metadata", "control_from_another_row", "emptied_metadata"]


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """The library, kept off the network, with its cache in a folder of the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        datasets.disable_progress_bars()
        yield datasets


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
