"""What every page does alike: headers, weight, JSON twins, errors as pages, and the first page's figures."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.web.assets import asset_name
from api.web.pages import POLICY, POLICY_THAT_HASHES
from registry.store import Store

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MACHINE = {"Accept": "application/json"}
PAGES = ["/", "/check", "/check?q=ada.example", "/check?q=ftp%3A%2F%2Fx", "/nowhere", "/static/none.css"]


class Outline(HTMLParser):
    """Tags in their order, with their attributes; what is not closed where it was opened is an error."""

    VOID = frozenset({"meta", "link", "img", "input", "hr", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_headers_no_script_of_its_own_and_little_weight(
    client: FlaskClient, ada: Any, path: str
) -> None:
    response = client.get(path, headers=BROWSER)
    assert response.content_type == "text/html; charset=utf-8"
    hashes = path.startswith("/check")
    assert response.headers["Content-Security-Policy"] == (POLICY_THAT_HASHES if hashes else POLICY)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    outline = Outline(response.text)
    sources = [
        one.get("src") or one.get("href") for tag, one in outline.tags if tag in ("img", "link", "script")
    ]
    assert all(source and source.startswith("/static/") for source in sources)
    assert not [tag for tag, one in outline.tags if tag == "style" or "style" in one]
    assert ["src" in one for tag, one in outline.tags if tag == "script"] == ([True] if hashes else [])
    assert not [name for _, one in outline.tags for name in one if name.startswith("on")]
    weight = len(response.data) + sum(len(client.get(source).data) for source in set(sources) if source)
    assert weight <= 100_000
    ids = [one["id"] for _, one in outline.tags if "id" in one]
    assert len(ids) == len(set(ids))
    for tag, one in outline.tags:
        assert tag != "label" or one["for"] in ids
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((one.get(name) or "").split()) <= set(ids)
        if tag == "a" and (one["href"] or "").startswith("/"):
            assert client.get(one["href"]).status_code in (200, 404 if one["href"] == "/checkpoint" else 200)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        (BROWSER["Accept"], "text/html"),
        ("application/json", "application/json"),
        ("text/html;q=0.5,application/json", "application/json"),
        ("image/png", "text/html"),
    ],
    ids=["nothing", "anything", "a browser", "json", "rather json", "something else"],
)
@pytest.mark.parametrize("path", ["/", "/check?q=ada.example"])
def test_a_page_is_json_for_whom_prefers_it(client: FlaskClient, path: str, accept: Any, kind: str) -> None:
    response = client.get(path, headers={} if accept is None else {"Accept": accept})
    assert (response.status_code, response.mimetype) == (200, kind)
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize(("page", "twin"), [("/", "/index.json"), ("/check", "/check.json")])
def test_the_twin_of_a_page_is_json_whatever_is_accepted(client: FlaskClient, page: str, twin: str) -> None:
    query = "?q=https%3A%2F%2Fimg0.ada.example%2F" if page == "/check" else ""
    [by_name, by_header] = [
        client.get(twin + query, headers=BROWSER), client.get(page + query, headers=MACHINE)
    ]  # fmt: skip
    assert by_name.mimetype == "application/json"
    assert by_name.get_json() == by_header.get_json()
    assert by_name.headers["X-Content-Type-Options"] == "nosniff"


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nowhere", 404), ("PUT", "/check", 405), ("POST", "/", 405), ("GET", "/tile/x", 404)],
    )
    def test_a_browser_gets_a_page_and_a_program_a_problem(
        self, client: FlaskClient, method: str, path: str, status: int
    ) -> None:
        page = client.open(path, method=method, headers=BROWSER)
        assert (page.status_code, page.mimetype) == (status, "text/html")
        assert f"Error {status}" in page.text
        for headers in (MACHINE, {}):
            problem = client.open(path, method=method, headers=headers)
            assert (problem.status_code, problem.mimetype) == (status, "application/problem+json")

    @pytest.mark.parametrize("path", ["/api/v1/nowhere", "/api/v2/none", "/api/v1/reservations"])
    def test_the_api_answers_browsers_as_it_does_programs(self, client: FlaskClient, path: str) -> None:
        response = client.get(path, headers=BROWSER)
        assert response.mimetype.endswith("json")

    @pytest.mark.parametrize("path", ["/check?q=ada.example", "/check.json?q=ada.example"])
    def test_a_stale_registry_is_an_error_by_name_and_not_silence(
        self, client: FlaskClient, store: Store, path: str
    ) -> None:
        with store.write():
            pass
        response = client.get(path, headers=BROWSER)
        assert response.status_code == 503
        assert "stale" in response.text.lower()
        assert "Nobody has said" not in response.text

    def test_a_database_out_of_reach_is_503_on_the_first_page(self, make_app: Any) -> None:
        client = make_app(database="sqlite:////nowhere/secret.sqlite").test_client()
        page = client.get("/", headers=BROWSER)
        assert (page.status_code, page.mimetype) == (503, "text/html")
        assert "secret" not in page.text
        assert client.get("/index.json").get_json(force=True)["type"] == "urn:caveat:problem:storage"

    def test_a_mirror_that_lags_shows_its_error_with_its_style(self, make_app: Any) -> None:
        client = make_app(mirror="https://upstream.example").test_client()
        for path in ("/", "/check?q=ada.example"):
            page = client.get(path, headers=BROWSER)
            assert (page.status_code, page.mimetype) == (503, "text/html")
        assert client.get(f"/static/{asset_name('style.css')}").status_code == 200

    def test_a_wrong_key_is_never_anonymous(self, client: FlaskClient) -> None:
        headers = {"Authorization": "API nonsense", **MACHINE}
        assert client.get("/check?q=ada.example", headers=headers).status_code == 401


class TestStaticFiles:
    @pytest.mark.parametrize("file", ["style.css", "icon.svg"])
    def test_a_file_has_the_name_of_its_contents_and_is_kept_for_a_year(
        self, client: FlaskClient, file: str
    ) -> None:
        response = client.get(f"/static/{asset_name(file)}")
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("name", ["style.css", "style-000000000000.css", "..%2Fsettings.py", "hash.js"])
    def test_there_are_no_others(self, client: FlaskClient, name: str) -> None:
        assert client.get(f"/static/{name}").status_code == 404

    def test_the_style_names_no_other_host(self, client: FlaskClient) -> None:
        text = client.get(f"/static/{asset_name('style.css')}").text
        assert not re.search(r"https?:|url\(|@import", text)


class TestFirstPage:
    def test_it_counts_what_stands(self, client: FlaskClient, ada: Any) -> None:
        told = client.get("/index.json").get_json()
        assert told == {
            "reservations": 2, "works": 5, "rules": 1, "as_of_seq": 2, "log_size": None,
            "datasets": ["cosy-cats", "urls.csv"],
        }  # fmt: skip
        page = client.get("/").text
        assert re.search(r"<dt>works lodged</dt><dd>5</dd>", page)

    def test_what_was_withdrawn_counts_no_more(self, client: FlaskClient, ada: Any) -> None:
        counting = client.application.extensions["caveat-web"].counting
        [first, second] = client.get("/api/v1/reservations", headers=ada.headers).get_json()["reservations"]
        assert client.get("/index.json").get_json()["works"] == 5
        client.delete(f"/api/v1/reservations/{first['id']}", headers=ada.headers)
        counting._again = 0.0
        told = client.get("/index.json").get_json()
        assert (told["reservations"], told["works"], told["rules"], told["as_of_seq"]) == (1, 0, 1, 3)
        client.post(f"/api/v1/reservations/{second['id']}/erase", json={"keep": False}, headers=ada.headers)
        counting._again = 0.0
        told = client.get("/index.json").get_json()
        assert (told["reservations"], told["works"], told["rules"]) == (0, 0, 0)

    def test_counting_waits_a_hundred_times_as_long_as_it_took(self, client: FlaskClient, ada: Any) -> None:
        counting = client.application.extensions["caveat-web"].counting
        client.get("/")
        counting._again = float("inf")
        client.post(
            "/api/v1/reservations",
            json={"preferences": {"tdm": "reserved"}, "works": [{"url": "https://a.example/"}]},
            headers=ada.headers,
        )
        assert client.get("/index.json").get_json()["as_of_seq"] == 2


def test_the_pages_are_in_the_document(client: FlaskClient) -> None:
    paths = json.loads(client.get("/openapi.json").data)["paths"]
    assert {"/", "/index.json", "/check", "/check.json", "/static/{name}"} <= set(paths)
