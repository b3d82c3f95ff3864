"""In place: the source becomes what a copy would be, what went is elsewhere, and a kill loses nothing."""

import errno
import json
import os
import signal
import zipfile
from itertools import count

import pytest

from registry.client import Options, Progress, RegistryClient, Rules
from registry.client.inplace import filter_in_place
from registry.client.moving import FOLDER, Journal
from registry.errors import DatasetError, FormatError, InputError
from registry.preference import Mode

CASES = ["folder", "kohya", "jsonl", "csv_metadata", "control_from_another_row", "emptied_metadata"]


@pytest.fixture
def in_place(live, tmp_path):
    def run(source=None, quarantine=None, **more):
        more.setdefault("options", Options(workers=1))
        with live.client() as client:
            return filter_in_place(
                source or tmp_path / "set", quarantine or tmp_path / "away", [client], **more
            )

    return run


@pytest.fixture
def at(live):
    return ("--registry", live.url, "--key", live.keys["maker"])


def planted(kit, tmp_path, copies):
    files = {
        "a.png": kit.free(1), "a.txt": "A", "b.jpg": copies["same"], "b.txt": "B", "b.npz": "latents",
        "deep/c.png": copies["mirror"], "deep/c.txt": "C", "damaged.png": "text",
    }  # fmt: skip
    return kit.plant(tmp_path / "set", files), {path: kit.tree(tmp_path / "set")[path] for path in files}


def moved(kit, tmp_path):
    """What lies in the quarantine, but its journal."""
    tree = kit.tree(tmp_path / "away")
    return {path: data for path, data in tree.items() if not path.startswith(FOLDER)}


@pytest.mark.parametrize("name", CASES)
def test_the_source_becomes_what_a_copy_is_and_the_rest_is_in_the_quarantine(
    run_of, in_place, tmp_path, kit, name
):
    run = run_of(name)
    kit.plant(tmp_path / "set", run.case.files)
    summary = in_place()
    copy = kit.tree(run.target)
    assert kit.tree(tmp_path / "set") == copy
    gone = {path: data for path, data in run.before.items() if copy.get(path) != data}
    assert moved(kit, tmp_path) == gone
    told, other = summary.to_wire(), run.summary.to_wire()
    same = ("samples", "kept", "removed", "errors", "review", "unknown", "removed_by", "left_out")
    assert {key: told[key] for key in same} == {key: other[key] for key in same}
    assert (tmp_path / "set.caveat/decisions.jsonl").read_bytes().count(b"\n") == told["samples"]
    assert (tmp_path / "set.caveat/report.html").exists()
    assert kit.leftovers(tmp_path) == {"set", "set.caveat", "away"}
    assert kit.leftovers(tmp_path / "away" / FOLDER) == {"journal.json"}
    assert [path for path in (tmp_path / "set").rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_hidden_files_go_and_version_control_stays(in_place, tmp_path, kit, copies):
    _, files = planted(kit, tmp_path, copies)
    hidden = {".git/config": "x", ".gitignore": "y", ".cache/b.npz": "latents", ".DS_Store": "z"}
    kit.plant(tmp_path / "set", hidden)
    summary = in_place()
    assert kit.tree(tmp_path / "set").keys() == {"a.png", "a.txt", ".git/config", ".gitignore"}
    assert moved(kit, tmp_path).keys() == (files.keys() - {"a.png", "a.txt"}) | {".cache/b.npz", ".DS_Store"}
    assert {summary.left_out[path] for path in (".cache", ".DS_Store")} == {"hidden, so not looked at"}


def test_a_dry_run_and_a_no_change_nothing(in_place, tmp_path, kit, copies):
    _, files = planted(kit, tmp_path, copies)
    dry = in_place(options=Options(workers=1, dry_run=True))
    assert (dry.target, dry.kept) == (None, 1)
    no = in_place(progress=Progress(confirm=lambda _: False))
    assert (no.target, no.account) == (None, None)
    assert kit.tree(tmp_path / "set") == files
    assert [path for path in (tmp_path / "away").rglob("*") if path.is_file()] == []
    assert kit.leftovers(tmp_path, "away") == {"set"}


def test_when_nothing_would_stay_nothing_is_moved(in_place, tmp_path, kit, copies):
    _, files = planted(kit, tmp_path, copies)
    summary = in_place(rules=Rules(mode=Mode.STRICT))
    assert (summary.target, summary.quarantine, summary.kept) == (None, None, 0)
    assert kit.tree(tmp_path / "set") == files
    assert (tmp_path / "set.caveat/report.html").exists()


WRONG_PLACES = {
    "inside": ("set", "set/away"),
    "the source": ("set", "set"),
    "around": ("set", "."),
    "through a link": ("set", "link/away"),
    "the account": ("set", "set.caveat"),
    "full": ("set", "full"),
    "a file": ("set", "file"),
}


@pytest.mark.parametrize(("source", "away"), WRONG_PLACES.values(), ids=WRONG_PLACES)
def test_a_quarantine_that_would_be_loaded_or_is_taken_is_refused(
    in_place, tmp_path, kit, copies, source, away
):
    planted(kit, tmp_path, copies)
    kit.plant(tmp_path, {"full/x": "x", "file": "y"})
    (tmp_path / "link").symlink_to(tmp_path / "set")
    before = kit.tree(tmp_path)
    with pytest.raises(DatasetError):
        in_place(tmp_path / source, tmp_path / away)
    assert kit.tree(tmp_path) == before


@pytest.mark.parametrize("name", ["urls.csv", "set.zip", "shard.tar"])
def test_what_is_no_folder_of_pictures_is_refused_with_the_way_out(in_place, tmp_path, kit, name):
    kit.plant(tmp_path, {name: "url\nhttps://free.example/\n"})
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.png", kit.free(1))
    with pytest.raises(FormatError, match="only folders of pictures") as refused:
        in_place(tmp_path / name)
    assert "copy" in refused.value.hint
    assert kit.leftovers(tmp_path) == {name}


def test_a_share_and_nobody_to_ask_are_refused(in_place, tmp_path):
    with pytest.raises(InputError, match="no share"):
        in_place(options=Options(share=(1, 2)))
    with pytest.raises(InputError, match="no registry"):
        filter_in_place(tmp_path, tmp_path / "away", [])


def run_killed_at(number, folder, url, *, other_disk):
    """Run in a process of its own, killed at its ``number``-th step on the disk; return whether it was."""
    child = os.fork()
    if child == 0:
        left = count()
        whole = os.rename

        def rename(one, other):
            if other_disk and "/set/" in str(one) and "/away/" in str(other):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return whole(one, other)

        def counted(real):
            def call(*args, **more):
                if next(left) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)

            return call

        os.rename = counted(rename)
        for name in ("replace", "rmdir", "fsync", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        code = 1
        try:
            with RegistryClient(url) as client:
                filter_in_place(folder / "set", folder / "away", [client], options=Options(workers=1))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
    return status != 0


def is_done(quarantine):
    journal = quarantine / FOLDER / "journal.json"
    return journal.exists() and json.loads(journal.read_text())["done"]


@pytest.mark.parametrize("disk", ["this disk", "other disk"])
def test_a_kill_at_any_step_is_finished_by_the_same_run(in_place, live, tmp_path, kit, copies, disk):
    files = {
        "metadata.jsonl": "".join(
            json.dumps({"file_name": name, "text": name}) + "\n" for name in ("a.png", "b.jpg")
        ),
        "a.png": kit.free(1), "b.jpg": copies["same"], ".hidden/x": "X", ".hidden/y": "Y",
    }  # fmt: skip
    steps = 0
    for number in range(0, 400, 2):
        folder = tmp_path / str(number)
        kit.plant(folder / "set", files)
        before = kit.tree(folder / "set")
        if not run_killed_at(number, folder, live.url, other_disk=disk == "other disk"):
            break
        steps += 1
        there = (
            {**kit.tree(folder / "away"), **kit.tree(folder / "set")}
            if (folder / "away").exists()
            else before
        )
        for path in ("a.png", "b.jpg", ".hidden/x", ".hidden/y"):
            assert there[path] == before[path], f"{path} is lost after step {number}"
        if is_done(folder / "away"):
            with pytest.raises(DatasetError, match="not empty"):
                in_place(folder / "set", folder / "away")
        else:
            summary = in_place(folder / "set", folder / "away")
            assert (summary.kept, summary.samples) == (1, 2)
        assert kit.tree(folder / "set") == {
            "a.png": before["a.png"],
            "metadata.jsonl": files["metadata.jsonl"].splitlines(True)[0].encode(),
        }
        kept = {path: data for path, data in kit.tree(folder / "away").items() if not path.startswith(FOLDER)}
        assert kept == {path: before[path] for path in before if path != "a.png"}
        assert (folder / "set.caveat/report.html").exists()
        assert kit.leftovers(folder) == {"set", "set.caveat", "away"}
    assert steps > 8


def begun(tmp_path, kit, copies, in_place):
    """Leave a run that was cut short after its journal was written."""
    planted(kit, tmp_path, copies)
    stop = RuntimeError("cut short")

    def cut(self):
        raise stop

    real, Journal.finish = Journal.finish, cut
    try:
        with pytest.raises(RuntimeError, match="cut short"):
            in_place()
    finally:
        Journal.finish = real


def test_it_is_finished_without_asking_anybody(tmp_path, kit, copies, in_place, live, client_of):
    begun(tmp_path, kit, copies, in_place)

    class Silent:
        url = live.url

    summary = filter_in_place(tmp_path / "set", tmp_path / "away", [Silent()])
    assert kit.tree(tmp_path / "set").keys() == {"a.png", "a.txt"}
    assert sorted(verdict.sample.key for verdict in summary.notable) == ["b.jpg", "damaged.png", "deep/c.png"]
    assert (summary.to_wire()["removed"], summary.errors) == (2, 1)


def test_it_is_not_finished_with_other_rules(tmp_path, kit, copies, in_place):
    begun(tmp_path, kit, copies, in_place)
    with pytest.raises(DatasetError, match="cut short, with 'eu-art4'"):
        in_place(rules=Rules(mode=Mode.STRICT))
    assert "b.jpg" in kit.tree(tmp_path / "set")


def test_a_quarantine_of_a_run_that_ended_is_not_taken_again(tmp_path, kit, copies, in_place):
    planted(kit, tmp_path, copies)
    in_place()
    before = kit.tree(tmp_path)
    with pytest.raises(DatasetError, match="not empty"):
        in_place()
    assert kit.tree(tmp_path) == before


CHANGES = {
    "gone from both": lambda root: (root / "set/b.jpg").unlink(),
    "another in the quarantine": lambda root: (root / "away/b.jpg").write_bytes(b"other"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_somebody_else_changed_meanwhile_is_not_written_over(tmp_path, kit, copies, in_place, change):
    begun(tmp_path, kit, copies, in_place)
    change(tmp_path)
    with pytest.raises(DatasetError, match=r"b\.jpg"):
        in_place()


def test_a_damaged_journal_is_an_error_by_name(tmp_path, kit, copies, in_place):
    begun(tmp_path, kit, copies, in_place)
    (tmp_path / "away" / FOLDER / "journal.json").write_text("{")
    with pytest.raises(DatasetError, match=r"journal\.json cannot be read"):
        in_place()


def test_a_picture_that_changes_during_the_run_ends_it_and_nothing_is_moved(in_place, tmp_path, kit, copies):
    planted(kit, tmp_path, copies)
    seen = count()

    def tick():
        if next(seen) == 3:
            (tmp_path / "set/a.png").write_bytes(copies["same"])

    with pytest.raises(DatasetError, match=r"a\.png changed during the run"):
        in_place(progress=Progress(tick=tick))
    assert "b.jpg" in kit.tree(tmp_path / "set")
    assert kit.leftovers(tmp_path, "away") == {"set"}
    assert not any(path.is_file() for path in (tmp_path / "away").rglob("*"))


COMMANDS = {
    "no quarantine": (("set", "--in-place"), "go together"),
    "quarantine alone": (("set", "clean", "--quarantine", "away"), "go together"),
    "a copy too": (("set", "clean", "--in-place", "--quarantine", "away"), "leave out DST"),
}


@pytest.mark.parametrize(("words", "said"), COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_call_is_refused(caveat, at, tmp_path, kit, words, said):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    done = caveat("filter", *words, *at)
    assert done.returncode == 3
    assert said in done.stderr
    assert kit.leftovers(tmp_path, "set", "home") == set()


def test_the_command_says_where_what_went_is(caveat, at, tmp_path, kit, copies):
    planted(kit, tmp_path, copies)
    done = caveat("filter", "set", "--in-place", "--quarantine", "away", *at)
    assert done.returncode == 2
    assert f"moved   {tmp_path / 'away'}" in done.stdout
    assert "1 kept, 2 removed" in done.stdout
    assert kit.tree(tmp_path / "set").keys() == {"a.png", "a.txt"}
