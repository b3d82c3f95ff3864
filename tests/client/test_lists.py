"""Lists that trainers keep beside pictures: known by their content, and rewritten without what goes."""

import hashlib
import io
import json
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client.formats import detect
from registry.client.formats.entries import parse_entries
from registry.client.formats.metadata import TextSource
from registry.client.formats.naming import Names, below
from registry.client.pictures import PICTURE_SUFFIXES

PICTURE = "its bytes do not matter here"


class Filtered:
    """What a format says and writes when some of its pictures go."""

    def __init__(self, kit, folder, files, *removed):
        self.source, self.target = folder / "set", folder / "clean"
        dataset = detect(kit.plant(self.source, files))
        samples = list(dataset.samples())
        self.why = dataset.why
        self.samples = {sample.key: sample for sample in samples}
        self.faults = {sample.key: sample.fault for sample in samples if sample.fault}
        self.plan = dataset.plan(self.faults | dict.fromkeys(removed, "reserved"))
        digests = {
            sample.key: hashlib.sha256(sample.path.read_bytes()).digest()
            for sample in samples
            if sample.path and sample.path.suffix.lower() in PICTURE_SUFFIXES
        }
        dataset.write(self.target, self.plan, digests)
        self.output = kit.tree(self.target)

    @property
    def lists(self):
        """The written files that are no pictures, as text."""
        return {
            path: data.decode()
            for path, data in self.output.items()
            if PurePosixPath(path).suffix not in PICTURE_SUFFIXES
        }


@pytest.fixture
def filtered(kit, tmp_path):
    def run(files, *removed):
        return Filtered(kit, tmp_path, files, *removed)

    return run


def pictures(names):
    return dict.fromkeys(names.split(), PICTURE)


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(columns, metadata=None, group=2):
    out = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), out, row_group_size=group)
    return out.getvalue()


A, B, C = (f'"10_x/{stem}.png": {{"caption": "{stem}", "image_size": [8, 8]}}' for stem in "abc")

REWRITTEN = {
    # what: (pictures, list, its text, what goes, the text that is left)
    "kohya, the first goes": (
        "10_x/a.png 10_x/b.png", "meta_cap.json", f"{{{A}, {B}}}", "10_x/a.png", f"{{ {B}}}"
    ),
    "kohya, the last goes": (
        "10_x/a.png 10_x/b.png", "meta_lat.json", f"{{\n  {A},\n  {B}\n}}\n", "10_x/b.png", f"{{\n  {A}\n}}\n"
    ),
    "kohya, the middle goes": (
        "10_x/a.png 10_x/b.png 10_x/c.png", "10_x/any.json", f"{{\n  {A},\n  {B},\n  {C}\n}}", "10_x/b.png",
        f"{{\n  {A},\n  {C}\n}}",
    ),
    "kohya, stems and a folder that only the settings tell": (
        "img/a.png img/b.png", "meta.json",
        '{"a": {"caption": "x"}, "b": {"tags": "y"}}', "img/a.png", '{ "b": {"tags": "y"}}',
    ),
    "kohya, stems in jsonl": (
        "a.png b.png", "m.jsonl", lines({"image_path": "a", "tags": "x"}, {"image_path": "b", "tags": "y"}),
        "b.png", lines({"image_path": "a", "tags": "x"}),
    ),
    "a name with a dot in it": (
        "v1.5_a.png v1.5_b.png", "m.json", '{"v1.5_a": {"tags": "x"},"v1.5_b": {"tags": "y"}}', "v1.5_a.png",
        '{"v1.5_b": {"tags": "y"}}',
    ),
    "backslashes": (
        "10_x/a.png 10_x/b.png", "m.json",
        r'{"10_x\\a.png": {"tags": ""},"10_x\\b.png": {"tags": ""}}', "10_x/a.png",
        r'{"10_x\\b.png": {"tags": ""}}',
    ),
    "a trainer that was started above the folder": (
        "a.png b.png", "m.jsonl", lines({"image_path": "set/a.png"}, {"image_path": "./set/b.png"}), "a.png",
        lines({"image_path": "./set/b.png"}),
    ),
    "up and down again": (
        "img/a.png img/b.png", "lists/m.jsonl", lines({"image": "../img/a.png"}, {"image": "../img/b.png"}),
        "img/b.png", lines({"image": "../img/a.png"}),
    ),
    "letters that are composed in another way": (
        "\u00e4.png b.png", "m.jsonl", lines({"image": "a\u0308.png", "text": "x"}, {"image": "B.PNG"}),
        "\u00e4.png", lines({"image": "B.PNG"}),
    ),
    "ai-toolkit": (
        "a.png b.png", "dataset.json",
        '{"a.png": {"caption": "x", "caption_short": "y"},\n"b.png": {"caption": "z"}}', "a.png",
        '{\n"b.png": {"caption": "z"}}',
    ),
    "captions alone": ("a.png b.png", "c.json", '{"a.png": "x", "b.png": "y"}', "b.png", '{"a.png": "x"}'),
    "an array of objects": (
        "a.png b.png", "c.json", '[{"image": "a.png", "n": 1.50e0}, {"image": "b.png"}]', "b.png",
        '[{"image": "a.png", "n": 1.50e0}]',
    ),
    "an array of paths": ("a.png b.png", "c.json", '[\n"a.png",\n"b.png"\n]', "a.png", '[\n"b.png"\n]'),
    "musubi, one of several": (
        "a.png b.png c.png", "v.jsonl",
        lines({"image_path_0": "a.png", "image_path_1": "b.png", "caption": "x"}, {"image_path": "c.png"}),
        "b.png", lines({"image_path": "c.png"}),
    ),
    "invoke-training": (
        "a.png b.png", "t.jsonl", '{"image":"a.png","text":"x"}\r\n\n{"text":"y","image":"b.png"}', "a.png",
        '{"text":"y","image":"b.png"}',
    ),
    "SimpleTuner, csv": (
        "a.png b.png", "meta.csv", 'id,caption\r\na,"x\r\ny"\r\nb,"z, ""z"""\r\n', "a.png",
        'id,caption\r\nb,"z, ""z"""\r\n',
    ),
    "numbers": ("1.png 2.png", "meta.csv", "id,caption\n1,x\n2,y\n", "1.png", "id,caption\n2,y\n"),
    "a column of any name": (
        "a.png b.png", "m.tsv", "what\tsaid\na.png\tx\nb.png\ty\n", "a.png", "what\tsaid\nb.png\ty\n"
    ),
    "a table without a header": ("a.png b.png", "m.csv", "a.png,x\nb.png,y\n", "a.png", "b.png,y\n"),
    "imagefolder's own where it is none": (
        "10_x/a.png 10_x/b.png", "rows.jsonl",
        lines({"file_names": ["10_x/a.png"]}, {"file_names": ["10_x/b.png"]}),
        "10_x/a.png", lines({"file_names": ["10_x/b.png"]}),
    ),
    "called like a picture": (
        "train.png b.png", "train.jsonl", lines({"image": "train.png"}, {"image": "b.png"}), "b.png",
        lines({"image": "train.png"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("names", "path", "text", "gone", "left"), REWRITTEN.values(), ids=REWRITTEN)
def test_entries_of_what_goes_go_and_the_others_stay_byte_for_byte(filtered, names, path, text, gone, left):
    run = filtered({**pictures(names), path: text}, gone)
    assert run.lists == {path: left}
    assert run.plan.left_out.keys() == {path}
    assert run.faults == {}
    assert run.why.endswith(f", listed in {path}")


@pytest.mark.parametrize(("names", "path", "text"), [row[:3] for row in REWRITTEN.values()], ids=REWRITTEN)
def test_a_list_of_which_nothing_goes_is_as_it_was_and_an_emptied_one_is_not_written(
    kit, tmp_path, names, path, text
):
    other = "10_x/other.png" if names.startswith("10_x/") else "other.png"
    files = {**pictures(names), other: PICTURE, path: text}
    run = Filtered(kit, tmp_path / "whole", files, other)
    assert run.lists == {path: text}
    assert run.plan.left_out == {}
    assert Filtered(kit, tmp_path / "emptied", files, *names.split()).output.keys() == {other}


def test_absolute_names_below_the_dataset_are_its_own(filtered, tmp_path):
    keys = [f"{tmp_path}/set/10_x/{stem}.png" for stem in "ab"]
    text = json.dumps({key: {"caption": key} for key in keys})
    run = filtered({**pictures("10_x/a.png 10_x/b.png"), "meta.json": text}, "10_x/a.png")
    assert json.loads(run.lists["meta.json"]) == {keys[1]: {"caption": keys[1]}}


def test_absolute_names_by_way_of_a_link_are_its_own(kit, tmp_path):
    keys = [f"{tmp_path}/link/a.png", f"{tmp_path}/real/b.png"]
    text = lines(*({"image": key} for key in keys))
    kit.plant(tmp_path / "real", {**pictures("a.png b.png"), "m.jsonl": text})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    dataset = detect(tmp_path / "link")
    [meta] = dataset.metadata
    assert [row.files for row in meta.rows] == [{"a.png"}, {"b.png"}]


TOGETHER = {
    # what: (files, what goes, what else goes)
    "the control picture of an entry that goes": (
        [{"image_path": "a.png", "control_path": "c.png"}, {"image_path": "b.png", "control_path": "d.png"}],
        "a.png", "c.png",
    ),
    "the picture of a control picture that goes": (
        [
            {"image_path": "a.png", "control_path_0": "c.png"},
            {"image_path": "b.png", "control_path_1": "d.png"},
        ],
        "c.png", "a.png",
    ),
    "a control picture that another entry needs stays": (
        [{"image_path": "a.png", "control_path": "c.png"}, {"image_path": "b.png", "control_path": "c.png"}],
        "a.png", "",
    ),
    "on and on, by way of a mask": (
        [
            {"image_path": "a.png", "control_path": "c.png"},
            {"image_path": "b.png", "control_path": "a_mask.png"},
        ],
        "c.png", "a.png a_mask.png b.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "gone", "more"), TOGETHER.values(), ids=TOGETHER)
def test_files_that_only_lost_entries_name_go_along(filtered, rows, gone, more):
    named = {name for row in rows for name in row.values()}
    run = filtered({**dict.fromkeys([*named, "e.png"], PICTURE), "m.jsonl": lines(*rows)}, gone)
    assert run.plan.gone.keys() == {gone, *more.split()}
    left = [row for row in rows if run.plan.gone.keys().isdisjoint(row.values())]
    assert run.lists == ({"m.jsonl": lines(*left)} if left else {})


def test_two_lists_of_the_same_pictures_are_both_rewritten(filtered):
    rows = {f"{stem}.png": {"caption": stem} for stem in "ab"}
    one, other = json.dumps(rows), lines(*({"image": key} for key in rows))
    run = filtered({**pictures("a.png b.png"), "meta_cap.json": one, "t.jsonl": other}, "b.png")
    assert run.lists == {"meta_cap.json": '{"a.png": {"caption": "a"}}', "t.jsonl": lines({"image": "a.png"})}
    assert run.why.endswith(", listed in meta_cap.json, t.jsonl")


def test_a_name_that_could_mean_two_pictures_goes_with_either_and_takes_neither_along(filtered):
    files = pictures("cats/1.png dogs/1.png dogs/2.png") | {
        "meta.json": '{"1": {"caption": "x"},"2": {"caption": "y"}}'
    }
    run = filtered(files, "dogs/1.png")
    assert run.plan.gone.keys() == {"dogs/1.png"}
    assert run.lists == {"meta.json": '{"2": {"caption": "y"}}'}


def test_a_list_means_the_pictures_of_its_own_folder_when_all_are_there(filtered):
    rows = lines({"image": "1.png"}, {"image": "2.png"})
    files = pictures("cats/1.png cats/2.png dogs/1.png dogs/2.png") | {
        "cats/m.jsonl": rows,
        "dogs/m.jsonl": rows,
    }
    run = filtered(files, "dogs/1.png")
    assert run.lists == {"cats/m.jsonl": rows, "dogs/m.jsonl": lines({"image": "2.png"})}


def test_the_addresses_of_an_entry_are_asked_for_its_picture(filtered):
    rows = [
        {"control_path": "c.png", "image_path": "b.png", "url": "https://three.example/"},
        {"image_path": "a.png", "url": "https://one.example/", "image_url": "https://two.example/"},
    ]
    run = filtered({**pictures("a.png b.png c.png"), "m.jsonl": lines(*rows)})
    assert run.samples["a.png"].urls == ("https://one.example/", "https://two.example/")
    assert run.samples["b.png"].urls == ("https://three.example/",)
    assert run.samples["c.png"].urls == ()


MISSING = {
    "a name": (
        "m.jsonl", lines({"image": "a.png"}, {"image": "x/gone.png"}), "x/gone.png", lines({"image": "a.png"})
    ),
    "a stem": ("m.json", '{"a": {"tags": "x"},"007": {"tags": "y"}}', "007.*", '{"a": {"tags": "x"}}'),
    "below the list's folder": (
        "sub/m.csv", "image,text\n../a.png,x\ngone.jpg,y\n", "sub/gone.jpg", "image,text\n../a.png,x\n"
    ),
    "a control picture": (
        "m.jsonl", lines({"image": "a.png"}, {"image": "b.png", "control_path": "gone.png"}), "gone.png",
        lines({"image": "a.png"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "text", "key", "left"), MISSING.values(), ids=MISSING)
def test_an_entry_that_names_a_missing_file_is_set_aside_and_told(filtered, path, text, key, left):
    run = filtered({**pictures("a.png b.png"), path: text})
    assert run.faults == {key: "named in the metadata, but not there"}
    assert run.lists == {path: left}


REFUSED = {
    # what: (path, text, what the reason says)
    "cut off": ("m.json", '{"a.png": {"caption": "x"}, "b.p', "m.json: not JSON"),
    "a line cut off": ("m.jsonl", '{"image": "b.png"}\n{"image": "a.', "m.jsonl, line 2: not JSON"),
    "a line that is no object": ("m.jsonl", '{"image": "b.png"}\n["a.png"]\n', "line 2: expected an object"),
    "a member that stands twice": (
        "m.json",
        '{"b.png": {"caption": "x"}, "b.png": {"caption": "secret"}}',
        "stands twice",
    ),
    "not UTF-8": ("m.json", b'{"b.png": {"caption": "\xff"}}', "not UTF-8: byte 23"),
    "not UTF-8, but CSV": ("m.csv", b"image,text\nb.png,\xff\n", "not UTF-8"),
    "a quote left open": ("m.csv", 'image,text\nb.png,"x\n', "unexpected end of data"),
    "outside, absolute": ("m.jsonl", lines({"image": "b.png"}, {"image": "/far/a.png"}), "names /far/a.png"),
    "outside, all of them": ("m.jsonl", lines({"image": "/far/b.png"}), "outside of the dataset"),
    "outside, on Windows": ("m.json", r'{"C:\\set\\b.png": {"caption": "x"}}', r"names C:\set\b.png"),
    "outside, upwards": ("m.csv", "image\nb.png\n../a.png\n", "names ../a.png"),
    "outside, by a name that begins alike": ("m.jsonl", "OUTSIDE", "outside of the dataset"),
    "an entry without a picture": (
        "m.jsonl",
        lines({"image": "b.png"}, {"text": "x"}),
        "entry 2: it names no picture",
    ),
    "stems without a header": ("m.csv", "a,x\nb,y\n", "no header: its first row names a"),
}


@pytest.mark.parametrize(("path", "text", "says"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("gone", [(), ("a.png",)], ids=["nothing goes", "a picture goes"])
def test_a_list_that_cannot_be_vouched_for_is_left_out_whole(filtered, tmp_path, path, text, says, gone):
    if text == "OUTSIDE":
        text = lines({"image": "b.png"}, {"image": f"{tmp_path}/settings/a.png"})
    run = filtered({**pictures("a.png b.png"), path: text}, *gone)
    assert run.lists == {}
    assert says in run.plan.left_out[path]
    assert run.faults == {}
    assert "listed in" not in run.why


NO_LISTS = {
    "settings": ("config.json", '{"cat": {"repeats": 10}, "lr": 1e-4, "prompt": "a cat.png of sorts"}'),
    "settings of a folder": ("config.json", '{"image_dir": "/somewhere", "sample": {"image": "/far/x.png"}}'),
    "captions that are stems": ("notes.csv", "text,n\ncat,1\ndog,2\n"),
    "addresses": ("urls.csv", "url,caption\nhttps://free.example/a.png,x\n"),
    "a caption that begins like a path": ("p.jsonl", '{"text": "/imagine a cat"}\n'),
    "other files": ("far.jsonl", '{"image": "nowhere.png"}\n'),
    "nothing": ("empty.json", ""),
    "white space": ("empty.jsonl", " \n"),
    "an empty object": ("empty.json", "{}"),
    "an empty array": ("empty.json", " [ ]\n"),
    "a number": ("n.json", "5"),
    "a head alone": ("h.csv", "image,text\n"),
    "what img2dataset writes beside a picture": ("cat.json", '{"url": "x", "key": "cat", "caption": "dog"}'),
    "a caption that is not JSON": ("cat.json", "a cat, {sleeping"),
}


@pytest.mark.parametrize(("path", "text"), NO_LISTS.values(), ids=NO_LISTS)
def test_what_only_looks_like_a_list_stays_as_it_was(filtered, path, text):
    run = filtered({**pictures("cat.png other.png"), path: text}, "other.png")
    assert run.lists == {path: text}
    assert run.faults == run.plan.left_out == {}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("settings.json", '{"validation": "other.png"}'),
        ("files.toml", 'files = ["/far/other.png"]'),
        ("files.txt", "other.png\n"),
        ("cat.json", '{"like": "other.png"}'),
        ("m.csv", "what,text\ncat,x\nother,secret\nnowhere,z\n"),
        ("m.tsv", "text\twhat\r\nsecret\tx/other\r\ny\tnowhere\r\n"),
    ],
)
def test_a_text_that_is_no_list_but_names_what_goes_is_left_out(filtered, path, text):
    run = filtered({**pictures("cat.png other.png"), path: text}, "other.png")
    assert run.lists == {}
    assert run.plan.left_out == {path: "names other.png, and lists of this kind are not rewritten"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("train.jsonl", lines({"image": "train.png"}, {"image": "/far/b.png"})),
        ("train.json", '{"train.png": {"tags": ""}, "/far/b.png": {"tags": ""}}'),
        ("train.csv", 'image,text\ntrain.png,"'),
    ],
)
def test_a_list_called_like_a_picture_is_held_to_the_same(filtered, path, text):
    run = filtered({**pictures("train.png"), path: text})
    assert run.output.keys() == {"train.png"}
    assert run.plan.left_out.keys() == {path}


def test_a_name_is_known_in_its_escaped_form_too(filtered):
    files = {**pictures("a.png \u00e4.png"), "odd.json": json.dumps({"v": 1, "x": ["\u00e4.png"]})}
    assert "\u00e4" not in files["odd.json"]
    assert filtered(files, "\u00e4.png").output.keys() == {"a.png"}


def test_a_link_to_nothing_is_told(filtered, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/m.json").symlink_to("gone")
    run = filtered(pictures("a.png"))
    assert run.output.keys() == {"a.png"}
    assert "No such file" in run.plan.left_out["m.json"]


def test_a_huge_list_is_not_read_and_not_copied(filtered, monkeypatch):
    monkeypatch.setattr("registry.client.formats.lists.MAX_LIST_BYTES", 10)
    run = filtered({**pictures("a.png"), "m.json": '{"a.png": {}}', "n.json": "{}"})
    assert run.lists == {"n.json": "{}"}
    assert "m.json is over 10 bytes" in run.plan.left_out["m.json"]


def test_the_index_of_buckets_never_comes_along(filtered):
    index = "aspect_ratio_bucket_indices_my-set.json"
    run = filtered({**pictures("a.png"), index: '{"1.0": ["a.png"]}'})
    assert run.output.keys() == {"a.png"}


# Parquet.

COLUMNS = {"id": ["a", "b", "c"], "caption": ["x", "y", "z"], "size": [1, 2, 3]}


@pytest.mark.parametrize(
    "named",
    [
        {"id": ["a", "b", "c"]},
        {"filename": ["a.png", "b.png", "c.png"]},
        {"what": [["a.png"], ["b.png", "c.png"], ["c.png"]]},
        {"id": pa.array(["a", "b", "c"], pa.large_string())},
    ],
    ids=["stems", "names", "lists", "large strings"],
)
def test_parquet_keeps_its_schema_its_metadata_and_the_other_rows(filtered, named):
    data = parquet({**named, "caption": ["x", "y", "z"]}, {"huggingface": "{}", "mine": "kept"})
    run = filtered({**pictures("a.png b.png c.png"), "meta/captions.parquet": data}, "a.png")
    before = pq.read_table(io.BytesIO(data))
    after = pq.read_table(io.BytesIO(run.output["meta/captions.parquet"]))
    assert after.equals(before.slice(1))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert run.plan.left_out == {"meta/captions.parquet": "1 of 3 rows"}


def test_parquet_of_which_nothing_or_all_goes(kit, tmp_path):
    data = parquet(COLUMNS)
    files = {**pictures("a.png b.png c.png d.png"), "m.parquet": data}
    assert Filtered(kit, tmp_path / "whole", files, "d.png").output["m.parquet"] == data
    emptied = Filtered(kit, tmp_path / "emptied", files, "a.png", "b.png", "c.png")
    assert emptied.output.keys() == {"d.png"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PAR1", "not a parquet file that can be read"),
        (parquet({"image": ["a.png", "/far/b.png"]}), "names /far/b.png, which lies outside"),
        (parquet({"url": ["https://free.example/"]}), "a kind of file that cannot be checked"),
        (parquet({"image": [b"a.png"]}), "a kind of file that cannot be checked"),
    ],
    ids=["damaged", "outside", "no list", "bytes"],
)
def test_other_parquet_is_set_aside_with_the_reason(filtered, data, says):
    run = filtered({**pictures("a.png"), "m.parquet": data})
    assert says in run.faults["m.parquet"]
    assert run.output.keys() == {"a.png"}


def test_a_small_parquet_file_with_a_huge_column_is_not_read(filtered, monkeypatch):
    monkeypatch.setattr("registry.client.formats.parquet_entries.MAX_COLUMN_BYTES", 1 << 20)
    data = parquet({"image": ["a.png"] * 20, "caption": ["x" * 100_000] * 20})
    assert len(data) < 1 << 16
    run = filtered({**pictures("a.png"), "m.parquet": data})
    assert "over 1,048,576 bytes unpacked: the columns caption" in run.faults["m.parquet"]


# Laws.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEPT = st.sets(st.integers(0, 5)).map(frozenset)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=6) | st.lists(JSON, min_size=1, max_size=6),
       KEPT, st.sampled_from([None, 0, 2, "\t"]), st.booleans())  # fmt: skip
def test_json_without_some_entries_is_the_json_of_the_others(whole, lost, indent, ascii_only):
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    source = TextSource(data, parse_entries(data, "m.json"))
    assert source.without(frozenset()) == data
    left = source.without(lost)
    if isinstance(whole, dict):
        expected = {key: value for n, (key, value) in enumerate(whole.items()) if n not in lost}
        assert list(json.loads(left)) == list(expected)
    else:
        expected = [value for n, value in enumerate(whole) if n not in lost]
    assert json.loads(left) == expected


PART = st.sampled_from(["a", "b", "..", ".", "c.d", "e.png"])


@given(st.lists(PART).map("/".join), st.lists(PART).map("/".join))
def test_a_path_without_dots_stays_below_and_is_itself(folder, name):
    found = below(folder, name)
    if found is not None:
        assert not {".", ".."} & set(PurePosixPath(found).parts)
        assert below("", found) == found
        assert not found.startswith("/")


STEMS = st.lists(st.sampled_from(["a", "b", "ä", "a.b", "_1", "-"]), min_size=1, max_size=3).map("/".join)


@given(st.sets(STEMS, min_size=1, max_size=6), st.data())
def test_every_picture_is_meant_by_its_path_its_stem_and_the_end_of_its_path(stems, data):
    files = sorted(f"{stem}.png" for stem in stems)
    names = Names(("/data/set",), files)
    path = data.draw(st.sampled_from(files))
    cut = data.draw(st.integers(0, path.count("/")))
    end = path.split("/", cut)[-1]
    for name in (path, path.removesuffix(".png"), f"/data/set/{path}", path.replace("/", "\\")):
        assert path in names.at(name, "")
    for name in (end, f"set/{path}"):
        assert path in names.anywhere(name, "elsewhere")
