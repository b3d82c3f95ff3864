"""Being woken by a write: on PostgreSQL at once, on SQLite never, and a lost connection only slows it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from registry.errors import ConflictError, StorageError
from registry.log_folder import LogFolder
from registry.note import parse_checkpoint
from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store
from registry.store.waking import Waking

POSTGRES = bool(os.environ.get("CAVEAT_TEST_POSTGRES"))
on_postgres = pytest.mark.skipif(not POSTGRES, reason="SQLite tells nobody of a write")
DRAFT = Draft({Use.TRAIN: Preference.RESERVED}, [WorkDraft("", "https://a.example/1.jpg", None, None)])
LONG = 20.0
"""Seconds that nobody waits who is woken."""
SOON = 3.0


@pytest.fixture
def waking(store: Store) -> Iterator[Waking]:
    one = Waking(store)
    yield one
    one.close()


def waited(waking: Waking, seconds: float) -> tuple[bool, float]:
    begun = time.monotonic()
    return waking.wait(seconds), time.monotonic() - begun


def later(act: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(0.5, act)
    timer.start()
    return timer


@pytest.mark.skipif(POSTGRES, reason="for SQLite")
def test_on_sqlite_it_waits_its_time(waking: Waking, registrar: Registrar, caller: Any) -> None:
    registrar.register(caller, DRAFT)
    woken, took = waited(waking, 0.3)
    assert (woken, took >= 0.3) == (False, True)


@on_postgres
def test_the_first_time_it_returns_at_once_since_nobody_listened_before(waking: Waking) -> None:
    assert waked(waking)
    woken, took = waited(waking, 0.5)
    assert (woken, took >= 0.45) == (False, True)


def waked(waking: Waking) -> bool:
    woken, took = waited(waking, LONG)
    assert took < SOON
    return woken


@on_postgres
@pytest.mark.parametrize("when", ["while waiting", "before"])
def test_a_write_wakes(waking: Waking, registrar: Registrar, caller: Any, when: str) -> None:
    waked(waking)
    if when == "before":
        registrar.register(caller, DRAFT)
        assert waked(waking)
        return
    timer = later(lambda: registrar.register(caller, DRAFT))
    begun = time.monotonic()
    assert waked(waking)
    assert time.monotonic() - begun > 0.4
    timer.join()


@on_postgres
def test_every_kind_of_write_wakes(waking: Waking, registrar: Registrar, caller: Any) -> None:
    waked(waking)
    id_ = registrar.register(caller, DRAFT).id
    assert waked(waking)
    for act in (
        lambda: registrar.withdraw(caller, id_),
        lambda: registrar.erase(caller, id_),
        lambda: registrar.announce_key("key", "log.example+0"),
        lambda: registrar.register_together(caller, [DRAFT, DRAFT]),
    ):
        act()
        assert waked(waking)
    assert waited(waking, 0.3)[0] is False


@on_postgres
def test_what_was_not_committed_wakes_nobody(waking: Waking, store: Store) -> None:
    waked(waking)
    with pytest.raises(ConflictError), store.write():
        raise ConflictError("no")
    assert waited(waking, 0.5)[0] is False


@on_postgres
def test_a_lost_connection_is_waited_out_and_opened_anew(
    waking: Waking, store: Store, registrar: Registrar, caller: Any, database_url: str
) -> None:
    waked(waking)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query = 'LISTEN caveat'"
        )
    woken, took = waited(waking, 0.4)
    assert (woken, took >= 0.4) == (False, True)
    assert waked(waking)
    registrar.register(caller, DRAFT)
    assert waked(waking)


@on_postgres
def test_a_database_that_is_away_only_means_the_old_pace(store: Store) -> None:
    nowhere = Store.open("postgresql://nobody@127.0.0.1:1/none")
    woken, took = waited(Waking(nowhere), 0.4)
    assert (woken, took >= 0.4) == (False, True)
    with pytest.raises(StorageError):
        nowhere.head()


@on_postgres
def test_it_takes_no_connection_of_the_pool_and_gives_its_own_back(
    waking: Waking, store: Store, database_url: str
) -> None:
    counted = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN caveat'"
    )
    with psycopg.connect(database_url, autocommit=True) as other:
        waked(waking)
        assert store.engine.pool.checkedout() == 0
        assert other.execute(counted).fetchone() == (1,)
        waking.close()
        end = time.monotonic() + 10
        while other.execute(counted).fetchone() != (0,):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture
def publishing(
    store: Store, database_url: str, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], LogFolder]]:
    folder = tmp_path / "published"
    command = [sys.executable, "-m", "api.commands", "log", "publish", "--follow"]
    environment = {**os.environ, "CAVEAT_DATABASE": database_url, "CAVEAT_LOG": str(folder)}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    yield process, LogFolder(folder)
    process.kill()
    process.wait()


def published_within(folder: LogFolder, size: int, seconds: float) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        note = folder.checkpoint()
        if note is not None and parse_checkpoint(note.partition("\n\n")[0] + "\n").size >= size:
            return time.monotonic() - begun
        time.sleep(0.01)
    pytest.fail(f"event {size} was not published within {seconds} s")


def test_what_is_acknowledged_is_published(
    publishing: Any, registrar: Registrar, caller: Any, store: Store
) -> None:
    """At once on PostgreSQL, within the old pace on SQLite; and the process ends when it is told to."""
    process, folder = publishing
    registrar.register(caller, DRAFT)
    published_within(folder, 1, 60)
    time.sleep(2)
    registrar.register(caller, DRAFT)
    published_within(folder, 2, SOON if POSTGRES else 30)
    if POSTGRES:
        # Many at once are published together: not a step for each.
        for _ in range(20):
            registrar.register(caller, DRAFT)
        published_within(folder, 22, SOON + 1)
        assert len(list((folder.path / "tile/entries/000.p").iterdir())) <= 8
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
