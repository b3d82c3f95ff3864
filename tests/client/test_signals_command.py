"""``caveat signals``, and ``--site-signals`` of check and filter, against sites on this machine."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from registry.cli import cli, sites
from registry.errors import InputError, SettingsError
from registry.fetch import SITE_SIGNALS
from registry.signals.agents import Agents
from tests.core.signals.packets import mined

from .sites import Site

PACKET = mined("DMI-PROHIBITED")


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def run(monkeypatch, tmp_path) -> Callable[..., Result]:
    monkeypatch.setattr(sites, "SITE_SIGNALS", replace(SITE_SIGNALS, private=True, total_seconds=3))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*words: object) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return run


@pytest.fixture
def picture(tmp_path) -> Callable[..., Path]:
    def make(name: str, xmp: bytes | None = None) -> Path:
        path = tmp_path / name
        Image.effect_noise((96, 96), 80).convert("RGB").save(path, **({} if xmp is None else {"xmp": xmp}))
        return path

    return make


def told(result: Result) -> list[dict[str, Any]]:
    wire: list[dict[str, Any]] = json.loads(result.stdout)
    return wire


@pytest.mark.parametrize(
    ("xmp", "code", "preference"),
    [(None, 0, "unknown"), (PACKET, 1, "reserved"), (PACKET[:120], 2, None)],
    ids=["silent", "reserved", "broken"],
)
def test_pictures_say_what_is_written_into_them(run, picture, xmp, code, preference):
    path = picture("a.jpg", xmp)
    result = run("signals", "--output", "json", path)
    assert result.exit_code == code, result.output
    [wire] = told(result)
    assert (wire["target"], wire["preference"]) == (str(path), preference)
    assert bool(wire["faults"]) is (code == 2)


def test_a_folder_is_read_and_the_word_read_may_be_left_out(run, picture, tmp_path):
    picture("a.jpg", PACKET)
    picture("b.webp", PACKET)
    for words in (("signals", tmp_path), ("signals", "read", tmp_path)):
        result = run(*words)
        assert result.exit_code == 1
        assert result.output.count("Reserved for genai-train: the picture’s own metadata says so") == 2
        assert "iptc 2025.1" in result.output


def test_what_is_broken_is_not_called_silent(run, picture):
    result = run("signals", picture("a.jpg", PACKET[:120]))
    assert "Not known for genai-train" in result.output
    assert "malformed xmp" in result.output
    assert "Nobody" not in result.output


def test_a_file_that_cannot_be_read_ends_nothing(run, picture, tmp_path):
    picture("set.jpg", PACKET)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    done = run("signals", tmp_path, "--output", "json")
    assert done.exit_code == 2
    broken, read = told(done)
    assert (broken["preference"], read["preference"]) == (None, "reserved")
    assert broken["faults"][0] == {
        "protocol": "file",
        "carrier": "file",
        "status": "error",
        "message": "cannot be read: No such file or directory",
    }


def test_a_user_without_a_home_is_told_what_to_do(run, picture, monkeypatch):
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    done = run("signals", picture("a.jpg"))
    assert isinstance(done.exception, SettingsError)
    assert "XDG_CACHE_HOME" in done.exception.hint


def test_what_is_not_there_is_told_before_anything_is_read(run, picture):
    done = run("signals", picture("a.jpg"), "nowhere.jpg")
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""


def test_an_address_is_read_with_its_site(run, site):
    site.says("/robots.txt", b"User-agent: *\nAllow: /\nContent-Signal: search=yes\n")
    site.says("/a.jpg", b"not a picture", X_Robots_Tag="max-snippet: 5, NoAI")
    result = run("signals", "--output", "json", f"{site.url}/a.jpg")
    assert result.exit_code == 1, result.output
    [wire] = told(result)
    assert {one["signal"]["carrier"] for one in wire["statements"]} >= {"robots.txt"}
    assert {one["signal"]["protocol"] for one in wire["statements"]} == {"content-signal", "directives"}


def test_a_site_out_of_reach_is_an_error_and_not_silence(run, site):
    site.close()
    result = run("signals", "--output", "json", f"{site.url}/a.jpg")
    assert result.exit_code == 2
    [wire] = told(result)
    assert wire["faults"]


def test_what_is_neither_file_nor_address_is_refused(run, tmp_path):
    result = run("signals", tmp_path / "absent")
    assert isinstance(result.exception, InputError)
    assert "neither a file, a folder nor a URL" in result.exception.message


def crawlers(version: str, *tokens: str) -> bytes:
    agents = [
        {"token": one, "kind": "training", "operator": "Somebody", "source": "its page"} for one in tokens
    ]
    return json.dumps({"version": version, "agents": agents}).encode()


def test_a_newer_list_of_crawlers_is_taken(run, site, tmp_path):
    site.says("/robots.txt", b"User-agent: NewBot\nDisallow: /\n")
    site.says("/a.jpg")
    assert run("signals", f"{site.url}/a.jpg").exit_code == 0
    (tmp_path / "new.json").write_bytes(crawlers("2099-01-01", "GPTBot", "NewBot"))
    result = run("signals", "update", tmp_path / "new.json")
    assert result.exit_code == 0, result.output
    assert "2 AI crawlers, as of 2099-01-01" in result.output
    assert "new: NewBot" in result.output
    assert run("signals", f"{site.url}/a.jpg").exit_code == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (crawlers("2020-01-01", "GPTBot"), "the list in use of"),
        (b"{}", "not a list of AI crawlers"),
        (b"\xff", "new.json"),
    ],
    ids=["older", "of another form", "no text"],
)
def test_a_list_that_is_older_or_none_changes_nothing(run, tmp_path, data, why):
    (tmp_path / "new.json").write_bytes(data)
    result = run("signals", "update", tmp_path / "new.json")
    assert isinstance(result.exception, InputError)
    assert why in result.exception.message
    assert sites.known_agents() == Agents.default()


def test_a_list_of_ones_own_that_was_damaged_is_an_error(run, site, tmp_path):
    (tmp_path / "new.json").write_bytes(crawlers("2099-01-01", "GPTBot"))
    run("signals", "update", tmp_path / "new.json")
    sites.agents_path().write_bytes(b"{")
    result = run("signals", f"{site.url}/a.jpg")
    assert isinstance(result.exception, InputError)
    assert str(sites.agents_path()) in result.exception.message


@pytest.fixture
def table(site, tmp_path):
    site.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /kept-back\n")
    for name in ("kept-back/a.jpg", "free.jpg"):
        site.says(f"/{name}")
    site.says("/noai.jpg", X_Robots_Tag="noai")
    site.says("/fails.jpg", status=500)
    names = ("kept-back/a.jpg", "free.jpg", "noai.jpg", "fails.jpg")
    path = tmp_path / "set.csv"
    path.write_text("url\n" + "".join(f"{site.url}/{name}\n" for name in names))
    return path


def test_filter_asks_sites_only_when_told_to(run, site, table, fake):
    registry = fake().url
    words = ("filter", table, "--registry", registry, "--output", "json")
    result = run(*words[:2], table.with_name("one.csv"), *words[2:])
    assert result.exit_code == 0, result.output
    assert not site.asked
    result = run(*words[:2], table.with_name("two.csv"), *words[2:], "--site-signals")
    assert result.exit_code == 2, result.output
    wire = json.loads(result.stdout)
    assert (wire["kept"], wire["removed"], wire["errors"]) == (1, 2, 1)
    assert wire["removed_by"] == {"robots": 1, "directives": 1}
    assert wire["site_signals"] is True
    assert table.with_name("two.csv").read_text() == f"url\n{site.url}/free.jpg\n"
    assert "Sites" in (table.with_name("two.csv.caveat") / "report.html").read_text()


def test_check_takes_an_address_longer_than_a_file_name(run, fake):
    done = run("check", f"https://ada.example/{'a' * 5000}", "--registry", fake().url, "--output", "json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert told(done)[0]["status"] == "ok"


def test_check_asks_sites_when_told_to(run, site, fake):
    site.says("/a.jpg", tdm_reservation="1")
    registry = fake().url
    words = ("check", f"{site.url}/a.jpg", "--registry", registry)
    assert run(*words).exit_code == 0
    assert not site.asked
    result = run(*words, "--site-signals")
    assert result.exit_code == 1, result.output
