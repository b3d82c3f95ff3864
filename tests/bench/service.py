"""The service through HTTP: the real gunicorn with two workers on loopback, on the same cores as the load.

The registry is filled with works of five windows, URL and SHA-256 each through its own API, and the index
files are there before anything is timed. python-threatexchange's index holds the same hashes behind a minimal
Flask route, under the same gunicorn. The load generator sends bodies made beforehand on four connections and
reads the answers without parsing them; one batch is parsed first and compared with the peer's.
"""

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import (
    PATIENCE,
    Asking,
    BenchError,
    Item,
    Note,
    Plan,
    Row,
    answer_of,
    at_least,
    cpu_seconds,
    load,
    milliseconds,
    per_second,
    profile_of,
    short,
    spent,
    told,
)

from api import create_app
from api.keys import create_key, parse_scopes
from api.settings import Settings
from registry.builder import LEAST
from registry.client import RegistryClient, filter_dataset
from registry.client.lodging import PART, Lodged, lodge
from registry.errors import RegistryError
from registry.fingerprint import MIN_BITS, REGISTERED_WINDOWS, parse_fingerprint, sha256_from_hex
from registry.index_folder import IndexFolder
from registry.migrations import migrate
from registry.preference import Preference, Use
from registry.registrar import Caller, Draft, Registrar, WorkDraft
from registry.store import Store, index_rows
from registry.urls import canonicalize_url

__all__ = ["peer", "section", "serving"]

_ROOT = Path(__file__).parent.parent.parent
_WINDOWS = ("full", "trim", "start", "middle", "end")
_WORKERS = 2
_BATCH = 1_000
_STEP = 10 * PART
_EVENT = 10_000
"""Works in one event, where no HTTP is between."""
_LOOKUP, _MATCH, _MATCHES, _V2 = "/api/v1/lookup", "/match", "/matches", "/api/v2/query/urls"
_SLOWEST = 2_000
"""Works a second that the index files take in, at least."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A registry that answers: its address, a key for everything and whose it is, and its folder."""

    address: str
    key: str
    principal: str
    folder: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"API {self.key}", "Content-Type": "application/json"}


def section(plan: Plan) -> Iterator[Item]:
    """Yield the rows of registration, look-ups of hashes and URLs, and of the filter."""
    count = plan.count(100_000, full=1_000_000)
    seconds = 2.0 if plan.quick else 6.0
    hashes = _hashes(count)
    with tempfile.TemporaryDirectory(dir=plan.folder, prefix="service-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        queries = _queries(hashes.reshape(-1, 4))
        with serving(folder / "data") as served:
            yield from _registered(served, hashes)
            yield from _filtered(served, folder, plan.count(100_000, full=1_000_000))
            found, rates = _asked(served, queries, seconds)
            yield from _urls(served, count, seconds)
        told("service: threatexchange behind Flask")
        np.save(folder / "hashes.npy", hashes.reshape(-1, 4))
        yield from _beside_threatexchange(folder, queries, found, rates, seconds)
        yield from _rows_without_peer(rates, count)
        yield from _profiles(folder / "data", served, queries, count)


def _hashes(count: int) -> NDArray[np.uint64]:
    """Return ``uint64[count, 5, 4]``, all with bits enough to tell pictures apart."""
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**64, (count * len(_WINDOWS), 4), dtype=np.uint64)
    while len(plain := np.flatnonzero(np.bitwise_count(words).sum(axis=1) < MIN_BITS + 16)):
        # Queries lose up to 31 bits of theirs, and must not fall below the bound: few are drawn again.
        words[plain] = rng.integers(0, 2**64, (len(plain), 4), dtype=np.uint64)
    return words.reshape(count, len(_WINDOWS), 4)


def _queries(words: NDArray[np.uint64]) -> list[list[str]]:
    """Return eight batches of hex hashes; half of each lies 0–31 bits from a stored one."""
    rng = np.random.default_rng(5)
    many = rng.integers(0, 2**64, (8 * _BATCH * 2, 4), dtype=np.uint64)
    many = many[np.bitwise_count(many).sum(axis=1) >= MIN_BITS][: 8 * _BATCH]
    near = words[rng.integers(0, len(words), len(many[::2]))].copy()
    bits = np.unpackbits(near.astype(">u8").view(np.uint8), axis=1)
    for row in bits:
        changed = rng.choice(256, rng.integers(0, 32), replace=False)
        row[changed] ^= 1
        short_of = MIN_BITS - int(row.sum())
        if short_of > 0:
            row[changed[row[changed] == 0][:short_of]] = 1
    many[::2] = np.packbits(bits, axis=1).view(">u8")
    texts = [row.tobytes().hex() for row in many.astype(">u8")]
    return [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]


# Registering.


def _registered(served: _Served, hashes: NDArray[np.uint64]) -> Iterator[Item]:
    """Lodge a work for each row of hashes, the first ones through HTTP; wait until the index holds them."""
    told(f"service: registering {short(len(hashes))} works")
    through_http = min(_STEP, len(hashes) // 2)
    works = [_work(place, row) for place, row in enumerate(hashes[:through_http])]
    client = RegistryClient(served.address, served.key)
    with spent() as took:
        lodged = lodge(client, {"preferences": {"genai-train": "reserved"}}, works, Lodged(served.address))
    if lodged.exact_only:
        raise BenchError(f"{len(lodged.exact_only)} works were taken for plain ones")
    what = "registering works with URL, SHA-256, pHash and 5 windows"
    how = f"{short(through_http)} works, {PART:,} a request, one connection, embedded database, wall"
    yield Row(f"{what} through HTTP", how, per_second(through_http, took["wall"]))
    with spent() as took:
        _imported(served, hashes, through_http)
    rest = len(hashes) - through_http
    how = f"{short(rest)} works, parsed and written by one process, 10,000 an event, embedded database, wall"
    yield Row(what, how, f"{per_second(rest, took['wall'])} (of CPU {per_second(rest, took['cpu'])})")
    with spent() as took:
        _wait_for_index(served, PATIENCE + len(hashes) / _SLOWEST)
    yield Note(
        f"{took['wall']:.0f} s after the last of {short(len(hashes))} works was registered, the index files "
        f"held all, or all but fewer than {LEAST:,}, which the workers hold in memory."
    )
    warm_up(served)


def _imported(served: _Served, hashes: NDArray[np.uint64], begin: int) -> None:
    """Register the rows from ``begin`` on by the product's own writer, without HTTP."""
    store = Store.open(f"sqlite:///{served.folder / 'registry.sqlite'}")
    registrar = Registrar(store, lambda: datetime.now(UTC))
    caller = Caller(served.principal, frozenset({"register"}))
    for at in range(begin, len(hashes), _EVENT):
        works = [_draft(_work(at + k, row)) for k, row in enumerate(hashes[at : at + _EVENT])]
        registrar.register(caller, Draft({Use.GENAI_TRAIN: Preference.RESERVED}, works))
    store.close()


def _draft(wire: dict[str, Any]) -> WorkDraft:
    return WorkDraft(
        url=canonicalize_url(wire["url"]),
        sha256=sha256_from_hex(wire["sha256"]),
        fingerprint=parse_fingerprint(wire["fingerprint"], REGISTERED_WINDOWS),
    )


def _work(number: int, hashes: NDArray[np.uint64]) -> dict[str, Any]:
    texts = (row.tobytes().hex() for row in hashes.astype(">u8"))
    return {
        "url": f"https://studio{number % 997}.example.net/works/{number}.jpg",
        "sha256": f"{number:064x}",
        "fingerprint": {
            "v": 1,
            "quality": 90,
            "phash": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
            "pdq": dict(zip(_WINDOWS, texts, strict=True)),
        },
    }


def _wait_for_index(served: _Served, patience: float) -> None:
    """Wait until fewer works than make a segment are in none."""
    store = Store.open(f"sqlite:///{served.folder / 'registry.sqlite'}")
    began = time.monotonic()
    while (left := _not_in_files(store, IndexFolder(served.folder / "index"))) >= LEAST:
        if time.monotonic() - began > patience:
            raise BenchError(f"{left:,} works are in no index file after {patience:.0f} s")
        time.sleep(0.5)
    store.close()


def _not_in_files(store: Store, folder: IndexFolder) -> int:
    upto = max((part.upto for part in folder.parts()), default=0)
    with store.read() as connection:
        return index_rows.count_between(connection, upto, store.head())


def warm_up(served: _Served) -> None:
    """Let the workers take new segments over, and load or compile their loops, at first requests."""
    one = {"id": "0", "url": _url(1), "fingerprint": {"v": 1, "quality": 90, "pdq": {"full": "0f" * 32}}}
    asking = Asking(_LOOKUP, [json.dumps({"items": [one]}).encode()], 1, served.headers)
    for _ in range(2):
        load(served.address, asking, 2.0)
        time.sleep(1)


# Asking.


def _lookups(queries: list[list[str]], *, review: bool, mirrored: bool = False) -> list[bytes]:
    """Return a body a batch; ``mirrored`` adds a second form that is near to nothing, as our client does."""
    bodies = []
    for batch, others in zip(queries, queries[1:] + queries[:1], strict=True):
        items = []
        for k, one in enumerate(batch):
            forms = {"full": one} | ({"mirror": others[k | 1]} if mirrored else {})
            items.append({"id": str(k), "fingerprint": {"v": 1, "quality": 90, "pdq": forms}})
        bodies.append(json.dumps({"review": review, "items": items}).encode())
    return bodies


def _singles(queries: list[list[str]], *, review: bool) -> list[bytes]:
    return [body for batch in queries[:1] for body in _lookups([[one] for one in batch[:200]], review=review)]


_Rates = dict[str, float]


def _asked(served: _Served, queries: list[list[str]], seconds: float) -> tuple[set[str], _Rates]:
    """Return which hashes of the first batch are reserved, and items a second by kind of request."""
    told("service: look-ups of hashes")
    answer = answer_of(
        served.address, Asking(_LOOKUP, _lookups(queries, review=False), _BATCH, served.headers)
    )
    results = answer["results"]
    found = {queries[0][int(one["id"])] for one in results if one["preference"] == "reserved"}
    rates = {}
    for name, bodies, items in (
        ("batch", _lookups(queries, review=False), _BATCH),
        ("batch, review", _lookups(queries, review=True), _BATCH),
        ("batch, review, two forms", _lookups(queries, review=True, mirrored=True), _BATCH),
        ("single", _singles(queries, review=False), 1),
        ("single, review", _singles(queries, review=True), 1),
    ):
        rates[name] = load(served.address, Asking(_LOOKUP, bodies, items, served.headers), seconds)
    return found, rates


def _urls(served: _Served, count: int, seconds: float) -> Iterator[Item]:
    told("service: look-ups of URLs")
    text = {**served.headers, "Content-Type": "text/plain"}
    for size in (_BATCH, 10 * _BATCH):
        bodies = ["\n".join(_url(size * k + n) for n in range(size)).encode() for k in range(8)]
        rate = load(served.address, Asking(_V2, bodies, size, text), seconds)
        yield _url_row(f"{_V2}, {size:,} lines a request", count, rate)
    items = [
        json.dumps({"items": [{"id": str(n), "url": _url(_BATCH * k + n)} for n in range(_BATCH)]})
        for k in range(8)
    ]
    asking = Asking(_LOOKUP, [one.encode() for one in items], _BATCH, served.headers)
    yield _url_row(f"{_LOOKUP}, {_BATCH:,} items a request", count, load(served.address, asking, seconds))


def _url_row(how: str, count: int, rate: float) -> Row:
    return Row(
        "URL answers through HTTP",
        f"{how}, {short(count)} works, {_WORKERS} workers, wall",
        per_second(rate, 1),
        wanted=[at_least(rate, 100_000, "≥ 100,000/s at 1 M")],
    )


def _rows_without_peer(rates: _Rates, count: int) -> Iterator[Row]:
    for name, how in (
        ("batch, review", "review band too, as is usual"),
        ("batch, review, two forms", "review band too, full and mirror, as our client asks"),
        ("single, review", "one item a request, review band too"),
    ):
        wanted = [] if name.startswith("single") else [_hash_budget(rates[name])]
        yield Row(
            "pictures looked up through HTTP",
            f"{how}; {short(count)} works of 5 windows, {_WORKERS} workers, wall",
            per_second(rates[name], 1),
            wanted=wanted,
        )


def _hash_budget(rate: float) -> Any:
    return at_least(rate, 10_000, "≥ 10,000/s at 1 M")


# The peer.


def peer(path: str) -> Any:
    """Return a minimal Flask application around threatexchange's index of the hashes in ``path``."""
    import faiss
    from flask import Flask, jsonify, request
    from threatexchange.signal_type.pdq.pdq_index import PDQIndex

    faiss.omp_set_num_threads(1)
    words = np.load(path).astype(">u8")
    # PDQIndex.add_all takes some 30 s a million; this makes the same index.
    index = PDQIndex()
    index.local_id_to_entry = [("", place // len(_WINDOWS)) for place in range(len(words))]
    index.index.faiss_index.add_with_ids(words.view(np.uint8), np.arange(len(words)))
    index.index.index_rev_map = {place: place for place in range(len(words))}
    app = Flask(__name__)

    @app.get(_MATCH)
    def match() -> Any:
        found = index.query(request.args["hash"])
        return jsonify([[one.similarity_info.distance, one.metadata] for one in found])

    @app.post(_MATCHES)
    def matches() -> Any:
        found = index.index.search_with_distance_in_result(request.get_json(), 31)
        entries = index.local_id_to_entry
        return jsonify(
            {
                one: [[int(distance), entries[place][1]] for place, _, distance in near]
                for one, near in found.items()
            }
        )

    return app


def _beside_threatexchange(
    folder: Path, queries: list[list[str]], found: set[str], rates: _Rates, seconds: float
) -> Iterator[Item]:
    headers = {"Content-Type": "application/json"}
    batches = Asking(_MATCHES, [json.dumps(batch).encode() for batch in queries], _BATCH, headers)
    singles = Asking(_MATCH, [one.encode() for one in queries[0][:200]], 1, {})
    with _peer_serving(folder / "hashes.npy") as address:
        theirs = {one for one, near in answer_of(address, batches).items() if near}
        if theirs != found:
            raise BenchError(f"threatexchange matched {len(theirs)} of the first batch, ours {len(found)}")
        single, batch = load(address, singles, seconds), load(address, batches, seconds)
    hashes = short(len(np.load(folder / "hashes.npy", mmap_mode="r")))
    how = f"radius 31, one form, {hashes} hashes, {_WORKERS} gunicorn workers each, wall; same matches"
    ratio = rates["single"] / single
    yield Row(
        "pictures looked up through HTTP, one a request",
        how,
        per_second(rates["single"], 1),
        f"threatexchange behind Flask {per_second(single, 1)}",
        ratio,
        [at_least(ratio, 5, "≥ 5 ×")],
    )
    ratio = rates["batch"] / batch
    yield Row(
        "pictures looked up through HTTP, batches of 1,000",
        how,
        per_second(rates["batch"], 1),
        f"threatexchange behind Flask {per_second(batch, 1)}",
        ratio,
        [at_least(ratio, 40, "≥ 40 ×"), _hash_budget(rates["batch"])],
    )


@contextmanager
def _peer_serving(path: Path) -> Iterator[str]:
    port = _port()
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(Path(__file__).parent), "--preload"]
    command += ["--workers", str(_WORKERS), "--threads", "4", "--worker-class", "gthread"]
    command += ["--bind", f"127.0.0.1:{port}", "--timeout", "120", f"service:peer({str(path)!r})"]
    address = f"http://127.0.0.1:{port}"
    asking = Asking(_MATCH, [b"0" * 64], 1, {})
    with _running(command, path.with_name("peer.log"), lambda: answer_of(address, asking)):
        yield address


# The filter of a table, as people run it.


def _filtered(served: _Served, folder: Path, count: int) -> Iterator[Item]:
    """The compatible route and the filter, beside datadiligence against the same server."""
    told(f"service: filter of {short(count)} rows")
    client = RegistryClient(served.address, served.key)
    reserved = [{"url": _url(number)} for number in range(0, count, 50)]
    lodge(client, {"preferences": {"genai-train": "reserved"}}, reserved, Lodged(served.address))
    table = folder / "urls.csv"
    with table.open("w", encoding="utf-8") as lines:
        lines.write("url,caption\n")
        lines.writelines(f"{_url(n)},picture {n}\n" for n in range(count))
    began = time.perf_counter()
    summary = filter_dataset(table, folder / "clean.csv", [client])
    ours = time.perf_counter() - began
    theirs, kept = _datadiligence(table, served)
    if kept != summary.kept:
        raise BenchError(f"datadiligence kept {kept:,} rows, and caveat filter {summary.kept:,}")
    ratio = theirs / ours
    wanted = [at_least(ratio, 5, "≥ 5 × at 1 M rows")]
    yield Row(
        "filter a table of URLs",
        f"{count:,} rows of CSV, 2 % reserved, {_WORKERS} gunicorn workers, wall; same {kept:,} rows kept",
        f"{ours:.2f} s",
        f"datadiligence {theirs:.2f} s",
        ratio,
        wanted,
    )
    if not wanted[0].met:
        small = table.with_name("part.csv")
        small.write_text("url,caption\n" + "".join(f"{_url(n)},p\n" for n in range(count // 10)), "utf-8")
        profile = profile_of(lambda: filter_dataset(small, folder / "part-clean.csv", [client]))
        yield Note(f"filter, a tenth of the rows, own process: {profile}", miss=True)


_PEER = """
import csv, json, sys, time
import datadiligence
from datadiligence.rules import SpawningAPI
SpawningAPI.SPAWNING_AI_API_URL = sys.argv[2] + "/api/v2/query/urls/"
started = time.perf_counter()
with open(sys.argv[1], encoding="utf-8", newline="") as lines:
    urls = [row["url"] for row in csv.DictReader(lines)]
kept = set(datadiligence.filter_allowed(urls=urls))
out = [url for url in urls if url in kept]
print(json.dumps({"seconds": time.perf_counter() - started, "kept": len(out)}))
"""


def _datadiligence(table: Path, served: _Served) -> tuple[float, int]:
    """Run the real client in a process of its own, start not counted."""
    environment = {**os.environ, "SPAWNING_OPTS_KEY": served.key}
    command = [sys.executable, "-c", _PEER, str(table), served.address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], answer["kept"]


def _url(number: int) -> str:
    return (
        f"https://img{number % 97}.site{number % 1009}.example.org/gallery/{number % 31}/picture-{number}.jpg"
    )


# Servers.


@contextmanager
def serving(folder: Path) -> Iterator[_Served]:
    """Serve a new registry in ``folder`` while the block lasts."""
    folder.mkdir()
    store = Store.open(f"sqlite:///{folder / 'registry.sqlite'}")
    migrate(store)
    scopes = parse_scopes(["lookup", "register", "domain:*"])
    at = int(time.time())
    key = create_key(store, name="bench", scopes=scopes, evidence_level=0, environment="test", at=at)
    store.close()
    port, log = _port(), folder / "server.log"
    command = [sys.executable, "-m", "api.commands", "serve", "--data", str(folder)]
    command += ["--port", str(port), "--workers", str(_WORKERS)]
    served = _Served(f"http://127.0.0.1:{port}", key.secret, key.principal_id, folder)
    client = RegistryClient(served.address, retries=0)
    with _running(command, log, client.check_parameters):
        yield served
    # The process that builds the index looks twice a second whether this one is gone.
    time.sleep(1.5)


@contextmanager
def _running(command: list[str], log: Path, answers: Callable[[], object]) -> Iterator[None]:
    """Run a server while the block lasts, which begins when ``answers`` raises nothing."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stderr=output, stdout=output, cwd=_ROOT)
    with server:
        try:
            began = time.monotonic()
            while not _raises_nothing(answers):
                if server.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise BenchError(f"a server did not come up: {log.read_text()[-500:]}")
                time.sleep(0.2)
            yield
        finally:
            server.terminate()


def _raises_nothing(answers: Callable[[], object]) -> bool:
    try:
        answers()
    except (RegistryError, OSError, http.client.HTTPException):
        return False
    return True


def _port() -> int:
    return random.Random(f"{os.getpid()} {time.monotonic_ns()}").randint(20_000, 32_000)


# Where the time goes.


def _profiles(data: Path, served: _Served, queries: list[list[str]], count: int) -> Iterator[Item]:
    """Ask the application without HTTP, in this process, and tell where its time goes."""
    told("service: profiles")
    settings = Settings(database=f"sqlite:///{data / 'registry.sqlite'}", index=data / "index")
    client = create_app(settings).test_client()
    lines = "\n".join(_url(n) for n in range(_BATCH)).encode()
    for what, path, body, times in (
        ("1,000 hashes, radius 31", _LOOKUP, _lookups(queries, review=False)[0], 5),
        ("1,000 hashes, review band", _LOOKUP, _lookups(queries, review=True)[0], 5),
        ("1,000 URLs", _V2, lines, 5),
        ("1,000 hashes one by one, radius 31", _LOOKUP, _singles(queries, review=False)[0], 200),
    ):
        headers = served.headers if path == _LOOKUP else {**served.headers, "Content-Type": "text/plain"}

        def ask(path: str, body: bytes, headers: dict[str, str], times: int) -> None:
            for _ in range(times):
                client.post(path, data=body, headers=headers).get_data()

        asking = partial(ask, path, body, headers, times)
        items = times if "one by one" in what else times * _BATCH
        seconds = cpu_seconds(asking) * _BATCH / items
        yield Note(
            f"{what}, {short(count)} works, without HTTP in one process: CPU {milliseconds(seconds)}, "
            f"so {per_second(_BATCH, seconds)} a core. {profile_of(asking)}",
            miss=True,
        )
