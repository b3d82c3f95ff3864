"""Fetching a snapshot from the real `caveat serve`, over connections that break; filtering without any."""

import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from registry.cli import cli
from registry.client import RegistryClient
from registry.client.pulling import Pulled, pull_snapshot
from registry.client.snapshot import PINNED, Snapshot
from registry.errors import (
    ProofError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
    SnapshotError,
)
from registry.fingerprint import Fingerprint
from registry.log_folder import LogFolder
from registry.note import Signer, sign_note
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.snapshot.manifest import format_manifest, open_manifest
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store, reservations
from registry.urls import canonicalize_url, url_rule

CAVEAT = Path(sys.executable).with_name("caveat")
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
TIERS = ("filter", "keys", "pictures", "parquet")


class Cutting:
    """Passes on what a registry and a client say, and cuts once when ``left`` bytes have come back."""

    def __init__(self, port: int) -> None:
        self._port, self.left = port, 1 << 60
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            while data := _received(server):
                part, self.left = data[: max(self.left, 0)], self.left - len(data)
                try:
                    client.sendall(part)
                except OSError:
                    return
                if self.left < 0:
                    # Once only: from here on all is passed.
                    self.left = 1 << 60
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            self.seen.append(data)
            try:
                server.sendall(data)
            except OSError:
                return


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 16)
    except OSError:
        return b""


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run an operator's command on the registry's database."""
    monkeypatch.setenv("CAVEAT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CAVEAT_SNAPSHOTS", str(tmp_path / "snapshots"))

    def run(*words: str, at: Any) -> str:
        done = subprocess.run([CAVEAT, *words, *at.arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def lodge(store: Store, make_key: Callable[..., Any], picture_hash: Any) -> Callable[[int], list[str]]:
    """Lodge works, ten a reservation."""
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    caller = make_key(("register", "domain:*")).caller
    lodged = 0

    def lodge(count: int) -> list[str]:
        nonlocal lodged
        ids = []
        for first in range(lodged, lodged + count, 10):
            works = []
            for number in range(first, first + 10):
                print_ = Fingerprint(1, 100, None, {"full": picture_hash(number)}, picture_hash(number, 3))
                url = canonicalize_url(f"https://a{number}.example/{number}.jpg")
                works.append(WorkDraft("", url, print_.sha256, print_))
            rule = url_rule("domain", f"d{first}.example")
            ids.append(registrar.register(caller, Draft(RESERVED, works, [rule], f"Label {first}")).id)
        lodged += count
        return ids

    return lodge


@pytest.fixture
def real(served: Any, lodge: Any, operator: Any) -> Any:
    """The real command with 200 works, and a snapshot of them that it built by itself."""
    lodge(200)
    served = served(1)
    with RegistryClient(served.url) as client:
        end = time.monotonic() + 60
        while not has_snapshot(client, 20):
            assert time.monotonic() < end, "no snapshot was built"
            time.sleep(0.2)
    assert "dated anew: snapshot 20" in operator("snapshot", "build", at=served)
    return served


def has_snapshot(client: RegistryClient, seq: int) -> bool:
    listed = json.loads(client.fetch("/api/v1/snapshots", 10_000))
    return [one["seq"] for one in listed["snapshots"]] == [seq]


@dataclass
class Here:
    """A registry in a thread of this process."""

    url: str
    store: Store
    folder: Path

    def build(self) -> int:
        log = LogFolder(self.folder / "log")
        if not log.signers():
            log.write_signer(Signer.new("log.example"))
        Publisher(self.store, log, log.signers()[0]).publish()
        builder = SnapshotBuilder(self.store, log, SnapshotFolder(self.folder / "snapshots"))
        return builder.build(int(time.time()), 9).manifest.seq


@pytest.fixture
def registry(make_app: Any, store: Store, lodge: Any, tmp_path: Path) -> Iterator[Here]:
    """200 works in 20 reservations, and a snapshot of them."""
    lodge(200)
    server = make_server("127.0.0.1", 0, make_app(snapshots=tmp_path / "snapshots"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    here = Here(f"http://127.0.0.1:{server.server_port}", store, tmp_path)
    assert here.build() == 20
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cutting(real: Any) -> Iterator[Cutting]:
    one = Cutting(real.port)
    yield one
    one.close()


@pytest.fixture
def pull(make_key: Any, tmp_path: Path) -> Callable[..., Pulled]:
    key = make_key(("lookup",)).secret

    def pull(url: str, tiers: Any = TIERS, folder: str = "here", **options: Any) -> Pulled:
        with RegistryClient(url, key, timeout=10, retries=1) as client:
            return pull_snapshot(client, tmp_path / folder, tiers, **options)

    return pull


def test_a_fetch_that_is_cut_anywhere_goes_on_where_it_was(
    real: Any, cutting: Cutting, pull: Any, tmp_path: Path
) -> None:
    whole = pull(real.url, folder="whole")
    size = sum(entry.size for entry in whole.manifest.files)
    assert whole.bytes == size
    pick = random.Random(5)
    cuts = [0, 1, *(pick.randrange(size) for _ in range(6))]
    resumed = 0
    for cut in cuts:
        shutil.rmtree(tmp_path / "here", ignore_errors=True)
        cutting.left, cutting.seen = cut, []
        read = 0
        try:
            read = pull(cutting.url).bytes
        except RegistryUnreachableError:
            assert not (tmp_path / "here" / "manifest").exists()
            read = sum(part.stat().st_size for part in (tmp_path / "here").glob(".part/*"))
            read += sum(e.size for e in whole.manifest.files if e.path(tmp_path / "here").exists())
            read += pull(real.url).bytes
        assert read == size, "nothing is fetched twice"
        resumed += any(b"Range: bytes=" in asked for asked in cutting.seen)
        assert same_files(tmp_path / "here", tmp_path / "whole")
    assert resumed > 3


def same_files(one: Path, other: Path) -> bool:
    ours, theirs = (
        {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (one, other)
    )
    assert ours == theirs
    return True


def test_only_what_changed_is_fetched_again_and_what_went_is_deleted(
    registry: Here, pull: Any, lodge: Any, tmp_path: Path
) -> None:
    first = pull(registry.url)
    again = pull(registry.url)
    assert (again.fetched, again.bytes, again.kept) == (0, 0, first.fetched)
    lodge(10)
    assert registry.build() == 21
    assert Snapshot.open(tmp_path / "here").as_of_seq == 20
    second = pull(registry.url)
    assert 0 < second.fetched < second.kept + second.fetched
    assert second.bytes < first.bytes
    names = {f"{entry.tier}/{entry.name}" for entry in second.manifest.files}
    here = {
        p.relative_to(tmp_path / "here").as_posix() for p in (tmp_path / "here").rglob("*") if p.is_file()
    }
    assert here == {*names, "manifest", PINNED}
    pull(registry.url, ("keys",))
    assert Snapshot.open(tmp_path / "here").tiers == ("keys",)
    assert Snapshot.open(tmp_path / "here").as_of_seq == 21


def test_what_was_only_taken_away_or_put_together_is_not_fetched(
    registry: Here, pull: Any, lodge: Any, tmp_path: Path, store: Store, make_key: Any
) -> None:
    """And what is made of older files is, byte for byte, what the registry has."""
    exact = ("keys", "pictures")
    lodged = lodge(30)
    registry.build()
    first = pull(registry.url, exact)
    caller = Caller(owner_of(store, lodged[0]), frozenset({"register"}))
    registrar = Registrar(store, lambda: datetime(2026, 11, 22, tzinfo=UTC))
    registrar.withdraw(caller, lodged[0])
    registrar.change(caller, lodged[1], Change({Use.TRAIN: Preference.RESERVED}))
    assert registry.build() == 25
    second = pull(registry.url, exact)
    assert second.derived >= 3
    fetched = {(e.tier, e.kind) for e in set(second.manifest.files) - set(first.manifest.files)}
    assert {tier for tier, _ in fetched} >= {"records"}
    assert second.bytes < 0.3 * sum(e.size for e in second.manifest.files if e.tier in (*exact, "records"))
    fresh = pull(registry.url, exact, folder="fresh")
    assert fresh.derived == 0
    assert same_files(tmp_path / "here", tmp_path / "fresh")
    # A damaged older file, and one whose record stayed while its works went, are fetched.
    registrar.erase(caller, lodged[2], keep=True)
    registry.build()
    for path in (tmp_path / "here" / "pictures").glob("pdq-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    third = pull(registry.url, exact)
    shutil.rmtree(tmp_path / "fresh")
    pull(registry.url, exact, folder="fresh")
    assert third.fetched > 0
    assert same_files(tmp_path / "here", tmp_path / "fresh")


def owner_of(store: Store, id_: str) -> str:
    with store.read() as connection:
        version = reservations.current(connection, id_)
    assert version is not None
    return str(version.principal_id)


def test_a_flipped_bit_in_any_file_is_found(registry: Here, pull: Any, tmp_path: Path) -> None:
    manifest = pull(registry.url).manifest
    folder, pick = tmp_path / "here", random.Random(6)
    told = CliRunner().invoke(cli, ["snapshot", "verify", str(folder)])
    assert (told.exit_code, "sound: " in told.output) == (0, True)
    for entry in manifest.files:
        path = entry.path(folder)
        right = path.read_bytes()
        wrong = bytearray(right)
        wrong[pick.randrange(len(wrong))] ^= 1 << pick.randrange(8)
        path.write_bytes(wrong)
        told = CliRunner().invoke(cli, ["snapshot", "verify", str(folder)])
        assert told.exit_code == 2, entry
        assert entry.name in told.output
        if entry.tier not in ("parquet", "filter"):
            with pytest.raises(SnapshotError, match=entry.name):
                Snapshot.open(folder)
        path.write_bytes(right)
    note = (folder / "manifest").read_bytes()
    for _ in range(20):
        wrong = bytearray(note)
        wrong[pick.randrange(len(wrong) - 1)] ^= 1 << pick.randrange(7)
        (folder / "manifest").write_bytes(wrong)
        with pytest.raises((ProofError, SnapshotError)):
            Snapshot.open(folder)
    (folder / "manifest").write_bytes(note)
    # What is damaged is fetched again, and nothing else.
    entry = manifest.files[0]
    entry.path(folder).write_bytes(b"")
    assert pull(registry.url).bytes == entry.size


def test_the_registry_s_own_damage_does_not_come_through(registry: Here, pull: Any, tmp_path: Path) -> None:
    before = pull(registry.url, folder="whole").manifest
    entry = next(one for one in before.files if one.kind == "pdq")
    place = entry.path(tmp_path / "snapshots" / "20")
    place.write_bytes(bytes(entry.size))
    with pytest.raises(RegistryAnswerError, match="other bytes than it signed"):
        pull(registry.url)
    assert not (tmp_path / "here" / "manifest").exists()
    with pytest.raises(SnapshotError, match="there is no manifest"):
        Snapshot.open(tmp_path / "here")


def test_another_key_an_unsigned_manifest_and_an_older_one_are_refused(
    registry: Here, pull: Any, lodge: Any, tmp_path: Path
) -> None:
    [ours] = LogFolder(tmp_path / "log").signers()
    stranger = Signer.new(ours.name)
    with pytest.raises(ProofError, match="not signed by"):
        pull(registry.url, log_key=stranger.verifier.text)
    first = pull(registry.url, log_key=ours.verifier.text).manifest
    assert (tmp_path / "here" / PINNED).read_text() == ours.verifier.text + "\n"
    with pytest.raises(ProofError, match="is pinned in"):
        pull(registry.url, log_key=stranger.verifier.text)
    place = tmp_path / "snapshots" / "20" / "manifest"
    right = place.read_text()
    for wrong in (
        format_manifest(first),
        format_manifest(first) + "\n",
        sign_note(format_manifest(first), [stranger]),
        right.replace("— ", "— x"),
        right.replace('"seq":20', '"seq":21'),
    ):
        place.write_text(wrong)
        with pytest.raises((ProofError, RegistryRefusedError)):
            pull(registry.url)
        assert Snapshot.open(tmp_path / "here").manifest == first
    place.write_text(right)
    lodge(10)
    assert registry.build() == 21
    assert pull(registry.url).manifest.seq == 21
    shutil.rmtree(tmp_path / "snapshots" / "21")
    with pytest.raises(RegistryAnswerError, match="would take back what was said since"):
        pull(registry.url)
    assert Snapshot.open(tmp_path / "here").as_of_seq == 21


def test_without_a_key_there_is_the_filter_alone(registry: Here, tmp_path: Path) -> None:
    with RegistryClient(registry.url) as client:
        with pytest.raises(RegistryRefusedError, match="401"):
            pull_snapshot(client, tmp_path / "here", ("keys",))
        done = pull_snapshot(client, tmp_path / "here", ("filter",))
    assert done.fetched == 1
    assert Snapshot.open(tmp_path / "here").tiers == ("filter",)


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was sent")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write_urls(path: Path) -> list[str]:
    urls = [f"https://a{number}.example/{number}.jpg" for number in range(195, 205)]
    urls += ["https://img.d30.example/x", "https://free.example/"]
    path.write_text("url\n" + "".join(f"{url}\n" for url in urls))
    return urls


def run(*words: Any) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_a_dataset_is_filtered_without_sending_anything(
    registry: Here, pull: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    urls = write_urls(tmp_path / "set.csv")
    pull(registry.url, ("keys", "pictures"))
    request.getfixturevalue("_offline")
    done = run(
        "filter",
        tmp_path / "set.csv",
        tmp_path / "clean.csv",
        "--snapshot",
        tmp_path / "here",
        "--output",
        "json",
    )
    assert done.exit_code == 0, done.output
    assert "nothing is sent" in done.stderr
    assert "as of event 20, 0 hours old" in done.stderr
    summary = json.loads(done.stdout)
    [(name, seq)] = summary["as_of_seq"].items()
    assert (name.split()[0], seq) == ("snapshot", 20)
    assert (tmp_path / "clean.csv").read_text().splitlines()[1:] == [*urls[5:10], urls[-1]]
    told = run("check", urls[0], urls[-1], "--snapshot", tmp_path / "here", "--output", "json")
    assert told.exit_code == 1
    assert [one["preference"] for one in json.loads(told.stdout)] == ["reserved", "unknown"]


def test_a_snapshot_that_may_not_answer_filters_nothing(registry: Here, pull: Any, tmp_path: Path) -> None:
    write_urls(tmp_path / "set.csv")
    words = ("filter", tmp_path / "set.csv", tmp_path / "clean.csv", "--snapshot", tmp_path / "here")
    assert "there is no manifest" in str(run(*words).exception)
    pull(registry.url, ("filter",))
    manifest = open_manifest(
        (tmp_path / "here" / "manifest").read_text(), LogFolder(tmp_path / "log").signers()[0].verifier
    )
    time.sleep(max(0, manifest.built_at + 1.1 - time.time()))
    assert "may be 1e-05 days old" in str(run(*words, "--max-age", "0.00001").exception)
    assert "two places" in str(run(*words, "--registry", registry.url).exception)
    assert not (tmp_path / "clean.csv").exists()
    # The filter alone keeps what nobody registered, and marks the others for a look.
    done = run(*words, "--output", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["review"] == 6


def test_the_commands_tell_what_is_there(
    real: Any, make_key: Any, tmp_path: Path, operator: Any, caveat: Any
) -> None:
    here = str(tmp_path / "here")
    settings = {"CAVEAT_KEY": make_key(("lookup",)).secret, "CAVEAT_REGISTRY": real.url}
    done = caveat("snapshot", "pull", here, "--tier", "keys", "--tier", "filter", env=settings)
    assert done.returncode == 0, done.stderr
    assert "as of event 20" in done.stderr
    assert "snapshot 20: " in done.stdout
    sound = caveat("snapshot", "verify", here)
    assert (sound.returncode, "filter, keys" in sound.stdout) == (0, True)
    facts = json.loads(caveat("snapshot", "info", here, "--output", "json").stdout)
    assert facts["here"] == ["filter", "keys"]
    assert facts["tiers"]["keys"]["rows"] == {"rules": 220, "files": 200}
    assert facts["tiers"]["filter"]["rows"] == {"filter": 420}
    assert facts["tiers"]["pictures"]["rows"] == {"pdq": 200, "phash": 0}
    assert facts["tiers"]["records"]["rows"] == {"records": 20}
    assert facts["tiers"]["parquet"]["rows"] == {"works": 200, "rules": 20}
    told = caveat("snapshot", "info", here).stdout
    assert "(not here)" in told
    (tmp_path / "here" / PINNED).unlink()
    lost = caveat("snapshot", "verify", here)
    assert (lost.returncode, "--log-key" in lost.stderr) == (3, True)
    key = operator("log", "key", at=real).split()[0]
    assert caveat("snapshot", "verify", here, "--log-key", key).returncode == 0
