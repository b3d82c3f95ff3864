"""Speed beside the peers, in one run, as ratios: `make bench`, or `python tests/bench/run.py --quick`.

Every row names its configuration. A ratio above 1 means that ours is faster. The service runs under the real
gunicorn with two workers on loopback, on the same cores as the load; every loop is bounded.
"""

import argparse
import io
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from api.keys import create_key, parse_scopes
from registry.client import RegistryClient, filter_dataset
from registry.client.lodging import Lodged, lodge
from registry.errors import RegistryError
from registry.fingerprint import query_fingerprint
from registry.hamming import HammingIndex
from registry.migrations import migrate
from registry.picture import decode_picture
from registry.store import Store
from registry.urls import candidate_keys, canonicalize_url

PICTURES = Path(__file__).parent.parent.parent / "registry" / "demo" / "pictures"
Row = tuple[str, str, str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    scale = 10 if parser.parse_args().quick else 1
    rows = [*hashing(), *searching(200_000 // scale), *urls(100_000 // scale), *service(100_000 // scale)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| what | configuration | ours | peer | ratio |\n|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def hashing() -> Iterator[Row]:
    """The whole query fingerprint of a 2 MP JPEG beside what people write first."""
    files = [_two_megapixels(path) for path in sorted(PICTURES.glob("*/*.jpg"))[:8]]
    ours = _cpu(
        lambda: [query_fingerprint(decode_picture(data, reduced=True), data) for data in files]
    ) / len(files)
    naive = _cpu(lambda: [imagehash.phash(Image.open(io.BytesIO(data))) for data in files]) / len(files)
    decode = _cpu(lambda: [Image.open(io.BytesIO(data)).convert("RGB") for data in files]) / len(files)
    what, how = (
        "query fingerprint: 4 forms, pHash, SHA-256",
        "2 MP JPEG, decode included, numba, CPU ms a picture",
    )
    yield what, how, f"{ours * 1e3:.1f}", f"imagehash.phash {naive * 1e3:.1f}", f"{naive / ours:.2f}"
    yield what, how, f"{ours * 1e3:.1f}", f"decode alone {decode * 1e3:.1f}", f"{decode / ours:.2f}"


def searching(count: int) -> Iterator[Row]:
    """Exact search within 31 bits, beside numpy over unpacked bits."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, (count, 4), dtype=np.uint64)
    index = HammingIndex(4)
    index.add(hashes, np.full(count, 31, np.uint8))
    queries = hashes[:20]
    ours = _cpu(lambda: index.query(queries, 31)) / len(queries)
    unpacked = np.unpackbits(hashes.view(np.uint8), axis=1)
    naive = _cpu(lambda: [np.flatnonzero((unpacked != bits).sum(axis=1) <= 31) for bits in unpacked[:3]]) / 3
    how = f"{count:,} hashes of 256 bits, radius 31, brute force, numba, CPU ms a query"
    yield "exact search", how, f"{ours * 1e3:.2f}", f"numpy bools {naive * 1e3:.1f}", f"{naive / ours:.1f}"


def urls(count: int) -> Iterator[Row]:
    """From raw text to every rule key."""
    lines = [_url(number) for number in range(count)]
    ours = _cpu(lambda: [candidate_keys(canonicalize_url(line)) for line in lines])
    how = f"{count:,} URLs, exact, folder, host and domain keys, one core"
    yield "URLs to keys", how, f"{count / ours:,.0f} a second", "-", "-"


def service(count: int) -> Iterator[Row]:
    """The compatible route and the filter, beside datadiligence against the same server."""
    with tempfile.TemporaryDirectory() as name, _served(Path(name)) as (address, key):
        folder = Path(name)
        client = RegistryClient(address, key)
        reserved = [_url(number) for number in range(0, count, 50)]
        lodge(
            client,
            {"preferences": {"genai-train": "reserved"}},
            [{"url": url} for url in reserved],
            Lodged(address),
        )
        table = folder / "urls.csv"
        table.write_text(
            "url,caption\n" + "".join(f"{_url(n)},picture {n}\n" for n in range(count)), encoding="utf-8"
        )
        started = time.perf_counter()
        summary = filter_dataset(table, folder / "clean.csv", [client])
        ours = time.perf_counter() - started
        peer, kept = _datadiligence(table, address, key)
        if kept != summary.kept:
            sys.exit(f"datadiligence kept {kept:,} rows, and caveat filter {summary.kept:,}")
        how = f"{count:,} rows of CSV, 2 % reserved, 2 gunicorn workers, wall s; same {kept:,} rows kept"
        yield "filter a table of URLs", how, f"{ours:.2f}", f"datadiligence {peer:.2f}", f"{peer / ours:.2f}"


def _url(number: int) -> str:
    return (
        f"https://img{number % 97}.site{number % 1009}.example.org/gallery/{number % 31}/picture-{number}.jpg"
    )


def _two_megapixels(path: Path) -> bytes:
    with Image.open(path) as image:
        factor = (2e6 / (image.width * image.height)) ** 0.5
        scaled = image.resize((round(image.width * factor), round(image.height * factor)))
    packed = io.BytesIO()
    scaled.save(packed, "JPEG", quality=90)
    return packed.getvalue()


def _cpu(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of three runs."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, str]]:
    store = Store.open(f"sqlite:///{folder / 'registry.sqlite'}")
    migrate(store)
    scopes = parse_scopes(["lookup", "register", "domain:*"])
    key = create_key(
        store, name="bench", scopes=scopes, evidence_level=0, environment="test", at=int(time.time())
    )
    store.close()
    port = random.Random(os.getpid()).randint(20_000, 50_000)
    command = [
        sys.executable,
        "-m",
        "api.commands",
        "serve",
        "--data",
        str(folder),
        "--port",
        str(port),
        "--workers",
        "2",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(address)
            yield address, key.secret
        finally:
            server.terminate()


def _wait(address: str) -> None:
    client = RegistryClient(address, retries=0)
    for _ in range(100):
        try:
            client.check_parameters()
        except RegistryError:
            time.sleep(0.2)
        else:
            return
    sys.exit("the registry did not come up")


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


def _datadiligence(table: Path, address: str, key: str) -> tuple[float, int]:
    """Run the real client in a process of its own, start not counted."""
    environment = {**os.environ, "SPAWNING_OPTS_KEY": key}
    command = [sys.executable, "-c", _PEER, str(table), address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], answer["kept"]


if __name__ == "__main__":
    main()
