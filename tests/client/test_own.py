"""The maker's own works are kept and named; records of weak evidence are told and do not count."""

import hashlib
import io
import json
import tarfile
from copy import deepcopy

import numpy as np
import pytest
from PIL import Image

from registry.client import Options, Rules, filter_dataset
from registry.client.http import Known
from registry.client.noted import Notes, write_notes
from registry.client.own import OwnWorks, read_own
from registry.client.verdicts import _is_below
from registry.demo.training_set import PICTURES
from registry.errors import DatasetError, InputError
from registry.fingerprint import Fingerprint
from registry.matching import MAX_STATEMENTS
from registry.preference import Action, Mode, Preference, Status, Use
from registry.statement import Match, Statement

BEN = PICTURES / "ben"
WORD = hashlib.sha256(b"a picture").digest()


def flipped(bits):
    """WORD with its first ``bits`` bits turned."""
    turned = np.unpackbits(np.frombuffer(WORD, np.uint8))
    turned[:bits] ^= 1
    return np.packbits(turned).tobytes()


SHA = hashlib.sha256(b"x").digest()
KEYS = {
    "the same file": (Fingerprint(1, 100, None, {"full": flipped(200)}, SHA), "sha256"),
    "the same picture": (Fingerprint(1, 100, None, {"full": WORD}, bytes(32)), "pdq"),
    "31 bits": (Fingerprint(1, 100, None, {"full": flipped(31)}, bytes(32)), "pdq"),
    "32 bits": (Fingerprint(1, 100, None, {"full": flipped(32)}, bytes(32)), ""),
    "a mirror": (Fingerprint(1, 100, None, {"full": flipped(99), "mirror": WORD}, bytes(32)), ""),
    "too plain": (Fingerprint(1, 10, None, {}, bytes(32)), ""),
    "no file": (Fingerprint(1, 10), ""),
}


@pytest.mark.parametrize(("found", "key"), KEYS.values(), ids=KEYS)
def test_what_is_own(found, key):
    own = OwnWorks(frozenset({SHA}), frozenset({WORD, hashlib.sha256(b"another").digest()}))
    assert own.key_of(found) == key
    assert deepcopy(own).key_of(found) == key
    assert OwnWorks().key_of(found) == ""


def test_a_list_is_read(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(f"# mine\n\nsha256:{SHA.hex()}\r\n  pdq:{WORD.hex().upper()}  \nsha256:{SHA.hex()}")
    own = read_own(path)
    assert own == OwnWorks(frozenset({SHA}), frozenset({WORD}))
    assert own.digest != OwnWorks(frozenset({WORD}), frozenset({SHA})).digest != ""


REFUSED = {
    "no kind": SHA.hex(),
    "another kind": f"md5:{SHA.hex()}",
    "short": f"sha256:{SHA.hex()[:-2]}",
    "long": f"sha256:{SHA.hex()}00",
    "not hexadecimal": "sha256:" + "g" * 64,
    "a file name after it": f"sha256:{SHA.hex()}  a.png",
    "a plain picture": "pdq:" + "0" * 64,
    "not text": "sha256:\udcff",
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_a_line_that_cannot_be_read_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "own.txt"
    path.write_bytes(f"sha256:{SHA.hex()}\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="line 2"):
        read_own(path)


@pytest.mark.parametrize("text", ["", "# nothing\n\n"], ids=["empty", "comments"])
def test_a_list_of_nothing_is_refused(tmp_path, text):
    (tmp_path / "own.txt").write_text(text)
    with pytest.raises(InputError, match="names no work"):
        read_own(tmp_path / "own.txt")


def test_a_folder_with_a_picture_that_cannot_be_read_is_refused(tmp_path, kit):
    kit.plant(tmp_path, {"a.png": kit.free(1), "b.png": "text"})
    with pytest.raises(InputError, match=r"b\.png"):
        read_own(tmp_path)


@pytest.fixture
def filter_(live, tmp_path):
    def run(source, **more):
        more.setdefault("options", Options(workers=1))
        with live.client() as client:
            return filter_dataset(source, tmp_path / "clean", [client], **more)

    return run


@pytest.fixture
def planted(tmp_path, kit, copies):
    with Image.open(BEN / "tuxedo-cat.jpg") as image:
        smaller = kit.packed(image.resize((image.width // 2, image.height // 2)))
    files = {
        "free.png": kit.free(1), "same.jpg": copies["same"], "smaller.png": smaller,
        "ada.jpg": copies["jpeg"], "bad.png": "text",
    }  # fmt: skip
    return kit.plant(tmp_path / "set", files)


@pytest.mark.parametrize("mode", [Mode.EU_ART4, Mode.STRICT])
def test_own_works_are_kept_in_every_mode_and_named(filter_, planted, tmp_path, kit, mode):
    own = read_own(BEN)
    summary = filter_(planted, rules=Rules(mode=mode, own=own))
    kept = {"same.jpg", "smaller.png"} | ({"free.png"} if mode is Mode.EU_ART4 else set())
    assert kit.tree(tmp_path / "clean").keys() == kept
    wires = {
        wire["path"]: wire
        for wire in map(json.loads, (tmp_path / "clean.caveat/decisions.jsonl").read_text().splitlines())
    }
    assert [wires[name]["own"] for name in ("same.jpg", "smaller.png")] == ["sha256", "pdq"]
    for name in ("same.jpg", "smaller.png"):
        wire = wires[name]
        assert (wire["action"], wire["cause"], wire["preference"]) == ("keep", "own", "reserved")
        assert wire["reason"].startswith("Kept as the maker’s own work, as declared and not proven")
        assert wire["statements"]
    assert (wires["ada.jpg"]["action"], wires["bad.png"]["action"]) == ("remove", "error")
    told = summary.to_wire()
    assert (told["own"], told["own_works"]) == (2, own.digest)
    report = (tmp_path / "clean.caveat/report.html").read_text()
    assert "2 kept as declared, and not proven (--own)" in report
    assert "the maker’s own, as declared" in report


def test_notes_keep_what_was_own_and_what_did_not_count(filter_, planted, tmp_path):
    summary = filter_(planted, rules=Rules(own=read_own(BEN), min_evidence=3))
    write_notes(tmp_path / "notes.jsonl", summary.notable)
    notes = Notes()
    notes.add(tmp_path / "notes.jsonl")
    assert [one.to_wire() for one in notes] == [one.to_wire() for one in summary.notable]
    assert [one.is_notable for one in notes] == [True] * len(summary.notable)


def test_an_unfinished_run_does_not_go_on_with_other_own_works(filter_, tmp_path, kit, copies):
    kit.plant(tmp_path / "set", {"train/00000.tar": tarred({"a.png": kit.free(1), "b.jpg": copies["same"]})})
    filter_(tmp_path / "set", options=Options(workers=1, share=(1, 1)))
    with pytest.raises(DatasetError, match="own_works"):
        filter_(tmp_path / "set", rules=Rules(own=read_own(BEN)))
    with pytest.raises(DatasetError, match="min_evidence"):
        filter_(tmp_path / "set", rules=Rules(min_evidence=1))


def tarred(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


# The least evidence.


def test_records_below_the_least_evidence_are_told_and_do_not_count(filter_, planted, tmp_path, kit):
    summary = filter_(planted, rules=Rules(min_evidence=3))
    assert kit.tree(tmp_path / "clean").keys() == {"free.png", "same.jpg", "smaller.png", "ada.jpg"}
    assert (summary.to_wire()["below_evidence"], summary.to_wire()["min_evidence"]) == (3, 3)
    told = {verdict.sample.key: verdict for verdict in summary.notable}
    assert told.keys() == {"same.jpg", "smaller.png", "ada.jpg", "bad.png"}
    wire = told["same.jpg"].to_wire()
    assert (wire["action"], wire["preference"]) == ("keep", "unknown")
    assert "of lower evidence than level 3 did not count" in wire["reason"]
    assert wire["below_evidence"][0]["label"] == "Ben"
    assert (
        "records below level 3 did not count, of 3 samples"
        in (tmp_path / "clean.caveat/report.html").read_text()
    )


def test_in_strict_mode_what_is_left_without_a_record_goes(filter_, planted):
    summary = filter_(planted, rules=Rules(mode=Mode.STRICT, min_evidence=3))
    assert (summary.kept, summary.counts[Action.REMOVE]) == (0, 4)


def said(match, level=0):
    return Statement({Use.TRAIN: Preference.RESERVED}, match, evidence_level=level)


BELOW = {
    "too weak": (said(Match("sha256")), 1, True),
    "just enough": (said(Match("sha256"), 1), 1, False),
    "a possible copy": (said(Match("pdq", False, 40)), 1, True),
    "evidence that is not told": (said(Match("url", False)), 1, False),
    "a list that may be cut": (said(Match("sha256")), MAX_STATEMENTS, False),
}


@pytest.mark.parametrize(("statement", "count", "below"), BELOW.values(), ids=BELOW)
def test_which_records_do_not_count(statement, count, below):
    assert _is_below(statement, Known(Status.OK, "", (statement,) * count, 1), 1) is below


def test_the_command_takes_both(caveat, live, planted, tmp_path, kit):
    at = ("--registry", live.url, "--key", live.keys["maker"])
    done = caveat("filter", "set", "clean", *at, "--own", BEN, "--min-evidence", "3")
    assert done.returncode == 2
    assert "2 kept as the maker's own, as declared and not proven." in done.stdout
    assert "Records below evidence level 3 did not count; 3 samples had such." in done.stdout
