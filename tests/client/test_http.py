"""Asking a registry that answers what it should not: a named error each, never an answer."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from registry.client import Asked, RegistryClient
from registry.decision import decide
from registry.errors import (
    InputError,
    RegistryAnswerError,
    RegistryError,
    RegistryRefusedError,
    RegistryUnreachableError,
)
from registry.preference import Preference, Status, Use

from .conftest import said

USE = Use.GENAI_TRAIN
ITEMS = [Asked(url=f"https://free.example/{n}.jpg") for n in range(3)]
SAYS = said()

Result = dict[str, Any]


def results(body: dict[str, Any]) -> list[Result]:
    """The right answer: 0.jpg is reserved, the others are unknown."""
    return [
        {
            "id": item["id"],
            "status": "ok",
            "preference": "reserved" if item["url"].endswith("/0.jpg") else "unknown",
            "reason": f"about {item['url']}",
            "statements": [SAYS] if item["url"].endswith("/0.jpg") else [],
        }
        for item in body["items"]
    ]


def right(body: dict[str, Any]) -> dict[str, Any]:
    return {"as_of_seq": 7, "results": results(body)}


def reply(made: Callable[[list[Result]], Any], **more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda body: (200, {"as_of_seq": 7, "results": made(results(body)), **more}, {})


def set_first(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return reply(lambda found: [{**found[0], **values}, *found[1:]])


def say_first(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return set_first(statements=[{**SAYS, **values}])


def without(name: str, of: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in of.items() if key != name}


def test_answers_come_in_the_order_of_the_items_with_their_statements(fake, client_of):
    known = client_of(fake(reply(list)).url).lookup(ITEMS, USE)
    assert [one.reason for one in known] == [f"about {item.url}" for item in ITEMS]
    assert [decide(one.statements, USE).preference for one in known] == [
        Preference.RESERVED, Preference.UNKNOWN, Preference.UNKNOWN,
    ]  # fmt: skip
    assert {one.as_of_seq for one in known} == {7}


def test_answers_in_another_order_are_matched_by_id(fake, client_of):
    straight = client_of(fake(reply(list)).url).lookup(ITEMS, USE)
    turned = client_of(fake(reply(lambda found: found[::-1])).url).lookup(ITEMS, USE)
    assert turned == straight


def test_statements_know_their_registry(fake, client_of):
    server = fake(reply(list))
    assert client_of(server.url + "/").lookup(ITEMS, USE)[0].statements[0].registry == server.url


def test_many_items_go_in_batches_and_come_back_in_order(fake, client_of):
    server = fake(reply(lambda found: found[::-1]))
    items = [Asked(url=f"https://free.example/x{n}.jpg") for n in range(2100)]
    known = client_of(server.url).lookup(items, USE)
    assert [one.reason for one in known] == [f"about {item.url}" for item in items]
    assert [len(body["items"]) for _, _, body in server.seen] == [1000, 1000, 100]


@pytest.mark.parametrize("status", ["error", "malformed", "not_checked"])
def test_an_item_without_answer_has_its_status_and_no_statement(fake, client_of, status):
    server = fake(set_first(status=status, preference=None, statements=[], reason="why"))
    known = client_of(server.url).lookup(ITEMS, USE)[0]
    assert (known.status, known.reason, known.statements) == (Status(status), "why", ())


UNBELIEVABLE = {
    "short": reply(lambda found: found[:-1]),
    "empty": reply(lambda _: []),
    "long": reply(lambda found: [*found, {**found[0], "id": "3"}]),
    "doubled id": reply(lambda found: [found[0], found[0], *found[2:]]),
    "doubled, all there": reply(lambda found: [*found, found[0]]),
    "foreign id": set_first(id="https://free.example/0.jpg"),
    "number for an id": set_first(id=0),
    "no id": reply(lambda found: [without("id", found[0]), *found[1:]]),
    "a result that is no object": reply(lambda found: ["0", *found[1:]]),
    "results as an object": reply(lambda found: {one["id"]: one for one in found}),
    "no results": lambda body: (200, {"as_of_seq": 7}, {}),
    "no as_of_seq": lambda body: (200, {"results": results(body)}, {}),
    "as_of_seq in words": reply(list, as_of_seq="7"),
    "as_of_seq null": reply(list, as_of_seq=None),
    "unknown status": set_first(status="fine"),
    "unknown preference": set_first(preference="forbidden"),
    "capitals": set_first(preference="RESERVED"),
    "no status": reply(lambda found: [without("status", found[0]), *found[1:]]),
    "no preference": reply(lambda found: [without("preference", found[0]), *found[1:]]),
    "no statements": reply(lambda found: [without("statements", found[0]), *found[1:]]),
    "statements null": set_first(statements=None),
    "ok without preference": set_first(preference=None),
    "error with preference": set_first(status="error"),
    "unknown against a reservation": set_first(preference="unknown"),
    "allowed against a reservation": set_first(preference="allowed"),
    "reserved without a statement": set_first(statements=[]),
    "reserved by a doubtful match": say_first(match={"kind": "pdq", "certain": False}),
    "reserved for another use": say_first(preferences={"search": "reserved"}),
    "HTML": lambda body: (200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"}),
    "not JSON": lambda body: (200, b"OK", {}),
    "nothing": lambda body: (200, b"", {}),
    "half of it": lambda body: (200, json.dumps(right(body)).encode()[:-9], {}),
    "a list": lambda body: (200, results(body), {}),
    "null": lambda body: (200, None, {}),
    "not UTF-8": lambda body: (200, b'{"results": "\xff\xfe"}', {}),
}  # fmt: skip
MISREAD = {
    "unknown use in a statement": say_first(preferences={"genai_train": "reserved"}),
    "unknown word in a statement": say_first(preferences={"genai-train": "no"}),
    "unknown scope": say_first(scope="planet"),
    "unknown state": say_first(state="fine"),
    "no match": set_first(statements=[without("match", SAYS)]),
    "no evidence level": set_first(statements=[without("evidence_level", SAYS)]),
    "a statement in a string": set_first(statements=["reserved"]),
    "distance in words": set_first(
        statements=[{**SAYS, "match": {"kind": "pdq", "certain": True, "distance": d}} for d in (3, "12")]
    ),
    "a form that is no word": say_first(match={"kind": "pdq", "certain": True, "distance": 3, "form": 5}),
    "a number beyond all numbers": lambda body: (
        200, json.dumps(right(body)).replace('"seq": 3', '"seq": 1e400').encode(), {}
    ),
    "nested beyond reading": lambda body: (200, b"[" * 200_000, {}),
}  # fmt: skip
REFUSED = {
    "401": lambda body: (401, {"detail": "no such key", "hint": "Ask for one."}, {}),
    "403": lambda body: (403, {"detail": "not yours"}, {}),
    "404": lambda body: (404, b"<h1>Not Found</h1>", {}),
    "422": lambda body: (422, {"detail": "items.0: odd"}, {}),
    "204": lambda body: (204, b"", {}),
    "301": lambda body: (301, b"", {"Location": "https://elsewhere.example/"}),
    "302": lambda body: (302, b"", {"Location": "/api/v1/parameters"}),
    "307": lambda body: (307, b"", {"Location": "/api/v1/lookup"}),
}
UNREACHABLE = {
    "500": lambda body: (500, {"detail": "oh"}, {}),
    "500 with a good body": lambda body: (500, {"as_of_seq": 7, "results": results(body)}, {}),
    "501": lambda body: (501, b"", {}),
    "503": lambda body: (503, {"detail": "stale"}, {}),
    "429": lambda body: (429, {"detail": "slowly"}, {}),
    "cut in the middle": lambda body: "cut",
}
FAILURES = [
    *(
        pytest.param(script, RegistryAnswerError, id=name)
        for name, script in {**UNBELIEVABLE, **MISREAD}.items()
    ),
    *(pytest.param(script, RegistryRefusedError, id=name) for name, script in REFUSED.items()),
    *(pytest.param(script, RegistryUnreachableError, id=name) for name, script in UNREACHABLE.items()),
]


@pytest.mark.parametrize(("script", "error"), FAILURES)
def test_what_is_no_answer_is_an_error_that_names_the_registry(fake, client_of, script, error):
    server = fake(script)
    with pytest.raises(error) as caught:
        client_of(server.url).lookup(ITEMS, USE)
    assert server.url in caught.value.message
    assert type(caught.value) is error


def test_an_error_in_a_later_batch_yields_no_answer_at_all(fake, client_of):
    server = fake(reply(list), UNREACHABLE["500"])
    with pytest.raises(RegistryUnreachableError):
        client_of(server.url).lookup(ITEMS * 400, USE)


@pytest.mark.parametrize(("name", "said"), [("401", "no such key"), ("403", "not yours"), ("422", "items.0")])
def test_a_refusal_says_what_the_registry_said(fake, client_of, name, said):
    with pytest.raises(RegistryRefusedError, match=said):
        client_of(fake(REFUSED[name]).url).lookup(ITEMS, USE)


def test_the_hint_of_the_registry_is_passed_on(fake, client_of):
    with pytest.raises(RegistryRefusedError) as caught:
        client_of(fake(REFUSED["401"]).url).lookup(ITEMS, USE)
    assert caught.value.hint == "Ask for one."


def test_a_redirect_is_not_followed(fake, client_of):
    server = fake(lambda body: (307, b"", {"Location": elsewhere.url + "/api/v1/lookup"}))
    elsewhere = fake()
    with pytest.raises(RegistryRefusedError):
        client_of(server.url).lookup(ITEMS, USE)
    assert elsewhere.seen == []


def test_nobody_listening(fake, client_of):
    server = fake()
    gone = server.url.rpartition(":")[0] + ":1"
    with pytest.raises(RegistryUnreachableError, match=gone) as caught:
        client_of(gone).lookup(ITEMS, USE)
    assert caught.value.hint


def test_a_registry_that_says_nothing_is_given_up(fake, client_of):
    server = fake(lambda body: "hang")
    began = time.monotonic()
    with pytest.raises(RegistryUnreachableError, match=server.url):
        client_of(server.url, timeout=0.2).lookup(ITEMS, USE)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_and_the_retry_counts(fake, client_of, status):
    server = fake(lambda body: (status, b"", {"Retry-After": "1"}), reply(list))
    began = time.monotonic()
    known = client_of(server.url, retries=2).lookup(ITEMS, USE)
    assert 1 <= time.monotonic() - began < 5
    assert [one.reason for one in known] == [f"about {item.url}" for item in ITEMS]
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retries_end_in_an_error(fake, client_of, status):
    server = fake(lambda body: (status, b"", {"Retry-After": "0"}))
    with pytest.raises(RegistryUnreachableError, match=str(status)):
        client_of(server.url, retries=2).lookup(ITEMS, USE)
    assert len(server.seen) == 3


def test_a_write_that_is_tried_again_is_the_same_write_and_the_next_is_another(fake, client_of):
    done = lambda body: (201, {"id": "x", "seq": 1}, {})  # noqa: E731
    server = fake(lambda body: (503, b"", {"Retry-After": "0"}), done)
    client = client_of(server.url, retries=2)
    client.register({"preferences": {}})
    client.register({"preferences": {}})
    first, again, second = server.keys
    assert first == again
    assert first != second
    assert first


@pytest.mark.parametrize("answer", [{}, {"id": 5, "seq": 1}, {"id": "x"}, {"id": "x", "seq": "1"}])
def test_an_acknowledgement_without_id_and_seq_is_none(fake, client_of, answer):
    server = fake(lambda body: (201, answer, {}))
    with pytest.raises(RegistryAnswerError, match=server.url):
        client_of(server.url).register({"preferences": {}})


@pytest.mark.parametrize("live", [[2], [], None, "1"])
def test_fingerprints_that_the_registry_does_not_take_are_not_sent(fake, client_of, live, monkeypatch):
    server = fake()
    monkeypatch.setattr(server, "answer", lambda *_: (200, {"fingerprint_versions": live}, {}))
    with pytest.raises(RegistryAnswerError, match=server.url):
        client_of(server.url).check_parameters()


@pytest.mark.parametrize("url", ["registry.example", "ftp://registry.example", "", "http://", "/tmp"])  # noqa: S108
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match="not the address"):
        RegistryClient(url)


def test_every_failure_is_a_registry_error():
    assert all(issubclass(case.values[1], RegistryError) for case in FAILURES)
