"""A registry that publishes a log, and somebody between it and the client who writes down what passes."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from api.commands.serve import threaded_server
from api.settings import settings_from
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from registry.registrar import Registrar
from registry.store import Store
from registry.store import engine as engines

from .conftest import Live, _keys, _lodged

LOG = Signer("log.example", bytes(range(1, 33)))


@dataclass
class Recorder:
    """Hands requests on to ``upstream``; ``twist`` may change an answer.

    It is given method, path, status, headers and body, and returns the last three.
    """

    url: str
    upstream: str
    seen: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    twist: Any = None
    lock: Any = field(default_factory=threading.Lock)

    def by_run(self) -> dict[bytes, list[tuple[bytes, bytes]]]:
        """What was asked and answered under each run, by the numbers, each of which stands once."""
        found: dict[bytes, dict[int, tuple[bytes, bytes]]] = defaultdict(dict)
        for header, request, answer in self.seen:
            run, _, number = header.partition("/")
            assert int(number) not in found[bytes.fromhex(run)]
            found[bytes.fromhex(run)][int(number)] = (request, answer)
        for numbers in found.values():
            assert sorted(numbers) == list(range(len(numbers)))
        return {run: [numbers[n] for n in sorted(numbers)] for run, numbers in found.items()}


class _Between(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Passing"

    def _any(self) -> None:
        recorder = self.server.recorder
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = {name: text for name, text in self.headers.items() if name not in ("Host", "Content-Length")}
        if sent.get("Authorization", "").startswith("Basic "):
            del sent["Authorization"]  # That was for whoever stands between.
        answer = self.server.session.request(
            self.command, recorder.upstream + self.path, data=body, headers=sent, timeout=60
        )
        headers = {
            name: answer.headers[name]
            for name in ("Content-Type", "Caveat-Ticket", "Caveat-As-Of-Seq")
            if name in answer.headers
        }
        status, content = answer.status_code, answer.content
        with recorder.lock:
            recorder.asked.append((self.command, self.path))
            if "Caveat-Run" in self.headers and status == 200:
                request = f"{self.command} {self.path}\n".encode() + body
                recorder.seen.append((self.headers["Caveat-Run"], request, content))
            if recorder.twist is not None:
                status, headers, content = recorder.twist(self.command, self.path, status, headers, content)
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _any  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        return


class _Passing(ThreadingHTTPServer):
    recorder: Recorder
    session: requests.Session

    def handle_error(self, *_: Any) -> None:
        return


@contextmanager
def recording(upstream: str) -> Iterator[Recorder]:
    """Stand between a registry and whoever asks it."""
    server = _Passing(("127.0.0.1", 0), _Between)
    server.session = requests.Session()
    server.recorder = Recorder(f"http://127.0.0.1:{server.server_port}", upstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.session.close()


def _served(data: Path, **environment: str) -> Iterator[str]:
    server = threaded_server(settings_from({"CAVEAT_DATA": str(data), **environment}), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.app.extensions["caveat"].store.close()


def logged_registry(data: Path) -> Iterator[Live]:
    """A registry with works in it that publishes a log, served."""
    keys = _keys(data)
    folder = LogFolder(data / "log")
    folder.write_signer(LOG)
    for url in _served(data, CAVEAT_LOG=str(folder.path)):
        live = _lodged(url, keys, data)
        store = Store.open(engines.database_url(data))
        Registrar(store, lambda: datetime.now(UTC)).announce_key("key", LOG.verifier.text)
        Publisher(store, folder, LOG).publish()
        store.close()
        yield live
