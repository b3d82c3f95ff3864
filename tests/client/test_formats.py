"""Which format a path holds: said with its reason, and never guessed between two."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client.formats import FORMATS, Table, detect
from registry.client.formats.folder import walk
from registry.errors import DatasetError, FormatError

PICTURE = "no need to decode it here"
URLS = "url,caption\nhttps://free.example/,x\n"

SEEN = {
    # files: (wanted, format, what the reason names)
    "a.jpg": ("auto", "folder", "1 pictures, a.jpg"),
    "deep/down/a.WEBP": ("auto", "folder", "deep/down/a.WEBP"),
    "a.jpg a.txt b.png b.npz README.md": ("auto", "folder", "2 pictures"),
    "a.jxl": ("auto", "folder", "a.jxl"),
    "10_cat/a.jpg": ("auto", "kohya", "10_cat/"),
    "1_/a.jpg 2_dog/b.jpg config.toml": ("auto", "kohya", "1_/"),
    "x/10_cat/a.jpg": ("auto", "folder", "x/10_cat/a.jpg"),
    "10cat/a.jpg": ("auto", "folder", "10cat/a.jpg"),
    "metadata.jsonl a.jpg": ("auto", "imagefolder", "metadata.jsonl"),
    "train/metadata.csv train/a.jpg test/b.jpg": ("auto", "imagefolder", "train/metadata.csv"),
    "metadata.parquet a.jpg": ("auto", "imagefolder", "metadata.parquet"),
    "metadata.jsonl a.jpg test_": ("imagefolder", "imagefolder", "metadata.jsonl"),
    "10_cat/a.jpg loose.jpg": ("kohya", "kohya", "10_cat/"),
    "10_cat/a.jpg loose.jpg ": ("folder", "folder", "loose.jpg"),
    "10_cat/a.jpg metadata.jsonl": ("imagefolder", "imagefolder", "metadata.jsonl"),
    "00000.tar 00001.tar 00000.parquet": ("auto", "webdataset", "2 shards, 00000.tar the first"),
    "00000.tar a.jpg": ("webdataset", "webdataset", "00000.tar"),
    ".hidden/metadata.jsonl .b.jpg a.jpg": ("auto", "folder", "1 pictures, a.jpg"),
}


@pytest.mark.parametrize(("files", "wanted", "name", "why"), [(k, *v) for k, v in SEEN.items()], ids=SEEN)
def test_a_folder_is_taken_for_what_it_shows(tmp_path, kit, files, wanted, name, why):
    kit.plant(tmp_path, dict.fromkeys(files.split(), PICTURE))
    found = detect(tmp_path, wanted)
    assert (found.name, isinstance(found, Table)) == (name, False)
    assert why in found.why


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", URLS, "has a header with url"),
        ("A.CSV", URLS.replace("url", "URL"), "has a header with URL"),
        ("a.csv", "caption, Image_URL \nx,https://free.example/\n", "Image_URL"),
        ("a.csv", "\ufeffsrc,text\n", "has a header with src"),
        ("a.tsv", "text\turl\nx\thttps://free.example/\n", "has a header with url"),
        ("a.csv", "img_url,url\n", "img_url and url"),
    ],
)
def test_a_table_is_taken_by_its_name_and_its_column_of_urls(tmp_path, kit, name, text, why):
    kit.plant(tmp_path, {name: text})
    found = detect(tmp_path / name)
    assert (found.name, isinstance(found, Table)) == (name.lower()[-3:], True)
    assert why in found.why


def test_a_parquet_file_is_taken_by_its_column_of_urls(tmp_path):
    pq.write_table(pa.table({"TEXT": ["x"], "URL": ["https://free.example/"]}), tmp_path / "a.parquet")
    found = detect(tmp_path / "a.parquet")
    assert (found.name, isinstance(found, Table), found.why) == ("parquet", True, "has URL")


REFUSED = {
    # what: (files, path, wanted, what the message says)
    "nothing there": ({}, "gone", "auto", "gone is not there"),
    "an empty folder": ({}, "", "auto", "no pictures below"),
    "no pictures": ({"a.txt": "x", "notes/b.md": "x"}, "", "auto", "no pictures below"),
    "hidden pictures only": ({".a.jpg": PICTURE}, "", "auto", "no pictures below"),
    "packed shards": ({"00000.tar.gz": "x"}, "", "auto", "00000.tar.gz is a compressed tar archive"),
    "zip shards": ({"a/0.zip": "x"}, "", "auto", "0.zip, and shards are not read"),
    "two kinds of tables": ({"a.csv": "url", "b.tsv": "url"}, "", "auto", "two formats at once"),
    "kohya and loose": ({"1_a/a.jpg": PICTURE, "b.jpg": PICTURE}, "", "auto", "two formats at once"),
    "kohya and metadata": ({"1_a/a.jpg": PICTURE, "metadata.jsonl": ""}, "", "auto", "two formats at once"),
    "a file of another kind": ({"a.rar": "x"}, "a.rar", "auto", "no dataset that is read here"),
    "a single picture": ({"a.jpg": PICTURE}, "a.jpg", "auto", "no dataset that is read here"),
    "a format nobody knows": ({"a.jpg": PICTURE}, "", "avro", "no format 'avro'"),
    "shards wanted of a folder": ({"a.jpg": PICTURE}, "", "webdataset", "not of format webdataset"),
    "kohya wanted": ({"a.jpg": PICTURE}, "", "kohya", "not of format kohya: it has 1 pictures"),
    "imagefolder wanted": ({"a.jpg": PICTURE}, "", "imagefolder", "not of format imagefolder"),
    "csv wanted of a folder": ({"a.jpg": PICTURE}, "", "csv", "not of format csv"),
    "folder wanted of a csv": ({"a.csv": URLS}, "a.csv", "folder", "not of format folder: it ends in .csv"),
    "an empty csv": ({"a.csv": ""}, "a.csv", "auto", "is empty"),
    "no url column": ({"a.csv": "a,b\n1,2\n"}, "a.csv", "auto", "no column of URLs; its columns are a, b"),
    "a csv that is not UTF-8": ({"a.csv": b"url\n\xff\n"}, "a.csv", "auto", "not UTF-8"),
    "a csv of one huge field": ({"a.csv": "url," + "x" * (1 << 20) + "x\n"}, "a.csv", "auto", "line 1"),
    "a parquet that is none": ({"a.parquet": "PAR1"}, "a.parquet", "auto", "not a parquet file"),
    "an empty parquet": ({"a.parquet": ""}, "a.parquet", "auto", "not a parquet file"),
}


@pytest.mark.parametrize(("files", "path", "wanted", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_sure_is_refused_with_the_place(tmp_path, kit, files, path, wanted, says):
    kit.plant(tmp_path, files)
    with pytest.raises(DatasetError) as caught:
        detect(tmp_path / path, wanted)
    assert says in caught.value.message
    assert str(tmp_path) in caught.value.message or "no format" in says


def test_two_formats_at_once_are_both_named_with_the_way_out(tmp_path, kit):
    kit.plant(tmp_path, {"1_a/a.jpg": PICTURE, "b.jpg": PICTURE})
    with pytest.raises(FormatError) as caught:
        detect(tmp_path)
    assert "(kohya)" in caught.value.message
    assert "(folder)" in caught.value.message
    assert caught.value.hint == "Say which: --format kohya or --format folder."


def test_a_parquet_file_without_urls_names_its_columns(tmp_path):
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="its columns are text"):
        detect(tmp_path / "a.parquet")


def test_a_link_to_a_folder_is_refused_since_what_lies_behind_would_be_passed_over(tmp_path, kit):
    kit.plant(tmp_path, {"set/a.jpg": PICTURE, "far/b.jpg": PICTURE})
    (tmp_path / "set/linked").symlink_to(tmp_path / "far")
    with pytest.raises(DatasetError, match="set/linked is a link to a folder") as caught:
        detect(tmp_path / "set")
    assert caught.value.hint


def test_hidden_files_are_passed_over_and_the_order_is_stable(tmp_path, kit):
    kit.plant(tmp_path, dict.fromkeys(["b/x.jpg", "a.jpg", ".aitk_size.json", ".cache/z.jpg", "B.jpg"], ""))
    assert walk(tmp_path) == ["B.jpg", "a.jpg", "b/x.jpg"]


METADATA = {
    # what: (name, text, what the message says)
    "not JSON": (
        "metadata.jsonl",
        '{"file_name": "a.jpg"}\n{"file_name": \n',
        "metadata.jsonl, line 2: not JSON: Expecting value at column 15",
    ),
    "a list": ("metadata.jsonl", "[]\n", "line 1: expected an object"),
    "no file_name": ("metadata.jsonl", '{"text": "x"}\n', "line 1: no file_name"),
    "a number": ("metadata.jsonl", '{"file_name": 5}\n', "line 1: not a relative path"),
    "absolute": ("metadata.jsonl", '{"file_name": "/etc/passwd"}\n', "not a relative path"),
    "out of the set": ("metadata.jsonl", '{"file_name": "../a.jpg"}\n', "leads out of the dataset"),
    "out of the set, below": (
        "sub/metadata.jsonl",
        '{"file_name": "../../a.jpg"}\n',
        "leads out of the dataset",
    ),
    "backslashes": ("metadata.jsonl", '{"file_name": "sub\\\\a.jpg"}\n', "with slashes"),
    "a name that stands twice": (
        "metadata.jsonl",
        '{"file_name": "a.jpg", "file_name": "b.jpg"}\n',
        "line 1: the member 'file_name' stands twice",
    ),
    "a parquet file that is none": ("metadata.parquet", "PAR1", "not a parquet file that can be read"),
    "an empty parquet file": ("sub/metadata.parquet", "", "not a parquet file that can be read"),
    "not UTF-8": ("metadata.jsonl", b'{"file_name": "\xff.jpg"}\n', "not UTF-8: byte 15"),
    "an empty csv": ("metadata.csv", "", "metadata.csv is empty"),
    "csv without file_name": ("metadata.csv", "text\nx\n", "line 2: no file_name"),
    "csv with a quote left open": ("metadata.csv", 'file_name,text\na.jpg,"x\n', "unexpected end of data"),
}


@pytest.mark.parametrize(("name", "text", "says"), METADATA.values(), ids=METADATA)
def test_metadata_that_cannot_be_read_is_refused_with_file_and_line(tmp_path, kit, name, text, says):
    kit.plant(tmp_path, {"a.jpg": PICTURE, name: text})
    with pytest.raises(DatasetError) as caught:
        list(detect(tmp_path).samples())
    assert says in caught.value.message
    assert str(tmp_path / name) in caught.value.message


def test_every_format_says_what_it_is():
    assert all(FORMATS.values())
