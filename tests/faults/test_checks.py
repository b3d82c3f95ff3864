"""The checks of the fault suite see what is wrong: else a row of noughts would show nothing."""

import base64
import hashlib
from contextlib import closing
from pathlib import Path

import pysqlite3
import pytest

from tests.faults.checking import check_log, check_rows
from tests.faults.ledger import Entry, Ledger
from tests.faults.outcome import Outcome, as_markdown, as_text
from tests.faults.places import ask_all, lodge
from tests.faults.service import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.make(tmp_path / "registry")


@pytest.fixture
def ledger(place: Place) -> Ledger:
    ledger = Ledger()
    lodge(place, ledger, 3)
    return ledger


def spoil(place: Place, *statements: str) -> None:
    with closing(pysqlite3.connect(place.folder / "registry.sqlite")) as connection, connection:
        for one in statements:
            connection.execute(one)


def checked(place: Place, ledger: Ledger) -> Outcome:
    outcome = Outcome(injected=1)
    check_rows(place, ledger, outcome)
    ask_all(place, ledger, outcome)
    return outcome


def test_nothing_is_wrong_where_nothing_was_done(place: Place, ledger: Ledger) -> None:
    assert checked(place, ledger).is_kept


@pytest.mark.parametrize(
    ("statement", "lost", "others"),
    [
        ("DELETE FROM work WHERE from_seq = 2", 1, 1),
        ("DELETE FROM reservation_version WHERE from_seq = 2", 1, 2),
        ("DELETE FROM event WHERE seq = 3; UPDATE head SET n = 2", 2, 2),
        ("UPDATE reservation_version SET state = 'withdrawn' WHERE from_seq = 1", 1, 1),
    ],
    ids=["a work", "a reservation", "an event", "a state"],
)
def test_what_is_taken_away_is_missed(
    place: Place, ledger: Ledger, statement: str, lost: int, others: int
) -> None:
    spoil(place, *statement.split(";"))
    outcome = checked(place, ledger)
    assert outcome.lost >= lost, outcome
    assert len(outcome.other) >= others, outcome
    assert not outcome.is_kept


def test_what_is_stored_twice_is_counted(place: Place, ledger: Ledger) -> None:
    columns = "to_seq, principal_id, preferences, label, terms, contact, evidence_level, state, at"
    spoil(
        place,
        f"INSERT INTO reservation_version (reservation_id, from_seq, {columns})"  # noqa: S608
        f" SELECT 'twice', 4, {columns} FROM reservation_version WHERE from_seq = 1",
        "INSERT INTO event (seq, op, record, at, salt, leaf) VALUES (4, 'register', 'twice', 0, x'', x'00')",
        "UPDATE head SET n = 4",
    )
    assert checked(place, ledger).doubled == 1


def test_an_answer_from_before_what_its_asker_knew_is_stale() -> None:
    ledger = Ledger()
    ledger.judge({"as_of_seq": 6, "checkpoint": None, "results": []}, [], floor=7)
    assert ledger.found.stale == 1


def test_an_answer_without_the_reservation_is_lost_and_one_about_a_stranger_is_told() -> None:
    ledger, entry = Ledger(), Entry.new()
    ledger.acknowledge(entry, {"id": "a", "seq": 1})
    unknown = {"id": "0", "preference": "unknown", "statements": []}
    reserved = {"id": "1", "preference": "reserved", "statements": [{"record": "b"}]}
    answer = {"as_of_seq": 1, "checkpoint": None, "results": [unknown, reserved]}
    ledger.judge(answer, [entry, Entry.new()], floor=1)
    assert (ledger.found.lost, len(ledger.found.other)) == (1, 1)


def test_a_second_answer_to_one_request_is_doubled() -> None:
    ledger, entry = Ledger(), Entry.new()
    ledger.acknowledge(entry, {"id": "a", "seq": 1})
    ledger.acknowledge(entry, {"id": "b", "seq": 2})
    assert ledger.found.doubled == 1


def test_a_checkpoint_of_other_events_is_told(place: Place, ledger: Ledger) -> None:
    outcome = Outcome()
    check_log(place, [f"log.example\n2\n{base64.b64encode(bytes(32)).decode()}\n\n— x"], outcome)
    assert len(outcome.other) == 1


def test_a_checkpoint_of_no_events_is_that_of_every_log(place: Place, ledger: Ledger) -> None:
    for root, kept in ((hashlib.sha256().digest(), True), (bytes(32), False)):
        outcome = Outcome(injected=1)
        check_log(place, [f"log.example\n0\n{base64.b64encode(root).decode()}\n\n— x"], outcome)
        assert outcome.is_kept is kept


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome(injected=1), True),
        (Outcome(injected=0), False),
        (Outcome(injected=1, lost=1), False),
        (Outcome(injected=1, doubled=1), False),
        (Outcome(injected=1, stale=1), False),
        (Outcome(injected=1, other=["something"]), False),
        (Outcome(cannot="no strace here"), True),
    ],
    ids=["kept", "never injected", "lost", "doubled", "stale", "other", "cannot run"],
)
def test_a_row_holds_only_when_every_count_is_nought(outcome: Outcome, kept: bool) -> None:
    assert outcome.is_kept is kept


def test_a_row_that_cannot_run_says_why() -> None:
    row = Outcome(cannot="no strace here", promise="2", fault="each call")
    for table in (as_text([row]), as_markdown([row])):
        assert "cannot run here" in table
        assert "no strace here" in table
