"""hash.js beside Python on a corpus, and how quick it is: ``make bench-browser``.

    python tests/web/hash/compare.py [--browser COMMAND] [--decoder own] [--kinds 12] [--found 300]

Two sets of files: pictures in every kind of ``kinds.py``, and pictures as they were found, from the corpus
of ``make bench-recall`` (~/.cache/caveat-bench). The browser is any that takes an address on its command
line; it has a profile of its own, and reports to a site on this machine. Written is a table: how many files
of each kind have the very fingerprint that Python registers, the most bits that any window is off, and how
far what the browser asks, at full scale, lies from what the command line asks.
"""

import argparse
import io
import json
import os
import random
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinds import files_of
from PIL import Image
from serving import Site, opened

from registry.fingerprint import query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

CACHE = Path(os.environ.get("CAVEAT_BENCH_CACHE", Path.home() / ".cache/caveat-bench"))
LARGEST = 6_000_000
"""Pixels of pictures as found: what is hashed here is hashed three times."""
TIMED = "JPEG of 2–4 megapixels"
SIDE = 900
"""Pixels of the longer side of the pictures that are saved in every kind."""
FLAGS = {
    "chromium": ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"],
    "firefox": ["--headless", "--no-remote"],
}


@dataclass
class Row:
    """What was seen of a kind."""

    files: int = 0
    equal: int = 0
    bits: int = 0
    phash: int = 0
    asked: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def most_apart(one: dict[str, str], other: dict[str, str]) -> int:
    return max((apart(one[name], other[name]) for name in one.keys() & other.keys()), default=0)


def corpus() -> list[dict[str, Any]]:
    """Return the rows of the manifest, in an order of their own that is the same each time."""
    lines = (CACHE / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(7).shuffle(rows)
    return rows


def files(kinds: int, found: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the kind and the place of each file."""
    rows = corpus()
    pictures = (Image.open(CACHE / "unpacked" / row["path"]) for row in rows)
    plain = (image for image in pictures if image.mode == "RGB")
    for number, image in zip(range(kinds), plain, strict=False):
        image.thumbnail((SIDE, SIDE))
        for place, (kind, data) in enumerate(files_of(image)):
            path = folder / f"{number}-{place}"
            path.write_bytes(data)
            yield kind, path
    for number, data in enumerate(timed(rows, 20 if found else 0)):
        path = folder / f"timed-{number}"
        path.write_bytes(data)
        yield TIMED, path
    smaller = (row for row in rows if row["width"] * row["height"] <= LARGEST)
    for row, _ in zip(smaller, range(found), strict=False):
        path = CACHE / "unpacked" / row["path"]
        yield f"as found: {path.suffix.lower()}", path


def timed(rows: list[dict[str, Any]], count: int) -> Iterator[bytes]:
    """Yield JPEGs of 2, 3 and 4 megapixels, made of larger pictures."""
    large = [row for row in rows if row["width"] * row["height"] >= 4e6][:count]
    for number, row in enumerate(large):
        with Image.open(CACHE / "unpacked" / row["path"]) as image:
            share = ((2 + number % 3) * 1e6 / (image.width * image.height)) ** 0.5
            size = round(image.width * share), round(image.height * share)
            out = io.BytesIO()
            image.convert("RGB").resize(size).save(out, "JPEG", quality=90)
            yield out.getvalue()


@contextmanager
def browsing(command: str, address: str, preferences: Iterable[str]) -> Iterator[None]:
    """Open ``address`` in a browser with a new profile, until the block ends."""
    name = "firefox" if "firefox" in command else "chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = (f"user_pref({one});\n" for one in preferences)
        Path(profile, "user.js").write_text("".join(lines), encoding="utf-8")
        where = ["--profile", profile] if name == "firefox" else [f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [command, *FLAGS[name], *where, address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": profile},
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def reported(site: Site, arguments: argparse.Namespace) -> Any:
    asked = f"files={len(site.files)}&workers={arguments.workers}&decoder={arguments.decoder}"
    with browsing(arguments.browser, f"{site.address}/run?{asked}", arguments.preference):
        return site.reports.get(timeout=arguments.seconds)


def note(row: Row, result: dict[str, Any], data: bytes) -> None:
    row.files += 1
    if result["status"] != "ok":
        row.errors[result["error"]["name"]] += 1
        return
    registered = registered_fingerprint(decode_picture(data), data).to_wire()
    asked = query_fingerprint(decode_picture(data, reduced=True), data).to_wire()
    row.equal += result["registered"] == registered
    row.bits = max(row.bits, most_apart(result["registered"].get("pdq", {}), registered.get("pdq", {})))
    row.phash = max(row.phash, apart(result["registered"]["phash"], registered["phash"]))
    row.asked.append(most_apart(result["asked"].get("pdq", {}), asked.get("pdq", {})))


def table(rows: dict[str, Row]) -> Iterator[str]:
    yield "| kind | files | equal | most bits, a window | most bits, pHash | asked: median, most | refused |"
    yield "|---|---|---|---|---|---|---|"
    for kind, row in rows.items():
        middle = sorted(row.asked)[len(row.asked) // 2] if row.asked else "–"
        most = max(row.asked, default="–")
        refused = ", ".join(f"{count} {name}" for name, count in row.errors.items())
        cells = (kind, row.files, row.equal, row.bits, row.phash, f"{middle}, {most}", refused)
        yield f"| {' | '.join(map(str, cells))} |"


def speed(named: list[tuple[str, Path]], results: list[dict[str, Any]]) -> Iterator[str]:
    """Tell how many pictures of ``TIMED`` a worker hashes in a second, and Python."""
    milliseconds, seconds = [], 0.0
    for (kind, path), one in zip(named, results, strict=True):
        if kind != TIMED or one["status"] != "ok":
            continue
        milliseconds.append(one["milliseconds"])
        data = path.read_bytes()
        start = time.process_time()
        registered_fingerprint(decode_picture(data), data)
        query_fingerprint(decode_picture(data), data)
        seconds += time.process_time() - start
    if milliseconds:
        count = len(milliseconds)
        browser, python = count / sum(milliseconds) * 1000, count / seconds
        yield f"{TIMED}, both fingerprints: {browser:.1f} a second a worker, {python:.1f} by Python."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--decoder", default="", choices=["", "browser", "own"])
    parser.add_argument("--preference", action="append", default=[], help="of Firefox: '\"name\", true'")
    parser.add_argument("--kinds", type=int, default=12, help="pictures that are saved in every kind")
    parser.add_argument("--found", type=int, default=330, help="pictures as they were found")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        named = list(files(arguments.kinds, arguments.found, Path(folder)))
        paths = [path for _, path in named]
        with opened(paths) as site:
            report = reported(site, arguments)
        rows: dict[str, Row] = {}
        for (kind, path), result in zip(named, report["results"], strict=True):
            note(rows.setdefault(kind, Row()), result, path.read_bytes())
        lines = [f"{report['browser']}; trusted: {report['trusted']}", "", *table(rows), ""]
        lines += speed(named, report["results"])
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
