"""The page: on what it was made, a table a section, and of what was missed, why."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from timing import Item, Note, Row

__all__ = ["Table", "about", "page"]

_ROOT = Path(__file__).parent.parent.parent
_VERSIONS = (
    "numpy",
    "numba",
    "pillow",
    "imagehash",
    "pdqhash",
    "opencv-python-headless",
    "faiss-cpu",
    "threatexchange",
    "duckdb",
    "lmdb",
    "psycopg",
    "ada-url",
    "datadiligence",
    "flask",
    "gunicorn",
)


@dataclass(frozen=True, slots=True)
class Table:
    """A section's rows and notes; ``failure`` says why there are no more."""

    title: str
    items: list[Item]
    failure: str = ""


def page(about: str, tables: Sequence[Table]) -> str:
    """Return the whole page as Markdown."""
    return "\n".join([about, *(_section(table) for table in tables)])


def about(command: str) -> str:
    """Return title, machine, versions and command; called before anything runs, for the load average."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return "\n".join(
        [
            f"# {time.strftime('%-d %B %Y')}",
            "",
            "A ratio above 1 means that ours is faster; below 1, slower. Both are of the same run:"
            " CPU time of one thread for functions, time by the clock for services, the least of several runs"
            " after a warm-up, peers on one thread. *Wanted* is what the design asks for.",
            "",
            f"- machine: {_cpu()}, {os.cpu_count()} cores, {_memory() / 1e9:.0f} GB of memory,"
            f" {platform.system()} {platform.release()}",
            f"- Python {platform.python_version()}, {versions}",
            f"- revision {_revision()}",
            f"- command: `{command}`",
            f"- load average at the start: {load}",
            "- pgvector is not among the peers: Debian 12 has no package of it.",
            "",
        ]
    )


def _section(table: Table) -> str:
    rows = [item for item in table.items if isinstance(item, Row)]
    notes = [item for item in table.items if isinstance(item, Note)]
    lines = [f"## {table.title}", ""]
    if table.failure:
        lines += [f"**Failed after these rows:** {_flat(table.failure)}", ""]
    lines += ["| what | configuration | ours | peer | ratio | wanted |", "|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(map(_flat, _cells(row))) + " |" for row in rows]
    for title, missed in (("Missed, and where the time goes:", True), ("Notes:", False)):
        some = [f"- {_flat(note.text)}" for note in notes if note.miss is missed]
        if some:
            lines += ["", title, "", *some]
    return "\n".join([*lines, ""])


def _cells(row: Row) -> tuple[str, ...]:
    wanted = "; ".join(f"{budget.text}: {'met' if budget.met else '**missed**'}" for budget in row.wanted)
    return row.what, row.how, row.ours, row.peer, _ratio(row.ratio), wanted or "–"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _flat(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _cpu() -> str:
    found = _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()
    flags = (_field(Path("/proc/cpuinfo"), "flags") or "").split()
    return f"{found} ({platform.machine()}{', AVX-512' if 'avx512f' in flags else ''})"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _field(path: Path, name: str) -> str | None:
    for line in path.read_text(encoding="utf-8").splitlines():
        found, _, value = line.partition(":")
        if found.strip() == name:
            return value.strip()
    return None


def _revision() -> str:
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}, with changes that are not committed" if changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
