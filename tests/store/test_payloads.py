"""What an event's leaf commits to can be put together again from the rows, until it is erased."""

import random
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from registry.builder import Builder
from registry.errors import NotFoundError, StaleIndexError
from registry.fsck import check_rows
from registry.index_folder import IndexFolder
from registry.leaf import commit, parse_leaf
from registry.lookup import Lookup, Question
from registry.preference import Preference, Use
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.store import Store, payloads
from registry.store.sql import table_of
from registry.tables import Event, ReservationVersion, UrlRuleRow, Work
from registry.urls import canonicalize_url, url_rule

EVENT, VERSION, WORK, RULE = (table_of(one) for one in (Event, ReservationVersion, Work, UrlRuleRow))
RESERVED = {Use.TRAIN: Preference.RESERVED}


def work(name: str) -> WorkDraft:
    return WorkDraft(f"Title {name}", canonicalize_url(f"https://ada.test/{name}"), name.encode().ljust(32))


def draft(name: str) -> Draft:
    rules = [url_rule("host", f"{name}.ada.test")]
    return Draft(
        RESERVED, [work(name), work(f"{name}-2")], rules, "Ada", "https://ada.test/terms", "ada@ada.test"
    )


def broken(store: Store) -> list[int]:
    """Return the events whose rows are not what their leaf commits to."""
    with store.read() as connection:
        rows = connection.execute(select(EVENT).order_by(EVENT.c.seq)).all()
        said = payloads.payloads_of(connection, [row.seq for row in rows])
    return [
        row.seq
        for row in rows
        if row.erased_by is None
        and commit(bytes(row.salt), said[row.seq]) != parse_leaf(bytes(row.leaf)).commitment
    ]


@pytest.fixture
def history(registrar: Registrar, caller: Caller) -> list[str]:
    """Two reservations, of which each kind of event happened to both."""
    names = ("first", "second")
    ids = [registrar.register(caller, draft(name)).id for name in names]
    for id_, name in zip(ids, names, strict=True):
        registrar.add_works(caller, id_, [work(f"{name}-more")])
        registrar.change(caller, id_, Change(preferences={Use.TDM: Preference.RESERVED}, label="Ada L."))
    return ids


def test_every_event_is_what_its_leaf_commits_to(store, registrar, caller, history):
    registrar.withdraw(caller, history[0])
    registrar.erase(caller, history[1], keep=True)
    assert broken(store) == []


@pytest.mark.parametrize(
    ("table", "column", "seq"),
    [(VERSION, "label", 1), (VERSION, "contact", 4), (WORK, "title", 1), (WORK, "url", 3), (RULE, "surt", 1)],
    ids=str,
)
def test_a_row_changed_behind_its_back_shows(store, history, table, column, seq):
    with store.administer() as connection:
        connection.execute(update(table).where(table.c.from_seq == seq).values({column: "another"}))
    assert broken(store) == [seq]


def test_a_row_deleted_behind_its_back_shows(store, history):
    with store.administer() as connection:
        connection.execute(delete(WORK).where(WORK.c.from_seq == 3))
    assert broken(store) == [3]


def said_of(store: Store, record: str) -> str:
    """Everything that the tables say about ``record``, as one text."""
    with store.read() as connection:
        rows = [
            connection.execute(select(table).where(table.c.reservation_id == record)).all()
            for table in (VERSION, WORK, RULE)
        ]
    return repr(rows)


def salts(store: Store, record: str) -> dict[int, tuple[int, int | None]]:
    with store.read() as connection:
        rows = connection.execute(select(EVENT).where(EVENT.c.record == record))
        return {row.seq: (len(row.salt), row.erased_by) for row in rows}


def ask(store: Store, name: str, seq: int | None = None) -> list[Any]:
    question = Question(url=canonicalize_url(f"https://ada.test/{name}"))
    return Lookup(store).ask([question], seq).statements[0]


def test_what_is_erased_is_gone_and_its_past_too(store, registrar, caller, history):
    done = registrar.erase(caller, history[0])
    assert (done.state, done.works, done.rules) == ("erased", 0, 0)
    assert ask(store, "first") == ask(store, "first", 1) == []
    assert ask(store, "second") != []
    assert salts(store, history[0]) == {1: (0, 7), 3: (0, 7), 4: (0, 7), 7: (16, None)}
    assert salts(store, history[1]) == {2: (16, None), 5: (16, None), 6: (16, None)}
    assert said_of(store, history[0]) == "[[], [], []]"
    assert "Title second" in said_of(store, history[1])
    assert broken(store) == []
    with pytest.raises(NotFoundError):
        registrar.erase(caller, history[0])


def test_a_person_may_go_and_the_reservation_stay(store, registrar, caller, history):
    before = ask(store, "first")[0]
    done = registrar.erase(caller, history[0], keep=True)
    assert (done.state, done.works, done.rules) == (str(before.state), 3, 1)
    after = ask(store, "first")[0]
    assert (after.preferences, after.record) == (before.preferences, before.record)
    assert (after.label, after.title, after.terms, after.contact) == ("", "", "", "")
    assert ask(store, "first", done.seq - 1) == []
    said = said_of(store, history[0])
    assert [name for name in ("Title", "Ada", "ada@ada.test", "ada.test/terms") if name in said] == []
    assert "https://ada.test/first" in said
    assert broken(store) == []


def test_what_others_lodged_cannot_be_erased(registrar, make_key, history):
    with pytest.raises(NotFoundError):
        registrar.erase(make_key(("register",)).caller, history[0])


def keys_in(folder: IndexFolder) -> set[int]:
    return {
        place >> 24
        for part in folder.parts()
        for places in (
            folder.open(part).entries().rule_places,
            folder.open(part).entries().file_places,
        )
        for place in places.tolist()
    }


def test_the_index_files_lose_what_was_erased_and_nothing_else(
    store, registrar, caller, builder: Builder, folder: IndexFolder
):
    made = random.Random(3)
    ids = [registrar.register(caller, draft(f"n{number}")).id for number in range(40)]
    assert builder.build(1) is not None
    ids += [registrar.register(caller, draft(f"m{number}")).id for number in range(3)]
    assert builder.build(1) is not None
    gone = made.sample(range(len(ids)), 5)
    for number in gone:
        registrar.erase(caller, ids[number])
    assert builder.build(10**6) is not None
    assert keys_in(folder) == set(range(1, len(ids) + 1)) - {number + 1 for number in gone}
    assert builder.build(10**6) is None
    assert Builder(store, folder).build(10**6) is None


def test_an_index_of_which_all_was_erased_is_empty(store, registrar, caller, builder, folder):
    id_ = registrar.register(caller, draft("a")).id
    builder.build(1)
    registrar.erase(caller, id_)
    assert builder.build(10**6) is not None
    assert keys_in(folder) == set()
    assert Lookup(store, folder).ask([Question(url=canonicalize_url("https://ada.test/a"))]).statements == [
        []
    ]


def test_nothing_erased_stays_in_the_file_of_the_embedded_database(
    store, registrar, caller, history, tmp_path
):
    path = tmp_path / "registry.sqlite"
    if not path.exists():
        pytest.skip("PostgreSQL overwrites what is deleted when it vacuums")
    registrar.erase(caller, history[0])
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert connection.execute(select(func.count()).select_from(WORK)).scalar_one() == 3
    assert b"Title second" in path.read_bytes()
    assert b"Title first" not in path.read_bytes()


def findings(store: Store) -> list[str]:
    return list(check_rows(store))


BEHIND = {
    "a version that was closed": (
        update(VERSION).where(VERSION.c.from_seq == 4).values(to_seq=6), "event 4 ends with 6, and"
    ),
    "a version that was opened again": (
        update(VERSION).where(VERSION.c.from_seq == 1).values(to_seq=None), "event 1 ends with None, and"
    ),
    "a work that was ended": (
        update(WORK).where(WORK.c.from_seq == 3).values(to_seq=5), "work: row 0 of event 3 was ended"
    ),
    "a work that was slipped in": (
        insert(WORK).values(from_seq=4, ordinal=0, reservation_id="x", title=""), "that no event 4 brought"
    ),
    "a work that was slipped in with another": (
        update(WORK).where(WORK.c.from_seq == 3).values(title="x"), "event 3: its rows are not what"
    ),
    "an event that was changed": (
        update(EVENT).where(EVENT.c.seq == 4).values(op="withdraw"), "event 4: is not the one of its leaf"
    ),
    "another salt": (
        update(EVENT).where(EVENT.c.seq == 4).values(salt=bytes(16)), "event 4: its rows are not what"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "found"), BEHIND.values(), ids=BEHIND)
def test_what_is_done_behind_its_back_is_found(store, registrar, caller, history, statement, found):
    registrar.withdraw(caller, history[1])
    registrar.erase(caller, registrar.register(caller, draft("third")).id, keep=True)
    assert findings(store) == []
    with store.administer() as connection:
        connection.execute(statement)
    assert [one for one in findings(store) if found in one] != []


def test_an_event_deleted_behind_its_back_is_an_error(store, history):
    with store.administer() as connection:
        connection.execute(delete(EVENT).where(EVENT.c.seq == 2))
    with pytest.raises(StaleIndexError):
        findings(store)
