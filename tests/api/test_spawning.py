"""The compatible API, byte by byte: the numbers are those of "What a conforming server does"."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from registry.errors import StorageError
from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store, events
from registry.store.sql import table_of
from registry.tables import ReservationVersion, UrlRuleRow, Work
from registry.urls import canonicalize_url, url_rule

QUERY = ["/api/v2/query/urls", "/api/v2/query/urls/"]
PARITY = ["/api/v2/parity/urls", "/api/v2/parity/urls/"]
OUT, IN, NEITHER = (True, False), (False, True), (False, False)
TRAIN, GENAI = Use.TRAIN, Use.GENAI_TRAIN


@pytest.fixture
def registrar(app: Flask) -> Registrar:
    return app.extensions["caveat"].registrar


@pytest.fixture
def key(make_key: Callable[..., Any]) -> Any:
    return make_key(("lookup",))


@pytest.fixture
def query(client: FlaskClient, key: Any) -> Callable[..., Any]:
    def ask(body: bytes, path: str = QUERY[1], content_type: str = "text/plain") -> Any:
        return client.post(path, data=body, headers=key.headers, content_type=content_type)

    return ask


@pytest.fixture
def lodge(registrar: Registrar, make_key: Callable[..., Any]) -> Callable[..., None]:
    def reserve(url: str, preference: Preference = Preference.RESERVED, use: Use = GENAI) -> None:
        caller = make_key(("register",), evidence_level=3).caller
        registrar.register(caller, Draft({use: preference}, [WorkDraft(url=canonicalize_url(url))]))

    return reserve


def flags(response: Any) -> list[tuple[Any, Any]]:
    assert response.status_code == 200, response.text
    assert response.content_type == "application/json"
    return [(row["optOut"], row["optIn"]) for row in json.loads(response.data)["urls"]]


def echoed(response: Any) -> list[bytes]:
    assert response.status_code == 200, response.text
    return [row["url"].encode() for row in json.loads(response.data)["urls"]]


LINES = {
    # body → its rows
    "one bare line": (b"https://a.test/1", [OUT]),
    "one padded line (Hugging Face)": (b"https://a.test/1\n", [OUT, NEITHER]),
    "blank lines": (
        b"\n\nhttps://a.test/1\n\nhttps://b.test/\n",
        [NEITHER, NEITHER, OUT, NEITHER, NEITHER, NEITHER],
    ),
    "spaces are blank": (b" \n\t\nhttps://a.test/1", [NEITHER, NEITHER, OUT]),
    "doubles": (b"https://a.test/1\nhttps://b.test/\nhttps://a.test/1", [OUT, NEITHER, OUT]),
    "nothing": (b"", [NEITHER]),
    "split at newlines only": (
        "https://b.test/\u2028https://b.test/\x0bx\x0cx\x1cx\x85\nhttps://a.test/1".encode(),
        [NEITHER, OUT],
    ),
    "CRs": (b"https://a.test/1\r\nhttps://b.test/\r\n\r", [OUT, NEITHER, NEITHER]),
    "other spellings": (b"HTTP://WWW.A.test:80/%31?utm_source=x#y\n https://a.test/1 ", [OUT, OUT]),
    "no URLs are never vouched for": (b"nowhere\nftp://a.test/1\n/1\nhttps://\nhttp://[::1", [OUT] * 5),
}


@pytest.mark.parametrize("path", QUERY)
@pytest.mark.parametrize("case", LINES)
def test_1_2_one_row_a_line_in_order_echoed_byte_for_byte(
    query: Callable[..., Any], lodge: Callable[..., None], path: str, case: str
) -> None:
    lodge("https://a.test/1")
    body, rows = LINES[case]
    response = query(body, path)
    assert echoed(response) == body.split(b"\n")
    assert flags(response) == rows


ODD = [
    "https://spawning.ai/éxample.png",
    "https://a.test/%C3%A9?b=1&a=2&a=2#frag",
    "https://a.test/a b/‮/𝄞/\u0301",
    "  https://A.TEST/%7Ea/../b//c/ ",
    'https://a.test/"\\\b\u007f<script>&amp;',
    "https://müller.test/\ufeff",
    "\ufeffhttps://a.test/1",
    "null",
    "\x00\x01\x1f",
    "https://a.test/" + "x" * 20_000,
]


@pytest.mark.parametrize("place", range(len(ODD)))
def test_2_odd_spellings_come_back_as_they_were_sent(query: Callable[..., Any], place: int) -> None:
    body = b"\n".join([b"https://a.test/", ODD[place].encode(), b"https://b.test/"])
    response = query(body)
    assert echoed(response) == body.split(b"\n")
    assert flags(response)[::2] == [NEITHER, NEITHER]


@pytest.mark.parametrize(
    ("preference", "wanted"),
    [("reserved", OUT), ("conditional", OUT), ("allowed", IN), ("unknown", NEITHER)],
)
def test_3_9_flags_are_booleans_for_genai_training(
    query: Callable[..., Any], lodge: Callable[..., None], preference: str, wanted: tuple[bool, bool]
) -> None:
    lodge("https://a.test/1", Preference(preference))
    (row,) = query(b"https://a.test/1").get_json()["urls"]
    assert (row["optOut"] is wanted[0], row["optIn"] is wanted[1]) == (True, True)


def test_9_a_permission_without_evidence_is_no_opt_in(
    query: Callable[..., Any], registrar: Registrar, make_key: Callable[..., Any]
) -> None:
    allowed = Draft({GENAI: Preference.ALLOWED}, [WorkDraft(url=canonicalize_url("https://a.test/1"))])
    registrar.register(make_key(evidence_level=2).caller, allowed)
    assert flags(query(b"https://a.test/1")) == [NEITHER]


def test_9_another_use_is_another_question(query: Callable[..., Any], lodge: Callable[..., None]) -> None:
    lodge("https://a.test/1", use=Use.SEARCH)
    assert flags(query(b"https://a.test/1")) == [NEITHER]


def test_9_rules_count_and_the_strictest_word_wins(
    query: Callable[..., Any], registrar: Registrar, make_key: Callable[..., Any], lodge: Callable[..., None]
) -> None:
    owner = make_key(("register", "domain:a.test")).caller
    registrar.register(owner, Draft({GENAI: Preference.RESERVED}, rules=[url_rule("domain", "a.test")]))
    lodge("https://x.a.test/1", Preference.ALLOWED)
    lodge("https://b.test/1", Preference.ALLOWED)
    assert flags(query(b"https://x.a.test/1\nhttps://b.test/1\nhttps://c.test/1")) == [OUT, IN, NEITHER]


@pytest.mark.parametrize("path", QUERY + PARITY)
@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD", "OPTIONS"])
def test_4_nothing_is_ever_redirected(client: FlaskClient, key: Any, path: str, method: str) -> None:
    response = client.open(path, method=method, headers=key.headers, data=b"https://a.test/1")
    assert not 300 <= response.status_code < 400
    assert "Location" not in response.headers


@pytest.mark.parametrize("path", QUERY)
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; charset=utf-8",
        "",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ],
)
def test_4_any_kind_of_text_is_answered_with_json(
    query: Callable[..., Any], lodge: Callable[..., None], path: str, kind: str
) -> None:
    lodge("https://a.test/1")
    response = query(b"https://a.test/1", path, kind)
    assert flags(response) == [OUT]
    assert response.headers["Content-Type"] == "application/json"


def test_5_ten_thousand_urls_of_four_megabytes(query: Callable[..., Any], lodge: Callable[..., None]) -> None:
    lodge("https://a.test/9999/" + "x" * 400)
    lines = [f"https://a.test/{number}/{'x' * 400}".encode() for number in range(10_000)]
    body = b"\n".join(lines)
    assert len(body) > 4_000_000
    response = query(body)
    assert echoed(response) == lines
    assert flags(response) == [NEITHER] * 9_999 + [OUT]


def test_5_a_hugging_face_job(query: Callable[..., Any], lodge: Callable[..., None]) -> None:
    """No slash, a charset, 1,000 lines of a column with gaps and doubles."""
    lines = [b"" if n % 7 == 0 else f"https://a.test/{n % 300}".encode() for n in range(1000)]
    for number in (1, 2, 299):
        lodge(f"https://a.test/{number}")
    response = query(b"\n".join(lines), QUERY[0], "text/plain; charset=utf-8")
    assert echoed(response) == lines
    reserved = {b"https://a.test/1", b"https://a.test/2", b"https://a.test/299"}
    assert flags(response) == [OUT if line in reserved else NEITHER for line in lines]
    assert flags(response).count(OUT) > 5


def test_5_more_lines_than_the_limit_are_refused_whole(make_app: Callable[..., Flask], key: Any) -> None:
    client = make_app(max_urls=3).test_client()
    assert client.post(QUERY[0], data=b"\n\n", headers=key.headers).status_code == 200
    response = client.post(QUERY[0], data=b"\n\n\n", headers=key.headers)
    assert (response.status_code, list(response.get_json())) == (413, ["detail"])


@pytest.mark.parametrize("path", QUERY)
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("API ", 401),
        ("API TESTKEY123", 401),
        ("Basic {}", 401),
        ("API {}", 200),
        ("Bearer {}", 200),
    ],
)
def test_6_7_only_a_key_is_answered_with_200(
    client: FlaskClient, key: Any, path: str, header: str | None, status: int
) -> None:
    headers = {} if header is None else {"Authorization": header.format(key.secret)}
    response = client.post(path, data=b"https://a.test/1", headers=headers)
    assert (response.status_code, response.content_type) == (status, "application/json")
    assert ("urls" in response.get_json()) == (status == 200)


def test_6_a_key_for_other_things_is_403(client: FlaskClient, make_key: Callable[..., Any]) -> None:
    response = client.post(QUERY[0], data=b"https://a.test/1", headers=make_key(("register",)).headers)
    assert (response.status_code, list(response.get_json())) == (403, ["detail"])


def test_7_bytes_that_are_no_text_are_refused_whole(query: Callable[..., Any]) -> None:
    response = query(b"https://a.test/1\nhttps://a.test/\xff")
    assert (response.status_code, list(response.get_json())) == (422, ["detail"])


@pytest.mark.parametrize("path", QUERY)
def test_7_9_a_registry_that_cannot_know_says_503_and_when_to_come_back(
    query: Callable[..., Any], store: Store, path: str
) -> None:
    with store.administer() as connection:
        connection.execute(text("UPDATE head SET n = 5"))
    response = query(b"\n", path)
    assert (response.status_code, list(response.get_json())) == (503, ["detail"])
    assert int(response.headers["Retry-After"]) >= 1


def test_8_what_is_more_is_the_reason_and_the_event(
    query: Callable[..., Any], lodge: Callable[..., None]
) -> None:
    lodge("https://a.test/1")
    answer = query(b"https://a.test/1\n\nnowhere").get_json()
    assert set(answer) == {"urls", "as_of_seq"}
    assert answer["as_of_seq"] == 1
    assert [set(row) for row in answer["urls"]] == [{"url", "optOut", "optIn", "reason"}] * 3
    assert all(row["reason"] for row in answer["urls"])


BAD_ROWS = {
    "another's": ([("https://b.test/", True, False)], 403),
    "no URL": ([("nowhere", True, False)], 422),
    "a flag as text": ([("https://a.test/2", "true", False)], 422),
    "a flag as number": ([("https://a.test/2", 1, False)], 422),
    "a flag in words": ([("https://a.test/2", "no", False)], 422),
    "a null flag": ([("https://a.test/2", True, None)], 422),
}


class TestParity:
    """9: a partner's opt-outs reserve inside its own namespace."""

    @pytest.fixture
    def partner(self, make_key: Callable[..., Any]) -> Any:
        return make_key(("register", "domain:a.test"), evidence_level=3)

    @staticmethod
    def row(url: str, out: Any = True, in_: Any = False) -> dict[str, Any]:
        return {"url": url, "optOut": out, "optIn": in_}

    @pytest.mark.parametrize("path", PARITY)
    def test_what_is_submitted_is_answered(
        self, client: FlaskClient, query: Callable[..., Any], partner: Any, path: str
    ) -> None:
        flagged = {"out": OUT, "in": IN, "neither": NEITHER, "both": (True, True)}
        rows = [self.row(f"https://x.a.test/{name}", *both) for name, both in flagged.items()]
        response = client.post(path, json={"urls": rows}, headers=partner.headers)
        assert (response.status_code, response.content_type) == (200, "application/json")
        assert response.get_json()["accepted"] == 4
        asked = query(b"\n".join(row["url"].encode() for row in rows))
        assert flags(asked) == [OUT, IN, NEITHER, OUT]
        assert asked.get_json()["as_of_seq"] == response.get_json()["seq"]

    @pytest.mark.parametrize("use", ["train", "genai-train"])
    def test_both_trainings_are_reserved(self, client: FlaskClient, partner: Any, use: str) -> None:
        client.post(PARITY[0], json={"urls": [self.row("https://a.test/1")]}, headers=partner.headers)
        asked = {"use": use, "items": [{"id": "a", "url": "https://a.test/1"}]}
        assert client.post("/api/v1/lookup", json=asked).get_json()["results"][0]["preference"] == "reserved"

    def test_an_opt_in_below_the_evidence_is_no_opt_in(
        self, client: FlaskClient, query: Callable[..., Any], make_key: Callable[..., Any]
    ) -> None:
        low = make_key(("register", "domain:*"), evidence_level=2).headers
        client.post(PARITY[0], json={"urls": [self.row("https://a.test/1", *IN)]}, headers=low)
        assert flags(query(b"https://a.test/1")) == [NEITHER]

    @pytest.mark.parametrize("order", [(OUT, IN), (IN, OUT)], ids=["out, in", "in, out"])
    def test_of_two_words_about_one_url_the_opt_out_wins(
        self, client: FlaskClient, query: Callable[..., Any], partner: Any, order: Any
    ) -> None:
        rows = [self.row("https://a.test/1", *flags) for flags in order]
        client.post(PARITY[0], json={"urls": rows}, headers=partner.headers)
        assert flags(query(b"https://a.test/1"))[0][0] is True

    @pytest.mark.parametrize("case", BAD_ROWS)
    def test_all_or_nothing_is_written(
        self, client: FlaskClient, store: Store, partner: Any, case: str
    ) -> None:
        bad, status = BAD_ROWS[case]
        rows = [self.row("https://a.test/1"), *(self.row(*one) for one in bad)]
        response = client.post(PARITY[0], json={"urls": rows}, headers=partner.headers)
        assert (response.status_code, list(response.get_json())) == (status, ["detail"])
        assert store.head() == 0

    def test_nothing_stands_when_the_database_fails_on_the_way(
        self, client: FlaskClient, store: Store, partner: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append, calls = events.append, iter([False, True])

        def failing_the_second_time(*arguments: Any, **values: Any) -> None:
            if next(calls):
                raise StorageError("cut")
            append(*arguments, **values)

        monkeypatch.setattr(events, "append", failing_the_second_time)
        rows = [self.row("https://a.test/1"), self.row("https://a.test/2", *IN)]
        response = client.post(PARITY[0], json={"urls": rows}, headers=partner.headers)
        assert (response.status_code, store.head()) == (503, 0)
        with store.read() as connection:
            for table in (ReservationVersion, Work, UrlRuleRow):
                assert connection.execute(select(func.count()).select_from(table_of(table))).scalar_one() == 0
