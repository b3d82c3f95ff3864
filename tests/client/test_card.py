"""``caveat receipt card``: what is asked, what is kept, what is refused, and the card of every receipt."""

import json
import os
import pty

import pytest
import yaml

from registry.client import Options, filter_dataset
from registry.client.documents import CARD, DECLARED, DOCUMENTS, read_declared
from registry.client.inplace import filter_in_place
from registry.client.receipts import RECEIPT
from registry.documents import Artist, Declared, Upstream, declared_json
from registry.errors import InputError
from registry.receipt import ABOUT, sign_receipt
from tests.core.told import DECLARED as FULL
from tests.core.told import MAKER
from tests.core.told import RECEIPT as RUN


@pytest.fixture
def account(tmp_path):
    """The account of a run, its receipt in it."""
    folder = tmp_path / "clean.caveat"
    folder.mkdir()
    (folder / RECEIPT).write_bytes(sign_receipt(RUN, MAKER).to_json())
    return folder


def ours(card):
    return yaml.safe_load(card.split("---\n", 2)[1])["optout_filter"]


# Every receipt comes with its card.


@pytest.mark.parametrize("run", [filter_dataset, filter_in_place])
def test_a_run_with_a_receipt_leaves_its_card(run, live, tmp_path, kit, copies):
    source, target = tmp_path / "set", tmp_path / "clean"
    kit.plant(source, {"a.png": kit.free(8301), "b.jpg": copies["same"]})
    with live.client() as client:
        summary = run(source, target, [client], options=Options(workers=1, signer=MAKER))
    card = (summary.account / CARD).read_text("utf-8")
    told = ours(card)["measured"]
    assert (told["kept"], told["removed"]) == (1, 1)
    assert "**Refusals:** 1 of 2 left out (1 " in card
    assert ABOUT in card
    assert "a.png" not in card
    assert str(tmp_path) not in card


def test_a_run_without_a_receipt_leaves_none(live, tmp_path, kit):
    kit.plant(tmp_path / "set", {"a.png": kit.free(8302)})
    with live.client() as client:
        summary = filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1))
    assert not (summary.account / CARD).exists()


# Unattended.


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_format_is_written_without_a_question(caveat, account, tmp_path, kind):
    out = tmp_path / "out"
    done = caveat("receipt", "card", account, "--format", kind, "-o", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"written {out}\n")
    text = out.read_text("utf-8")
    assert (ABOUT in text) is (kind != "declared")
    if kind != "spdx":  # it says when it was made
        (account.parent / "clean").mkdir()
        for path in (account / RECEIPT, account.parent / "clean"):
            assert caveat("receipt", "card", path, "--format", kind).stdout == text


def test_a_file_in_the_way_stays_unless_it_is_to_go(caveat, account, tmp_path):
    mine = tmp_path / "README.md"
    mine.write_text("mine")
    done = caveat("receipt", "card", account, "-o", mine)
    assert done.returncode == 3
    assert "README.md" in done.stderr
    assert mine.read_text() == "mine"
    assert caveat("receipt", "card", account, "-o", mine, "--replace").returncode == 0
    assert ABOUT in mine.read_text()


def test_what_is_declared_beside_the_receipt_is_used_again(caveat, account):
    (account / DECLARED).write_text(declared_json(FULL), "utf-8")
    told = ours(caveat("receipt", "card", account).stdout)
    assert told["declared"]["author"] == "Ada Ng"
    assert told["not_stated"] == []


def test_a_file_that_is_named_comes_before_the_one_beside(caveat, account, tmp_path):
    (account / DECLARED).write_text(declared_json(FULL), "utf-8")
    (tmp_path / "d.toml").write_text('author = "Eve"\n[[artists]]\nname = "Zoë"\nsays = "allowed"\n', "utf-8")
    told = ours(caveat("receipt", "card", account, "--declared", tmp_path / "d.toml").stdout)
    assert told["declared"] == {
        "author": "Eve",
        "artists": [{"name": "Zoë", "says": "allowed"}],
        "licences_met": ["https://licence.example/1"],
        "own_works_kept": 7,
    }


BAD = {
    "not there": (None, "cannot be read"),
    "no JSON": ("{", "not JSON"),
    "a member twice": ('{"title": "a", "title": "b"}', "stands twice"),
    "not known": ('{"tilte": "a"}', "with 'tilte', which is not of it"),
    "too large": (f'{{"title": "{"x" * 1_100_000}"}}', "larger than 1 MiB"),
    "no text": (b"\xff", "not UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_declaration_that_is_none_is_refused_by_name(caveat, account, tmp_path, name):
    text, message = BAD[name]
    path, out = tmp_path / "d.json", tmp_path / "out"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = caveat("receipt", "card", account, "--declared", path, "-o", out)
    assert done.returncode == 3
    assert message in done.stderr
    assert str(path) in done.stderr
    assert not out.exists()


def test_toml_that_is_none_is_refused_by_name(tmp_path):
    (tmp_path / "d.toml").write_text("title = ")
    with pytest.raises(InputError, match=r"d\.toml cannot be read"):
        read_declared(tmp_path / "d.toml")


def test_a_receipt_that_was_changed_has_no_card(caveat, account, tmp_path):
    wire = json.loads((account / RECEIPT).read_bytes())
    wire["signatures"][0]["sig"] = "A" * 86 + "=="
    (account / RECEIPT).write_text(json.dumps(wire, separators=(",", ":"), sort_keys=True) + "\n")
    for kind in DOCUMENTS:
        done = caveat("receipt", "card", account, "--format", kind, "-o", tmp_path / "out")
        assert (done.returncode, "signature" in done.stderr) == (3, True)
    assert not (tmp_path / "out").exists()


# On a terminal.


@pytest.fixture
def on_a_terminal(started):
    """Run the command with a terminal to type at."""

    def run(*arguments, answers):
        ours_, theirs = pty.openpty()
        try:
            os.write(ours_, "".join(f"{one}\n" for one in answers).encode())
            return started("receipt", "card", *arguments, stdin=theirs)
        finally:
            os.close(ours_)
            os.close(theirs)

    return run


ANSWERS = [
    "model",
    *("Cosy", "Ada", "", "CC0-1.0", "my page", "https://ada.example/cosy", ""),
    *("SDXL", "", "openrail++"),
    *("Chairs", "https://chairs.example/", "", ""),
    *("Zoë", "yes", "allowed", "train", "", "@zoe"),
    *("Bob", "conditional", "", "", "name me", ""),
    *("Eve", "", ""),
    *("studio.example", "", "ai-input", "reserved", "", "", ""),
    *("chairs", "stools", ""),
    "",
]
SAID = Declared(
    kind="model",
    title="Cosy",
    author="Ada",
    licence="CC0-1.0",
    url="https://ada.example/cosy",
    base_model=Upstream(name="SDXL", licence="openrail++"),
    upstream=(Upstream(name="Chairs", url="https://chairs.example/"),),
    artists=(
        Artist(name="Zoë", says="allowed", use="train", contact="@zoe"),
        Artist(name="Bob", says="conditional", terms="name me"),
        Artist(name="Eve"),
    ),
    conveyed=FULL.conveyed[:0],
    purposes=("chairs", "stools"),
)


def test_the_maker_is_asked_once_and_what_does_not_hold_is_asked_again(on_a_terminal, account):
    done = on_a_terminal(account, answers=ANSWERS)
    assert done.returncode == 0, done.stderr
    for message in ("no web address: 'my page'", "says of an artist: got 'yes'", "there are no terms"):
        assert message in done.stderr
    found = read_declared(account / DECLARED)
    assert [(one.of, one.use, str(one.preference)) for one in found.conveyed] == [
        ("studio.example", "ai-input", "reserved")
    ]
    assert ours(done.stdout)["declared"]["title"] == "Cosy"
    assert Declared(**{**_members(found), "conveyed": ()}) == SAID
    again = on_a_terminal(account, answers=[])
    assert again.stdout == done.stdout


def _members(declared):
    return {name: getattr(declared, name) for name in Declared.__dataclass_fields__}


def test_whoever_answers_nothing_states_nothing(on_a_terminal, account):
    done = on_a_terminal(account, answers=[""] * 13)
    assert done.returncode == 0, done.stderr
    assert read_declared(account / DECLARED) == Declared()


def test_answers_without_a_place_are_not_kept_and_that_is_said(on_a_terminal, account, tmp_path):
    alone = tmp_path / "other.json"
    (account / RECEIPT).rename(alone)
    done = on_a_terminal(alone, answers=[""] * 13)
    assert "The answers are not kept" in done.stderr
    kept = tmp_path / "kept.json"
    done = on_a_terminal(alone, "--declared", kept, answers=["", "Cosy", *[""] * 11])
    assert read_declared(kept) == Declared(title="Cosy")


def test_nobody_is_asked_about_a_receipt_that_does_not_hold(on_a_terminal, account):
    (account / RECEIPT).write_bytes(b"{}")
    done = on_a_terminal(account, answers=[])
    assert done.returncode == 3
    assert "Is it a dataset" not in done.stderr
