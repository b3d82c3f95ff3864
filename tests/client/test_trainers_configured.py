"""Settings of a trainer given as the dataset: all that they name is filtered, and they are written anew."""

import json
import tomllib

import pytest

from registry.client import Options, filter_dataset
from registry.client.formats import detect
from registry.errors import DatasetError, FormatError

KOHYA = """
# a comment
[general]
caption_extension = ".cap"
shuffle_caption = true
[[datasets]]
resolution = [512, 512]
  [[datasets.subsets]]
  image_dir = "{0}/pictures/10_cat"
  conditioning_data_dir = "{0}/far/hints"
  num_repeats = 10
  [[datasets.subsets]]
  image_dir = "{0}/pictures/emptied"
[[datasets]]
  [[datasets.subsets]]
  image_dir = "{0}/pictures/fine"
  metadata_file = "meta.json"
[[datasets]]
  [[datasets.subsets]]
  image_dir = "{0}/pictures/only werk"
"""
MUSUBI = """
[general]
caption_extension = ".txt"
[[datasets]]
image_directory = "images"
cache_directory = "images/cache"
control_directory = "before"
[[datasets]]
image_directory = "emptied"
cache_directory = "/far/away/cache"
[[datasets]]
image_directory = "layers"
cache_directory = "images/cache of layers"
multiple_target = true
"""


@pytest.fixture
def filtered(live, kit, tmp_path):
    """Plant files, filter what the settings name, and return the output, what was told, and the settings."""

    def run(files, settings):
        target = tmp_path / "clean"
        before = kit.tree(kit.plant(tmp_path / "work", files))
        with live.client() as client:
            source = tmp_path / "work" / settings
            summary = filter_dataset(source, target, [client], options=Options(workers=1))
        assert kit.tree(tmp_path / "work") == before
        output = kit.tree(target)
        written = json.loads(output.pop(f"{source.stem}.json"))
        return output, summary, written

    return run


def test_a_toml_of_kohya(filtered, kit, copies, tmp_path):
    stays = {
        "pictures/10_cat/a.png": kit.free(1),
        "pictures/10_cat/a.cap": b"clouds",
        "pictures/10_cat/a_0064x0064_sdxl.npz": b"of a",
        "far/hints/a.png": kit.free(2),
        "pictures/fine/k.png": kit.free(3),
    }
    goes = {
        "pictures/10_cat/werk.jpg": copies["same"],
        "pictures/10_cat/werk.cap": "werk",
        "pictures/10_cat/werk_0064x0064_sdxl.npz": "of werk",
        "pictures/10_cat/gone_0064x0064_sdxl.npz": "of nobody",
        "far/hints/werk.png": kit.free(4),
        "pictures/emptied/werk.jpg": copies["jpeg"],
        "pictures/only werk/werk.webp": copies["square"],
        "pictures/fine/werk.png": copies["mirror"],
        "pictures/elsewhere/not named.png": kit.free(5),
        "lists/other.txt": "not named",
    }
    text = KOHYA.format(tmp_path / "work")
    lists = {"lists/meta.json": '{"k": {"tags": "x"},"werk": {"tags": "y"}}', "lists/train.toml": text}
    output, summary, written = filtered({**stays, **goes, **lists}, "lists/train.toml")
    assert summary.format == "kohya"
    assert output == {**stays, "lists/meta.json": b'{"k": {"tags": "x"}}'}
    wanted = tomllib.loads(text)
    subsets = wanted["datasets"][0]["subsets"]
    subsets[0] |= {"image_dir": "pictures/10_cat", "conditioning_data_dir": "far/hints"}
    wanted["datasets"][1]["subsets"][0] |= {"image_dir": "pictures/fine", "metadata_file": "lists/meta.json"}
    del subsets[1], wanted["datasets"][2]
    assert written == wanted
    assert summary.left_out["train.toml"] == "written anew as train.json"


def test_a_toml_of_musubi(filtered, kit, copies):
    caches = ("{}_0512x0640_qie.safetensors", "{}_qie_te.safetensors")
    stays = {
        "images/a.png": kit.free(11),
        "images/a.txt": b"clouds",
        "before/a_0.png": kit.free(12),
        "layers/b.png": kit.free(13),
        "layers/b_1.png": kit.free(14),
        **{f"images/cache/{form.format('a')}": b"of a" for form in caches},
    }
    goes = {
        "images/werk.jpg": copies["same"],
        "images/werk.txt": "werk",
        "before/werk.png": kit.free(15),
        "emptied/werk.png": copies["mirror"],
        "layers/werk.png": kit.free(16),
        "layers/werk_1.png": copies["framed"],
        **{f"images/cache/{form.format('werk')}": "of werk" for form in caches},
        "images/cache/state.bin": "of all",
        "images/cache of layers/any.txt": "of the layers",
    }
    output, summary, written = filtered({**stays, **goes, "set.toml": MUSUBI}, "set.toml")
    assert summary.format == "musubi"
    assert output == stays
    assert written["datasets"] == [
        {"image_directory": "images", "cache_directory": "caches/00", "control_directory": "before"},
        {"image_directory": "layers", "cache_directory": "caches/02", "multiple_target": True},
    ]


def test_concepts_of_onetrainer(filtered, kit, copies):
    sample = {"prompt_source": "sample", "prompt_path": "/never/read.txt"}
    concepts = [
        {"name": "one", "path": "one", "include_subdirectories": True, "text": sample},
        {"path": "two", "text": {"prompt_source": "concept", "prompt_path": "two.txt"}},
        {"path": "emptied", "text": sample},
    ]
    stays = {
        "one/sub/a.png": kit.free(21),
        "one/sub/a-masklabel.png": kit.free(22),
        "two/b.png": kit.free(23),
        "two.txt": b"of two",
    }
    goes = {
        "one/werk.jpg": copies["same"],
        "one/werk-masklabel.png": kit.free(24),
        "emptied/werk.png": copies["mirror"],
    }
    output, summary, written = filtered(
        {**stays, **goes, "concepts.json": json.dumps(concepts)}, "concepts.json"
    )
    assert (summary.format, output) == ("onetrainer", stays)
    assert written == concepts[:2]


def test_backends_of_simpletuner(filtered, kit, copies):
    backends = [
        {"id": "a", "type": "local", "instance_data_dir": "a", "cache_dir_vae": "vae/{model_family}",
         "conditioning_data": "b"},
        {"id": "b", "type": "local", "instance_data_dir": "b", "dataset_type": "conditioning"},
        {"id": "c", "type": "local", "instance_data_dir": "c", "parquet": {"path": "c.csv"}},
        {"id": "t", "dataset_type": "text_embeds", "type": "local", "cache_dir": "/far/text"},
    ]  # fmt: skip
    stays = {"a/1.png": kit.free(31), "b/1.png": kit.free(32), "c/x.png": kit.free(33)}
    goes = {"a/werk.jpg": copies["same"], "b/werk.png": kit.free(34), "c/werk.png": copies["mirror"]}
    table = {"c.csv": "filename,caption\nx.png,one\nwerk.png,two\n"}
    files = {**stays, **goes, **table, "multidatabackend.json": json.dumps(backends)}
    output, summary, written = filtered(files, "multidatabackend.json")
    assert summary.format == "simpletuner"
    assert output == {**stays, "c.csv": b"filename,caption\nx.png,one\n"}
    backends[0]["cache_dir_vae"], backends[3]["cache_dir"] = "caches/00", "caches/01"
    assert written == backends


def test_names_may_be_relative_to_where_the_command_was_started(filtered, kit, copies, tmp_path, monkeypatch):
    files = {"sets/one/a.png": kit.free(41), "sets/one/werk.jpg": copies["same"]}
    settings = '[[datasets]]\nimage_directory = "sets/one"'
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    output, _, written = filtered({**files, "conf/x.toml": settings}, "conf/x.toml")
    assert output.keys() == {"one/a.png"}
    assert written["datasets"] == [{"image_directory": "one"}]


REFUSED = {
    # what: (settings, what the message says)
    "a folder that is not there": ('[[datasets]]\nimage_directory = "gone"', "names gone, which is not"),
    "a folder that could be two": ('[[datasets]]\nimage_directory = "two"', "which could be"),
    "a list alone": ('[[datasets]]\nimage_jsonl_file = "l.jsonl"', "does not tell the folders"),
    "all options": ('train_data_dir = "one"', "holds all options of kohya"),
    "nothing of a trainer": ('[project]\nname = "x"', "does not tell the folders of its pictures"),
    "no TOML": ("[[datasets", "is not TOML"),
    "a file under the name of the new settings": (
        '[[datasets]]\nimage_jsonl_file = "x.json"\nimage_directory = "one"',
        "would be written as x.json, which is a file of the dataset",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_settings_that_do_not_tell_are_refused(kit, tmp_path, monkeypatch, text, says):
    files = {"one/a.png": "a", "two/a.png": "a", "cwd/two/a.png": "a", "l.jsonl": "", "x.json": "{}"}
    kit.plant(tmp_path, {**files, "x.toml": text})
    monkeypatch.chdir(tmp_path / "cwd")
    with pytest.raises(DatasetError) as caught:
        detect(tmp_path / "x.toml")
    assert says in caught.value.message
    assert str(tmp_path / "x.toml") in caught.value.message
    assert caught.value.hint


def test_a_backend_elsewhere_is_refused(kit, tmp_path):
    backends = [
        {"id": "a", "instance_data_dir": "a"},
        {"id": "b", "type": "huggingface", "dataset_name": "far/away"},
    ]
    kit.plant(tmp_path, {"a/1.png": "x", "b.json": json.dumps(backends)})
    with pytest.raises(FormatError, match="names far/away, which is elsewhere"):
        detect(tmp_path / "b.json")


def test_an_output_inside_of_a_folder_that_is_named_is_refused(kit, live, tmp_path):
    kit.plant(tmp_path, {"one/a.png": kit.free(51), "x.toml": '[[datasets]]\nimage_directory = "one"'})
    before = kit.tree(tmp_path)
    with live.client() as client, pytest.raises(DatasetError, match="the source is never written to"):
        filter_dataset(tmp_path / "x.toml", tmp_path / "one/clean", [client], options=Options(workers=1))
    assert kit.tree(tmp_path) == before
