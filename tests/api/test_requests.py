"""What every route does alike: bodies, keys, errors, and the document that describes it all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import text

from api.operations import openapi
from api.problems import STATUSES
from registry import errors
from registry.store import Store, principals

PROBLEM = "application/problem+json"
WRITES = [
    ("POST", "/api/v1/reservations"),
    ("PATCH", "/api/v1/reservations/x"),
    ("POST", "/api/v1/reservations/x/works"),
    ("POST", "/api/v1/reservations/x/erase"),
    ("POST", "/api/v1/grants"),
]
JSON_ROUTES = [
    ("POST", "/api/v1/lookup"),
    *WRITES,
    ("POST", "/api/v2/parity/urls"),
    ("POST", "/api/v2/parity/urls/"),
]
REGISTER_ROUTES = [
    *JSON_ROUTES[1:],
    ("GET", "/api/v1/reservations"),
    ("GET", "/api/v1/reservations/x"),
    ("DELETE", "/api/v1/reservations/x"),
    ("GET", "/api/v1/reservations/x/works"),
    ("DELETE", "/api/v1/grants/x"),
]
LOOKUP_ROUTES = [("POST", "/api/v2/query/urls"), ("POST", "/api/v2/query/urls/")]
KEYED = REGISTER_ROUTES + LOOKUP_ROUTES
KEYED_ELSEWHERE = {
    ("/api/v1/changes", "get"),
    *((f"/check{twin}", method) for twin in ("", ".json") for method in ("get", "post")),
    ("/api/v1/imports", "post"),
    ("/api/v1/imports/{id_}", "delete"),
    ("/api/v1/imports/{id_}", "get"),
    ("/api/v1/imports/{id_}/complete", "post"),
    ("/api/v1/imports/{id_}/parts/{number}", "put"),
    ("/api/v1/imports/{id_}/withdraw", "post"),
    ("/api/v1/lookup", "post"),
    ("/api/v1/marks", "post"),
    ("/api/v1/range/{of}/{prefix}", "get"),
    ("/api/v1/receipts", "post"),
    ("/api/v1/receipts/{id_}", "delete"),
    ("/api/v1/receipts/tickets", "post"),
    ("/api/v1/receipts/verify", "post"),
    ("/api/v1/reservations/{id_}/evidence", "get"),
    ("/api/v1/reservations/{id_}/evidence.pdf", "get"),
    ("/api/v1/snapshots/{snapshot}/{tier}/{file}", "get"),
    ("/register/batch", "post"),
    *((f"/record/{{id_}}{twin}", "get") for twin in ("", ".json")),
    *(("/api/v1/subscriptions", method) for method in ("get", "post")),
    *(("/api/v1/subscriptions/{id_}", method) for method in ("delete", "get")),
    ("/api/v1/subscriptions/{id_}/items", "post"),
}
"""Routes whose keys are tested in files of their own, named for what they serve."""

BAD_BODIES = {
    "doubled member": b'{"items":[],"items":[]}',
    "doubled member, inside": b'{"items":[{"id":"a","id":"b"}]}',
    "NaN": b'{"items":NaN}',
    "Infinity": b'{"items":-Infinity}',
    "not UTF-8": b'{"items":"\xff"}',
    "UTF-16": '{"items":[]}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"items":[]}',
    "empty": b"",
    "cut off": b'{"items":[',
    "two values": b'{"items":[]} {}',
    "too deep": b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list": b"[]",
    "null": b"null",
    "unknown member": b'{"strange":1}',
    "wrong type": b'{"items":{},"works":{},"urls":{},"label":5}',
    "text of half a character": b'{"label":"\\ud800","items":"\\ud800","works":"\\ud800"}',
    "a member named by half a character": b'{"\\ud800":1}',
    "a fraction without end": b'{"items":1e999}',
    "an integer without end": b'{"items":[],"as_of_seq":' + b"9" * 5000 + b"}",
}


def assert_problem(response: Any, status: int, kind: str = "") -> dict[str, Any]:
    assert response.status_code == status, (response.request.path, response.text)
    body: dict[str, Any] = response.get_json(force=True)
    if response.request.path.startswith("/api/v2/"):
        assert (response.content_type, list(body)) == ("application/json", ["detail"])
    else:
        assert response.content_type == PROBLEM
        assert set(body) - {"hint"} == {"type", "title", "status", "detail"}
        assert body["status"] == status
        assert body["type"] == f"urn:caveat:problem:{kind}"
        assert body["detail"]
    return body


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bodies_that_two_readers_could_read_differently_are_refused(
    client: FlaskClient, store: Store, make_key: Callable[..., Any], case: str
) -> None:
    sent = {"data": BAD_BODIES[case], "headers": make_key().headers, "content_type": "application/json"}
    for method, path in JSON_ROUTES:
        assert_problem(client.open(path, method=method, **sent), 422, "invalid")
    assert store.head() == 0


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_other_kinds_of_body_are_415(client: FlaskClient, make_key: Callable[..., Any], kind: str) -> None:
    headers = make_key().headers
    for method, path in JSON_ROUTES:
        response = client.open(path, method=method, data=b"{}", headers=headers, content_type=kind)
        body = assert_problem(response, 415, "media-type")
        assert path.startswith("/api/v2/") or "application/json" in body["hint"]


def test_bodies_above_the_limit_are_413(make_app: Callable[..., Flask], make_key: Callable[..., Any]) -> None:
    client, headers = make_app(max_body_bytes=100).test_client(), make_key().headers
    for method, path in [*JSON_ROUTES, *LOOKUP_ROUTES]:
        sent = {"data": b" " * 101, "headers": headers, "content_type": "application/json"}
        assert_problem(client.open(path, method=method, **sent), 413, "too-large")


WORK = {"url": "https://example.org/a"}
TOO_MANY: dict[str, Any] = {
    "/api/v1/lookup": {"items": [{"id": str(n)} for n in range(4)]},
    "/api/v1/reservations": {"preferences": {"tdm": "reserved"}, "works": [WORK] * 4},
    "/api/v1/reservations/x/works": {"works": [WORK] * 4},
    "/api/v2/parity/urls": {"urls": [{**WORK, "optOut": True, "optIn": False}] * 4},
}


@pytest.mark.parametrize("path", TOO_MANY)
def test_items_above_the_limit_are_413(
    make_app: Callable[..., Flask], make_key: Callable[..., Any], path: str
) -> None:
    client = make_app(max_items=3).test_client()
    assert_problem(client.post(path, json=TOO_MANY[path], headers=make_key().headers), 413, "too-large")


def test_rules_above_the_limit_are_413(client: FlaskClient, make_key: Callable[..., Any]) -> None:
    rules = [{"kind": "exact", "value": "https://example.org/"}] * 1001
    body = {"preferences": {"tdm": "reserved"}, "rules": rules}
    assert_problem(
        client.post("/api/v1/reservations", json=body, headers=make_key().headers), 413, "too-large"
    )


class TestKeys:
    @pytest.mark.parametrize(("method", "path"), KEYED)
    def test_without_a_key_401(self, client: FlaskClient, method: str, path: str) -> None:
        response = client.open(path, method=method, json={})
        body = assert_problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert path.startswith("/api/v2/") or "Authorization" in body["hint"]

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "API",
            "API ",
            "API x",
            "Basic {key}",
            "{key}",
            "API {cut}",
            "API {other}",
            "API {key} x",
            "API ключ",
        ],
    )
    def test_with_a_wrong_key_401_and_never_anonymous(
        self, client: FlaskClient, make_key: Callable[..., Any], header: str
    ) -> None:
        key = make_key().secret
        other = key[:10] + ("a" if key[10] != "a" else "b") + key[11:]
        sent = header.format(key=key, cut=key[:-1], other=other)
        headers = {"Authorization": sent.encode().decode("latin-1")}
        for method, path in [*KEYED, ("POST", "/api/v1/lookup")]:
            response = client.open(path, method=method, json={"items": []}, headers=headers)
            assert_problem(response, 401, "unauthenticated")

    def test_a_well_formed_key_of_another_registry_401(
        self, client: FlaskClient, store: Store, make_key: Callable[..., Any]
    ) -> None:
        key = make_key()
        with store.administer() as connection:
            connection.execute(text("DELETE FROM credential"))
        response = client.post("/api/v1/lookup", json={"items": []}, headers=key.headers)
        assert_problem(response, 401, "unauthenticated")

    @pytest.mark.parametrize("scheme", ["API", "api", "Bearer", "bearer", "API ", "BEARER"])
    @pytest.mark.parametrize("path", ["/api/v1/lookup", "/api/v2/query/urls"])
    def test_api_and_bearer_are_the_same(
        self, client: FlaskClient, make_key: Callable[..., Any], scheme: str, path: str
    ) -> None:
        headers = {"Authorization": f"{scheme} {make_key().secret}"}
        assert client.post(path, json={"items": []}, headers=headers).status_code == 200

    def test_a_revoked_key_401_at_once(
        self, client: FlaskClient, store: Store, make_key: Callable[..., Any]
    ) -> None:
        key, other = make_key(), make_key()
        assert client.post("/api/v1/lookup", json={"items": []}, headers=key.headers).status_code == 200
        with store.administer() as connection:
            assert principals.revoke_credential(connection, key.id, 1)
            assert not principals.revoke_credential(connection, key.id, 1)
        response = client.post("/api/v1/lookup", json={"items": []}, headers=key.headers)
        assert_problem(response, 401, "unauthenticated")
        assert client.post("/api/v1/lookup", json={"items": []}, headers=other.headers).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "scope"),
        [(*route, "register") for route in REGISTER_ROUTES] + [(*route, "lookup") for route in LOOKUP_ROUTES],
    )
    def test_without_the_scope_403(
        self, client: FlaskClient, make_key: Callable[..., Any], method: str, path: str, scope: str
    ) -> None:
        others = [one for one in ("lookup", "register", "domain:*") if one != scope]
        response = client.open(path, method=method, json={}, headers=make_key(others).headers)
        assert scope in assert_problem(response, 403, "forbidden")["detail"]

    def test_the_secret_is_stored_nowhere(
        self, store: Store, make_key: Callable[..., Any], tmp_path: Path
    ) -> None:
        key = make_key()
        with store.read() as connection:
            stored = repr(connection.execute(text("SELECT * FROM credential, principal")).all())
        assert key.id in stored
        assert key.secret not in stored
        assert all(key.secret.encode() not in path.read_bytes() for path in tmp_path.glob("registry*"))


ELSEWHERE = [
    "/nowhere",
    "/check/",
    "/api/v1/lookup/",
    "/api/v1/reservations/",
    "//api/v2/query/urls",
    "/api/v2/none",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_other_paths_are_404_and_never_a_redirect(client: FlaskClient, path: str) -> None:
    assert_problem(client.post(path, data=b""), 404, "not-found")


OTHER_METHODS = [
    ("GET", "/api/v1/lookup"),
    ("GET", "/api/v2/query/urls"),
    ("GET", "/api/v2/query/urls/"),
    ("PUT", "/api/v1/reservations"),
    ("POST", "/livez"),
    ("POST", "/"),
    ("PUT", "/check"),
]


@pytest.mark.parametrize(("method", "path"), OTHER_METHODS)
def test_other_methods_are_405(client: FlaskClient, method: str, path: str) -> None:
    assert_problem(client.open(path, method=method), 405, "method-not-allowed")


@pytest.mark.parametrize(("method", "path"), OTHER_METHODS)
def test_405_says_which_methods_there_are(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method).headers["Allow"]


class TestHealth:
    def test_it_is_live_and_ready(self, client: FlaskClient, store: Store) -> None:
        assert client.get("/livez").get_json() == {"status": "ok"}
        assert client.get("/readyz").get_json() == {
            "status": "ok",
            "as_of_seq": 0,
            "subscriptions_behind_since": None,
        }
        with store.write():
            pass
        assert_problem(client.get("/readyz"), 503, "stale-index")

    def test_parameters_tell_what_the_registry_takes(self, client: FlaskClient) -> None:
        told = client.get("/api/v1/parameters").get_json()
        wanted = {"strict_radius": 31, "review_radius": 47, "phash_radius": 3, "max_items": 10_000}
        assert {name: told[name] for name in wanted} == wanted
        assert told["fingerprint_versions"] == [1]
        assert told["modes"] == ["eu-art4", "strict", "research-art3"]


UNREADABLE = {
    "no head": "ALTER TABLE head RENAME TO gone",
    "no keys": "ALTER TABLE credential RENAME TO gone",
    "no event": "UPDATE head SET n = 7",
}


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("path", ["/api/v1/lookup", "/api/v2/query/urls", "/api/v2/query/urls/"])
def test_a_database_that_fails_is_503_for_the_whole_request(
    client: FlaskClient, store: Store, make_key: Callable[..., Any], path: str, case: str
) -> None:
    key = make_key()
    with store.administer() as connection:
        connection.execute(text(UNREADABLE[case]))
    body = {"items": [{"id": "a", "url": "https://example.org/"}]}
    response = client.post(path, json=body, headers=key.headers)
    assert_problem(response, 503, "stale-index" if case == "no event" else "storage")
    assert int(response.headers["Retry-After"]) >= 1
    assert "unknown" not in response.text
    assert "optOut" not in response.text


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/secret.sqlite", "postgresql://somebody@127.0.0.1:1/secret"]
)
def test_a_database_out_of_reach_is_503_and_the_process_lives(
    make_app: Callable[..., Flask], url: str
) -> None:
    client = make_app(database=url).test_client()
    assert client.get("/livez").status_code == 200
    assert_problem(client.get("/readyz"), 503, "storage")
    body = {"items": [{"id": "a", "url": "https://example.org/"}]}
    assert_problem(client.post("/api/v1/lookup", json=body), 503, "storage")


@pytest.mark.parametrize(
    ("url", "secret"),
    [("postgresql://somebody@127.0.0.1:1/secret", "127.0.0.1"), ("sqlite:////nowhere/x", "unable to open")],
)
def test_internal_detail_stays_in_the_log(make_app: Callable[..., Flask], url: str, secret: str) -> None:
    assert secret not in make_app(database=url).test_client().get("/readyz").text


class TestDocument:
    def test_it_is_openapi_31(self, client: FlaskClient) -> None:
        document = json.loads(client.get("/openapi.json").data)
        assert document["openapi"] == "3.1.0"
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []

    def test_it_lists_every_route_and_method(self, app: Flask) -> None:
        routes = {
            (rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), method.lower())
            for rule in app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        }
        paths = openapi(app)["paths"]
        assert {(path, method) for path, methods in paths.items() for method in methods} == routes
        assert len(routes) == 80

    def test_every_keyed_route_says_so(self, app: Flask) -> None:
        paths = openapi(app)["paths"]
        keyed = {(path, method) for path in paths for method, one in paths[path].items() if "security" in one}
        wanted = {(path.replace("/x", "/{id_}"), method.lower()) for method, path in KEYED}
        assert keyed == wanted | KEYED_ELSEWHERE


def test_every_error_of_the_service_has_its_status() -> None:
    def below(kind: type[errors.CaveatError]) -> set[type[errors.CaveatError]]:
        return {kind} | {one for child in kind.__subclasses__() for one in below(child)}

    # A client's own finer error is answered to nobody.
    service = {one for one in below(errors.ServiceError) if one.__module__ == errors.__name__}
    assert service - {errors.ServiceError} <= set(STATUSES)


def test_an_error_of_ours_is_500_and_tells_nothing(
    app: Flask, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> int:
        raise RuntimeError("the inside")

    monkeypatch.setattr(app.extensions["caveat"].lookup, "catch_up", broken, raising=True)
    # The documented client fails on every 500.
    response = FlaskClient(app, app.response_class).get("/readyz")
    assert_problem(response, 500, "internal")
    assert "the inside" not in response.text
    assert "the inside" in caplog.text
