"""Marks: no false negative in any registry, each answer checked, and the same in another process."""

import multiprocessing
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import fast
from registry.client import Asked, RegistryClient, Snapshot
from registry.client.marking import Marking, mark_urls
from registry.errors import (
    InputError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
    SnapshotError,
)
from registry.keys import distinct, key_words
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft, Registrar, WorkDraft
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store
from registry.urlkeys import url_keys
from registry.urls import RuleKind, canonicalize_url, url_rule

USE = Use.GENAI_TRAIN
RESERVED = {USE: Preference.RESERVED}
FILE = b"\xab" * 32


@dataclass
class Here:
    """A registry in this process: who writes, its address, and its snapshots."""

    store: Store
    registrar: Registrar
    caller: Any
    url: str
    folder: Path

    def snapshot(self) -> Path:
        log = LogFolder(self.folder / "log")
        if not log.signers():
            log.write_signer(Signer.new("log.example"))
        Publisher(self.store, log, log.signers()[0]).publish()
        builder = SnapshotBuilder(self.store, log, SnapshotFolder(self.folder / "snapshots"))
        return self.folder / "snapshots" / str(builder.build(int(time.time()), 99).manifest.seq)

    def opened(self, folder: Path, *gone: str) -> Snapshot:
        """Open a copy of a snapshot without the tiers that are ``gone``."""
        here = folder.with_name(f"{folder.name}-without-{'-'.join(gone)}")
        shutil.copytree(folder, here, dirs_exist_ok=True)
        for tier in gone:
            shutil.rmtree(here / tier, ignore_errors=True)
        return Snapshot.open(here, log_key=LogFolder(self.folder / "log").signers()[0].verifier.text)

    def lodge(self, *urls: str, sha256: bytes | None = None, rules: Any = ()) -> str:
        works = [WorkDraft(url=canonicalize_url(url), sha256=sha256) for url in urls]
        return self.registrar.register(self.caller, Draft(RESERVED, works, rules)).id


@pytest.fixture
def here(
    store: Store, database_url: str, threaded: Any, make_key: Callable[..., Any], tmp_path: Path
) -> Here:
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    caller = make_key(("register", "domain:*"), 1).caller
    url = threaded(database_url if "postgresql" in database_url else str(tmp_path))
    return Here(store, registrar, caller, url, tmp_path)


# No false negative.

NUMBERS = count()
PLACES = [
    f"{host}{path}"
    for host in ("{}.example", "img.{}.example", "{}.co.uk:8443")
    for path in ("/", "/x/", "/x/1.jpg", "/x/y/2.jpg", "/3.jpg?size=2")
]
RULES = [
    (kind, value)
    for kind, values in {
        RuleKind.EXACT: [f"https://{place}" for place in PLACES],
        RuleKind.PREFIX: [f"https://{place}" for place in PLACES if place.endswith("/")],
        RuleKind.HOST: ["{}.example", "img.{}.example", "{}.co.uk:8443"],
        RuleKind.DOMAIN: ["{}.example", "{}.co.uk"],
    }.items()
    for value in values
]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("rule"), st.sampled_from(RULES)),
        st.tuples(st.just("work"), st.sampled_from(PLACES)),
        st.tuples(st.just("withdraw"), st.integers(0, 5)),
    ),
    max_size=6,
)


def act(here: Here, name: str, acts: Any) -> None:
    lodged: list[str] = []
    for verb, what in acts:
        if verb == "rule":
            lodged.append(here.lodge(rules=[url_rule(what[0], what[1].format(name))]))
        elif verb == "work":
            lodged.append(here.lodge(f"https://{what.format(name)}"))
        elif lodged:
            here.registrar.withdraw(here.caller, lodged.pop(what % len(lodged)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(before=ACTS, since=ACTS)
def test_wherever_a_look_up_finds_something_there_is_a_mark(here: Here, before: Any, since: Any) -> None:
    name = f"a{next(NUMBERS)}"
    urls = [f"{scheme}://{place.format(name)}" for place in PLACES for scheme in ("https", "http")]
    act(here, name, [*before, ("work", "other-{}.example/")])
    folder = here.snapshot()
    act(here, name, since)
    with RegistryClient(here.url, timeout=10, retries=0) as client:
        keys, filter_ = here.opened(folder), here.opened(folder, "keys", "records", "pictures")
        assert "keys" in keys.tiers
        assert "keys" not in filter_.tiers
        for one, seq in ((client, here.store.head()), (keys, keys.as_of_seq), (filter_, keys.as_of_seq)):
            found = mark_urls(urls, [one])
            known = one.lookup([Asked(url) for url in urls], USE)
            assert found.as_of_seq == {one.url: seq}
            assert [
                url for url, k, m in zip(urls, known, found.marked, strict=True) if k.statements and not m
            ] == []
        # Exact marks are of what was ever said there, and of nothing else.
        everything = [what for what in [*before, *since] if what[0] != "withdraw"]
        assert mark_urls(urls, [client]).marked.any() == bool(everything)


def test_files_are_marked_by_half_of_their_sha256(here: Here) -> None:
    id_ = here.lodge("https://a.example/", sha256=FILE)
    here.registrar.withdraw(here.caller, id_)
    asked = key_words([FILE, bytes(16), FILE])
    folder = here.snapshot()
    with RegistryClient(here.url, retries=0) as client:
        for one in (client, here.opened(folder, "filter")):
            assert one.mark(asked, "rule").marked.tolist() == [False] * 3
            if one is client:  # What was withdrawn is in the index, and not in a later snapshot.
                assert one.mark(asked, "sha256").marked.tolist() == [True, False, True]
    with pytest.raises(InputError, match="expected rule or sha256, got 'url'"):
        here.opened(folder).mark(asked, "url")


# Many registries, many requests.


def test_what_any_registry_knows_is_marked_and_what_is_no_url_is_an_error(here: Here) -> None:
    here.lodge("https://a.example/1.jpg")
    folder = here.snapshot()
    here.lodge(rules=[url_rule("domain", "b.example")])
    urls = ["https://img.b.example/", "none", "https://c.example/", "http://www.a.example:80/1.jpg#x", ""]
    with RegistryClient(here.url, retries=0) as client:
        snapshot = here.opened(folder)
        found = mark_urls(urls, [snapshot, client])
        assert found.marked.tolist() == [True, False, False, True, False]
        assert list(found.errors) == [1, 4]
        assert found.errors[1].message == "not a URL: 'none'"
        assert found.as_of_seq == {snapshot.url: 1, client.url: 2}
        nothing = mark_urls([], [client])
        assert (len(nothing.marked), nothing.as_of_seq) == (0, {client.url: 2})


def test_marks_are_in_place_whatever_the_requests_and_parts_are(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.lodge(*(f"https://a.example/{n}.jpg" for n in range(0, 500, 7)), sha256=None)
    urls = ["nothing" if n % 50 == 3 else f"https://a.example/{n % 400}.jpg" for n in range(1000)]
    with RegistryClient(here.url, retries=0) as client:
        client.max_marks = 37
        monkeypatch.setattr("registry.client.marking._PART", 90)
        found = mark_urls(urls, [client])
    wanted = [n % 50 != 3 and n % 400 % 7 == 0 for n in range(1000)]
    assert found.marked.tolist() == wanted
    assert list(found.errors) == list(range(3, 1000, 50))


def test_the_same_without_compiled_loops(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.lodge("https://a.example/1.jpg", rules=[url_rule("host", "b.example")])
    urls = [
        "https://a.example/1.jpg",
        "https://a.example/2.jpg",
        "https://b.example/x",
        "no",
        "https://é.example/",
    ]
    snapshot = here.opened(here.snapshot())
    compiled = mark_urls(urls, [snapshot])
    monkeypatch.setattr(fast, "kernels", None)
    plain = mark_urls(urls, [snapshot])
    assert compiled.marked.tolist() == plain.marked.tolist() == [True, False, True, False, False]
    assert compiled.errors.keys() == plain.errors.keys() == {3}


@pytest.mark.parametrize("loops", ["compiled", "numpy"])
@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_distinct_keys_lead_back_to_all(loops: str, pairs: list[tuple[int, int]]) -> None:
    keys = np.array(pairs, np.uint64).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        if loops == "numpy":
            patch.setattr(fast, "kernels", None)
        some, place = distinct(keys)
    assert np.array_equal(some[place], keys)
    assert loops == "numpy" or len(some) == len({*pairs})
    assert {*map(tuple, some.tolist())} == {*pairs}
    if len({high for high, _ in pairs}) == len({*pairs}):
        assert len(some) == len({*pairs})


# Answers that are none.


class _Raw(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(sent)
        status, headers, data = self.server.reply(len(sent) // 16)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = "Content-Length" in headers

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def raw() -> Iterator[Callable[..., Any]]:
    """A server that answers ``reply(how many keys)``."""
    started = []

    def start(reply: Callable[[int], Any]) -> Any:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Raw)
        server.reply, server.seen = reply, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


GOOD = {"Content-Type": "application/octet-stream", "Caveat-As-Of-Seq": "7"}


def right(n: int) -> Any:
    return 200, GOOD, np.packbits(np.arange(n) % 3 == 0).tobytes()


def answering(**changed: Any) -> Callable[[int], Any]:
    def reply(n: int) -> Any:
        status, headers, data = right(n)
        data = changed.get("data", lambda data: data)(data)
        return changed.get("status", status), {**headers, **changed.get("headers", {})}, data

    return reply


WRONG = {
    "a byte too few": (answering(data=lambda data: data[:-1]), RegistryAnswerError),
    "a byte too many": (answering(data=lambda data: data + b"\0"), RegistryAnswerError),
    "nothing": (answering(data=lambda _: b""), RegistryAnswerError),
    "marks beyond the last key": (answering(data=lambda data: data[:-1] + b"\x8f"), RegistryAnswerError),
    "JSON": (answering(headers={"Content-Type": "application/json"}), RegistryAnswerError),
    "no event": (lambda n: (200, {"Content-Type": GOOD["Content-Type"]}, right(n)[2]), RegistryAnswerError),
    "an event in words": (answering(headers={"Caveat-As-Of-Seq": "seven"}), RegistryAnswerError),
    "a signed event": (answering(headers={"Caveat-As-Of-Seq": "-7"}), RegistryAnswerError),
    "other digits": (answering(headers={"Caveat-As-Of-Seq": "\xb2"}), RegistryAnswerError),
    "404": (answering(status=404), RegistryRefusedError),
    "413": (answering(status=413), RegistryRefusedError),
    "302": (answering(status=302, headers={"Location": "/"}), RegistryRefusedError),
    "201": (lambda n: (204, GOOD, b""), RegistryRefusedError),
    "500": (answering(status=500), RegistryUnreachableError),
    "503": (answering(status=503), RegistryUnreachableError),
    "cut in the middle": (answering(headers={"Content-Length": "1000"}), RegistryUnreachableError),
}  # fmt: skip
KEYS = np.arange(24, dtype=np.uint64).reshape(12, 2)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_answer_is_an_error_that_names_the_registry(raw: Any, client_of: Any, case: str) -> None:
    reply, error = WRONG[case]
    server = raw(reply)
    client = client_of(f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(error) as caught:
        client.mark(KEYS)
    assert client.url in caught.value.message
    assert type(caught.value) is error


def test_a_registry_that_has_no_such_route_is_too_old(raw: Any, client_of: Any) -> None:
    server = raw(answering(status=404))
    with pytest.raises(RegistryRefusedError, match=r"is too old: .*404, /api/v1/marks") as caught:
        client_of(f"http://127.0.0.1:{server.server_port}").mark(KEYS)
    assert "update" in caught.value.hint


def test_equal_keys_are_sent_once_and_the_rest_in_batches(raw: Any, client_of: Any) -> None:
    server = raw(right)
    client = client_of(f"http://127.0.0.1:{server.server_port}")
    client.max_marks = 5
    marks = client.mark(np.concatenate([KEYS, KEYS[::-1]]))
    assert [len(sent) for sent in server.seen] == [80, 80, 32]
    assert b"".join(server.seen) == KEYS.astype(">u8").tobytes()
    wanted = [n % 5 % 3 == 0 for n in range(12)]
    assert (marks.marked.tolist(), marks.as_of_seq) == ([*wanted, *wanted[::-1]], 7)


@pytest.mark.parametrize("limit", [0, -1, "9", None, True, 1.5], ids=repr)
def test_a_limit_that_is_no_number_is_refused(limit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = RegistryClient("http://registry.example")
    told = {"fingerprint_versions": [1], "max_marks": limit}
    monkeypatch.setattr(client, "_call", lambda *_: told)
    with pytest.raises(RegistryAnswerError, match="max_marks"):
        client.check_parameters()


# In another process.


def unpickled(sent: bytes) -> Any:
    return pickle.loads(sent)  # noqa: S301 - made a line before


def _mark_there(one: Any, urls: list[str]) -> Marking:
    return mark_urls(urls, [one])


def test_a_client_and_a_snapshot_answer_in_another_process(here: Here) -> None:
    here.lodge("https://a.example/1.jpg")
    urls = ["https://a.example/1.jpg", "https://a.example/2.jpg"]
    spawned = multiprocessing.get_context("spawn")
    with RegistryClient(here.url, retries=0) as client, ProcessPoolExecutor(1, spawned) as pool:
        client.check_parameters()
        for one in (client, here.opened(here.snapshot())):
            there = pool.submit(_mark_there, one, urls).result(timeout=60)
            assert there.marked.tolist() == [True, False]
            assert there.as_of_seq == {one.url: 1}


def test_a_client_takes_its_settings_along() -> None:
    client = RegistryClient("http://registry.example/", "secret", timeout=7, retries=2)
    client.max_items, client.max_marks = 11, 12
    copy = unpickled(pickle.dumps(client))
    assert (copy.url, copy.max_items, copy.max_marks) == (client.url, 11, 12)
    there, here = copy._transport, client._transport
    assert there._session.headers == here._session.headers
    assert there._timeout == here._timeout == (7, 7)
    assert there._session.get_adapter(copy.url).max_retries.total == 2
    assert "secret" not in repr(client)


class TestASnapshotThatWasSentOn:
    """Its files are checked again unless they are the very ones that were checked."""

    @pytest.fixture
    def folder(self, here: Here) -> Path:
        here.lodge("https://a.example/1.jpg", sha256=FILE)
        return here.snapshot()

    def test_the_same_files_are_opened_at_once(
        self, here: Here, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = pickle.dumps(here.opened(folder))
        monkeypatch.setattr("registry.snapshot.folder.sha256_of", lambda _: pytest.fail("checked again"))
        copy = unpickled(sent)
        known = copy.lookup([Asked("https://a.example/1.jpg")], USE)
        assert [one.preferences for one in known[0].statements] == [RESERVED]

    @pytest.mark.parametrize("how", ["a bit turned", "cut off", "another file", "gone"])
    def test_others_in_their_place_are_refused(self, here: Here, folder: Path, how: str) -> None:
        snapshot = here.opened(folder)
        sent = pickle.dumps(snapshot)
        [path] = (snapshot._opened.folder / "keys").glob("rules-*")
        data = path.read_bytes()
        turned = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        if how == "gone":
            path.unlink()
        elif how == "another file":
            path.with_name("new").write_bytes(turned)
            path.with_name("new").replace(path)
        else:
            path.write_bytes(turned if how == "a bit turned" else data[:-8])
        with pytest.raises(SnapshotError, match=path.name):
            unpickled(sent)

    def test_a_copy_elsewhere_is_checked_whole(self, here: Here, folder: Path, tmp_path: Path) -> None:
        snapshot = here.opened(folder)
        sent, place = pickle.dumps(snapshot), snapshot._opened.folder
        shutil.copytree(place, tmp_path / "copy")
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "copy", place)
        assert mark_urls(["https://a.example/1.jpg"], [unpickled(sent)]).marked.tolist() == [True]
        shutil.rmtree(place)
        with pytest.raises(SnapshotError, match="cannot be read"):
            unpickled(sent)


def test_keys_of_a_url_are_those_that_are_asked(raw: Any, client_of: Any) -> None:
    server = raw(lambda n: (200, GOOD, bytes(-(-n // 8))))
    mark_urls(["https://a.example/x/1.jpg"] * 3, [client_of(f"http://127.0.0.1:{server.server_port}")])
    keys = url_keys(["https://a.example/x/1.jpg"]).keys
    assert b"".join(server.seen) == keys.astype(">u8").tobytes()
