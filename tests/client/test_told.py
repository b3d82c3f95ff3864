"""What settings of trainers say of a folder, and when they hold in a copy of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client.formats.settings import Block, Settings, read_settings
from registry.client.formats.told import find_told, is_within, meaning
from registry.errors import DatasetError

ROOTS = ("/data/set", "/mnt/real set")
FILES = [
    "one/a.png",
    "one/sub/b.png",
    "two/c.jpg",
    "hints/a.png",
    "cache/a.npz",
    "lists/l.jsonl",
    "conf/x.toml",
]

KOHYA = """
caption_extension = ".no"
[general]
caption_extension = ".general"
[[datasets]]
  [[datasets.subsets]]
  image_dir = "one"
  [[datasets.subsets]]
  image_dir = "two"
  caption_extension = ".own"
  conditioning_data_dir = "hints"
[[datasets]]
caption_extension = ".dataset"
  [[datasets.subsets]]
  metadata_file = "lists/l.json"
"""
MUSUBI = {
    "datasets": [
        {"image_directory": "one", "cache_directory": "cache", "control_directory": "hints"},
        {"image_jsonl_file": "lists/l.jsonl", "multiple_target": True, "caption_extension": ".cap"},
        {"video_directory": "two"},
    ]
}
BACKENDS = [
    {"id": "a", "type": "local", "instance_data_dir": "one", "conditioning_data": ["b", "gone", 5]},
    {"id": "b", "type": "local", "instance_data_dir": "hints", "cache_dir_vae": "cache"},
    {"id": "c", "type": "huggingface", "dataset_name": "far/away", "instance_data_dir": "one"},
    {"id": "d", "dataset_type": "text_embeds", "type": "aws", "aws_data_prefix": "far", "cache_dir": "text"},
    {
        "id": "e",
        "type": "csv",
        "instance_data_dir": "two",
        "csv_file": "l.csv",
        "caption_strategy": "textfile",
    },
]
CONCEPT = {"path": "one", "text": {"prompt_source": "sample", "prompt_path": "unread.txt"}}

READ = {
    # what: (name, content, settings)
    "kohya, the nearest table counts": (
        "any.toml", KOHYA,
        ("kohya", Block(("one",), captions=(".general",)),
         Block(("two",), ("hints",), captions=(".own",)),
         Block(files=("lists/l.json",), captions=(".dataset",))),
    ),
    "kohya, its own ending": (
        "x.TOML", '[[datasets]]\n[[datasets.subsets]]\nimage_dir="a"',
        ("kohya", Block(("a",), captions=(".caption",))),
    ),
    "kohya, all options": (
        "run.toml", '[data]\ntrain_data_dir = "one"\nreg_data_dir = "two"\nin_json = "l.json"',
        ("kohya", Block(("one", "two"), files=("l.json",), captions=(".caption",))),
    ),
    "musubi, as JSON": (
        "m.json", json.dumps(MUSUBI),
        ("musubi", Block(("one",), ("hints",), ("cache",)),
         Block(files=("lists/l.jsonl",), captions=(".cap",), layered=True), Block(("two",))),
    ),
    "onetrainer": ("c.json", json.dumps([CONCEPT]), ("onetrainer", Block(("one",), captions=(".txt",)))),
    "onetrainer, all options": (
        "config.json",
        json.dumps({"concept_file_name": "c.json", "cache_dir": "w", "concepts": [CONCEPT, {"path": "x"}]}),
        ("onetrainer", Block(("one",), captions=(".txt",)), Block(caches=("w",), files=("c.json",))),
    ),
    "simpletuner": (
        "b.json", json.dumps(BACKENDS),
        ("simpletuner", Block(("one",), ("hints",)), Block(("hints",), caches=("cache",)),
         Block(("far/away",)), Block(caches=("text",)),
         Block(("two",), files=("l.csv",), captions=(".txt",))),
    ),
    "nothing of a trainer": ("pyproject.toml", '[project]\nname = "x"\ndatasets = 5', None),
    "datasets of something else": ("d.toml", '[[datasets]]\nname = "x"', None),
    "an empty TOML": ("e.toml", "", None),
    "a list of pictures": ("l.json", '[{"path": "a.png", "text": "x"}, "b"]', None),
    "no JSON": ("x.json", "{image_dir", None),
    "numbers where names stand": ("n.toml", '[[datasets]]\nimage_directory = 5\nsubsets = 3', None),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "wanted"), READ.values(), ids=READ)
def test_settings_are_known_by_what_is_in_them(name, text, wanted):
    found = read_settings(text.encode(), name)
    assert found == (None if wanted is None else Settings(wanted[0], wanted[1:]))


@pytest.mark.parametrize("data", [b"[[datasets", b"a = \xff", b"a = 1\na = 2"], ids=["cut", "bytes", "twice"])
def test_a_toml_that_is_none_is_refused_by_name(data):
    with pytest.raises(DatasetError, match=r"x\.toml is not TOML"):
        read_settings(data, "x.toml")


def told(*blocks, path="conf/x.toml", files=FILES):
    return meaning({path: Settings("kohya", blocks)}, files, ROOTS)


HOLDS = {
    # name: (in the settings at, what it means)
    "one": ("x.toml", "one"),
    "./one/": ("x.toml", "one"),
    "../one": ("conf/x.toml", "one"),
    "one/sub": ("conf/x.toml", "one/sub"),
    "ONE\\Sub": ("conf/x.toml", "one/sub"),
    "conf/../two": ("x.toml", "two"),
    ".": ("x.toml", ""),
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_name_below_the_settings_or_the_folder_holds_in_a_copy(name):
    path, meant = HOLDS[name]
    found = told(Block((name,), captions=(".cap",)), path=path)
    assert found.faults == {}
    assert (meant, ".cap") in found.captions
    assert meant in found.needs[path]


ASTRAY = {
    # name: (what it means here, what is wrong)
    "/data/set/one": ("one", "names /data/set/one, which is in the source"),
    "/mnt/real set/one/sub/": ("one/sub", "which is in the source"),
    "/data/set": ("", "which is in the source"),
    "/data/SET/ONE": ("one", "which is in the source"),
    "set/one": ("one", "from above the source"),
    "data/set/one": ("one", "from above the source"),
    "set": ("", "from above the source"),
    "/data/set/gone": (None, "which is in the source"),
    "/data/settings/one": (None, "which lies outside of the dataset"),
    "C:\\data\\set\\one": (None, "which lies outside of the dataset"),
    "../../one": (None, "which is not in the dataset"),
    "gone": (None, "which is not in the dataset"),
    "other/one": (None, "which is not in the dataset"),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_name_that_would_train_the_source_or_more_is_a_fault_and_used_all_the_same(name):
    meant, fault = ASTRAY[name]
    found = told(Block((name,), captions=(".cap",)))
    assert fault in found.faults["conf/x.toml"]
    assert found.captions == (frozenset() if meant is None else {(meant, ".cap")})


CACHES = {
    # name: (folders of caches, what is wrong)
    "cache": ({"cache"}, ""),
    "not/made/yet": (set(), ""),
    "{model_family}/vae": (set(), ""),
    "cache/{model_family}": ({"cache"}, ""),
    "cache/vae-{model_family}/x": ({"cache"}, ""),
    "one": (set(), ""),
    ".": (set(), ""),
    "/data/set/cache": ({"cache"}, "caches there train what was removed"),
    "set/cache": ({"cache"}, "caches there train what was removed"),
    "/far/cache": (set(), "caches there train what was removed"),
    "../cache": (set(), "caches there train what was removed"),
}


@pytest.mark.parametrize("name", CACHES)
def test_a_folder_of_caches_may_be_missing_but_not_elsewhere(name):
    folders, fault = CACHES[name]
    found = told(Block(("one",), caches=(name,)), path="x.toml")
    assert found.caches == folders
    assert found.faults.get("x.toml", "").endswith(fault)
    assert bool(found.faults) == bool(fault)


def test_settings_are_unmet_when_nothing_is_left_of_what_they_name():
    found = told(Block(("one", "two"), files=("lists/l.jsonl",)))
    assert found.unmet("conf/x.toml", FILES) == ""
    assert found.unmet("conf/x.toml", ["one/sub/b.png", "two/c.jpg", "lists/l.jsonl"]) == ""
    assert found.unmet("conf/x.toml", ["one/a.png", "lists/l.jsonl"]) == "names two, of which nothing is left"
    assert "names lists/l.jsonl," in found.unmet("conf/x.toml", ["one/a.png", "two/c.jpg"])


def test_a_list_has_its_names_from_the_folder_of_its_settings():
    assert told(Block(("one",), files=("lists/l.jsonl",))).bases == {"lists/l.jsonl": "one"}


def test_settings_are_found_beside_pictures_but_not_under_a_name_of_theirs(tmp_path, kit):
    files = {
        "a.png": "x",
        "a.json": json.dumps([CONCEPT]),
        "deep/c.json": json.dumps([CONCEPT]),
        "one/b.png": "x",
        "bad.toml": "[",
        "big.json": "image_dir" + " " * 20,
        "p.toml": "x = 1",
    }
    kit.plant(tmp_path, files)
    found = find_told(tmp_path, sorted(files))
    assert found.by == {"deep/c.json": "onetrainer"}
    assert found.faults.keys() == {"bad.toml"}


YAML = {
    "datasets: [{{folder_path: '{}'}}]": True,
    "folder_path: {}/one # mine": True,
    'folder_path: "{}\\\\one"': True,
    "FOLDER: {}": True,
    "folder_path: {}-2/one": False,
    "folder_path: {}tings": False,
    "folder_path: one": False,
    "": False,
}


@pytest.mark.parametrize("form", YAML)
@pytest.mark.parametrize("name", ["x.yaml", "x.YML"])
def test_yaml_that_names_the_source_stays_behind(tmp_path, kit, name, form):
    root = kit.plant(tmp_path / "set", {"one/a.png": "x", name: form.format(tmp_path / "set")})
    faults = find_told(root, ["one/a.png", name]).faults
    assert faults.keys() == ({name} if YAML[form] else set())
    assert all(fault.endswith("which is the source") for fault in faults.values())


def test_a_caption_in_yaml_is_a_caption(tmp_path, kit):
    root = kit.plant(tmp_path / "set", {"a.png": "x", "a.yaml": f"from: {tmp_path}/set"})
    assert find_told(root, ["a.png", "a.yaml"]).files == frozenset()


def test_settings_that_are_too_large_are_left_out_by_name(tmp_path, kit, monkeypatch):
    monkeypatch.setattr("registry.client.formats.told.MAX_SETTINGS_BYTES", 10)
    kit.plant(tmp_path, {"x.toml": "# a comment of more than ten bytes"})
    assert "is over 10 bytes" in find_told(tmp_path, ["x.toml"]).faults["x.toml"]


NAMES = st.lists(st.sampled_from(["one", "sub", "..", ".", "set", "data", "", "Ä"]), min_size=1, max_size=5)


@given(NAMES.map("/".join), st.sampled_from(["x.toml", "conf/x.toml"]))
def test_whatever_a_name_is_it_means_a_place_in_the_folder_or_is_a_fault(name, path):
    found = told(Block((name,), captions=(".c",)), path=path)
    places = {"", *FILES} | {folder for file in FILES for folder in ("/".join(file.split("/")[:-1]),)}
    assert all(folder in places for folder, _ in found.captions)
    assert found.captions or found.faults or not name


@given(NAMES.map("/".join), NAMES.map("/".join))
def test_what_is_within_a_folder_begins_with_it(path, folder):
    assert is_within(path, folder) == (f"{path}/".startswith(f"{folder}/") or not folder)
