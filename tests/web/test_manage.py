"""Coming back with the code: adding, withdrawing, erasing, and what belongs to others."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.codes import new_code
from tests.web.lodgers import ADDRESS, Person, preference_of, record_of
from tests.web.test_pages import MACHINE


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def ada(client: FlaskClient) -> Person:
    return Person(client)


@pytest.fixture
def stranger(app: Flask) -> Person:
    return Person(app.test_client())


class TestManaging:
    def test_whoever_has_the_code_comes_back_adds_withdraws_and_erases(
        self, ada: Person, stranger: Person, client: FlaskClient
    ) -> None:
        id_ = record_of(ada.send(addresses=ADDRESS))
        path = f"/record/{id_}/manage"
        assert "Recovery code" in stranger.get(path).text
        page = stranger.press(path, code=ada.code.replace("-", " "))
        assert page.status_code == 200
        assert "Your record of 1 work" in page.text
        token = stranger.token(path)
        page = stranger.send(f"/record/{id_}/add", token, addresses=ADDRESS + "?2")
        assert "Your record of 2 works" in page.text
        assert (
            "Your record of 2 works"
            in stranger.send(f"/record/{id_}/add", token, addresses=ADDRESS + "?2").text
        )
        page = stranger.press(f"/record/{id_}/withdraw")
        assert page.status_code == 422
        assert "Nothing was changed" in page.text
        assert preference_of(client, url=ADDRESS) == "reserved"
        page = stranger.press(f"/record/{id_}/withdraw", sure="1")
        assert "This record is withdrawn" in page.text
        assert preference_of(client, url=ADDRESS) == "unknown"
        assert stranger.send(f"/record/{id_}/add", token, addresses=ADDRESS + "?3").status_code == 409
        assert stranger.press(f"/record/{id_}/erase", sure="1").status_code == 200
        assert stranger.get(path).status_code == 404
        assert "Nothing is lodged under this code" in stranger.get("/records").text

    def test_what_belongs_to_another_is_not_there(self, ada: Person, stranger: Person) -> None:
        id_ = record_of(ada.send(addresses=ADDRESS))
        stranger.send(addresses=ADDRESS + "?2")
        assert stranger.get(f"/record/{id_}/manage").status_code == 404
        assert stranger.get(f"/record/{id_}/export.json").status_code == 404
        for what in ("withdraw", "erase"):
            assert stranger.press(f"/record/{id_}/{what}", sure="1").status_code == 404
        assert stranger.send(f"/record/{id_}/add", addresses=ADDRESS).status_code == 404
        assert stranger.send(addresses=ADDRESS, record=id_).status_code == 404
        assert (
            ada.client.get(
                f"/api/v1/reservations/{id_}", headers={"Authorization": f"API {ada.code}"}
            ).get_json()["works"]
            == 1
        )

    def test_mistyped_and_unknown_codes_are_answered_alike_and_not_for_ever(self, ada: Person) -> None:
        texts = {
            re.sub(r"value=\"[^\"]*\"", "", ada.press("/records", code=code).text)
            for code in (new_code(), "A" * 32, "nonsense", "", "é")
        }
        assert len(texts) == 1
        assert "not known here" in texts.pop()
        statuses = [ada.press("/records", code=new_code()).status_code for _ in range(30)]
        assert set(statuses) == {401, 429}
        assert statuses == sorted(statuses)

    def test_a_browser_forgets_its_code(self, ada: Person) -> None:
        ada.send(addresses=ADDRESS)
        code = ada.code
        assert ada.press("/register/forget").status_code == 200
        assert ada.code == ""
        ada.get("/register")
        assert ada.code != code

    @pytest.mark.parametrize("path", ["/records", "/record/x/manage", "/record/x/export.json"])
    def test_programs_without_a_code_are_told_so(self, client: FlaskClient, path: str) -> None:
        answer = client.get(path, headers=MACHINE)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
