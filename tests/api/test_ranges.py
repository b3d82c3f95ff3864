"""``GET /api/v1/range``: every key that begins alike with what is said under it, and nobody named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from registry.keys import KeySet, key_bytes, key_words
from registry.preference import Preference, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.statement import Statement
from registry.store import Store
from registry.urls import RuleKind, candidate_keys, canonicalize_url, exact_key, url_rule

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
URL = canonicalize_url("https://img.a.example/x/1.jpg")
FILE = b"\xab" * 32
RULES = [
    url_rule("prefix", "https://img.a.example/x/"),
    url_rule("host", "img.a.example"),
    url_rule("domain", "a.example"),
]
MATCH = {RuleKind.EXACT: "url", RuleKind.PREFIX: "prefix", RuleKind.HOST: "host", RuleKind.DOMAIN: "domain"}


@pytest.fixture
def registrar(app: Any) -> Registrar:
    return app.extensions["caveat"].registrar


@pytest.fixture
def caller(make_key: Callable[..., Any]) -> Any:
    return make_key(("register", "domain:*"), 1).caller


def lodge(registrar: Registrar, caller: Any, *works: WorkDraft, rules: Any = (), says: Any = RESERVED) -> str:
    draft = Draft(says, works, rules, "Ada Secret", "https://terms.secret", "ada@secret")
    return registrar.register(caller, draft).id


def ask(client: FlaskClient, key: bytes, of: str = "rule", headers: Any = None) -> dict[str, Any]:
    response = client.get(f"/api/v1/range/{of}/{key.hex()[:5]}", headers=headers)
    assert response.status_code == 200, response.text
    assert len(response.data) >= 4096
    assert len(response.data).bit_count() == 1
    assert response.headers["Cache-Control"] == "no-store, no-transform"
    body: dict[str, Any] = response.get_json()
    assert set(body["padding"]) <= {"0"}
    return body


def said(body: dict[str, Any], key: bytes) -> list[dict[str, Any]]:
    found = {one["key"]: one["statements"] for one in body["keys"]}
    assert len(found) == len(body["keys"])
    return found.get(key.hex(), [])


def test_every_candidate_key_of_an_address_tells_what_covers_it(
    client: FlaskClient, registrar: Registrar, caller: Any
) -> None:
    lodge(registrar, caller, WorkDraft("Title", URL), rules=RULES)
    for kind, key in candidate_keys(URL):
        for of in ("rule", "url"):
            body = ask(client, key, of)
            assert body["as_of_seq"] == 1
            kinds = [Statement.from_wire(one).match.kind for one in said(body, key)]
            # The root of the site is a folder on which there is no rule.
            assert kinds == ([] if key == candidate_keys(URL)[2][1] else [MATCH[kind]])


def test_a_file_is_told_with_all_of_its_sha256(
    client: FlaskClient, registrar: Registrar, caller: Any
) -> None:
    alike = FILE[:16] + bytes(16)
    lodge(registrar, caller, WorkDraft(sha256=FILE), WorkDraft(sha256=alike))
    body = ask(client, FILE, "sha256")
    assert [one["key"] for one in body["keys"]] == sorted([FILE.hex(), alike.hex()])
    assert [one["match"] for one in said(body, FILE)] == [{"kind": "sha256", "certain": True}]
    assert ask(client, FILE)["keys"] == []


def test_nothing_is_two_hundred_and_as_long_as_something(
    client: FlaskClient, registrar: Registrar, caller: Any
) -> None:
    before = ask(client, exact_key(URL))
    assert (before["as_of_seq"], before["keys"]) == (0, [])
    lodge(registrar, caller, WorkDraft(url=URL))
    assert said(ask(client, exact_key(URL)), exact_key(URL)) != []
    # `ask` holds every body to a power of two from 4,096 on.


def test_what_changes_is_told_and_what_is_withdrawn_is_not(
    client: FlaskClient, registrar: Registrar, caller: Any
) -> None:
    key = exact_key(URL)
    id_ = lodge(registrar, caller, WorkDraft(url=URL))
    registrar.change(caller, id_, Change({Use.TRAIN: Preference.CONDITIONAL}))
    [one] = said(ask(client, key), key)
    assert (one["preferences"], one["seq"]) == ({"train": "conditional"}, 2)
    registrar.withdraw(caller, id_)
    body = ask(client, key)
    assert (body["as_of_seq"], body["keys"]) == (3, [])


class TestWhatIsTold:
    @pytest.mark.parametrize("scopes", [None, ("register",)], ids=["anonymous", "no lookup scope"])
    def test_without_the_scope_nobody(
        self, client: FlaskClient, registrar: Registrar, caller: Any, make_key: Any, scopes: Any
    ) -> None:
        id_ = lodge(registrar, caller, WorkDraft("The title", URL))
        headers = None if scopes is None else make_key(scopes).headers
        body = ask(client, exact_key(URL), headers=headers)
        [one] = said(body, exact_key(URL))
        assert set(one) == {"preferences", "scope", "evidence_level", "state", "seq", "at", "match"}
        assert [
            word for word in (id_, "secret", "title", caller.principal_id) if word in str(body).lower()
        ] == []

    def test_with_it_record_and_label_and_a_name_for_the_speaker(
        self, client: FlaskClient, registrar: Registrar, caller: Any, make_key: Any
    ) -> None:
        id_ = lodge(registrar, caller, WorkDraft("The title", URL), rules=RULES)
        other = make_key(("register", "domain:*"), 1).caller
        lodge(registrar, other, WorkDraft(url=URL))
        headers = make_key(("lookup",)).headers
        keys = dict(candidate_keys(URL))
        exact = said(ask(client, keys[RuleKind.EXACT], headers=headers), keys[RuleKind.EXACT])
        [wide] = said(ask(client, keys[RuleKind.DOMAIN], headers=headers), keys[RuleKind.DOMAIN])
        assert (wide["record"], wide["label"], wide["terms"]) == (id_, "Ada Secret", "https://terms.secret")
        assert [one["speaker"] == wide["speaker"] for one in exact] == [False, True]
        assert caller.principal_id not in str(exact) + str(wide)

    def test_the_same_said_often_is_told_once_to_those_who_may_not_know_by_whom(
        self, client: FlaskClient, registrar: Registrar, caller: Any, make_key: Any
    ) -> None:
        key, others = exact_key(URL), [make_key(("register",), level).caller for level in (1, 0, 0)]
        for one in (caller, *others):
            lodge(registrar, one, WorkDraft(url=URL))
        lodge(registrar, others[0], WorkDraft(url=URL), says={Use.GENAI_TRAIN: Preference.ALLOWED})
        told = [
            (one["preferences"]["genai-train"], one["evidence_level"], one["seq"])
            for one in said(ask(client, key), key)
        ]
        assert told == [("allowed", 1, 5), ("reserved", 0, 4), ("reserved", 1, 2)]
        assert len(said(ask(client, key, headers=make_key(("lookup",)).headers), key)) == 5


@pytest.mark.parametrize(
    "path",
    [
        "rule/abcd",
        "rule/abcdef",
        "rule/ABCDE",
        "rule/abcd%0A",
        "rule/abcdg",
        "rule/%C2%B2abcd",
        "file/abcde",
        "pdq/abcde",
    ],
)
def test_what_is_no_prefix_is_a_problem(client: FlaskClient, path: str) -> None:
    response = client.get(f"/api/v1/range/{path}")
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    assert response.get_json()["detail"].startswith("expected ")


def test_a_wrong_key_is_never_anonymous(client: FlaskClient) -> None:
    assert client.get("/api/v1/range/rule/abcde", headers={"Authorization": "API x"}).status_code == 401


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE head SET n = 7", "stale-index"),
        ("ALTER TABLE url_rule RENAME TO gone", "storage"),
        ("DELETE FROM url_rule", "storage"),
    ],
    ids=["no event", "no table", "no row"],
)
def test_what_cannot_be_known_is_503(
    client: FlaskClient, registrar: Registrar, caller: Any, store: Store, statement: str, kind: str
) -> None:
    lodge(registrar, caller, rules=RULES)
    key = RULES[0].key
    assert said(ask(client, key), key) != []
    with store.administer() as connection:
        connection.execute(text(statement))
    response = client.get(f"/api/v1/range/rule/{key.hex()[:5]}")
    assert (response.status_code, response.get_json()["type"]) == (503, f"urn:caveat:problem:{kind}")


def test_the_digits_are_told(client: FlaskClient) -> None:
    assert client.get("/api/v1/parameters").get_json()["range_digits"] == 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=2)), max_size=30),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
)
def test_between_two_keys_is_what_a_list_has_there(drawn: Any, one: bytes, other: bytes) -> None:
    pairs = [(begin.ljust(16, bytes([fill])), place) for place, (fill, begin) in enumerate(drawn)]
    first, last = sorted([one, other])
    keys = KeySet()
    for key, place in pairs:
        keys.add(key_words([key]), np.array([place]))
    words, records = keys.between(first, last)
    found = sorted(zip(key_bytes(words), records.tolist(), strict=True))
    assert found == sorted((key, place) for key, place in pairs if first <= key <= last)
