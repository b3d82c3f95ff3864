"""How many copies are found, and how many strangers: `make bench-recall`, or `recall.py --quick`.

Needs the corpus (corpus.py). Registers every picture of it; takes some as originals, changes each in 45 ways
(transformations.py), asks about the results, and counts what is found within each method's radius. Strangers
are counted over pairs of pictures of different sources only. Hashes are kept in the cache folder as they
come: an interrupted run goes on where it stopped. Equal corpus, seed and code give equal figures.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

import hashes
import numpy as np
import transformations
from calibrate import WINDOWS
from corpus import Entry, add_cache_option, read_manifest
from hashes import Hashes, HashStore
from measures import Asked, Bank, Calibration, Distances, Trial, calibrate
from recall_report import Figures, Moved, as_json, as_markdown, contact_sheet, plot
from transformations import TRANSFORMATIONS, original_of

from registry.fingerprint import REGISTERED_WINDOWS, REVIEW_RADIUS, STRICT_RADIUS
from registry.picture import decode_picture

REGISTERED, AS_IT_IS = "registered", "as it is"
_QUICK, _QUICK_STEP = 10, 8
_NEAREST = 96
_LIMIT = 1e-6
"""False matches a pair at which methods are compared: each gets the largest radius that keeps it."""

METHODS = {
    "ours_deciding": "ours, deciding",
    "ours": "ours",
    "ours16": "ours, 16 forms",
    "pdq": "PDQ",
    "phash64": "pHash-64",
    "phash256": "pHash-256",
    "iscc64": "ISCC-64",
    "iscc256": "ISCC-256",
    "ours_full_scale": "ours, asked at full scale",
}
"""Name among the hashes → name in the tables."""

RADII = (
    ("ours_deciding", STRICT_RADIUS),
    ("ours", STRICT_RADIUS),
    ("ours", REVIEW_RADIUS),
    ("ours", 51),
    ("ours16", STRICT_RADIUS),
    ("ours16", 39),
    ("pdq", 31),
    ("pdq", 63),
    ("phash64", 3),
    ("phash256", 39),
    ("ours_full_scale", STRICT_RADIUS),
)
"""Radii (bits) in use; beside them every method is shown at the largest that keeps the limit."""

CALIBRATIONS = tuple(
    Calibration(cap, margin) for cap in (31, 39, 47, 51, 55, 59, 63) for margin in range(0, 49, 4)
)


@dataclass(frozen=True, slots=True)
class Job:
    """Hashes to be made of one picture: under which names."""

    file: Path
    sha256: str
    names: list[str]


def main() -> None:
    options = _options()
    corpus = read_manifest(options.cache)[:: _QUICK_STEP if options.quick else 1]
    version = hashes.code_version(Path(transformations.__file__))
    store = HashStore(options.cache, version)
    started = time.monotonic()
    _fill(store, corpus, [REGISTERED, AS_IT_IS], options)
    if not options.quick:
        _keep_registered(options.cache / "registered.npz", corpus, store)
    count = _QUICK if options.quick else options.pictures
    originals = spread_over_sources(corpus, count, options.seed)
    _fill(store, [corpus[k] for k in originals], [one.name for one in TRANSFORMATIONS], options)
    _say(f"all hashed after {time.monotonic() - started:.0f} s; comparing")
    figures = _figures(corpus, originals, store)
    tables = as_markdown(figures)
    print(tables)
    if options.output:
        options.output.write_text(tables, "utf-8")
    if options.json:
        options.json.write_text(json.dumps(as_json(figures), indent=1), "utf-8")
    if options.plot:
        plot(figures, options.plot)
    if options.sheet:
        contact_sheet(figures.nearest, options.cache / "unpacked", options.sheet)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_cache_option(parser)
    parser.add_argument("--pictures", type=int, default=150, help="originals to change (150)")
    parser.add_argument("--quick", action="store_true", help="few originals, a part of the corpus")
    parser.add_argument("--seed", type=int, default=1, help="which originals (1)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, help="the tables, in Markdown")
    parser.add_argument("--json", type=Path, help="every figure")
    parser.add_argument("--plot", type=Path, help="recall by transformation and radius, PNG or SVG")
    parser.add_argument("--sheet", type=Path, help="the nearest pairs of strangers, to be looked at")
    return parser.parse_args()


def spread_over_sources(corpus: list[Entry], count: int, seed: int) -> list[int]:
    """Return which pictures are changed: a source gives one a round until there are ``count``.

    The order within a source is by a digest of seed and picture: another corpus changes little of it.
    """
    by_source: dict[str, list[int]] = {}
    for number in sorted(range(len(corpus)), key=lambda k: _digest(f"{seed} {corpus[k].sha256}")):
        by_source.setdefault(corpus[number].source, []).append(number)
    rounds = chain.from_iterable(zip_longest(*(by_source[source] for source in sorted(by_source))))
    return sorted(islice((number for number in rounds if number is not None), count))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


# Hashes


def _fill(store: HashStore, entries: list[Entry], names: list[str], options: argparse.Namespace) -> None:
    """Make what the store lacks of ``entries`` under ``names``."""
    root = options.cache / "unpacked"
    jobs = [Job(root / one.path, one.sha256, store.missing(one.sha256, names)) for one in entries]
    jobs = [job for job in jobs if job.names]
    with multiprocessing.Pool(options.processes) as pool:
        for number, (sha256, found) in enumerate(pool.imap_unordered(_hashed, jobs), 1):
            store.put(sha256, found)
            _say(f"{number:,} of {len(jobs):,} pictures hashed", end="\r" if number < len(jobs) else "\n")


def _hashed(job: Job) -> tuple[str, dict[str, Hashes]]:
    data = job.file.read_bytes()
    found: dict[str, Hashes] = {}
    if REGISTERED in job.names:
        found[REGISTERED] = hashes.registered_hashes(data)
    if AS_IT_IS in job.names:
        found[AS_IT_IS] = hashes.query_hashes(data)
    wanted = [one for one in TRANSFORMATIONS if one.name in job.names]
    if wanted:
        original = original_of(decode_picture(data).rgb)
        found |= {one.name: hashes.query_hashes(one.bytes_of(original, job.sha256)) for one in wanted}
    return job.sha256, found


def _keep_registered(file: Path, corpus: list[Entry], store: HashStore) -> None:
    """Write what is registered of the corpus, for whoever calibrates.

    Arrays: ``path``, ``source``, ``sha256`` a picture; ``picture`` (its index), ``window`` (place in
    REGISTERED_WINDOWS) and ``bits: uint8[n, 32]`` a hash.
    """
    rows = [
        (number, REGISTERED_WINDOWS.index(window), bytes.fromhex(bits))
        for number, entry in enumerate(corpus)
        for window, bits in store.get(entry.sha256, REGISTERED)["ours"].items()
    ]
    pictures, windows, bits = zip(*rows, strict=True)
    unfinished = file.with_name("unfinished.npz")
    np.savez_compressed(
        unfinished,
        path=np.array([one.path for one in corpus]),
        source=np.array([one.source for one in corpus]),
        sha256=np.array([one.sha256 for one in corpus]),
        picture=np.array(pictures, np.int32),
        window=np.array(windows, np.uint8),
        bits=np.frombuffer(b"".join(bits), np.uint8).reshape(-1, 32),
    )
    unfinished.replace(file)


# Figures


def _figures(corpus: list[Entry], originals: list[int], store: HashStore) -> Figures:
    distances: dict[str, Distances] = {}
    for key, name in METHODS.items():
        _say(f"comparing {name}")
        distances[key] = _trial(corpus, originals, store, key).distances()
    largest = {key: distances[key].radius_within(_LIMIT) for key in METHODS}
    ours = _trial(corpus, originals, store, "ours")
    _say("calibrating")
    return Figures(
        pictures=len(corpus),
        sources=len({entry.source for entry in corpus}),
        transformations=[one.name for one in TRANSFORMATIONS],
        in_use=[distances[key].result(METHODS[key], radius) for key, radius in RADII],
        at_limit={
            key: distances[key].result(METHODS[key], radius)
            for key, radius in largest.items()
            if radius is not None
        },
        original_sources=[corpus[k].source for k in originals],
        calibrated=calibrate(ours, _references(corpus, store), CALIBRATIONS),
        distances=distances,
        moved={"as they are": _moved(corpus, store), "changed": _moved_changed(corpus, originals, store)},
        nearest=_near(corpus, ours, ours.plain),
        nearest_changed=_near(corpus, ours, ours.changed),
    )


def _trial(corpus: list[Entry], originals: list[int], store: HashStore, key: str) -> Trial:
    """Return what the method ``key`` is measured on; ours asks in several ways for one kind of record."""
    kept = "ours" if key.startswith("ours") else key
    sources = sorted({entry.source for entry in corpus})
    changed = [store.get(corpus[k].sha256, one.name)[key] for one in TRANSFORMATIONS for k in originals]
    return Trial(
        Bank.of([store.get(entry.sha256, REGISTERED)[kept] for entry in corpus]),
        Asked(Bank.of([store.get(entry.sha256, AS_IT_IS)[key] for entry in corpus]), np.arange(len(corpus))),
        Asked(Bank.of(changed), np.tile(originals, len(TRANSFORMATIONS))),
        np.array([sources.index(entry.source) for entry in corpus]),
        len(TRANSFORMATIONS),
    )


def _references(corpus: list[Entry], store: HashStore) -> Bank:
    """Return the calibration set: what calibrate.py takes of each picture."""
    registered = [store.get(entry.sha256, REGISTERED)["ours"] for entry in corpus]
    return Bank.of([{name: bits for name, bits in one.items() if name in WINDOWS} for one in registered])


def _near(corpus: list[Entry], trial: Trial, asked: Asked) -> list[tuple[int, str, str]]:
    """Return the nearest pairs of strangers: distance, path of who asks, path of who is registered."""
    return [
        (distance, corpus[asked.picture[number]].path, corpus[other].path)
        for distance, number, other in trial.nearest_strangers(asked, _NEAREST)
    ]


def _moved(corpus: list[Entry], store: HashStore) -> list[Moved]:
    """Return what lies between the ``full`` that is registered of a file and the one it asks with."""
    asked = [store.get(entry.sha256, AS_IT_IS) for entry in corpus]
    registered = [store.get(entry.sha256, REGISTERED)["ours"] for entry in corpus]
    return [_apart(one, there) for one, there in zip(asked, registered, strict=True)]


def _moved_changed(corpus: list[Entry], originals: list[int], store: HashStore) -> list[Moved]:
    """Return the same of the changed files, which are not registered, but have been asked at full scale.

    Those that the quality gate leaves without a hash both times are left out.
    """
    asked = [store.get(corpus[k].sha256, one.name) for one in TRANSFORMATIONS for k in originals]
    return [_apart(one, one["ours_full_scale"]) for one in asked if one["ours"] or one["ours_full_scale"]]


def _apart(asked: Hashes, at_full_scale: Mapping[str, str]) -> Moved:
    (decoded,) = asked["decoded"]
    ours, there = asked["ours"].get("full"), at_full_scale.get("full")
    if ours is None or there is None:
        return decoded, None
    return decoded, (int(ours, 16) ^ int(there, 16)).bit_count()


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
