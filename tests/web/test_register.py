"""Lodging without a key and without a script: the form, the code, what was lodged and what was not."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.codes import new_code
from registry.store import Store
from tests.web.conftest import ADA
from tests.web.lodgers import ADDRESS, SVG, VIDEO, Person, file, huge_png, preference_of, record_of
from tests.web.test_pages import BROWSER, MACHINE, Outline

SUNFLOWER, XYLOPHONE = ADA / "sunflower.jpg", ADA / "xylophone.jpg"


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def ada(client: FlaskClient) -> Person:
    return Person(client)


@pytest.fixture
def stranger(app: Flask) -> Person:
    return Person(app.test_client())


class TestLodging:
    def test_addresses_pictures_and_a_list_are_one_record(self, ada: Person, client: FlaskClient) -> None:
        page = ada.send(
            addresses=f"{ADDRESS}\nada.example/works/2.jpg\n\n{ADDRESS}\n",
            list=(io.BytesIO(b"\xef\xbb\xbftitle,url\nHarbour,https://ada.example/3.jpg\n"), "works.csv"),
            pictures=[file(SUNFLOWER), file(XYLOPHONE), file(SUNFLOWER)],
            upload="1",
        )
        assert page.status_code == 201
        assert "Lodged: 5 works" in page.text
        assert "".join(f"<span>{one}</span>" for one in ada.code.split("-")) in page.text.replace(
            '<span class="hyphen">-</span>', ""
        )
        assert preference_of(client, url=ADDRESS) == "reserved"
        assert preference_of(client, url="http://www.ada.example/works/2.jpg") == "reserved"
        answer = ada.client.get("/record/" + record_of(page) + "/export.json").get_json()
        assert {one["title"] for one in answer["works"]} == {"", "Harbour", "sunflower.jpg", "xylophone.jpg"}
        assert [one for one in answer["works"] if one["windows"]]

    def test_a_form_that_is_sent_twice_lodges_once_and_shows_the_same(
        self, ada: Person, store: Store
    ) -> None:
        token = ada.token()
        first = ada.send(token=token, addresses=ADDRESS)
        head = store.head()
        second = ada.send(token=token, addresses=ADDRESS)
        assert (first.status_code, second.status_code) == (201, 201)
        assert record_of(first) == record_of(second)
        assert store.head() == head
        other = ada.send(token=token, addresses=ADDRESS + "?2")
        assert record_of(other) != record_of(first)

    def test_several_records_are_under_one_code(self, ada: Person, stranger: Person) -> None:
        ids = {record_of(ada.send(addresses=f"{ADDRESS}{n}")) for n in range(3)}
        code = ada.code
        page = stranger.send(addresses=ADDRESS, code=code.lower())
        assert page.status_code == 201
        assert stranger.code == code
        listed = set(re.findall(r"/record/([a-z2-7]{26})/manage", stranger.get("/records").text))
        assert listed == ids | {record_of(page)}

    def test_a_code_is_a_key_for_programs(self, ada: Person, client: FlaskClient) -> None:
        id_ = record_of(ada.send(addresses=ADDRESS))
        headers = {"Authorization": f"Bearer {ada.code}"}
        assert client.get(f"/api/v1/reservations/{id_}", headers=headers).status_code == 200
        assert client.delete(f"/api/v1/reservations/{id_}", headers=headers).status_code == 200
        rule = {"preferences": {"train": "reserved"}, "rules": [{"kind": "domain", "value": "ada.example"}]}
        assert client.post("/api/v1/reservations", json=rule, headers=headers).status_code == 403
        unknown = {"Authorization": f"Bearer {new_code()}"}
        assert client.get("/api/v1/reservations", headers=unknown).status_code == 401

    def test_a_yes_is_kept_and_permits_nothing(self, ada: Person, client: FlaskClient) -> None:
        page = ada.send(**{"genai-train": "allowed", "addresses": ADDRESS})
        assert "It permits nothing yet" in page.text
        assert preference_of(client, url=ADDRESS) == "unknown"

    def test_a_website_is_told_what_to_publish_and_is_not_lodged(
        self, ada: Person, client: FlaskClient, store: Store
    ) -> None:
        page = ada.send(website="ada.example")
        assert page.status_code == 200
        assert "Nothing was lodged here" in page.text
        assert "Content-Signal:" in page.text
        assert store.head() == 0
        page = ada.send(website="ada.example", addresses=ADDRESS)
        assert "ada.example itself was not lodged" in page.text
        assert preference_of(client, url="https://ada.example/other.jpg") == "unknown"

    def test_the_same_as_json(self, ada: Person) -> None:
        data = {"form": ada.token(), "genai-train": "reserved", "addresses": ADDRESS}
        answer = ada.client.post("/register", data=data, headers=MACHINE, content_type="multipart/form-data")
        told = answer.get_json()
        assert (answer.status_code, told["code"], told["record"]["works"]) == (201, ada.code, 1)
        wrong = ada.client.post(
            "/register",
            data={**data, "addresses": "javascript:alert(1)"},
            headers=MACHINE,
            content_type="multipart/form-data",
        )
        assert (wrong.status_code, wrong.get_json()["type"]) == (422, "urn:caveat:problem:invalid")


FAULTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing": ({}, 422, "No works were given"),
    "no use": ({"genai-train": "", "addresses": ADDRESS}, 422, "Nothing is said of any use"),
    "a strange answer": ({"train": "perhaps", "addresses": ADDRESS}, 422, "is no answer"),
    "ask me, and nowhere to ask": (
        {"genai-train": "conditional", "addresses": ADDRESS},
        422,
        "needs a place to ask",
    ),
    "terms that are a script": ({"terms": "javascript:alert(1)", "addresses": ADDRESS}, 422, "Not an http"),
    "an address that is a script": ({"addresses": f"{ADDRESS}\njavascript:alert(1)"}, 422, "Line 2: "),
    "an address with a script in it": ({"addresses": "https://<script>alert(1)</script>/"}, 422, "Line 1: "),
    "a website among addresses": ({"addresses": "ada.example"}, 422, "no address of one work"),
    "a list that is no text": ({"list": (io.BytesIO(b"url\n\xff\xfe"), "a.csv")}, 422, "Not a list in UTF-8"),
    "a list with a wrong line": ({"list": (io.BytesIO(b"url\nftp://x/\n"), "a.csv")}, 422, "Line 2: "),
    "a website of nobody": ({"website": "com", "addresses": ADDRESS}, 422, "website-wrong"),
    "a name too long": ({"label": "x" * 201, "addresses": ADDRESS}, 422, "Longer than 200"),
    "a NUL": ({"contact": "a\0b", "addresses": ADDRESS}, 422, "characters of no text"),
    "pictures, and no leave to hash them": (
        {"pictures": file(SUNFLOWER)},
        422,
        "the box below was not ticked",
    ),
    "pictures, none of which is one": (
        {"pictures": [(io.BytesIO(SVG), "a.svg"), (io.BytesIO(VIDEO), "b.mp4")], "upload": "1"},
        422,
        "None of the pictures could be hashed",
    ),
    "too many pictures": (
        {"pictures": [(io.BytesIO(b"x"), f"{n}.jpg") for n in range(26)], "upload": "1"},
        413,
        "26 pictures",
    ),
    "a code that is unknown": ({"code": "A" * 32, "addresses": ADDRESS}, 422, "not known here"),
}


class TestFaults:
    @pytest.mark.parametrize("case", FAULTS)
    def test_what_is_wrong_stands_at_its_field_and_nothing_is_lodged(
        self, ada: Person, store: Store, case: str
    ) -> None:
        fields, status, told = FAULTS[case]
        # A file that was sent once is at its end.
        fields = {name: _again(value) for name, value in fields.items()}
        page = ada.send(**fields)
        assert page.status_code == status, page.text
        assert told in page.text
        assert "Nothing was lodged yet" in page.text
        assert "<script>alert" not in page.text
        assert store.head() == 0
        outline = Outline(page.text)
        if fields.get("addresses"):
            assert str(fields["addresses"]).splitlines()[0].partition("<")[0] in page.text
        assert [one for tag, one in outline.tags if "aria-invalid" in one] or case in ("nothing",)

    def test_of_many_pictures_the_broken_ones_are_named(self, ada: Person) -> None:
        broken = [
            (io.BytesIO(SUNFLOWER.read_bytes()[:900]), "cut.jpg"),
            (io.BytesIO(SVG), "<b>drawing.svg"),
            (io.BytesIO(VIDEO), "film.mp4"),
            (io.BytesIO(huge_png()), "huge.png"),
        ]
        page = ada.send(pictures=[*broken, file(SUNFLOWER)], upload="1")
        assert page.status_code == 201
        assert "Lodged: 1 work<" in page.text
        assert "Not lodged: 4" in page.text
        assert "<b>drawing" not in page.text
        for name in ("cut.jpg", "&lt;b&gt;drawing.svg", "film.mp4", "huge.png"):
            assert f"<b>{name}</b>: " in page.text

    def test_a_form_from_elsewhere_does_nothing(self, ada: Person, stranger: Person, store: Store) -> None:
        token = ada.token()
        for who, sent in ((stranger, token), (ada, stranger.token()), (ada, "x"), (ada, "")):
            page = who.client.post(
                "/register",
                data={"form": sent, "genai-train": "reserved", "addresses": ADDRESS},
                headers=BROWSER,
                content_type="multipart/form-data",
            )
            assert page.status_code == 403
        crossing = {**BROWSER, "Sec-Fetch-Site": "cross-site"}
        data = {"form": token, "genai-train": "reserved", "addresses": ADDRESS}
        page = ada.client.post("/register", data=data, headers=crossing, content_type="multipart/form-data")
        assert page.status_code == 403
        assert store.head() == 0

    def test_the_cookie_is_for_this_site_alone(self, ada: Person) -> None:
        [cookie] = ada.get("/register").headers.getlist("Set-Cookie")
        assert cookie.endswith("; HttpOnly; Path=/; SameSite=Strict")
        secure = ada.client.get("/register", headers={**BROWSER, "X-Forwarded-Proto": "https"})
        assert "; Secure; " in secure.headers["Set-Cookie"]

    def test_where_only_keys_lodge_nobody_else_does(
        self, make_app: Callable[..., Flask], store: Store
    ) -> None:
        ada = Person(make_app(codes_per_hour=0).test_client())
        assert "takes works with a key only" in ada.get("/register").text
        assert ada.send(addresses=ADDRESS).status_code == 403
        assert store.head() == 0

    def test_new_codes_are_counted_by_network(self, make_app: Callable[..., Flask]) -> None:
        app = make_app(codes_per_hour=2)
        people = [Person(app.test_client()) for _ in range(3)]
        assert [one.send(addresses=ADDRESS).status_code for one in people] == [201, 201, 429]
        # Whoever has a code goes on.
        assert people[0].send(addresses=ADDRESS + "?2").status_code == 201
        proxied = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
        data = {"form": people[2].token(), "genai-train": "reserved", "addresses": ADDRESS}
        page = people[2].client.post(
            "/register", data=data, headers={**BROWSER, **proxied}, content_type="multipart/form-data"
        )
        assert page.status_code == 201


def _again(value: Any) -> Any:
    if isinstance(value, list):
        return [_again(one) for one in value]
    return (io.BytesIO(value[0].getvalue()), value[1]) if isinstance(value, tuple) else value


class TestBatches:
    @pytest.fixture
    def batch(self) -> dict[str, Any]:
        return {"record": None, "preferences": {"genai-train": "reserved"}, "works": [{"url": ADDRESS}]}

    def test_batches_are_one_record_and_one_that_is_sent_again_counts_once(
        self, ada: Person, batch: dict[str, Any], store: Store
    ) -> None:
        headers = {"Caveat-Form": ada.token(), "Idempotency-Key": "1"}
        answers = [ada.client.post("/register/batch", json=batch, headers=headers) for _ in range(2)]
        assert [one.status_code for one in answers] == [201, 201]
        id_ = answers[0].get_json()["id"]
        assert answers[0].get_json() == answers[1].get_json()
        more = {**batch, "record": id_, "works": [{"url": f"{ADDRESS}?{n}"} for n in range(25)]}
        by_code = {"Authorization": f"Bearer {ada.code}"}
        assert ada.client.post("/register/batch", json=more, headers=by_code).status_code == 201
        assert store.head() == 2
        page = ada.send(record=id_, failed='[["a<b>.svg","no picture"],5,["x"]]')
        assert "Lodged: 26 works" in page.text
        assert "Not lodged: 1" in page.text
        assert "a&lt;b&gt;.svg" in page.text

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"works": []}, 422),
            ({"works": [{"url": ADDRESS}] * 26}, 422),
            ({"works": [{"url": "javascript:alert(1)"}]}, 422),
            ({"rules": [{"kind": "domain", "value": "ada.example"}]}, 422),
            ({"preferences": {"genai-train": "conditional"}}, 422),
            ({"record": "a" * 26}, 404),
            ({"record": "../x"}, 404),
            ({"strange": 1}, 422),
        ],
        ids=["none", "too many", "a script", "a rule", "no terms", "no such record", "no record", "strange"],
    )
    def test_what_is_wrong_is_refused_whole(
        self, ada: Person, batch: dict[str, Any], store: Store, change: dict[str, Any], status: int
    ) -> None:
        headers = {"Caveat-Form": ada.token()}
        answer = ada.client.post("/register/batch", json={**batch, **change}, headers=headers)
        assert answer.status_code == status, answer.text
        assert store.head() == 0

    def test_without_a_form_or_a_code_nothing_is_lodged(self, ada: Person, batch: dict[str, Any]) -> None:
        assert ada.client.post("/register/batch", json=batch).status_code == 403
        ada.token()
        assert ada.client.post("/register/batch", json=batch).status_code == 403
        wrong = {"Authorization": f"Bearer {new_code()}"}
        assert ada.client.post("/register/batch", json=batch, headers=wrong).status_code == 401


def test_the_pages_are_whole_and_light(ada: Person, client: FlaskClient) -> None:
    id_ = record_of(ada.send(addresses=ADDRESS))
    for path in ("/register", "/records", f"/record/{id_}/manage"):
        page = ada.get(path)
        outline = Outline(page.text)
        ids = [one["id"] for _, one in outline.tags if "id" in one]
        assert len(ids) == len(set(ids)), path
        for tag, one in outline.tags:
            assert tag != "label" or one["for"] in ids
            assert not [name for name in one if name.startswith("on") or name == "style"]
            for name in ("aria-labelledby", "aria-describedby"):
                assert set((one.get(name) or "").split()) <= set(ids), path
        sources = {one["src"] for tag, one in outline.tags if tag == "script"}
        weight = len(page.data) + sum(len(client.get(one).data) for one in sources if one)
        assert weight <= 100_000
        assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]


def test_scripts_that_load_others_stand_in_one_folder(ada: Person, client: FlaskClient) -> None:
    [script] = re.findall(r'src="(/static/modules-[0-9a-f]{12}/register\.js)"', ada.get("/register").text)
    folder = script.rpartition("/")[0]
    assert client.get(script).headers["Cache-Control"].endswith("immutable")
    assert client.get(f"{folder}/hash-worker.js").content_type == "text/javascript; charset=utf-8"
    assert client.get(f"{folder}/decoders/webp_dec.wasm").content_type == "application/wasm"
    for wrong in ("style.css", "../wiring.py", "decoders/LICENSE", "none.js"):
        assert client.get(f"{folder}/{wrong}").status_code == 404
    assert client.get("/static/modules-000000000000/register.js").status_code == 404
