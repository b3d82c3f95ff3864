"""``/check``: what is said of a work, in which datasets it is, and nothing that strangers may not know."""

import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from api.settings import settings_from
from api.web import pictures
from registry.client import index_dataset
from registry.errors import SettingsError
from registry.preference import Use

from .conftest import ADA, STRANGER, Datasets
from .test_pages import BROWSER, Outline

SUNFLOWER, XYLOPHONE = ADA / "sunflower.jpg", ADA / "xylophone.jpg"


def ask(client: FlaskClient, text: str, use: str = "", headers: Any = None) -> Any:
    response = client.get("/check.json", query_string={"q": text, "use": use}, headers=headers)
    assert response.status_code == 200, response.text
    return response.get_json()


def send(client: FlaskClient, data: bytes, path: str = "/check.json", **more: Any) -> Any:
    picture = FileStorage(io.BytesIO(data), more.pop("name", "a.jpg"))
    boundary, body = encode_multipart({"picture": picture, **more.pop("fields", {})})
    return client.post(path, data=body, content_type=f"multipart/form-data; boundary={boundary}", **more)


def saved(image: Image.Image, kind: str = "JPEG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def near(path: Path) -> bytes:
    with Image.open(path) as image:
        return saved(image.convert("RGB").resize((400, 300)), quality=70)


ADDRESSES = {
    # asked: kind, preference, rows of the table of addresses
    "https://ada.example/a.jpg": ("url", "reserved", 0),
    "http://www.ada.example/a.jpg?utm_source=x": ("url", "reserved", 0),
    "ada.example/a.jpg": ("url", "reserved", 0),
    "https://img0.ada.example/works/0.jpg": ("url", "conditional", 1),
    "https://img0.ada.example/works/": ("prefix", "conditional", 15),
    "img0.ada.example/works/": ("prefix", "conditional", 15),
    "img1.ada.example": ("host", "conditional", 15),
    "ada.example": ("domain", "conditional", 30),
    "  ada.example ": ("domain", "conditional", 30),
    "https://nobody.example/a.jpg": ("url", "unknown", 0),
    "nobody.example": ("domain", "unknown", 0),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_looked_up_in_the_registry_and_in_every_dataset(
    client: FlaskClient, ada: Any, text: str
) -> None:
    kind, preference, count = ADDRESSES[text]
    told = ask(client, text)
    assert (told["asked"]["kind"], told["asked"]["use"]) == (kind, "genai-train")
    assert (told["result"]["status"], told["result"]["preference"]) == ("ok", preference)
    assert told["as_of_seq"] == 2
    pictures_, addresses = told["datasets"]
    assert (pictures_["name"], pictures_["status"]) == ("cosy-cats", "not_checked")
    assert (addresses["name"], addresses["status"], addresses["count"]) == ("urls.csv", "ok", count)
    assert len(addresses["found"]) == min(count, 10)
    assert {one["match"]["kind"] for one in addresses["found"]} <= {kind}


def test_the_answer_is_that_of_the_api(client: FlaskClient, ada: Any) -> None:
    for text in ("https://ada.example/a.jpg", "https://img0.ada.example/x", "https://nobody.example/"):
        for use in Use:
            body = {"use": use, "items": [{"id": "a", "url": text}]}
            [by_api] = client.post("/api/v1/lookup", json=body).get_json()["results"]
            by_page = ask(client, text, use)
            assert {"id": "a", **by_page["result"]} == by_api
            assert by_page["uses"][use] == {n: by_api[n] for n in ("status", "preference", "reason")}


def test_what_was_said_of_a_front_page_alone_says_nothing_of_the_site(client: FlaskClient, ada: Any) -> None:
    body = {"preferences": {"genai-train": "reserved"}, "works": [{"url": "https://front.example/"}]}
    client.post("/api/v1/reservations", json=body, headers=ada.headers)
    assert ask(client, "https://front.example/")["result"]["preference"] == "reserved"
    assert ask(client, "front.example")["result"]["preference"] == "unknown"
    assert "This is about everything on front.example" in client.get("/check?q=front.example").text
    assert "This is about everything" not in client.get("/check?q=https://front.example/").text


class TestByPicture:
    @pytest.mark.parametrize(
        ("data", "matched", "kind"),
        [(SUNFLOWER.read_bytes(), "sha256", "pdq"), (near(SUNFLOWER), "pdq", "pdq")],
        ids=["the file", "a copy"],
    )
    def test_a_work_is_known_and_found_in_the_dataset(
        self, client: FlaskClient, ada: Any, data: bytes, matched: str, kind: str
    ) -> None:
        told = send(client, data).get_json()
        assert (told["result"]["preference"], told["result"]["matched_by"]) == ("reserved", matched)
        cats, addresses = told["datasets"]
        assert (cats["status"], cats["count"], cats["found"][0]["sample"]) == ("ok", 1, "10_cosy/img_001.jpg")
        assert cats["found"][0]["match"] == {"kind": kind, "certain": True}
        assert addresses["status"] == "not_checked"

    def test_a_square_of_a_work_is_found_as_the_command_line_finds_it(
        self, client: FlaskClient, ada: Any
    ) -> None:
        [cats, _] = send(client, XYLOPHONE.read_bytes()).get_json()["datasets"]
        assert cats["found"][0]["sample"] == "10_cosy/img_007.png"

    def test_a_stranger_is_not_known_and_not_found(self, client: FlaskClient, ada: Any) -> None:
        told = send(client, STRANGER.read_bytes(), name="c.jpg").get_json()
        assert (told["result"]["preference"], told["asked"]["text"]) == ("unknown", "c.jpg")
        assert (told["datasets"][0]["status"], told["datasets"][0]["count"]) == ("ok", 0)
        page = send(client, STRANGER.read_bytes(), "/check", headers=BROWSER).text
        assert "No record is not consent" in page
        assert "does not mean that no copy is in it" in page

    def test_the_use_of_the_form_counts(self, client: FlaskClient, ada: Any) -> None:
        told = send(client, SUNFLOWER.read_bytes(), fields={"use": "search"}).get_json()
        assert (told["asked"]["use"], told["result"]["preference"]) == ("search", "unknown")

    def test_a_plain_picture_is_not_called_unknown(self, client: FlaskClient, ada: Any) -> None:
        told = send(client, saved(Image.new("RGB", (300, 300), "navy"), "PNG")).get_json()
        assert (told["result"]["status"], told["result"]["preference"]) == ("not_checked", None)
        assert {one["status"] for one in told["uses"].values()} == {"not_checked"}
        assert told["datasets"][0]["status"] == "not_checked"

    def test_the_page_has_no_permalink_and_is_not_kept(self, client: FlaskClient, ada: Any) -> None:
        page = send(client, SUNFLOWER.read_bytes(), "/check", headers=BROWSER)
        assert page.headers["Cache-Control"] == "no-store"
        assert "no permalink" in page.text
        assert "as JSON" not in page.text

    def test_nothing_of_a_picture_touches_a_disk(
        self, client: FlaskClient, ada: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a temporary file was made")

        monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", refuse)
        with Image.open(SUNFLOWER) as image:
            large = saved(image.convert("RGB").resize((1600, 1200)), "BMP")
        assert len(large) > 2**22
        answer = send(client, large)
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["result"]["preference"] == "reserved"


BAD_PICTURES = {
    "nothing": (b"", 422, "no file was chosen"),
    "text": (b"no picture at all", 422, "ot a picture"),
    "cut off": (SUNFLOWER.read_bytes()[:4000], 422, "damaged or cut off"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "ot a picture"),
    "too large": (b"\xff\xd8" + bytes(300_000), 413, "larger than"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_picture_that_cannot_be_used_is_told_in_place(make_app: Callable[..., Flask], case: str) -> None:
    data, status, words = BAD_PICTURES[case]
    client = make_app(max_picture_bytes=200_000).test_client()
    page = send(client, data, "/check", headers=BROWSER)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert words in page.text
    [field] = [one for tag, one in Outline(page.text).tags if tag == "input" and one.get("type") == "file"]
    assert field["aria-invalid"] == "true"
    problem = send(client, data)
    assert (problem.status_code, problem.mimetype) == (status, "application/problem+json")
    assert words in problem.get_json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"picture=a", "application/x-www-form-urlencoded", 415),
        (b"nonsense", "multipart/form-data", 422),
        (b"nonsense", "multipart/form-data; boundary=x", 422),
        (b"", "multipart/form-data; boundary=x", 422),
    ],
    ids=["json", "urlencoded", "no boundary", "no part", "empty"],
)
def test_other_forms_are_refused_by_name(client: FlaskClient, body: bytes, kind: str, status: int) -> None:
    response = client.post("/check.json", data=body, content_type=kind)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")


def test_too_many_pixels_are_refused_before_they_are_decoded(client: FlaskClient) -> None:
    bomb = saved(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    response = send(client, bomb)
    assert response.status_code == 422
    assert "too large" in response.get_json()["detail"]


def test_who_waits_too_long_is_told_to_come_back(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_WAIT_SECONDS", 0.01)
    with pictures._turn():
        busy = send(client, SUNFLOWER.read_bytes())
    assert (busy.status_code, busy.get_json()["type"]) == (503, "urn:caveat:problem:busy")
    assert int(busy.headers["Retry-After"]) >= 1
    assert send(client, SUNFLOWER.read_bytes()).status_code == 200


def test_no_more_than_one_waits_so_that_threads_stay_free_for_look_ups(client: FlaskClient) -> None:
    with pictures._turn():
        assert pictures._at_the_door.acquire(blocking=False)
        try:
            began = time.monotonic()
            assert send(client, SUNFLOWER.read_bytes()).status_code == 503
            assert time.monotonic() - began < pictures._WAIT_SECONDS / 2
        finally:
            pictures._at_the_door.release()
    assert send(client, SUNFLOWER.read_bytes()).status_code == 200


def test_a_picture_that_cannot_be_hashed_leaves_its_place(client: FlaskClient) -> None:
    for _ in range(3):
        assert send(client, b"no picture").status_code == 422


BAD_TEXTS = {
    "ftp://x": "ot an http or https URL",
    "https://": "",
    "a b": "",
    "x" * 4001: "longer than",
    "<script>alert(1)</script>": "",
}


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: text[:12])
def test_a_text_that_is_no_address_is_told_in_place_and_escaped(client: FlaskClient, text: str) -> None:
    page = client.get("/check", query_string={"q": text}, headers=BROWSER)
    assert page.status_code == 422
    assert BAD_TEXTS[text] in page.text
    assert "<script>" not in page.text
    fields = {one.get("name"): one for tag, one in Outline(page.text).tags if tag == "input"}
    assert (fields["q"]["value"], fields["q"]["aria-invalid"]) == (text, "true")
    twin = client.get("/check.json", query_string={"q": text})
    assert (twin.status_code, twin.get_json(force=True)["type"]) == (422, "urn:caveat:problem:invalid")


@pytest.mark.parametrize("use", ["nonsense", "TRAIN", "<b>"])
def test_a_use_that_is_none_is_refused(client: FlaskClient, use: str) -> None:
    assert client.get("/check.json", query_string={"q": "ada.example", "use": use}).status_code == 422
    page = client.get("/check", query_string={"q": "ada.example", "use": use}, headers=BROWSER)
    assert page.status_code == 422
    assert "<b>&lt;" not in page.text
    assert "&lt;b&gt;" in page.text or use != "<b>"


def test_without_a_question_the_twin_says_so(client: FlaskClient) -> None:
    assert "nothing was asked" in client.get("/check.json").get_json(force=True)["detail"]
    assert client.get("/check").status_code == 200


class TestWhatIsTold:
    HIDDEN = ("secret", "distance", "bits apart", "principal", '"record"', '"label"', "window")

    def test_the_anonymous_learn_neither_record_nor_person_nor_distance(
        self, client: FlaskClient, ada: Any
    ) -> None:
        answers = [
            client.get("/check", query_string={"q": "https://ada.example/a.jpg"}),
            client.get("/check.json", query_string={"q": "ada.example"}),
            send(client, near(SUNFLOWER)),
            send(client, near(SUNFLOWER), "/check", headers=BROWSER),
        ]
        ids = [one["id"] for one in self._records(client, ada)]
        for answer in answers:
            assert "eserved" in answer.text or "onditional" in answer.text
            assert [word for word in (*self.HIDDEN, *ids) if word in answer.text.lower()] == []

    def test_with_a_key_of_the_scope_lookup_all_of_it(self, client: FlaskClient, ada: Any) -> None:
        told = send(client, near(SUNFLOWER), headers=ada.headers).get_json()
        [statement] = told["result"]["statements"]
        assert statement["record"] in [one["id"] for one in self._records(client, ada)]
        assert statement["label"] == "Ada Secret"
        assert statement["match"]["distance"] >= 0
        assert told["datasets"][0]["found"][0]["match"]["distance"] >= 0

    @staticmethod
    def _records(client: FlaskClient, ada: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/api/v1/reservations", headers=ada.headers).get_json()[
            "reservations"
        ]
        return found


class TestDatasets:
    def test_a_page_shows_what_was_found_and_escapes_it(self, client: FlaskClient) -> None:
        page = client.get("/check?q=other.example").text
        assert "1 address under this domain" in page
        assert "&lt;b&gt;bold.jpg" in page
        assert "<b>bold" not in page

    def test_a_permalink_leads_to_the_same_page(self, client: FlaskClient, ada: Any) -> None:
        asked = {"q": "https://img0.ada.example/works/", "use": "train"}
        page = client.get("/check", query_string=asked)
        [link] = {
            one["href"]
            for tag, one in Outline(page.text).tags
            if tag == "a" and "/check?" in (one["href"] or "")
        }
        assert client.get(link).text == page.text

    @pytest.mark.parametrize(
        "how", ["a bit", "gone", "cut off", "no list", "not complete", "another release"]
    )
    def test_a_damaged_index_is_an_error_by_name_and_never_not_found(
        self, make_app: Callable[..., Flask], datasets: Datasets, tmp_path: Path, how: str
    ) -> None:
        folder = tmp_path / "broken.caveat-index"
        shutil.copytree(datasets.addresses, folder)
        client = make_app(dataset_indexes=(datasets.pictures, folder)).test_client()
        assert ask(client, "ada.example")["datasets"][1]["count"] == 30
        damage(folder, how)
        page = client.get("/check?q=ada.example", headers=BROWSER)
        assert page.status_code == 503
        assert "The index of the dataset broken is missing, not complete, damaged" in page.text
        assert "What is known of" in page.text
        assert str(tmp_path) not in page.text
        problem = client.get("/check.json?q=ada.example")
        assert problem.status_code == 503
        assert problem.get_json(force=True)["type"] == "urn:caveat:problem:damaged-index"
        assert send(client, SUNFLOWER.read_bytes()).status_code == 503

    def test_an_index_made_anew_is_taken_up(self, make_app: Callable[..., Flask], tmp_path: Path) -> None:
        table = tmp_path / "urls.csv"
        table.write_text("url\nhttps://ada.example/1\n")
        folder = index_dataset(table).folder
        client = make_app(dataset_indexes=(folder,)).test_client()
        assert ask(client, "ada.example")["datasets"][0]["count"] == 1
        shutil.rmtree(folder)
        assert client.get("/check.json?q=ada.example").status_code == 503
        table.write_text("url\nhttps://ada.example/1\nhttps://ada.example/2\n")
        index_dataset(table)
        assert ask(client, "ada.example")["datasets"][0]["count"] == 2

    def test_it_is_opened_once(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        ask(client, "ada.example")
        monkeypatch.setattr("registry.dataset_index.searching.open_part", None)
        assert ask(client, "ada.example")["datasets"][1]["count"] == 30

    def test_a_bit_that_is_found_to_have_turned_is_an_error(self, client: FlaskClient) -> None:
        from registry.errors import SegmentError

        ask(client, "ada.example")
        served = client.application.extensions["caveat-web"].indexes[1]
        served._held.index.parts[0].damage = SegmentError("a bit has turned")
        assert client.get("/check.json?q=ada.example").status_code == 503

    def test_without_datasets_the_page_says_so(self, make_app: Callable[..., Flask]) -> None:
        client = make_app().test_client()
        assert ask(client, "ada.example")["datasets"] == []
        assert "No datasets are searched here" in client.get("/check?q=ada.example").text


def damage(folder: Path, how: str) -> None:
    [part] = folder.glob("samples-*")
    listing = folder / "index.json"
    if how == "a bit":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        other = folder / ".other"
        other.write_bytes(data)
        os.replace(other, part)
    elif how == "cut off":
        other = folder / ".other"
        other.write_bytes(part.read_bytes()[:5000])
        os.replace(other, part)
    elif how == "gone":
        part.unlink()
    elif how == "no list":
        listing.unlink()
    else:
        text = listing.read_text()
        changed = {
            "not complete": text.replace('"complete": true', '"complete": false'),
            "another release": text.replace('"fingerprint": 1', '"fingerprint": 9'),
        }[how]
        assert changed != text
        listing.write_text(changed)


class TestSetting:
    def test_paths_stand_one_behind_the_other_as_in_path(self, datasets: Datasets) -> None:
        environment = {"CAVEAT_DATA": "x", "CAVEAT_DATASET_INDEXES": datasets.setting}
        assert settings_from(environment).dataset_indexes == datasets.all
        assert settings_from({"CAVEAT_DATA": "x", "CAVEAT_DATASET_INDEXES": ""}).dataset_indexes == ()

    @pytest.mark.parametrize("named", ["nowhere", "{0}:", ":{0}", "{0}:nowhere", "{0}:{0}"])
    def test_what_is_no_index_ends_the_start(self, datasets: Datasets, named: str) -> None:
        text = named.format(datasets.pictures).replace(":", os.pathsep)
        with pytest.raises(SettingsError, match="CAVEAT_DATASET_INDEXES"):
            settings_from({"CAVEAT_DATA": "x", "CAVEAT_DATASET_INDEXES": text})

    def test_a_damaged_one_does_not_take_the_registry_down(
        self, make_app: Callable[..., Flask], datasets: Datasets, tmp_path: Path
    ) -> None:
        folder = tmp_path / "broken.caveat-index"
        shutil.copytree(datasets.addresses, folder)
        damage(folder, "a bit")
        client = make_app(dataset_indexes=(folder,)).test_client()
        assert client.get("/readyz").status_code == 200
        assert client.get("/").status_code == 200
        assert client.get("/check.json?q=ada.example").status_code == 503
