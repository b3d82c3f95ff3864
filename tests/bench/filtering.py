"""A million rows of addresses, filtered in every way there is, against one registry: `make bench-filter`.

The registry is the real gunicorn with two workers on loopback, on the same cores, with 100,000 reserved
addresses and 500 reserved domains. Each way runs in a process of its own, and must keep the same rows. Its
processes, with all that they start, are found by a word in their environment: their CPU seconds are added up,
and so is their memory (PSS, the largest sum that was seen, four times a second). The registry's CPU is told
beside it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import service
from timing import BenchError, short, told

from registry.client import Options, RegistryClient, filter_dataset
from registry.client.arrow_rows import key_lists, mark_batch
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Caller, Draft, Registrar, WorkDraft
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store
from registry.urls import canonicalize_url, url_rule

_MARK = "BENCH_FILTER_RUN"
_WORKS, _DOMAINS, _FILES = 100_000, 500, 8
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run finds its rows and its registry, and where it writes."""

    source: Path
    target: Path
    snapshot: Path
    url: str
    key: str

    def client(self) -> RegistryClient:
        return RegistryClient(self.url, self.key)


# Rows: one in a hundred is a reserved address, another one lies in a reserved domain.


def _url(number: int) -> str:
    if number % 100 == 1:
        return _work(number // 100 * 7 % _WORKS)
    host = f"img{number % 97}.site{number % 10_007}.example.org"
    if number % 100 == 2:
        host = f"img.{_domain(number // 100 % _DOMAINS)}"
    return f"https://{host}/gallery/{number % 31}/picture-{number}.jpg"


def _work(number: int) -> str:
    return f"https://studio{number % 997}.example.net/works/{number}.jpg"


def _domain(number: int) -> str:
    return f"artist{number}.example"


def _write_rows(folder: Path, count: int) -> int:
    """Write the rows to eight files, and return how many of them stay."""
    folder.mkdir()
    each = count // _FILES
    for number in range(_FILES):
        rows = range(number * each, (number + 1) * each)
        table = pa.table({"url": [_url(n) for n in rows], "text": [f"picture {n}" for n in rows]})
        pq.write_table(table, folder / f"{number:05}.parquet")
    return sum(n % 100 not in (1, 2) for n in range(each * _FILES))


def _lodge(served: Any) -> Path:
    """Lodge works and rules by the product's own writer, publish the log, and build a snapshot."""
    store = Store.open(f"sqlite:///{served.folder / 'registry.sqlite'}")
    registrar = Registrar(store, lambda: datetime.now(UTC))
    caller = Caller(served.principal, frozenset({"register", "domain:*"}))
    reserved = {Use.TRAIN: Preference.RESERVED, Use.GENAI_TRAIN: Preference.RESERVED}
    for at in range(0, _WORKS, 10_000):
        works = [WorkDraft(url=canonicalize_url(_work(n))) for n in range(at, at + 10_000)]
        registrar.register(caller, Draft(reserved, works))
    for at in range(0, _DOMAINS, 100):
        rules = [url_rule("domain", _domain(n)) for n in range(at, at + 100)]
        registrar.register(caller, Draft(reserved, [], rules))
    log = LogFolder(served.folder / "bench-log")
    log.write_signer(Signer.new("log.example"))
    Publisher(store, log, log.signers()[0]).publish()
    folder = served.folder / "bench-snapshots"
    built = SnapshotBuilder(store, log, SnapshotFolder(folder)).build(int(time.time()), 99)
    store.close()
    return folder / str(built.manifest.seq)


# Ways, each in a process of its own. They write what stays to ``place.target``.


def _local(place: Place, workers: int, engine: str = "local") -> None:
    filter_dataset(place.source, place.target, [place.client()], options=Options(engine, workers))


def _spark(place: Place) -> None:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    registries = [place.client()]

    def keep(batches: Any) -> Any:
        for batch in batches:
            yield batch.filter(pa.array(mark_batch(batch, registries)))

    rows = spark.read.parquet(str(place.source))
    rows.mapInArrow(keep, rows.schema).write.parquet(str(place.target))
    spark.stop()


def _duckdb(place: Place) -> None:
    import duckdb

    registries = [place.client()]
    con = duckdb.connect()
    con.create_function(
        "stays",
        lambda urls: pa.array(mark_batch(pa.table({"url": urls}), registries)),
        ["VARCHAR"],
        "BOOLEAN",
        type="arrow",
        side_effects=True,
    )
    rows = f"SELECT * FROM '{place.source}/*.parquet' WHERE stays(url)"  # noqa: S608 - our own folder
    place.target.mkdir()
    con.execute(f"COPY ({rows}) TO '{place.target}/clean.parquet'")


def _joined(place: Place) -> None:
    import duckdb

    con = duckdb.connect()
    kind = {"type": "arrow", "null_handling": "special"}
    con.create_function("url_keys", key_lists, ["VARCHAR"], "BLOB[]", **kind)
    tables = place.snapshot / "parquet"
    con.execute(f"""
        CREATE TABLE reserved AS
        SELECT url_keys(url)[1] AS key FROM '{tables}/works-*.parquet'
        WHERE url IS NOT NULL AND genai_train IN ('reserved', 'conditional')
        UNION
        SELECT unhex(left(sha256(kind || ':' || surt), 32)) FROM '{tables}/rules-*.parquet'
        WHERE genai_train IN ('reserved', 'conditional')
    """)  # noqa: S608 - our own folder
    place.target.mkdir()
    con.execute(f"""
        COPY (
            WITH numbered AS (SELECT row_number() OVER () AS row, * FROM '{place.source}/*.parquet'),
                 keyed AS (SELECT row, url_keys(url) AS keys FROM numbered),
                 hit AS (SELECT DISTINCT row FROM (SELECT row, unnest(keys) AS key FROM keyed)
                         SEMI JOIN reserved USING (key))
            SELECT * EXCLUDE (row) FROM numbered
            WHERE row IN (SELECT row FROM keyed WHERE keys IS NOT NULL) AND row NOT IN (SELECT row FROM hit)
        ) TO '{place.target}/clean.parquet'
    """)  # noqa: S608 - our own folder


def _datadiligence(place: Place) -> None:
    os.environ["SPAWNING_OPTS_KEY"] = place.key  # Read when it is imported.
    import datadiligence
    from datadiligence.rules import SpawningAPI

    SpawningAPI.SPAWNING_AI_API_URL = f"{place.url}/api/v2/query/urls/"
    rows = pyarrow.dataset.dataset(place.source).to_table()
    kept = set(datadiligence.filter_allowed(urls=rows["url"].to_pylist()))
    place.target.mkdir()
    stays = pa.array([url in kept for url in rows["url"].to_pylist()])
    pq.write_table(rows.filter(stays), place.target / "clean.parquet")


WAYS: dict[str, Callable[[Place], None]] = {
    "datadiligence, chunks of 10,000": _datadiligence,
    "caveat filter, 1 worker": lambda place: _local(place, 1),
    "caveat filter, 2 workers": lambda place: _local(place, 2),
    "caveat filter, Ray, 1 worker": lambda place: _local(place, 1, "ray"),
    "caveat filter, Ray, 2 workers": lambda place: _local(place, 2, "ray"),
    "Spark, mapInArrow, local[2]": _spark,
    "DuckDB, stays(url), over HTTP": _duckdb,
    "DuckDB, joined with a snapshot's tables": _joined,
}


# Measuring.


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds by the clock, whole and without the start of Python; CPU seconds; bytes; rows."""

    wall: float
    work: float
    cpu: float
    server: float
    peak: int
    kept: int


class _Watch:
    """Sees the processes that have ``mark`` in their environment, four times a second."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{_MARK}={mark}".encode()
        self._cpu: dict[str, float] = {}
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    def look(self) -> None:
        memory = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark not in (process / "environ").read_bytes().split(b"\0"):
                    continue
                spent = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
                self._cpu[process.name] = sum(map(int, spent)) / _TICKS
                lines = (process / "smaps_rollup").read_text().splitlines()
                memory += next(int(one.split()[1]) for one in lines if one.startswith("Pss:")) * 1024
            except (OSError, StopIteration):
                continue  # It has ended meanwhile.
        self.peak = max(self.peak, memory)

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            self.look()


def _measured(name: str, place: Place, folder: Path) -> Figures:
    told(f"filter: {name}")
    server = _Watch("server")
    server.look()
    before, answer = server.cpu, folder / "seconds"
    given = [str(place.source), str(place.target), str(place.snapshot), place.url, place.key]
    command = [sys.executable, __file__, "--way", name, "--answer", str(answer), *given]
    environment = {**os.environ, _MARK: name}
    began = time.perf_counter()
    with _Watch(name) as watch:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - began
    if done.returncode:
        raise BenchError(f"{name}: {done.stdout[-2000:]}{done.stderr[-3000:]}")
    server.look()
    kept = pyarrow.dataset.dataset(place.target, format="parquet").count_rows()
    work = float(answer.read_text())
    return Figures(wall, work, watch.cpu, server.cpu - before, watch.peak, kept)


def _run_here(options: argparse.Namespace) -> None:
    source, target, snapshot, url, key = options.place
    place = Place(Path(source), Path(target), Path(snapshot), url, key)
    began = time.perf_counter()
    WAYS[options.way](place)
    options.answer.write_text(str(time.perf_counter() - began))


def _table(found: dict[str, Figures]) -> str:
    first = next(iter(found.values())).wall
    lines = [
        "| way | wall s | without start s | times faster | CPU s | registry's CPU s | peak MB | rows kept |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, one in found.items():
        figures = (
            f"{one.wall:.1f} | {one.work:.1f} | {first / one.wall:.1f} | {one.cpu:.1f} | {one.server:.1f}"
        )
        lines.append(f"| {name} | {figures} | {one.peak / 1e6:,.0f} | {one.kept:,} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all ways, or with --way one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))  # noqa: S108 - as all benchmarks here
    parser.add_argument("--way")
    parser.add_argument("--answer", type=Path)
    parser.add_argument("place", nargs="*")
    options = parser.parse_args()
    if options.way:
        _run_here(options)
        return
    with tempfile.TemporaryDirectory(
        dir=options.folder, prefix="filter-", ignore_cleanup_errors=True
    ) as name:
        sys.stdout.write(_all(Path(name), options.rows))


def _all(folder: Path, rows: int) -> str:
    told(f"filter: {short(rows)} rows, {short(_WORKS)} works, {_DOMAINS} domains")
    wanted = _write_rows(folder / "urls", rows)
    found: dict[str, Figures] = {}
    os.environ[_MARK] = "server"
    with service.serving(folder / "data") as served:
        snapshot = _lodge(served)
        service.warm_up(served)
        time.sleep(5)  # The index is built anew from what was lodged.
        loads = [os.getloadavg()[0]]
        for number, way in enumerate(WAYS):
            place = Place(folder / "urls", folder / f"out-{number}", snapshot, served.address, served.key)
            found[way] = _measured(way, place, folder)
            loads.append(os.getloadavg()[0])
            if found[way].kept != wanted:
                raise BenchError(f"{way} kept {found[way].kept:,} rows, not {wanted:,}")
            told(json.dumps({"wall": round(found[way].wall, 1), "load": round(loads[-1], 1)}))
    said = ", ".join(f"{one:.1f}" for one in loads)
    return f"{_table(found)}\nLoad of the machine before, and after each: {said}.\n"


if __name__ == "__main__":
    main()
