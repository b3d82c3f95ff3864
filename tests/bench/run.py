"""Speed beside the peers, in one run, as ratios: `make bench`, `make bench-full`, or this file.

Each section yields rows: what, in which configuration, ours, the peer, and the ratio; above 1, ours is
faster. What is wanted is told beside it, met or missed, and below the table why it was missed. A section
that fails is named, and the others run all the same; the exit code is 1 then.
"""

import argparse
import importlib
import importlib.util
import os
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import report
from report import Table
from timing import BenchError, Plan, require_space, told

SECTIONS = {
    "hashing": "Pictures to fingerprints",
    "search": "Exact search of hashes",
    "keys": "Exact keys and URLs",
    "service": "The service, through HTTP",
}
_PEERS = (
    "faiss",
    "threatexchange",
    "duckdb",
    "lmdb",
    "cv2",
    "pdqhash",
    "psycopg",
    "datadiligence",
    "ada_url",
)
_CACHE = Path("~/.cache/caveat-bench").expanduser()
_POSTGRES = "CAVEAT_TEST_POSTGRES"
_LARGEST = {"quick": 1e9, "usual": 3e9, "full": 13e9}
"""Bytes of disk wanted at one time."""


def main() -> int:
    options = _options()
    sections = options.only or list(SECTIONS)
    try:
        _require_peers(sections)
        options.folder.mkdir(parents=True, exist_ok=True)
        size = "full" if options.full else "quick" if options.quick else "usual"
        require_space(options.folder, _LARGEST[size])
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    # What was made is removed when the run is ended from outside, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    about = report.about(" ".join(map(shlex.quote, ["python", *sys.argv])))
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="speed-", dir=options.folder, ignore_cleanup_errors=True) as name:
        plan = Plan(Path(name), options.corpus, os.environ.get(_POSTGRES, ""), options.quick, options.full)
        for section in sections:
            tables.append(_run(section, plan))
            # Written after each section: what was measured is not lost with a later one.
            _write(options.output, report.page(about, tables))
    if options.output is None:
        sys.stdout.write(report.page(about, tables))
    failed = [table.title for table in tables if table.failure]
    for title in failed:
        told(f"failed: {title}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a tenth or less of the work, to see that it runs")
    size.add_argument("--full", action="store_true", help="80 million hashes, 1 million works: half an hour")
    parser.add_argument(
        "--only", action="append", choices=list(SECTIONS), metavar="SECTION", help="; ".join(SECTIONS)
    )
    parser.add_argument("--output", type=Path, help="the page in Markdown; without it, standard output")
    parser.add_argument("--folder", type=Path, default=_CACHE, help=f"for files, on a local disk ({_CACHE})")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=_CACHE / "registered.npz",
        help="the hashes that make bench-recall kept",
    )
    return parser.parse_args()


def _require_peers(sections: Sequence[str]) -> None:
    missing = [name for name in _PEERS if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchError(
            f"not installed: {', '.join(missing)}. `make bench` installs the peers and runs this."
        )
    if "keys" in sections and not os.environ.get(_POSTGRES):
        raise BenchError(f"{_POSTGRES} is not set. `make bench` starts a PostgreSQL and sets it.")


def _run(section: str, plan: Plan) -> Table:
    """Run one section; of one that fails, keep the rows that it had."""
    table = Table(SECTIONS[section], [])
    try:
        for item in importlib.import_module(section).section(plan):
            table.items.append(item)
    except Exception as error:  # noqa: BLE001 - the other sections run all the same
        told(f"{section} failed\n{traceback.format_exc()}")
        return Table(table.title, table.items, f"{type(error).__name__}: {error}")
    return table


def _write(output: Path | None, text: str) -> None:
    if output is not None:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
