"""Receipts that are published: on the log once, shown, on a badge, found by who verifies, erased."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, select, update

from registry.countersignature import Bundle
from registry.errors import StorageError
from registry.fsck import check_rows
from registry.leaf import commit, parse_leaf
from registry.store import events, payloads
from registry.store.mirrored import discard_beyond
from registry.store.replaying import replay
from registry.store.sql import table_of
from registry.tables import Event, ReceiptRow
from registry.tickets import format_run
from tests.api.receipts import Clock, envelope_of, header_of, run_of
from tests.runs import DAY, MAKER, NOW

PATH = "/api/v1/receipts"
EVENT, RECEIPT = table_of(Event), table_of(ReceiptRow)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - 30)


@pytest.fixture
def client(timed_client: FlaskClient) -> FlaskClient:
    return timed_client


@pytest.fixture
def maker(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("lookup",)).headers


def sent(client: FlaskClient, run: Any, headers: dict[str, str], number: int = 1, **other: Any) -> Any:
    """Have a run of one look-up countersigned and published."""
    named = {"Caveat-Run": format_run(bytes([number] * 16), 0)}
    ticket = client.post("/api/v1/lookup", json={"items": []}, headers=named).headers["Caveat-Ticket"]
    body = {"receipt": envelope_of(run), "tickets": [ticket], "publish": True, **other}
    return client.post(PATH, json=body, headers=headers)


@pytest.fixture
def published(client: FlaskClient, checkpoint: str, maker: dict[str, str]) -> dict[str, Any]:
    answer = sent(client, run_of(checkpoint), maker)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_it_is_on_the_log_and_shown(client, store, published, clock):
    id_, seq = published["published"]["id"], published["published"]["seq"]
    assert (id_, seq) == (published["receipt"][:32], 3)
    shown = client.get(f"{PATH}/{id_}").get_json()
    assert shown["bundle"] == published["bundle"]
    assert (shown["seq"], shown["at"], shown["state"], shown["receipt"]) == (
        3,
        NOW - 30,
        "published",
        published["receipt"],
    )
    assert (shown["key"], shown["badge"], shown["stale"]) == (
        MAKER.verifier.text,
        "filtered 2026-11-18 · state 2",
        False,
    )
    with store.read() as connection:
        [row] = events.between(connection, 2, 3)
        said = payloads.payloads_of(connection, [3])[3]
    leaf = parse_leaf(bytes(row.leaf))
    assert (leaf.op, leaf.record, leaf.commitment) == ("receipt", id_, commit(bytes(row.salt), said))
    assert Bundle.from_json(said["receipt"]["bundle"].encode()).to_wire() == published["bundle"]
    assert list(check_rows(store)) == []


def test_the_same_again_is_the_event_of_the_first_time(client, store, checkpoint, maker, published):
    again = sent(client, run_of(checkpoint), maker, number=2)
    assert again.get_json()["published"] == published["published"]
    assert store.head() == 3


def test_a_run_has_one_receipt(client, store, checkpoint, maker, published):
    other = sent(client, run_of(checkpoint, resumed=1), maker)
    assert other.status_code == 409
    assert "another receipt was published for this run" in other.get_json()["detail"]
    assert sent(client, run_of(checkpoint, resumed=1), maker, number=2).get_json()["published"]["seq"] == 4
    assert store.head() == 4


def test_without_a_word_nothing_is_published(client, store, checkpoint, maker):
    answer = sent(client, run_of(checkpoint), maker, publish=False)
    assert answer.get_json()["published"] is None
    assert store.head() == 2


def test_nobody_writes_on_the_log_without_a_key(client, store, checkpoint, make_key):
    assert sent(client, run_of(checkpoint), {}).status_code == 401
    assert sent(client, run_of(checkpoint), make_key(("mirror",)).headers).status_code == 403
    assert store.head() == 2


def drawn(client: FlaskClient, id_: str) -> tuple[str, str]:
    answer = client.get(f"/badge/{id_}.svg")
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    svg = ElementTree.fromstring(answer.data)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    return svg.findtext(f"{space}title"), svg.find(f"{space}rect").attrib["fill"]


def test_the_badge_is_green_for_90_days_and_grey_after(client, clock, published):
    id_ = published["published"]["id"]
    said = "caveat: filtered 2026-11-18 · state 2"
    clock.seconds = NOW + 90 * DAY
    assert drawn(client, id_) == (said, "#2e7d32")
    clock.seconds += 1
    assert drawn(client, id_) == (said, "#757575")
    assert client.get(f"{PATH}/{id_}").get_json()["stale"] is True


UNKNOWN = {
    "none": "0" * 32,
    "capitals": "A" * 32,
    "short": "0" * 31,
    "a nul": "%00",
    "a whole digest": "0" * 64,
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_was_not_published_is_404(client, maker, case):
    for path in (f"{PATH}/{UNKNOWN[case]}", f"/badge/{UNKNOWN[case]}.svg"):
        assert client.get(path).status_code == 404
    assert client.delete(f"{PATH}/{UNKNOWN[case]}", headers=maker).status_code == 404


@pytest.mark.parametrize("form", ["receipt", "header"])
def test_who_verifies_finds_the_countersignature_by_the_receipt(client, clock, checkpoint, published, form):
    clock.seconds = NOW + DAY
    run = run_of(checkpoint)
    query = {"key": MAKER.verifier.text}
    if form == "receipt":
        answer = client.post(f"{PATH}/verify", json=envelope_of(run), query_string=query)
    else:
        header, tensors = header_of(run)
        answer = client.post(
            f"{PATH}/verify",
            data=header,
            content_type="application/octet-stream",
            query_string=query | {"tensor_hash": tensors},
        )
    [said] = [one for one in answer.get_json()["checks"] if one["name"] == "countersignature"]
    assert (answer.get_json()["verdict"], said["result"]) == ("ok", "ok")
    assert "log.example answered 1 requests about 0 items, as of event 2" in said["text"]


def test_only_who_published_it_erases_it(client, store, maker, make_key, published, checkpoint):
    id_ = published["published"]["id"]
    assert client.delete(f"{PATH}/{id_}").status_code == 401
    assert client.delete(f"{PATH}/{id_}", headers=make_key(("mirror",)).headers).status_code == 403
    assert client.delete(f"{PATH}/{id_}", headers=make_key(("lookup",)).headers).status_code == 404
    answer = client.delete(f"{PATH}/{id_}", headers=maker)
    assert answer.get_json() == {"id": id_, "seq": 4, "state": "erased"}
    assert client.get(f"{PATH}/{id_}").status_code == 404
    with store.read() as connection:
        assert connection.execute(select(RECEIPT)).all() == []
        salts = connection.execute(select(EVENT.c.salt).where(EVENT.c.seq == 3)).scalar_one()
    assert bytes(salts) == b""
    assert list(check_rows(store)) == []
    assert client.post("/api/v1/lookup", json={"items": []}).status_code == 200
    assert sent(client, run_of(checkpoint), maker).get_json()["published"] == {"id": id_, "seq": 5}


BEHIND = {
    "another bundle": (update(RECEIPT).values(bundle="{}"), "event 3: its rows are not"),
    "another run": (update(RECEIPT).values(run="0" * 64), "event 3: its rows are not"),
    "another event": (update(RECEIPT).values(from_seq=2), "that no event 2 brought"),
    "one deleted": (delete(RECEIPT), "event 3: the receipt of which it tells"),
    "one slipped in": (
        insert(RECEIPT).values(
            id="c" * 32, from_seq=1, sha256="c" * 64, run="c" * 64, bundle="{}", principal_id="x", at=1
        ),
        "that no event 1 brought",
    ),
}


@pytest.mark.parametrize("case", BEHIND)
def test_what_is_done_behind_its_back_is_found(client, store, published, case):
    statement, found = BEHIND[case]
    with store.administer() as connection:
        connection.execute(statement)
    assert [one for one in check_rows(store) if found in one] != []


def test_a_damaged_receipt_is_shown_to_nobody(client, store, published):
    with store.administer() as connection:
        connection.execute(update(RECEIPT).values(bundle="{}"))
    for path in (f"{PATH}/{published['published']['id']}", f"/badge/{published['published']['id']}.svg"):
        assert client.get(path).status_code == 503


def test_a_mirror_writes_what_the_event_says(client, store, published):
    """Undone and told again, as a mirror that fell behind does it."""
    with store.read() as connection:
        [row] = events.between(connection, 2, 3)
        said = payloads.payloads_of(connection, [3])[3]
        before = connection.execute(select(RECEIPT)).one()
    with store.administer() as connection:
        discard_beyond(connection, 2)
        connection.exec_driver_sql("UPDATE head SET n = 2")
        assert connection.execute(select(RECEIPT)).all() == []
    leaf = parse_leaf(bytes(row.leaf))
    with store.write() as tx:
        replay(tx, leaf, said, row.at)
        events.append(tx, op=row.op, record=row.record, at=row.at, salt=bytes(row.salt), leaf=bytes(row.leaf))
    with store.read() as connection:
        assert connection.execute(select(RECEIPT)).one() == before
    assert list(check_rows(store)) == []
    for wrong in ({}, {"receipt": {}}, {"receipt": said["receipt"] | {"id": "0" * 32}}, {"more": 1, **said}):
        with pytest.raises(ValueError, match="an event that published a receipt says"), store.write() as tx:
            replay(tx, replace(leaf, seq=4), wrong, row.at)


def test_a_lost_row_is_an_error_and_no_empty_payload(client, store, published):
    with store.administer() as connection:
        connection.execute(delete(RECEIPT))
    with store.read() as connection, pytest.raises(StorageError, match="event 3: the receipt of which"):
        payloads.payloads_of(connection, [3])
