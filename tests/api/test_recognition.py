"""Records that a published receipt names: held to what the registry knows, on the log, erased with either."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, select, update

from registry.errors import StorageError
from registry.fsck import check_rows
from registry.leaf import commit, parse_leaf
from registry.receipt import Receipt, digest_of
from registry.store import events, mentions, payloads
from registry.store.mirrored import discard_beyond
from registry.store.replaying import replay
from registry.store.sql import table_of
from registry.tables import MentionRow
from tests.api.receipts import Clock, run_of
from tests.api.recognition import PATH, granted, lodged, sent, ticket_of
from tests.runs import DAY, NOW, configured

MENTION = table_of(MentionRow)
NOBODY = "a" * 26


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - 30)


@pytest.fixture
def client(timed_client: FlaskClient, checkpoint: str) -> FlaskClient:
    """A registry with two events."""
    return timed_client


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register",)).headers


@pytest.fixture
def maker(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("lookup",)).headers


@pytest.fixture
def record(client: FlaskClient, ada: dict[str, str]) -> str:
    """A record, event 3, that reserves."""
    return lodged(client, ada)


@pytest.fixture
def run(record: str, checkpoint: str) -> Receipt:
    return run_of(checkpoint, as_of_seq=3)


def rows(store: Any) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(MENTION).order_by(MENTION.c.from_seq)))


def counted(store: Any, record: str) -> dict[str, int]:
    with store.read() as connection:
        return mentions.counted(connection, record, store.head())


def test_a_record_that_was_honoured_is_an_event_of_its_own(client, store, run, record, maker):
    answer = sent(client, run, maker, honoured=[record, record])
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["published"]["seq"] == 4
    [row] = rows(store)
    assert (row.from_seq, row.kind, row.reservation_id) == (5, "honoured", record)
    assert counted(store, record) == {"honoured": 1, "consent": 0}
    with store.read() as connection:
        [event] = events.between(connection, 4, 5)
        said = payloads.payloads_of(connection, [5])[5]
    leaf = parse_leaf(bytes(event.leaf))
    assert (leaf.op, leaf.record, leaf.commitment) == ("mention", row.id, commit(bytes(event.salt), said))
    assert said["mention"]["receipt_id"] == answer.get_json()["published"]["id"]
    # The log tells nobody who named whom.
    assert record.encode() not in bytes(event.leaf)
    assert list(check_rows(store)) == []


def test_more_records_can_be_named_later_by_the_same_key(client, store, run, record, ada, maker, make_key):
    first = sent(client, run, maker).get_json()["published"]
    again = sent(client, run, maker, honoured=[record])
    assert again.get_json()["published"] == first
    assert counted(store, record)["honoured"] == 1
    head = store.head()
    assert sent(client, run, maker, honoured=[record]).get_json()["published"] == first
    assert store.head() == head
    other = lodged(client, ada)
    refused = sent(client, run, make_key(("lookup",)).headers, honoured=[other])
    assert refused.status_code == 403
    assert list(check_rows(store)) == []


WRONG = {
    "nobody": lambda _c, _a: NOBODY,
    "no identifier": lambda _c, _a: "\0x",
    "a later one": lodged,
}


@pytest.mark.parametrize("case", WRONG)
def test_a_record_that_did_not_stand_when_the_run_asked_is_refused(
    client, store, run, record, ada, maker, case
):
    ticket = ticket_of(client)
    id_ = WRONG[case](client, ada)
    head = store.head()
    answer = sent(client, run, maker, ticket, honoured=[record, id_])
    assert answer.status_code == 422, answer.text
    assert "honoured.1: no record" in answer.get_json()["detail"]
    assert "stood at event 3, as of which the run asked" in answer.get_json()["detail"]
    assert (store.head(), rows(store)) == (head, [])


@pytest.mark.parametrize(
    ("preferences", "status"),
    [
        ({"genai-train": "reserved"}, 200),
        ({"genai-train": "conditional", "train": "allowed"}, 200),
        ({"genai-train": "allowed"}, 422),
        ({"train": "reserved"}, 422),
    ],
    ids=["reserved", "conditional", "allowed", "another use"],
)
def test_only_what_was_reserved_can_be_honoured(client, store, checkpoint, ada, maker, preferences, status):
    id_ = lodged(client, ada, preferences=preferences)
    answer = sent(client, run_of(checkpoint, as_of_seq=3), maker, honoured=[id_])
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(("withdrawn", "status"), [("before", 422), ("after", 200)])
def test_a_record_counts_as_it_stood_when_the_run_asked(client, run, record, ada, maker, withdrawn, status):
    before = ticket_of(client)
    client.delete(f"/api/v1/reservations/{record}", headers=ada)
    ticket = before if withdrawn == "after" else ticket_of(client)
    assert sent(client, run, maker, ticket, honoured=[record]).status_code == status


def test_no_more_records_are_named_than_samples_were_removed(client, store, checkpoint, ada, maker):
    ids = [lodged(client, ada) for _ in range(10)]
    run = run_of(checkpoint, as_of_seq=store.head())
    answer = sent(client, run, maker, honoured=ids)
    assert answer.status_code == 422
    assert "10 records, and the receipt says that 9 samples" in answer.get_json()["detail"]
    assert sent(client, run, maker, honoured=ids[:9]).status_code == 200
    assert sent(client, run, maker, honoured=ids).status_code == 422
    assert len(rows(store)) == 9


def test_more_than_fit_into_a_request_and_names_of_what_is_not_published_are_refused(
    client, run, record, maker
):
    assert sent(client, run, maker, honoured=[record] * 1001).status_code == 422
    answer = sent(client, run, maker, publish=False, honoured=[record])
    assert (answer.status_code, "not published" in answer.get_json()["detail"]) == (422, True)


class TestConsent:
    @pytest.fixture
    def grant(self, client, record, ada) -> str:
        return granted(client, ada, record, NOW + DAY)

    def run(self, checkpoint: str, grant: str) -> Receipt:
        used = configured(run_of(checkpoint, as_of_seq=4), grants=(digest_of(grant.encode()),))
        return replace(used, counts=replace(used.counts, granted=2))

    def test_works_used_with_a_grant_are_named(self, client, store, checkpoint, record, grant, maker):
        answer = sent(client, self.run(checkpoint, grant), maker, consents=[grant])
        assert answer.status_code == 200, answer.text
        [row] = rows(store)
        assert (row.kind, row.reservation_id, row.grant_id) == ("consent", record, grant)
        assert counted(store, record) == {"honoured": 0, "consent": 1}
        assert list(check_rows(store)) == []

    def test_a_grant_that_the_run_did_not_have_is_refused(self, client, store, checkpoint, grant, maker):
        for run, grants, said in (
            (run_of(checkpoint, as_of_seq=4), [grant], "did not have this grant"),
            (self.run(checkpoint, NOBODY), [NOBODY], "no grant of this identifier stood at event 4"),
            (self.run(checkpoint, "x"), ["x"], "no grant of this identifier"),
        ):
            answer = sent(client, run, maker, consents=grants)
            assert (answer.status_code, said in answer.get_json()["detail"]) == (422, True), answer.text
        assert rows(store) == []

    def test_one_that_was_taken_back_before_is_refused(self, client, store, checkpoint, grant, ada, maker):
        client.delete(f"/api/v1/grants/{grant}", headers=ada)
        assert sent(client, self.run(checkpoint, grant), maker, consents=[grant]).status_code == 422


class TestErasing:
    def test_with_the_receipt_goes_what_it_names(self, client, store, run, record, maker):
        id_ = sent(client, run, maker, honoured=[record]).get_json()["published"]["id"]
        answer = client.delete(f"{PATH}/{id_}", headers=maker)
        assert (answer.status_code, answer.get_json()["seq"]) == (200, 6)
        assert (rows(store), store.head()) == ([], 7)
        self.assert_gone(store)

    def test_with_the_record_goes_what_names_it(self, client, store, run, record, ada, maker):
        id_ = sent(client, run, maker, honoured=[record]).get_json()["published"]["id"]
        erased = client.post(f"/api/v1/reservations/{record}/erase", json={"keep": False}, headers=ada)
        assert (erased.status_code, erased.get_json()["seq"]) == (200, 6)
        assert (rows(store), store.head()) == ([], 7)
        assert client.get(f"{PATH}/{id_}").status_code == 200
        self.assert_gone(store)

    def test_a_record_that_is_kept_without_names_keeps_its_count(
        self, client, store, run, record, ada, maker
    ):
        sent(client, run, maker, honoured=[record])
        client.post(f"/api/v1/reservations/{record}/erase", json={"keep": True}, headers=ada)
        assert counted(store, record)["honoured"] == 1
        assert list(check_rows(store)) == []

    def assert_gone(self, store) -> None:
        with store.read() as connection:
            [event] = events.between(connection, 4, 5)
            assert (event.op, event.erased_by, bytes(event.salt)) == ("mention", 7, b"")
        assert list(check_rows(store)) == []


BEHIND = {
    "another record": (update(MENTION).values(reservation_id="b" * 26), "event 5: its rows are not"),
    "another receipt": (update(MENTION).values(receipt_id="b" * 32), "event 5: its rows are not"),
    "another kind": (update(MENTION).values(kind="consent"), "event 5: its rows are not"),
    "another event": (update(MENTION).values(from_seq=2), "that no event 2 brought"),
    "one deleted": (delete(MENTION), "event 5: the mention of which it tells"),
    "one slipped in": (
        insert(MENTION).values(
            id="c" * 26, from_seq=1, receipt_id="c", reservation_id="c", kind="honoured", grant_id="", at=1
        ),
        "that no event 1 brought",
    ),
}


@pytest.mark.parametrize("case", BEHIND)
def test_what_is_done_behind_its_back_is_found(client, store, run, record, maker, case):
    sent(client, run, maker, honoured=[record])
    statement, found = BEHIND[case]
    with store.administer() as connection:
        connection.execute(statement)
    assert [one for one in check_rows(store) if found in one] != []


def test_a_mirror_writes_what_the_event_says(client, store, run, record, maker):
    """Undone and told again, as a mirror that fell behind does it."""
    sent(client, run, maker, honoured=[record])
    with store.read() as connection:
        [row] = events.between(connection, 4, 5)
        said = payloads.payloads_of(connection, [5])[5]
    before = rows(store)
    with store.administer() as connection:
        discard_beyond(connection, 4)
        connection.exec_driver_sql("UPDATE head SET n = 4")
    assert rows(store) == []
    leaf = parse_leaf(bytes(row.leaf))
    with store.write() as tx:
        replay(tx, leaf, said, row.at)
        events.append(tx, op=row.op, record=row.record, at=row.at, salt=bytes(row.salt), leaf=bytes(row.leaf))
    assert rows(store) == before
    assert list(check_rows(store)) == []
    for wrong in ({}, {"mention": {}}, {"mention": said["mention"] | {"id": "0" * 26}}, {"more": 1, **said}):
        with pytest.raises(ValueError, match="an event that named a record says"), store.write() as tx:
            replay(tx, replace(leaf, seq=6), wrong, row.at)


def test_a_lost_row_is_an_error_and_no_empty_payload(client, store, run, record, maker):
    sent(client, run, maker, honoured=[record])
    with store.administer() as connection:
        connection.execute(delete(MENTION))
    with store.read() as connection, pytest.raises(StorageError, match="event 5: the mention of which"):
        payloads.payloads_of(connection, [5])


class TestPublic:
    """Whether label, terms and contact are shown to anybody is said, and stands in the log."""

    def test_it_is_said_when_lodged_and_changed(self, client, store, ada):
        id_ = lodged(client, ada, label="Ada", public=True)
        path = f"/api/v1/reservations/{id_}"
        assert client.get(path, headers=ada).get_json()["public"] is True
        client.patch(path, json={"public": False}, headers=ada)
        assert client.get(path, headers=ada).get_json()["public"] is False
        client.patch(path, json={"label": "Ada L."}, headers=ada)
        with store.read() as connection:
            said = payloads.payloads_of(connection, [3, 4, 5])
        # What is not public goes without saying: so the leaves of older events hold.
        assert [said[seq]["version"].get("public") for seq in (3, 4, 5)] == [True, None, None]
        assert list(check_rows(store)) == []

    def test_what_is_kept_without_names_is_not_public(self, client, store, ada):
        id_ = lodged(client, ada, label="Ada", public=True)
        client.post(f"/api/v1/reservations/{id_}/erase", json={"keep": True}, headers=ada)
        shown = client.get(f"/api/v1/reservations/{id_}", headers=ada).get_json()
        assert (shown["public"], shown["label"]) == (False, "")
        assert list(check_rows(store)) == []

    @pytest.mark.parametrize("value", ["true", 1, None])
    def test_it_is_true_or_false(self, client, ada, value):
        body = {"preferences": {"tdm": "reserved"}, "works": [{"url": "https://a.test/"}], "public": value}
        assert client.post("/api/v1/reservations", json=body, headers=ada).status_code == 422
