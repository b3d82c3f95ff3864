"""Sequence numbers: one a write, in commit order, without gaps, whoever writes and whatever fails."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from registry.errors import StorageError
from registry.store import Store, events, reservations
from registry.store.sql import table_of
from registry.tables import Event, UrlRuleRow

WRITER = """
import sys
from registry.store import Store, events

store = Store.open(sys.argv[1])
for number in range(25):
    with store.write() as tx:
        events.append(tx, op="test", record=sys.argv[2], at=number, salt=b"", leaf=b"")
    assert store.head() >= tx.seq
    print(tx.seq)
"""


def append(store: Store, record: str) -> int:
    with store.write() as tx:
        events.append(tx, op="test", record=record, at=0, salt=b"", leaf=b"")
    return tx.seq


def event_numbers(store: Store) -> list[int]:
    column = table_of(Event).c.seq
    with store.read() as connection:
        return list(connection.execute(select(column).order_by(column)).scalars())


def test_a_new_registry_is_at_event_0(store: Store) -> None:
    assert store.head() == 0
    assert event_numbers(store) == []


def test_eight_threads_leave_no_gap_and_share_no_number(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: append(store, str(number)), range(160)))
    assert sorted(taken) == event_numbers(store) == list(range(1, 161))
    assert store.head() == 160


def test_two_processes_leave_no_gap_and_share_no_number(store: Store, database_url: str) -> None:
    command = [sys.executable, "-c", WRITER, database_url]
    writers = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    told = [writer.communicate(timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], told
    taken = [int(line) for output, _ in told for line in output.split()]
    assert sorted(taken) == event_numbers(store) == list(range(1, 51))
    assert store.head() == 50


def test_a_reader_never_sees_the_head_before_its_event(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [append(store, "r") for _ in range(40)])
        while not writing.done():
            head = store.head()
            with store.read() as connection:
                events.require_between(connection, 0, head)
    assert len(writing.result()) == 40


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt()], ids=repr)
def test_an_error_inside_a_write_leaves_nothing_of_it(store: Store, error: BaseException) -> None:
    append(store, "before")
    with pytest.raises(type(error)), store.write() as tx:  # noqa: PT012 - the write is the context
        assert tx.seq == 2
        events.append(tx, op="test", record="lost", at=0, salt=b"", leaf=b"")
        reservations.insert_rules(tx, [{"reservation_id": "lost", "kind": "host", "surt": "", "key": b""}])
        raise error
    assert (store.head(), event_numbers(store)) == (1, [1])
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(table_of(UrlRuleRow))).scalar_one() == 0
    assert append(store, "after") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO event SELECT * FROM event",
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO credential VALUES ('c', 'nobody', '', '', 0, 0, NULL)",
    ],
    ids=["primary key", "no table", "foreign key"],
)
def test_an_error_of_the_database_leaves_nothing_of_a_write(store: Store, statement: str) -> None:
    append(store, "before")
    with pytest.raises(StorageError), store.write() as tx:
        tx.connection.execute(text(statement))
    assert (store.head(), event_numbers(store)) == (1, [1])


def test_keys_and_principals_take_no_event(store: Store) -> None:
    with store.administer() as connection:
        connection.execute(text("INSERT INTO principal (id, name, created_at) VALUES ('p', 'Ada', 0)"))
    assert store.head() == 0
