"""A run over pictures that was broken off: what was hashed is not hashed again, where it is the same."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.client import Options, Rules, filter_dataset
from registry.client import pictures as hashing
from registry.client.hash_journal import HashJournal, JournaledHashers, journal_of, state_of
from registry.client.inplace import filter_in_place
from registry.client.pictures import Hashed, Hashers
from registry.client.place import Place
from registry.client.receipts import RECEIPT
from registry.errors import DatasetError, RegistryError
from registry.model_receipt import open_receipt
from registry.note import Signer
from registry.preference import Mode
from registry.signals import Fault, Reading
from registry.statement import Statement

from .conftest import free, plant
from .test_signals import packet, with_xmp

SIGNED = Options(workers=1, signer=Signer("maker", bytes(range(32))))
FILES = 40
FOLDER = Path(__file__).parents[2]
SETTLED = 2.1
"""Seconds after which files are believed by their times."""

# Ends itself by a kill: when so many pictures were written down, or where it first copies one.
VICTIM = """
import os, signal, sys
from registry.cli import main
from registry.client import hash_journal, moving, verdicts
from registry.client.formats import folder
hash_journal.LEAST_PICTURES, verdicts._BATCH = 10, 16
left = int(sys.argv.pop(1))
remember = hash_journal.HashJournal.remember

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def counted(self, *words):
    global left
    remember(self, *words)
    left -= 1
    if not left:
        die()

hash_journal.HashJournal.remember = counted
if left < 0:
    folder.copy_file = moving.Journal.write = die
main()
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, copies):
    """Pictures of nobody and copies of works; some that say something themselves, and one that is broken."""
    files = {f"{n:02}.png": free(n, 64) for n in range(FILES - 5)}
    files |= {f"copy-{name}.jpg": data for name, data in list(copies.items())[:2]}
    files["said.jpg"] = with_xmp(free(90, 64), "JPEG", packet("PROHIBITED"))
    files["beside.png"], files["beside.xmp"] = free(91, 64), packet("PROHIBITED")
    files["broken.png"], files["00.txt"] = b"\x89PNG no picture", "a caption"
    root = plant(tmp_path_factory.mktemp("pictures") / "set", files)
    time.sleep(SETTLED)
    return root


@pytest.fixture(scope="module")
def unbroken(live, pictures, tmp_path_factory):
    """What a run leaves that is not broken off."""
    target = tmp_path_factory.mktemp("unbroken") / "clean"
    with live.client() as client:
        filter_dataset(pictures, target, [client], options=SIGNED)
    return target


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("registry.client.hash_journal.LEAST_PICTURES", 10)
    monkeypatch.setattr("registry.client.verdicts._BATCH", 16)


@pytest.fixture
def seen(monkeypatch):
    """The pictures that were hashed."""
    found: list[str] = []
    hash_one = hashing._queried

    def queried(place):
        found.append(place.path.name)
        return hash_one(place)

    monkeypatch.setattr(hashing, "_queried", queried)
    return found


def receipt_of(target):
    signed = open_receipt((target.with_name(f"{target.name}.caveat") / RECEIPT).read_bytes(), [])
    return signed.receipt


def same(target, other, kit):
    mine, theirs = receipt_of(target), receipt_of(other)
    for name in ("input", "output", "decisions", "counts", "configuration", "resumed"):
        assert getattr(mine, name) == getattr(theirs, name), name
    return kit.tree(target) == kit.tree(other)


# Runs that were broken off.


@pytest.mark.parametrize("after", [1, 17, 39, -1], ids=["first", "second batch", "last", "copying"])
def test_after_a_kill_only_the_rest_is_hashed_and_all_else_is_the_same(
    live, pictures, unbroken, tmp_path, kit, few, seen, after
):
    target, journal = tmp_path / "clean", journal_of(tmp_path / "clean")
    kill(after, tmp_path, "filter", pictures, target, "--registry", live.url, "--workers", "1")
    assert not target.exists()
    known = size_of(journal)
    # A kill loses what this process had not handed over yet, at most a few.
    assert (after if after > 0 else FILES - 1) - 12 <= known <= FILES
    with live.client() as client:
        filter_dataset(pictures, target, [client], options=SIGNED)
    assert len(seen) == FILES - known
    assert same(target, unbroken, kit)
    assert not journal.exists()


def kill(after, home, *words):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAVEAT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(after), *map(str, words)],
        env=environment | {"HOME": str(home)},
        cwd=FOLDER,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr


def size_of(journal):
    book = HashJournal(journal)
    book.close(delete=False)
    return len(book)


@pytest.mark.parametrize("after", [25, -1], ids=["hashing", "before anything moves"])
def test_a_run_in_place_goes_on_too(live, pictures, unbroken, tmp_path, kit, few, seen, after):
    source, away = Path(shutil.copytree(pictures, tmp_path / "set")), tmp_path / "away"
    time.sleep(SETTLED)
    words = ("--in-place", "--quarantine", away, "--registry", live.url, "--workers", "1")
    kill(after, tmp_path, "filter", source, *words)
    assert kit.tree(source) == kit.tree(pictures)
    known = size_of(journal_of(source))
    with live.client() as client:
        filter_in_place(source, away, [client], options=replace(SIGNED, dry_run=True))
        assert (len(seen), size_of(journal_of(source))) == (FILES, known)
        filter_in_place(source, away, [client], options=SIGNED)
    assert len(seen) == 2 * FILES - known < 2 * FILES
    assert same(source, unbroken, kit)
    assert not journal_of(source).exists()


@pytest.fixture
def broken_off(fake, client_of, pictures, tmp_path, few, seen):
    """Begin a run whose registry falls silent in the third batch; what was hashed is told, and forgotten."""

    def begin(source=pictures, target=tmp_path / "clean"):
        replies = [fake_unknown, lambda body: (503, {}, {})]
        with pytest.raises(RegistryError):
            filter_dataset(source, target, [client_of(fake(*replies).url)], options=SIGNED)
        begun, seen[:] = list(seen), []
        return begun

    return begin


def fake_unknown(body):
    told = {"status": "ok", "preference": "unknown", "reason": "Nobody.", "statements": []}
    return 200, {"as_of_seq": 7, "results": [{"id": one["id"], **told} for one in body["items"]]}, {}


def test_registries_are_asked_again_about_everything(broken_off, pictures, tmp_path, live, seen):
    begun = broken_off()
    # That one kept all; this one has works.
    with live.client() as client:
        summary = filter_dataset(pictures, tmp_path / "clean", [client], options=SIGNED)
    assert summary.reasons["sha256"] + summary.reasons["pdq"] == 2
    assert list(summary.as_of_seq) == [client.url]
    assert len(seen) == FILES - len(begun) + begun.count("broken.png")
    assert 0 < len(begun) < FILES


def test_a_run_that_begins_anew_hashes_all(broken_off, pictures, tmp_path, live, seen):
    broken_off()
    with live.client() as client:
        filter_dataset(pictures, tmp_path / "clean", [client], options=replace(SIGNED, resume=False))
    assert len(seen) == FILES


def test_other_rules_go_on_from_the_same_hashes(broken_off, pictures, tmp_path, live, seen):
    begun = broken_off()
    with live.client() as client:
        options, rules = replace(SIGNED, workers=1), Rules(mode=Mode.STRICT)
        summary = filter_dataset(pictures, tmp_path / "clean", [client], rules=rules, options=options)
    assert (summary.kept, len(seen) <= FILES - len(begun) + 1) == (0, True)
    assert not journal_of(tmp_path / "clean").exists()


def test_a_picture_that_changed_meanwhile_is_hashed_again(
    broken_off, pictures, tmp_path, live, seen, copies, kit
):
    source = Path(shutil.copytree(pictures, tmp_path / "set"))
    time.sleep(SETTLED)
    begun = broken_off(source=source)
    assert {"00.png", "01.png", "02.png"} <= set(begun)
    old = (source / "00.png").stat()
    (source / "00.png").write_bytes(copies["jpeg"].ljust(old.st_size, b"\0")[: old.st_size])
    os.utime(source / "00.png", ns=(old.st_atime_ns, old.st_mtime_ns))
    (source / "01.xmp").write_bytes(packet("PROHIBITED"))
    os.replace(source / "03.png", source / "02.png")
    with live.client() as client:
        summary = filter_dataset(source, tmp_path / "clean", [client], options=SIGNED)
        filter_dataset(source, tmp_path / "unbroken", [client], options=SIGNED)
    assert {"00.png", "01.png", "02.png"} <= set(seen[: FILES - 1])
    assert summary.reasons["iptc"] == 3
    assert same(tmp_path / "clean", tmp_path / "unbroken", kit)


def test_a_zip_goes_on_too_until_it_is_another(broken_off, unbroken, pictures, tmp_path, live, seen, kit):
    packed = Path(shutil.make_archive(str(tmp_path / "set"), "zip", pictures))
    time.sleep(SETTLED)
    begun = broken_off(source=packed)
    with live.client() as client:
        filter_dataset(packed, tmp_path / "clean", [client], options=SIGNED)
        assert 0 < len(seen) <= FILES - len(begun) + 1
        broken_off(source=packed, target=tmp_path / "other.zip")
        shutil.copy(packed, tmp_path / "new.zip")
        os.replace(tmp_path / "new.zip", packed)
        filter_dataset(packed, tmp_path / "other.zip", [client], options=SIGNED)
    assert len(seen) == FILES
    assert receipt_of(tmp_path / "clean").counts == receipt_of(unbroken).counts


@pytest.mark.parametrize("stops", [False, True])
def test_a_dataset_that_cannot_be_filtered_leaves_its_hashes_only_to_who_mends_it(
    live, pictures, tmp_path, few, monkeypatch, stops
):
    target = tmp_path / "clean"
    if not stops:
        monkeypatch.setattr("registry.client.formats.folder.copy_file", _changed)
    with live.client() as client, pytest.raises(DatasetError):
        filter_dataset(pictures, target, [client], options=replace(SIGNED, stop_on_error=stops))
    assert journal_of(target).exists() == stops


def _changed(source, target, sha256=None):
    raise DatasetError(f"{source} changed during the run")


def test_of_a_few_pictures_there_is_no_journal(fake, client_of, pictures, tmp_path, kit):
    client = client_of(fake(lambda body: (503, {}, {})).url)
    with pytest.raises(RegistryError):
        filter_dataset(pictures, tmp_path / "clean", [client], options=SIGNED)
    assert kit.leftovers(tmp_path) == set()


# What is believed.


@pytest.fixture
def settled(tmp_path):
    """A picture that says something, with a file beside it, long enough there."""
    plant(
        tmp_path,
        {"a.jpg": with_xmp(free(1, 64), "JPEG", packet("ALLOWED")), "a.jpg.xmp": packet("PROHIBITED")},
    )
    time.sleep(SETTLED)
    return tmp_path / "a.jpg"


def hashed(path):
    with Hashers(1) as hashers:
        return next(iter(hashers.begin([path])))


def kept(path, journal):
    """Write what comes of a picture into a journal; returns what is recalled of it."""
    found, state = hashed(path), state_of(Place(path))
    book = HashJournal(journal)
    book.remember(found, state)
    book.close(delete=False)
    return recalled(path, journal)


def recalled(path, journal):
    book = HashJournal(journal)
    try:
        return book.recall(Place(path), state_of(Place(path)))
    finally:
        book.close(delete=False)


CHANGES = {
    "nothing": (lambda path: None, True),
    "another file beside it": (lambda path: path.with_name("z.jpg").write_bytes(b"x"), True),
    "its bytes": (lambda path: path.write_bytes(path.read_bytes() + b"x"), False),
    "its bytes, and its time is put back": (lambda path: rewritten(path), False),
    "its time": (lambda path: os.utime(path, (1, 1)), False),
    "another file in its place": (lambda path: replaced(path), False),
    "it went": (lambda path: path.unlink(), False),
    "what speaks of it": (lambda path: path.with_name("a.jpg.xmp").write_bytes(b"<x/>"), False),
    "what speaks of it went": (lambda path: path.with_name("a.jpg.xmp").unlink(), False),
    "more speaks of it": (lambda path: path.with_name("a.xmp").write_bytes(b"<x/>"), False),
}


def rewritten(path):
    found = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replaced(path):
    found = path.stat()
    path.with_name("new").write_bytes(path.read_bytes())
    os.utime(path.with_name("new"), ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(path.with_name("new"), path)


def test_a_line_is_believed_only_while_nothing_changes(settled, tmp_path):
    journal, before = tmp_path / "journal", hashed(settled)
    assert before.reading.statements
    assert kept(settled, journal) == before
    original = tmp_path / "original"
    for name, (change, holds) in CHANGES.items():
        # Moved, not copied: a file that was copied has another inode.
        folder = tmp_path / "one"
        plant(folder, {"a.jpg": settled.read_bytes(), "a.jpg.xmp": packet("PROHIBITED")})
        state = state_of(Place(folder / "a.jpg"))
        book = HashJournal(original)
        book._writing.write(line_of(before, folder / "a.jpg", state))
        book.close(delete=False)
        assert recalled(folder / "a.jpg", original) is not None
        change(folder / "a.jpg")
        assert (recalled(folder / "a.jpg", original) is not None) == holds, name
        shutil.rmtree(folder)


def line_of(found, path, state):
    from registry.client.hash_journal import _key, _line

    wire = {
        "file": _key(Place(path)),
        "state": state,
        "fingerprint": found.fingerprint.to_wire(),
        "sha256": found.fingerprint.sha256.hex(),
        "signals": [one.to_wire() for one in found.reading.statements],
    }
    return _line(wire)


def test_what_was_changed_a_moment_ago_is_not_written_down(tmp_path):
    plant(tmp_path, {"a.png": free(1, 64)})
    assert kept(tmp_path / "a.png", tmp_path / "journal") is None
    time.sleep(SETTLED)
    assert kept(tmp_path / "a.png", tmp_path / "journal") == hashed(tmp_path / "a.png")


def test_what_may_be_another_thing_tomorrow_is_not_written_down(settled, tmp_path):
    found, state = hashed(settled), state_of(Place(settled))
    [said, *_] = found.reading.statements
    c2pa = replace(said, signal=replace(said.signal, protocol="c2pa"))
    fault = Fault("xmp", "xmp sidecar", "error", "it cannot be read")
    table = {
        "cannot be read": Hashed(found.place, None, "damaged"),
        "a certificate": replace(found, reading=Reading((c2pa,))),
        "a fault": replace(found, reading=Reading((said,), (fault,))),
        "a registry's": replace(found, reading=Reading((replace(said, signal=None),))),
        "what is lost when it is written": replace(found, reading=Reading((replace(said, principal="x"),))),
    }
    book = HashJournal(tmp_path / "journal")
    for name, one in table.items():
        book.remember(one, state)
        book.remember(found, None)
        assert (tmp_path / "journal").read_bytes().count(b"\n") == 1, name
    book.close(delete=True)
    assert not (tmp_path / "journal").exists()
    assert isinstance(said, Statement)


def test_another_version_believes_nothing(settled, tmp_path, monkeypatch):
    journal = tmp_path / "journal"
    assert kept(settled, journal) is not None
    monkeypatch.setattr("registry.client.hash_journal._version", lambda name: "99")
    assert recalled(settled, journal) is None
    assert len(journal.read_bytes().splitlines()) == 2  # Its head, and the end of what may be cut off.


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The text of a journal of three pictures, and what it says of each."""
    root = tmp_path_factory.mktemp("damaged")
    paths = [plant(root, {f"{n}.png": free(n, 64)}) / f"{n}.png" for n in range(3)]
    time.sleep(SETTLED)
    with JournaledHashers(1, root / "journal") as hashers:
        found = list(hashers.begin(paths))
        hashers._journal.flush()
        text = (root / "journal").read_bytes()
    return root, text, found


@given(at=st.integers(0, 3000), what=st.binary(max_size=3), cut=st.booleans())
@settings(deadline=None)
def test_what_is_damaged_or_cut_off_is_never_believed(damaged, at, what, cut):
    root, text, found = damaged
    at = min(at, len(text))
    (root / "journal").write_bytes(text[:at] if cut else text[:at] + what + text[at + len(what) :])
    book = HashJournal(root / "journal")
    for one in found:
        assert book.recall(one.place, state_of(one.place)) in (None, one)
        book.remember(one, state_of(one.place))
    book.close(delete=False)
    book = HashJournal(root / "journal")
    assert [book.recall(one.place, state_of(one.place)) for one in found] == found
    book.close(delete=True)
