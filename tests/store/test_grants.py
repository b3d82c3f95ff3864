"""Grants are rows that events speak for: put together again, copied by mirrors, checked, and erased."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from registry.errors import InputError, StorageError
from registry.fsck import check_rows
from registry.granting import GrantDraft, Granter
from registry.leaf import parse_leaf
from registry.lookup import Lookup, Question
from registry.preference import Preference, Use
from registry.registrar import Caller, Draft, Registrar, WorkDraft
from registry.said import Held
from registry.store import Store, Transaction, events, grants, payloads
from registry.store.replaying import replay
from registry.store.sql import table_of
from registry.tables import Event, GrantRow
from registry.urls import canonicalize_url

EVENT, GRANT = table_of(Event), table_of(GrantRow)
URL = canonicalize_url("https://ada.test/a")
AT = 1_763_726_400
TRAIN = Use.TRAIN


@pytest.fixture
def granter(registrar: Registrar) -> Granter:
    return Granter(registrar)


@pytest.fixture
def record(registrar: Registrar, caller: Caller) -> str:
    return registrar.register(caller, Draft({TRAIN: Preference.RESERVED}, [WorkDraft("A", URL)])).id


def draft(record: str, **other: Any) -> GrantDraft:
    return GrantDraft(record, [TRAIN, Use.TDM, TRAIN], "Acme", 4_000_000_000, **other)


@pytest.fixture
def made(granter: Granter, caller: Caller, record: str) -> list[str]:
    """A grant that holds, of a work, and one that was taken back."""
    ids = [granter.grant(caller, draft(record, works=works)).id for works in (["1.0"], None)]
    granter.revoke(caller, ids[1])
    return ids


def mark(store: Store, ids: list[str], seq: int | None = None) -> list[str]:
    held = Held(tuple(ids), TRAIN, 2_000_000_000)
    return [one.grant for one in Lookup(store).ask([Question(url=URL)], seq, held=held).statements[0]]


def test_it_holds_from_its_event_until_it_is_taken_back(store, made):
    first, second = made
    assert [mark(store, made, seq) for seq in (1, 2, 3, 4)] == [[""], [first], [first], [first]]
    assert [mark(store, [second, first], seq) for seq in (2, 3, 4)] == [[first], [second], [first]]


def test_every_event_is_what_its_leaf_commits_to(store, made):
    assert list(check_rows(store)) == []
    with store.read() as connection:
        said = payloads.payloads_of(connection, range(1, 5))
        leaves = [parse_leaf(leaf) for leaf in events.leaves_between(connection, 0, 4)]
    assert [leaf.op for leaf in leaves] == ["register", "grant", "grant", "revoke-grant"]
    assert said[2]["grant"]["works"] == ["1.0"]
    assert said[2]["grant"]["uses"] == ["tdm", "train"]
    assert said[4] == {"revoked": made[1]}
    assert not any(id_.encode() in leaf.record.encode() for leaf in leaves for id_ in made)


BEHIND = {
    "a longer time": (
        update(GRANT).where(GRANT.c.from_seq == 2).values(valid_until=5_000_000_000), "event 2: its rows are",
    ),
    "another use": (
        update(GRANT).where(GRANT.c.from_seq == 2).values(uses='["search"]'), "event 2: its rows are not",
    ),
    "another reservation": (
        update(GRANT).where(GRANT.c.from_seq == 2).values(reservation_id="b" * 26), "event 2: the grant of",
    ),
    "one that was taken back, holding again": (
        update(GRANT).where(GRANT.c.from_seq == 3).values(to_seq=None), "event 4: the grant of which it",
    ),
    "one taken back by nobody": (
        update(GRANT).where(GRANT.c.from_seq == 2).values(to_seq=1), "no event 1 took back",
    ),
    "one deleted": (delete(GRANT).where(GRANT.c.from_seq == 2), "event 2: the grant of which it tells"),
    "one slipped in": (
        insert(GRANT).values(
            id="c" * 26, from_seq=1, reservation_id="b" * 26, uses='["train"]', licensee="Me",
            licensee_url="", valid_from=1, valid_until=2, terms="", contact="", at=1,
        ),
        "that no event 1 brought",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "found"), BEHIND.values(), ids=BEHIND)
def test_what_is_done_behind_its_back_is_found(store, made, statement, found):
    with store.administer() as connection:
        connection.execute(statement)
    assert [one for one in check_rows(store) if found in one] != []


def test_nothing_damaged_permits(store, made):
    with store.administer() as connection:
        connection.execute(update(GRANT).where(GRANT.c.from_seq == 2).values(uses='["everything"]'))
    with pytest.raises(StorageError, match="cannot be read"):
        mark(store, made)


@pytest.mark.parametrize("keep", [True, False])
def test_erased_with_its_reservation(store, registrar, caller, record, made, keep):
    registrar.erase(caller, record, keep=keep)
    with store.read() as connection:
        assert connection.execute(select(GRANT)).all() == []
        kept = connection.execute(select(EVENT.c.salt).where(EVENT.c.seq <= 4)).scalars()
        assert {bytes(salt) for salt in kept} == {b""}
    assert list(check_rows(store)) == []
    assert mark(store, made) == ([""] if keep else [])


def test_told_elsewhere_it_is_the_same_there(store, made, database_url):
    """What a mirror does with the feed: every row is written anew from the payloads alone."""
    with store.read() as connection:
        rows = connection.execute(select(GRANT).order_by(GRANT.c.from_seq)).all()
        told = {
            event.seq: (event, json.loads(json.dumps(payloads.to_wire(event, said)))["payload"])
            for event, said in (
                (one, payloads.payloads_of(connection, [one.seq])[one.seq])
                for one in events.between(connection, 1, 4)
            )
        }
    with store.administer() as connection:
        connection.execute(delete(GRANT))
        for seq, (event, wire) in told.items():
            replay(Transaction(connection, seq), parse_leaf(bytes(event.leaf)), wire, event.at)
    with store.administer() as connection:
        assert connection.execute(select(GRANT).order_by(GRANT.c.from_seq)).all() == rows
        grants.forget_beyond(connection, 3)
        assert [row.to_seq for row in connection.execute(select(GRANT))] == [None, None]
        grants.forget_beyond(connection, 1)
        assert connection.execute(select(GRANT)).all() == []


WIRES = {
    "no grant": ("grant", {}),
    "a grant of too little": ("grant", {"grant": {"id": "a"}}),
    "a grant and more": ("grant", {"grant": {}, "version": None}),
    "taking back what is not there": ("revoke-grant", {"revoked": "a" * 26}),
    "taking back nothing": ("revoke-grant", {}),
}


@pytest.mark.parametrize(("op", "wire"), WIRES.values(), ids=WIRES)
def test_what_no_event_says_is_not_taken_over(store, record, op, wire):
    with store.administer() as connection, pytest.raises(ValueError):  # noqa: PT011 - the caller names it
        grants.replay(Transaction(connection, 2), record, op, wire)


def test_no_reservation_of_others_gives_its_works(
    granter, registrar, caller, record, make_key: Callable[..., Any]
):
    other = registrar.register(caller, Draft({TRAIN: Preference.RESERVED}, [WorkDraft("B", None, bytes(32))]))
    with pytest.raises(InputError, match=r"2\.0 is no work of"):
        granter.grant(caller, draft(record, works=["1.0", f"{other.seq}.0"]))
