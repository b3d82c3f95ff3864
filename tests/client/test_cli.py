"""``caveat`` as people start it: what it says, what it writes, and the code it ends with."""

import json
import os
import pty
import signal
import time

import pytest
import requests
from PIL import Image

EXAMPLES = {
    "": [
        "caveat demo",
        "caveat register paintings/",
        "caveat filter my-set my-set-clean",
        "Exit codes: 0 done",
        "formats",
        "withdraw",
    ],
    "check": ["caveat check painting.jpg", "Exits with 1 when a reserved work"],
    "demo": ["--out", "Nothing leaves this machine"],
    "export": ["Write down all that the registry holds", "log verify FILE"],
    "log": ["Check a registry's transparency log", "verify"],
    "log verify": ["goes on from what it was", "nobody is asked", "--log-key"],
    "filter": [
        "caveat filter my-set my-set-clean",
        "--dry-run",
        "It is never changed",
        "Pictures stay on this machine",
    ],
    "grant create": ["for the licensee", "caveat grant create k3"],
    "grant verify": ["was not taken back", "--log-key"],
    "erase": ["Destroy the reservation ID", "nobody can bring it back", "--keep"],
    "formats": ["List the dataset formats"],
    "register": ["caveat register paintings/", "caveat register --csv portfolio.csv", "never sent"],
    "withdraw": ["Withdraw the reservation or the import ID"],
}


@pytest.fixture
def at(live):
    """The words that name the registry and a key."""
    return lambda key: ("--registry", live.url, "--key", live.keys[key])


@pytest.mark.parametrize("name", EXAMPLES, ids=lambda name: name or "caveat")
def test_the_help_of_every_command_teaches(caveat, name):
    done = caveat(*name.split(), "--help")
    text = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert [example for example in EXAMPLES[name] if example not in text] == []


ENDINGS = {
    # words: the code that the program itself ends with
    ("--version",): 0,
    ("check", "https://gallery.example/a.jpg"): 1,
    ("check", "https://:x/"): 2,
    ("fly",): 3,
}


def test_the_program_ends_with_the_code_of_its_command(command, live):
    running = {words: command(*words, env={"CAVEAT_REGISTRY": live.url}) for words in ENDINGS}
    for words, process in running.items():
        with process:
            err = process.communicate(timeout=180)[1]
        assert process.returncode == ENDINGS[words], err
        assert "Traceback" not in err


WRONG = {
    # words: what standard error says
    ("filter", "set"): "Missing argument 'DST'",
    ("filter", "gone", "clean"): "does not exist",
    ("filter", "set", "clean", "--mode", "lax"): "'lax' is not one of",
    ("filter", "set", "clean", "--workers", "0"): "--workers",
    ("filter", "set", "clean"): "no registry was named",
    ("filter", "set", "clean", "--registry", "registry.example"): "not the address of a registry",
    ("filter", "set", "clean", "--registry", "http://x.example", "--mode", "research-art3"): "organisation",
    ("check",): "Missing argument",
    ("check", "gone.jpg", "--registry", "http://127.0.0.1:1"): "neither a file or folder here, nor a URL",
    ("register", "gone.jpg", "--registry", "http://127.0.0.1:1"): "neither a file or folder here, nor a URL",
    ("register",): "Name at least one picture",
    ("register", "nowhere/at all", "--registry", "http://127.0.0.1:1"): "nor a domain",
    ("fly",): "No such command",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_wrong_call_ends_with_3_and_says_what_is_wrong(caveat, tmp_path, kit, words):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    done = caveat(*words)
    assert (done.returncode, done.stdout) == (3, "")
    assert WRONG[words] in " ".join(done.stderr.split())
    assert kit.leftovers(tmp_path, "set", "home") == set()


def test_without_a_registry_it_says_what_to_do(caveat):
    done = caveat("check", "https://free.example/a.jpg")
    assert done.returncode == 3
    assert all(
        way in done.stderr for way in ("--registry URL", "CAVEAT_REGISTRY", "config.toml", "caveat serve")
    )


def test_a_registry_is_named_by_environment_or_configuration(caveat, live, tmp_path, kit):
    url = "https://gallery.example/a.jpg"
    assert caveat("check", url, env={"CAVEAT_REGISTRY": live.url}).returncode == 1
    config = {
        "caveat/config.toml": f'registry = "{live.url}"\n[keys]\n"{live.url}" = "{live.keys["maker"]}"\n'
    }
    kit.plant(tmp_path / "home/.config", config)
    done = caveat("check", url, "--output", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["statements"][0]["label"] == "The Gallery"
    kit.plant(tmp_path / "xdg", {"caveat/config.toml": "registry = ["})
    broken = caveat("check", url, env={"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert broken.returncode == 3
    assert "config.toml cannot be read" in broken.stderr


def test_a_registry_that_cannot_be_reached_or_fails_ends_with_3_and_its_address(caveat, fake, tmp_path, kit):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    failing = fake(lambda body: (500, b"", {})).url
    done = caveat("filter", "set", "clean", "--registry", failing)
    assert done.returncode == 3
    assert failing in done.stderr
    assert "Run the same command again" in done.stderr
    assert kit.leftovers(tmp_path, "set", "home") == set()


CHECKED = {
    "nobody has spoken": (["free.png", "https://free.example/"], 0),
    "a reserved picture": (["free.png", "copy.jpg"], 1),
    "a reserved address": (["https://images.gallery.example/x.jpg"], 1),
    "a folder": (["."], 1),
    "not readable": (["copy.jpg", "text.jpg"], 2),
    "not an address": (["copy.jpg", "https://:x/"], 2),
}


@pytest.mark.parametrize("name", CHECKED)
def test_check_ends_with_what_it_found(caveat, at, tmp_path, kit, copies, name):
    folder = kit.plant(tmp_path / "seen", {"free.png": kit.free(1), "copy.jpg": copies["jpeg"]})
    kit.plant(tmp_path, {"other/text.jpg": "text"})
    (tmp_path / "other/copy.jpg").symlink_to(folder / "copy.jpg")
    before = kit.tree(folder)
    words, code = CHECKED[name]
    where = tmp_path / ("other" if code == 2 else "seen")
    done = caveat("check", *words, *at("maker"), "--output", "json", cwd=where)
    assert (done.returncode, done.stderr) == (code, "")
    wires = json.loads(done.stdout)
    assert len(wires) == (2 if words == ["."] else len(words))
    assert any(wire["action"] == "remove" for wire in wires) == (name != "nobody has spoken")
    assert any(wire["status"] != "ok" for wire in wires) == (code == 2)
    assert kit.tree(folder) == before


def test_check_tells_people_whose_work_it_is(caveat, at, tmp_path, kit, copies):
    kit.plant(tmp_path, {"copy.jpg": copies["jpeg"], "[red]odd.png": kit.free(5)})
    done = caveat("check", "copy.jpg", "[red]odd.png", *at("maker"))
    assert "reserved" in done.stdout
    assert "“Ada”" in done.stdout
    assert "[red]odd.png" in done.stdout


def test_filter_tells_people_and_machines_the_same(caveat, at, tmp_path, kit, copies):
    files = {"a.png": kit.free(1), "b.jpg": copies["jpeg"], "b.txt": "B", "text.jpg": "text"}
    kit.plant(tmp_path / "set", files)
    human = caveat("filter", "set", "clean", *at("maker"))
    assert human.returncode == 2
    assert "1 kept, 1 removed with 1 file of theirs, 0 to look at, 1 set aside" in human.stdout
    assert "reading it as folder: it has 3 pictures" in human.stderr
    assert "report  clean.caveat/report.html" in human.stdout
    one = caveat("filter", "set", "one", *at("maker"), "--output", "json")
    wire = json.loads(one.stdout)
    assert one.returncode == 2
    counts = ("samples", "kept", "removed", "errors", "unknown")
    assert [wire[name] for name in counts] == [3, 1, 1, 1, 1]
    assert (wire["target"], wire["format"]) == ("one", "folder")
    many = caveat("filter", "set", "many", *at("maker"), "--output", "ndjson")
    lines = [json.loads(line) for line in many.stdout.splitlines()]
    assert [line.get("path") for line in lines] == ["b.jpg", "text.jpg", None]
    assert lines[:-1] == wire["notable"]
    assert kit.tree(tmp_path / "one") == kit.tree(tmp_path / "many") == {"a.png": files["a.png"]}


def test_filter_ends_with_4_when_nothing_is_left_and_a_dry_run_writes_nothing(caveat, at, tmp_path, kit):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    dry = caveat("filter", "set", "clean", *at("maker"), "--dry-run")
    assert dry.returncode == 0
    assert "A dry run: nothing was written." in dry.stdout
    assert kit.leftovers(tmp_path, "set", "home") == set()
    strict = caveat("filter", "set", "clean", *at("maker"), "--mode", "strict")
    assert strict.returncode == 4
    assert "no record of 1 sample, to be left out" in strict.stderr
    assert "no output was written" in strict.stdout
    assert kit.leftovers(tmp_path, "set", "home") == {"clean.caveat"}


@pytest.mark.parametrize("answer", ["n", "y"])
def test_strict_mode_asks_on_a_terminal_and_a_no_writes_nothing(started, at, tmp_path, kit, answer):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = started("filter", "set", "clean", *at("maker"), "--mode", "strict", stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert "Go on?" in done.stderr
    assert done.returncode == 4
    assert ("as you said" in done.stdout) == (answer == "n")
    assert kit.leftovers(tmp_path, "set", "home") == (set() if answer == "n" else {"clean.caveat"})


def register(caveat, at, *words, key="ada"):
    done = caveat("register", *words, *at(key), "--output", "json")
    return done, json.loads(done.stdout) if done.stdout else None


def test_register_and_withdraw_pictures(caveat, at, tmp_path, kit):
    flat = kit.packed(Image.new("RGB", (64, 64), "blue"))
    files = {
        "mine/a.png": kit.free(901),
        "mine/deep/b.png": kit.free(902),
        "mine/flat.png": flat,
        "mine/t.jpg": "text",
    }
    kit.plant(tmp_path, files)
    done = caveat("register", "mine", *at("ada"), "--title", "Test", "--terms", "https://ada.example/")
    assert done.returncode == 2
    assert "lodged 3 works" in done.stdout
    assert "not lodged: mine/t.jpg: not a picture" in done.stderr
    assert "flat.png is too plain to be told apart" in done.stderr
    assert "only this exact file" in done.stderr
    id_ = done.stdout.split("caveat withdraw ")[1].strip()

    scaled = kit.packed(Image.open(tmp_path / "mine/a.png").resize((200, 200)), "JPEG", quality=80)
    kit.plant(tmp_path, {"found/scaled.jpg": scaled, "found/flat.png": flat})
    checked = caveat("check", "found/scaled.jpg", "found/flat.png", *at("maker"), "--output", "json")
    assert checked.returncode == 1
    assert [(w["action"], w["match"]["kind"]) for w in json.loads(checked.stdout)] == [
        ("remove", "pdq"), ("remove", "sha256"),
    ]  # fmt: skip

    stranger = caveat("withdraw", id_, *at("ben"))
    assert (stranger.returncode, "404" in stranger.stderr) == (3, True)
    withdrawn = caveat("withdraw", id_, *at("ada"))
    assert withdrawn.returncode == 0
    assert "withdrawn at" in withdrawn.stdout
    assert caveat("check", "found", *at("maker")).returncode == 0


def test_register_addresses_domains_and_lists(caveat, at, tmp_path, kit):
    kit.plant(
        tmp_path, {"list.csv": "\ufeffurl,title\nhttps://list.example/1,One\nhttps://list.example/2,Two\n"}
    )
    one, wire = register(caveat, at, "https://one.example/a.jpg", "--csv", "list.csv")
    assert (one.returncode, wire["reservations"][0]["works"], wire["not_lodged"]) == (0, 3, [])
    below, wire = register(caveat, at, "https://gallery.example/works/", "gallery.example", key="gallery")
    assert (below.returncode, wire["reservations"][0]["rules"]) == (0, 2)
    urls = ["https://one.example/a.jpg", "http://www.list.example/2", "https://one.example/b.jpg"]
    checked = json.loads(caveat("check", *urls, *at("maker"), "--output", "json").stdout)
    assert [one["preference"] for one in checked] == ["reserved", "reserved", "unknown"]


@pytest.mark.parametrize(("options", "shown"), [([], None), (["--public"], "Ada")], ids=["as ever", "public"])
def test_a_name_is_shown_to_anybody_only_if_asked_for(caveat, at, live, options, shown):
    address = "https://one.example/public.jpg"
    _, wire = register(caveat, at, address, "--title", "Ada", *options)
    page = f"{live.url}/record/{wire['reservations'][0]['id']}.json"
    assert requests.get(page, timeout=20).json()["label"] == shown


def test_register_of_what_is_not_ones_own_is_refused(caveat, at, tmp_path, kit):
    kit.plant(
        tmp_path,
        {"bad.csv": "url\nhttps://fine.example/\nnot a url\n", "text.jpg": "text", "none/a.txt": "x"},
    )
    kit.plant(tmp_path, {"head.csv": "address\nx\n"})
    wrong = {
        ("stranger.example", *at("ada")): "403",
        ("https://stranger.example/works/", *at("ada")): "403",
        ("gallery.example", *at("maker")): "403",
        ("https://one.example/", "--registry", at("ada")[1]): "401",
        ("--csv", "bad.csv", *at("ada")): "bad.csv, line 3: not a URL",
        ("--csv", "head.csv", *at("ada")): "has no column url",
        ("text.jpg", *at("ada")): "none of the pictures can be read",
        ("none", *at("ada")): "no pictures below",
    }
    for words, says in wrong.items():
        done = caveat("register", *words)
        assert (done.returncode, done.stdout) == (3, ""), words
        assert says in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_while_hashing_leaves_nothing(command, fake, tmp_path, kit, workers):
    picture = kit.free(1, 900)
    kit.plant(tmp_path / "set", {f"{n}.png": picture for n in range(400)})
    words = ("filter", "set", "clean", "--registry", fake().url, "--workers", workers)
    with command(*words, start_new_session=True) as process:
        assert "reading it as folder" in process.stderr.readline()
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert err.split()[-1] == "stopped"
    assert kit.leftovers(tmp_path, "set", "home") == set()
