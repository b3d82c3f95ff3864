"""Importing in bulk: the real `caveat serve` on loopback, its builder beside it, and look-ups meanwhile.

    python tests/bench/imports.py --works 500000                      URL and SHA-256, embedded database
    python tests/bench/imports.py --works 100000 --windows 5          with five windows and a pHash
    python tests/with_postgres.py .venv/bin/python tests/bench/imports.py --works 500000

Bodies are made before anything is timed. Then parts are sent on some connections while another one asks
small look-ups, the whole on the same cores. Timed is from the first byte of the first part until `complete`
is acknowledged, from when on every work is visible; and the first look-ups after it, on either worker.
"""

import argparse
import http.client
import io
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import make_url

from api.keys import create_key
from registry.fingerprint import MIN_BITS
from registry.import_claim import Claim, digest_of, statement_of
from registry.migrations import migrate
from registry.note import Signer, sign_note
from registry.store import Store
from registry.store.engine import database_url

POSTGRES = os.environ.get("CAVEAT_TEST_POSTGRES", "")
WINDOWS = ("full", "trim", "start", "middle", "end")
PART = 10_000
KIND = "application/vnd.apache.parquet"


@dataclass
class Seen:
    """What was measured: when each part was acknowledged, and each look-up: when, how long, its status."""

    parts: list[tuple[float, int]] = field(default_factory=list)
    lookups: list[tuple[float, float, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Registry:
    port: int
    pid: int
    key: str
    folder: Path
    database: str

    def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            return exchange(connection, self, (method, path, body, kind))
        finally:
            connection.close()


def exchange(
    connection: http.client.HTTPConnection, registry: Registry, asked: tuple[str, str, bytes, str]
) -> tuple[int, Any]:
    method, path, body, kind = asked
    headers = {"Authorization": f"API {registry.key}", "Content-Type": kind}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def main() -> None:
    options = arguments()
    signer = Signer.new("bench")
    with tempfile.TemporaryDirectory(
        prefix="imports-", dir=options.folder, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        print(f"making {options.works:,} works, {options.windows} windows each", flush=True)
        begun = time.perf_counter()
        bodies = [body_of(number, options) for number in range(-(-options.works // PART))]
        files = [folder / f"part-{number:06}" for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            file.write_bytes(body)
        size = sum(map(len, bodies))
        del bodies
        print(f"made in {time.perf_counter() - begun:.0f} s, {size / options.works:.0f} bytes a work sent")
        with serving(folder, signer, options.workers) as registry:
            measured(registry, signer, files, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--works", type=int, default=500_000)
    parser.add_argument("--windows", type=int, default=0, choices=range(6))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--folder", help="where the data lies for the time of the run")
    parser.add_argument("--no-lookups", action="store_true", help="ask nothing meanwhile")
    return parser.parse_args()


def body_of(number: int, options: argparse.Namespace) -> bytes:
    """One part as parquet: each work another URL and SHA-256."""
    rng, count = np.random.default_rng(number), min(PART, options.works - number * PART)
    first = number * PART
    columns: dict[str, Any] = {
        "url": [f"https://studio{n % 997}.example.net/works/{n}.jpg" for n in range(first, first + count)],
        "sha256": digits(rng.integers(0, 256, (count, 32), np.uint8)),
    }
    if options.windows:
        columns |= {"v": [1] * count, "quality": [90] * count}
        columns["phash"] = digits(rng.integers(0, 256, (count, 8), np.uint8))
        for name in WINDOWS[: options.windows]:
            hashes = rng.integers(0, 256, (count, 32), np.uint8)
            while len(plain := np.flatnonzero(np.bitwise_count(hashes).sum(axis=1) < MIN_BITS)):
                hashes[plain] = rng.integers(0, 256, (len(plain), 32), np.uint8)
            columns[f"pdq_{name}"] = digits(hashes)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def digits(rows: np.ndarray) -> list[str]:
    text, width = rows.tobytes().hex(), 2 * rows.shape[1]
    return [text[at : at + width] for at in range(0, len(text), width)]


@contextmanager
def serving(folder: Path, signer: Signer, workers: int) -> Iterator[Registry]:
    """A new database, and the service on it with its builder and publisher."""
    data = folder / "data"
    data.mkdir()
    name = f"imports_{secrets.token_hex(6)}"
    if POSTGRES:
        with psycopg.connect(POSTGRES, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        database = make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
        where = ["--database", database]
    else:
        database, where = database_url(data), ["--data", str(data)]
    store = Store.open(database)
    migrate(store)
    key = create_key(
        store,
        name="bench",
        scopes=frozenset({"import:bench", "lookup"}),
        evidence_level=1,
        environment="test",
        at=0,
        import_key=signer.verifier.text,
    )
    store.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "api.commands", "serve", *where, "--port", str(port)]
    environment = {**os.environ, "CAVEAT_INDEX": str(data / "index"), "CAVEAT_LOG": str(data / "log")}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--workers", str(workers)],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            registry = Registry(port, process.pid, key.secret, data, database)
            ready(registry)
            yield registry
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            if POSTGRES:
                with psycopg.connect(POSTGRES, autocommit=True) as server:
                    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            shutil.copy(folder / "serve.log", Path(tempfile.gettempdir()) / "imports-serve.log")


def ready(registry: Registry) -> None:
    for _ in range(600):
        try:
            # Both workers, as a rule; the compiled loops are loaded before.
            if all(registry.ask("GET", "/readyz")[0] == 200 for _ in range(8)):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not come up")


def measured(registry: Registry, signer: Signer, files: list[Path], options: argparse.Namespace) -> None:
    begin = {"namespace": "bench", "preferences": {"genai-train": "reserved"}}
    status, batch = registry.ask("POST", "/api/v1/imports", json.dumps(begin).encode())
    assert status == 201, batch
    seen, over = Seen(), threading.Event()
    idle = Seen()
    asking(registry, idle, over, until=time.perf_counter() + 2)
    print(f"look-ups before: {told(idle.lookups)}", flush=True)
    asker = threading.Thread(target=asking, args=(registry, seen, over), daemon=True)
    if not options.no_lookups:
        asker.start()
    begun, before = time.perf_counter(), spent(registry)
    hashes = sent(registry, batch["id"], files, options.connections, seen)
    stored = time.perf_counter() - begun
    claim = Claim(len(files), options.works, digest_of(hashes))
    note = sign_note(statement_of("bench", batch["id"], claim), [signer])
    body = {"parts": claim.parts, "works": claim.works, "digest": claim.digest.hex(), "note": note}
    asked = 0
    while True:
        asked += 1
        status, answer = registry.ask(
            "POST", f"/api/v1/imports/{batch['id']}/complete", json.dumps(body).encode()
        )
        if status != 202:
            break
        time.sleep(0.2)
    assert status == 200, answer
    visible = time.perf_counter() - begun
    used = {what: taken - before.get(what, 0.0) for what, taken in spent(registry).items()}
    first = firsts(registry, options)
    time.sleep(2)
    over.set()
    if not options.no_lookups:
        asker.join()
    print_rates(seen.parts, begun)
    works = options.works
    print(f"stored and in the log: {stored:.1f} s, {works / stored:,.0f} works/s")
    print(f"visible: {visible:.1f} s, {works / visible:,.0f} works/s ({asked} times asked to complete)")
    cpu = ", ".join(f"{what} {1e6 * taken / works:.1f}" for what, taken in used.items())
    print(f"CPU of the service, look-ups meanwhile included, us a work: {cpu} (database apart)")
    print(f"machine meanwhile: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"first look-ups afterwards, each on a connection of its own: {first}")
    print(f"look-ups meanwhile: {told(seen.lookups)}")
    sizes(registry, works)


def sent(registry: Registry, id_: str, files: list[Path], connections: int, seen: Seen) -> list[bytes]:
    todo: SimpleQueue[int] = SimpleQueue()
    for number in range(len(files)):
        todo.put(number)
    hashes: list[bytes] = [b""] * len(files)

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=300)
        while True:
            try:
                number = todo.get_nowait()
            except Empty:
                connection.close()
                return
            asked = ("PUT", f"/api/v1/imports/{id_}/parts/{number + 1}", files[number].read_bytes(), KIND)
            status, answer = exchange(connection, registry, asked)
            assert status == 200, answer
            hashes[number] = bytes.fromhex(answer["sha256"])
            seen.parts.append((time.perf_counter(), answer["works"]))

    threads = [threading.Thread(target=send) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(hashes), "a part was not acknowledged"
    return hashes


def asking(registry: Registry, seen: Seen, over: threading.Event, until: float = float("inf")) -> None:
    """Ask ten URLs at a time, fifty times a second at most, on new connections by turns."""
    rng = np.random.default_rng(1)
    while not over.is_set() and time.perf_counter() < until:
        urls = [f"https://studio{n % 997}.example.net/works/{n}.jpg" for n in rng.integers(0, 10**6, 10)]
        items = [{"id": str(n), "url": url} for n, url in enumerate(urls)]
        begun = time.perf_counter()
        try:
            status, _ = registry.ask("POST", "/api/v1/lookup", json.dumps({"items": items}).encode())
        except OSError:
            status = 0
        took = time.perf_counter() - begun
        seen.lookups.append((begun, took, status))
        time.sleep(max(0.0, 0.02 - took))


def firsts(registry: Registry, options: argparse.Namespace) -> str:
    """Ask at once after the acknowledgement, until both workers have answered for certain."""
    numbers = [0, options.works // 2, options.works - 1]
    items = [{"id": str(n), "url": f"https://studio{n % 997}.example.net/works/{n}.jpg"} for n in numbers]
    took = []
    for _ in range(8):
        begun = time.perf_counter()
        status, answer = registry.ask("POST", "/api/v1/lookup", json.dumps({"items": items}).encode())
        took.append(time.perf_counter() - begun)
        assert status == 200, answer
        assert [one["preference"] for one in answer["results"]] == ["reserved"] * 3, answer
    return ", ".join(f"{1000 * one:.0f}" for one in took) + " ms; all works visible"


def told(lookups: list[tuple[float, float, int]]) -> str:
    if not lookups:
        return "none"
    took = np.array([one for _, one, _ in lookups]) * 1000
    bad = [status for *_, status in lookups if status != 200]
    p50, p99 = np.percentile(took, [50, 99])
    return (
        f"{len(lookups)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {took.max():.0f} ms, "
        f"{bad.count(503)} times 503, {len(bad) - bad.count(503)} other failures"
    )


def print_rates(parts: list[tuple[float, int]], begun: float) -> None:
    """Works a second, in ten stretches of time."""
    ends = np.array([at - begun for at, _ in parts])
    counts = np.array([works for _, works in parts])
    edges = np.linspace(0, ends.max() + 1e-9, 11)
    for low, high in itertools.pairwise(edges):
        works = counts[(ends > low) & (ends <= high)].sum()
        print(f"  {low:7.1f} to {high:7.1f} s: {works / (high - low):10,.0f} works/s")


def sizes(registry: Registry, works: int) -> None:
    index = sum(file.stat().st_size for file in (registry.folder / "index").glob("*.caveat"))
    if POSTGRES:
        with psycopg.connect(registry.database.replace("+psycopg", "")) as connection:
            row = connection.execute("SELECT pg_total_relation_size('import_part')").fetchone()
            assert row is not None
            stored = row[0]
    else:
        stored = sum(file.stat().st_size for file in registry.folder.glob("registry.sqlite*"))
    print(f"on disk: database {stored / works:.0f}, index files {index / works:.0f} bytes a work")
    for pid, what in processes(registry):
        memory = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        )
        private = sum(int(memory[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024
        shared = int(memory["Pss"].split()[0]) * 1024 - private
        print(f"in memory: {what:12} {private / 1e6:6.0f} MB of its own, {shared / 1e6:5.0f} MB shared")


def processes(registry: Registry) -> list[tuple[int, str]]:
    """The processes of the service and what each does."""
    lists = (task.read_text() for task in Path(f"/proc/{registry.pid}/task").glob("*/children"))
    found = []
    for pid in sorted(map(int, " ".join(lists).split())):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        what = next((word for word in ("build-index", "publish", "watch") if word in command), "worker")
        found.append((pid, what))
    return found


def spent(registry: Registry) -> dict[str, float]:
    """Seconds of CPU that each kind of process took so far."""
    total: dict[str, float] = {}
    for pid, what in processes(registry):
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        total[what] = total.get(what, 0.0) + sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return total


if __name__ == "__main__":
    main()
