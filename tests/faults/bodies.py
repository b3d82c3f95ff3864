"""Promise 13 for single writes: a body that is cut or broken on its way leaves no rows."""

import json
import random
import socket
from contextlib import suppress

from tests.faults.checking import check_everything, rows_of
from tests.faults.ledger import Entry, Ledger, draft_of
from tests.faults.load import register
from tests.faults.outcome import Outcome
from tests.faults.service import Place, Service

__all__ = ["broken_bodies"]


def broken_bodies(place: Place, times: int) -> Outcome:
    """Send registrations over a raw socket, each broken in another way; then a whole one."""
    outcome, ledger, service = Outcome(), Ledger(), Service(place)
    with service.running():
        register(service, ledger, Entry.new())
        for number in range(times):
            body = json.dumps(draft_of(Entry.new(random.choice([1, 1, 200])))).encode()
            status = _send(service, _request(place, body, number % len(_WAYS)))
            outcome.injected += 1
            if status not in ("", "400", "413", "415", "422", "501"):
                outcome.broken(f"{_WAYS[number % len(_WAYS)]}: answered {status}")
        ((head,),) = rows_of(place, "SELECT n FROM head")
        ((count,),) = rows_of(place, "SELECT count(*) FROM work")
        if (head, count) != (1, 1):
            outcome.broken(f"broken bodies left {head - 1} events and {count - 1} works")
        register(service, ledger, Entry.new())
        check_everything(service, ledger, outcome)
    return outcome


_WAYS = (
    "cut, then closed",
    "cut, then reset",
    "cut, and its length says so",
    "a chunk that is cut",
    "a chunk of no length",
    "a last byte that is missing",
    "bytes that are no UTF-8",
    "a second body behind the first, in one length",
)


def _request(place: Place, body: bytes, way: int) -> tuple[bytes, bool]:
    """Return the bytes of a request, and whether the connection is reset after them."""
    cut = body[: random.randrange(1, len(body) - 1)]
    length = f"Content-Length: {len(body)}"
    chunked = "Transfer-Encoding: chunked"
    sent = (
        (length, cut),
        (length, cut),
        (f"Content-Length: {len(cut)}", cut),
        (chunked, f"{len(body):x}\r\n".encode() + cut),
        (chunked, b"zz\r\n" + body + b"\r\n0\r\n\r\n"),
        (length, body[:-1]),
        (length, body[:20] + b"\xff" + body[21:]),
        (f"Content-Length: {2 * len(body)}", body + body),
    )[way]
    names = [f"{name}: {value}" for name, value in place.headers.items()]
    lines = ["POST /api/v1/reservations HTTP/1.1", "Host: localhost", *names, sent[0], "", ""]
    return "\r\n".join(lines).encode() + sent[1], way == 1


def _send(service: Service, request: tuple[bytes, bool]) -> str:
    """Send bytes and hang up; returns the status, if there was time for one."""
    data, reset = request
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.sendall(data)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return ""
        connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            return connection.recv(100)[9:12].decode()
    return ""
