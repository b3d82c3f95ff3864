"""Asking by ranges: nothing but beginnings of keys goes out, and what follows is what follows plainly."""

import json
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from flask import request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server

from registry.cli import cli
from registry.client import Asked, RegistryClient
from registry.client.marking import mark_urls
from registry.client.private import PrivateRegistry
from registry.decision import Decision, decide
from registry.errors import RegistryAnswerError, RegistryRefusedError, RegistryUnreachableError
from registry.fingerprint import Fingerprint
from registry.keys import key_words
from registry.preference import Action, Mode, Preference, Status, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.store import Store
from registry.urlkeys import url_keys
from registry.urls import RuleKind, canonicalize_url, url_rule

from .conftest import said

USE = Use.GENAI_TRAIN
RESERVED = {USE: Preference.RESERVED}
FILE = b"\xab" * 32
HARSHER = [Action.KEEP, Action.REVIEW, Action.REMOVE]


@dataclass
class Here:
    """A registry in this process, and the paths that were asked for."""

    registrar: Registrar
    callers: list[Any]
    url: str
    key: str
    seen: list[str] = field(default_factory=list)

    def lodge(self, *works: WorkDraft, rules: Any = (), by: int = 1, says: Any = None) -> str:
        draft = Draft(RESERVED if says is None else says, works, rules, "Ada", "https://terms.example/")
        return self.registrar.register(self.callers[by], draft).id


@pytest.fixture
def here(make_app: Callable[..., Any], store: Store, make_key: Callable[..., Any]) -> Iterator[Here]:
    callers = [make_key(("register", "domain:*"), level).caller for level in (0, 1, 3, 3)]
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    app = make_app()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    one = Here(registrar, callers, f"http://127.0.0.1:{server.server_port}", make_key(("lookup",)).secret)
    app.before_request(lambda: one.seen.append(request.full_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


def private(url: str, key: str | None = None) -> PrivateRegistry:
    return PrivateRegistry(RegistryClient(url, key, timeout=10, retries=0))


# What follows.

NUMBERS = count()
PLACES = [f"{host}{path}" for host in ("{}.example", "i.{}.example") for path in ("/", "/x/", "/x/1.jpg")]
RULES = [
    (kind, value)
    for kind, values in {
        RuleKind.EXACT: [f"https://{place}" for place in PLACES],
        RuleKind.PREFIX: [f"https://{place}" for place in PLACES if place.endswith("/")],
        RuleKind.HOST: ["{}.example", "i.{}.example"],
        RuleKind.DOMAIN: ["{}.example"],
    }.items()
    for value in values
]
SAYS = st.dictionaries(st.sampled_from([USE, Use.TRAIN]), st.sampled_from(Preference), min_size=1)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(RULES), st.integers(0, 3), SAYS),
        st.tuples(st.sampled_from(PLACES), st.integers(0, 3), SAYS),
        st.tuples(st.none(), st.integers(0, 5), st.none() | SAYS),
    ),
    min_size=1,
    max_size=8,
)


def act(here: Here, name: str, acts: Any) -> None:
    lodged: list[tuple[int, str]] = []
    for what, number, says in acts:
        if isinstance(what, tuple):
            rules = [url_rule(what[0], what[1].format(name))]
            lodged.append((number, here.lodge(rules=rules, by=number, says=says)))
        elif what is not None:
            work = WorkDraft(url=canonicalize_url(f"https://{what.format(name)}"))
            lodged.append((number, here.lodge(work, by=number, says=says)))
        elif lodged and says is None:
            by, id_ = lodged.pop(number % len(lodged))
            here.registrar.withdraw(here.callers[by], id_)
        elif lodged:
            by, id_ = lodged[number % len(lodged)]
            here.registrar.change(here.callers[by], id_, Change(says))


def decisions(registry: Any, urls: list[str], use: Use, *modes: Mode) -> list[Decision]:
    known = registry.lookup([Asked(url) for url in urls], use)
    assert {one.status for one in known} == {Status.OK}
    return [decide(one.statements, use, mode) for mode in modes or (Mode.EU_ART4,) for one in known]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(acts=ACTS)
def test_addresses_are_decided_as_they_are_plainly(here: Here, acts: Any) -> None:
    name = f"a{next(NUMBERS)}"
    act(here, name, acts)
    urls = [f"http://{place.format(name)}" for place in [*PLACES, "{}.example/free.jpg", "free-{}.example/"]]
    registry, without_key = private(here.url, here.key), private(here.url)
    with RegistryClient(here.url, here.key, retries=0) as client:
        for use in (USE, Use.TRAIN):
            plain, told, strict = (
                decisions(one, urls, use, *Mode) for one in (client, registry, without_key)
            )
            assert [(one.preference, one.action) for one in told] == [
                (one.preference, one.action) for one in plain
            ]
            for one, other in zip(strict, plain, strict=True):
                assert HARSHER.index(one.action) >= HARSHER.index(other.action)
        # A mark wherever there is a statement.
        known = client.lookup([Asked(url) for url in urls], USE)
        marking = mark_urls(urls, [without_key])
        assert [k for k, m in zip(known, marking.marked, strict=True) if k.statements and not m] == []


def test_whose_narrower_word_stands_is_known_with_a_key_and_without_one_nothing_gives_way(here: Here) -> None:
    here.lodge(rules=[url_rule("domain", "a.example")], by=2)
    here.lodge(
        WorkDraft(url=canonicalize_url("https://a.example/free.jpg")),
        by=2,
        says={USE: Preference.ALLOWED},
    )
    asked = ["https://a.example/free.jpg", "https://a.example/other.jpg"]
    told = [
        [one.preference for one in decisions(registry, asked, USE)]
        for registry in (private(here.url, here.key), private(here.url))
    ]
    assert told == [["allowed", "reserved"], ["reserved", "reserved"]]


def test_a_permission_that_may_have_been_taken_back_does_not_count_without_a_key(here: Here) -> None:
    here.lodge(rules=[url_rule("domain", "a.example")], by=2, says={USE: Preference.ALLOWED})
    url = canonicalize_url("https://a.example/1.jpg")
    here.lodge(WorkDraft(url=url), by=2, says={USE: Preference.UNKNOWN})
    for registry in (private(here.url, here.key), private(here.url)):
        found = decisions(registry, [url, "https://a.example/2.jpg"], USE, Mode.STRICT)
        assert [one.preference for one in found] == ["unknown", "allowed"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ((None, "picture", FILE), Preference.RESERVED),
        (("https://a.example/1.jpg", "picture", None), Preference.RESERVED),
        ((None, "picture", bytes(32)), Status.NOT_CHECKED),
        (("https://free.example/", "picture", None), Status.NOT_CHECKED),
        ((None, "plain", FILE), Preference.RESERVED),
        ((None, "plain", bytes(32)), Preference.UNKNOWN),
        ((None, "plain", FILE[:16] + bytes(16)), Preference.UNKNOWN),
        ((None, "plain", None), Status.NOT_CHECKED),
        (("https://free.example/", None, None), Preference.UNKNOWN),
        (("nothing", None, None), Status.MALFORMED),
        ((None, None, None), Status.MALFORMED),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_not_unknown(
    here: Here, picture_hash: Callable[..., bytes], asked: Any, wanted: str
) -> None:
    here.lodge(WorkDraft(url=canonicalize_url("https://a.example/1.jpg"), sha256=FILE))
    url, kind, sha256 = asked
    forms = {"full": picture_hash(1)} if kind == "picture" else {}
    print_ = None if kind is None else Fingerprint(1, 100 if forms else 10, None, forms, sha256)
    [known] = private(here.url).lookup([Asked(url, print_)], USE)
    told = decide(known.statements, USE).preference if known.status is Status.OK else known.status
    assert told == wanted
    assert known.as_of_seq == 1
    if told is Status.NOT_CHECKED and forms:
        assert "pictures cannot be compared privately" in known.reason


# What goes out.


def test_nothing_but_beginnings_of_keys_is_sent_each_once_and_sorted(here: Here) -> None:
    urls = [f"https://img{n}.a.example/x/{n}.jpg?q={n}" for n in range(40)]
    items = [Asked(url, Fingerprint(1, 10, None, {}, bytes([n]) * 32)) for n, url in enumerate(urls)]
    registry = private(here.url, here.key)
    registry.lookup(items, USE)
    found = [re.fullmatch(r"/api/v1/range/(rule|sha256)/([0-9a-f]{5})\?", path) for path in here.seen]
    assert all(found)
    asked = [(one[1], one[2]) for one in found if one]
    assert len(set(asked)) == len(asked)
    keys = {key.tobytes().hex()[:5] for key in url_keys(urls).keys.astype(">u8")}
    assert {prefix for of, prefix in asked if of == "rule"} == keys
    assert {prefix for of, prefix in asked if of == "sha256"} == {
        f"{n:02x}{n:02x}{n:02x}"[:5] for n in range(40)
    }
    before = len(here.seen)
    registry.lookup(items[::-1], USE)
    assert len(here.seen) == before


def test_what_is_kept_is_bounded_and_the_answers_are_the_same(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [f"https://a{n}.example/" for n in range(30)]
    here.lodge(rules=[url_rule("domain", f"a{n}.example") for n in range(0, 30, 3)])
    monkeypatch.setattr("registry.client.private._KEPT", 20)
    monkeypatch.setattr("registry.client.private._SOME", 7)
    registry = private(here.url)
    wanted = ["unknown" if n % 3 else "reserved" for n in range(30)]
    for _ in range(2):
        assert [one.preference for one in decisions(registry, urls, USE)] == wanted
        assert registry._size == sum(1 + len(one.said) for one in registry._kept.values()) <= 20


def test_one_that_was_sent_to_another_process_asks_anew(here: Here) -> None:
    here.lodge(rules=[url_rule("domain", "a.example")])
    there = pickle.loads(pickle.dumps(private(here.url)))  # noqa: S301 - made here
    assert mark_urls(["https://a.example/", "https://b.example/"], [there]).marked.tolist() == [True, False]


# Answers that are none.

KEY = "0" * 32
SAID = said(match={"kind": "sha256", "certain": True})


def answer(*keys: Any, **more: Any) -> bytes:
    found = [{"key": key, "statements": [SAID]} for key in keys]
    return json.dumps({"as_of_seq": 7, "keys": found, "padding": "", **more}).encode()


def say(**changed: Any) -> bytes:
    return answer(keys=[{"key": FILE.hex(), "statements": [{**SAID, **changed}]}])


WRONG = {
    "HTML": (200, b"<html>", RegistryAnswerError),
    "nothing": (200, b"", RegistryAnswerError),
    "a list": (200, b"[]", RegistryAnswerError),
    "no event": (200, b'{"keys": []}', RegistryAnswerError),
    "an event in words": (200, answer(as_of_seq="7"), RegistryAnswerError),
    "no keys": (200, b'{"as_of_seq": 7}', RegistryAnswerError),
    "keys null": (200, answer(keys=None), RegistryAnswerError),
    "a key of another range": (200, answer(f"b{FILE.hex()[1:]}"), RegistryAnswerError),
    "a key too short": (200, answer(FILE.hex()[:-1]), RegistryAnswerError),
    "half a key": (200, answer(FILE.hex()[:32]), RegistryAnswerError),
    "capitals": (200, answer(FILE.hex().upper()), RegistryAnswerError),
    "a key with a line after it": (200, answer(FILE.hex() + "\n"), RegistryAnswerError),
    "a key twice": (200, answer(FILE.hex(), FILE.hex()), RegistryAnswerError),
    "a number": (200, answer(7), RegistryAnswerError),
    "no statements": (200, answer(keys=[{"key": FILE.hex()}]), RegistryAnswerError),
    "no statement": (200, answer(keys=[{"key": FILE.hex(), "statements": []}]), RegistryAnswerError),
    "statements in text": (200, answer(keys=[{"key": FILE.hex(), "statements": "no"}]), RegistryAnswerError),
    "an unknown word": (200, say(preferences={"genai-train": "no"}), RegistryAnswerError),
    "another kind of match": (200, say(match={"kind": "url", "certain": True}), RegistryAnswerError),
    "a doubtful match": (200, say(match={"kind": "sha256", "certain": False}), RegistryAnswerError),
    "a speaker that is none": (200, say(speaker=7), RegistryAnswerError),
    "404": (404, b"{}", RegistryRefusedError),
    "302": (302, b"", RegistryRefusedError),
    "500": (500, b"", RegistryUnreachableError),
    "503": (503, b"", RegistryUnreachableError),
}  # fmt: skip


class _Raw(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        status, data = self.server.reply(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def raw() -> Iterator[Callable[..., str]]:
    """A server that answers ``reply(path)``; says at which address."""
    started = []

    def start(reply: Callable[[str], tuple[int, bytes]]) -> str:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Raw)
        server.reply = reply
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_range_is_an_error_that_names_the_registry(raw: Any, case: str) -> None:
    status, data, error = WRONG[case]
    url = raw(lambda path: (status, data) if path.endswith("/ababa") else (200, answer()))
    item = Asked("https://free.example/", Fingerprint(1, 10, None, {}, FILE))
    with pytest.raises(error) as caught:
        private(url).lookup([item], USE)
    assert url in caught.value.message
    assert type(caught.value) is error


def test_one_range_that_fails_fails_all(raw: Any) -> None:
    keys = key_words([bytes([n]) * 16 for n in range(200)])
    url = raw(lambda path: (200, answer()) if not path.endswith("/c7c7c") else (503, b""))
    assert private(url).mark(keys[:199]).marked.tolist() == [False] * 199
    with pytest.raises(RegistryUnreachableError):
        private(url).mark(keys)


def test_the_oldest_event_is_that_of_the_answer(raw: Any) -> None:
    url = raw(lambda path: (200, answer(as_of_seq=5 if path.endswith("/01010") else 9)))
    found = private(url).mark(key_words([bytes([n]) * 16 for n in range(4)]))
    assert (found.as_of_seq, found.marked.dtype, len(found.marked)) == (5, np.bool_, 4)


@pytest.mark.parametrize("digits", [None, 4, "5"], ids=repr)
def test_a_registry_with_other_ranges_is_refused_by_name(raw: Any, digits: Any) -> None:
    told = {"fingerprint_versions": [1]} | ({} if digits is None else {"range_digits": digits})
    registry = private(raw(lambda _: (200, json.dumps(told).encode())))
    with pytest.raises(RegistryAnswerError, match=rf"ranges of {digits or 'no'} digits.* ranges of 5"):
        registry.check_parameters()


# The command.


def test_the_commands_ask_privately(here: Here, tmp_path: Path) -> None:
    here.lodge(rules=[url_rule("domain", "a.example")])
    urls = ["https://a.example/1.jpg", "https://b.example/2.jpg"]
    run = CliRunner()
    done = run.invoke(cli, ["check", *urls, "--registry", here.url, "--private", "--output", "json"])
    assert done.exit_code == 1, done.output
    assert [one["preference"] for one in json.loads(done.stdout)] == ["reserved", "unknown"]
    table = tmp_path / "urls.csv"
    table.write_text("url\n" + "".join(f"{url}\n" for url in urls))
    done = run.invoke(
        cli, ["filter", str(table), str(tmp_path / "clean.csv"), "--registry", here.url, "--private"]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "clean.csv").read_text() == f"url\n{urls[1]}\n"
    asked = {"/".join(path.rstrip("?").split("/")[:4]) for path in here.seen}
    # The state of the log is for the receipt; no key is sent for it.
    assert asked == {"/api/v1/parameters", "/api/v1/range", "/checkpoint"}


def test_sending_nothing_and_sending_something_are_two_things(here: Here, tmp_path: Path) -> None:
    run = CliRunner().invoke(cli, ["check", "https://a.example/", "--private", "--snapshot", str(tmp_path)])
    assert isinstance(run.exception, Exception)
    assert "--private" in str(run.exception)
    assert here.seen == []
