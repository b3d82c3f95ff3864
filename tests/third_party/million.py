"""A million events, published, read by others, and damaged: times, sizes, and what was found.

    python tests/third_party/million.py [--leaves N] [--every K] [--output FILE]

Makes a registry on SQLite in a folder of its own, publishes its log in steps, and makes it again in one go.
Go, tlog-scales and pymerkle verify it, and tlog-scales writes the same log with the same key. Then one bit
is turned in every K-th file, one after the other, and in every file at once, and fsck is asked. Whatever
does not hold ends it with an error.
"""

import argparse
import os
import platform
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import flips
import go_check
import others
from published import Published

from registry.fsck import fsck
from registry.log_folder import LogFolder
from registry.note import Signer

STEPS = (1, 255, 256, 257, 1_000, 65_536, 65_793, 500_000)
PROOFS = 2_000
ORIGIN = "log.test/million"
_ROOT = Path(__file__).parent.parent.parent
_T = TypeVar("_T")


@dataclass
class Report:
    """What was measured, a row each, and the words below the table."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def timed(self, what: str, work: Callable[[], _T], detail: Callable[[_T], str] = lambda _: "") -> _T:
        begin = time.perf_counter()
        done = work()
        self.add(what, f"{time.perf_counter() - begin:.1f} s", detail(done))
        return done

    def add(self, what: str, measured: str, detail: str = "") -> None:
        self.rows.append((what, measured, detail))
        print(f"{what}: {measured} {detail}".rstrip(), flush=True)


def grow(registry: Published, leaves: int, report: Report) -> None:
    written = published = 0.0
    for size in [*(step for step in STEPS if step < leaves), leaves]:
        begin = time.perf_counter()
        registry.write(size)
        middle = time.perf_counter()
        registry.publish()
        written, published = written + middle - begin, published + time.perf_counter() - middle
    report.add(f"{leaves:,} events written", f"{written:.1f} s", f"{leaves / written:,.0f} a second")
    report.add("published as they came", f"{published:.1f} s", f"in {len(registry.checkpoints)} checkpoints")


def sizes(registry: Published, report: Report) -> None:
    database = sum(path.stat().st_size for path in registry.home.glob("registry.sqlite*"))
    report.add("database", f"{database / 1e6:.0f} MB")
    names = flips.names_of(registry.log)
    kinds, weights = Counter(map(flips.kind_of, names)), Counter[str]()
    for name in names:
        weights[flips.kind_of(name)] += (registry.log / name).stat().st_size
    for kind in sorted(kinds):
        report.add(f"`{kind}`", f"{weights[kind] / 1e6:.2f} MB", f"{kinds[kind]:,} files")
    report.add("log", f"{sum(weights.values()) / 1e6:.0f} MB", f"{len(names):,} files")


def made_again(registry: Published, report: Report) -> None:
    again, theirs = registry.home / "again", registry.home / "theirs"
    report.timed("published again in one go", lambda: registry.publish(again))
    leaves = registry.leaves()
    report.timed(
        "tlog-scales writes the same log",
        lambda: others.written_again(leaves, ORIGIN, registry.signer.private, theirs),
    )
    # Ours is written in parts, and keeps the partial tiles in which a part ended.
    outgrown = set(flips.outgrown(again, len(leaves)))
    same = ["checkpoint", *(name for name in flips.names_of(again) if name not in outgrown)]
    assert same == ["checkpoint", *flips.names_of(theirs)]
    for name in same:
        data = (theirs / name).read_bytes()
        assert data == (again / name).read_bytes() == (registry.log / name).read_bytes(), name
    report.add("files that are the same, byte for byte", f"{len(same):,}", "checkpoint and signature too")


def read_by_others(registry: Published, report: Report) -> None:
    leaves = registry.leaves()
    size = len(leaves)
    indexes = sorted(random.Random(1).sample(range(size), min(PROOFS, size)))
    proofs = f"{len(indexes):,} proofs of inclusion, {len(registry.ever_signed)} of consistency"
    reader = report.timed(
        "tlog-scales verifies",
        lambda: others.tiles_checks(registry.log, registry.key, registry.ever_signed, indexes),
        lambda _: f"every leaf, {proofs}",
    )
    roots = {
        at: others.checkpoint_of(path, registry.key).root_hash for at, path in registry.checkpoints.items()
    }
    report.timed(
        "pymerkle makes the tree of the leaves and compares",
        lambda: others.merkle_checks(leaves, reader, roots, indexes),
        lambda _: f"every root, {len(indexes):,} paths; {others.peak_megabytes():,.0f} MB of memory at most",
    )
    if not go_check.is_there():
        report.notes.append("Go is not installed here, and did not read this log.")
        return
    go = go_check.build(registry.home)
    seen = report.timed(
        "Go verifies",
        lambda: go(registry.key, registry.log, old=registry.ever_signed, prove=indexes),
        lambda _: f"every leaf and tile, {proofs}",
    )
    assert (seen["leaves"], seen["proved"], seen["consistent"]) == (size, len(indexes), list(roots))


def damaged(registry: Published, every: int, report: Report) -> None:
    store, log, size = registry.store, registry.log, registry.store.head()
    assert report.timed("fsck", lambda: list(fsck(store, LogFolder(log), size))) == []
    old = set(flips.outgrown(log, size))
    now = [name for name in flips.names_of(log) if name not in old]
    rare = [name for name in now if not name.startswith(("tile/0/", "tile/entries/")) or ".p/" in name]
    some = sorted({*now[::every], *rare})
    missed = report.timed(
        f"one bit in each of {len(some):,} files, one after the other",
        lambda: flips.one_at_a_time(store, log, size, some),
        lambda missed: f"fsck named {len(some) - len(missed):,}: {_counted(some)}",
    )
    missed += report.timed(
        f"one bit in each of {len(now):,} files at once",
        lambda: flips.all_at_once(store, log, size, now),
        lambda missed: f"fsck named {len(now) - len(missed):,}, and no other",
    )
    passed_over = flips.all_at_once(store, log, size, sorted(old))
    report.add(
        f"one bit in each of {len(old):,} outgrown partial files at once",
        f"{len(old) - len(passed_over):,} named",
        "files of earlier sizes, which this size has wider ones of",
    )
    assert not missed, missed
    assert list(fsck(store, LogFolder(log), size)) == []


def _counted(names: Sequence[str]) -> str:
    return ", ".join(
        f"{count} `{kind}`" for kind, count in sorted(Counter(map(flips.kind_of, names)).items())
    )


def about(arguments: Sequence[str]) -> str:
    versions = [f"{name} {metadata.version(name)}" for name in ("tlog-scales", "pymerkle", "cryptography")]
    if go_check.is_there():
        versions += [_said("go", "version"), "golang-golang-x-mod-dev " + _said(*_DEBIAN_VERSION)]
    return "\n".join(
        [
            f"# The log, {time.strftime('%-d %B %Y')}",
            "",
            f"- machine: {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
            f"- Python {platform.python_version()}, {', '.join(versions)}",
            f"- revision {_said('git', '-C', str(_ROOT), 'rev-parse', '--short=12', 'HEAD')}",
            f"- command: `python tests/third_party/million.py {shlex.join(arguments)}`",
            f"- load average at the start: {', '.join(f'{value:.2f}' for value in os.getloadavg())}",
            "",
        ]
    )


_DEBIAN_VERSION = ("dpkg-query", "-W", "-f", "${Version}", "golang-golang-x-mod-dev")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def page(head: str, report: Report) -> str:
    lines = [
        head,
        "| what | measured | |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in report.rows),
    ]
    return "\n".join([*lines, "", *report.notes]).rstrip() + "\n"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--leaves", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=199, help="damage every K-th file by itself")
    parser.add_argument("--output", type=Path, help="file for the page")
    asked = parser.parse_args(arguments)
    head, report = about(arguments), Report()
    with tempfile.TemporaryDirectory() as home:
        registry = Published.new(Path(home), Signer.new(ORIGIN))
        grow(registry, asked.leaves, report)
        sizes(registry, report)
        made_again(registry, report)
        read_by_others(registry, report)
        damaged(registry, asked.every, report)
        registry.store.close()
    if asked.output:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(page(head, report), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
