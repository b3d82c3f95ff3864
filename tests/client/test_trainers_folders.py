"""Which trainer a folder is taken for, what becomes of its settings, and names that are hard to read."""

import hashlib
import json
import os

import pytest

from registry.client.formats import detect
from registry.errors import DatasetError, FormatError

# What a folder is taken for.

CONCEPTS = json.dumps([{"path": "one", "text": {"prompt_source": "sample"}}])
BACKENDS = json.dumps([{"id": "x", "type": "local", "instance_data_dir": "one"}])
OF_MUSUBI = '[[datasets]]\nimage_directory = "one"'
OF_KOHYA = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "one"'
X = "no need to decode it here"

SEEN = {
    # what: (files, wanted, format, what the reason names)
    "a TOML of kohya": ({"one/a.png": X, "x.toml": OF_KOHYA}, "auto", "kohya", "has x.toml, settings"),
    "and N_concept": ({"one/1_a/a.png": X, "1_a/a.png": X, "x.toml": OF_KOHYA}, "auto", "kohya", "1_a/"),
    "and loose pictures": ({"one/a.png": X, "a.png": X, "x.toml": OF_KOHYA}, "auto", "kohya", "x.toml"),
    "a TOML of musubi": ({"one/a.png": X, "x.toml": OF_MUSUBI}, "auto", "musubi", "has x.toml, settings"),
    "latents of musubi": ({"a.png": X, "a_0064x0064_wan.safetensors": ""}, "auto", "musubi", "wan"),
    "concepts": ({"one/a.png": X, "conf/c.json": CONCEPTS}, "auto", "onetrainer", "has conf/c.json"),
    "masks": ({"a.png": X, "a-masklabel.png": X}, "auto", "onetrainer", "a-masklabel.png"),
    "backends": ({"one/a.png": X, "b.json": BACKENDS}, "auto", "simpletuner", "has b.json, settings"),
    "an index": ({"a.png": X, "aspect_ratio_bucket_x.json": "{}"}, "auto", "simpletuner", "aspect_ratio"),
    "a folder of caches": ({"a.png": X, "_latent_cache/b.safetensors": ""}, "auto", "ai-toolkit", "_latent"),
    "sizes, hidden": ({"x/a.png": X, "x/.aitk_size.json": "{}"}, "auto", "ai-toolkit", "x/.aitk_size.json"),
    "a folder all the same": ({"one/a.png": X, "x.toml": OF_KOHYA}, "folder", "folder", "1 pictures"),
    "N_concept goes before latents": (
        {"1_a/a.png": X, "1_a/a_0064x0064_wan.safetensors": ""}, "auto", "kohya", "1_a/"
    ),
    "downloads": ({"00000/0.jpg": X, "00000_stats.json": "{}"}, "auto", "img2dataset", "has 00000/"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "wanted", "name", "why"), SEEN.values(), ids=SEEN)
def test_a_trainer_is_announced_where_it_can_be_told(tmp_path, kit, files, wanted, name, why):
    found = detect(kit.plant(tmp_path / "set", files), wanted)
    assert found.name == name
    assert why in found.why


TWO = {
    "settings of two": ({"one/a.png": X, "k.toml": OF_KOHYA, "m.toml": OF_MUSUBI}, {"kohya", "musubi"}),
    "settings and concepts of kohya": ({"1_a/a.png": X, "m.toml": OF_MUSUBI}, {"kohya", "musubi"}),
    "settings and metadata": ({"metadata.jsonl": "", "one/a.png": X, "k.toml": OF_KOHYA},
                              {"imagefolder", "kohya"}),
    "files of two": ({"a-masklabel.png": X, "_controls/a.png": X}, {"ai-toolkit", "onetrainer"}),
    "downloads and metadata": ({"0/a.png": X, "0.parquet": "", "metadata.csv": ""},
                               {"img2dataset", "imagefolder"}),
}  # fmt: skip


@pytest.mark.parametrize(("files", "names"), TWO.values(), ids=TWO)
def test_two_that_would_do_are_both_named_and_either_can_be_had(tmp_path, kit, files, names):
    source = kit.plant(tmp_path / "set", files)
    with pytest.raises(FormatError, match="two formats at once") as caught:
        detect(source)
    assert (
        set(caught.value.hint.removeprefix("Say which: --format ").rstrip(".").split(" or --format "))
        == names
    )
    assert {detect(source, name).name for name in names - {"imagefolder", "img2dataset"}} <= names


@pytest.mark.parametrize(
    "cache",
    ["c/a_0064x0064_wan.safetensors", "a_sd3_te.npz", "variation-0/0.pt", "_latent_cache/a.safetensors"],
)
def test_caches_without_any_picture_are_refused_with_what_they_do(tmp_path, kit, cache):
    kit.plant(tmp_path, {"a.txt": "x", cache: "x"})
    with pytest.raises(FormatError, match="which trains its picture without it") as caught:
        detect(tmp_path)
    assert cache in caught.value.message


# Settings in a copy.

LEFT_OUT = {
    # what: (settings, why they are left out; "" when they are not)
    "all is there": ("image_dir = 'one'", ""),
    "the source by its whole name": ("image_dir = '{}/one'", "which is in the source"),
    "the source from above": ("image_dir = 'set/one'", "from above the source is the source itself"),
    "another place": ("image_dir = '/far/away'", "which lies outside of the dataset"),
    "nothing there": ("image_dir = 'gone'", "which is not in the dataset"),
    "a folder that is emptied": ("image_dir = 'emptied'", "names emptied, of which nothing is left"),
    "a list that is emptied": ("metadata_file = 'l.json'", "names l.json, of which nothing is left"),
    "a list of pictures that are not here": (
        "image_dir = 'one'\nmetadata_file = 'far.json'",
        "names far.json",
    ),
}


@pytest.mark.parametrize(("said", "why"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_settings_come_along_as_they_are_or_not_at_all(tmp_path, kit, said, why):
    source, target = tmp_path / "set", tmp_path / "clean"
    settings = f"# mine\n[[datasets]]\n[[datasets.subsets]]\n{said}\n".replace("{}", str(source))
    files = {
        "one/a.png": "a",
        "emptied/b.png": "b",
        "l.json": '{"emptied/b.png": {}}',
        "far.json": '{"far/c.png": {"tags": "x"}}',
        "deep/x.toml": settings,
    }
    dataset = detect(kit.plant(source, files), "kohya")
    plan = dataset.plan({"emptied/b.png": "reserved"})
    dataset.write(target, plan, {"one/a.png": hashlib.sha256(b"a").digest()})
    assert why in plan.left_out.get("deep/x.toml", "")
    assert ("deep/x.toml" in plan.left_out) == bool(why)
    left = kit.tree(target)
    assert left.get("deep/x.toml", settings.encode()) == settings.encode()
    assert left.keys() == {"one/a.png", "far.json", *(() if why else ("deep/x.toml",))}


def test_a_toml_that_is_none_is_left_out_by_name(tmp_path, kit):
    dataset = detect(kit.plant(tmp_path / "set", {"a.png": "a", "x.toml": "[[datasets"}))
    assert "x.toml is not TOML" in dataset.plan({}).left_out["x.toml"]


def test_stems_in_a_list_are_of_the_folder_that_settings_tell(tmp_path, kit):
    settings = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'cats'\nmetadata_file = 'meta.json'\n"
    files = {
        **dict.fromkeys(["cats/1.png", "cats/2.png", "dogs/1.png"], X),
        "meta.json": '{"1": {"tags": "x"},"2": {"tags": "y"}}',
        "x.toml": settings,
    }
    dataset = detect(kit.plant(tmp_path / "set", files))
    assert "meta.json" not in dataset.plan({"dogs/1.png": "reserved"}).left_out
    assert dataset.plan({"cats/1.png": "reserved"}).left_out["meta.json"] == "1 of 2 rows"


# Names and places that are hard to read.


def test_a_text_that_names_a_picture_in_other_letters_is_left_out(tmp_path, kit):
    texts = {
        "one.md": "A\u0308.PNG",
        "two.txt": "see \u00c4.png",
        "three.yaml": '"\u00e4"',
        "four.txt": "a.png",
    }
    dataset = detect(kit.plant(tmp_path / "set", {"\u00e4.png": X, "b.png": X, **texts}))
    assert dataset.plan({"\u00e4.png": "reserved"}).left_out.keys() == {"one.md", "two.txt", "three.yaml"}


@pytest.mark.skipif(os.name == "nt", reason="long paths by way of open folders")
@pytest.mark.parametrize("last", ["a.png", "folder/"])
def test_a_path_too_long_to_be_opened_ends_the_run_by_name(tmp_path, kit, last):
    """To the reader it is as a folder that may not be read, which root never meets."""
    kit.plant(tmp_path / "set", {"a.png": X})
    place = os.open(tmp_path / "set", os.O_RDONLY)
    for _ in range(4200 // 200):
        os.mkdir("d" * 200, dir_fd=place)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    if last.endswith("/"):
        os.mkdir(last, dir_fd=place)
    else:
        os.close(os.open(last, os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    with pytest.raises(DatasetError, match="cannot be read: File name too long"):
        detect(tmp_path / "set")


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="folders that cannot be read, and root reads all"
)
def test_a_folder_that_may_not_be_read_ends_the_run_by_name(tmp_path, kit):
    source = kit.plant(tmp_path / "set", {"a.png": X, "closed/b.png": X})
    (source / "closed").chmod(0)
    try:
        with pytest.raises(DatasetError, match="closed cannot be read: Permission denied"):
            detect(source)
    finally:
        (source / "closed").chmod(0o700)
