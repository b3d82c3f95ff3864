"""``caveat import`` against the real service: cut, sent, stopped, gone on with, and taken back."""

import csv
import http.server
import json
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.keys import create_key
from registry.client.importing import parts_of, resume_path
from registry.note import Signer
from registry.store import Store, imports

SIGNER = Signer.new("acme")


def row(number: int) -> dict[str, str]:
    return {
        "title": f'No. {number}, "{number}"\nof many',
        "url": f"https://works.example.org/{number}.jpg",
        "sha256": f"{number:032x}" * 2,
    }


def write(path: Path, numbers: range) -> Path:
    rows = [row(number) for number in numbers]
    if path.suffix == ".csv":
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, ["title", "url", "sha256"])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        # Without the last line end, as editors leave it.
        path.write_text("\n".join(json.dumps(one) for one in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


@pytest.fixture
def key(store: Store) -> str:
    scopes = frozenset({"import:acme", "lookup"})
    return create_key(
        store,
        name="Acme",
        scopes=scopes,
        evidence_level=1,
        environment="test",
        at=0,
        import_key=SIGNER.verifier.text,
    ).secret


@pytest.fixture
def signing_key(tmp_path: Path) -> Path:
    path = tmp_path / "signing.key"
    path.write_text(SIGNER.text + "\n")
    return path


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    return folder


def looked_up(url: str, *numbers: int) -> list[str]:
    items = [{"id": str(number), "url": row(number)["url"]} for number in numbers]
    body = json.dumps({"items": items}).encode()
    asking = urllib.request.Request(  # noqa: S310 - loopback, our own port
        f"{url}/api/v1/lookup", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asking, timeout=30) as answer:  # noqa: S310
        return [result["preference"] for result in json.load(answer)["results"]]


class Slow(http.server.BaseHTTPRequestHandler):
    """A proxy in front of the registry that lets some parts through and then holds them."""

    protocol_version = "HTTP/1.1"
    target = ""
    through = 2
    held = threading.Event()
    seen: list[str]

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).seen.append(f"{self.command} {self.path}")
        if self.command == "PUT" and sum(one.startswith("PUT") for one in self.seen) > self.through:
            self.held.set()
            time.sleep(60)
            return
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
        asking = urllib.request.Request(self.target + self.path, body or None, headers, method=self.command)  # noqa: S310
        with urllib.request.urlopen(asking, timeout=30) as answer:  # noqa: S310
            data = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = _any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def slow() -> Iterator[Callable[[str], tuple[str, type[Slow]]]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(target: str) -> tuple[str, type[Slow]]:
        handler = type("Held", (Slow,), {"target": target, "seen": [], "held": threading.Event()})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestCutting:
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_a_list_is_cut_in_the_same_way_each_time_and_nothing_is_lost(
        self, lists: Path, suffix: str
    ) -> None:
        files = [write(lists / f"a{suffix}", range(25)), write(lists / f"b{suffix}", range(25, 30))]
        parts = list(parts_of(files, 10))
        assert [(part.number, part.file, part.first, part.works) for part in parts] == [
            (1, files[0], 0, 10),
            (2, files[0], 10, 10),
            (3, files[0], 20, 5),
            (4, files[1], 0, 5),
        ]
        assert [part.sha256 for part in parts_of(files, 10)] == [part.sha256 for part in parts]
        read = [one for part in parts for one in rows_of(part.data, suffix)]
        assert read == [row(number) for number in range(30)]


def rows_of(data: bytes, suffix: str) -> list[dict[str, str]]:
    if suffix == ".csv":
        return list(csv.DictReader(data.decode().splitlines(keepends=True)))
    if suffix == ".jsonl":
        return [json.loads(line) for line in data.decode().splitlines()]
    return list(pq.read_table(pa.BufferReader(data)).to_pylist())


def test_the_signing_key_is_made_once_and_says_what_to_do(
    caveat: Callable[..., Any], lists: Path, tmp_path: Path
) -> None:
    path, list_ = tmp_path / "keys" / "acme.key", write(lists / "a.csv", range(3))
    options = ["--partner", "acme", "--signing-key", path, "--registry", "http://127.0.0.1:9"]
    made = caveat("import", list_, *options)
    assert made.returncode == 3
    signer = Signer.parse(path.read_text().strip())
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"--scope import:acme --import-key {signer.verifier.text}" in made.stderr
    assert signer.text not in made.stderr + made.stdout
    again = caveat("import", list_, *options)
    assert again.returncode == 3
    assert "cannot be reached" in again.stderr
    assert Signer.parse(path.read_text().strip()) == signer


class TestImporting:
    @pytest.fixture
    def url(self, threaded: Callable[..., str], store: Store, database_url: str) -> str:
        return threaded(database_url)

    @pytest.fixture
    def run(
        self, caveat: Callable[..., Any], key: str, signing_key: Path
    ) -> Callable[..., subprocess.CompletedProcess[str]]:
        def go(url: str, *words: object) -> subprocess.CompletedProcess[str]:
            options = ["--partner", "acme", "--signing-key", signing_key, "--registry", url, "--key", key]
            return caveat("import", *words, *options)  # type: ignore[no-any-return]

        return go

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_a_list_becomes_visible_and_can_be_taken_back(
        self,
        url: str,
        run: Callable[..., Any],
        caveat: Callable[..., Any],
        key: str,
        lists: Path,
        suffix: str,
    ) -> None:
        list_ = write(lists / f"works{suffix}", range(25))
        done = run(url, list_, "--output", "json", "--label", "Acme")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["parts"], answer["works"], answer["seq"]) == (1, 25, 2)
        assert looked_up(url, 0, 24, 25) == ["reserved", "reserved", "unknown"]
        assert [path.name for path in lists.iterdir()] == [list_.name]
        back = caveat("withdraw", answer["id"], "--registry", url, "--key", key)
        assert back.returncode == 0, back.stderr
        assert back.stdout == f"withdrawn at {url}, event 3\n"
        assert looked_up(url, 0) == ["unknown"]
        other = caveat("withdraw", "a" * 26, "--registry", url, "--key", key)
        assert other.returncode == 3

    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
    def test_stopped_on_the_way_it_goes_on_where_it_was(
        self,
        threaded: Callable[..., str],
        database_url: str,
        slow: Callable[[str], tuple[str, type[Slow]]],
        command: Callable[..., Any],
        run: Callable[..., Any],
        key: str,
        signing_key: Path,
        lists: Path,
        store: Store,
        stop: signal.Signals,
    ) -> None:
        server = threaded(database_url, CAVEAT_MAX_ITEMS="10")
        url, proxy = slow(server)
        list_ = write(lists / "works.csv", range(45))
        options = ["--partner", "acme", "--signing-key", signing_key, "--registry", url, "--key", key]
        process = command("import", list_, *options, "--connections", 1)
        assert proxy.held.wait(60)
        process.send_signal(stop)
        _, told = process.communicate(timeout=90)
        memory = resume_path([list_])
        assert memory.exists()
        if stop is signal.SIGINT:
            assert process.returncode == 130
            assert "run the same command again" in told
        assert looked_up(server, 0) == ["unknown"]
        proxy.through, proxy.seen[:] = 100, []
        done = run(url, list_, "--output", "json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["parts"], answer["works"], answer["sent"]) == (5, 45, 3)
        assert [one.split()[0] for one in proxy.seen] == ["GET", *["PUT"] * 3, "POST"]
        assert looked_up(server, 0, 44) == ["reserved", "reserved"]
        assert not memory.exists()
        with store.read() as connection:
            assert [part.number for part in imports.parts_of(connection, answer["id"])] == [1, 2, 3, 4, 5]

    def test_a_list_that_was_changed_between_is_refused(
        self, url: str, run: Callable[..., Any], lists: Path, store: Store
    ) -> None:
        list_ = write(lists / "works.csv", range(3))
        bad = lists / "bad.csv"
        bad.write_text("url\nnothing\n")
        first = run(url, list_, bad)
        assert first.returncode == 3
        assert "bad.csv, part 2 (rows 0 to 0)" in first.stderr
        assert "works.0.url: not a URL: 'nothing'" in first.stderr
        write(list_, range(4))
        # One after the other: of two at a time, either could be refused first.
        second = run(url, list_, bad, "--connections", "1")
        assert second.returncode == 3
        assert "part 1 stands there with other bytes" in second.stderr
        write(list_, range(3))
        other = run(url, list_)
        assert other.returncode == 3
        assert "is of another import" in other.stderr
        bad.write_text("url\nhttps://works.example.org/9.jpg\n")
        done = run(url, list_, bad)
        assert done.returncode == 0, done.stderr
        assert f"imported 4 works in 2 parts at {url}, event 3" in done.stdout
        assert looked_up(url, 0, 9) == ["reserved", "reserved"]

    def test_another_signing_key_than_the_operator_knows_sends_nothing(
        self,
        url: str,
        run: Callable[..., Any],
        lists: Path,
        signing_key: Path,
        store: Store,
    ) -> None:
        signing_key.write_text(Signer.new("acme").text + "\n")
        done = run(url, write(lists / "works.csv", range(3)))
        assert done.returncode == 3
        assert SIGNER.verifier.text in done.stderr
        with store.read() as connection:
            assert list(imports.parts_between(connection, 0, store.head())) == []
        assert [path.name for path in lists.iterdir()] == ["works.csv"]

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("a.txt", "url\n", "is none of .csv"),
            ("a.csv", "url\n", "have no works"),
            ("a.csv", "address\nhttps://a.org/\n", "the column 'address' is not known"),
            ("a.parquet", "PAR1", "not a parquet file"),
            ("a.csv", "url\n\xff\n", "is not UTF-8"),
        ],
        ids=["another suffix", "no works", "an unknown column", "no parquet", "no UTF-8"],
    )
    def test_a_list_that_cannot_be_taken_is_named(
        self,
        url: str,
        run: Callable[..., Any],
        lists: Path,
        name: str,
        text: str,
        told: str,
    ) -> None:
        (lists / name).write_bytes(text.encode("latin-1"))
        done = run(url, lists / name)
        assert done.returncode == 3
        assert told in done.stderr
