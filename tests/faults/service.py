"""The service under test: real processes, which may be killed, stopped and started again.

Each process carries a mark in its environment, so that all of them, and no others, are ended at the end,
whoever their parent has become.
"""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.keys import create_key
from registry.migrations import migrate
from registry.note import Signer
from registry.store import Store, principals
from registry.store import engine as engines

__all__ = [
    "NO_ANSWER",
    "PARTNER",
    "Place",
    "Reply",
    "Service",
    "ask",
    "caveat",
    "end_all",
    "free_port",
    "until",
]

NO_ANSWER = (OSError, http.client.HTTPException)
"""What a client meets when the other side dies, or is not there."""
MARK = "FAULTS_RUN"
_RUN = secrets.token_hex(8)
PARTNER = Signer.new("faults.example")
"""Signs the imports."""


@dataclass(frozen=True)
class Place:
    """Where a registry keeps everything, and a key to it."""

    folder: Path
    url: str
    key: str
    more: Mapping[str, str] = field(default_factory=dict)
    """Further variables of its environment."""

    @classmethod
    def make(cls, folder: Path, url: str = "") -> "Place":
        """Make an empty registry in ``folder``, or in the PostgreSQL database at ``url``."""
        folder.mkdir(parents=True, exist_ok=True)
        url = url or engines.database_url(folder)
        store = Store.open(url)
        migrate(store)
        scopes = frozenset({"lookup", "register", "mirror", "import:faults", "domain:*"})
        key = create_key(store, name="faults", scopes=scopes, evidence_level=1, environment="test", at=0)
        with store.administer() as connection:
            principals.set_import_key(connection, key.principal_id, PARTNER.verifier.text)
        store.close()
        return cls(folder, url, key.secret)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"API {self.key}", "Content-Type": "application/json"}

    @property
    def environment(self) -> dict[str, str]:
        """What names this registry to every command."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("CAVEAT_")}
        named = {"CAVEAT_DATABASE": self.url, "CAVEAT_LOG_ORIGIN": "faults.caveat.invalid"}
        folders = {"CAVEAT_INDEX": str(self.folder / "index"), "CAVEAT_LOG": str(self.folder / "log")}
        return {**own, **named, **folders, **self.more, MARK: _RUN}


def caveat(place: Place, *arguments: str, within: float = 60) -> subprocess.CompletedProcess[str]:
    """Run an operator command on ``place`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "api.commands", *arguments],
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
    )


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    data: bytes
    kind: str

    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def problem(self) -> str:
        """The name of the error; empty when it has none."""
        if self.kind != "application/problem+json":
            return ""
        return str(self.json().get("type", "")).removeprefix("urn:caveat:problem:")


def ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
    """Send one request on a connection of its own, so that any worker may take it. Raises ``NO_ANSWER``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.read(), response.headers.get_content_type())
    finally:
        connection.close()


@dataclass
class Service:
    """``caveat serve`` on a place; ``wrap`` are words before the command, ``more`` variables it gets."""

    place: Place
    workers: int = 3
    wrap: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None
    logged: Path | None = None

    @property
    def log(self) -> Path:
        """Where the service's own words go: not on the disk that is taken away."""
        return self.logged or self.place.folder.with_name(f"{self.place.folder.name}.log")

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """Serve while the block lasts; afterwards no process is left."""
        self.start()
        try:
            yield self
        finally:
            self.end()

    def start(self) -> None:
        """Start, or start again on the same port, and wait until it answers."""
        command = [*self.wrap, sys.executable, "-m", "api.commands", "serve"]
        command += ["--port", str(self.port), "--workers", str(self.workers)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**self.place.environment, **self.more},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait for the first good answer; raises TimeoutError."""
        until(lambda: self._is_ready(), seconds, f"caveat serve was not ready: {self.log}")

    def end(self) -> None:
        """Kill whatever is left, the processes beside the service too."""
        family = [pid for pid in (self.master(), *self.pids("")) if pid]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        until(lambda: not any(_is_alive(pid) for pid in family), 10, "processes outlive SIGKILL")

    def master(self) -> int:
        """The process of gunicorn's that starts the workers; 0 when it is gone."""
        process = self.process
        return process.pid if process is not None and process.poll() is None else 0

    def pids(self, role: str) -> list[int]:
        """The children of a role: worker, builder, publisher, watcher or follower; all of them for none."""
        found = []
        for child in _children(self.master()):
            with suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                is_ = {b"build-index": "builder", b"publish": "publisher", b"follow": "follower"}
                is_[b"watch"] = "watcher"
                own = next((name for word, name in is_.items() if word in words), "worker")
                if words != [b""] and role in ("", own):
                    found.append(child)
        return found

    @contextmanager
    def only(self, pid: int) -> Iterator[None]:
        """Let one worker alone answer: the others are stopped while the block lasts."""
        others = [one for one in self.pids("worker") if one != pid]
        _signal(others, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(others, signal.SIGCONT)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Ask with the key of the place."""
        return ask(self.port, method, path, body, {**self.place.headers, **headers})

    def _is_ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"caveat serve ended: {self.log.read_text()[-2000:]}")
        try:
            return ask(self.port, "GET", "/readyz").status == 200
        except NO_ANSWER:
            return False


def until(seen: Any, seconds: float, otherwise: str) -> Any:
    """Return the first true value of ``seen()``; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (value := seen()):
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.02)
    return value


def end_all() -> None:
    """Kill every process that this run started and that is still there."""
    mark = f"{MARK}={_RUN}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children") if pid else ():
        with suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
