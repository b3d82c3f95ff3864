"""Subscriptions, what looks after them step by step, and a receiver of webhooks, for the tests of these."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flask.testing import FlaskClient

from api.commands.watch import Watch
from api.settings import Settings
from registry.store import Store

PATH = "/api/v1/subscriptions"
RESERVED = {"train": "reserved", "genai-train": "reserved"}
HERE = {"webhook_loopback": True, "subscription_seconds": 0}
"""Settings under which each step holds the items against what is new, and webhooks come to this machine."""


@dataclass
class Registry:
    """A service with subscriptions, and two keys: an artist's and a maker's."""

    client: FlaskClient
    store: Store
    artist: dict[str, str]
    maker: dict[str, str]
    seconds: float = 1_795_000_000.0
    watch: Watch | None = None

    @classmethod
    def of(cls, client: FlaskClient, store: Store, make_key: Callable[..., Any]) -> "Registry":
        artist, maker = make_key(("register", "domain:*")).headers, make_key(("lookup",)).headers
        return cls(client, store, artist, maker)

    def reserve(self, *urls: str, **other: Any) -> str:
        body = {"preferences": RESERVED, "works": [{"url": url} for url in urls], **other}
        return self.lodge(body)

    def lodge(self, body: dict[str, Any]) -> str:
        answer = self.client.post("/api/v1/reservations", json=body, headers=self.artist)
        assert answer.status_code == 201, answer.text
        return answer.get_json()["id"]

    def change(self, id_: str, **changes: Any) -> None:
        answer = self.client.patch(f"/api/v1/reservations/{id_}", json=changes, headers=self.artist)
        assert answer.status_code == 200, answer.text

    def withdraw(self, id_: str) -> None:
        assert self.client.delete(f"/api/v1/reservations/{id_}", headers=self.artist).status_code == 200

    def erase(self, id_: str) -> None:
        path = f"/api/v1/reservations/{id_}/erase"
        answer = self.client.post(path, json={"keep": False}, headers=self.artist)
        assert answer.status_code == 200, answer.text

    def subscribe(self, *urls: str, **other: Any) -> dict[str, Any]:
        """Watch for addresses, each under its last part."""
        items = [{"id": url.rpartition("/")[2], "url": url} for url in urls]
        answer = self.client.post(PATH, json={"items": items, **other}, headers=self.maker)
        assert answer.status_code == 201, answer.text
        return answer.get_json()

    def show(self, id_: str) -> dict[str, Any]:
        answer = self.client.get(f"{PATH}/{id_}", headers=self.maker)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def told(self, id_: str) -> list[tuple[str, str]]:
        """What was told of which item, oldest first."""
        return [(one["result"]["id"], one["kind"]) for one in reversed(self.show(id_)["notices"])]

    def step(self) -> None:
        """Let be done what is done beside the service."""
        if self.watch is None:
            held = self.client.application.extensions["caveat"]
            settings = Settings(held.settings.database, **HERE)
            self.watch = Watch(self.store, settings, held.lookup, lambda: self.seconds)
        assert self.watch.step()

    def begin_anew(self) -> None:
        """Let another process take over, as after a restart."""
        assert self.watch is not None
        self.watch.close()
        self.watch = None


@dataclass
class Receiver:
    """Takes webhooks on loopback and answers as it is told to, in turn, the last answer for good."""

    url: str
    answers: list[int]
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    seconds: float = 0
    over: threading.Event = field(default_factory=threading.Event)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
        receiver.over.wait(receiver.seconds)
        status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
        self.send_response(status)
        if status in (301, 302, 307, 308):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    receiver: Receiver

    def handle_error(self, *_: Any) -> None:
        return


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook", list(answers) or [204])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.receiver
    finally:
        server.receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
