"""Exact keys of 128 bits beside databases, and URLs from raw text to the keys of every rule.

Each store holds the same random keys, each with a number, on a warm disk, and is asked for batches of 100,000
of which half are there. All must find the same numbers. Databases are used in the way that is fastest for
them: sorted loading, one thread, large caches, prepared statements.
"""

import hashlib
import io
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import ada_url
import duckdb
import lmdb
import numpy as np
import psycopg
from numpy.typing import NDArray
from timing import (
    BenchError,
    Item,
    Note,
    Plan,
    Row,
    at_least,
    at_most,
    cpu_seconds,
    per_second,
    require_space,
    short,
    spent,
    told,
    wall_seconds,
)

from registry.keys import KeySet, KeyTable, key_bytes
from registry.urlkeys import url_keys
from registry.urls import candidate_keys, canonicalize_url

__all__ = ["section"]

_MILLION = 1_000_000
_BATCH = 100_000
_IN = 10_000
"""Keys in one IN of SQLite."""
_POINTS = 20_000
_URLS = 100_000
_BYTES_A_KEY = 250
"""Room that the stores take a key together, at most: SQLite, LMDB, DuckDB."""
_TABLE = "caveat_bench_keys"


@dataclass(frozen=True, slots=True)
class _Asked:
    """``keys: uint64[k, 2]`` with their 16 bytes, and ``records``, the numbers of those that are there."""

    keys: NDArray[np.uint64]
    packed: list[bytes]
    records: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Store:
    """Sorted ``keys: uint64[n, 2]``; record *k* belongs to key *k*."""

    keys: NDArray[np.uint64]

    @property
    def packed(self) -> NDArray[np.void]:
        """``n`` times 16 bytes."""
        return np.ascontiguousarray(self.keys.astype(">u8")).view("V16")[:, 0]


def section(plan: Plan) -> Iterator[Item]:
    """Yield the rows of keys at both sizes, then those of URLs."""
    for usual in (_MILLION, 10 * _MILLION):
        count = plan.count(usual)
        told(f"keys: {short(count)}")
        require_space(plan.folder, count * _BYTES_A_KEY)
        with tempfile.TemporaryDirectory(prefix="keys-", dir=plan.folder) as name:
            yield from _sized(count, Path(name), plan.postgres)
    yield from _urls(plan.count(10 * _MILLION))


def _sized(count: int, folder: Path, postgres: str) -> Iterator[Item]:
    store, asked = _made(count)
    with spent() as built:
        table = KeyTable.build(store.keys, np.arange(count))
    yield from _ours(table, built["cpu"], asked)
    ours = _checked("KeyTable", asked, lambda: table.query(asked.keys).record, cpu_seconds)
    peers: list[tuple[str, Callable[[], Iterator[tuple[str, float]]]]] = [
        ("SQLite", lambda: _sqlite(store, asked, folder / "sqlite")),
        ("LMDB", lambda: _lmdb(store, asked, folder / "lmdb")),
        ("DuckDB", lambda: _duckdb(store, asked, folder / "duckdb")),
        ("PostgreSQL", lambda: _postgres(store, asked, postgres)),
    ]
    for name, measure in peers:
        told(f"keys: {short(count)}, {name}")
        for peer, seconds in measure():
            yield Row(
                "look-ups of exact keys, 128 bits",
                f"{short(count)} keys, batches of 100,000, half present, CPU",
                per_second(_BATCH, ours),
                f"{peer} {per_second(_BATCH, seconds)}",
                seconds / ours,
            )


def _made(count: int) -> tuple[_Store, _Asked]:
    rng = np.random.default_rng(count)
    keys = rng.integers(0, 2**64, (count, 2), dtype=np.uint64)
    keys = keys[np.argsort(keys[:, 0])]
    asked = rng.integers(0, 2**64, (_BATCH, 2), dtype=np.uint64)
    present = rng.choice(count, _BATCH // 2, replace=False)
    places = rng.permutation(_BATCH)[: _BATCH // 2]
    asked[places] = keys[present]
    return _Store(keys), _Asked(asked, key_bytes(asked), np.sort(present))


def _ours(table: KeyTable, build: float, asked: _Asked) -> Iterator[Item]:
    """Rows without a peer: yes or no, a set of two tables, bytes, build."""
    count = len(table)
    seconds = cpu_seconds(lambda: table.contains(asked.keys))
    if np.count_nonzero(table.contains(asked.keys)) != len(asked.records):
        raise BenchError("KeyTable.contains found others than were there")
    few = KeySet([table])
    few.add(asked.keys[:_IN] ^ np.uint64(1), np.arange(_IN))
    both = cpu_seconds(lambda: few.query(asked.keys))
    wanted = [at_least(_BATCH / seconds, 20e6, "≥ 20 M/s")] if count >= 10 * _MILLION else []
    yield Row(
        "yes or no of exact keys, 128 bits",
        f"{short(count)} keys, batches of 100,000, half present, CPU; "
        f"with 10,000 added since, records told: {per_second(_BATCH, both)}",
        per_second(_BATCH, seconds),
        wanted=wanted,
    )
    if not all(budget.met for budget in wanted):
        yield Note(_profile(table, asked), miss=True)
    alone = sum(array.nbytes for array in (table.keys, table.starts)) / count
    yield Row(
        "bytes a key",
        f"{short(count)} keys of 128 bits; sorted in {build:.2f} s of CPU",
        f"{alone:.2f}, with the place of its row {alone + table.records.itemsize:.2f}",
        wanted=[at_most(alone, 16, "≤ 16")],
    )
    if alone > 16:
        yield Note(
            f"{short(count)} keys: the two words take 16 bytes, the table of first places "
            f"{table.starts.nbytes / count:.3f}.",
            miss=True,
        )


def _profile(table: KeyTable, asked: _Asked) -> str:
    """Tell how far sorted questions, which meet a warm cache, are from those as they come."""
    order = np.argsort(asked.keys[:, 0])
    in_order = asked.keys[order]
    seconds = cpu_seconds(lambda: table.contains(in_order))
    return f"{short(len(table))} keys: sorted questions, waiting less, {per_second(_BATCH, seconds)}."


def _checked(
    name: str,
    asked: _Asked,
    work: Callable[[], object],
    seconds: Callable[[Callable[[], object], int], float],
    runs: int = 3,
) -> float:
    """Return the seconds of ``work``, which answers the records that are there, in any order."""
    found = np.sort(np.asarray(work(), np.int64))
    if not np.array_equal(found, asked.records):
        raise BenchError(f"{name} found {len(found):,} keys, or others; {len(asked.records):,} are there")
    return seconds(work, runs)


def _sqlite(store: _Store, asked: _Asked, path: Path) -> Iterator[tuple[str, float]]:
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE k (key BLOB PRIMARY KEY, record INTEGER) WITHOUT ROWID")
        rows = zip(map(bytes, store.packed), range(len(store.keys)), strict=True)
        connection.executemany("INSERT INTO k VALUES (?, ?)", rows)
        connection.commit()
        connection.execute("PRAGMA mmap_size = 4000000000")
        connection.execute("PRAGMA cache_size = -1000000")
        size = f"{path.stat().st_size / len(store.keys):.0f} bytes a key"
        parts = [asked.packed[at : at + _IN] for at in range(0, _BATCH, _IN)]
        many = f"SELECT record FROM k WHERE key IN ({','.join('?' * _IN)})"  # noqa: S608 - only marks

        def in_parts() -> list[int]:
            return [record for part in parts for (record,) in connection.execute(many, part)]

        def points() -> list[object]:
            one = "SELECT record FROM k WHERE key = ?"
            return [connection.execute(one, (key,)).fetchone() for key in asked.packed[:_POINTS]]

        yield (
            f"SQLite {sqlite3.sqlite_version}, IN, {size},",
            _checked("SQLite", asked, in_parts, cpu_seconds),
        )
        yield "SQLite, one by one,", cpu_seconds(points) * _BATCH / _POINTS
    finally:
        connection.close()


def _lmdb(store: _Store, asked: _Asked, path: Path) -> Iterator[tuple[str, float]]:
    room = len(store.keys) * 100 + (1 << 24)
    with lmdb.open(str(path), map_size=room, sync=False, metasync=False, writemap=True) as environment:
        records = np.arange(len(store.keys)).view("V8")
        with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(zip(map(bytes, store.packed), map(bytes, records), strict=True), append=True)
        used = environment.info()["last_pgno"] * environment.stat()["psize"] / len(store.keys)
        with environment.begin() as transaction:

            def ask() -> NDArray[np.int64]:
                get = transaction.get
                return np.frombuffer(b"".join([get(key, b"") for key in asked.packed]), np.int64)

            yield f"LMDB get, {used:.0f} bytes a key,", _checked("LMDB", asked, ask, cpu_seconds)


def _duckdb(store: _Store, asked: _Asked, path: Path) -> Iterator[tuple[str, float]]:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET threads = 1")
        high, low = np.ascontiguousarray(store.keys[:, 0]), np.ascontiguousarray(store.keys[:, 1])
        connection.register("given", {"high": high, "low": low, "record": np.arange(len(high))})
        connection.execute("CREATE TABLE k AS SELECT * FROM given")
        connection.unregister("given")
        connection.execute("CHECKPOINT")
        size = path.stat().st_size / len(store.keys)
        asked_high = np.ascontiguousarray(asked.keys[:, 0])
        connection.register("q", {"high": asked_high, "low": np.ascontiguousarray(asked.keys[:, 1])})

        def ask() -> NDArray[np.int64]:
            joined = "SELECT k.record FROM q JOIN k ON k.high = q.high AND k.low = q.low"
            return connection.execute(joined).fetchnumpy()["record"]

        yield f"DuckDB join, {size:.0f} bytes a key,", _checked("DuckDB", asked, ask, _process_seconds)


def _process_seconds(work: Callable[[], object], runs: int) -> float:
    """Return the least CPU seconds of all threads: DuckDB's one thread may be one of its own."""
    work()
    times = []
    for _ in range(runs):
        with spent() as took:
            work()
        times.append(took["cpu"])
    return min(times)


def _postgres(store: _Store, asked: _Asked, url: str) -> Iterator[tuple[str, float]]:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor(binary=True) as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(f"CREATE UNLOGGED TABLE {_TABLE} (key bytea NOT NULL, record bigint NOT NULL)")
        try:
            _copy(cursor, store)
            cursor.execute("SET maintenance_work_mem = '1GB'")
            # The index holds the records too: no look-up visits the table.
            cursor.execute(f"ALTER TABLE {_TABLE} ADD PRIMARY KEY (key) INCLUDE (record)")
            cursor.execute(f"VACUUM ANALYZE {_TABLE}")
            told_of = f"SELECT pg_total_relation_size('{_TABLE}'), current_setting('shared_buffers')"
            size, buffers = cursor.execute(told_of).fetchone()
            joined = f"SELECT k.record FROM unnest(%b::bytea[]) AS q (key) JOIN {_TABLE} k USING (key)"  # noqa: S608

            def ask() -> list[int]:
                return [record for (record,) in cursor.execute(joined, (asked.packed,)).fetchall()]

            wall = _checked("PostgreSQL", asked, ask, wall_seconds)
            process = connection.info.backend_pid
            began = _ticks(process)
            for _ in range(5):
                ask()
            backend = (_ticks(process) - began) / 5
            yield (
                f"PostgreSQL, {buffers} of buffers, unnest join, {size / len(store.keys):.0f} bytes a key, "
                f"by the clock {per_second(_BATCH, wall)}, the backend alone",
                backend,
            )
        finally:
            cursor.execute(f"DROP TABLE {_TABLE}")


def _copy(cursor: psycopg.Cursor, store: _Store) -> None:
    """Send the rows in COPY's binary form."""
    row = [("fields", ">i2"), ("a", ">i4"), ("key", "V16"), ("b", ">i4"), ("record", ">i8")]
    with cursor.copy(f"COPY {_TABLE} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for at in range(0, len(store.keys), _MILLION):
            part = _Store(store.keys[at : at + _MILLION])
            rows = np.empty(len(part.keys), row)
            rows["fields"], rows["a"], rows["b"] = 2, 16, 8
            rows["key"], rows["record"] = part.packed, np.arange(at, at + len(rows))
            data = io.BytesIO(rows.tobytes())
            while chunk := data.read(1 << 20):
                copy.write(chunk)
        copy.write(b"\xff\xff")


def _ticks(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except OSError as error:
        raise BenchError("PostgreSQL's backend is not on this machine; its CPU cannot be read") from error
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _urls(count: int) -> Iterator[Item]:
    """From raw text to every key that a rule could have."""
    told("keys: URLs")
    texts = [_text(number) for number in range(_URLS)]
    found = url_keys(texts)
    _require_same(texts[:1000])
    each = len(found.keys) / _URLS
    how = f"100,000 URLs, {sum(map(len, texts)) / _URLS:.0f} characters, {each:.1f} keys each, CPU"
    ours = cpu_seconds(lambda: url_keys(texts))
    few = texts[:20_000]
    naive = cpu_seconds(lambda: [_naive_keys(text) for text in few]) * _URLS / len(few)
    parsed = cpu_seconds(lambda: [ada_url.URL(text).href for text in few]) * _URLS / len(few)
    slow = cpu_seconds(lambda: [candidate_keys(canonicalize_url(text)) for text in few[:2000]], 1)
    wanted = [at_least(_URLS / ours, 500_000, "≥ 0.5 M/s")]
    for what, seconds in (
        ("urlsplit and SHA-256, as many keys, nothing canonical", naive),
        ("limit of Python: ada_url parses, no keys", parsed),
        ("the same by registry.urls, one by one", slow * _URLS / 2000),
    ):
        yield Row(
            "URLs to the keys of all rules",
            how,
            per_second(_URLS, ours),
            f"{what}: {per_second(_URLS, seconds)}",
            seconds / ours,
            wanted,
        )
    rates = []
    for name, kind in _KINDS.items():
        same = [_text_of_kind(number, kind) for number in range(_URLS // 10)]
        seconds = cpu_seconds(lambda same=same: url_keys(same))
        rates.append(f"{name} {per_second(len(same), seconds)}")
    yield Note(f"URLs to keys, by kind of URL: {', '.join(rates)}.", miss=not wanted[0].met)
    yield from _from_text_to_answer(texts, count)


def _from_text_to_answer(texts: list[str], count: int) -> Iterator[Item]:
    rng = np.random.default_rng(9)
    table = KeyTable.build(rng.integers(0, 2**64, (count, 2), dtype=np.uint64), np.arange(count))
    seconds = cpu_seconds(lambda: table.contains(url_keys(texts).keys))
    yield Row(
        "URLs to yes or no, by all rules",
        f"100,000 URLs as text, {short(count)} keys in memory, CPU",
        per_second(_URLS, seconds),
        wanted=[at_least(_URLS / seconds, 500_000, "≥ 0.5 M/s")],
    )


def _require_same(texts: list[str]) -> None:
    """Raise :class:`BenchError` unless the compiled loops give the parser's keys."""
    wanted = [key for text in texts for _, key in candidate_keys(canonicalize_url(text))]
    if key_bytes(url_keys(texts).keys) != wanted:
        raise BenchError("url_keys gave other keys than registry.urls")


_KINDS = {"plain": 3, "with a query": 0, "not canonical": 1, "with an escape": 2}


def _text(number: int) -> str:
    """Return a URL as lists of pictures have them: of twenty, five with a query, one of each rare kind."""
    rare = {0: "not canonical", 1: "with an escape"}
    return _text_of_kind(
        number, _KINDS[rare.get(number % 20, "with a query" if number % 4 == 2 else "plain")]
    )


def _text_of_kind(number: int, kind: int) -> str:
    host = f"img{number % 97}.site{number % 1009}.example.org"
    path = f"gallery/{number % 31}/{number % 7919}/picture-{number}.jpg"
    match kind:
        case 0:
            return f"https://{host}/{path}?width=640&utm_source=feed"
        case 1:
            return f"HTTP://{host.upper()}:80/./{path}#top"
        case 2:
            return f"https://cdn.shop{number % 499}.co.uk/media%2Fpublic/{number}.webp"
    return f"https://{host}/{path}"


def _naive_keys(text: str) -> list[bytes]:
    """Return a key for the URL, each folder, the host and each domain above it, as one would at first."""
    parts = urlsplit(text)
    host, folders = parts.hostname or "", parts.path.split("/")
    labels = host.split(".")
    said = [host + parts.path, *(host + "/".join(folders[:k]) + "/" for k in range(1, len(folders)))]
    said += [host, *(".".join(labels[k:]) for k in range(len(labels) - 1))]
    return [hashlib.sha256(one.encode()).digest()[:16] for one in said]
