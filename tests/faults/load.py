"""Writers and readers that go on through every fault, as good clients do.

A writer repeats a request under its Idempotency-Key until it is acknowledged, and then asks at once whether
it is seen. A reader asks for what is known to be acknowledged, and for works that nobody has lodged.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.ledger import HELD, LEAVING, Entry, Ledger, draft_of, questions
from tests.faults.service import NO_ANSWER, Reply, Service

__all__ = ["Load", "look_up", "register"]

_SOME = 12


def register(service: Service, ledger: Ledger, entry: Entry) -> Reply:
    """Send one registration once; keeps the acknowledgement. Raises ``NO_ANSWER``."""
    entry.body = entry.body or draft_of(entry)
    reply = service.ask("POST", "/api/v1/reservations", entry.body, **{"Idempotency-Key": entry.label})
    if reply.status == 201:
        ledger.acknowledge(entry, reply.json())
        entry.body = {}
    return reply


def look_up(service: Service, ledger: Ledger, entries: list[Entry]) -> bool:
    """Ask for entries, and for a work that is in nobody's; says whether there was an answer."""
    floor, before = ledger.top, [entry.state for entry in entries]
    stranger = Entry.new()
    try:
        reply = service.ask("POST", "/api/v1/lookup", {"items": questions([*entries, stranger])})
    except NO_ANSWER:
        ledger.count("silent")
        return False
    if reply.status != 200:
        ledger.refuse(reply, "a look-up")
        return False
    # Whatever was being withdrawn meanwhile may have been answered either way.
    settled = [one for one, was in zip(entries, before, strict=True) if one.state == was != LEAVING]
    answer = reply.json()
    places = {id(entry): str(place) for place, entry in enumerate([*entries, stranger])}
    by_id = {one["id"]: one for one in answer["results"]}
    kept = [by_id[places[id(one)]] | {"id": str(n)} for n, one in enumerate([*settled, stranger])]
    ledger.judge({**answer, "results": kept}, [*settled, stranger], floor)
    return True


@dataclass
class Load:
    """Threads that write and read until they are told to stop."""

    service: Service
    ledger: Ledger
    writers: int = 3
    readers: int = 2
    big: int = 0
    """Works of every tenth registration, so that there is something to build an index of."""
    patience: float = 60
    """Seconds that a request is repeated once the load is over."""
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Go on while the block lasts; afterwards every request that was begun is acknowledged."""
        tasks = [self._write] * self.writers + [self._read] * self.readers
        threads = [threading.Thread(target=self._guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:  # noqa: BLE001 - a client that falls must not be taken for a good run
            self.ledger.broken(f"a client fell: {error!r}")

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            entry = Entry.new(self.big if self.big and number % 10 == 0 else 1)
            self._until_answered(lambda entry=entry: register(self.service, self.ledger, entry))
            if entry.seq:
                look_up(self.service, self.ledger, [entry])
            if number % 8 == 0:
                self._withdraw()

    def _withdraw(self) -> None:
        entry = next((one for one in self.ledger.some(4) if one.state == HELD and one.works == 1), None)
        if entry is None or not self.ledger.claim(entry):
            return
        path, key = f"/api/v1/reservations/{entry.id}", {"Idempotency-Key": f"{entry.label}-gone"}
        reply = self._until_answered(lambda: self.service.ask("DELETE", path, **key))
        if reply is not None and reply.status == 200:
            self.ledger.withdrawn(entry, reply.json())
            look_up(self.service, self.ledger, [entry])

    def _until_answered(self, send: Callable[[], Reply]) -> Reply | None:
        """Repeat a request until it is done; None when that took longer than anybody waits."""
        begun: float | None = None
        while begun is None or time.monotonic() - begun < self.patience:
            if begun is None and self._stop.is_set():
                begun = time.monotonic()
            try:
                reply = send()
                if reply.status in (200, 201):
                    return reply
                self.ledger.refuse(reply, "a write")
            except NO_ANSWER:
                self.ledger.count("silent")
            time.sleep(0.05 + random.random() / 10)
        if self.patience:
            self.ledger.broken(f"a request was not done within {self.patience} s of the last fault")
        return None

    def _read(self) -> None:
        last: Any = 0
        while not self._stop.is_set():
            if look_up(self.service, self.ledger, self.ledger.some(_SOME)):
                last = self._checkpoint(last)
                time.sleep(0.01)
            else:
                time.sleep(0.1)

    def _checkpoint(self, last: int) -> int:
        """Read the log's state: it never shrinks."""
        try:
            reply = self.service.ask("GET", "/checkpoint")
        except NO_ANSWER:
            return last
        if reply.status != 200:
            return last
        note = reply.data.decode()
        self.ledger.checkpoints.add(note)
        size = int(note.splitlines()[1])
        if size < last:
            self.ledger.broken(f"the log shrank from {last} to {size}")
        return size
