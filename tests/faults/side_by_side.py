"""``python -m tests.faults.side_by_side``, which is ``make faults``: the rows of the suite, two at a time.

Each row runs in a process of its own (``python -m tests.faults NAME``), which ends what it started. Most rows
wait more than they compute. Exit code and table are those of the suite.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.run import FAULTS

__all__ = ["main"]

_AT_ONCE = 2
_MINUTES = 9
_OUTPUT = Path("build/faults.md")
_HEAD = 2
"""Lines of a table before its rows."""


class _Rows:
    """The rows under way, so that none outlives the run."""

    def __init__(self, folder: Path, end: float) -> None:
        self._folder, self._end = folder, end
        self._running: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self, number: int) -> tuple[int, list[str]]:
        """Run one row; returns its exit code, and the lines of its table."""
        page = self._folder / f"{number}.md"
        left = max(0.0, self._end - time.monotonic()) / 60
        command = ["-m", "tests.faults", FAULTS[number].what, "--minutes", f"{left}", "--output", str(page)]
        with self._guard:
            if self._stopped:
                return 143, []
            process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
            self._running.add(process)
        out, _ = process.communicate()
        self._running.discard(process)
        print(out.partition("\n")[0], flush=True)
        return process.returncode, page.read_text(encoding="utf-8").splitlines() if page.exists() else []

    def stop(self) -> None:
        """End the rows that run; each cleans up behind itself."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                process.terminate()


def main() -> int:
    """Run every row and write the table; returns 1 when a promise was broken."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = _Rows(Path(folder), began + 60 * _MINUTES)
        try:
            done = list(pool.map(rows.run, range(len(FAULTS))))
        finally:
            rows.stop()
    _write([lines for _, lines in done])
    print(f"\n{_OUTPUT.read_text(encoding='utf-8')}\n{_OUTPUT}, {time.monotonic() - began:.0f} s")
    return 0 if all(code == 0 and lines for code, lines in done) else 1


def _write(tables: Sequence[Sequence[str]]) -> None:
    head = next((table[:_HEAD] for table in tables if table), [])
    rows = [line for table in tables for line in table[_HEAD:] if line.startswith("|")]
    remarks = [line for table in tables for line in table if line.startswith("- ")]
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text("\n".join([*head, *rows, "", *remarks]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
