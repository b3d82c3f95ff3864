"""Look-ups and registrations at once, on real workers: how fast, and is any answer stale.

    python tests/with_postgres.py python tests/bench/mixed.py --seconds 120 --workers 3

Clients on loopback, each a process with one connection, ask 95 times of 100 and lodge 5 times. A question is
half of the time about a work that some client has had acknowledged before the question was sent: anything
but ``reserved`` is a stale answer then, and so is an ``as_of_seq`` below the last event acknowledged to
anybody. Stops by itself; prints a table, and Markdown with ``--output``.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.keys import create_key, parse_scopes
from registry.migrations import migrate
from registry.store import Store

_PATIENCE = 60
_OWN_SHARE = 0.5
"""Questions about works that were acknowledged."""


@dataclass
class Told:
    """What one client saw; times in seconds."""

    looked_up: list[float] = field(default_factory=list)
    lodged: list[float] = field(default_factory=list)
    probes: int = 0
    stale: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass
class Client:
    """One process that asks and lodges until ``until`` (monotonic seconds)."""

    number: int
    port: int
    key: str
    until: float
    share: float
    acknowledged: Any
    """How many works each client has had acknowledged: works below that number are there."""
    newest: Any
    """The last event that was acknowledged to anybody."""

    def run(self, results: Any) -> None:
        told, made = Told(), random.Random(self.number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.monotonic() < self.until:
            began = time.perf_counter()
            try:
                if made.random() < self.share:
                    self._lodge(connection)
                    told.lodged.append(time.perf_counter() - began)
                else:
                    self._ask(connection, made, told)
                    told.looked_up.append(time.perf_counter() - began)
            except (OSError, http.client.HTTPException, _RefusedError) as error:
                name = f"{type(error).__name__} {error}"[:60]
                told.refused[name] = told.refused.get(name, 0) + 1
                connection.close()
        results.put(told)

    def _lodge(self, connection: http.client.HTTPConnection) -> None:
        number = self.acknowledged[self.number]
        work = {"url": _url(self.number, number), "sha256": f"{self.number:08x}{number:056x}"}
        answer = self._post(
            connection, "/api/v1/reservations", {"preferences": {"train": "reserved"}, "works": [work]}
        )
        with self.newest.get_lock():
            self.newest.value = max(self.newest.value, answer["seq"])
        self.acknowledged[self.number] = number + 1

    def _ask(self, connection: http.client.HTTPConnection, made: random.Random, told: Told) -> None:
        whose = made.randrange(len(self.acknowledged))
        newest, there = self.newest.value, self.acknowledged[whose]
        known = there > 0 and made.random() < _OWN_SHARE
        # The newest works are those that a stale worker would not have.
        number = max(there - 1 - made.randrange(3), 0) if known else made.randrange(10**9, 2 * 10**9)
        item = {"id": "1", "url": _url(whose, number)}
        answer = self._post(connection, "/api/v1/lookup", {"use": "train", "items": [item]})
        wanted = "reserved" if known else "unknown"
        told.probes += known
        told.stale += answer["results"][0]["preference"] != wanted or answer["as_of_seq"] < newest

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"API {self.key}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read()
        if response.status not in (200, 201):
            raise _RefusedError(str(response.status))
        answer: dict[str, Any] = json.loads(data)
        return answer


class _RefusedError(Exception):
    """An answer that is none."""


def _url(whose: int, number: int) -> str:
    return f"https://client{whose}.load.test/picture-{number}.jpg"


@contextmanager
def serving(database: list[str], url: str, workers: int, folder: Path) -> Iterator[int]:
    """Run the real command with ``workers`` workers; yields its port."""
    port = random.randint(20_000, 32_000)
    command = [sys.executable, "-m", "api.commands", "serve", *database]
    command += ["--port", str(port), "--workers", str(workers)]
    environment = {**os.environ, "CAVEAT_INDEX": str(folder / "index"), "CAVEAT_LOG": str(folder / "log")}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        end = time.monotonic() + _PATIENCE
        while not _is_ready(port):
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the service did not come up: {(folder / 'server.log').read_text()[-500:]}")
            time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def measure(port: int, key: str, seconds: float, clients: int, share: float) -> list[Told]:
    """Let the clients loose, and return what each saw."""
    acknowledged, newest = multiprocessing.Array("q", clients), multiprocessing.Value("q", 0)
    results: Any = multiprocessing.Queue()
    until = time.monotonic() + seconds
    processes = [
        multiprocessing.Process(
            target=Client(number, port, key, until, share, acknowledged, newest).run, args=(results,)
        )
        for number in range(clients)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=seconds + 120) for _ in processes]
    for process in processes:
        process.join()
    return told


def table(told: list[Told], seconds: float) -> list[tuple[str, str]]:
    """Return what is shown, as rows."""
    asked, lodged = (
        sorted(t for one in told for t in one.looked_up),
        sorted(t for one in told for t in one.lodged),
    )
    refused: dict[str, int] = {}
    for one in told:
        for name, count in one.refused.items():
            refused[name] = refused.get(name, 0) + count
    return [
        ("look-ups", f"{len(asked):,}, {len(asked) / seconds:,.0f}/s, {_spread(asked)}"),
        ("registrations", f"{len(lodged):,}, {len(lodged) / seconds:,.0f}/s, {_spread(lodged)}"),
        ("about works that were acknowledged before", f"{sum(one.probes for one in told):,}"),
        ("stale answers", f"{sum(one.stale for one in told):,}"),
        ("refused or cut off", ", ".join(f"{c} × {n}" for n, c in refused.items()) or "0"),
    ]


def _spread(times: list[float]) -> str:
    if not times:
        return "none"
    p50, p99 = (times[min(int(len(times) * part), len(times) - 1)] * 1000 for part in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def main() -> None:
    """Measure on the database that the environment names, else on SQLite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.05, help="of registrations")
    parser.add_argument("--output", type=Path, help="Markdown")
    asked = parser.parse_args()
    url = os.environ.get("CAVEAT_TEST_POSTGRES", "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = ["--database", url] if url else ["--data", str(folder)]
        store = Store.open(url or f"sqlite:///{folder / 'registry.sqlite'}")
        migrate(store)
        scopes = parse_scopes(["lookup", "register"])
        key = create_key(
            store, name="load", scopes=scopes, evidence_level=0, environment="test", at=int(time.time())
        )
        store.close()
        with serving(database, url, asked.workers, folder) as port:
            told = measure(port, key.secret, asked.seconds, asked.clients, asked.share)
    rows = table(told, asked.seconds)
    where = f"{asked.workers} workers on {'PostgreSQL' if url else 'SQLite'}"
    what = f"{where}, {asked.clients} clients, {asked.seconds:g} s"
    print(what)
    for name, value in rows:
        print(f"  {name:45}{value}")
    if asked.output is not None:
        lines = [f"| {what} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
        asked.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if any(one.stale for one in told):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
