"""Zip archives of pictures: what goes when a work goes, and what hostile members do."""

import io
import json
import struct
import warnings
import zipfile

import pytest

from registry.client import Options, filter_dataset
from registry.client.formats import detect
from registry.errors import DatasetError
from registry.preference import Action


def packed(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def contents(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {one.filename: archive.read(one) for one in archive.infolist()}


@pytest.fixture
def filtered(fake, unknown, client_of, tmp_path):
    """Filter bytes as a zip, with a registry that knows nothing."""

    def run(data, **options):
        (tmp_path / "set.zip").write_bytes(data)
        client = client_of(fake(unknown).url)
        return filter_dataset(
            tmp_path / "set.zip",
            tmp_path / "clean.zip",
            [client],
            **({"options": Options(workers=1)} | options),
        )

    return run


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_removed_picture_goes_with_all_that_is_of_its_stem(live, copies, kit, tmp_path, method):
    kept = {"10_cat/a.png": kit.free(1), "10_cat/a.txt": b"a", "c.png": kit.free(2), "README.md": b"words"}
    gone = {
        "10_cat/b.jpg": copies["jpeg"], "10_cat/b.txt": b"b", "10_cat/b_0064x0064_sdxl.npz": b"latents",
        "10_cat/b-masklabel.png": kit.free(3), "d.webp": copies["square"], "list.txt": b"d.webp",
        "meta.json": b'{"10_cat/b": {"caption": "by its stem"}}',
    }  # fmt: skip
    (tmp_path / "set.zip").write_bytes(packed({**kept, **gone}.items(), method))
    with live.client() as client:
        summary = filter_dataset(
            tmp_path / "set.zip", tmp_path / "clean.zip", [client], options=Options(workers=1)
        )
    assert contents(tmp_path / "clean.zip") == kept
    assert (summary.format, summary.kept, summary.errors) == ("zip", 2, 0)
    with zipfile.ZipFile(tmp_path / "clean.zip") as archive:
        assert {one.compress_type for one in archive.infolist()} == {method}
    assert (tmp_path / "clean.zip.caveat/report.html").read_text("utf-8").count("<img") == 3


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


HOSTILE = {
    # what: (members, the name that is set aside, what is said)
    "leads out": ([("../b.png", b"x")], "../b.png", "leads out"),
    "absolute": ([("/b.png", b"x")], "/b.png", "leads out"),
    "a link": ([(link("b.png"), b"/etc/passwd")], "b.png", "a link or device"),
    "a name twice": ([("b.png", b"x"), ("b.png", b"y")], "b.png", "occurs twice"),
    "a bomb": ([("b.png", bytes(3 << 20))], "b.png", "more than 200 times"),
    "a text bomb": ([("b.txt", bytes(3 << 20))], "b.txt", "more than 200 times"),
    "no picture": ([("b.png", b"x")], "b.png", "not a picture"),
    "an unknown kind": ([("b.mp4", b"x")], "b.mp4", "cannot be checked"),
    "a caption of another kind": ([("b.png", b"x"), ("b.txt", b"\xff")], "b.png", "picture"),
}


@pytest.mark.parametrize(("members", "name", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_member_is_set_aside_by_name_and_the_rest_is_complete(
    tmp_path, filtered, kit, members, name, says
):
    good = {"a.png": kit.free(1), "a.txt": b"a"}
    summary = filtered(packed([*good.items(), *members]))
    [error] = [v for v in summary.notable if v.action is Action.ERROR]
    assert error.sample.key == name
    assert says in error.reason
    assert contents(tmp_path / "clean.zip") == good


def patched(data, name, at, value, *, central=True):
    """Change a field of a member's entry in the directory (or in its own header)."""
    mark = b"PK\x01\x02" if central else b"PK\x03\x04"
    place = data.index(name.encode(), data.index(mark)) - (46 if central else 30)
    return data[: place + at] + value + data[place + at + len(value) :]


PATCHED = {
    # what: (offset in the directory's entry, value, what is said)
    "encrypted": (8, struct.pack("<H", 1), "encrypted"),
    "another method": (10, struct.pack("<H", 14), "a method that is not read"),
    "another checksum": (16, struct.pack("<I", 1), "its checksum is another"),
    "a longer size": (24, struct.pack("<I", 400_000), "unpacks to another size"),
    "a shorter size": (24, struct.pack("<I", 4), "unpacks to another size"),
    "10 GB": (24, struct.pack("<I", 0xF0000000), "larger than 512 MiB"),
    "overlapping": (20, struct.pack("<I", 1 << 20), "overlaps"),
    "another's header": (42, struct.pack("<I", 0), "header is not the one"),
}


@pytest.mark.parametrize(("at", "value", "says"), PATCHED.values(), ids=PATCHED)
def test_a_directory_that_lies_sets_its_member_aside(tmp_path, filtered, kit, at, value, says):
    good = {"a.png": kit.free(1), "z.png": kit.free(2)}
    data = packed([("a.png", good["a.png"]), ("b.png", kit.free(3)), ("z.png", good["z.png"])])
    summary = filtered(patched(data, "b.png", at, value))
    errors = {v.sample.key: v.reason for v in summary.notable if v.action is Action.ERROR}
    assert says in errors["b.png"]
    assert "b.png" not in contents(tmp_path / "clean.zip")
    if at != 42:
        assert contents(tmp_path / "clean.zip") == good


REFUSED = {
    # what: (bytes, what is said)
    "0 bytes": (b"", "not a zip archive"),
    "no archive": (b"x" * 1000, "not a zip archive"),
    "cut off": (packed([("a.png", b"x" * 100)])[:-10], "not a zip archive"),
    "with metadata": (packed([("metadata.jsonl", b"{}")]), "metadata in a zip archive is not read"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_zip_of_pictures_is_refused(tmp_path, data, says):
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(DatasetError, match=says):
        detect(tmp_path / "set.zip")


def test_what_a_picture_in_a_zip_says_itself_is_read(tmp_path, filtered, kit):
    summary = filtered(packed([("a.png", kit.free(1)), ("b.png", kit.free(2)), ("b.xmp", b"<broken")]))
    assert {v.sample.key: v.action for v in summary.notable} == {"b.png": Action.ERROR}
    assert contents(tmp_path / "clean.zip").keys() == {"a.png"}
    lines = (tmp_path / "clean.zip.caveat/decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["keep", "error"]
