"""Subscriptions: what it takes to hold their items against what is new, and what look-ups lose by it.

``python tests/bench/watching.py [SUBSCRIPTIONS] [ITEMS]`` fills an embedded registry with subscriptions, half
of whose items are addresses and half pictures, and prints a line a step: how much is new, how long the
items took, and how many were found. Then it asks look-ups while the steps go on in another process.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from api.answers import Answering
from api.keys import create_key
from registry.builder import Builder
from registry.fingerprint import Fingerprint
from registry.index_folder import IndexFolder
from registry.lookup import Lookup, Question, warm_up
from registry.migrations import migrate
from registry.preference import Mode, Preference, Use
from registry.registrar import Caller, Draft, Registrar, WorkDraft
from registry.store import Store
from registry.store.engine import database_url
from registry.subscribing import Budget, Subscribing, Wanted
from registry.urls import canonicalize_url
from registry.watched import Watched
from registry.watching import Watcher

_SCOPES = frozenset({"register", "lookup"})
_FORMS = ("full", "mirror", "trim", "trim_mirror")
_WORKER = """
import sys, time
from tests.bench.watching import watcher_of
watcher = watcher_of(sys.argv[1], sys.argv[2])
print("ready", flush=True)
while True:
    watcher.step()
    time.sleep(0.01)
"""


def main(count: int, items: int) -> None:
    """Measure, with so many subscriptions of so many items each."""
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        url, index = database_url(Path(folder)), str(Path(folder) / "index")
        store = Store.open(url)
        migrate(store)
        new = create_key(store, name="b", scopes=_SCOPES, evidence_level=3, environment="test", at=0)
        registrar = Registrar(store, lambda: datetime.now(UTC))
        caller = Caller(new.principal_id, _SCOPES, 3)
        lodge(registrar, caller, 20_000, 1)
        Builder(store, IndexFolder(Path(index))).build(1)
        print(f"{count} subscriptions of {items:,} items; load {os.getloadavg()[0]:.1f}")
        filled(store, new.principal_id, count, items)
        print(f"database: {Path(folder, 'registry.sqlite').stat().st_size / count / items:.0f} bytes an item")
        watcher = watcher_of(url, index)
        timed("never held: all are looked up", watcher, count * items)
        for rows in (1, 100, 10_000, 100_000):
            lodge(registrar, caller, rows, rows + 7)
            timed(f"{rows:,} new works", watcher, count * items)
        reserve(registrar, caller, count, items)
        timed("one address of each subscription", watcher, count * items)
        everything = Watcher(store, watcher.lookup, watcher.answers, time.time, most_touched=0)
        lodge(registrar, caller, 1, 99)
        timed("all looked up", everything, count * items)
        beside(url, index, registrar, caller)


def timed(what: str, watcher: Watcher, items: int) -> None:
    """Print how long one step takes."""
    begun, cpu = time.perf_counter(), time.process_time()
    found = watcher.step()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(f"| {what} | {seconds:.2f} s | {cpu:.2f} s | {items / seconds:,.0f} | {found:,} |", flush=True)


def watcher_of(url: str, index: str) -> Watcher:
    """Return what holds the items, with a read model of its own."""
    store = Store.open(url)
    lookup = Lookup(store, IndexFolder(Path(index)))
    return Watcher(store, lookup, lambda use, mode: Answering(use, mode, detail=False), time.time)


def filled(store: Store, principal_id: str, count: int, items: int) -> None:
    """Subscribe, in parts of 10,000 items."""
    made, chance = Subscribing(store, time.time, Budget(10**6, 10**9)), np.random.default_rng(5)
    begun = time.perf_counter()
    for number in range(count):
        for part in range(0, items, 10_000):
            some = [item(number, at, chance) for at in range(part, min(part + 10_000, items))]
            if part == 0:
                wanted = Wanted(Use.GENAI_TRAIN, Mode.EU_ART4, None, "", None, None, some)
                id_ = made.create(principal_id, wanted).id
            else:
                made.add_items(principal_id, id_, part // 10_000, some)
    print(f"filled at {count * items / (time.perf_counter() - begun):,.0f} items a second")


def item(number: int, at: int, chance: np.random.Generator) -> Watched:
    """Return an address or a picture."""
    if at % 2:
        return Watched(str(at), Question(url=canonicalize_url(address(number, at))))
    pdq = {form: half_set(chance) for form in _FORMS}
    sha256 = hashlib.sha256(f"{number}/{at}".encode()).digest()
    return Watched(str(at), Question(sha256=sha256, fingerprint=Fingerprint(1, 90, None, pdq)))


def address(number: int, at: int) -> str:
    """Return an address of one subscription."""
    return f"https://img{at % 97}.host-{number}.example/gallery/{at // 100}/{at}.jpg"


def half_set(chance: np.random.Generator) -> bytes:
    """Return 256 bits, half of them set."""
    bits = np.zeros(256, np.uint8)
    bits[chance.permutation(256)[:128]] = 1
    return np.packbits(bits).tobytes()


def lodge(registrar: Registrar, caller: Caller, count: int, seed: int) -> None:
    """Reserve so many works that nobody watches for."""
    chance, numpy_chance = random.Random(seed), np.random.default_rng(seed)
    said = {Use.GENAI_TRAIN: Preference.RESERVED}
    for at in range(0, count, 10_000):
        works = [
            WorkDraft(
                "",
                canonicalize_url(f"https://new.example/{seed}/{at + number}.jpg"),
                chance.randbytes(32),
                Fingerprint(1, 90, None, {"full": half_set(numpy_chance)}),
            )
            for number in range(min(10_000, count - at))
        ]
        registrar.register(caller, Draft(said, works))


def reserve(registrar: Registrar, caller: Caller, count: int, items: int) -> None:
    """Reserve an address of each subscription."""
    works = [WorkDraft("", canonicalize_url(address(number, items // 2 | 1))) for number in range(count)]
    for at in range(0, count, 10_000):
        registrar.register(caller, Draft({Use.GENAI_TRAIN: Preference.RESERVED}, works[at : at + 10_000]))


def beside(url: str, index: str, registrar: Registrar, caller: Caller) -> None:
    """Print how many look-ups are answered alone, and beside a process that holds the items all the time."""
    lookup, chance = Lookup(Store.open(url), IndexFolder(Path(index))), np.random.default_rng(9)
    asked = [item(10**6, at, chance).question for at in range(1_000)]
    print(f"look-ups alone: {asked_a_second(lookup, asked, registrar, caller):,.0f} items a second")
    command = [sys.executable, "-c", _WORKER, url, index]
    command = ["nice", "-n", "10", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        rate = asked_a_second(lookup, asked, registrar, caller)
        process.kill()
    print(f"beside it: {rate:,.0f} items a second")


def asked_a_second(lookup: Lookup, asked: list[Question], registrar: Registrar, caller: Caller) -> float:
    """Ask for ten seconds, and lodge a work each half of one."""
    lookup.ask(asked)  # Takes in what came since the index files.
    begun, count, lodged = time.perf_counter(), 0, 0
    while (passed := time.perf_counter() - begun) < 10:
        if passed > lodged / 2:
            lodge(registrar, caller, 1, 1000 + lodged + int(time.time()))
            lodged += 1
        lookup.ask(asked)
        count += len(asked)
    return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    main(*(int(one) for one in (sys.argv[1:] or ["100", "10000"])))
