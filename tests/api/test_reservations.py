"""``/api/v1/reservations``: lodging, seeing, changing, withdrawing; one's own, and nobody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from registry.store import Store

PATH = "/api/v1/reservations"
URL = "https://example.org/a.jpg"
BODY: dict[str, Any] = {
    "preferences": {"genai-train": "reserved", "tdm": "conditional"},
    "label": "Ada",
    "terms": "https://example.org/terms",
    "contact": "mailto:ada@example.org",
    "works": [{"title": "One", "url": "http://www.example.org/a.jpg#x"}, {"sha256": "ab" * 32}],
    "rules": [{"kind": "exact", "value": "https://example.org/b.jpg"}],
}


@pytest.fixture
def headers(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register", "domain:example.org"), evidence_level=1).headers


@pytest.fixture
def foreign(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register", "lookup", "domain:*"), evidence_level=4).headers


@pytest.fixture
def id_(client: FlaskClient, headers: dict[str, str]) -> str:
    return client.post(PATH, json=BODY, headers=headers).get_json()["id"]


def preference(client: FlaskClient, url: str = URL) -> str:
    answer = client.post("/api/v1/lookup", json={"items": [{"id": "a", "url": url}]})
    return answer.get_json()["results"][0]["preference"]


def detail_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    return response.get_json(force=True)["detail"]


class TestALife:
    def test_lodged(self, client: FlaskClient, headers: dict[str, str]) -> None:
        assert preference(client) == "unknown"
        response = client.post(PATH, json=BODY, headers=headers)
        told = response.get_json()
        wanted = {"seq": 1, "state": "verified", "works": 2, "rules": 1, "exact_only": []}
        assert (response.status_code, told) == (201, {"id": told["id"], **wanted})
        assert response.headers["Location"] == f"{PATH}/{told['id']}"
        assert preference(client) == preference(client, "https://example.org/b.jpg") == "reserved"

    def test_shown(self, client: FlaskClient, headers: dict[str, str], id_: str) -> None:
        told = client.get(f"{PATH}/{id_}", headers=headers).get_json()
        (event,) = told.pop("history")
        assert (event["seq"], event["op"]) == (1, "register")
        assert told == {
            **{name: BODY[name] for name in ("preferences", "label", "terms", "contact", "rules")},
            "id": id_,
            "seq": 1,
            "state": "verified",
            "public": False,
            "evidence_level": 1,
            "works": 2,
        }

    def test_works_shown(self, client: FlaskClient, headers: dict[str, str], id_: str) -> None:
        told = client.get(f"{PATH}/{id_}/works", headers=headers).get_json()
        one = {"work": "1.0", "title": "One", "url": URL, "sha256": None, "windows": []}
        two = {"work": "1.1", "title": "", "url": None, "sha256": "ab" * 32, "windows": []}
        assert told == {"works": [one, two], "next": None}

    def test_works_added(self, client: FlaskClient, headers: dict[str, str], id_: str) -> None:
        body = {"works": [{"url": "https://example.org/c.jpg"}]}
        response = client.post(f"{PATH}/{id_}/works", json=body, headers=headers)
        assert (response.status_code, response.get_json()["seq"], response.get_json()["works"]) == (201, 2, 1)
        assert preference(client, "https://example.org/c.jpg") == "reserved"

    def test_changed(self, client: FlaskClient, headers: dict[str, str], id_: str) -> None:
        change = {"preferences": {"genai-train": "conditional"}, "label": ""}
        response = client.patch(f"{PATH}/{id_}", json=change, headers=headers)
        assert (response.status_code, response.get_json()["seq"]) == (200, 2)
        assert preference(client) == "conditional"
        told = client.get(f"{PATH}/{id_}", headers=headers).get_json()
        assert (told["preferences"], told["label"], told["terms"]) == (*change.values(), BODY["terms"])
        assert [event["op"] for event in told["history"]] == ["register", "change"]

    def test_withdrawn(self, client: FlaskClient, headers: dict[str, str], id_: str) -> None:
        first = client.delete(f"{PATH}/{id_}", headers=headers)
        again = client.delete(f"{PATH}/{id_}", headers=headers)
        assert (first.status_code, first.get_json()) == (again.status_code, again.get_json())
        assert (first.get_json()["seq"], first.get_json()["state"]) == (2, "withdrawn")
        assert preference(client) == "unknown"
        assert client.get(f"{PATH}/{id_}", headers=headers).get_json()["state"] == "withdrawn"
        for response in (
            client.patch(f"{PATH}/{id_}", json={"label": "x"}, headers=headers),
            client.post(f"{PATH}/{id_}/works", json={"works": [{"url": URL}]}, headers=headers),
        ):
            assert "withdrawn" in detail_of(response, 409)

    def test_works_come_in_pages(self, client: FlaskClient, headers: dict[str, str]) -> None:
        works = [{"url": f"https://example.org/{n}"} for n in range(1500)]
        id_ = client.post(PATH, json={**BODY, "works": works}, headers=headers).get_json()["id"]
        client.post(f"{PATH}/{id_}/works", json={"works": works[:700]}, headers=headers)
        seen, after = [], "0.-1"
        while after:
            page = client.get(f"{PATH}/{id_}/works?after={after}", headers=headers).get_json()
            seen += [work["url"] for work in page["works"]]
            after = page["next"]
        assert seen == [work["url"] for work in works + works[:700]]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"label": "x"}),
        ("DELETE", "", None),
        ("GET", "/works", None),
        ("POST", "/works", {"works": [{"url": URL}]}),
    ],
)
def test_what_is_others_looks_as_if_it_were_not_there(
    client: FlaskClient, store: Store, foreign: dict[str, str], id_: str, method: str, path: str, body: Any
) -> None:
    def ask(id_: str) -> tuple[str, dict[str, str]]:
        response = client.open(f"{PATH}/{id_}{path}", method=method, json=body, headers=foreign)
        detail_of(response, 404)
        return response.text.replace(id_, "ID"), {k: v for k, v in response.headers.items() if k != "Date"}

    assert ask(id_) == ask("a" * 26)
    assert store.head() == 1


class TestIdempotencyKey:
    def test_the_same_request_gets_the_same_answer(
        self, client: FlaskClient, store: Store, headers: dict[str, str]
    ) -> None:
        keyed = {**headers, "Idempotency-Key": "one"}
        first, again = (client.post(PATH, json=BODY, headers=keyed) for _ in range(2))
        assert (first.status_code, first.data) == (again.status_code, again.data)
        assert first.headers["Location"] == again.headers["Location"]
        assert store.head() == 1

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    def test_another_request_is_409(
        self, client: FlaskClient, store: Store, headers: dict[str, str], id_: str, method: str
    ) -> None:
        keyed = {**headers, "Idempotency-Key": "one"}
        client.post(PATH, json=BODY, headers=keyed)
        path, body = (PATH, {**BODY, "label": "x"}) if method == "POST" else (f"{PATH}/{id_}", {"label": "x"})
        response = client.open(path, method=method, json=body, headers=keyed)
        assert "Idempotency-Key" in detail_of(response, 409)
        assert store.head() == 2

    @pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "a\tb"])
    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_keys_of_another_form_are_422(
        self, client: FlaskClient, headers: dict[str, str], id_: str, method: str, key: str
    ) -> None:
        keyed = {**headers, "Idempotency-Key": key.encode().decode("latin-1")}
        path = PATH if method == "POST" else f"{PATH}/{id_}"
        detail_of(client.open(path, method=method, json=BODY, headers=keyed), 422)


def with_work(**work: Any) -> dict[str, Any]:
    return {**BODY, "works": [{"url": URL}, work]}


def with_rule(kind: str, value: str) -> dict[str, Any]:
    return {**BODY, "rules": [{"kind": kind, "value": value}]}


FLAT = {"v": 1, "quality": 0, "pdq": {"full": "00" * 32}}
REFUSED = {
    # body → where the answer says that it is wrong
    "nothing reserved": ({**BODY, "works": [], "rules": []}, "works, rules"),
    "nothing said": ({**BODY, "preferences": {}}, "preferences"),
    "an unknown use": ({**BODY, "preferences": {"x": "reserved"}}, "preferences.x"),
    "an unknown preference": ({**BODY, "preferences": {"tdm": "no"}}, "preferences.tdm"),
    "a long label": ({**BODY, "label": "x" * 201}, "label"),
    "long terms": ({**BODY, "terms": "x" * 2001}, "terms"),
    "a null label": ({**BODY, "label": None}, "label"),
    "a work of nothing": (with_work(title="x"), "works.1"),
    "a bad URL": (with_work(url="nowhere"), "works.1.url"),
    "a bad digest": (with_work(sha256="AB" * 32), "works.1.sha256"),
    "a bad fingerprint": (with_work(fingerprint={"v": 1}), "works.1.fingerprint.quality"),
    "a query form": (
        with_work(fingerprint={"v": 1, "quality": 100, "pdq": {"mirror": "ab" * 32}}),
        "works.1.fingerprint.pdq",
    ),
    "a plain picture alone": (with_work(fingerprint=FLAT), "works.1.fingerprint"),
    "an unknown member": (with_work(url=URL, x=1), "works.1.x"),
    "an unknown rule": (with_rule("regex", ".*"), "rules.0.kind"),
    "a prefix without slash": (with_rule("prefix", "https://example.org/a"), "rules.0"),
    "everybody's domain": (with_rule("domain", "co.uk"), "rules.0"),
    "a host with a path": (with_rule("host", "https://example.org/a"), "rules.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_422_with_the_place(
    client: FlaskClient, store: Store, headers: dict[str, str], case: str
) -> None:
    body, place = REFUSED[case]
    assert detail_of(client.post(PATH, json=body, headers=headers), 422).startswith(place)
    assert store.head() == 0


@pytest.mark.parametrize("body", [{}, {"label": None}], ids=repr)
def test_a_change_of_nothing_is_422(
    client: FlaskClient, store: Store, headers: dict[str, str], id_: str, body: Any
) -> None:
    detail_of(client.patch(f"{PATH}/{id_}", json=body, headers=headers), 422)
    assert store.head() == 1


@pytest.mark.parametrize("kind", ["prefix", "host", "domain"])
def test_rules_want_authority(client: FlaskClient, store: Store, headers: dict[str, str], kind: str) -> None:
    def value(domain: str) -> str:
        return f"https://{domain}/a/" if kind == "prefix" else domain

    response = client.post(PATH, json=with_rule(kind, value("example.com")), headers=headers)
    detail_of(response, 403)
    assert "domain:example.com" in response.get_json(force=True)["hint"]
    assert store.head() == 0
    assert client.post(PATH, json=with_rule(kind, value("example.org")), headers=headers).status_code == 201


def test_plain_pictures_are_taken_with_their_digest_and_named(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    works = [{"url": URL}, {"sha256": "ab" * 32, "fingerprint": FLAT}]
    told = client.post(PATH, json={**BODY, "works": works}, headers=headers).get_json()
    assert told["exact_only"] == [1]


@pytest.mark.parametrize(
    "after", ["x", "1", "1.", ".1", "1.x", "", "1_0.0", " 1.0", "٣.0", "9" * 40 + ".0", "0." + "9" * 40]
)
def test_a_page_that_was_never_told_is_422(
    client: FlaskClient, headers: dict[str, str], id_: str, after: str
) -> None:
    detail_of(client.get(f"{PATH}/{id_}/works", query_string={"after": after}, headers=headers), 422)


class TestTextThatADatabaseRefuses:
    """PostgreSQL takes no U+0000; both databases answer alike, and never as if they were broken."""

    @pytest.mark.parametrize("member", ["label", "terms", "contact"])
    def test_lodging(self, client: FlaskClient, store: Store, headers: dict[str, str], member: str) -> None:
        detail_of(client.post(PATH, json={**BODY, member: "a\u0000b"}, headers=headers), 422)
        assert store.head() == 0

    def test_a_title(self, client: FlaskClient, headers: dict[str, str]) -> None:
        body = {**BODY, "works": [{"title": "\u0000", "url": URL}]}
        detail_of(client.post(PATH, json=body, headers=headers), 422)

    def test_an_identifier(self, client: FlaskClient, headers: dict[str, str]) -> None:
        detail_of(client.get(f"{PATH}/%00", headers=headers), 404)


class TestTheListOfOnesOwn:
    def test_it_holds_what_stands_and_what_was_withdrawn_and_nothing_of_others(
        self, client: FlaskClient, headers: dict[str, str], foreign: dict[str, str], id_: str
    ) -> None:
        client.post(PATH, json=BODY, headers=foreign)
        second = client.post(PATH, json={**BODY, "label": "Second"}, headers=headers).get_json()["id"]
        client.delete(f"{PATH}/{id_}", headers=headers)
        told = client.get(PATH, headers=headers).get_json()
        assert [(one["id"], one["state"]) for one in told["reservations"]] == [
            (second, "verified"),
            (id_, "withdrawn"),
        ]
        assert told["next"] is None

    def test_it_goes_on_after_a_page(
        self, client: FlaskClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.v1.reservations._PAGE", 2)
        made = [client.post(PATH, json=BODY, headers=headers).get_json()["id"] for _ in range(3)]
        first = client.get(PATH, headers=headers).get_json()
        rest = client.get(f"{PATH}?after={first['next']}", headers=headers).get_json()
        assert [one["id"] for one in first["reservations"] + rest["reservations"]] == made
        assert rest["next"] is None


def test_what_a_partner_submitted_can_be_withdrawn_by_the_names_in_the_answer(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    said = {"urls": [{"url": URL, "optOut": True, "optIn": False}]}
    [id_] = client.post("/api/v2/parity/urls", json=said, headers=headers).get_json()["reservations"]
    assert preference(client) == "reserved"
    client.delete(f"{PATH}/{id_}", headers=headers)
    assert preference(client) == "unknown"
