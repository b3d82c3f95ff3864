"""The only writer: what it writes, refuses, repeats and commits to."""

import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from registry.errors import ConflictError, ForbiddenError, NotFoundError
from registry.fingerprint import Fingerprint, unpack_windows
from registry.preference import Preference, Use
from registry.registrar import Caller, Change, Draft, Registrar, Repeatable, WorkDraft
from registry.store import Store, events
from registry.store.sql import table_of
from registry.tables import Event, ReservationVersion, UrlRuleRow, Work
from registry.urls import canonicalize_url, url_rule

TABLES = {"version": ReservationVersion, "work": Work, "rule": UrlRuleRow}
NOT_SAID = ("reservation_id", "from_seq", "to_seq", "ordinal", "public")
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
URL = canonicalize_url("https://example.org/a.jpg")


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> Caller:
    return make_key(("register", "domain:example.org")).caller


@pytest.fixture
def ben(make_key: Callable[..., Any]) -> Caller:
    return make_key(("register", "domain:example.org")).caller


def draft(*paths: str, rules: tuple[str, ...] = (), **values: Any) -> Draft:
    works = [WorkDraft(url=canonicalize_url(f"https://example.org/{path}")) for path in paths]
    return Draft(RESERVED, works, [url_rule("host", rule) for rule in rules], **values)


def rows(store: Store) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Everything stored that says something, by table and primary key."""
    found = {}
    with store.read() as connection:
        for name, model in TABLES.items():
            table = table_of(model)
            for row in connection.execute(select(table)):
                values = dict(row._mapping)
                found[(name, *(values[column.name] for column in table.primary_key))] = values
    return found


def ends(store: Store, table: str) -> list[tuple[int, int | None]]:
    found = [row for key, row in rows(store).items() if key[0] == table]
    return sorted(((row["from_seq"], row["to_seq"]) for row in found), key=lambda pair: pair[0])


def operations(store: Store) -> list[tuple[int, str]]:
    table = table_of(Event)
    with store.read() as connection:
        return [(row.seq, row.op) for row in connection.execute(select(table).order_by(table.c.seq))]


def test_a_life_is_versions_that_begin_and_end_with_its_events(
    store: Store, registrar: Registrar, ada: Caller
) -> None:
    done = registrar.register(ada, draft("a", "b", rules=("example.org",)))
    assert (done.seq, done.state, done.works, done.rules) == (1, "asserted", 2, 1)
    added = registrar.add_works(ada, done.id, draft("c").works)
    assert (added.id, added.seq, added.works) == (done.id, 2, 1)
    assert registrar.change(ada, done.id, Change(label="new")).seq == 3
    gone = registrar.withdraw(ada, done.id)
    assert (gone.seq, gone.state) == (4, "withdrawn")
    assert ends(store, "version") == [(1, 3), (3, 4), (4, None)]
    assert ends(store, "work") == [(1, None), (1, None), (2, None)]
    assert ends(store, "rule") == [(1, None)]
    assert operations(store) == [(1, "register"), (2, "works"), (3, "change"), (4, "withdraw")]
    with store.read() as connection:
        assert [event.seq for event in events.of_record(connection, done.id)] == [1, 2, 3, 4]


def test_no_row_ever_changes_but_for_its_end(store: Store, registrar: Registrar, ada: Caller) -> None:
    id_ = registrar.register(ada, draft("a", rules=("example.org",), label="old", terms="t")).id
    writes: list[Callable[[], object]] = [
        lambda: registrar.add_works(ada, id_, draft("b").works),
        lambda: registrar.change(ada, id_, Change({Use.TDM: Preference.CONDITIONAL}, "new", "u", "c")),
        lambda: registrar.register(ada, draft("a")),
        lambda: registrar.withdraw(ada, id_),
    ]
    for write in writes:
        before = rows(store)
        write()
        after, seq = rows(store), store.head()
        for key, row in before.items():
            assert after[key] == row or (row["to_seq"] is None and after[key] == {**row, "to_seq": seq})
        assert len(after) > len(before)


def test_a_change_leaves_what_it_does_not_name(store: Store, registrar: Registrar, ada: Caller) -> None:
    id_ = registrar.register(ada, draft("a", label="l", terms="t", contact="c")).id
    registrar.change(ada, id_, Change(terms="", label="m"))
    row = rows(store)["version", id_, 2]
    assert (row["label"], row["terms"], row["contact"]) == ("m", "", "c")
    assert json.loads(row["preferences"]) == {"genai-train": "reserved"}


@pytest.mark.parametrize(("level", "state"), [(0, "asserted"), (1, "verified"), (4, "verified")])
def test_the_evidence_of_the_key_makes_the_state(
    registrar: Registrar, make_key: Callable[..., Any], level: int, state: str
) -> None:
    assert registrar.register(make_key(evidence_level=level).caller, draft("a")).state == state


def test_what_is_withdrawn_stays_withdrawn(store: Store, registrar: Registrar, ada: Caller) -> None:
    id_ = registrar.register(ada, draft("a")).id
    first = registrar.withdraw(ada, id_)
    assert registrar.withdraw(ada, id_) == first
    for write in (
        lambda: registrar.change(ada, id_, Change(label="back")),
        lambda: registrar.add_works(ada, id_, draft("b").works),
    ):
        with pytest.raises(ConflictError):
            write()
    assert store.head() == 2


def test_withdrawing_at_once_is_one_event(
    store: Store, registrar: Registrar, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = registrar.register(ada, draft("a")).id
    gate, write = threading.Barrier(8, timeout=10), store.write
    monkeypatch.setattr(store, "write", lambda: (gate.wait(), write())[1])
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: registrar.withdraw(ada, id_), range(8)))
    assert (len(answers), operations(store)) == (1, [(1, "register"), (2, "withdraw")])


@pytest.mark.parametrize("what", ["change", "add_works", "withdraw"])
def test_foreign_and_missing_look_the_same(
    store: Store, registrar: Registrar, ada: Caller, ben: Caller, what: str
) -> None:
    foreign = registrar.register(ada, draft("a")).id
    before, arguments = rows(store), {"change": [Change(label="x")], "add_works": [draft("b").works]}
    told = []
    for id_ in (foreign, "a" * 26):
        with pytest.raises(NotFoundError) as caught:
            getattr(registrar, what)(ben, id_, *arguments.get(what, []))
        told.append((caught.value.message.replace(id_, "ID"), caught.value.hint))
    assert told[0] == told[1]
    assert (rows(store), store.head()) == (before, 1)


class TestIdempotency:
    ONE, TWO = Repeatable("key", b"1" * 32), Repeatable("key", b"2" * 32)

    def test_the_same_request_gets_the_same_answer_and_no_event(
        self, store: Store, registrar: Registrar, ada: Caller
    ) -> None:
        flat = WorkDraft(sha256=bytes(32), fingerprint=Fingerprint(1, 0, pdq={"full": bytes(32)}))
        first = registrar.register(ada, Draft(RESERVED, [flat]), self.ONE)
        assert first.exact_only == (0,)
        assert registrar.register(ada, Draft(RESERVED, [flat]), self.ONE) == first
        assert store.head() == 1

    def test_another_request_under_the_key_is_a_conflict(
        self, store: Store, registrar: Registrar, ada: Caller
    ) -> None:
        registrar.register(ada, draft("a"), self.ONE)
        with pytest.raises(ConflictError):
            registrar.register(ada, draft("b"), self.TWO)
        assert store.head() == 1

    def test_keys_of_others_are_others(self, registrar: Registrar, ada: Caller, ben: Caller) -> None:
        assert registrar.register(ada, draft("a"), self.ONE).seq == 1
        assert registrar.register(ben, draft("b"), self.TWO).seq == 2

    def test_the_same_request_at_once_is_one_event(
        self, store: Store, registrar: Registrar, ada: Caller
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(lambda _: registrar.register(ada, draft("a"), self.ONE), range(8)))
        assert (len(answers), store.head()) == (1, 1)

    def test_a_refused_request_may_be_sent_again(
        self, registrar: Registrar, ada: Caller, ben: Caller
    ) -> None:
        id_ = registrar.register(ada, draft("a")).id
        with pytest.raises(NotFoundError):
            registrar.change(ben, id_, Change(label="x"), self.ONE)
        assert registrar.register(ben, draft("a"), self.TWO).seq == 2

    def test_a_used_key_is_a_conflict_for_a_withdrawal_too(self, registrar: Registrar, ada: Caller) -> None:
        id_ = registrar.register(ada, draft("a"), self.ONE).id
        registrar.withdraw(ada, id_)
        with pytest.raises(ConflictError):
            registrar.withdraw(ada, id_, self.TWO)


def test_every_leaf_verifies_from_its_salt_and_tells_nothing(
    store: Store, registrar: Registrar, ada: Caller, picture_hash: Callable[..., bytes]
) -> None:
    picture = Fingerprint(1, 100, bytes(8), {"full": picture_hash(1)})
    works = [WorkDraft("é", URL, bytes(range(32)), picture)]
    id_ = registrar.register(ada, Draft(RESERVED, works, [url_rule("host", "example.org")], "Ada")).id
    registrar.add_works(ada, id_, draft("b", "c").works)
    registrar.change(ada, id_, Change(terms="https://example.org/terms"))
    registrar.withdraw(ada, id_)
    stored = rows(store)

    def said(table: str, seq: int) -> list[dict[str, Any]]:
        found = [row for key, row in sorted(stored.items()) if key[0] == table and row["from_seq"] == seq]
        plain = [{name: value for name, value in row.items() if name not in NOT_SAID} for row in found]
        return [{k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()} for row in plain]

    parts = {"register": ("version", "works", "rules"), "works": ("works",)}
    with store.read() as connection:
        log = connection.execute(select(table_of(Event))).all()
    assert len({event.salt for event in log}) == len(log) == 4
    for event in log:
        record: dict[str, Any] = {}
        for name in parts.get(event.op, ("version",)):
            lines = said(name.removesuffix("s"), event.seq)
            record[name] = lines[0] if name == "version" else lines
        # Sorted keys and no spaces are RFC 8785 for what has ASCII names and no fractions.
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        leaf = json.loads(event.leaf)
        assert leaf["commitment"] == hmac.digest(event.salt, text.encode(), hashlib.sha256).hex()
        assert leaf == {
            "v": 1,
            "seq": event.seq,
            "op": event.op,
            "record": id_,
            "scope": "record",
            "commitment": leaf["commitment"],
        }
        assert len(event.salt) == 16


PLAIN = {
    "quality too low": (49, None),
    "too few bits": (100, bytes([255] * 13 + [0b1111111] + [0] * 18)),
    "all zero": (100, bytes(32)),
    "no hash": (100, b""),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_picture_is_lodged_by_its_exact_bytes_only(
    store: Store, registrar: Registrar, ada: Caller, picture_hash: Callable[..., bytes], case: str
) -> None:
    quality, value = PLAIN[case]
    hashes = {} if value == b"" else {"full": value or picture_hash(1)}
    good = Fingerprint(1, 50, bytes(8), {"full": picture_hash(1), "start": picture_hash(2)})
    plain = Fingerprint(1, quality, bytes(8), hashes)
    works = [WorkDraft(sha256=bytes(32), fingerprint=one) for one in (good, plain, None)]
    done = registrar.register(ada, Draft(RESERVED, works))
    assert done.exact_only == (1,)
    packed = [rows(store)["work", 1, place]["packed"] for place in range(3)]
    assert unpack_windows(packed[0]) == (good, {"full": 47, "start": 47})
    kept, radii = unpack_windows(packed[1])
    assert (kept.phash, kept.pdq, radii, packed[2]) == (None, {}, {}, None)


DOMAIN, ANY = "domain:example.org", "domain:*"
AUTHORITY = [
    # scopes                        rule                                       may
    ((), "exact", "https://example.org/a.jpg", True),
    ((), "prefix", "https://example.org/a/", False),
    ((), "host", "example.org", False),
    ((), "domain", "example.org", False),
    ((DOMAIN,), "prefix", "https://example.org/a/", True),
    ((DOMAIN,), "prefix", "https://img.example.org/a/", True),
    ((DOMAIN,), "prefix", "https://example.org:8080/a/", True),
    ((DOMAIN,), "host", "img.example.org", True),
    ((DOMAIN,), "host", "http://example.org:8080", True),
    ((DOMAIN,), "domain", "example.org", True),
    ((DOMAIN,), "domain", "example.com", False),
    ((DOMAIN,), "host", "notexample.org", False),
    ((DOMAIN,), "host", "example.org.evil.com", False),
    ((DOMAIN,), "prefix", "https://example.org@evil.com/a/", False),
    (("domain:org",), "domain", "example.org", False),
    (("domain:github.io",), "host", "ada.github.io", False),
    (("domain:ada.github.io",), "host", "ada.github.io", True),
    (("domain:192.0.2.1",), "host", "192.0.2.1", True),
    (("domain:192.0.2.1",), "prefix", "http://192.0.2.1:81/a/", True),
    (("domain:[2001:db8::1]",), "prefix", "http://[2001:db8::1]:81/a/", True),
    (("domain:[2001:db8::1]",), "host", "http://[2001:db8::1]", True),
    ((ANY,), "domain", "example.com", True),
    ((ANY,), "host", "192.0.2.1", True),
]


@pytest.mark.parametrize(("scopes", "kind", "value", "may"), AUTHORITY)
def test_rules_want_authority_over_their_domain(
    store: Store,
    registrar: Registrar,
    make_key: Callable[..., Any],
    scopes: Any,
    kind: str,
    value: str,
    may: bool,
) -> None:
    caller = make_key(("register", *scopes)).caller
    wanted = Draft(RESERVED, rules=[url_rule("exact", "https://other.test/"), url_rule(kind, value)])
    if may:
        assert registrar.register(caller, wanted).rules == 2
        return
    with pytest.raises(ForbiddenError):
        registrar.register(caller, wanted)
    assert (store.head(), rows(store)) == (0, {})


def test_identifiers_are_random_and_say_nothing(registrar: Registrar, ada: Caller) -> None:
    ids = Counter(registrar.register(ada, draft("a")).id for _ in range(20))
    assert len(ids) == 20
    assert all(len(id_) == 26 and id_.isascii() for id_ in ids)
