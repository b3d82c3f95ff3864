"""What the log proves about a record, checked without the registry; and the feed of all events."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from registry.errors import ProofError
from registry.evidence import check_evidence
from registry.leaf import commit, parse_leaf
from registry.note import Signer, Verifier, open_note, parse_checkpoint
from registry.publisher import Publisher
from registry.registrar import Registrar

DRAFT = {
    "preferences": {"train": "reserved"},
    "label": "Ada",
    "works": [{"title": "One", "url": "https://ada.test/1.jpg", "sha256": "5f" * 32}],
    "rules": [{"kind": "exact", "value": "https://ada.test/2.jpg"}],
}


@pytest.fixture
def client(make_app: Callable[..., Any], publisher: Publisher) -> FlaskClient:
    return make_app(log=publisher.folder.path).test_client()


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register",)).headers


@pytest.fixture
def record(client: FlaskClient, ada: dict[str, str], publisher: Publisher) -> str:
    """One that was lodged, added to, changed; all of it published, and one more change that is not yet."""
    id_ = client.post("/api/v1/reservations", json=DRAFT, headers=ada).get_json()["id"]
    for n in range(3):
        client.post("/api/v1/reservations", json=DRAFT, headers=ada)
        client.post(
            f"/api/v1/reservations/{id_}/works", json={"works": [{"sha256": f"{n:064x}"}]}, headers=ada
        )
    publisher.publish()
    client.patch(f"/api/v1/reservations/{id_}", json={"label": "A. L."}, headers=ada)
    return id_


def evidence_of(client: FlaskClient, record: str, headers: dict[str, str]) -> dict[str, Any]:
    answer = client.get(f"/api/v1/reservations/{record}/evidence", headers=headers)
    assert answer.status_code == 200
    return answer.get_json()


def test_it_proves_each_event_and_what_it_said(client, record, ada, signer):
    evidence = json.loads(json.dumps(evidence_of(client, record, ada)))
    checkpoint, proven = check_evidence(evidence, [signer.verifier])
    assert checkpoint is not None
    assert checkpoint.size == 7
    assert [one.leaf.op for one in proven] == ["register", "works", "works", "works", "change"]
    assert [one.logged for one in proven] == [True] * 4 + [False]
    assert proven[0].payload["works"][0]["url"] == "https://ada.test/1.jpg"
    assert proven[-1].payload["version"]["label"] == "A. L."


def test_once_published_the_last_event_is_proven_too(client, record, ada, signer, publisher):
    publisher.publish()
    _, proven = check_evidence(evidence_of(client, record, ada), [signer.verifier])
    assert all(one.logged for one in proven)


def changed(where: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(evidence: dict[str, Any]) -> None:
        *path, last = where.split(".")
        at: Any = evidence
        for name in path:
            at = at[int(name) if name.isdigit() else name]
        at[int(last) if last.isdigit() else last] = value

    return change


FORGERIES = {
    "another payload": changed("events.0.payload.version.label", "Eve"),
    "a work more": lambda e: e["events"][0]["payload"]["works"].append({"url": "https://eve.test/"}),
    "another salt": changed("events.0.salt", "00" * 16),
    "another record": changed("record", "x" * 26),
    "another number": changed("events.0.seq", 2),
    "another path": changed("events.0.proof.0", "00" * 32),
    "a path too short": lambda e: e["events"][0]["proof"].pop(),
    "another leaf": lambda e: e["events"][0].update(leaf=e["events"][1]["leaf"]),
    "events that changed places": lambda e: e["events"].reverse(),
    "an event twice": lambda e: e["events"].insert(0, copy.deepcopy(e["events"][0])),
    "a path for what is not published": lambda e: e["events"][4].update(proof=e["events"][0]["proof"]),
    "paths without a checkpoint": changed("checkpoint", None),
    "another checkpoint": lambda e: e.update(checkpoint=e["checkpoint"].replace("\n7\n", "\n8\n")),
    "no list": changed("events", None),
    "no member": lambda e: e.pop("record"),
    "no text": changed("events.0.leaf", 7),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused(client, record, ada, signer, forge):
    evidence = evidence_of(client, record, ada)
    forge(evidence)
    with pytest.raises(ProofError):
        check_evidence(evidence, [signer.verifier])


def test_the_key_of_another_log_proves_nothing(client, record, ada):
    with pytest.raises(ProofError, match="not signed"):
        check_evidence(evidence_of(client, record, ada), [Signer.new("log.example").verifier])


def test_others_see_that_it_happened_and_not_what(client, record, make_key, signer):
    asker = make_key(("lookup",)).headers
    evidence = evidence_of(client, record, asker)
    _, proven = check_evidence(evidence, [signer.verifier])
    assert [one.leaf.seq for one in proven] == [1, 3, 5, 7, 8]
    assert {one.payload for one in proven} == {None}
    assert "ada.test" not in json.dumps(evidence)
    assert {event["salt"] for event in evidence["events"]} == {None}


def test_without_a_right_to_it_there_is_none(client, record, make_key):
    stranger = make_key(("register",)).headers
    assert client.get(f"/api/v1/reservations/{record}/evidence", headers=stranger).status_code == 404
    assert client.get(f"/api/v1/reservations/{'a' * 26}/evidence", headers=stranger).status_code == 404
    assert client.get(f"/api/v1/reservations/{record}/evidence").status_code == 401
    nobody = make_key(("mirror",)).headers
    assert client.get(f"/api/v1/reservations/{record}/evidence", headers=nobody).status_code == 403


def test_a_new_key_is_announced_in_the_log_that_both_sign(client, record, publisher, store, signer):
    new = Signer.new(signer.name)
    publisher.folder.write_signers([new, signer])
    from datetime import UTC, datetime

    Registrar(store, lambda: datetime.now(UTC)).announce_key("key", new.verifier.text)
    both = Publisher(store, publisher.folder, new, [signer])
    both.publish()
    evidence = client.get("/api/v1/log/keys").get_json()
    assert evidence["keys"] == [new.verifier.text, signer.verifier.text]
    _, proven = check_evidence(evidence, [signer.verifier])
    assert [Verifier.parse(one.leaf.key) for one in proven] == [new.verifier]
    assert proven[0].logged
    assert check_evidence(evidence, [new.verifier])[1] == proven


def pages(client: FlaskClient, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        answer = client.get(f"/api/v1/changes?after={after}", headers=headers)
        assert answer.status_code == 200
        page = answer.get_json()
        found, after = found + page["events"], page["next"]
    return found


def test_the_feed_has_every_event_in_order(client, record, make_key, ada):
    follower = make_key(("mirror",)).headers
    events = pages(client, follower)
    assert [event["seq"] for event in events] == list(range(1, 9))
    for event in events:
        leaf = parse_leaf(event["leaf"].encode())
        assert (leaf.seq, leaf.op, leaf.record) == (event["seq"], event["op"], event["record"])
        assert commit(bytes.fromhex(event["salt"]), event["payload"]) == leaf.commitment


@pytest.mark.parametrize("scopes", [None, ("lookup", "register")], ids=str)
def test_what_was_said_is_for_keys_that_may_mirror(client, record, make_key, scopes):
    events = pages(client, scopes and make_key(scopes).headers)
    assert [event["seq"] for event in events] == list(range(1, 9))
    assert {(event["salt"], event["payload"]) for event in events} == {(None, None)}
    assert "ada.test" not in json.dumps(events)


def test_a_page_is_bounded_by_what_it_holds(client, make_key, ada, monkeypatch):
    from api.v1 import changes

    monkeypatch.setattr(changes, "_MOST_ROWS", 25)
    works = [{"sha256": f"{n:064x}"} for n in range(20)]
    for size in (20, 1, 4, 1, 20, 20):
        client.post("/api/v1/reservations", json={**DRAFT, "works": works[:size], "rules": []}, headers=ada)
    page = client.get("/api/v1/changes", headers=make_key(("mirror",)).headers).get_json()
    assert ([event["seq"] for event in page["events"]], page["next"]) == ([1, 2, 3], 3)
    assert len(pages(client, make_key(("mirror",)).headers)) == 6


def test_what_was_erased_is_not_in_the_feed(client, record, make_key, ada):
    assert client.post(
        f"/api/v1/reservations/{record}/erase", json={"keep": False}, headers=ada
    ).get_json() == {"id": record, "seq": 9, "state": "erased", "works": 0, "rules": 0, "exact_only": []}
    events = pages(client, make_key(("mirror",)).headers)
    gone = [event for event in events if event["record"] == record and event["op"] != "erase"]
    assert {(event["erased_by"], event["salt"], event["payload"]) for event in gone} == {(9, None, None)}
    assert events[-1]["payload"] == {"version": None, "works": [], "rules": []}


@pytest.mark.parametrize("after", ["-1", "x", "", "1.0", "99999999999999999999"])
def test_after_must_be_the_number_of_an_event(client, after):
    assert client.get(f"/api/v1/changes?after={after}").status_code == 422


def test_after_the_last_event_there_is_nothing(client, record):
    for after in (8, 9, 1000):
        page = client.get(f"/api/v1/changes?after={after}").get_json()
        assert (page["events"], page["next"], page["head"]) == ([], None, 8)


def test_the_checkpoint_of_a_page_is_the_last_one(client, record, publisher, signer):
    page = client.get("/api/v1/changes").get_json()
    assert parse_checkpoint(open_note(page["checkpoint"], [signer.verifier])[0]).size == 7
