"""Damaged pictures, odd folders, registries that fail half-way: nothing is lost in silence."""

import json
import os
import signal
import struct
import time
import zlib

import pytest

from registry.client import Options, Progress, filter_dataset
from registry.client.formats import files as files_module
from registry.errors import (
    DatasetError,
    FormatError,
    RegistryAnswerError,
    RegistryError,
    RegistryUnreachableError,
)
from registry.preference import Action


def huge_header() -> bytes:
    """A PNG that claims 20,000 × 10,000 pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


BAD = {
    # name: (what stands in it, what the reason says)
    "cut.jpg": ("cut off", "damaged or cut off"),
    "text.jpg": ("just text", "not a picture"),
    "html.png": ("<!doctype html>", "not a picture"),
    "empty.jpg": ("", "not a picture"),
    "huge.png": (huge_header(), "the picture is too large"),
    "new.jxl": (b"\xff\x0a\xfa\x7f\x01\x90\x08\x06\x01", "not a picture"),
    "photo.heic": (b"\x00\x00\x00\x18ftypheic", "not a picture"),
    "drawing.svg": ("<svg/>", "cannot be checked"),
    "movie.mp4": ("x", "cannot be checked"),
}


@pytest.fixture
def run(tmp_path, client_of, fake):
    """Filter ``set`` to ``clean`` against a registry that knows of nothing."""

    def go(*registries, **options):
        registries = registries or (client_of(fake().url),)
        options.setdefault("options", Options(workers=1))
        return filter_dataset(tmp_path / "set", tmp_path / "clean", registries, **options)

    return go


def test_what_cannot_be_read_is_set_aside_with_its_reason_and_the_rest_is_written(tmp_path, kit, run, copies):
    files = {name: content for name, (content, _) in BAD.items()} | {"cut.jpg": copies["jpeg"][:-2000]}
    good = {"good.png": kit.free(1), "good.txt": b"fine"}
    beside = {"cut.txt": "caption of a picture that is set aside"}
    gone, odd = {"gone.png": b""}, {"caption.png": kit.free(2), "caption.txt": b"caf\xe9"}
    source = kit.plant(tmp_path / "set", files | good | beside | odd)
    (source / "gone.png").symlink_to("nowhere")
    before = kit.tree(source)
    summary = run()
    assert kit.tree(tmp_path / "clean") == good
    assert kit.tree(source) == before
    says = {v.sample.key: v.reason for v in summary.notable if v.action is Action.ERROR}
    assert says.keys() == files.keys() | gone.keys() | {"caption.png"}
    wanted = {name: text for name, (_, text) in BAD.items()} | {"gone.png": "cannot be read: No such file"}
    wanted |= {"caption.png": "its caption caption.txt is not UTF-8: byte 3"}
    assert {name: reason for name, reason in says.items() if wanted[name] not in reason} == {}
    assert summary.left_out.keys() == {"cut.txt", "caption.txt"}


def test_a_picture_that_the_system_will_not_read_is_set_aside(tmp_path, kit, run, monkeypatch):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "locked.png": kit.free(2)})
    read = type(source).read_bytes

    def refusing(path):
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(type(source), "read_bytes", refusing)
    assert [v.reason for v in run().notable] == ["cannot be read: Permission denied"]
    monkeypatch.undo()
    assert kit.tree(tmp_path / "clean").keys() == {"a.png"}


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1), "x.jpg/b.png": kit.free(2)})
    run()
    assert kit.tree(tmp_path / "clean").keys() == {"a.png", "x.jpg/b.png"}


def test_stop_on_error_names_the_item_and_writes_nothing(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1), "text.jpg": "text"})
    with pytest.raises(DatasetError, match=r"text\.jpg: not a picture.*nothing was written") as caught:
        run(options=Options(workers=1, stop_on_error=True))
    assert "--on-error set-aside" in caught.value.hint
    assert kit.leftovers(tmp_path, "set") == set()


@pytest.mark.parametrize("status", ["error", "malformed", "not_checked"])
def test_an_item_that_the_registry_could_not_check_is_not_kept(
    tmp_path, kit, run, fake, client_of, unknown, status
):
    def script(body):
        code, answer, headers = unknown(body)
        answer["results"][0] |= {"status": status, "preference": None, "reason": "the index is behind"}
        return code, answer, headers

    kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.png": kit.free(2)})
    summary = run(client_of(fake(script).url))
    assert [(v.sample.key, v.reason) for v in summary.notable] == [("a.png", "the index is behind")]
    assert kit.tree(tmp_path / "clean").keys() == {"b.png"}
    assert (
        json.loads((tmp_path / "clean.caveat/decisions.jsonl").read_text().splitlines()[0])["status"]
        == status
    )


def short(body):
    return 200, {"as_of_seq": 7, "results": []}, {}


FAILING = {
    "answers 500": (lambda body: (500, b"", {}), RegistryUnreachableError),
    "answers short": (short, RegistryAnswerError),
    "answers in HTML": (lambda body: (200, b"<html>", {}), RegistryAnswerError),
    "breaks off": (lambda body: "cut", RegistryUnreachableError),
}


@pytest.mark.parametrize("others", ["alone", "first of two", "second of two"])
@pytest.mark.parametrize(("script", "error"), FAILING.values(), ids=FAILING)
def test_a_registry_that_fails_ends_the_run_with_nothing_written(
    tmp_path, kit, run, fake, client_of, script, error, others
):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    before = kit.tree(source)
    failing = fake(script)
    registries = [client_of(failing.url)]
    if others != "alone":
        registries.insert(others == "first of two", client_of(fake().url))
    with pytest.raises(error, match=failing.url) as caught:
        run(*registries)
    assert caught.value.hint
    assert kit.leftovers(tmp_path, "set") == set()
    assert kit.tree(source) == before


def test_a_registry_that_fails_in_the_middle_ends_the_run_with_nothing_written(
    tmp_path, kit, fake, client_of, unknown
):
    rows = "".join(f"https://free.example/{n}\n" for n in range(3500))
    kit.plant(tmp_path, {"urls.csv": "url\n" + rows})
    server = fake(unknown, unknown, unknown, lambda body: (500, b"", {}))
    seen = []
    with pytest.raises(RegistryUnreachableError):
        filter_dataset(
            tmp_path / "urls.csv",
            tmp_path / "clean.csv",
            [client_of(server.url)],
            progress=Progress(done=lambda steps, _: seen.append(steps)),
        )
    assert seen == []
    assert kit.leftovers(tmp_path, "urls.csv") == set()


def test_no_registry_at_all_is_refused(tmp_path, kit):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    with pytest.raises(DatasetError.__base__, match="no registry"):
        filter_dataset(tmp_path / "set", tmp_path / "clean", [])


def test_a_registry_that_is_down_is_found_out_before_anything_is_hashed(tmp_path, kit, run, client_of):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    ticks = []
    with pytest.raises(RegistryError):
        run(client_of("http://127.0.0.1:1"), progress=Progress(tick=lambda: ticks.append(1)))
    assert (ticks, kit.leftovers(tmp_path, "set")) == ([], set())


@pytest.mark.parametrize("when", ["grown", "replaced", "gone"])
def test_a_picture_that_changes_between_hashing_and_copying_ends_the_run(tmp_path, kit, run, when):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.png": kit.free(2)})

    def change(*_):
        picture = source / "b.png"
        if when == "gone":
            picture.unlink()
        else:
            picture.write_bytes(kit.free(3) if when == "replaced" else picture.read_bytes() + b"x")

    with pytest.raises((DatasetError, OSError), match=r"b\.png"):
        run(progress=Progress(done=change))
    assert kit.leftovers(tmp_path, "set") == set()


PLACES = {
    # DST: what the message says
    "set": "lie in one another",
    "set/clean": "lie in one another",
    ".": "lie in one another",
    "set/../set/x": "lie in one another",
    "linked": "lie in one another",
    "full": "is there already",
    "file": "is there already",
}


@pytest.mark.parametrize(("place", "says"), PLACES.items())
def test_a_target_that_is_in_the_way_is_refused_before_anything(tmp_path, kit, fake, client_of, place, says):
    kit.plant(tmp_path, {"set/a.png": kit.free(1), "full/x": "x", "file": "x"})
    (tmp_path / "linked").symlink_to("set")
    before, server = kit.tree(tmp_path), fake()
    with pytest.raises(DatasetError, match=says) as caught:
        filter_dataset(
            tmp_path / "set", tmp_path / place, [client_of(server.url)], options=Options(workers=1)
        )
    assert caught.value.hint
    assert (kit.tree(tmp_path), server.seen) == (before, [])


def test_the_account_of_a_run_that_was_cut_short_is_kept_under_another_name(tmp_path, kit, run):
    kit.plant(tmp_path, {"set/a.png": kit.free(1), "clean.caveat/decisions.jsonl": "earlier"})
    run()
    assert kit.leftovers(tmp_path) == {"set", "clean", "clean.caveat", "clean.caveat.1"}
    assert kit.tree(tmp_path / "clean.caveat.1") == {"decisions.jsonl": b"earlier"}


@pytest.mark.parametrize("place", ["clean", "clean.caveat"])
def test_when_one_of_output_and_account_cannot_appear_neither_does(tmp_path, kit, run, monkeypatch, place):
    rename = os.rename

    def refusing(source, target):
        if os.fspath(target).endswith(place):
            raise OSError(28, "No space left on device")
        rename(source, target)

    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    monkeypatch.setattr(files_module.os, "rename", refusing)
    with pytest.raises(DatasetError, match="No space left"):
        run()
    monkeypatch.undo()
    assert kit.leftovers(tmp_path, "set") == set()
    run()


def test_a_link_to_nowhere_beside_the_pictures_is_an_error_that_names_it(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    (tmp_path / "set/README.md").symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"README\.md: No such file"):
        run()
    assert kit.leftovers(tmp_path, "set") == set()


def test_a_file_name_that_is_not_utf8_is_an_error_that_names_it(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    try:
        (tmp_path / "set" / os.fsdecode(b"\xff.png")).write_bytes(kit.free(2))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DatasetError, match=r"not UTF-8: \\xff\.png") as caught:
        run()
    assert caught.value.hint
    assert kit.leftovers(tmp_path, "set") == set()


def test_an_empty_folder_is_a_place_for_the_output(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    (tmp_path / "clean").mkdir()
    run()
    assert kit.tree(tmp_path / "clean").keys() == {"a.png"}


def test_an_empty_folder_stays_when_the_run_fails(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.txt": "no picture"})
    (tmp_path / "clean").mkdir()
    with pytest.raises(FormatError):
        run()
    assert (tmp_path / "clean").is_dir()


@pytest.mark.parametrize("fails", ["copy_file", "sync_tree"])
def test_an_error_while_writing_leaves_nothing_half_written(tmp_path, kit, run, monkeypatch, fails):
    def full(*_):
        raise OSError(28, "No space left on device")

    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    monkeypatch.setattr(files_module, fails, full)
    monkeypatch.setattr("registry.client.formats.folder.copy_file", files_module.copy_file)
    with pytest.raises((OSError, DatasetError), match="No space left"):
        run()
    assert kit.leftovers(tmp_path, "set") == set()


TABLES = {
    # what: (text, rows that are set aside)
    "empty url": ("url,x\n,a\nhttps://free.example/,b\n", ["0"]),
    "a row too short": ("x,url\na\nb,https://free.example/\n", ["0"]),
}


@pytest.mark.parametrize(("text", "aside"), TABLES.values(), ids=TABLES)
def test_rows_without_an_address_are_set_aside(tmp_path, kit, live, text, aside):
    kit.plant(tmp_path, {"urls.csv": text})
    with live.client() as client:
        summary = filter_dataset(tmp_path / "urls.csv", tmp_path / "clean.csv", [client])
    assert [v.sample.key for v in summary.notable if v.action is Action.ERROR] == aside
    lines = text.splitlines(keepends=True)
    assert (tmp_path / "clean.csv").read_text() == lines[0] + lines[2]


def test_a_csv_that_stops_being_utf8_or_csv_is_refused_with_the_place(tmp_path, kit, run, fake, client_of):
    good = "url,x\n" + "https://free.example/,a\n" * 20_000
    for name, bad, says in (("a.csv", b"\xff\n", "not UTF-8"), ("b.csv", b'"open', "line 20002")):
        kit.plant(tmp_path, {name: good.encode() + bad})
        with pytest.raises(DatasetError, match=says):
            filter_dataset(tmp_path / name, tmp_path / "clean.csv", [client_of(fake().url)])
    assert kit.leftovers(tmp_path, "a.csv", "b.csv") == set()


def test_a_folder_without_pictures_names_itself(tmp_path, kit, run):
    kit.plant(tmp_path / "set", {"a.txt": "x"})
    with pytest.raises(FormatError, match=str(tmp_path / "set")):
        run()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_stopped_in_the_middle_of_writing_there_is_no_output_and_the_next_run_works(
    tmp_path, kit, fake, command, caveat, sent
):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "notes.txt": ""})
    os.truncate(source / "notes.txt", 1 << 28)  # a sparse file that takes a while to copy
    words = ("filter", source, tmp_path / "clean", "--registry", fake().url)
    with command(*words) as process:
        while not list(tmp_path.glob(".clean.*.partial/notes.txt")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(sent)
        process.communicate(timeout=30)
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    left = kit.leftovers(tmp_path, "set", "home")
    if sent == signal.SIGINT:
        assert left == set()
    else:
        assert [name for name in left if not (name.startswith(".clean.") and name.endswith(".partial"))] == []
    os.truncate(source / "notes.txt", 5)
    assert caveat(*words).returncode == 0
    assert kit.tree(tmp_path / "clean") == kit.tree(source)
