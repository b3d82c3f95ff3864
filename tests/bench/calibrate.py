"""The calibration file that is shipped: `python tests/bench/calibrate.py --margin 28`, after recall.py.

From what recall.py registered of the corpus (registered.npz in the cache folder), one row a hash:

1. Debian's packages only. What is in its section main may be used, changed and passed on (Debian's Free
   Software Guidelines); the copyright file of each package names the licences. No picture is shipped, only
   hashes. The two wheels have no such file for their pictures, and stay out.
2. Not the demo's pictures, nor anything within the strict radius of them: the demo registers them.
3. Of pictures with windows within ten bits of one another only the first: a registered work may be in the
   set, and the lookup takes one picture of the set for it, not two.
4. The windows ``WINDOWS`` of each picture. The squares add rows and no distance: recall.py shows the same
   false matches with and without them.

Equal corpus and code give equal arrays.
"""

import argparse
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
from corpus import WHEELS, add_cache_option
from numpy.typing import NDArray

from registry.calibration import SHIPPED_ID, Calibration, dump_calibration
from registry.fingerprint import (
    REGISTERED_WINDOWS,
    STRICT_RADIUS,
    hash_words,
    query_fingerprint,
    registered_fingerprint,
)
from registry.hamming import hamming_distances
from registry.picture import decode_picture

WINDOWS = ("full", "trim", "full_black", "trim_black")
"""Windows of a picture that go into the set."""
LARGEST = 15_000
"""Hashes that the file may hold: a registration compares each of its windows with all of them."""
SAME = 10
"""Bits within which pictures of the set are near duplicates; as in registry.calibration."""
DEMO = Path(__file__).parents[2] / "registry" / "demo" / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_cache_option(parser)
    parser.add_argument("--margin", type=int, required=True, help="bits, kept in the file")
    parser.add_argument("--id", type=int, default=SHIPPED_ID, help=f"number of the file ({SHIPPED_ID})")
    parser.add_argument("--output", type=Path, help="default: calibration.npz in the cache folder")
    options = parser.parse_args()
    words, pictures = rows_of(options.cache / "registered.npz")
    if len(words) > LARGEST:
        sys.exit(f"{len(words):,} hashes; at most {LARGEST:,} are meant to be shipped")
    data = dump_calibration(Calibration(options.id, options.margin, words, pictures))
    file = options.output or options.cache / "calibration.npz"
    file.write_bytes(data)
    print(f"{file}: {len(words):,} hashes of {len(set(pictures.tolist())):,} pictures, {len(data):,} bytes")


def rows_of(file: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Return ``words: uint64[n, 4]`` and ``pictures: uint32[n]``, numbered from 0; says what was left out."""
    with np.load(file) as kept:
        words = hash_words([bytes(one) for one in kept["bits"]])
        picture, window, source = kept["picture"], kept["window"], kept["source"]
    wheels = [wheel.split("==")[0] for wheel in WHEELS]
    out = Counter[str]()
    out["licence"] = _drop(free := ~np.isin(source, wheels))
    like = near_demo(words, picture, len(source))
    out["in the demo"] = _drop(~like[free])
    stays = first_of_duplicates(words, picture, free & ~like)
    out["near duplicates"] = _drop(stays[free & ~like])
    taken = stays[picture] & np.isin(window, [REGISTERED_WINDOWS.index(name) for name in WINDOWS])
    rows = np.column_stack([picture[taken].astype(np.uint64), words[taken]])
    rows = np.unique(rows, axis=0)  # sorted by picture, each hash of it once
    print(f"{len(source):,} pictures; left out: {', '.join(f'{n} {why}' for why, n in out.items())}")
    numbers = np.unique(rows[:, 0], return_inverse=True)[1]
    return np.ascontiguousarray(rows[:, 1:]), numbers.astype(np.uint32)


def near_demo(words: NDArray[np.uint64], picture: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Say of each of ``count`` pictures whether it is, or looks like, one of the demo's."""
    like = np.zeros(count, bool)
    for file in sorted(path for path in DEMO.rglob("*") if path.suffix in {".jpg", ".png", ".webp"}):
        data = file.read_bytes()
        whole = decode_picture(data)
        found = [make(whole, data).pdq.values() for make in (query_fingerprint, registered_fingerprint)]
        for one in hash_words([*chain.from_iterable(found)]):
            like[picture[hamming_distances(words, one) <= STRICT_RADIUS]] = True
    return like


def first_of_duplicates(
    words: NDArray[np.uint64], picture: NDArray[np.int32], candidates: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say which of the ``candidates`` stay when of near duplicates the first one does."""
    stays = candidates.copy()
    for word, own in zip(words, picture, strict=True):
        if stays[own]:
            near = picture[hamming_distances(words, word) <= SAME]
            stays[near[near > own]] = False
    return stays


def _drop(stay: NDArray[np.bool_]) -> int:
    return int((~stay).sum())


if __name__ == "__main__":
    main()
