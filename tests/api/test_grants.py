"""``/api/v1/grants``: given by the owner, signed, heeded in look-ups for its holders until taken back."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.settings import Settings
from registry.dsse import Envelope
from registry.evidence import check_evidence
from registry.grant import open_grant
from registry.note import Signer
from registry.publisher import Publisher

NOW = 1_795_000_000
PATH = "/api/v1/grants"
URL = "https://ada.test/1.jpg"
DRAFT: dict[str, Any] = {
    "preferences": {"train": "reserved", "genai-train": "reserved", "tdm": "conditional"},
    "label": "Ada",
    "works": [{"url": URL}, {"url": "https://ada.test/2.jpg"}],
    "rules": [{"kind": "exact", "value": "https://ada.test/3.jpg"}],
}
USES = ["genai-train", "tdm"]


class Clock:
    """The service's clock, which a test sets."""

    seconds = NOW

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(
    make_app: Callable[..., Any], publisher: Publisher, clock: Clock, database_url: str
) -> FlaskClient:
    client = make_app(log=publisher.folder.path).test_client()
    timed = create_app(Settings(database=database_url, log=publisher.folder.path), clock)
    client.application.extensions["caveat"] = timed.extensions["caveat"]
    yield client
    timed.extensions["caveat"].store.close()


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register",)).headers


@pytest.fixture
def ben(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register", "lookup", "domain:*"), evidence_level=4).headers


@pytest.fixture
def record(client: FlaskClient, ada: dict[str, str]) -> str:
    return client.post("/api/v1/reservations", json=DRAFT, headers=ada).get_json()["id"]


def body(record: str, **other: Any) -> dict[str, Any]:
    to = {"name": "Acme", "url": "https://acme.example/"}
    return {"reservation": record, "uses": USES, "licensee": to, "valid_until": NOW + 1000, **other}


@pytest.fixture
def granted(client: FlaskClient, ada: dict[str, str], record: str) -> dict[str, Any]:
    response = client.post(PATH, json=body(record, terms="one model"), headers=ada)
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"{PATH}/{response.get_json()['id']}"
    return response.get_json()


def marks(client: FlaskClient, ids: list[str], use: str = "genai-train", **other: Any) -> list[str]:
    """The grants by which the statements about Ada's three addresses are marked; what is said stands."""
    items = [{"id": str(n), "url": f"https://ada.test/{n}.jpg"} for n in (1, 2, 3)]
    answer = client.post("/api/v1/lookup", json={"use": use, "items": items, "grants": ids, **other})
    assert answer.status_code == 200, answer.text
    results = answer.get_json()["results"]
    assert {one["preference"] for one in results} <= {"reserved", "conditional"}
    return [one["statements"][0].get("grant", "") for one in results]


def test_what_is_handed_out_is_signed_by_the_log(client, granted, record, signer):
    grant = open_grant(Envelope.from_wire(granted["envelope"]), [signer.verifier])
    assert granted["grant"] == grant.to_wire()
    assert (granted["state"], granted["seq"], grant.id) == ("granted", 2, granted["id"])
    assert (grant.reservation, grant.registry, grant.seq) == (record, "log.example", 2)
    assert (grant.valid_from, grant.valid_until, grant.issued_at) == (NOW, NOW + 1000, NOW)
    assert (grant.works, grant.uses, grant.licensee, grant.terms) == (None, tuple(USES), "Acme", "one model")
    assert client.get(f"{PATH}/{grant.id}").get_json() == granted


def test_after_a_rotation_it_is_signed_by_the_new_key(client, granted, publisher):
    new = Signer.new("log.example")
    publisher.folder.write_signers([new])
    shown = client.get(f"{PATH}/{granted['id']}").get_json()
    assert open_grant(Envelope.from_wire(shown["envelope"]), [new.verifier]).to_wire() == granted["grant"]


class TestLookUps:
    def test_what_it_covers_is_marked_for_who_names_it(self, client, granted):
        id_ = granted["id"]
        assert marks(client, [id_]) == [id_, id_, id_]
        assert marks(client, [id_], "tdm") == [id_, id_, id_]
        assert marks(client, []) == ["", "", ""]
        assert marks(client, ["a" * 26]) == ["", "", ""]
        assert marks(client, ["a" * 26, id_]) == [id_, id_, id_]

    def test_of_another_use_nothing_is_marked(self, client, granted):
        assert marks(client, [granted["id"]], "train") == ["", "", ""]

    def test_of_single_works_these_are_marked(self, client, ada, record):
        id_ = client.post(PATH, json=body(record, works=["1.1"]), headers=ada).get_json()["id"]
        assert marks(client, [id_]) == ["", id_, ""]

    def test_works_added_later_are_covered_with_the_whole(self, client, ada, record, granted):
        more = {"works": [{"url": "https://ada.test/4.jpg"}]}
        assert client.post(f"/api/v1/reservations/{record}/works", json=more, headers=ada).status_code == 201
        items = [{"id": "a", "url": "https://ada.test/4.jpg"}]
        answer = client.post("/api/v1/lookup", json={"items": items, "grants": [granted["id"]]}).get_json()
        assert answer["results"][0]["statements"][0]["grant"] == granted["id"]

    def test_the_words_of_others_are_not_marked(self, client, ben, granted):
        client.post("/api/v1/reservations", json=DRAFT | {"label": "Ben"}, headers=ben)
        items = [{"id": "a", "url": URL}]
        asked = {"items": items, "grants": [granted["id"]]}
        said = client.post("/api/v1/lookup", json=asked, headers=ben).get_json()["results"][0]["statements"]
        assert {one["label"]: one.get("grant") for one in said} == {"Ada": granted["id"], "Ben": None}

    @pytest.mark.parametrize(
        ("seconds", "counts"),
        [
            pytest.param(NOW - 1, False, id="before"),
            pytest.param(NOW, True, id="first"),
            pytest.param(NOW + 999, True, id="last"),
            pytest.param(NOW + 1000, False, id="after"),
        ],
    )
    def test_it_counts_while_it_is_valid(self, client, granted, clock, seconds, counts):
        clock.seconds = seconds
        assert marks(client, [granted["id"]]) == [granted["id"] if counts else ""] * 3

    def test_taken_back_it_counts_no_more(self, client, ada, granted):
        taken = client.delete(f"{PATH}/{granted['id']}", headers=ada)
        assert (taken.status_code, taken.get_json()) == (
            200,
            {"id": granted["id"], "seq": 3, "state": "revoked"},
        )
        assert marks(client, [granted["id"]]) == ["", "", ""]
        assert marks(client, [granted["id"]], as_of_seq=2) == [granted["id"]] * 3
        assert marks(client, [granted["id"]], as_of_seq=1) == ["", "", ""]
        shown = client.get(f"{PATH}/{granted['id']}").get_json()
        assert (shown["state"], shown["seq"]) == ("revoked", 3)

    def test_taking_it_back_again_changes_nothing(self, client, ada, granted, store):
        told = [client.delete(f"{PATH}/{granted['id']}", headers=ada).get_json() for _ in range(2)]
        assert told[0] == told[1]
        assert store.head() == 3

    def test_of_what_is_no_identifier_nothing_is_answered(self, client, granted):
        for wrong in ("", "A" * 26, granted["id"] + "\n", granted["id"] + " "):
            answer = client.post("/api/v1/lookup", json={"items": [], "grants": [wrong]})
            assert (answer.status_code, answer.get_json(force=True)["title"]) == (422, "invalid")
        many = client.post("/api/v1/lookup", json={"items": [], "grants": ["a" * 26] * 101})
        assert (many.status_code, many.get_json(force=True)["title"]) == (413, "too large")


class TestTheReservation:
    def test_withdrawn_it_can_be_granted_no_more(self, client, ada, record):
        client.delete(f"/api/v1/reservations/{record}", headers=ada)
        assert client.post(PATH, json=body(record), headers=ada).status_code == 409

    def test_erased_its_grants_are_gone_and_nobody_named(self, client, ada, record, granted, store):
        for keep in (True, False):
            client.post(f"/api/v1/reservations/{record}/erase", json={"keep": keep}, headers=ada)
            assert client.get(f"{PATH}/{granted['id']}").status_code == 404
            assert client.delete(f"{PATH}/{granted['id']}", headers=ada).status_code == 404
        with store.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM grant_row").scalar_one() == 0

    def test_its_evidence_proves_the_grant_to_its_owner(self, client, ada, record, granted, publisher):
        client.delete(f"{PATH}/{granted['id']}", headers=ada)
        publisher.publish()
        told = client.get(f"/api/v1/reservations/{record}/evidence", headers=ada).get_json()
        _, proven = check_evidence(told, [publisher.signer.verifier])
        assert [one.leaf.op for one in proven] == ["register", "grant", "revoke-grant"]
        assert proven[1].payload["grant"]["licensee"] == "Acme"
        assert proven[2].payload == {"revoked": granted["id"]}

    def test_the_log_names_no_grant(self, client, granted):
        told = client.get("/api/v1/changes").text
        assert '"op":"grant"' in told.replace(" ", "")
        assert granted["id"] not in told
        assert "Acme" not in told


WRONG = {
    "nothing to grant": ({"uses": []}, 422, "uses"),
    "a use that is none": ({"uses": ["all"]}, 422, "uses"),
    "to nobody": ({"licensee": {"name": ""}}, 422, "licensee.name"),
    "to two lines": ({"licensee": {"name": "A\nB"}}, 422, "licensee: has control"),
    "an end that is past": ({"valid_until": NOW}, 422, "is not after valid_from"),
    "a time that is past": ({"valid_from": 1, "valid_until": NOW}, 422, "is past"),
    "an end before its beginning": ({"valid_from": NOW + 2000}, 422, "is not after valid_from"),
    "an end after all": ({"valid_until": 10**15}, 422, "valid_until"),
    "a date as a text": ({"valid_until": "2027-01-01"}, 422, "valid_until"),
    "no end": ({"valid_until": None}, 422, "valid_until"),
    "no works": ({"works": []}, 422, "works"),
    "a work that is not there": ({"works": ["1.2"]}, 422, "1.2 is no work of"),
    "a rule as a work": ({"works": ["1.0", "2.0"]}, 422, "2.0 is no work of"),
    "a work that is no name of one": ({"works": ["one"]}, 422, "is no work"),
    "another's reservation": ({"reservation": "a" * 26}, 404, "no such reservation of yours"),
    "no reservation": ({"reservation": "x"}, 404, "no such reservation of yours"),
    "a member more": ({"for_ever": True}, 422, "for_ever"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "status", "told"), WRONG.values(), ids=WRONG)
def test_what_is_not_granted(client, ada, record, store, change, status, told):
    response = client.post(PATH, json=body(record) | change, headers=ada)
    assert response.status_code == status, response.text
    assert told in response.get_json(force=True)["detail"]
    assert store.head() == 1


def test_nobody_else_grants_or_takes_back(client, ben, record, granted, store):
    assert client.post(PATH, json=body(record), headers=ben).status_code == 404
    assert client.delete(f"{PATH}/{granted['id']}", headers=ben).status_code == 404
    assert client.post(PATH, json=body(record)).status_code == 401
    assert client.delete(f"{PATH}/{granted['id']}").status_code == 401
    assert client.get(f"{PATH}/{'a' * 26}").status_code == 404
    assert client.get(f"{PATH}/%00").status_code == 404
    assert store.head() == 2


def test_another_key_of_the_same_level_that_only_looks_up_grants_nothing(client, make_key, record):
    assert client.post(PATH, json=body(record), headers=make_key(("lookup",)).headers).status_code == 403


def test_sent_twice_it_is_granted_once(client, ada, record, store):
    headers = {**ada, "Idempotency-Key": "k1"}
    told = [client.post(PATH, json=body(record), headers=headers).get_json() for _ in range(2)]
    assert told[0] == told[1]
    assert store.head() == 2
    other = client.post(PATH, json=body(record, terms="x"), headers=headers)
    assert (other.status_code, store.head()) == (409, 2)


@pytest.mark.parametrize("without", ["log", "key"])
def test_without_a_key_to_sign_with_nothing_is_granted(make_app, make_key, tmp_path, store, without):
    client = make_app(log=None if without == "log" else tmp_path / "empty").test_client()
    headers = make_key(("register",)).headers
    record = client.post("/api/v1/reservations", json=DRAFT, headers=headers).get_json()["id"]
    answer = client.post(PATH, json=body(record, valid_until=4_000_000_000), headers=headers)
    assert (answer.status_code, answer.get_json(force=True)["title"]) == (503, "log")
    assert store.head() == 1
