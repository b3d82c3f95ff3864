"""Exact search within a radius: segment files as a worker maps them, beside FAISS, threatexchange and numpy.

Hashes are written through ``write_segment`` with ``FrozenIndex.layout`` and ``fill``, opened again with
``open_segment``, and asked through ``FrozenIndex.near_pdq``, the limit of the look-up included. Half of the
queries lie 0–31 bits from a stored hash, half are random. Wherever FAISS flat runs too, what both find must
be equal, else the section ends with an error. Sizes whose files and memory are large follow one another, and
each leaves nothing behind.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from threatexchange.signal_type.pdq.pdq_index import PDQIndex
from timing import (
    BenchError,
    Item,
    Note,
    Plan,
    Row,
    allocated_bytes,
    at_least,
    at_most,
    cpu_seconds,
    milliseconds,
    per_second,
    require_space,
    short,
    spent,
    told,
)

from registry.fingerprint import PHASH_RADIUS, REVIEW_RADIUS, STRICT_RADIUS
from registry.hamming import HammingIndex, HammingTable, Matches
from registry.index import Entries, FrozenIndex
from registry.lookup import MAX_NEAR
from registry.segments import open_segment, write_segment

__all__ = ["section"]

_Words = NDArray[np.uint64]
_ROOT = Path(__file__).parent.parent.parent
_MILLION = 1_000_000
_CHUNK = _MILLION
_BATCH = 1_000
_SINGLE = 300
_BYTES_A_HASH = 160
"""Room that a segment takes a hash, at most."""
_WINDOWS = 5
_HMA = 16
"""Tables of FAISS multi-hash, and bits of each: as threatexchange and HMA use it."""


def section(plan: Plan) -> Iterator[Item]:
    """Yield the rows of every size, and of what depends on none."""
    faiss.omp_set_num_threads(1)
    # The loops that sort are loaded here, and not while the first segment is built.
    HammingTable.build(np.zeros((_BATCH, 4), np.uint64))
    sizes = [plan.count(_MILLION), plan.count(10 * _MILLION)]
    if plan.full:
        sizes.append(80 * _MILLION)
    with tempfile.TemporaryDirectory(prefix="search-", dir=plan.folder) as name:
        path = Path(name) / "segment.caveat"
        for size in sizes:
            yield from _uniform(path, size, sizes)
        for size in sizes[:2]:
            yield from _clustered(path, size, plan.corpus)
        yield from _phashes(path, sizes[-1])
    yield from _growing(plan.count(_MILLION))


def _uniform(path: Path, count: int, sizes: list[int]) -> Iterator[Item]:
    """Build, open and ask a segment of ``count`` random hashes, one of ``sizes``."""
    told(f"search: {short(count)} hashes")
    require_space(path.parent, count * _BYTES_A_HASH)
    rng = np.random.default_rng(count)
    words = np.empty((count, 4), np.uint64)
    for at in range(0, count, _CHUNK):
        part = words[at : at + _CHUNK]
        part[:] = rng.integers(0, 2**64, part.shape, dtype=np.uint64)
    queries = _half_planted(words, rng.integers(0, 2**64, (_BATCH, 4), dtype=np.uint64), rng)
    yield _build(path, _pdq_entries(words))
    del words
    if count > sizes[0]:
        yield from _starts(path, queries, count)
    try:
        index = FrozenIndex(open_segment(path).arrays)
        yield _bytes_a_hash(path, index)
        yield from _beside_peers(index, queries, small=count == sizes[0])
        del index
    finally:
        path.unlink()
    if count == sizes[-1]:
        yield _bytes_a_work(count // _WINDOWS)


def _half_planted(words: _Words, queries: _Words, rng: np.random.Generator) -> _Words:
    """Return ``queries`` with every second one laid 0–31 bits from one of ``words``."""
    planted = words[rng.integers(0, len(words), len(queries[::2]))]
    bits = np.unpackbits(planted.view(np.uint8), axis=1)
    for row in bits:
        row[rng.choice(bits.shape[1], rng.integers(0, STRICT_RADIUS + 1), replace=False)] ^= 1
    queries[::2] = np.packbits(bits, axis=1).view(np.uint64)
    return queries


def _pdq_entries(words: _Words) -> Entries:
    """Return entries with ``words: uint64[n, 4]`` alone, five windows a work."""
    count = len(words)
    return _entries(
        pdq=words,
        pdq_radii=np.full(count, STRICT_RADIUS, np.uint8),
        pdq_windows=(np.arange(count) % _WINDOWS).astype(np.uint8),
        pdq_places=np.arange(count, dtype=np.int64) // _WINDOWS << 1,
    )


def _entries(**columns: NDArray) -> Entries:
    """Return entries with these columns, the others empty."""
    empty = {field: np.empty(0, np.int64) for field in Entries.__dataclass_fields__}
    for name, width in (("rule_keys", 2), ("file_keys", 2), ("pdq", 4), ("phash", 1)):
        empty[name] = np.empty((0, width), np.uint64)
    empty["pdq_radii"] = empty["pdq_windows"] = np.empty(0, np.uint8)
    return Entries(**(empty | columns))


def _build(path: Path, entries: Entries) -> Row:
    """Write the segment; the row tells how long sorting and making it last took."""
    with spent() as whole:
        with write_segment(path, {}, FrozenIndex.layout(entries)) as arrays, spent() as fill:
            FrozenIndex.fill(arrays, entries)
        del arrays
    rate = per_second(len(entries), whole["wall"])
    return Row(
        "build of a segment",
        f"{short(len(entries))} hashes, sorted into tables; then checksums, written and synced",
        f"sorted {fill['wall']:.1f} s (CPU {fill['cpu']:.1f} s), "
        f"checksums and sync {whole['wall'] - fill['wall']:.1f} s (CPU {whole['cpu'] - fill['cpu']:.1f} s), "
        f"{rate}",
    )


_START = """
import json, sys, time
begin = time.perf_counter()
import numpy as np
from pathlib import Path
from registry.index import FrozenIndex
from registry.segments import open_segment
imported = time.perf_counter()
index = FrozenIndex(open_segment(Path(sys.argv[1]), check=sys.argv[2] == "check").arrays)
opened = time.perf_counter()
queries = np.load(sys.argv[3])
index.near_pdq(queries[:1], 31, 1000)
answered = time.perf_counter()
print(json.dumps([imported - begin, opened - imported, answered - opened]), flush=True)
began = time.thread_time()
index.near_pdq(queries, 31, 1000)
print(json.dumps((time.thread_time() - began) / len(queries)), flush=True)
"""


def _starts(path: Path, queries: _Words, count: int) -> Iterator[Item]:
    """Start a new process that opens the segment and answers one query, with and without the checksums."""
    asked = path.with_name("queries.npy")
    np.save(asked, queries)
    size = path.stat().st_size
    told("search: start of a worker")
    for check, how in (("check", "every checksum read"), ("trust", "checksums not read")):
        runs = [_started(path, check, asked) for _ in range(3)]
        wall, (imports, opens, first), following = min(runs)
        wanted = [at_most(wall, 2.0, "< 2 s")] if count >= 80 * _MILLION else []
        yield Row(
            "start of a worker until its first answer",
            f"{short(count)} hashes, {size / 1e9:.2f} GB in the page cache, {how}; a new Python, wall",
            f"{wall:.2f} s: imports {imports:.2f}, open {opens:.2f}, first query {first:.2f}; "
            f"then {_BATCH:,} queries at {milliseconds(following)} of CPU each",
            wanted=wanted,
        )
        if not all(budget.met for budget in wanted):
            yield Note(
                f"start, {how}: opening takes {opens:.2f} s of {wall:.2f} s ({size / opens / 1e9:.1f} GB/s), "
                f"imports {imports:.2f} s, the first query {first:.2f} s (compiled loops are loaded).",
                miss=True,
            )


def _started(path: Path, check: str, asked: Path) -> tuple[float, list[float], float]:
    command = [sys.executable, "-c", _START, str(path), check, str(asked)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as worker:
        first = worker.stdout.readline()
        wall = time.perf_counter() - began
        second = worker.stdout.readline()
    if worker.returncode:
        raise BenchError(f"the worker ended with {worker.returncode}")
    return wall, json.loads(first), json.loads(second)


def _bytes_a_hash(path: Path, index: FrozenIndex) -> Row:
    count = len(index.pdq)
    disk = path.stat().st_size / count
    resident = _resident(path) / count
    return Row(
        "bytes a hash, with its place, window and radius",
        f"{short(count)} hashes, {len(index.pdq.pieces)} pieces",
        f"{disk:.1f} on disk, {resident:.1f} resident (shared by the workers)",
        wanted=[at_most(disk, 115, "≤ 115 at 80 M")] if count >= 80 * _MILLION else [],
    )


def _resident(path: Path) -> int:
    """Return how many bytes of the mapping of ``path`` this process has in its page tables."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def _bytes_a_work(works: int) -> Row:
    """Tell the size of an index of works, from the layout that a segment would have."""
    flat = np.zeros(1, np.int64)
    hashes = _WINDOWS * works
    entries = _entries(
        rule_keys=np.broadcast_to(flat.view(np.uint64), (works, 2)),
        file_keys=np.broadcast_to(flat.view(np.uint64), (works, 2)),
        pdq=np.broadcast_to(flat.view(np.uint64), (hashes, 4)),
        phash=np.broadcast_to(flat.view(np.uint64), (works, 1)),
    )
    sizes: dict[str, int] = dict.fromkeys(("rules", "files", "pdq", "phash"), 0)
    for name, (kind, shape) in FrozenIndex.layout(entries).items():
        sizes[name.split(".")[0]] += np.dtype(kind).itemsize * int(np.prod(shape))
    parts = ", ".join(f"{name} {size / works:.0f}" for name, size in sizes.items())
    return Row(
        "bytes a work with URL, SHA-256, pHash and 5 windows",
        f"{short(works)} works, by the layout of the segment; equal windows are folded, so most take less",
        f"{sum(sizes.values()) / works:.0f} ({parts})",
    )


@dataclass(frozen=True, slots=True)
class _Speed:
    """Seconds a query: one at a time, and in a batch."""

    single: float
    batch: float


def _speed(index: FrozenIndex, queries: _Words, radius: int) -> _Speed:
    singles = [queries[k : k + 1] for k in range(min(_SINGLE, len(queries)))]
    single = cpu_seconds(lambda: [index.near_pdq(one, radius, MAX_NEAR) for one in singles])
    batch = cpu_seconds(lambda: index.near_pdq(queries, radius, MAX_NEAR))
    return _Speed(single / len(singles), batch / len(queries))


def _beside_peers(index: FrozenIndex, queries: _Words, *, small: bool) -> Iterator[Item]:
    """Yield a row for each peer that can hold this many hashes; the slow ones when there are few."""
    count, words = len(index.pdq), index.pdq.words
    what = f"{short(count)} hashes, segment mapped"
    ours = _speed(index, queries, STRICT_RADIUS)
    told(f"search: ours {milliseconds(ours.single)} a query, {milliseconds(ours.batch)} in batches")
    limit = cpu_seconds(lambda: words.sum())
    yield _single_row(what, ours, "limit of any scan: reading the words once", limit)
    if small:
        yield _single_row(what, ours, "numpy, bitwise_count", _numpy_seconds(words, queries))
        yield from _threatexchange(words, queries, what, ours)
    flat = _flat(words)
    checked = 400 if count > 10 * _MILLION else len(queries)
    _require_equal(index.pdq, flat, queries[:checked], STRICT_RADIUS)
    yield from _beside_flat(flat, index, queries, what, ours)
    yield _review_row(flat, index, queries, what)
    if count <= 10 * _MILLION:
        yield from _beside_multi_hash(flat, words, queries, what, ours)


def _single_row(what: str, ours: _Speed, peer: str, seconds: float, *wanted: float) -> Row:
    """Return the row of single queries; ``wanted``: the least ratio, if one is."""
    ratio = seconds / ours.single
    return Row(
        "exact search, radius 31, one query at a time",
        f"{what}, CPU a query",
        milliseconds(ours.single),
        f"{peer} {milliseconds(seconds)}",
        ratio,
        [at_least(ratio, least, f"≥ {least:g} ×") for least in wanted],
    )


def _batch_row(what: str, ours: _Speed, peer: str, seconds: float) -> Row:
    return Row(
        "exact search, radius 31, batches of 1,000",
        f"{what}, queries a second of CPU",
        per_second(1, ours.batch),
        f"{peer} {per_second(1, seconds)}",
        seconds / ours.batch,
    )


def _flat(words: _Words) -> faiss.IndexBinaryFlat:
    flat = faiss.IndexBinaryFlat(64 * words.shape[1])
    for at in range(0, len(words), _CHUNK):
        flat.add(_bytes(words[at : at + _CHUNK]))
    return flat


def _bytes(words: _Words) -> NDArray[np.uint8]:
    return np.ascontiguousarray(words).view(np.uint8)


def _beside_flat(
    flat: faiss.IndexBinaryFlat, index: FrozenIndex, queries: _Words, what: str, ours: _Speed
) -> Iterator[Item]:
    """Rows beside FAISS flat, with the budgets of 10 M and 80 M."""
    count = len(index.pdq)
    few = _bytes(queries[: 10 if count > 10 * _MILLION else 40])
    single = cpu_seconds(lambda: [flat.range_search(one[None], STRICT_RADIUS + 1) for one in few]) / len(few)
    batch = cpu_seconds(lambda: flat.range_search(few, STRICT_RADIUS + 1)) / len(few)
    row = _single_row(what, ours, "FAISS flat", single, *([50] if count >= 10 * _MILLION else []))
    most = {10 * _MILLION: 0.2, 80 * _MILLION: 0.7}.get(count)
    budgets = [*row.wanted]
    if most:
        budgets.append(at_most(ours.single * 1e3, most, f"≤ {most} ms"))
    yield Row(row.what, row.how, row.ours, row.peer, row.ratio, budgets)
    row = _batch_row(what, ours, f"FAISS flat, batch of {len(few)}", batch)
    budgets = [at_least(1 / ours.batch, 1_500, "≥ 1,500/s")] if count == 80 * _MILLION else []
    yield Row(row.what, row.how, row.ours, row.peer, row.ratio, budgets)
    if any(not budget.met for budget in budgets) or (most and ours.single * 1e3 > most):
        yield Note(f"{what}: {_work_done(index.pdq, queries)}", miss=True)


def _work_done(table: HammingTable, queries: _Words) -> str:
    """Tell what one query costs, as radii from 0 on open more buckets."""
    times = []
    for radius in (0, 10, 20, 31):
        seconds = cpu_seconds(lambda radius=radius: table.query(queries, radius, MAX_NEAR)) / len(queries)
        times.append(f"radius {radius} {milliseconds(seconds)}")
    return f"{len(table.pieces)} pieces of {table.pieces[0, 1]} bits; in batches: " + ", ".join(times)


def _review_row(flat: faiss.IndexBinaryFlat, index: FrozenIndex, queries: _Words, what: str) -> Row:
    """The radius of the review band."""
    many = queries[:100]
    ours = _speed(index, many, REVIEW_RADIUS)
    _require_equal(index.pdq, flat, many[:40], REVIEW_RADIUS)
    few = _bytes(many[:10])
    peer = cpu_seconds(lambda: flat.range_search(few, REVIEW_RADIUS + 1)) / len(few)
    return Row(
        f"exact search, radius {REVIEW_RADIUS} (the review band), one query at a time",
        f"{what}, CPU a query; in batches {milliseconds(ours.batch)}",
        milliseconds(ours.single),
        f"FAISS flat {milliseconds(peer)}",
        peer / ours.single,
    )


def _beside_multi_hash(
    flat: faiss.IndexBinaryFlat, words: _Words, queries: _Words, what: str, ours: _Speed
) -> Iterator[Item]:
    """FAISS's own multi-index hashing, set up as HMA does; exact at this radius."""
    before = allocated_bytes()
    index = faiss.IndexBinaryMultiHash(256, _HMA, _HMA)
    index.nflip = STRICT_RADIUS // _HMA
    with spent() as took:
        for at in range(0, len(words), _CHUNK):
            index.add(_bytes(words[at : at + _CHUNK]))
    needs = f"built in {took['cpu']:.0f} s, {(allocated_bytes() - before) / len(words):.0f} bytes a hash"
    few = queries[:100]
    if not _equal(_found(index, few, STRICT_RADIUS), _found(flat, few, STRICT_RADIUS)):
        raise BenchError("FAISS multi-hash found other hashes than FAISS flat")
    packed = _bytes(few)
    single = cpu_seconds(lambda: [index.range_search(one[None], STRICT_RADIUS + 1) for one in packed])
    batch = cpu_seconds(lambda: index.range_search(packed, STRICT_RADIUS + 1))
    peer = f"FAISS multi-hash 16 × 16 ({needs})"
    wanted = [50] if len(words) >= 10 * _MILLION else []
    yield _single_row(what, ours, peer, single / len(few), *wanted)
    yield _batch_row(what, ours, peer, batch / len(few))


def _threatexchange(words: _Words, queries: _Words, what: str, ours: _Speed) -> Iterator[Item]:
    """python-threatexchange's index of PDQ hashes, hex in and entries out."""
    told("search: threatexchange")
    hexes = [row.tobytes().hex() for row in words]
    with spent() as took:
        index = PDQIndex((text, place) for place, text in enumerate(hexes))
    texts = [row.tobytes().hex() for row in queries[:100]]
    single = cpu_seconds(lambda: [index.query(text) for text in texts]) / len(texts)
    batch = cpu_seconds(lambda: index.index.search_with_distance_in_result(texts, STRICT_RADIUS))
    peer = f"threatexchange PDQIndex (built in {took['wall']:.0f} s)"
    yield _single_row(what, ours, peer, single)
    yield _batch_row(what, ours, peer, batch / len(texts))


def _numpy_seconds(words: _Words, queries: _Words) -> float:
    def search(one: _Words) -> NDArray[np.intp]:
        return np.flatnonzero(np.bitwise_count(words ^ one).sum(axis=1) <= STRICT_RADIUS)

    return cpu_seconds(lambda: [search(one) for one in queries[:5]]) / 5


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _found(index: faiss.IndexBinary, queries: _Words, radius: int) -> _Found:
    """Return query, record and distance of all that FAISS finds, on every core, in our order."""
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        # FAISS takes what is nearer than its radius.
        limits, distance, record = index.range_search(_bytes(queries), radius + 1)
    finally:
        faiss.omp_set_num_threads(1)
    query = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
    order = np.lexsort((record, distance, query))
    return query[order], record[order], distance[order].astype(np.int64)


def _equal(ours: _Found, theirs: _Found) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def _require_equal(table: HammingTable, flat: faiss.IndexBinaryFlat, queries: _Words, radius: int) -> int:
    """Raise :class:`BenchError` unless both find the same; return how many were found."""
    found = table.query(queries, radius)
    theirs = _found(flat, queries, radius)
    if not _equal(_columns(found), theirs):
        raise BenchError(
            f"{len(table):,} hashes, radius {radius}: ours found {len(found):,} pairs and FAISS flat "
            f"{len(theirs[0]):,}, or others"
        )
    return len(found)


def _columns(found: Matches) -> _Found:
    return found.query, found.record, found.distance.astype(np.int64)


def _clustered(path: Path, count: int, corpus: Path) -> Iterator[Item]:
    """Hashes as pictures have them: those of the recall corpus, each many times with bits changed."""
    if not corpus.exists():
        yield Note(f"Clustered hashes were not searched: {corpus} is missing (make bench-recall makes it).")
        return
    told(f"search: {short(count)} clustered hashes")
    require_space(path.parent, count * _BYTES_A_HASH)
    with np.load(corpus) as arrays:
        base = np.ascontiguousarray(arrays["bits"]).view(np.uint64)
    rng = np.random.default_rng(count + 1)
    words = np.concatenate([_varied(base, min(_CHUNK, count - at), rng) for at in range(0, count, _CHUNK)])
    queries = _half_planted(words, _varied(base, _BATCH, rng), rng)
    _build(path, _pdq_entries(words))
    try:
        index = FrozenIndex(open_segment(path).arrays)
        what = (
            f"{short(count)} clustered hashes, segment mapped ({len(base):,} real ones, 16–64 bits changed)"
        )
        flat = _flat(words)
        found = _require_equal(index.pdq, flat, queries[:200], STRICT_RADIUS) / 200
        ours = _speed(index, queries, STRICT_RADIUS)
        few = _bytes(queries[:20])
        peer = cpu_seconds(lambda: flat.range_search(few, STRICT_RADIUS + 1)) / len(few)
        what += f", {found:.1f} found a query"
        yield _single_row(what, ours, "FAISS flat, in a batch", peer)
        yield _batch_row(what, ours, "FAISS flat", peer)
    finally:
        path.unlink()


def _varied(base: _Words, count: int, rng: np.random.Generator) -> _Words:
    """Return ``count`` of ``base``, of half of them about 64 bits changed, of others 32, of some 16."""
    words = base[rng.integers(0, len(base), count)]
    draws = [rng.integers(0, 2**64, words.shape, dtype=np.uint64) for _ in range(4)]
    change = draws[0] & draws[1]
    change[count // 2 :] &= draws[2][count // 2 :]
    change[count - count // 8 :] &= draws[3][count - count // 8 :]
    return words ^ change


def _phashes(path: Path, count: int) -> Iterator[Item]:
    """64 bits and radius 3, as a lone pHash is asked."""
    told(f"search: {short(count)} pHashes")
    require_space(path.parent, count * _BYTES_A_HASH / 2)
    rng = np.random.default_rng(count + 2)
    words = rng.integers(0, 2**64, (count, 1), dtype=np.uint64)
    queries = rng.integers(0, 2**64, (_BATCH, 1), dtype=np.uint64)
    queries[::2] = words[rng.integers(0, count, _BATCH // 2)] ^ np.uint64(0x0000_1000_0400_0001)
    _build(path, _entries(phash=words, phash_places=np.arange(count, dtype=np.int64)))
    try:
        index = FrozenIndex(open_segment(path).arrays)
        flat = _flat(words)
        del words
        _require_equal(index.phash, flat, queries[:200], PHASH_RADIUS)
        singles = [queries[k : k + 1] for k in range(_SINGLE)]
        ours = cpu_seconds(lambda: [index.near_phash(one, PHASH_RADIUS, MAX_NEAR) for one in singles])
        batch = cpu_seconds(lambda: index.near_phash(queries, PHASH_RADIUS, MAX_NEAR)) / len(queries)
        few = _bytes(queries[:20])
        peer = cpu_seconds(lambda: [flat.range_search(one[None], PHASH_RADIUS + 1) for one in few]) / len(few)
        yield Row(
            f"exact search of pHash, 64 bits, radius {PHASH_RADIUS}, one query at a time",
            f"{short(count)} hashes, {path.stat().st_size / count:.0f} bytes each; "
            f"in batches {milliseconds(batch)}",
            milliseconds(ours / len(singles)),
            f"FAISS flat {milliseconds(peer)}",
            peer * len(singles) / ours,
        )
    finally:
        path.unlink()


def _growing(count: int) -> Iterator[Item]:
    """The index in memory, which takes new hashes while it is searched."""
    told(f"search: {short(count)} inserts")
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, (count, 4), dtype=np.uint64)
    queries = _half_planted(words, rng.integers(0, 2**64, (_BATCH, 4), dtype=np.uint64), rng)
    index = HammingIndex(4)
    batch = _inserted(index, words, _BATCH)
    single = _inserted(HammingIndex(4), words[: count // 10], 1)
    peer = faiss.IndexBinaryMultiHash(256, _HMA, _HMA)
    began = time.thread_time()
    for at in range(0, count, _BATCH):
        peer.add(_bytes(words[at : at + _BATCH]))
    theirs = (time.thread_time() - began) / count
    yield Row(
        "inserts into the index in memory, found at once",
        f"batches of 1,000 from empty to {short(count)}, CPU; one by one {per_second(1, single)}",
        per_second(1, batch),
        f"FAISS multi-hash {per_second(1, theirs)}",
        theirs / batch,
        [at_least(1 / batch, 300_000, "≥ 300,000/s")],
    )
    flat = _flat(words)
    found = index.query(queries, STRICT_RADIUS)
    if not _equal(_columns(found), _found(flat, queries, STRICT_RADIUS)):
        raise BenchError("the index in memory found other hashes than FAISS flat")
    ours = cpu_seconds(lambda: index.query(queries, STRICT_RADIUS, MAX_NEAR)) / len(queries)
    few = _bytes(queries[:40])
    slow = cpu_seconds(lambda: flat.range_search(few, STRICT_RADIUS + 1)) / len(few)
    yield _batch_row(f"{short(count)} hashes in memory, not mapped", _Speed(ours, ours), "FAISS flat", slow)


def _inserted(index: HammingIndex, words: _Words, size: int) -> float:
    """Return the CPU seconds a hash, the compiler's not counted."""
    radii = np.full(size, STRICT_RADIUS, np.uint8)
    HammingIndex(4).add(words[:size], radii)
    began = time.thread_time()
    for at in range(0, len(words), size):
        part = words[at : at + size]
        index.add(part, radii[: len(part)])
    return (time.thread_time() - began) / len(words)
