"""Which event was the last at a time, and the signed state that shows what was known then."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from registry.merkle import require_consistency
from registry.note import Signer, open_note, parse_checkpoint
from registry.publisher import Publisher
from tests.api.receipts import Clock

BEGIN = 1_793_707_200  # 2026-11-03 12:00 UTC
HOUR = 3600
WORK = {"preferences": {"genai-train": "reserved"}, "works": [{"url": "https://ada.test/1.jpg"}]}


@pytest.fixture
def clock() -> Clock:
    return Clock(BEGIN)


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register",)).headers


@pytest.fixture
def client(timed_client: FlaskClient) -> FlaskClient:
    return timed_client


@pytest.fixture
def record(client: FlaskClient, ada: dict[str, str], clock: Clock) -> str:
    """Event 1 at twelve, 2 at one, and 3, which withdraws the first, at two; now it is three."""
    ids = []
    for _ in range(2):
        ids.append(client.post("/api/v1/reservations", json=WORK, headers=ada).get_json()["id"])
        clock.seconds += HOUR
    client.delete(f"/api/v1/reservations/{ids[0]}", headers=ada)
    clock.seconds += HOUR
    return str(ids[0])


def asked(client: FlaskClient, time: str) -> Any:
    return client.get("/api/v1/events/at", query_string={"time": time})


@pytest.mark.parametrize(
    ("time", "seq", "at", "following"),
    [
        ("2026-11-03T12:00Z", 1, "12:00", "13:00"),
        ("2026-11-03T12:00:00Z", 1, "12:00", "13:00"),
        ("2026-11-03T12:59:59Z", 1, "12:00", "13:00"),
        ("2026-11-03T13:00:00Z", 2, "13:00", "14:00"),
        ("2026-11-03T14:30:00+01:00", 2, "13:00", "14:00"),
        ("2026-11-03T09:30:00-05:00", 3, "14:00", None),
        ("2026-11-03T15:00:00Z", 3, "14:00", None),
    ],
)
def test_the_last_event_by_then(client, record, time, seq, at, following):
    told = asked(client, time).get_json()
    assert told["as_of_seq"] == seq
    assert told["at"] == f"2026-11-03T{at}:00Z"
    assert told["next_at"] == (following and f"2026-11-03T{following}:00Z")


def test_a_day_is_its_end_in_utc(client, record, clock):
    assert asked(client, "2026-11-03").status_code == 422
    clock.seconds += 24 * HOUR
    told = asked(client, "2026-11-03").get_json()
    assert (told["time"], told["as_of_seq"]) == ("2026-11-03T23:59:59Z", 3)


REFUSED = {
    "before the first event": (
        "2026-11-03T11:59:59Z",
        "no event by then; its first is of 2026-11-03T12:00:00Z",
    ),
    "the day before": ("2026-11-02", "no event by then"),
    "yet to come": ("2026-11-03T15:00:01Z", "is yet to come"),
    "a day that is not over": ("2026-11-03", "is yet to come"),
    "nothing": ("", "cannot be read"),
    "a number": ("1793707200", "cannot be read"),
    "no such day": ("2026-02-30", "cannot be read"),
    "no such hour": ("2026-11-03T24:01Z", "cannot be read"),
    "no zone": ("2026-11-03T12:00:00", "cannot be read"),
    "a fraction": ("2026-11-03T12:00:00.5Z", "cannot be read"),
    "other digits": ("２０２６-11-03", "cannot be read"),
    "a newline": ("2026-11-03\n", "cannot be read"),
    "the last day of all": ("9999-12-31", "cannot be read"),
    "before all days": ("0001-01-01T00:00+23:59", "no event by then"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_refused_by_name(client, record, case):
    time, told = REFUSED[case]
    answer = asked(client, time)
    assert answer.status_code == 422
    assert told in answer.get_json(force=True)["detail"]


def test_a_registry_without_events_knew_nothing(client):
    answer = asked(client, "2026-11-03T12:00Z")
    assert answer.status_code == 422
    assert "it has none yet" in answer.get_json(force=True)["detail"]


def test_a_later_signed_state_shows_it(client, record, publisher: Publisher, signer: Signer):
    publisher.publish()
    for time, seq in (("12:30", 1), ("13:30", 2), ("14:30", 3)):
        told = asked(client, f"2026-11-03T{time}Z").get_json()
        checkpoint = parse_checkpoint(open_note(told["checkpoint"], [signer.verifier])[0])
        path = [bytes.fromhex(one) for one in told["proof"]]
        require_consistency(seq, checkpoint.size, bytes.fromhex(told["root"]), checkpoint.root, path)


def test_without_a_state_that_covers_it_there_is_no_root(client, record, ada, publisher, clock):
    assert asked(client, "2026-11-03T12:30Z").get_json()["checkpoint"] is None
    publisher.publish()
    client.post("/api/v1/reservations", json=WORK, headers=ada)
    told = asked(client, "2026-11-03T15:00Z").get_json()
    assert told["as_of_seq"] == 4
    assert told["checkpoint"] is not None
    assert (told["root"], told["proof"]) == (None, None)


def test_what_was_erased_since_is_counted_where_it_stood(client, record, ada, clock):
    other = client.post("/api/v1/reservations", json=WORK, headers=ada).get_json()["id"]  # event 4, at three
    clock.seconds += HOUR
    client.post(f"/api/v1/reservations/{record}/erase", json={"keep": False}, headers=ada)  # 5, at four
    clock.seconds += HOUR
    client.post(f"/api/v1/reservations/{other}/erase", json={"keep": True}, headers=ada)  # 6, at five
    clock.seconds += HOUR
    client.post(f"/api/v1/reservations/{other}/erase", json={"keep": False}, headers=ada)  # 7, at six
    expected = {
        "12:30": 1,  # the first stood
        "13:30": 1,
        "14:30": 0,  # the first was withdrawn by then
        "15:30": 1,  # the other stood
        "16:30": 1,  # what of the first was erased by then, nobody knew then either
        "17:30": 1,  # the other stood without names
        "18:00": 0,
    }
    told = {time: asked(client, f"2026-11-03T{time}Z").get_json()["erased_since"] for time in expected}
    assert told == expected
    item = {"items": [{"id": "1", "url": "https://free.example/x.jpg"}]}
    for seq, status in {1: "error", 3: "ok", 4: "error", 7: "ok"}.items():
        [then] = client.post("/api/v1/lookup", json=item | {"as_of_seq": seq}).get_json()["results"]
        assert (then["status"], then["preference"]) == (status, "unknown" if status == "ok" else None), seq


def test_with_as_of_seq_a_look_up_says_what_was_known_then(client, record):
    item = {"id": "1", "url": "https://ada.test/1.jpg"}
    for time, count in (("12:30", 1), ("13:30", 2), ("14:30", 1)):
        seq = asked(client, f"2026-11-03T{time}Z").get_json()["as_of_seq"]
        answer = client.post("/api/v1/lookup", json={"as_of_seq": seq, "items": [item]}).get_json()
        assert len(answer["results"][0]["statements"]) == count
