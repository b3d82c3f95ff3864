"""Builds the Go program in ``go/`` and asks it; no network, Debian's copy of golang.org/x/mod."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["GoCheck", "RefusedError", "build", "is_there"]

_SOURCE = Path(__file__).parent / "go"
_GOPATH = Path("/usr/share/gocode")
_NEEDED = _GOPATH / "src/golang.org/x/mod/sumdb/tlog"


class RefusedError(Exception):
    """The Go program did not accept a log; its message says why."""


@dataclass(frozen=True)
class GoCheck:
    binary: Path

    def __call__(
        self,
        key: str,
        log: str | Path,
        *,
        checkpoint: Path | None = None,
        old: Sequence[Path] = (),
        prove: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Return what Go verified of the log, a folder or an address. Raises :class:`RefusedError`."""
        command = ["-checkpoint", str(checkpoint)] if checkpoint else []
        command += [word for file in old for word in ("-old", str(file))]
        command += ["-prove", ",".join(map(str, prove))] if prove else []
        return self._ask(key, *command, str(log))

    def evidence(self, key: str, file: Path) -> dict[str, Any]:
        """Return what Go verified of the evidence of a record. Raises :class:`RefusedError`."""
        return self._ask(key, "-evidence", str(file))

    def _ask(self, key: str, *words: str) -> dict[str, Any]:
        command = [str(self.binary), "-key", key, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 1 and done.stderr.startswith("refused: "):
            raise RefusedError(done.stderr.strip())
        if done.returncode:
            raise RuntimeError(f"verifylog ended with {done.returncode}: {done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def is_there() -> bool:
    """Say whether Go and the code that it checks with are installed."""
    return shutil.which("go") is not None and _NEEDED.is_dir()


def build(folder: Path) -> GoCheck:
    """Format, vet and compile the program into ``folder``."""
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(_GOPATH), "GOFLAGS": ""}
    badly = subprocess.run(
        ["gofmt", "-l", "."], cwd=_SOURCE, capture_output=True, text=True, check=True
    ).stdout
    if badly:
        raise RuntimeError(f"gofmt would write these otherwise: {badly}")
    subprocess.run(["go", "vet", "."], cwd=_SOURCE, env=environment, check=True)
    subprocess.run(["go", "build", "-o", folder / "verifylog", "."], cwd=_SOURCE, env=environment, check=True)
    return GoCheck(folder / "verifylog")
