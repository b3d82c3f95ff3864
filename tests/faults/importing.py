"""Promise 13: imports that die inside a part, between parts and at their end, and parts cut at a random byte.

Whoever imports sends everything again, and has then what a run without a fault has: every part once, every
work in its order, all of them visible with one event, and none of them before.
"""

import json
import random
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

from registry.listing import NDJSON
from tests.faults.batches import BEGIN, Batch
from tests.faults.checking import rows_of
from tests.faults.kills import kill_one
from tests.faults.loaded import check_derived
from tests.faults.outcome import Outcome
from tests.faults.places import check_log_folder
from tests.faults.service import NO_ANSWER, Place, Reply, Service
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import Told, done_at_once, done_in_turn, request

__all__ = ["kill_imports", "lodge_batch", "strike_import"]

_PATIENCE = 90


def strike_import(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the second part of an import at each of its calls, then what makes the import visible."""
    outcome = Outcome()
    for name, put_before in (("part", 1), ("complete", 2)):
        base, batch = Place.make(folder / name / "base"), Batch.new(2, 40)
        batch.id = json.loads(done_at_once("send", base, _begin())[1])["id"]
        for number in range(1, put_before + 1):
            _stored(base, batch, number)
        done_at_once("publish", base)

        def check(place: Place, struck: Struck, _: bytes, batch: Batch = batch, name: str = name) -> None:
            told = struck.is_acknowledged
            _check_struck(place, batch, outcome, name, told)
            _send_all(place, batch, outcome)
            check_log_folder(place, outcome, f"{name}, after the fault")

        asked = request(*(batch.put(2) if name == "part" else batch.complete()))
        strike_all(Strikes(base, "send", faults, most), repeat(asked), check, outcome)
        outcome.acknowledged += len(batch.works)
    return outcome


def lodge_batch(place: Place, batch: Batch) -> Told:
    """Import a batch in this process; returns what its end was answered."""
    batch.id = json.loads(done_at_once("send", place, _begin())[1])["id"]
    for number in range(1, len(batch.parts) + 1):
        _stored(place, batch, number)
    return done_at_once("send", place, request(*batch.complete()))


def _begin() -> bytes:
    return request("POST", "/api/v1/imports", json.dumps(BEGIN))


def _stored(place: Place, batch: Batch, number: int) -> dict[str, Any]:
    status, data = done_at_once("send", place, request(*batch.put(number)))
    if status != 200:
        raise AssertionError(f"part {number} was answered {status} {data!r}")
    stored: dict[str, Any] = json.loads(data)
    batch.stored[number] = stored
    return stored


def _check_struck(place: Place, batch: Batch, outcome: Outcome, name: str, told: bool) -> None:
    """What was struck is there as a whole, or not at all; and it is there if that was told."""
    parts = rows_of(place, "SELECT number, works FROM import_part WHERE length(blob) > 0 ORDER BY number")
    whole = [(number, 40) for number in (1, 2)]
    ((state,),) = rows_of(place, "SELECT state FROM import_batch")
    if name == "part" and (parts not in (whole[:1], whole) or (told and parts != whole)):
        outcome.broken(f"a part that was struck left {parts}, and {told=}")
    if name == "complete" and (parts != whole or (told and state != "complete")):
        outcome.broken(f"an import whose end was struck is {state} with {parts}, and {told=}")
    found = _preferences(place, batch)
    if found != {"reserved" if state == "complete" else "unknown"}:
        outcome.broken(f"works of an import that is {state} are {found}")


def _send_all(place: Place, batch: Batch, outcome: Outcome) -> None:
    """Send everything again: it must then be as after a run without a fault."""
    for number in (1, 2):
        before = batch.stored.get(number)
        if number == 2:
            batch.stored.pop(2, None)
        again = _stored(place, batch, number)
        if number == 1 and again != before:
            outcome.broken(f"part 1 was answered {again}, and {before} before")
    seqs = set()
    for status, data in done_in_turn("send", place, [request(*batch.complete())] * 2):
        if status != 200:
            outcome.broken(f"the end of an import was answered {status} {data[:200]!r}")
            return
        seqs.add(json.loads(data)["seq"])
    if len(seqs) != 1:
        outcome.doubled += 1
    outcome.lost += _preferences(place, batch) != {"reserved"}
    listed = json.loads(done_at_once("send", place, _listing(batch))[1])["works"]
    _compare(batch, listed, outcome)
    if done_at_once("publish", place)[0] != 200:
        outcome.broken("the log could not be published after an import")


def _preferences(place: Place, batch: Batch) -> set[Any]:
    status, data = done_at_once("look up", place, json.dumps(_question(batch)).encode())
    return {one["preference"] for one in json.loads(data)["results"]} if status == 200 else {status}


def _question(batch: Batch) -> dict[str, Any]:
    return {"items": [{"id": str(number), "url": url} for number, (_, url, _) in enumerate(batch.works)]}


def _listing(batch: Batch) -> bytes:
    return request("GET", f"/api/v1/reservations/{batch.id}/works", "")


def _compare(batch: Batch, listed: list[dict[str, Any]], outcome: Outcome) -> None:
    order = sorted(batch.stored, key=lambda number: int(batch.stored[number]["seq"]))
    wanted = [work for number in order for work in batch.parts[number - 1]]
    if [(one["title"], one["url"], one["sha256"]) for one in listed] != wanted:
        outcome.broken(f"{len(listed)} works are listed, and other ones than the {len(batch.works)} sent")


# Under kills.


def kill_imports(place: Place, count: int, parts: int = 4, works: int = 200) -> Outcome:
    """Import ``count`` times while processes are killed and bodies are cut; then send it all once more."""
    outcome, service, done = Outcome(), Service(place), threading.Event()
    batches = [Batch.new(parts, works) for _ in range(count)]

    def client() -> None:
        try:
            for batch in batches:
                _import(service, batch, outcome)
        except Exception as error:  # noqa: BLE001 - a client that falls must not be taken for a good run
            outcome.broken(f"a client fell: {error!r}")
        finally:
            done.set()

    with service.running():
        thread = threading.Thread(target=client)
        thread.start()
        while not done.wait(random.expovariate(1 / 0.25)):
            outcome.injected += bool(kill_one(service))
        thread.join()
        service.wait_until_ready()
        for batch in batches:
            _send_again(service, batch, outcome)
        _check_rows(place, batches, outcome)
    check_derived(service, outcome)
    outcome.acknowledged = sum(len(batch.works) for batch in batches if batch.seq)
    return outcome


def _import(service: Service, batch: Batch, outcome: Outcome) -> None:
    batch.id = _until(service, outcome, 201, "POST", "/api/v1/imports", json.dumps(BEGIN)).json()["id"]
    for number in random.sample(range(1, len(batch.parts) + 1), len(batch.parts)):
        if random.random() < 0.5:
            _cut(service, *batch.put(number)[1:3])
            outcome.injected += 1
        batch.stored[number] = _until(service, outcome, 200, *batch.put(number)).json()
        _check_seen(service, batch, "unknown", outcome)
    batch.seq = _until(service, outcome, 200, *batch.complete()).json()["seq"]
    _check_seen(service, batch, "reserved", outcome)


def _until(
    service: Service, outcome: Outcome, wanted: int, method: str, path: str, body: str, kind: str = ""
) -> Reply:
    """Repeat a request until it is done."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with suppress(*NO_ANSWER):
            kinds = {"Content-Type": kind} if kind else {}
            reply = service.ask(method, path, body.encode(), **kinds)
            if reply.status == wanted:
                return reply
            if reply.status not in (202, 503):
                outcome.broken(f"{method} {path} was answered {reply.status} {reply.data[:200]!r}")
        time.sleep(0.05)
    raise TimeoutError(f"{method} {path} was not done within {_PATIENCE} s")


def _cut(service: Service, path: str, body: str) -> None:
    """Send a part that ends at a random byte, though its length says otherwise."""
    names = "".join(f"{name}: {value}\r\n" for name, value in service.place.headers.items())
    names = names.replace("application/json", NDJSON)
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n{names}Content-Length: {len(body)}\r\n\r\n"
    with suppress(OSError), socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.sendall(head.encode() + body.encode()[: random.randrange(len(body))])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)


def _check_seen(service: Service, batch: Batch, wanted: str, outcome: Outcome) -> None:
    try:
        reply = service.ask("POST", "/api/v1/lookup", _question(batch))
    except NO_ANSWER:
        return
    if reply.status != 200:
        return
    wrong = sum(one["preference"] != wanted for one in reply.json()["results"])
    if wanted == "reserved":
        outcome.lost += wrong
        outcome.stale += reply.json()["as_of_seq"] < batch.seq
    elif wrong:
        outcome.broken(f"{wrong} works of an import are seen before it is complete")


def _send_again(service: Service, batch: Batch, outcome: Outcome) -> None:
    for number in range(1, len(batch.parts) + 1):
        again = _until(service, outcome, 200, *batch.put(number)).json()
        outcome.doubled += again != batch.stored[number]
    outcome.doubled += _until(service, outcome, 200, *batch.complete()).json()["seq"] != batch.seq
    _check_seen(service, batch, "reserved", outcome)
    listed = service.ask("GET", f"/api/v1/reservations/{batch.id}/works").json()["works"]
    _compare(batch, listed, outcome)


def _check_rows(place: Place, batches: list[Batch], outcome: Outcome) -> None:
    """Every part is there once, and nothing of those that were cut."""
    sql = "SELECT batch_id, number, works FROM import_part ORDER BY batch_id, number"
    wanted = [
        (batch.id, number, len(part)) for batch in batches for number, part in enumerate(batch.parts, 1)
    ]
    found = rows_of(place, sql)
    if found != sorted(wanted):
        outcome.broken(f"{len(found)} parts are stored, and {len(wanted)} were sent, or others than those")
    ((events,),) = rows_of(place, "SELECT count(*) FROM event")
    if events != len(wanted) + len(batches):
        outcome.broken(f"{events} events for {len(wanted)} parts and {len(batches)} imports")
