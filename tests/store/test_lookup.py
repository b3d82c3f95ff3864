"""The read model: it has caught up with the head before it answers, or it does not answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, text, update

from registry import index as index_module
from registry.errors import InputError, StaleIndexError, StorageError
from registry.fingerprint import Fingerprint, pack_windows
from registry.hamming import HammingIndex
from registry.index import Entries, Index
from registry.keys import KeySet
from registry.lookup import Lookup, Question
from registry.preference import Preference, Scope, State, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.statement import Match, Statement
from registry.store import Store, events, reservations
from registry.store.sql import table_of
from registry.tables import Event, Head
from registry.urls import canonicalize_url, url_rule

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
URL = canonicalize_url("https://img.example.org/gallery/2026/a.jpg")
HERE = Question(url=URL)


def of_url(url: str = URL) -> Draft:
    return Draft(RESERVED, [WorkDraft(url=canonicalize_url(url))])


def of_picture(**hashes: bytes) -> Draft:
    return Draft(RESERVED, [WorkDraft(fingerprint=Fingerprint(1, 100, bytes(8), hashes))])


def asking(phash: bytes | None = None, quality: int = 100, **hashes: bytes) -> Question:
    return Question(fingerprint=Fingerprint(1, quality, phash, hashes))


def ask_one(lookup: Lookup, question: Question = HERE, as_of_seq: int | None = None) -> list[Statement]:
    return lookup.ask([question], as_of_seq).statements[0]


class TestRowsThatAreNotThere:
    """The index found them, so they were there once."""

    LOST = (
        "DELETE FROM work WHERE from_seq = 2",
        "DELETE FROM url_rule WHERE from_seq = 2",
        "DELETE FROM reservation_version WHERE from_seq = 2",
        "UPDATE work SET to_seq = 2 WHERE from_seq = 2",
        "UPDATE url_rule SET from_seq = 9 WHERE from_seq = 2",
        "UPDATE reservation_version SET from_seq = 4 WHERE from_seq = 2",
        "UPDATE reservation_version SET to_seq = 2 WHERE from_seq = 2",
        "UPDATE work SET reservation_id = 'nobody' WHERE from_seq = 2",
    )

    @pytest.fixture
    def lookup(self, store: Store, registrar: Registrar, caller: Any) -> Lookup:
        """One that has taken in three reservations."""
        for host in ("a", "b", "c"):
            draft = of_url(f"https://{host}.example/1.jpg")
            registrar.register(caller, replace(draft, rules=[url_rule("host", f"{host}.example")]))
        lookup = Lookup(store)
        assert lookup.catch_up() == 3
        return lookup

    @pytest.mark.parametrize("deed", LOST)
    def test_they_are_an_error_and_no_answer(self, store: Store, lookup: Lookup, deed: str) -> None:
        question = Question(url=canonicalize_url("https://b.example/1.jpg"))
        assert len(ask_one(lookup, question)) == 2
        with store.administer() as connection:
            connection.execute(text(deed))
        with pytest.raises(StorageError, match="event 2"):
            lookup.ask([question])
        assert ask_one(lookup, question, as_of_seq=1) == []
        assert len(ask_one(lookup, Question(url=canonicalize_url("https://a.example/1.jpg")))) == 2

    def test_unless_they_were_erased(self, registrar: Registrar, caller: Any, lookup: Lookup) -> None:
        question = Question(url=canonicalize_url("https://b.example/1.jpg"))
        (record,) = {one.record for one in ask_one(lookup, question)}
        registrar.erase(caller, record, keep=False)
        assert ask_one(lookup, question) == []
        assert ask_one(lookup, question, as_of_seq=2) == []


class TestCatchingUp:
    def test_every_answer_includes_the_last_write(
        self, database_url: str, store: Store, registrar: Registrar, caller: Any
    ) -> None:
        """Through a second store, as another worker process would see it."""
        other = Store.open(database_url)
        lookup = Lookup(other)
        assert lookup.ask([HERE]).as_of_seq == 0
        for number in range(1, 6):
            id_ = registrar.register(caller, of_url()).id
            answer = lookup.ask([HERE])
            assert (answer.as_of_seq, len(answer.statements[0])) == (number, number)
            assert answer.statements[0][-1].record == id_
        registrar.withdraw(caller, id_)
        assert len(ask_one(lookup)) == 4
        other.close()

    def test_the_statement_tells_what_was_lodged(
        self, store: Store, registrar: Registrar, make_key: Callable[..., Any]
    ) -> None:
        key = make_key(evidence_level=2)
        lodged = Draft(RESERVED, [WorkDraft(url=URL)], (), "Ada", "https://t.test", "mail")
        id_ = registrar.register(key.caller, lodged).id
        wanted = Statement(
            preferences=RESERVED,
            match=Match("url"),
            scope=Scope.WORK,
            evidence_level=2,
            state=State.VERIFIED,
            seq=1,
            at="2026-11-21T12:00:00Z",
            record=id_,
            principal=key.caller.principal_id,
            label="Ada",
            terms="https://t.test",
            contact="mail",
        )
        assert ask_one(Lookup(store)) == [wanted]

    def test_earlier_states_can_be_asked_and_later_ones_not(
        self, store: Store, registrar: Registrar, caller: Any
    ) -> None:
        lookup = Lookup(store)
        id_ = registrar.register(caller, of_url()).id
        registrar.change(caller, id_, Change({Use.GENAI_TRAIN: Preference.CONDITIONAL}))
        registrar.withdraw(caller, id_)
        said = [[str(s.preferences[Use.GENAI_TRAIN]) for s in ask_one(lookup, HERE, n)] for n in range(4)]
        assert said == [[], ["reserved"], ["conditional"], []]
        for seq in (-1, 4):
            with pytest.raises(InputError, match="as_of_seq"):
                lookup.ask([HERE], seq)

    def test_questions_keep_their_places(self, store: Store, registrar: Registrar, caller: Any) -> None:
        registrar.register(caller, of_url())
        other = Question(url=canonicalize_url("https://other.test/"))
        answer = Lookup(store).ask([other, HERE, Question(), HERE])
        assert [len(statements) for statements in answer.statements] == [0, 1, 0, 1]


class TestRefusing:
    """Nothing was said, and it could not be found out, are never confused."""

    @pytest.mark.parametrize("missing", [1, 2, 3])
    def test_a_gap_in_the_events(self, store: Store, registrar: Registrar, caller: Any, missing: int) -> None:
        for _ in range(3):
            registrar.register(caller, of_url())
        event = table_of(Event)
        with store.administer() as connection:
            connection.execute(delete(event).where(event.c.seq == missing))
        lookup = Lookup(store)
        for _ in range(2):
            with pytest.raises(StaleIndexError):
                lookup.ask([HERE])

    def test_a_head_without_its_event(self, store: Store, registrar: Registrar, caller: Any) -> None:
        lookup = Lookup(store)
        registrar.register(caller, of_url())
        lookup.catch_up()
        with store.write():
            pass
        with pytest.raises(StaleIndexError):
            lookup.ask([HERE])
        with pytest.raises(StaleIndexError):
            lookup.ask([HERE], as_of_seq=1)

    def test_a_head_that_went_back(self, store: Store, registrar: Registrar, caller: Any) -> None:
        lookup = Lookup(store)
        for _ in range(2):
            registrar.register(caller, of_url())
        lookup.catch_up()
        set_head(store, 1)
        for _ in range(2):
            with pytest.raises(StaleIndexError, match="behind"):
                lookup.ask([HERE])

    def test_a_head_that_went_back_after_a_failure(
        self, store: Store, registrar: Registrar, caller: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lookup = Lookup(store)
        for _ in range(2):
            registrar.register(caller, of_url())
        lookup.catch_up()
        registrar.register(caller, of_url())
        with monkeypatch.context() as patch:
            patch.setattr(Index, "add", failing)
            with pytest.raises(MemoryError):
                lookup.ask([HERE])
        set_head(store, 1)
        with pytest.raises(StaleIndexError, match="behind"):
            lookup.ask([HERE])

    @pytest.mark.parametrize(
        "place",
        [(Entries, "of"), (KeySet, "add"), (HammingIndex, "add"), (index_module._Columns, "append")],
        ids=lambda place: f"{place[0].__name__}.{place[1]}",
    )
    def test_a_failure_halfway_leaves_no_half_index(
        self,
        store: Store,
        registrar: Registrar,
        caller: Any,
        picture_hash: Callable[..., bytes],
        monkeypatch: pytest.MonkeyPatch,
        place: tuple[type, str],
    ) -> None:
        lookup = Lookup(store)
        registrar.register(caller, of_url())
        lookup.catch_up()
        rules = [url_rule("host", "img.example.org"), url_rule("domain", "example.org")]
        registrar.register(caller, Draft(RESERVED, [WorkDraft(url=URL)] * 2, rules))
        registrar.register(caller, of_picture(full=picture_hash(1), start=picture_hash(2)))
        with monkeypatch.context() as patch:
            patch.setattr(*place, failing)
            for _ in range(2):
                with pytest.raises(MemoryError):
                    lookup.ask([HERE])
        asked = [HERE, asking(full=picture_hash(1))]
        again, fresh = lookup.ask(asked), Lookup(store).ask(asked)
        assert again == fresh
        assert [len(found) for found in again.statements] == [5, 1]

    def test_a_database_that_does_not_answer(self, store: Store, registrar: Registrar, caller: Any) -> None:
        lookup = Lookup(store)
        registrar.register(caller, of_url())
        lookup.catch_up()
        with store.administer() as connection:
            connection.execute(text("ALTER TABLE head RENAME TO gone"))
        with pytest.raises(StorageError):
            lookup.ask([HERE])


def failing(*_: object) -> None:
    raise MemoryError


def set_head(store: Store, n: int) -> None:
    with store.administer() as connection:
        connection.execute(update(table_of(Head)).values(n=n))


MATCHING = [
    # kind      lodged                                    asked                                     found as
    ("exact", "http://www.IMG.example.org/a.jpg#x", "https://img.example.org/a.jpg?utm_source=y", "url"),
    ("exact", "https://img.example.org/a.jpg", "https://img.example.org/A.jpg", None),
    ("prefix", "https://img.example.org/g/", "https://img.example.org/g/2/a.jpg?w=1", "prefix"),
    ("prefix", "https://img.example.org/g/", "https://img.example.org/g/", "prefix"),
    ("prefix", "https://img.example.org/g/", "https://img.example.org/gh/a.jpg", None),
    ("prefix", "https://img.example.org/g/", "https://img.example.org/x?/g/", None),
    ("host", "img.example.org", "https://img.example.org/a.jpg", "host"),
    ("host", "img.example.org", "https://example.org/a.jpg", None),
    ("host", "img.example.org", "https://img.example.org:8080/a.jpg", None),
    ("host", "example.org", "https://img.example.org/a.jpg", None),
    ("domain", "example.org", "https://a.b.example.org:8080/a.jpg", "domain"),
    ("domain", "example.org", "https://notexample.org/a.jpg", None),
    ("domain", "ada.github.io", "https://ben.github.io/a.jpg", None),
]


@pytest.mark.parametrize(("kind", "lodged", "asked", "found"), MATCHING)
def test_rules_match(
    store: Store, registrar: Registrar, caller: Any, kind: str, lodged: str, asked: str, found: str | None
) -> None:
    registrar.register(caller, Draft(RESERVED, rules=[url_rule(kind, lodged)]))
    statements = ask_one(Lookup(store), Question(url=canonicalize_url(asked)))
    assert [s.match for s in statements] == ([Match(found)] if found else [])
    scopes = {"url": Scope.WORK, "prefix": Scope.PREFIX, "host": Scope.HOST, "domain": Scope.DOMAIN}
    assert [s.scope for s in statements] == ([scopes[found]] if found else [])


def test_a_file_matches_byte_for_byte(store: Store, registrar: Registrar, caller: Any) -> None:
    registrar.register(caller, Draft(RESERVED, [WorkDraft(sha256=b"a" * 32)]))
    lookup = Lookup(store)
    assert [s.match for s in ask_one(lookup, Question(sha256=b"a" * 32))] == [Match("sha256")]
    assert ask_one(lookup, Question(sha256=b"a" * 31 + b"b")) == []


LIKENESS = [
    # own radius, distance, is found, is certain
    (47, 0, True, True),
    (47, 31, True, True),
    (47, 32, True, False),
    (47, 47, True, False),
    (47, 48, False, False),
    (40, 40, True, False),
    (40, 41, False, False),
    (10, 10, True, True),
    (10, 11, False, False),
    (0, 0, True, True),
    (60, 47, True, False),
    (60, 48, False, False),
]


@pytest.mark.parametrize(("radius", "distance", "found", "certain"), LIKENESS)
def test_pictures_match_within_the_strict_and_the_own_radius_and_are_reviewed_beyond(
    store: Store,
    registrar: Registrar,
    caller: Any,
    picture_hash: Callable[..., bytes],
    radius: int,
    distance: int,
    found: bool,
    certain: bool,
) -> None:
    id_ = registrar.register(caller, of_url()).id
    packed = pack_windows(Fingerprint(1, 100, None, {"start": picture_hash(1)}), {"start": radius})
    with store.write() as tx:
        row = {"title": "", "url": None, "url_key": None, "sha256": None, "packed": packed}
        reservations.insert_works(tx, [{"reservation_id": id_, **row}])
        events.append(tx, op="works", record=id_, at=0, salt=b"", leaf=b"")
    statements = ask_one(Lookup(store), asking(mirror=picture_hash(1, distance)))
    wanted = Match("pdq", certain, distance, "start", "mirror")
    assert [s.match for s in statements] == ([wanted] if found else [])


def test_the_nearest_window_and_form_is_told_once(
    store: Store, registrar: Registrar, caller: Any, picture_hash: Callable[..., bytes]
) -> None:
    registrar.register(caller, of_picture(full=picture_hash(1), start=picture_hash(1, 10)))
    statements = ask_one(Lookup(store), asking(full=picture_hash(1, 14), mirror=picture_hash(1, 9)))
    assert [s.match for s in statements] == [Match("pdq", True, 1, "start", "mirror")]


def test_a_certain_window_outweighs_a_nearer_one_beyond_its_own_radius(
    store: Store, registrar: Registrar, caller: Any, picture_hash: Callable[..., bytes]
) -> None:
    """Windows may carry radii of their own: the form in which they are stored says so."""
    id_ = registrar.register(caller, of_url()).id
    narrow = pack_windows(Fingerprint(1, 100, None, {"full": picture_hash(1, 10)}), {"full": 3})
    wide = pack_windows(Fingerprint(1, 100, None, {"start": picture_hash(1, 20)}))
    with store.write() as tx:
        row = {"title": "", "url": None, "url_key": None, "sha256": None, "packed": narrow + wide[4:]}
        reservations.insert_works(tx, [{"reservation_id": id_, **row}])
        events.append(tx, op="works", record=id_, at=0, salt=b"", leaf=b"")
    statements = ask_one(Lookup(store), asking(full=picture_hash(1)))
    assert [s.match for s in statements] == [Match("pdq", True, 20, "start", "full")]


@pytest.mark.parametrize(("distance", "found"), [(0, True), (3, True), (4, False)])
def test_a_phash_asks_for_a_review_at_most(
    store: Store,
    registrar: Registrar,
    caller: Any,
    picture_hash: Callable[..., bytes],
    distance: int,
    found: bool,
) -> None:
    registrar.register(caller, of_picture(full=picture_hash(1)))
    phash = ((1 << distance) - 1).to_bytes(8, "big")
    wanted = Match("phash", False, distance, "full", "full")
    lookup = Lookup(store)
    assert [s.match for s in ask_one(lookup, asking(phash))] == ([wanted] if found else [])
    assert ask_one(lookup, asking(phash, full=picture_hash(2))) == []


def test_a_hash_of_few_bits_is_like_nothing(
    store: Store, registrar: Registrar, caller: Any, picture_hash: Callable[..., bytes]
) -> None:
    registrar.register(caller, of_picture(full=picture_hash(1)))
    question = asking(None, 100, full=bytes(32))
    assert question.too_plain
    assert ask_one(Lookup(store), question) == []


@pytest.mark.parametrize(("distance", "found"), [(0, True), (31, True), (47, True), (48, False)])
def test_a_plain_picture_asks_for_a_review_at_most(
    store: Store,
    registrar: Registrar,
    caller: Any,
    picture_hash: Callable[..., bytes],
    distance: int,
    found: bool,
) -> None:
    registrar.register(caller, of_picture(full=picture_hash(1)))
    question, lookup = asking(None, 49, full=picture_hash(1, distance)), Lookup(store)
    assert not question.too_plain
    wanted = Match("pdq", False, distance, "full", "full")
    assert [s.match for s in ask_one(lookup, question)] == ([wanted] if found else [])
    assert lookup.ask([question], review=False).statements == [[]]


def test_one_work_found_in_two_ways_is_two_statements(
    store: Store, registrar: Registrar, caller: Any, picture_hash: Callable[..., bytes]
) -> None:
    picture = Fingerprint(1, 100, None, {"full": picture_hash(1)})
    registrar.register(caller, Draft(RESERVED, [WorkDraft("", URL, b"a" * 32, picture)]))
    question = Question(URL, b"a" * 32, Fingerprint(1, 100, None, {"full": picture_hash(1, 2)}))
    found = ask_one(Lookup(store), question)
    assert [s.match.kind for s in found] == ["sha256", "url", "pdq"]


def test_rows_beyond_the_head_are_not_seen(store: Store, registrar: Registrar, caller: Any) -> None:
    """As between reading the head and reading the rows, when another worker writes."""
    for _ in range(2):
        registrar.register(caller, of_url())
    set_head(store, 1)
    lookup = Lookup(store)
    assert len(ask_one(lookup)) == 1
    set_head(store, 2)
    assert len(ask_one(lookup)) == 2
