"""``POST /api/v1/marks``: a bit a key, never 0 where a look-up would find something."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store
from registry.urls import candidate_keys, canonicalize_url, exact_key, url_rule

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
BYTES = {"Content-Type": "application/octet-stream"}
URL = canonicalize_url("https://a.example/x/1.jpg")
FILE = b"\xab" * 32


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


@pytest.fixture
def registrar(app: Any) -> Registrar:
    return app.extensions["caveat"].registrar


@pytest.fixture
def lodged(registrar: Registrar, make_key: Callable[..., Any]) -> tuple[Any, str]:
    """One work by URL and file, and a rule of each wider kind elsewhere."""
    caller = make_key(("register", "domain:*")).caller
    rules = [
        url_rule("prefix", "https://b.example/p/"),
        url_rule("host", "c.example:8443"),
        url_rule("domain", "d.example"),
    ]
    return caller, registrar.register(caller, Draft(RESERVED, [WorkDraft(url=URL, sha256=FILE)], rules)).id


def ask(client: FlaskClient, keys: Sequence[bytes], of: str = "", **options: Any) -> TestResponse:
    return client.post(f"/api/v1/marks{of}", data=b"".join(keys), **{"headers": BYTES, **options})


def bits(response: TestResponse, count: int) -> list[int]:
    assert response.status_code == 200, response.text
    assert response.content_type == "application/octet-stream"
    assert int(response.headers["Content-Length"]) == len(response.data) == -(-count // 8)
    found = np.unpackbits(np.frombuffer(response.data, np.uint8)).tolist()
    assert not any(found[count:])
    return found[:count]


def test_a_mark_stands_where_something_was_said_and_nowhere_else(client: FlaskClient, lodged: Any) -> None:
    asked = [
        (exact_key(URL), 1),
        (exact_key(canonicalize_url("https://a.example/x/2.jpg")), 0),
        (key("prefix:example,b,)/p/"), 1),
        (key("prefix:example,b,)/"), 0),
        (key("host:example,c,:8443)"), 1),
        (key("host:example,c,)"), 0),
        (key("domain:example,d,"), 1),
        (key("domain:example,a,"), 0),
        (FILE[:16], 0),
        (bytes(16), 0),
        (b"\xff" * 16, 0),
    ]
    response = ask(client, [one for one, _ in asked])
    assert bits(response, len(asked)) == [mark for _, mark in asked]
    assert response.headers["Caveat-As-Of-Seq"] == "1"


def test_files_are_asked_for_by_half_of_their_sha256(client: FlaskClient, lodged: Any) -> None:
    asked = [FILE[:16], exact_key(URL), b"\xab" * 15 + b"\xac"]
    assert bits(ask(client, asked, "?of=sha256"), 3) == [1, 0, 0]
    assert bits(ask(client, asked, "?of=rule"), 3) == [0, 1, 0]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_bits_are_in_the_order_of_the_keys(client: FlaskClient, lodged: Any, count: int) -> None:
    wanted = np.random.default_rng(count).integers(0, 2, count).tolist()
    keys = [exact_key(URL) if mark else key(str(place)) for place, mark in enumerate(wanted)]
    assert bits(ask(client, keys), count) == wanted


def test_what_was_said_since_is_marked_at_once_and_what_was_withdrawn_stays_marked(
    client: FlaskClient, registrar: Registrar, lodged: Any
) -> None:
    caller, id_ = lodged
    new = canonicalize_url("https://new.example/")
    asked = [exact_key(URL), exact_key(new)]
    assert bits(ask(client, asked), 2) == [1, 0]
    registrar.register(caller, Draft(RESERVED, [WorkDraft(url=new)]))
    registrar.withdraw(caller, id_)
    response = ask(client, asked)
    assert (bits(response, 2), response.headers["Caveat-As-Of-Seq"]) == ([1, 1], "3")


def test_every_key_of_a_work_s_address_finds_what_covers_it(
    client: FlaskClient, registrar: Registrar, lodged: Any
) -> None:
    url = canonicalize_url("https://img.d.example/deep/er/a.jpg?size=2")
    keys = [one for _, one in candidate_keys(url)]
    assert bits(ask(client, keys), len(keys)) == [*[0] * (len(keys) - 1), 1]


KEY = bytes(16)
REFUSED = {
    "half a key": ("", KEY + b"x", BYTES, 422, "17 bytes"),
    "15 bytes": ("", KEY[1:], BYTES, 422, "15 bytes"),
    "of a url": ("?of=url", KEY, BYTES, 422, "expected rule or sha256, got 'url'"),
    "of nothing": ("?of=", KEY, BYTES, 422, "expected rule or sha256"),
    "too many": ("", KEY * 4, BYTES, 413, "4 keys; at most 3"),
    "JSON": ("", b"[]", {"Content-Type": "application/json"}, 415, "got application/json"),
    "no kind": ("", KEY, {}, 415, "no Content-Type"),
    "a wrong key": ("", KEY, {**BYTES, "Authorization": "API nonsense"}, 401, "no key of this registry"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_list_of_keys_is_a_problem(make_app: Callable[..., Any], case: str) -> None:
    of, data, headers, status, detail = REFUSED[case]
    response = make_app(max_marks=3).test_client().post(f"/api/v1/marks{of}", data=data, headers=headers)
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert detail in response.get_json()["detail"]


def test_the_most_that_is_taken_is_told(make_app: Callable[..., Any]) -> None:
    client = make_app(max_marks=3).test_client()
    assert client.get("/api/v1/parameters").get_json()["max_marks"] == 3
    assert bits(ask(client, [KEY] * 3), 3) == [0, 0, 0]


UNREADABLE = {
    "no head": ("ALTER TABLE head RENAME TO gone", "storage"),
    "no event": ("UPDATE head SET n = 7", "stale-index"),
    "an older one": ("UPDATE head SET n = 0", "stale-index"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_index_that_cannot_catch_up_marks_nothing(
    client: FlaskClient, store: Store, lodged: Any, case: str
) -> None:
    assert bits(ask(client, [KEY]), 1) == [0]
    statement, kind = UNREADABLE[case]
    with store.administer() as connection:
        connection.execute(text(statement))
    response = ask(client, [KEY])
    assert (response.status_code, response.get_json()["type"]) == (503, f"urn:caveat:problem:{kind}")
    assert int(response.headers["Retry-After"]) >= 1
