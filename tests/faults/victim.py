"""What is done once in a process of its own, while a system call of it fails or kills it.

The process is forked from one that has everything imported, waits until the tracer holds it, and tells what
became of its work before it closes anything: an acknowledgement counts from then on.
"""

import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from typing import Any

from api import create_app
from api.commands.db import db
from api.commands.log import log
from api.settings import settings_from
from registry.cli import main as caveat
from registry.cli.common import CLEAN, INCOMPLETE
from registry.errors import CaveatError
from tests.faults.service import Place

__all__ = ["TASKS", "Told", "done_at_once", "done_in_turn", "request", "run"]

Told = tuple[int, bytes]
"""A status and a body of HTTP; commands answer 200, or 503 with the name of their error."""
_Do = Callable[[bytes], Told]
_Close = list[Callable[[], None]]


def run(task: str, place: Place, body: bytes, pipe: "Connection[object, object]") -> None:
    """Do a task when told to, and tell what came of it."""
    logging.disable()
    os.environ.update(place.environment)
    close: _Close = []
    do = TASKS[task](place, close)
    pipe.send("ready")
    pipe.recv()
    pipe.send(do(body))
    for one in close:
        one()


def done_at_once(task: str, place: Place, body: bytes = b"") -> Told:
    """Do a task here, with no fault."""
    return done_in_turn(task, place, [body])[0]


def done_in_turn(task: str, place: Place, bodies: Iterable[bytes]) -> list[Told]:
    """Do a task here again and again."""
    before = dict(os.environ)
    close: _Close = []
    os.environ.update(place.environment)
    try:
        do = TASKS[task](place, close)
        return [do(body) for body in bodies]
    finally:
        os.environ.clear()
        os.environ.update(before)
        for one in close:
            one()


_Request = tuple[str, str, str, bytes]
"""Method, path, media type and body."""


def request(method: str, path: str, data: str, kind: str = "application/json") -> bytes:
    """Return the body of the task "send"."""
    return json.dumps([method, path, kind, data]).encode()


def _sent(body: bytes) -> _Request:
    method, path, kind, data = json.loads(body)
    return method, path, kind, data.encode()


def _sending(read: Callable[[bytes], _Request]) -> Callable[[Place, _Close], _Do]:
    def prepare(place: Place, close: _Close) -> _Do:
        app = create_app(settings_from({k: v for k, v in place.environment.items() if k[:7] == "CAVEAT_"}))
        close.append(app.extensions["caveat"].store.close)

        def send(body: bytes) -> Told:
            method, path, kind, data = read(body)
            # The body names the work, so a repeated request has the same key.
            headers = {
                **place.headers,
                "Content-Type": kind,
                "Idempotency-Key": hashlib.sha256(body).hexdigest(),
            }
            reply = app.test_client().open(path, method=method, data=data, headers=headers)
            return reply.status_code, reply.get_data()

        return send

    return prepare


def _post(path: str) -> Callable[[Place, _Close], _Do]:
    return _sending(lambda body: ("POST", path, "application/json", body))


def _filter(body: bytes) -> Told:
    """Run ``caveat filter`` with the words in ``body``; tells the exit code."""
    before, sys.argv = sys.argv, ["caveat", "filter", *json.loads(body)]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            caveat()
        code: Any = 0
    except SystemExit as end:
        code = end.code or 0
    except Exception as error:  # noqa: BLE001 - what came through is told
        return 500, repr(error).encode()
    finally:
        sys.argv = before
    return (200 if code in (CLEAN, INCOMPLETE) else 503), f"exit code {code}: {said.getvalue()}".encode()


def _command(group: Callable[..., object], *words: str) -> Callable[[Place, _Close], _Do]:
    def command(_body: bytes) -> Told:
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                group(list(words), standalone_mode=False)
        except CaveatError as error:
            return 503, f"{type(error).__name__}: {error.message}".encode()
        except SystemExit as end:
            return 503, f"exit code {end.code}: {said.getvalue()}".encode()
        return 200, b""

    return lambda _place, _close: command


TASKS: dict[str, Callable[[Place, _Close], _Do]] = {
    "register": _post("/api/v1/reservations"),
    "look up": _post("/api/v1/lookup"),
    "publish": _command(log.main, "publish"),
    "fsck": _command(log.main, "fsck"),
    "build": _command(db.main, "build-index"),
    "follow": _command(db.main, "follow", "--once"),
    "send": _sending(_sent),
    "filter": lambda _place, _close: _filter,
}
"""What can be done to a place: each gives a function that does it, and may list what is to be closed."""
