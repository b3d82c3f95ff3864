"""A witness in a process of its own, which we only talk to through the log that the service publishes."""

import itertools
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, ConsistencyProofInvalid

from registry.errors import StorageError
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from registry.store import Store
from registry.store.engine import database_url as sqlite_in

PROGRAM = Path(__file__).parent / "witness.py"
ORIGIN = "log.test/witnessed"


@dataclass
class Witness:
    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in self.output.read_text().splitlines()]
        return [(line["verdict"], line["about"]) for line in lines]

    def seen(self, key: str) -> list[Checkpoint]:
        texts = [path.read_text() for path in (self.folder / "seen").iterdir() if not path.suffix]
        found = sorted(map(Checkpoint.from_text, texts), key=lambda one: one.size)
        for one in found:
            one.verify(Vkey.from_string(key))
        return found

    def accusation(self, key: str) -> list[Checkpoint]:
        """What the log is accused with: the one that was kept and the one that was served, both signed."""
        texts = [(self.folder / "accusation" / name).read_text() for name in ("kept", "served")]
        for one in (found := list(map(Checkpoint.from_text, texts))):
            one.verify(Vkey.from_string(key))
        return found

    def wait_for(self, verdict: str, about: str = "") -> None:
        end = time.monotonic() + 30
        while not any(verdict == told and about in why for told, why in self.verdicts):
            assert time.monotonic() < end, f"no {verdict} of {about!r}: {self.verdicts}"
            time.sleep(0.05)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Callable[[str, str], Witness]]:
    """Start the witness, in the same folder each time: what it saw before it still knows."""
    started: list[subprocess.Popen[bytes]] = []

    def start(address: str, key: str) -> Witness:
        output = tmp_path / f"witness-{len(started)}.out"
        command = [sys.executable, "-I", str(PROGRAM), address, key, str(tmp_path / "witness")]
        with output.open("wb") as file:
            process = subprocess.Popen([*command, "--every", "0.05"], stdout=file, stderr=file)
        started.append(process)
        return Witness(process, tmp_path / "witness", output)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    new = Signer.new(ORIGIN)
    LogFolder(tmp_path / "log").write_signer(new)
    return new


def publish(data: Path, signer: Signer) -> int:
    """Publish now, as `caveat log publish` does, in turn with the service's own publisher."""
    store, folder = Store.open(sqlite_in(data)), LogFolder(data / "log")
    for _ in range(200):
        try:
            with folder.writing():
                Publisher(store, folder, signer).publish()
            break
        except StorageError:
            time.sleep(0.05)
    else:
        pytest.fail("the service's publisher holds the folder for good")
    size = store.head()
    store.close()
    return size


def live(address: str, headers: dict[str, str], rounds: int) -> None:
    """Lodge, add to, change, withdraw and erase, through the service."""
    with requests.Session() as session:
        session.headers.update(headers)
        routes = f"{address}/api/v1/reservations"

        def asked(method: str, path: str, body: Any = None) -> Any:
            answer = session.request(method, routes + path, json=body, timeout=30)
            assert answer.ok, answer.text
            return answer.json()

        for number in range(rounds):
            work = {"url": f"https://a.test/{time.monotonic_ns()}.jpg", "title": f"work {number}"}
            first, second = (
                asked("POST", "", {"preferences": {"train": "reserved"}, "works": [work]})["id"] for _ in "ab"
            )
            asked("POST", f"/{first}/works", {"works": [{"sha256": f"{number:064x}"}]})
            asked("PATCH", f"/{first}", {"label": f"series {number}"})
            asked("DELETE", f"/{first}")
            asked("POST", f"/{second}/erase", {"keep": number % 2 == 0})


def test_every_two_checkpoints_that_were_ever_seen_are_consistent(
    served: Callable[..., Any],
    witness: Callable[[str, str], Witness],
    make_key: Callable[..., Any],
    signer: Signer,
    tmp_path: Path,
) -> None:
    key, headers = signer.verifier.text, make_key(("register",)).headers
    server = served(data=tmp_path)
    watching = witness(server.url, key)
    with ThreadPoolExecutor(1) as pool:
        happening = pool.submit(live, server.url, headers, 60)
        while not happening.done():
            publish(tmp_path, signer)
            time.sleep(0.1)
        happening.result()
    last = publish(tmp_path, signer)
    assert last == 360
    watching.wait_for("accepted", str(last))
    assert watching.process.poll() is None
    assert {verdict for verdict, _ in watching.verdicts} <= {"accepted", "out of reach"}
    seen = watching.seen(key)
    assert len(seen) >= 8
    assert (seen[-1].size, seen[-1].origin) == (last, ORIGIN)
    reader = TilesReader(HttpBackend(server.url))
    reader.set_size(last)
    for old, new in itertools.combinations(seen, 2):
        assert old.size < new.size
        if old.size:
            reader.get_consistency_proof(old.size, new.size).check(old.root_hash, new.root_hash)


class TestAttacks:
    """The operator turns back the database and throws the published log away; only the key stays."""

    @pytest.fixture
    def headers(
        self,
        served: Callable[..., Any],
        witness: Callable[[str, str], Witness],
        make_key: Callable[..., Any],
        signer: Signer,
        tmp_path: Path,
    ) -> dict[str, str]:
        """Twelve events that a witness saw, a copy of the database with six of them, and one with all."""
        headers: dict[str, str] = make_key(("register",)).headers
        server = served(workers=1, data=tmp_path)
        live(server.url, headers, 1)
        copied(tmp_path, tmp_path / "older")
        live(server.url, headers, 1)
        copied(tmp_path, tmp_path / "newest")
        assert publish(tmp_path, signer) == 12
        watching = witness(server.url, signer.verifier.text)
        watching.wait_for("accepted", "12")
        watching.process.kill()
        return headers

    def test_a_log_that_shrank_and_one_that_forked_are_caught(
        self,
        headers: dict[str, str],
        served: Callable[..., Any],
        witness: Callable[[str, str], Witness],
        signer: Signer,
        tmp_path: Path,
    ) -> None:
        data, key = tmp_path / "older", signer.verifier.text
        LogFolder(data / "log").write_signer(signer)
        server = served(workers=1, data=data)
        for rounds, verdict, size in [(0, "shrank", 6), (1, "forked", 12), (2, "forked", 24)]:
            live(server.url, headers, rounds)
            assert publish(data, signer) == size
            watching = witness(server.url, key)
            watching.wait_for(verdict, f"12 leaves before, now {size}")
            assert watching.process.wait(30) == 2
            kept, given = watching.accusation(key)
            assert (kept.size, given.size) == (12, size)
            assert kept.root_hash != given.root_hash
            assert [one.size for one in watching.seen(key)] == [12]
            if size == 12:
                other_past = given
        # Anybody can follow it: the hashes lead to the new root, over another beginning than the one signed.
        path = [bytes.fromhex(line) for line in (watching.folder / "accusation" / "path").read_text().split()]
        shown = ConsistencyProof(12, 24, path)
        shown.check(other_past.root_hash, given.root_hash)
        with pytest.raises(ConsistencyProofInvalid):
            shown.check(kept.root_hash, given.root_hash)

    def test_a_true_copy_of_the_database_goes_on_and_nobody_is_accused(
        self,
        headers: dict[str, str],
        served: Callable[..., Any],
        witness: Callable[[str, str], Witness],
        signer: Signer,
        tmp_path: Path,
    ) -> None:
        data = tmp_path / "newest"
        LogFolder(data / "log").write_signer(signer)
        server = served(workers=1, data=data)
        assert publish(data, signer) == 12
        watching = witness(server.url, signer.verifier.text)
        time.sleep(1)
        live(server.url, headers, 1)
        assert publish(data, signer) == 18
        watching.wait_for("accepted", "18")
        assert watching.verdicts == [("accepted", "18")]
        assert not (watching.folder / "accusation").exists()


class TestRefusing:
    """What is not the log's own word is refused, and nobody is accused of it."""

    def test_a_damaged_file_or_another_key_is_refused_and_the_mended_file_accepted(
        self,
        served: Callable[..., Any],
        witness: Callable[[str, str], Witness],
        make_key: Callable[..., Any],
        signer: Signer,
        tmp_path: Path,
    ) -> None:
        server = served(workers=1, data=tmp_path)
        live(server.url, make_key(("register",)).headers, 1)
        assert publish(tmp_path, signer) == 6
        stranger = witness(server.url, Signer.new(ORIGIN).verifier.text)
        stranger.wait_for("refused", "not a checkpoint signed by")
        stranger.process.kill()
        mend_tile = spoilt(tmp_path / "log" / "tile" / "0" / "000.p" / "6")
        mend_checkpoint = spoilt(tmp_path / "log" / "checkpoint")
        watching = witness(server.url, signer.verifier.text)
        watching.wait_for("refused", "not a checkpoint signed by")
        mend_checkpoint()
        watching.wait_for("refused", "its tiles are not what was signed")
        assert not (watching.folder / "last").exists()
        mend_tile()
        watching.wait_for("accepted", "6")

    def test_an_address_where_nothing_answers(
        self, witness: Callable[[str, str], Witness], signer: Signer
    ) -> None:
        watching = witness("http://127.0.0.1:9", signer.verifier.text)
        watching.wait_for("out of reach")
        assert watching.process.poll() is None


def test_the_witness_has_nothing_of_the_registry_in_it() -> None:
    script = (
        f"import runpy, sys; runpy.run_path({str(PROGRAM)!r});"
        "print([name for name in sys.modules if name.split('.')[0] in ('registry', 'api')])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def copied(data: Path, into: Path) -> None:
    """Copy the database as a backup would, while the service runs."""
    into.mkdir()
    with (
        sqlite3.connect(data / "registry.sqlite") as source,
        sqlite3.connect(into / "registry.sqlite") as target,
    ):
        source.backup(target)
    source.close()
    target.close()


def spoilt(path: Path) -> Callable[[], int]:
    """Turn a bit of a file; returns what mends it."""
    sound = path.read_bytes()
    path.write_bytes(sound[:40] + bytes([sound[40] ^ 1]) + sound[41:])
    return lambda: path.write_bytes(sound)
