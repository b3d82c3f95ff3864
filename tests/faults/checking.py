"""The independent check after a fault: the rows by plain SQL, the log by plain SHA-256, every worker by HTTP.

Nothing of the product's own reading is used, so that one mistake cannot hide another.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg
import pysqlite3

from tests.faults.ledger import HELD, WITHDRAWN, Entry, Ledger, questions
from tests.faults.outcome import Outcome
from tests.faults.service import NO_ANSWER, Place, Service, until

__all__ = ["check_everything", "check_log", "check_rows", "check_workers", "rows_of"]

_AT_ONCE = 4_000
_STATES = {HELD: "verified", WITHDRAWN: "withdrawn"}


def rows_of(place: Place, sql: str) -> list[tuple[Any, ...]]:
    """Read rows by plain SQL, past the product."""
    if place.url.startswith("sqlite"):
        connection = pysqlite3.connect(place.url.removeprefix("sqlite:///"), timeout=30)
    else:
        connection = psycopg.connect(place.url)
    with closing(connection):
        return [tuple(row) for row in connection.execute(sql).fetchall()]


def check_everything(service: Service, ledger: Ledger, outcome: Outcome) -> None:
    """Check rows, log and workers of a running service, and add it all to ``outcome``."""
    check_rows(service.place, ledger, outcome)
    check_log(service.place, ledger.checkpoints, outcome)
    check_workers(service, ledger)
    ledger.add_to(outcome)


def check_rows(place: Place, ledger: Ledger, outcome: Outcome) -> None:
    """What was acknowledged is there once; what was not is whole or absent; the events have no gap."""
    if place.url.startswith("sqlite"):
        for pragma in ("integrity_check", "foreign_key_check"):
            if (found := rows_of(place, f"PRAGMA {pragma}")) not in ([], [("ok",)]):
                outcome.broken(f"PRAGMA {pragma}: {str(found)[:200]}")
    first = rows_of(
        place,
        "SELECT v.label, v.reservation_id, v.from_seq, (SELECT count(*) FROM work w WHERE w.reservation_id"
        " = v.reservation_id AND w.from_seq = v.from_seq) FROM reservation_version v JOIN event e"
        " ON e.seq = v.from_seq AND e.record = v.reservation_id WHERE e.op = 'register'",
    )
    stored = {label: (id_, seq) for label, id_, seq, _ in first}
    for entry in ledger.entries.values():
        outcome.lost += stored.get(entry.label) != (entry.id, entry.seq)
    outcome.doubled += sum(count - 1 for count in Counter(row[0] for row in first).values())
    for label, _, seq, works in first:
        if works != int(label.rpartition("-")[2]):
            outcome.broken(f"{label} at event {seq} is there with {works} works")
    _check_states(place, ledger, outcome)
    _check_events(place, outcome)


def _check_states(place: Place, ledger: Ledger, outcome: Outcome) -> None:
    now = dict(rows_of(place, "SELECT reservation_id, state FROM reservation_version WHERE to_seq IS NULL"))
    for entry in ledger.entries.values():
        if entry.state in _STATES and now.get(entry.id) != _STATES[entry.state]:
            outcome.broken(f"{entry.label} is {now.get(entry.id)}, and {entry.state} was acknowledged")


def _check_events(place: Place, outcome: Outcome) -> None:
    ((head,),) = rows_of(place, "SELECT n FROM head")
    ((count, least, most),) = rows_of(place, "SELECT count(*), min(seq), max(seq) FROM event")
    if (count, least or 1, most or 0) != (head, 1, head):
        outcome.broken(f"head {head}, but {count} events from {least} to {most}")
    for table, column in (("work", "from_seq"), ("reservation_version", "from_seq")):
        sql = f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT seq FROM event)"  # noqa: S608
        if (found := rows_of(place, sql)) != [(0,)]:
            outcome.broken(f"{found[0][0]} rows of {table} belong to no event")


def check_log(place: Place, notes: Iterable[str], outcome: Outcome) -> None:
    """Every checkpoint that anybody saw is the root of the first leaves, so no two contradict each other."""
    said: dict[int, set[bytes]] = {}
    for note in notes:
        lines = note.splitlines()
        said.setdefault(int(lines[1]), set()).add(base64.b64decode(lines[2], validate=True))
    leaves = [bytes(row[0]) for row in rows_of(place, "SELECT leaf FROM event ORDER BY seq")]
    roots = dict(_roots(leaves, sorted(said)))
    for size, found in said.items():
        if found != {roots.get(size)}:
            outcome.broken(f"a checkpoint of {size} events is not that of the first ones of {len(leaves)}")


def _roots(leaves: Sequence[bytes], sizes: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the RFC 6962 root of the first ``size`` leaves, for each size in ascending order."""
    stack: list[tuple[int, bytes]] = []
    wanted = set(sizes)
    if 0 in wanted:
        yield 0, hashlib.sha256().digest()
    for number, leaf in enumerate(leaves, 1):
        stack.append((1, hashlib.sha256(b"\0" + leaf).digest()))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (width, right), (_, left) = stack.pop(), stack.pop()
            stack.append((2 * width, hashlib.sha256(b"\1" + left + right).digest()))
        if number in wanted:
            root = stack[-1][1]
            for _, left in reversed(stack[:-1]):
                root = hashlib.sha256(b"\1" + left + root).digest()
            yield number, root


def check_workers(service: Service, ledger: Ledger) -> None:
    """Ask every worker, alone, for every work of every entry."""
    pids = until(lambda: _all_workers(service), 30, "not every worker came back")
    entries = list(ledger.entries.values())
    for pid in pids:
        with service.only(pid):
            for some in _portions(entries):
                _ask(service, ledger, some)
            for entry in entries:
                if entry.works > 1:
                    _ask_whole(service, ledger, entry)


def _all_workers(service: Service) -> list[int]:
    found = service.pids("worker")
    return found if len(found) == service.workers else []


def _ask(service: Service, ledger: Ledger, entries: list[Entry]) -> None:
    answer = _answered(service, questions(entries))
    if answer is None:
        ledger.broken("a worker did not answer after the last fault")
    else:
        ledger.judge(answer, entries, ledger.top)


def _ask_whole(service: Service, ledger: Ledger, entry: Entry) -> None:
    items = [{"id": str(number), **entry.key(number, "sha256")} for number in range(entry.works)]
    answer = _answered(service, items)
    if answer is None:
        ledger.broken("a worker did not answer after the last fault")
    else:
        ledger.judge(answer, [entry] * entry.works, ledger.top)


def _answered(service: Service, items: list[dict[str, Any]]) -> Any:
    for _ in range(3):
        try:
            reply = service.ask("POST", "/api/v1/lookup", {"items": items})
        except NO_ANSWER:
            continue
        if reply.status == 200:
            return reply.json()
    return None


def _portions(entries: list[Entry]) -> Iterator[list[Entry]]:
    for at in range(0, len(entries), _AT_ONCE):
        yield entries[at : at + _AT_ONCE]
