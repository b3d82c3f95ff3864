"""Promises 7, 8, 9: a registry that answers short, out of order, twice or in part, and our client.

A real registry stands behind the one that lies: it spoils the answers of the first on their way. What comes
out of `caveat check` and `caveat filter` must be right, or nothing.
"""

import csv
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from api import create_app
from api.settings import settings_from
from registry.cli import main as caveat
from registry.cli.common import FOUND, INCOMPLETE, USAGE
from tests.faults.ledger import Entry, Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import lodge
from tests.faults.service import Place

__all__ = ["filtered", "lying_registry", "serving"]

_Answer = dict[str, Any]


def lying_registry(folder: Path) -> Outcome:
    """Check and filter against every kind of lie."""
    outcome, ledger = Outcome(), Ledger()
    place = Place.make(folder / "registry")
    lodge(place, ledger, 12)
    reserved = {entry.key(0, "url")["url"] for entry in ledger.entries.values()}
    free = {Entry.new().key(0, "url")["url"] for _ in range(12)}
    table = folder / "table.csv"
    table.write_text("url,caption\n" + "".join(f"{url},x\n" for url in sorted(reserved | free)))
    with serving(place) as registry:
        for name in ("the truth", *_LIES, *_MARK_LIES):
            registry.lie = name
            kept = filtered(table, folder / f"{name}.csv", registry.url)
            code = _caveat("check", min(reserved), min(free), "--registry", registry.url)
            outcome.injected += registry.told
            registry.told = 0
            outcome.lost += len(kept & reserved)
            if name in ("the truth", "reordered"):
                if kept != free or code != FOUND:
                    outcome.broken(f"{name}: {len(kept)} of {len(free)} kept, check ended with {code}")
            elif kept or (name in _LIES and code not in (INCOMPLETE, USAGE)):
                outcome.broken(f"{name}: {len(kept)} rows kept, check ended with {code}")
    outcome.acknowledged = len(reserved)
    return outcome


# The lies: each spoils the answer to one look-up.


def _preference(answer: _Answer, value: str | None) -> None:
    for one in answer["results"]:
        one["preference"] = value


def _body(spoil: Callable[[_Answer], object]) -> Callable[[bytes], bytes]:
    def spoilt(data: bytes) -> bytes:
        answer = json.loads(data)
        spoil(answer)
        return json.dumps(answer).encode()

    return spoilt


_LIES: dict[str, Callable[[bytes], bytes]] = {
    "short": _body(lambda a: a["results"].pop()),
    "empty": _body(lambda a: a["results"].clear()),
    "reordered": _body(lambda a: a["results"].reverse()),
    "doubled": _body(lambda a: a["results"].append(a["results"][0])),
    "doubled in place of another": _body(lambda a: a["results"].__setitem__(-1, a["results"][0])),
    "of other ids": _body(lambda a: a["results"][0].update(id="999")),
    "allowed against its statements": _body(lambda a: _preference(a, "allowed")),
    "without preference": _body(lambda a: _preference(a, None)),
    "without seq": _body(lambda a: a.pop("as_of_seq")),
    "cut": lambda data: data[: len(data) // 2],
    "cut on its way": lambda data: data,
    "not JSON": lambda data: b"<html>busy</html>",
    "keys twice": lambda data: data.replace(b'"results"', b'"results":[],"results"', 1),
}


_Marks = tuple[bytes, dict[str, str]]
_SEQ = "Caveat-As-Of-Seq"

_MARK_LIES: dict[str, Callable[[bytes, str], _Marks]] = {
    "marks: none": lambda data, seq: (b"", {_SEQ: seq}),
    "marks: one byte too few": lambda data, seq: (data[:-1], {_SEQ: seq}),
    "marks: one byte too many": lambda data, seq: (data + b"\0", {_SEQ: seq}),
    "marks: without seq": lambda data, seq: (data, {}),
    "marks: of no event": lambda data, seq: (data, {_SEQ: "-1"}),
    "marks: bits behind the last": lambda data, seq: (data[:-1] + bytes([data[-1] | 1]), {_SEQ: seq}),
    "marks: a page in their place": lambda data, seq: (b"<html>busy</html>", {"Content-Type": "text/html"}),
    "marks: cut on their way": lambda data, seq: (data[:-1], {_SEQ: seq, "Content-Length": str(len(data))}),
}


@dataclass
class _Registry:
    """The one that lies: which lie, how often it was told, and how many answers it still gives."""

    url: str = ""
    lie: str = "the truth"
    told: int = 0
    answers: int = 10**9
    marks: int | None = 1000
    """Keys that it takes at once; None for one that has no marks."""


@contextmanager
def serving(place: Place) -> Iterator[_Registry]:
    """Stand before a real registry while the block lasts."""
    registry = _Registry()
    app = create_app(settings_from({k: v for k, v in place.environment.items() if k[:7] == "CAVEAT_"}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            told = {"fingerprint_versions": [1], "max_items": 1000, "max_marks": registry.marks}
            self._answer(json.dumps({name: value for name, value in told.items() if value}).encode(), {})

        def do_POST(self) -> None:
            registry.answers -= 1
            if registry.answers < 0:
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"]
            reply = app.test_client().post(self.path, data=body, headers=place.headers, content_type=kind)
            data = reply.get_data()
            if self.path.startswith("/api/v1/marks"):
                lie = _MARK_LIES.get(registry.lie, lambda data, seq: (data, {_SEQ: seq}))
                registry.told += registry.lie in _MARK_LIES
                self._answer(*lie(data, reply.headers.get(_SEQ, "")), reply.content_type, reply.status_code)
                return
            registry.told += registry.lie in _LIES
            self._answer(_LIES.get(registry.lie, bytes)(data), {}, reply.content_type, reply.status_code)

        def _answer(
            self, data: bytes, more: dict[str, str], kind: str = "application/json", status: int = 200
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if registry.lie == "cut on its way" else data)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        registry.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield registry
        finally:
            server.shutdown()
            app.extensions["caveat"].store.close()


def filtered(table: Path, output: Path, registry: str) -> set[str]:
    """Filter the table; returns the addresses that were kept."""
    _caveat("filter", str(table), str(output), "--registry", registry)
    if not output.exists():
        return set()
    with output.open(newline="") as lines:
        return {row["url"] for row in csv.DictReader(lines)}


def _caveat(*words: str) -> int:
    """Run the command line here, as its own entry point does; returns the exit code."""
    before, sys.argv = sys.argv, ["caveat", *words]
    try:
        with open(os.devnull, "w") as quiet, redirect_stdout(quiet), redirect_stderr(quiet):
            caveat()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0
