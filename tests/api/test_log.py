"""The log as its files: read by other people's code, through HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from registry.errors import ProofError, StorageError
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash
from registry.note import Signer, open_note, parse_checkpoint
from registry.publisher import Publisher
from registry.registrar import Registrar
from registry.store import Store

DRAFT = {"preferences": {"train": "reserved"}, "works": [{"url": "https://a.test/1.jpg"}]}


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    return LogFolder(tmp_path / "log")


@pytest.fixture
def publisher(store: Store, folder: LogFolder) -> Publisher:
    return Publisher(store, folder, Signer.new("log.example"))


@pytest.fixture
def log_client(make_app: Callable[..., Any], folder: LogFolder) -> FlaskClient:
    return make_app(log=folder.path).test_client()


def test_without_a_log_there_is_none(client: FlaskClient) -> None:
    for path in ("/checkpoint", "/tile/0/000"):
        response = client.get(path)
        assert response.status_code == 404
        assert "publishes no log" in response.get_json()["detail"]


def test_before_the_first_checkpoint_there_is_none(log_client: FlaskClient) -> None:
    assert log_client.get("/checkpoint").status_code == 404
    answer = log_client.post("/api/v1/lookup", json={"items": []}).get_json()
    assert answer["checkpoint"] is None


def test_checkpoint_and_tiles_are_given_as_they_were_written(
    log_client: FlaskClient, publisher: Publisher, make_key: Callable[..., Any]
) -> None:
    headers = make_key(("register",)).headers
    for _ in range(3):
        assert log_client.post("/api/v1/reservations", json=DRAFT, headers=headers).status_code == 201
    publisher.publish()
    checkpoint = log_client.get("/checkpoint")
    assert checkpoint.content_type == "text/plain; charset=utf-8"
    assert checkpoint.text == publisher.folder.checkpoint()
    assert checkpoint.text.startswith("log.example\n3\n")
    answer = log_client.post("/api/v1/lookup", json={"items": []}).get_json()
    assert (answer["as_of_seq"], answer["checkpoint"]) == (3, checkpoint.text)
    leaves = log_client.get("/tile/entries/000.p/3")
    assert leaves.content_type == "application/octet-stream"
    assert "immutable" in leaves.headers["Cache-Control"]
    first = json.loads(leaves.data[2 : 2 + int.from_bytes(leaves.data[:2], "big")])
    assert (first["seq"], first["op"]) == (1, "register")
    assert b"a.test" not in leaves.data
    assert len(log_client.get("/tile/0/000.p/3").data) == 96


@pytest.mark.parametrize(
    "name",
    [
        *("0/000.p/4", "0/000", "1/000", "0/001", "entries/000", "00/000.p/3", "0/0", "64/000", "x/000"),
        *("../key/private", "..%2fkey%2fprivate", "0/../../key/private", "0/000.p/3/", "0/000.p/03"),
    ],
)
def test_nothing_else_is_given(log_client: FlaskClient, publisher: Publisher, name: str) -> None:
    publisher.folder.write_signer(publisher.signer)
    publisher.publish()
    response = log_client.get(f"/tile/{name}")
    assert response.status_code == 404
    assert publisher.signer.text.encode() not in response.data


@contextmanager
def held(folder: LogFolder) -> Iterator[None]:
    """Be the one writer, as soon as the service's publisher is not."""
    with ExitStack() as stack:
        for _ in range(100):
            try:
                stack.enter_context(folder.writing())
                break
            except StorageError:
                time.sleep(0.1)
        else:
            pytest.fail("the publisher holds the folder for good")
        yield


@pytest.mark.parametrize("damage", ["the folder is a file", "no text"])
def test_a_log_that_cannot_be_read_does_not_take_the_look_ups_down(
    log_client: FlaskClient, folder: LogFolder, damage: str
) -> None:
    if damage == "no text":
        folder.path.mkdir()
        (folder.path / "checkpoint").write_bytes(b"\xff\xfe")
    else:
        folder.path.write_text("")
    answer = log_client.post("/api/v1/lookup", json={"items": [{"id": "a", "url": "https://a.test/"}]})
    assert answer.status_code == 200
    assert answer.get_json()["checkpoint"] is None
    assert log_client.get("/checkpoint").status_code == 503
    assert log_client.get("/tile/0/000.p/1").status_code == 404


def test_the_service_publishes_by_itself_and_a_reader_of_others_follows(
    served: Callable[..., Any], make_key: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAVEAT_LOG", str(tmp_path / "published"))
    monkeypatch.setenv("CAVEAT_LOG_ORIGIN", "log.test/served")
    server = served(workers=2)
    address = f"http://{server.host}:{server.port}"
    headers = make_key(("register",)).headers
    for _ in range(5):
        lodged = requests.post(f"{address}/api/v1/reservations", json=DRAFT, headers=headers, timeout=30)
        assert lodged.status_code == 201
    reader = TilesReader(HttpBackend(address))
    end = time.monotonic() + 40
    while True:
        try:
            seen = reader.get_checkpoint()
        except RuntimeError:
            seen = None
        if seen is not None and seen.size == 5:
            break
        assert time.monotonic() < end, "nothing was published"
        time.sleep(0.2)
    command = [sys.executable, "-m", "api.commands", "log"]
    key = subprocess.run([*command, "key", *server.arguments], capture_output=True, text=True, check=True)
    assert key.stdout.startswith("log.test/served+")
    seen.verify(Vkey.from_string(key.stdout.strip()))
    assert reader.calculate_root_hash() == seen.root_hash
    for index in range(5):
        reader.get_inclusion_proof(index, 5).check(leaf_hash(reader.get_entry(index)), seen.root_hash)
    sound = subprocess.run([*command, "fsck", *server.arguments], capture_output=True, text=True, check=True)
    assert "sound: 5 events" in sound.stdout
    with held(LogFolder(tmp_path / "published")):
        second = subprocess.run([*command, "publish", *server.arguments], capture_output=True, text=True)
    assert second.returncode == 3
    assert "another process is writing" in second.stderr
    for tile in (tmp_path / "published" / "tile" / "0").rglob("*"):
        if tile.is_file():
            tile.write_bytes(tile.read_bytes()[:-1] + b"x")
    broken = subprocess.run([*command, "fsck", *server.arguments], capture_output=True, text=True)
    assert broken.returncode == 2
    assert "is not what the events make it" in broken.stdout


@pytest.fixture
def log(database_url: str, tmp_path: Path) -> Callable[..., str]:
    """Run an operator command on the log; returns what it told."""

    def run(*command: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "api.commands", *command, "--database", database_url],
            env={**os.environ, "CAVEAT_LOG": str(tmp_path / "log"), "CAVEAT_LOG_ORIGIN": "log.example"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


def test_a_key_is_rotated_and_the_old_one_revoked(log: Callable[..., str], tmp_path: Path) -> None:
    folder = LogFolder(tmp_path / "log")
    log("db", "init")
    assert "no key yet" in log("log", "key", "rotate", code=3)
    log("log", "publish")
    old = folder.verifiers()[0]
    assert log("log", "key").splitlines() == [old.text]
    assert "signs the log now" in log("log", "key", "revoke", old.key_hash.hex(), code=3)
    assert "event 1 announces log.example+" in log("log", "key", "rotate")
    new = folder.verifiers()[0]
    assert log("log", "key").splitlines() == [new.text, old.text]
    log("log", "publish")
    note = folder.checkpoint()
    assert open_note(note, [old, new])[1] == [new, old]
    log("log", "key", "revoke", old.text)
    assert folder.verifiers() == [new]
    log("log", "publish")
    assert parse_checkpoint(open_note(folder.checkpoint(), [new])[0]).size == 2
    with pytest.raises(ProofError):
        open_note(folder.checkpoint(), [old])
    assert "sound: 2 events" in log("log", "fsck")
    assert "no key" in log("log", "key", "revoke", old.text, code=3)


def test_rotated_and_revoked_at_once_the_log_goes_on(
    log: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    folder = LogFolder(tmp_path / "log")
    log("log", "publish")
    old = folder.verifiers()[0]
    log("log", "key", "rotate")
    log("log", "key", "revoke", old.text)
    # The announcement stands under a checkpoint that the old key signed too.
    checkpoint, signed = open_note(folder.checkpoint() or "", [old, folder.verifiers()[0]])
    assert (parse_checkpoint(checkpoint).size, signed[1]) == (1, old)
    assert "sound: 1 events" in log("log", "fsck")
    log("log", "publish")
    assert "sound: 2 events" in log("log", "fsck")
    with pytest.raises(ProofError):
        open_note(folder.checkpoint() or "", [old])


def test_a_fall_while_a_key_is_announced_is_made_good(log: Callable[..., str], tmp_path: Path) -> None:
    folder = LogFolder(tmp_path / "log")
    log("db", "init")
    log("log", "publish")
    new = folder.next_signer()
    assert folder.next_signer() == new
    assert new not in folder.signers()
    log("log", "key", "rotate")
    assert folder.signer() == new
    assert not (folder.path / "key" / "next").exists()


def test_damaged_files_are_mended_and_a_changed_database_is_not_covered_up(
    log: Callable[..., str], store: Store, tmp_path: Path, make_key: Callable[..., Any]
) -> None:
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    for count in (260, 41):
        for _ in range(count):
            registrar.announce_key("key", Signer.new("log.example").verifier.text)
        log("log", "publish")
    folder = tmp_path / "log"
    before = {path: path.read_bytes() for path in (folder / "tile").rglob("*") if path.is_file()}
    assert folder / "tile/0/001.p/4" in before
    for path, data in before.items():
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    (folder / "tile/entries/001.p/45").unlink()
    told = log("log", "fsck", code=2)
    assert f"{len(before)} findings" in told
    assert "tile/0/001.p/4: is not what the events make it" in told
    told = log("log", "fsck", "--repair")
    assert told.count("written anew") == len(before)
    assert "sound: 301 events" in told
    assert {path: path.read_bytes() for path in before} == before
    with store.administer() as connection:
        connection.exec_driver_sql(
            "UPDATE event SET leaf = (SELECT leaf FROM event WHERE seq = 2) WHERE seq = 3"
        )
    assert "not those that were signed" in log("log", "fsck", "--repair", code=3)
    assert {path: path.read_bytes() for path in before} == before
