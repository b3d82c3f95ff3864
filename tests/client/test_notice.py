"""``caveat notice``: a letter to a platform with its evidence, and nothing that nobody said."""

import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from registry.cli import notice as command
from registry.client.http import RegistryClient
from registry.client.notices import Found, pack_of
from registry.errors import InputError, InvalidUrlError, ProofError
from registry.evidence import check_evidence
from registry.listing import NDJSON
from registry.log_folder import LogFolder
from registry.note import Signer, Verifier
from registry.paper import Section, Sheet, Text
from registry.paper.markdown import markdown_of
from registry.paper.notice import GOOD_FAITH, Enclosed, Notice, notice_sheet
from registry.publisher import Publisher
from registry.store import Store, principals
from tests.api.test_imports import SIGNER, claim_of, lines, work

WORKS = [
    {"title": "Sunflower", "url": "https://ada.test/1.jpg", "sha256": "5f" * 32},
    {"title": "Lily", "url": "https://ada.test/2.jpg"},
]
DRAFT = {"preferences": {"genai-train": "reserved"}, "label": "Ada", "works": WORKS}
SAID = {
    "platform": "Models Example",
    "name": "Ada Lovelace",
    "email": "ada@ada.example",
    "reason": "It answers prompts with my name by pictures that look like Sunflower.",
}
MODEL = "https://models.example/ada-style"
OPTIONS = [*(word for name, value in SAID.items() for word in (f"--{name}", value)), "--model", MODEL]

Run = Callable[..., Any]


@pytest.fixture
def published(store: Store, tmp_path: Path) -> Publisher:
    folder, signer = LogFolder(tmp_path / "log"), Signer.new("log.example")
    folder.write_signer(signer)
    return Publisher(store, folder, signer)


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> str:
    secret: str = make_key(("register",)).secret
    return secret


@pytest.fixture
def address(threaded: Callable[..., str], database_url: str, published: Publisher) -> str:
    return threaded(database_url, CAVEAT_LOG=str(published.folder.path))


@pytest.fixture
def record(address: str, ada: str, published: Publisher) -> str:
    id_ = str(RegistryClient(address, ada).register(DRAFT)["id"])
    published.publish()
    return id_


@pytest.fixture
def ask(caveat: Run, address: str, ada: str) -> Run:
    return lambda *words: caveat("notice", *words, "--registry", address, "--key", ada)


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as pack:
        return {name: pack.read(name) for name in pack.namelist()}


def text_of(data: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())


def test_the_pack_has_the_letter_and_what_proves_it(
    ask: Run, record: str, tmp_path: Path, published: Publisher, address: str
) -> None:
    done = ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip")
    assert done.returncode == 0, done.stderr
    assert "nothing was sent anywhere" in done.stdout
    path = tmp_path / "pack.zip"
    assert path.stat().st_mode & 0o777 == 0o600
    files = unpacked(path)
    assert list(files) == [
        "letter.md",
        "letter.pdf",
        "evidence.pdf",
        "evidence.json",
        "proof.txt",
        "checkpoint",
    ]
    evidence = json.loads(files["evidence.json"])
    checkpoint, [event] = check_evidence(evidence, [published.signer.verifier])
    assert checkpoint is not None
    assert event.logged
    assert files["checkpoint"].decode() == evidence["checkpoint"]
    proof = files["proof.txt"].decode()
    assert evidence["events"][0]["leaf"] in proof
    assert published.signer.verifier.text in proof
    carried = PdfReader(io.BytesIO(files["evidence.pdf"])).attachments["evidence.json"][0]
    assert carried == files["evidence.json"]
    letter = files["letter.md"].decode()
    for told in (*SAID.values(), record, address, "Sunflower", "5f" * 32, GOOD_FAITH, "genai\\-train"):
        assert told.replace("\\-", "-").split("@")[0] in letter.replace("<!-- -->", ""), told
    for name in ("evidence.pdf", "evidence.json", "proof.txt", "checkpoint"):
        assert sha256(files[name]).hexdigest() in letter
    printed = text_of(files["letter.pdf"])
    for told in (
        *SAID.values(),
        MODEL,
        "Confirm that this notice has arrived.",
        "whether the model was trained on these works",
        "16(2)(d)",
        "It is no legal advice.",
        "since",
        "genai-train",
    ):
        assert told in printed, told


def test_whoever_gets_it_checks_it_with_the_key_alone(
    ask: Run, caveat: Run, record: str, tmp_path: Path, published: Publisher
) -> None:
    assert ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip").returncode == 0
    data = unpacked(tmp_path / "pack.zip")["evidence.json"]
    (tmp_path / "evidence.json").write_bytes(data)
    key = published.signer.verifier.text
    checked = caveat("log", "verify", "evidence.json", "--log-key", key)
    assert checked.returncode == 0, checked.stderr
    assert "register: said as shown" in checked.stdout
    (tmp_path / "evidence.json").write_bytes(data.replace(b"Sunflower", b"Sunflowers"))
    assert caveat("log", "verify", "evidence.json", "--log-key", key).returncode == 3


def test_a_letter_about_some_works_names_those(ask: Run, record: str, tmp_path: Path) -> None:
    assert ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip", "--work", "1.1").returncode == 0
    letter = unpacked(tmp_path / "pack.zip")["letter.md"].decode()
    assert "Lily" in letter
    assert "title:** Sunflower" not in letter
    assert "1 work:" in letter


REFUSED = {
    "nothing said": (["--model", MODEL, "--good-faith"], "--platform, --name, --email, --reason"),
    "not in good faith": (OPTIONS, "a statement that only you can make"),
    "no mailbox": ([*OPTIONS, "--email", "ada", "--good-faith"], "'ada' is no address"),
    "no address of a model": ([*OPTIONS, "--model", "ada-style", "--good-faith"], "ada-style"),
    "a work of another record": ([*OPTIONS, "--work", "9.0", "--good-faith"], "'9.0' is not in record"),
    "a folder in the way": ([*OPTIONS, "--good-faith", "--to", "."], "is a directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_refused_by_name(ask: Run, record: str, tmp_path: Path, case: str) -> None:
    options, told = REFUSED[case]
    done = ask(record, *options)
    assert (done.returncode, done.stdout) == (3, "")
    assert told in done.stderr
    assert not list(tmp_path.glob("*.zip"))


def test_a_file_that_is_there_stays_unless_it_is_to_go(ask: Run, record: str, tmp_path: Path) -> None:
    place = tmp_path / "pack.zip"
    place.write_text("mine")
    assert ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip").returncode == 3
    assert place.read_text() == "mine"
    assert ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip", "--replace").returncode == 0
    assert "letter.md" in unpacked(place)


def test_what_the_log_does_not_cover_yet_is_said(
    ask: Run, address: str, ada: str, record: str, tmp_path: Path
) -> None:
    RegistryClient(address, ada).add_works(record, [{"sha256": "6e" * 32}])
    done = ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip", "--wait", "0")
    assert done.returncode == 2
    assert "event 2 works is not proven yet" in done.stderr
    assert "not under the signed state yet" in unpacked(tmp_path / "pack.zip")["proof.txt"].decode()


def test_what_was_withdrawn_says_until_when(
    ask: Run, address: str, ada: str, record: str, tmp_path: Path, published: Publisher
) -> None:
    RegistryClient(address, ada).withdraw(record)
    published.publish()
    assert ask(record, *OPTIONS, "--good-faith", "--to", "pack.zip").returncode == 0
    letter = unpacked(tmp_path / "pack.zip")["letter.md"].decode()
    assert "when it was withdrawn" in letter
    assert "The works were reserved" in letter


def test_a_record_that_reserves_nothing_makes_no_notice(
    ask: Run, address: str, ada: str, published: Publisher, tmp_path: Path
) -> None:
    free = RegistryClient(address, ada).register({**DRAFT, "preferences": {"search": "allowed"}})["id"]
    published.publish()
    done = ask(free, *OPTIONS, "--good-faith", "--to", "pack.zip")
    assert done.returncode == 3
    assert "the record reserves nothing" in done.stderr
    assert not (tmp_path / "pack.zip").exists()


@pytest.fixture
def imported(
    address: str, store: Store, make_key: Callable[..., Any], published: Publisher
) -> tuple[str, str]:
    """An import of three works in one part, of event 1, and the key of whose it is."""
    key = make_key(("import:acme", "register"))
    with store.administer() as connection:
        principals.set_import_key(connection, key.caller.principal_id, SIGNER.verifier.text)
    client = RegistryClient(address, key.secret)
    begin = {"namespace": "acme", "preferences": {"genai-train": "reserved"}, "label": "Acme"}
    id_ = str(client.tell_import("POST", "", begin)["id"])
    part = client.tell_import("PUT", f"/{id_}/parts/1", lines(*map(work, range(3))), NDJSON)
    client.tell_import("POST", f"/{id_}/complete", claim_of(id_, [part["sha256"]], 3))
    published.publish()
    return id_, key.secret


def test_of_an_import_one_work_comes_with_its_own_proof(
    caveat: Run, address: str, imported: tuple[str, str], tmp_path: Path, published: Publisher
) -> None:
    id_, key = imported
    options = [*OPTIONS, "--good-faith", "--to", "pack.zip", "--registry", address, "--key", key]
    done = caveat("notice", id_, *options, "--work", "1.2")
    assert done.returncode == 0, done.stderr
    files = unpacked(tmp_path / "pack.zip")
    evidence = json.loads(files["evidence.json"])
    check_evidence(evidence, [published.signer.verifier])
    [told] = evidence["works"]
    assert (told["work"], told["row"]["title"]) == ("1.2", "No. 2")
    assert "title:** No. 2" in files["letter.md"].decode()
    assert "work 1.2 of 3, salt" in files["proof.txt"].decode()
    assert caveat("notice", id_, *options, "--replace").returncode == 0
    assert "3 works, lodged in one import" in unpacked(tmp_path / "pack.zip")["letter.md"].decode()


def test_others_cannot_write_it_for_me(
    caveat: Run, address: str, record: str, make_key: Callable[..., Any], tmp_path: Path
) -> None:
    for scope, told in (("register", "refused (404)"), ("lookup", "is not shown to this key")):
        key = make_key((scope,)).secret
        options = [*OPTIONS, "--good-faith", "--to", "x.zip", "--registry", address, "--key", key]
        done = caveat("notice", record, *options)
        assert done.returncode == 3
        assert told in done.stderr
    assert not (tmp_path / "x.zip").exists()


def test_on_a_terminal_it_asks_for_what_is_missing_and_until_it_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["", "Models Example", "Ada", "ada", "ada@ada.example", "It looks like mine."])
    asked: list[str] = []

    def prompt(question: str, **_: Any) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(command.click, "prompt", prompt)
    said = dict.fromkeys(SAID, "")
    letter = command._letter(said, (MODEL,), ())
    assert letter == Notice("Models Example", (MODEL,), "Ada", "ada@ada.example", "It looks like mine.")
    assert len(asked) == 6
    monkeypatch.setattr(command.click, "confirm", lambda *_, **__: False)
    assert command._agreed() is False


# -- the letter as a value -------------------------------------------------------------------------


def notice(**changed: Any) -> Notice:
    return Notice(**{**SAID, "models": (MODEL,), **changed})


HOSTILE = {
    "no platform": {"platform": ""},
    "spaces alone": {"name": "  "},
    "two lines": {"name": "Ada\nEve"},
    "turned around": {"name": "Ada\u202e"},
    "a long name": {"name": "x" * 201},
    "no e-mail": {"email": ""},
    "two e-mails": {"email": "a@b.example, c@d.example"},
    "no reason": {"reason": "\n"},
    "a terminal's codes": {"reason": "\x1b[31m"},
    "no model": {"models": ()},
    "too many models": {"models": (MODEL,) * 51},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_stand_in_a_letter_is_refused(case: str) -> None:
    with pytest.raises(InputError):
        notice(**HOSTILE[case])


@pytest.mark.parametrize("url", ["ftp://models.example/x", "models.example", "https://"])
def test_where_the_model_is_must_be_an_address_of_the_web(url: str) -> None:
    with pytest.raises(InvalidUrlError):
        notice(models=(url,))


def test_in_markdown_the_words_of_others_are_text() -> None:
    version = {
        "preferences": '{"train":"reserved"}',
        "label": "[click](https://eve.example) <script>",
        "terms": "",
        "contact": "",
        "evidence_level": 0,
        "state": "asserted",
    }
    work = {"title": "# big\n- list", "url": None, "url_key": None, "sha256": None, "packed": None}
    event = {
        "seq": 1,
        "op": "register",
        "at": 0,
        "payload": {"version": version, "works": [work], "rules": []},
        "proof": None,
    }
    evidence = {"record": "k3", "checkpoint": None, "events": [event]}
    letter = markdown_of(notice_sheet(notice(), Enclosed(evidence, "https://r.example", (), (), 0)))
    assert "\\[click\\]" in letter
    assert "\\<script\\>" in letter
    assert "**title:** # big - list" in letter.replace("<!-- -->", "")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("- an item", "\\- an item"),
        ("+ an item", "\\+ an item"),
        ("1. an item", "1\\. an item"),
        ("12) an item", "12\\) an item"),
        ("# a title", "\\#<!-- --> a title"),
        ("=====", "\\====="),
        ("    code", "code"),
        ("> quoted", "\\> quoted"),
        ("```", "\\`\\`\\`"),
    ],
)
def test_a_line_of_the_sender_s_own_words_is_no_markup(said: str, told: str) -> None:
    sheet = Sheet("T", "s", (Section("x", (Text(said),)),), 0)
    assert markdown_of(sheet).split("\n## x\n\n")[1] == f"{told}\n"


def test_evidence_that_does_not_hold_makes_no_pack(address: str, ada: str, record: str) -> None:
    client = RegistryClient(address, ada)
    evidence = client.evidence(record)
    keys = client.log_keys()["keys"]
    evidence["events"][0]["payload"]["version"]["label"] = "Eve"
    found = Found(address, evidence, client.evidence_paper(record), tuple(keys))
    with pytest.raises(ProofError):
        pack_of(found, notice(), [Verifier.parse(keys[0])], 0)
