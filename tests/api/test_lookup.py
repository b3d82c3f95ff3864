"""``POST /api/v1/lookup``: each item in its place, and to each caller what that caller may know."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from registry.decision import decide
from registry.fingerprint import Fingerprint
from registry.preference import Action, Mode, Preference, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.statement import Statement
from registry.urls import canonicalize_url, url_rule

URL = "https://example.org/a.jpg"
FILE = b"\xab" * 32
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}


@pytest.fixture
def registrar(app: Any) -> Registrar:
    return app.extensions["caveat"].registrar


@pytest.fixture
def lodged(registrar: Registrar, make_key: Callable[..., Any], picture_hash: Callable[..., bytes]) -> str:
    picture = Fingerprint(1, 100, bytes(8), {"full": picture_hash(1)})
    works = [WorkDraft("The title", canonicalize_url(URL), FILE, picture)]
    draft = Draft(RESERVED, works, (), "Ada Secret", "https://terms.secret", "ada@secret")
    return registrar.register(make_key().caller, draft).id


def look_up(client: FlaskClient, *items: dict[str, Any], headers: Any = None, **more: Any) -> Any:
    response = client.post("/api/v1/lookup", json={"items": list(items), **more}, headers=headers)
    assert response.status_code == 200, response.text
    return response


def shown(value: bytes, **more: Any) -> dict[str, Any]:
    return {"v": 1, "quality": 100, "pdq": {"full": value.hex()}, **more}


@pytest.fixture
def ways(picture_hash: Callable[..., bytes]) -> dict[str, dict[str, Any]]:
    return {
        "url": {"url": URL},
        "sha256": {"sha256": FILE.hex()},
        "pdq": {"fingerprint": shown(picture_hash(1, 7))},
        "near": {"fingerprint": shown(picture_hash(1, 40))},
    }


class TestWhatIsTold:
    @pytest.mark.parametrize("way", ["url", "sha256", "pdq", "near"])
    @pytest.mark.parametrize("scopes", [None, ("register",)], ids=["anonymous", "no lookup scope"])
    def test_without_the_scope_neither_record_nor_person_nor_distance(
        self, client: FlaskClient, make_key: Callable[..., Any], lodged: str, ways: Any, way: str, scopes: Any
    ) -> None:
        headers = None if scopes is None else make_key(scopes).headers
        response = look_up(client, {"id": "a", **ways[way]}, headers=headers)
        raw = response.text.lower()
        assert "reserved" in raw
        hidden = [
            lodged,
            "secret",
            "title",
            "distance",
            "bits apart",
            "window",
            "principal",
            '"record"',
            "label",
        ]
        assert [word for word in hidden if word.lower() in raw] == []
        (statement,) = response.get_json()["results"][0]["statements"]
        assert set(statement) == {"preferences", "scope", "evidence_level", "state", "seq", "at", "match"}
        assert set(statement["match"]) == {"kind", "certain"}

    def test_without_the_scope_a_reason_quotes_no_terms(
        self, client: FlaskClient, make_key: Callable[..., Any]
    ) -> None:
        body = {
            "preferences": {"genai-train": "conditional"},
            "terms": "https://ada.example/licence",
            "works": [{"url": "https://ada.example/for-money.jpg"}],
        }
        lodged = client.post("/api/v1/reservations", json=body, headers=make_key(("register",)).headers)
        assert lodged.status_code == 201
        item = {"id": "a", "url": "https://ada.example/for-money.jpg"}
        assert "ada.example/licence" not in look_up(client, item).text
        told = look_up(client, item, headers=make_key(("lookup",)).headers)
        assert "ada.example/licence" in told.get_json()["results"][0]["reason"]

    @pytest.mark.parametrize(("way", "distance"), [("url", None), ("sha256", None), ("pdq", 7), ("near", 40)])
    def test_with_it_record_label_terms_contact_and_distance(
        self,
        client: FlaskClient,
        make_key: Callable[..., Any],
        lodged: str,
        ways: Any,
        way: str,
        distance: Any,
    ) -> None:
        response = look_up(client, {"id": "a", **ways[way]}, headers=make_key(("lookup",)).headers)
        (result,) = response.get_json()["results"]
        (statement,) = result["statements"]
        assert (statement["record"], statement["label"]) == (lodged, "Ada Secret")
        assert (statement["terms"], statement["contact"]) == ("https://terms.secret", "ada@secret")
        assert statement["match"].get("distance") == distance
        assert "principal" not in response.text
        assert "Ada Secret" in result["reason"]

    def test_the_wire_form_decides_as_the_server_did(
        self, client: FlaskClient, lodged: str, ways: Any
    ) -> None:
        for way, wanted in (("pdq", Action.REMOVE), ("near", Action.REVIEW)):
            (result,) = look_up(client, {"id": "a", **ways[way]}).get_json()["results"]
            told = [Statement.from_wire(one) for one in result["statements"]]
            assert decide(told, Use.GENAI_TRAIN).action is wanted

    def test_eight_permissions_do_not_push_a_doubtful_reservation_out_of_sight(
        self,
        client: FlaskClient,
        registrar: Registrar,
        make_key: Callable[..., Any],
        lodged: str,
        ways: Any,
        picture_hash: Callable[..., bytes],
    ) -> None:
        picture = Fingerprint(1, 100, None, {"full": picture_hash(1, 40)})
        allowed = Draft({Use.GENAI_TRAIN: Preference.ALLOWED}, [WorkDraft(fingerprint=picture)] * 8)
        registrar.register(make_key(evidence_level=3).caller, allowed)
        (result,) = look_up(client, {"id": "a", **ways["near"]}).get_json()["results"]
        told = [Statement.from_wire(one) for one in result["statements"]]
        assert decide(told, Use.GENAI_TRAIN).action is Action.REVIEW


class TestAnswers:
    def test_nobody_said_anything(self, client: FlaskClient) -> None:
        assert look_up(client, {"id": "a", "url": URL}).get_json() == {
            "as_of_seq": 0,
            "checkpoint": None,
            "fingerprint_version": 1,
            "results": [
                {
                    "id": "a",
                    "status": "ok",
                    "preference": "unknown",
                    "reason": "Nobody has said anything about genai-train.",
                    "matched_by": None,
                    "state": None,
                    "statements": [],
                }
            ],
        }

    def test_order_and_ids_are_kept(self, client: FlaskClient, lodged: str) -> None:
        ids = ["", "b", "é", "a\n", "0", " ", "x" * 1000, "\u0000"]
        items = [
            {"id": id_, "url": URL if place % 2 else "https://other.test/"} for place, id_ in enumerate(ids)
        ]
        results = look_up(client, *items).get_json()["results"]
        assert [result["id"] for result in results] == ids
        assert [result["preference"] for result in results] == ["unknown", "reserved"] * 4

    def test_no_items_no_results(self, client: FlaskClient) -> None:
        assert look_up(client).get_json()["results"] == []

    @pytest.mark.parametrize(
        ("preference", "level", "told"),
        [
            ("reserved", 0, "reserved"),
            ("conditional", 0, "conditional"),
            ("allowed", 3, "allowed"),
            ("allowed", 2, "unknown"),
            ("unknown", 4, "unknown"),
        ],
    )
    def test_preferences(
        self,
        client: FlaskClient,
        registrar: Registrar,
        make_key: Callable[..., Any],
        preference: str,
        level: int,
        told: str,
    ) -> None:
        said = {Use.GENAI_TRAIN: Preference(preference)}
        caller = make_key(evidence_level=level).caller
        registrar.register(caller, Draft(said, [WorkDraft(url=canonicalize_url(URL))]))
        (result,) = look_up(client, {"id": "a", "url": URL}).get_json()["results"]
        assert (result["status"], result["preference"]) == ("ok", told)
        assert result["state"] == (None if told == "unknown" else "verified" if level else "asserted")

    def test_other_uses_are_other_questions(self, client: FlaskClient, lodged: str) -> None:
        item = {"id": "a", "url": URL}
        told = {
            use: look_up(client, item, use=use).get_json()["results"][0]["preference"]
            for use in map(str, Use)
        }
        assert told == {**dict.fromkeys(map(str, Use), "unknown"), "genai-train": "reserved"}

    def test_earlier_states(
        self, client: FlaskClient, registrar: Registrar, make_key: Callable[..., Any]
    ) -> None:
        caller = make_key(("register", "domain:*")).caller
        id_ = registrar.register(caller, Draft(RESERVED, rules=[url_rule("domain", "example.org")])).id
        registrar.change(caller, id_, Change({Use.GENAI_TRAIN: Preference.CONDITIONAL}))
        registrar.withdraw(caller, id_)
        answers = [look_up(client, {"id": "a", "url": URL}, as_of_seq=n).get_json() for n in range(4)]
        assert [answer["as_of_seq"] for answer in answers] == [0, 1, 2, 3]
        said = [answer["results"][0]["preference"] for answer in answers]
        assert said == ["unknown", "reserved", "conditional", "unknown"]
        response = client.post("/api/v1/lookup", json={"items": [], "as_of_seq": 4})
        assert (response.status_code, response.get_json()["type"]) == (422, "urn:caveat:problem:invalid")

    def test_strict_mode_says_why(self, client: FlaskClient) -> None:
        answer = look_up(client, {"id": "a", "url": URL}, mode=Mode.STRICT).get_json()
        assert "strict mode leaves it out" in answer["results"][0]["reason"]

    def test_ten_thousand_items(self, client: FlaskClient, lodged: str) -> None:
        items = [{"id": str(n), "url": f"https://example.org/{n}"} for n in range(9_999)]
        results = look_up(client, *items, {"id": "last", "url": URL}).get_json()["results"]
        assert len(results) == 10_000
        assert (results[-1]["id"], results[-1]["preference"]) == ("last", "reserved")


GOOD = "ab" * 32
MALFORMED = {
    "no key at all": {},
    "null keys": {"url": None, "sha256": None, "fingerprint": None},
    "no URL": {"url": "not a url"},
    "an empty URL": {"url": ""},
    "a relative URL": {"url": "/a.jpg"},
    "another scheme": {"url": "ftp://example.org/a"},
    "half a character": {"url": "https://example.org/\ud800"},
    "a long URL": {"url": "https://example.org/" + "a" * 9000},
    "URL as number": {"url": 5},
    "upper-case digest": {"sha256": "AB" * 32},
    "short digest": {"sha256": "ab" * 31},
    "digest with a newline": {"sha256": GOOD + "\n"},
    "full-width digits": {"sha256": "０" * 64},
    "unknown member": {"url": URL, "x": 1},
    "a good URL, a bad digest": {"url": URL, "sha256": "x"},
    "fingerprint as text": {"fingerprint": "x"},
    "no version": {"fingerprint": {"quality": 100, "pdq": {"full": GOOD}}},
    "another version": {"fingerprint": {"v": 2, "quality": 100, "pdq": {"full": GOOD}}},
    "version true": {"fingerprint": {"v": True, "quality": 100, "pdq": {"full": GOOD}}},
    "version 1.0": {"fingerprint": {"v": 1.0, "quality": 100, "pdq": {"full": GOOD}}},
    "quality 101": {"fingerprint": {"v": 1, "quality": 101, "pdq": {"full": GOOD}}},
    "quality true": {"fingerprint": {"v": 1, "quality": True, "pdq": {"full": GOOD}}},
    "an unknown form": {"fingerprint": {"v": 1, "quality": 100, "pdq": {"start": GOOD}}},
    "a short hash": {"fingerprint": {"v": 1, "quality": 100, "pdq": {"full": "ab"}}},
    "a long phash": {"fingerprint": {"v": 1, "quality": 100, "phash": GOOD}},
    "pdq as list": {"fingerprint": {"v": 1, "quality": 100, "pdq": [GOOD]}},
    "strange member": {"fingerprint": {"v": 1, "quality": 100, "sscd": ""}},
    "a long id": {"id": "a" * 1001, "url": URL},
}
PLAIN = {
    "all zero": {"fingerprint": {"v": 1, "quality": 100, "pdq": {"full": "00" * 32}}},
    "no hash": {"fingerprint": {"v": 1, "quality": 100}},
}


@pytest.mark.parametrize("case", [*MALFORMED, *PLAIN])
def test_what_cannot_be_looked_up_has_no_preference_and_the_rest_is_answered(
    client: FlaskClient, lodged: str, case: str
) -> None:
    bad = {"id": "bad", **(MALFORMED | PLAIN)[case]}
    results = look_up(client, {"id": "a", "url": URL}, bad, {"id": "z", "sha256": FILE.hex()}).get_json()[
        "results"
    ]
    assert [result["id"] for result in results] == ["a", bad["id"], "z"]
    assert [results[0]["preference"], results[2]["preference"]] == ["reserved", "reserved"]
    reason = results[1].pop("reason")
    assert reason
    assert results[1] == {
        "id": bad["id"],
        "status": "not_checked" if case in PLAIN else "malformed",
        "preference": None,
        "matched_by": None,
        "state": None,
        "statements": [],
    }


@pytest.mark.parametrize("phash", ["00" * 8, "00" * 7 + "07"])
def test_who_holds_a_phash_only_gets_a_review(
    client: FlaskClient, make_key: Callable[..., Any], lodged: str, phash: str
) -> None:
    item = {"id": "a", "fingerprint": {"v": 1, "quality": 100, "phash": phash}}
    (result,) = look_up(client, item, headers=make_key().headers).get_json()["results"]
    assert (result["status"], result["preference"], result["matched_by"]) == ("ok", "unknown", "phash")
    assert decide(map(Statement.from_wire, result["statements"]), Use.GENAI_TRAIN).action is Action.REVIEW


REFUSED = {
    "doubled ids": {"items": [{"id": "a", "url": URL}, {"id": "a", "url": URL}]},
    "no id": {"items": [{"url": URL}]},
    "id as number": {"items": [{"id": 1, "url": URL}]},
    "null id": {"items": [{"id": None, "url": URL}]},
    "items missing": {},
    "item as text": {"items": ["a"]},
    "unknown use": {"items": [], "use": "anything"},
    "unknown mode": {"items": [], "mode": "lenient"},
    "negative event": {"items": [], "as_of_seq": -1},
    "event as text": {"items": [], "as_of_seq": "0"},
    "event as fraction": {"items": [], "as_of_seq": 0.0},
    "event as truth": {"items": [], "as_of_seq": False},
    "unknown member": {"items": [], "limit": 1},
}


@pytest.mark.parametrize("case", REFUSED)
def test_requests_without_meaning_are_422_with_the_place(client: FlaskClient, case: str) -> None:
    response = client.post("/api/v1/lookup", json=REFUSED[case])
    body = response.get_json(force=True)
    assert (response.status_code, body["type"]) == (422, "urn:caveat:problem:invalid")
    member = {"no id": "items.0.id", "unknown use": "use", "negative event": "as_of_seq"}.get(case, "")
    assert body["detail"].startswith(member)


def test_an_id_nested_as_deep_as_json_goes_is_422(client: FlaskClient) -> None:
    for depth in range(800, 1000, 3):
        data = b'{"items":[{"id":' + b"[" * depth + b"]" * depth + b"}]}"
        response = client.post("/api/v1/lookup", data=data, content_type="application/json")
        assert response.status_code == 422, depth


def test_a_refusal_is_short_whatever_was_sent(client: FlaskClient) -> None:
    for item in ({"id": ["x" * 100_000]}, {"id": "a", "fingerprint": {"v": "x" * 100_000}}):
        response = client.post("/api/v1/lookup", json={"items": [item]})
        assert len(response.data) < 2000
