"""A planted set for each trainer, filtered, then asserted file by file.

Removed works have ``werk`` in their names, and so has everything that is made from them: whatever the filter
writes is searched for these letters, in names, in texts and in the columns of tables.
"""

import io
import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, filter_dataset
from registry.client.pictures import PICTURE_SUFFIXES
from registry.preference import Action

MARK = "werk"
HASH = "Zm9vYmFyYmF6cXV4MDEyMw"
"""22 letters, as ai-toolkit writes them."""
SHA = "0f1e2d3c4b5a" + "0" * 52


def of(stem, *forms):
    """Files made from a picture, each with content of its own; ``{}`` is its stem."""
    return {form.format(stem): f"made from {stem}: {form}" for form in forms}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet(columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"huggingface": "{}"}), out)
    return out.getvalue()


def rows_of(data):
    return pq.read_table(io.BytesIO(data)).to_pylist()


@dataclass(frozen=True)
class Planted:
    """A set of a trainer: ``stays`` comes along as it is, ``goes`` does not, ``rewritten`` maps path → text.

    ``tables`` maps a parquet file to the rows that are left.
    """

    name: str
    stays: dict
    goes: dict
    lists: dict = field(default_factory=dict)
    rewritten: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)

    @property
    def files(self):
        return {**self.stays, **self.goes, **self.lists}


def rescan(target, lost):
    """Search every file below ``target`` for removed works, by name, by bytes and by what is in it."""
    lost = {data.encode() if isinstance(data, str) else data for data in lost}
    for path in sorted(target.rglob("*")):
        assert MARK not in folded(path.name), path
        if path.is_dir():
            assert any(path.iterdir()), f"{path} is empty"
            continue
        data = path.read_bytes()
        assert data not in lost, path
        if path.suffix == ".parquet":
            data = str(rows_of(data)).encode()
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            assert MARK not in folded(data.decode("utf-8", "replace")), path


def folded(text):
    return unicodedata.normalize("NFD", text).casefold()


KOHYA_CACHES = [
    "{}.npz", "{}_0512x0640.npz", "{}_te_outputs.npz",
    *(f"{{}}_0512x0640_{model}.npz" for model in ("sd", "sdxl", "sd3", "flux", "lumina", "hi", "anima")),
    *(f"{{}}_{model}_te.npz" for model in ("sd3", "flux", "hi", "lumina", "anima")),
]  # fmt: skip
KOHYA_TOML = """
[general]
caption_extension = ".cap"
[[datasets]]
resolution = 512
  [[datasets.subsets]]
  image_dir = "10_cat"
  conditioning_data_dir = "hints"
  num_repeats = 10
  [[datasets.subsets]]
  image_dir = "./1_reg/"
  is_reg = true
  caption_extension = ".words"
[[datasets]]
  [[datasets.subsets]]
  image_dir = "fine"
  metadata_file = "lists/meta.json"
"""


def kohya(kit, copies):
    stays = {
        "train.toml": KOHYA_TOML,
        "10_cat/a.png": kit.free(1), "10_cat/a.cap": "clouds", **of("10_cat/a", *KOHYA_CACHES),
        "hints/a.png": kit.free(2),
        "10_cat/empty.png": kit.free(3), "10_cat/empty.cap": "",
        "10_cat/face.png": kit.free(4), "10_cat/face.cap": "a face and its crop",
        "1_reg/r.png": kit.free(5), "1_reg/r.words": "a cat",
        "fine/k.png": kit.free(6), **of("fine/k", "{}_0064x0064_sdxl.npz"),
    }  # fmt: skip
    goes = {
        "10_cat/werk.jpg": copies["same"], "10_cat/werk.cap": "werk", **of("10_cat/werk", *KOHYA_CACHES),
        "hints/werk.png": kit.free(7),
        "10_cat/face_10_20_30_40.png": copies["framed"],
        "10_cat/hinted-werk.png": kit.free(8), **of("10_cat/hinted-werk", "{}.npz", "{}.cap"),
        "hints/hinted-werk.png": copies["mirror"],
        **of("10_cat/a_gone-werk", "{}_0512x0640_sdxl.npz", "{}_te_outputs.npz", "{}.npz"),
        "10_cat/metadata_cache.json": '{"werk.jpg": {}}',
        "fine/werk-2.webp": copies["square"], **of("fine/werk-2", "{}_0064x0064_sdxl.npz"),
        **of("fine/gone-werk", "{}_0064x0064_sdxl.npz"),
        "2_only/werk-3.jpg": copies["jpeg"], "2_only/werk-3.txt": "the only picture of its folder",
    }  # fmt: skip
    lists = {"lists/meta.json": '{"k": {"tags": "x"},"werk-2": {"tags": "y"}}'}
    return Planted("kohya", stays, goes, lists, {"lists/meta.json": '{"k": {"tags": "x"}}'})


MUSUBI_TOML = """
[general]
resolution = [512, 640]
caption_extension = ".prompt"
[[datasets]]
image_directory = "images"
cache_directory = "latents"
control_directory = "before"
[[datasets]]
image_jsonl_file = "lists/train.jsonl"
cache_directory = "latents/of the list"
[[datasets]]
image_directory = "split"
cache_directory = "latents/split"
multiple_target = true
"""
MUSUBI_CACHES = [
    "{}_0512x0640_qie.safetensors",
    "{}_00000-025_0512x0640_hv.safetensors",
    "{}_qie_te.safetensors",
]


def musubi(kit, copies):
    rows = [
        {"image_path": "more/m.png", "control_path": "more/m_before.png", "caption": "x"},
        {"image_path_0": "more/werk-0.png", "image_path_1": "more/werk-1.png", "caption": "y"},
    ]
    stays = {
        "set.toml": MUSUBI_TOML,
        "images/a.png": kit.free(11), "images/a.prompt": "clouds", **of("images/a", *MUSUBI_CACHES),
        "before/a_0.png": kit.free(12), "before/a_0001.png": kit.free(13),
        "more/m.png": kit.free(14), "more/m_before.png": kit.free(15),
        "split/s.png": kit.free(16), "split/s_1.png": kit.free(17), "split/s.prompt": "two layers",
        "split/t_0.png": kit.free(18), "split/t_1.png": kit.free(19), "split/t.prompt": "by its layers alone",
    }  # fmt: skip
    goes = {
        "images/werk.jpg": copies["same"], "images/werk.prompt": "werk", **of("images/werk", *MUSUBI_CACHES),
        "before/werk.png": kit.free(20),
        "images/hinted-werk.png": kit.free(21), **of("images/hinted-werk", *MUSUBI_CACHES, "{}.prompt"),
        "before/hinted-werk_0000.png": copies["mirror"], "before/hinted-werk_0001.png": kit.free(22),
        **of("latents/a", *MUSUBI_CACHES), **of("latents/werk", *MUSUBI_CACHES),
        "latents/of the list/notes.txt": "werk", **of("images/a_gone-werk", *MUSUBI_CACHES),
        "more/werk-0.png": copies["framed"], "more/werk-1.png": kit.free(23),
        "split/werk-3.png": kit.free(24), "split/werk-3_1.png": copies["jpeg"], "split/werk-3.prompt": "werk",
        "split/werk-4_0.png": copies["square"], "split/werk-4_1.png": kit.free(25),
        "split/werk-4.prompt": "werk",
    }  # fmt: skip
    lists = {"lists/train.jsonl": lines(*rows)}
    return Planted("musubi", stays, goes, lists, {"lists/train.jsonl": lines(rows[0])})


def onetrainer(kit, copies):
    concepts = [
        {"name": "one", "path": "one", "include_subdirectories": True, "text": {"prompt_source": "sample"}},
        {"path": "two", "text": {"prompt_source": "concept", "prompt_path": "two/prompts.txt"}},
        {"path": "", "text": {"prompt_source": "filename", "prompt_path": ""}},
    ]
    forms = ("{}.txt", "{}-masklabel.png", "{}-condlabel.png")
    stays = {
        "concepts.json": json.dumps(concepts, indent=4),
        "one/0.png": kit.free(31), "one/0.txt": "clouds", "one/0-masklabel.png": kit.free(32),
        "one/0-condlabel.png": kit.free(33), "one/sub/a.png": kit.free(34), "one/sub/a.txt": "below",
        "two/t.png": kit.free(35), "two/prompts.txt": "a cloud\nclouds\n",
    }  # fmt: skip
    goes = {
        "one/werk.jpg": copies["same"], **of("one/werk", forms[0]),
        **{form.format("one/werk"): kit.free(number) for number, form in enumerate(forms[1:], 36)},
        "one/sub/werk.webp": copies["square"], "one/sub/werk.txt": "werk",
        **of(f"one/cache/image/{SHA}/variation-0/", "{}0.pt", "{}1.pt", "{}aggregate.pt"),
        **of(f"one/cache/text/{SHA}/variation-1/", "{}0.pt", "{}aggregate.pt", "{}made.json"),
        **of("one/cache/image/0f1e2d3c4b5a", "{}_512x640_1.pt", "{}_1.pt"),
        "one/cache/image/cache.json": '{"version": 1, "entries": {}, "hash_index": {}}',
    }  # fmt: skip
    return Planted("onetrainer", stays, goes)


def simpletuner(kit, copies):
    backends = [
        {
            "id": "images", "type": "local", "instance_data_dir": "images", "caption_strategy": "textfile",
            "cache_dir_vae": "cache/{model_family}/vae", "conditioning_data": "hints",
        },
        {"id": "hints", "type": "local", "dataset_type": "conditioning", "instance_data_dir": "pairs"},
        {
            "id": "wide", "type": "local", "instance_data_dir": "wide", "caption_strategy": "parquet",
            "metadata_backend": "parquet", "parquet": {"path": "captions.parquet", "filename_column": "id"},
        },
        {"id": "text", "type": "local", "dataset_type": "text_embeds", "cache_dir": "cache/text"},
    ]  # fmt: skip
    stays = {
        "multidatabackend.json": json.dumps(backends),
        "images/x/a.png": kit.free(41), "images/x/a.txt": "clouds", "images/x/a.bbox": "[0, 0, 9, 9]",
        "pairs/x/a.png": kit.free(42), "wide/1.png": kit.free(43), "wide/3.png": kit.free(44),
    }  # fmt: skip
    goes = {
        "images/x/werk.jpg": copies["same"], **of("images/x/werk", "{}.txt", "{}.bbox"),
        "pairs/x/werk.png": kit.free(45),
        "wide/werk-2.png": copies["mirror"],
        "images/aspect_ratio_bucket_indices_images.json": '{"1.0": ["images/x/werk.jpg"]}',
        "images/aspect_ratio_bucket_metadata_images.json": '{"images/x/werk.jpg": {}}',
        **of("cache/flux/vae/x/a", "{}.pt"), **of("cache/flux/vae/x/werk", "{}.pt"),
        "cache/text/0a1b-werk.pt": "the caption, encoded", "cache/text/state.json": '{"werk": 1}',
    }  # fmt: skip
    table = {"id": ["1", "werk-2", "3"], "caption": ["one", "a werk", "three"]}
    csv = 'filename,caption\nwide/1.png,one\nwide/werk-2.png,"a werk,\nof two lines"\nwide/3.png,three\n'
    return Planted(
        "simpletuner",
        stays,
        goes,
        {"captions.parquet": parquet(table), "captions.csv": csv},
        {"captions.csv": "filename,caption\nwide/1.png,one\nwide/3.png,three\n"},
        {"captions.parquet": [{"id": "1", "caption": "one"}, {"id": "3", "caption": "three"}]},
    )


def ai_toolkit(kit, copies):
    caches = [
        f"{folder}/{{}}_{HASH}.safetensors"
        for folder in ("_latent_cache", "_t_e_cache", "_clip_vision_cache")
    ]

    def cached(folder, stem):
        return {f"{folder}{form.format(stem)}": f"made from {stem}: {form}" for form in caches}

    entries = [f'"{name}": {{"caption": "{name}", "caption_short": "x"}}' for name in ("a.png", "werk.jpg")]
    stays = {
        "a.png": kit.free(51), "a.txt": "clouds", **cached("", "a"), "default.txt": "for all others",
        "_controls/a.jpg": kit.free(52), "mask/a.png": kit.free(53), "deep/b.png": kit.free(54),
        **cached("deep/", "b"),
    }  # fmt: skip
    goes = {
        "werk.jpg": copies["same"], "werk.txt": "werk", **cached("", "werk"), **cached("", "a_gone-werk"),
        "_controls/werk.jpg": kit.free(55), "mask/werk.png": kit.free(56),
        "deep/werk-2.png": copies["mirror"], **cached("deep/", "werk-2"),
        ".aitk_size.json": '{"werk.jpg": [8, 8]}', "deep/.aitk_size.json": '{"werk-2.png": [8, 8]}',
    }  # fmt: skip
    lists = {"dataset.json": f"{{{', '.join(entries)}}}"}
    return Planted("ai-toolkit", stays, goes, lists, {"dataset.json": f"{{{entries[0]}}}"})


def invoke_training(kit, copies):
    rows = [{"image": f"images/{name}", "text": name} for name in ("a.png", "werk.jpg", "b.png")]
    stays = {"images/a.png": kit.free(61), "images/b.png": kit.free(62), "images/b.txt": "beside it"}
    goes = {"images/werk.jpg": copies["same"], "images/werk.txt": "werk"}
    left = {"train.jsonl": lines(rows[0], rows[2])}
    return Planted("folder", stays, goes, {"train.jsonl": lines(*rows)}, left)


PLANTED = {
    "kohya": kohya,
    "musubi": musubi,
    "onetrainer": onetrainer,
    "simpletuner": simpletuner,
    "ai-toolkit": ai_toolkit,
    "invoke-training": invoke_training,
}


@pytest.mark.parametrize("trainer", PLANTED)
def test_all_that_is_made_from_a_removed_work_goes_and_the_rest_still_trains(
    filter_planted, kit, copies, live, trainer
):
    planted = PLANTED[trainer](kit, copies)
    target, summary = filter_planted(planted.files)
    assert summary.format == planted.name
    output = kit.tree(target)
    wanted = {path: data.encode() if isinstance(data, str) else data for path, data in planted.stays.items()}
    wanted |= {path: text.encode() for path, text in planted.rewritten.items()}
    assert output.keys() == wanted.keys() | planted.tables.keys()
    assert {path: output[path] for path in wanted} == wanted
    for path, rows in planted.tables.items():
        assert rows_of(output[path]) == rows
        assert pq.read_schema(io.BytesIO(output[path])).metadata == {b"huggingface": b"{}"}
    rescan(target, planted.goes.values())
    assert live.reserved_in(target) == set()
    assert [verdict.reason for verdict in summary.notable if verdict.action is Action.ERROR] == []
    notable = {verdict.sample.key for verdict in summary.notable}
    hidden = {path for path in planted.goes if PurePosixPath(path).name.startswith(".")}
    assert planted.goes.keys() - hidden <= notable | summary.left_out.keys()


@pytest.mark.parametrize("trainer", PLANTED)
def test_filtering_what_was_filtered_changes_nothing(filter_planted, live, kit, copies, trainer, tmp_path):
    target, _ = filter_planted(PLANTED[trainer](kit, copies).files)
    with live.client() as client:
        filter_dataset(target, tmp_path / "again", [client], options=Options(workers=1))
    assert kit.tree(tmp_path / "again") == kit.tree(target)
