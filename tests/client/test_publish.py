"""``caveat publish``: files that are there stay, pictures keep their pixels, and what is not said is told."""

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree
from PIL import Image
from protego import Protego

from registry import cli
from registry.cli.publishing_site import SERVER_FILES
from registry.preference import Preference, Use
from registry.signals import Observation, SiteFile, read_embedded, read_signals
from registry.signals.c2pa import read as read_c2pa
from registry.signals.tdmrep import PATH as TDMREP
from registry.signals.writing.choice import stricter
from registry.signals.writing.headers import SERVERS
from registry.statement import Speaker
from tests.core.signals import certificates

SITE = "https://ada.example"
TERMS = f"{SITE}/licence"
R, C, A = Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED
TDM, TRAIN, GENAI, INPUT, INDEX, SEARCH = Use


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def publish(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ran]:
    """Run the real command line, errors and exit codes included, in this process and a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["caveat", "publish", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capfd.readouterr()
        assert "Traceback" not in told.err, told.err
        return Ran(int(stopped.value.code or 0), told.out, told.err)

    return run


def picture(kind: str, path: Path) -> Path:
    pixels = np.random.default_rng(7).integers(0, 256, (24, 32, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, kind)
    return path


def pixels_of(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def said(path: Path) -> dict[Use, Preference]:
    reading = read_embedded(path.read_bytes())
    assert reading.faults == ()
    return stricter(*(one.preferences for one in reading.statements))


# -- texts -----------------------------------------------------------------------------------------

TEXTS = {
    "robots": ("Content-Signal: ai-input=no, ai-train=no", "/robots.txt"),
    "ai-txt": ("Disallow: *.jpg", "/ai.txt"),
    "tdmrep": ('"tdm-reservation": 1', TDMREP),
    "rsl": ("ai-train ai-input ai-index", "/license.xml"),
    "headers": ("X-Robots-Tag: noai, noimageai", "the answers of every host"),
    "meta": ('<meta name="robots" content="noai, noimageai">', "<head>"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_goes_to_standard_output_and_the_rest_to_standard_error(
    name: str, publish: Callable[..., Ran]
) -> None:
    done, (line, place) = publish(name), TEXTS[name]
    assert done.code == 0
    assert line in done.out
    assert place not in done.out or name == "meta"
    assert f"put it at: {place}" in done.err or place in done.err


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_in_the_way_stays(name: str, publish: Callable[..., Ran], tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    done = publish(name, "--out", there)
    assert (done.code, done.out, there.read_text()) == (3, "", "mine")
    assert f"{there} is there already" in done.err
    assert "--replace" in done.err
    done = publish(name, "--out", there, "--replace")
    assert (done.code, done.out) == (0, "")
    assert TEXTS[name][0] in there.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_is_not_said_is_told(publish: Callable[..., Ran]) -> None:
    done = publish("tdmrep", "--reserve", "genai-train", "--allow", "tdm")
    assert "tdm: allowed, and said to be reserved" in done.err
    assert "train: said to be reserved too" in done.err
    assert "genai-train:" not in done.err


def test_json_has_all_of_it(publish: Callable[..., Ran]) -> None:
    done = publish("tdmrep", "--condition", "tdm", "--terms", TERMS, "--output", "json")
    told = json.loads(done.out)
    assert told["protocol"] == "tdmrep"
    assert told["carried"]["genai-train"] == "reserved"
    assert {"use": "tdm", "meant": "conditional", "told": "reserved"} in told["lost"]
    assert json.loads(told["text"]) == [{"location": "/", "tdm-reservation": 1}]
    assert (told["files"], done.err) == ([], "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["robots", "--reserve", "tdm"], "would say nothing", id="nothing to say"),
        pytest.param(["robots", "--reserve", "tdm", "--allow", "tdm"], "more than one", id="two things"),
        pytest.param(["rsl", "--condition", "tdm"], "no terms", id="on no terms"),
        pytest.param(["rsl", "--site", f"{SITE}/works"], "below a site", id="no site"),
        pytest.param(["headers", "--rsl", "license.xml"], "not a URL", id="no address"),
        pytest.param(["robots", "--rsl", f"{SITE}/#a"], "fragment", id="a comment in robots.txt"),
        pytest.param(["robots", "--reserve", "everything"], "everything", id="no use"),
        pytest.param(["robots", "--merge", "missing"], "missing", id="no file to merge"),
        pytest.param(["tdmrep", "--assigner-name", "Ada"], "--policy FILE", id="an assigner, no policy"),
        pytest.param(["tdmrep", "--policy", "p.json"], "--policy-url", id="a policy without an address"),
        pytest.param(
            ["tdmrep", "--policy", "p.json", "--policy-url", f"{SITE}/p.json"],
            "on terms",
            id="no terms at all",
        ),
        pytest.param(["all", "--out", "o", "--site", f"{SITE}/works"], "below a site", id="all of no site"),
    ],
)
def test_what_is_refused(words: list[str], says: str, publish: Callable[..., Ran], tmp_path: Path) -> None:
    done = publish(*words)
    assert (done.code, done.out) == (3, "")
    assert says in done.err
    assert list(tmp_path.iterdir()) == []


def test_robots_are_merged_into_the_file_that_is_there(publish: Callable[..., Ran], tmp_path: Path) -> None:
    there = tmp_path / "robots.txt"
    before = b"User-agent: *\r\nDisallow: /private/\r\n\r\nUser-agent: Foo\r\nDisallow: /caf\xe9\r\n"
    there.write_bytes(before)
    done = publish("robots", "--merge", there, "--agents", "--out", there, "--replace")
    assert done.code == 0
    assert "foo: in a group of their own" in done.err
    after = there.read_bytes()
    assert set(before.splitlines()) <= set(after.splitlines())
    read = Protego.parse(after.decode("latin-1"))
    assert not read.can_fetch(f"{SITE}/a.jpg", "GPTBot")
    assert read.can_fetch(f"{SITE}/a.jpg", "Foo")
    assert not read.can_fetch(f"{SITE}/private/a.jpg", "Other")
    assert publish("robots", "--merge", there, "--agents", "--out", there, "--replace").code == 0
    assert there.read_bytes() == after


def test_a_file_that_the_shell_emptied_is_told(publish: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_bytes(b"\n")
    done = publish("robots", "--merge", "robots.txt")
    assert (done.code, done.out) == (3, "")
    assert "is empty" in done.err
    assert "--replace" in done.err


def test_a_policy_is_written_beside(publish: Callable[..., Ran], tmp_path: Path) -> None:
    uses = [word for use in (TDM, TRAIN, GENAI, INPUT, INDEX) for word in ("--condition", use)]
    where = ["--policy", "p.json", "--policy-url", f"{SITE}/p.json", "--out", "t.json"]
    who = ["--assigner-name", "Ada", "--assigner-mail", "ada@ada.example"]
    done = publish("tdmrep", *uses, "--terms", TERMS, *where, *who)
    assert done.code == 0, done.err
    [entry] = json.loads((tmp_path / "t.json").read_text())
    assert entry["tdm-policy"] == f"{SITE}/p.json"
    assert json.loads((tmp_path / "p.json").read_text())["assigner"]["vcard:fn"] == "Ada"


# -- a whole site ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tdmrep", "headers", "meta"])
def test_a_policy_that_is_not_written_is_told(name: str, publish: Callable[..., Ran]) -> None:
    done = publish(name, "--policy-url", f"{SITE}/policy.json")
    assert "policy.json" not in done.out
    assert "your policy: not said" in done.err
    uses = [word for use in Use if use is not Use.SEARCH for word in ("--condition", use)]
    done = publish(name, "--policy-url", f"{SITE}/policy.json", *uses, "--terms", TERMS)
    assert "policy.json" in done.out
    assert "your policy" not in done.err


def test_a_whole_site_is_read_as_it_was_meant(publish: Callable[..., Ran], tmp_path: Path) -> None:
    done = publish("all", "--site", SITE, "--out", "o", "--allow", "search", "--agents")
    assert done.code == 0, done.err
    folder = tmp_path / "o"
    readme = (folder / "README.txt").read_text()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert all(name in readme for name in names - {"README.txt"})
    assert {f"server/{name}" for name in SERVER_FILES.values()} <= names
    site = {
        f"/{path.relative_to(folder / 'site').as_posix()}": SiteFile(SITE, 200, path.read_bytes())
        for path in (folder / "site").rglob("*")
        if path.is_file()
    }
    site[f"{SITE}/license.xml"] = site.pop("/license.xml")
    lines = (folder / "server" / "headers.txt").read_text().splitlines()
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    page = b"<!doctype html><html><head>" + (folder / "page" / "head.html").read_bytes()
    reading = read_signals(Observation(f"{SITE}/a.jpg", b"", b"", headers, page, site))
    assert reading.faults == ()
    assert stricter(*(one.preferences for one in reading.statements)) == {
        **dict.fromkeys((TDM, TRAIN, GENAI, INPUT, INDEX), R),
        SEARCH: A,
    }
    assert ElementTree.fromstring(site[f"{SITE}/license.xml"].data).tag.endswith("}rsl")


def test_every_server_has_a_file() -> None:
    assert SERVER_FILES.keys() == SERVERS.keys()


def test_a_site_on_terms_has_a_policy_once_it_is_known_who_reserves(
    publish: Callable[..., Ran], tmp_path: Path
) -> None:
    uses = [word for use in (TDM, TRAIN, GENAI, INPUT, INDEX) for word in ("--condition", use)]
    done = publish("all", "--site", SITE, "--out", "o", *uses, "--terms", TERMS, "--assigner-name", "Ada")
    assert done.code == 0, done.err
    policy = json.loads((tmp_path / "o/site/.well-known/tdm-policy.json").read_text())
    [entry] = json.loads((tmp_path / "o/site/.well-known/tdmrep.json").read_text())
    assert policy["uid"] == entry["tdm-policy"] == f"{SITE}/.well-known/tdm-policy.json"
    assert publish("all", "--site", SITE, "--out", "p", *uses, "--terms", TERMS).code == 0
    assert not (tmp_path / "p/site/.well-known/tdm-policy.json").exists()


def test_what_no_file_can_say_is_left_out_and_told(publish: Callable[..., Ran], tmp_path: Path) -> None:
    done = publish("all", "--site", SITE, "--out", "o", "--reserve", "search")
    assert done.code == 0
    assert "site/ai.txt: left out" in done.err
    assert not (tmp_path / "o/site/ai.txt").exists()
    assert "site/ai.txt: left out" in (tmp_path / "o/README.txt").read_text()


def test_a_folder_in_the_way_stays(publish: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine").write_text("mine")
    assert publish("all", "--site", SITE, "--out", "o").code == 3
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mine"]


# -- pictures --------------------------------------------------------------------------------------

KINDS = {"JPEG": "a.jpg", "PNG": "b.png", "WEBP": "c.webp", "TIFF": "d.tif"}


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    for kind, name in KINDS.items():
        picture(kind, tmp_path / "gallery" / "deep" / name)
    return tmp_path / "gallery"


def test_copies_of_pictures_say_it_and_keep_their_pixels(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in gallery.rglob("*.*")}
    done = publish("xmp", gallery, "--out", "marked")
    assert done.code == 0, done.err
    assert "wrote 4 pictures into marked" in done.out
    for name in KINDS.values():
        copy = tmp_path / "marked" / "deep" / name
        assert said(copy) == dict.fromkeys((TDM, TRAIN, GENAI, INPUT, INDEX), R)
        assert np.array_equal(pixels_of(copy), pixels_of(gallery / "deep" / name))
    assert before == {path: path.read_bytes() for path in gallery.rglob("*.*")}


XMP = {
    "RRRRR-": ("", "RRRRR-"),
    "RRRRRA": ("--allow search", "RRRRRA"),
    "--R---": ("--reserve genai-train", "--R---"),
    "-RR---": ("--reserve genai-train --reserve train", "-RR---"),
    "RRRRRR": ("".join(f" --reserve {use}" for use in Use), "RRRRRR"),
    "R-----": ("--reserve tdm", "RRRRR-"),
    "--R--A": ("--reserve genai-train --allow search", "--R--A"),
    "-----R": ("--reserve search", "RRRRRR"),
    "CCCCC-": (
        f"--terms {TERMS}" + "".join(f" --condition {use}" for use in Use if use is not SEARCH),
        "CCCCCC",
    ),
    "RRCRRA": (f"--terms {TERMS} --condition genai-train --allow search", "RRRRRA"),
    "AAAAAA": ("".join(f" --allow {use}" for use in Use), "AAA---"),
}


@pytest.mark.parametrize("meant", XMP)
def test_a_picture_says_what_is_carried(meant: str, publish: Callable[..., Ran], tmp_path: Path) -> None:
    words, expected = XMP[meant]
    source = picture("PNG", tmp_path / "a.png")
    done = publish("xmp", source, "--out", "o", "--output", "json", *words.split())
    assert done.code == 0, done.err
    found = said(tmp_path / "o" / "a.png")
    shown = "".join(found[use].name[0] if use in found else "-" for use in Use)
    # Of search nothing is said when it is allowed beside training alone: IPTC has no word for that.
    assert shown == (expected if meant != "--R--A" else "--R---")
    told = json.loads(done.out)
    assert told["carried"] == {str(use): str(value) for use, value in found.items()}


def test_a_picture_that_cannot_carry_it_is_told_and_left_out(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path
) -> None:
    picture("GIF", gallery / "e.gif")
    (gallery / "f.jpg").write_bytes(b"no picture")
    done = publish("xmp", gallery, "--out", "marked", "--output", "json")
    assert done.code == 2
    told = json.loads(done.out)
    assert [Path(one["path"]).name for one in told["not_written"]] == ["e.gif", "f.jpg"]
    assert len(told["files"]) == 4
    assert not (tmp_path / "marked" / "e.gif").exists()
    done = publish("xmp", gallery / "e.gif", "--out", "none")
    assert done.code == 3
    assert "nothing was written" in done.err
    assert not (tmp_path / "none").exists()


def test_a_picture_that_cannot_be_read_is_told_and_left_out(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path
) -> None:
    (gallery / "gone.jpg").symlink_to(tmp_path / "nowhere")
    done = publish("xmp", gallery, "--out", "o")
    assert done.code == 2
    assert f"not written: {gallery / 'gone.jpg'}: cannot be read: No such file" in done.err
    assert (tmp_path / "o/deep/a.jpg").exists()


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
def test_what_is_no_file_is_not_replaced(publish: Callable[..., Ran], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = publish("robots", "--out", "pipe", "--replace")
    assert (done.code, (tmp_path / "pipe").is_fifo()) == (3, True)
    assert "is no file, and none is put in its place" in done.err


def test_originals_and_copies_that_are_there_stay(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path
) -> None:
    source = gallery / "deep" / "a.jpg"
    before = source.read_bytes()
    done = publish("xmp", source, "--out", gallery / "deep", "--replace")
    assert (done.code, source.read_bytes()) == (3, before)
    assert "is an original" in done.err
    assert publish("xmp", source, "--out", "o").code == 0
    done = publish("xmp", source, "--out", "o")
    assert done.code == 3
    assert "is there already" in done.err
    assert publish("xmp", source, "--out", "o", "--replace").code == 0
    other = picture("JPEG", tmp_path / "other" / "a.jpg")
    done = publish("xmp", source, other, "--out", "p")
    assert done.code == 3
    assert "twice" in done.err


# -- signatures ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pem")
    made = {}
    for name, purpose, kind in (("good", "emailProtection", "P-256"), ("web", "serverAuth", "P-384")):
        credential = certificates.credential(purpose, kind=kind)
        for part, data in (("chain", credential.chain), ("key", credential.key)):
            made[f"{name}-{part}"] = folder / f"{name}-{part}.pem"
            made[f"{name}-{part}"].write_bytes(data)
    return made


def test_a_signed_copy_says_it_in_both(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path, pem: dict[str, Path]
) -> None:
    keys = ["--certificate", pem["good-chain"], "--key", pem["good-key"]]
    done = publish("c2pa", gallery, "--out", "signed", *keys)
    assert done.code == 0, done.err
    for name in KINDS.values():
        copy = tmp_path / "signed" / "deep" / name
        [one] = read_c2pa(copy.read_bytes()).statements
        assert one.preferences == dict.fromkeys((TDM, TRAIN, GENAI, INPUT), R)
        assert one.signal is not None
        assert one.signal.speaker is Speaker.SIGNED
        assert said(copy) == dict.fromkeys((TDM, TRAIN, GENAI, INPUT, INDEX), R)
        assert np.array_equal(pixels_of(copy), pixels_of(gallery / "deep" / name))
    done = publish("xmp", tmp_path / "signed" / "deep" / "a.jpg", "--out", "again")
    assert done.code == 3
    assert "void its signature" in done.err


def test_what_is_signed_already_is_signed_again_without_xmp(
    publish: Callable[..., Ran], gallery: Path, tmp_path: Path, pem: dict[str, Path]
) -> None:
    keys = ["--certificate", pem["good-chain"], "--key", pem["good-key"]]
    assert publish("c2pa", gallery / "deep" / "b.png", "--out", "once", *keys, "--reserve", "tdm").code == 0
    done = publish("c2pa", tmp_path / "once" / "b.png", "--out", "twice", *keys, "--reserve", "genai-train")
    assert done.code == 0, done.err
    found = read_c2pa((tmp_path / "twice" / "b.png").read_bytes())
    assert found.faults == ()
    assert stricter(*(one.preferences for one in found.statements))[GENAI] is R


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        pytest.param("good-chain", "web-key", "not that of", id="another's key"),
        pytest.param(
            "web-chain", "web-key", "serverAuth|no named purpose|1.3.6.1.5.5.7.3.1", id="a web server's"
        ),
        pytest.param("good-key", "good-key", "not PEM", id="a key for a certificate"),
        pytest.param("none", "good-key", "no PEM file", id="no certificate"),
    ],
)
def test_a_certificate_that_cannot_sign_ends_the_command(
    certificate: str,
    key: str,
    says: str,
    publish: Callable[..., Ran],
    gallery: Path,
    tmp_path: Path,
    pem: dict[str, Path],
) -> None:
    none = tmp_path / "none.pem"
    none.write_bytes(io.BytesIO(b"\0\1\2").getvalue())
    files = {**pem, "none": none}
    done = publish("c2pa", gallery, "--out", "o", "--certificate", files[certificate], "--key", files[key])
    assert (done.code, done.out) == (3, "")
    assert any(one in done.err for one in says.split("|")), done.err
    assert not (tmp_path / "o").exists()
