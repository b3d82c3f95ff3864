"""A mirror copies what its upstream signed, verified, and nothing else; it says when it lags."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from registry.backup import find_missing, replay, require_newest, set_aside
from registry.countersignature import Bundle, Countersignature
from registry.errors import (
    ConflictError,
    ForbiddenError,
    LogError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
    SettingsError,
    StaleIndexError,
)
from registry.fsck import check_rows, fsck
from registry.granting import GrantDraft, Granter
from registry.import_claim import Claim, digest_of, statement_of
from registry.imports import Importer, PartBody
from registry.leaf import format_leaf, parse_leaf
from registry.listing import NDJSON
from registry.log_folder import LogFolder
from registry.lookup import Lookup, Question
from registry.migrations import migrate
from registry.mirror import Mirror, pin_upstream, require_fresh
from registry.note import Signer, sign_note
from registry.preference import Preference, State, Use
from registry.publisher import Publisher
from registry.receipt import digest_of as receipt_digest
from registry.receipt import sign_receipt
from registry.receipting import Publication, Receipting
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.said import Held
from registry.store import Store, events, mentions, payloads, principals
from registry.store import engine as engines
from registry.store.sql import table_of
from registry.tables import (
    Event,
    GrantRow,
    ImportBatch,
    ImportPart,
    MentionRow,
    ReceiptRow,
    ReservationVersion,
    UrlRuleRow,
    WithdrawnWork,
    Work,
)
from registry.urls import canonicalize_url, url_rule
from tests.runs import MAKER, RUN


class Peer:
    """The routes that a mirror reads, from a store and a published log, without a socket between them."""

    url = "https://upstream.example"

    def __init__(self, store: Store, folder: LogFolder) -> None:
        self.store, self.folder = store, folder
        self.page = 3
        self.change: Callable[[dict[str, Any]], None] = lambda _: None
        self.down = False

    def checkpoint(self) -> str:
        if self.down:
            raise RegistryUnreachableError("down")
        note = self.folder.checkpoint()
        assert note is not None
        return note

    def keys(self) -> dict[str, Any]:
        return {"keys": [one.text for one in self.folder.verifiers()]}

    def changes(self, after: int) -> dict[str, Any]:
        if self.down:
            raise RegistryUnreachableError("down")
        head = self.store.head()
        with self.store.read() as connection:
            rows = events.between(connection, after, min(after + self.page, head)) if head > after else []
            said = payloads.payloads_of(connection, [row.seq for row in rows])
        page = {"head": head, "events": [payloads.to_wire(row, said.get(row.seq)) for row in rows]}
        page = json.loads(json.dumps(page))
        self.change(page)
        return page


@pytest.fixture
def signer() -> Signer:
    return Signer.new("log.example")


@pytest.fixture
def upstream(store: Store, tmp_path: Path, signer: Signer) -> Peer:
    folder = LogFolder(tmp_path / "log")
    folder.write_signer(signer)
    return Peer(store, folder)


@pytest.fixture
def publish(upstream: Peer, signer: Signer) -> Callable[[], Any]:
    return lambda: Publisher(upstream.store, upstream.folder, signer).publish()


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "mirror").mkdir()
    store = Store.open(engines.database_url(tmp_path / "mirror"))
    migrate(store)
    yield store
    store.close()


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mirror(copy: Store, tmp_path: Path, upstream: Peer, clock: Clock) -> Mirror:
    verifiers = pin_upstream(copy, upstream)
    return Mirror(copy, LogFolder(tmp_path / "mirror" / "log"), upstream, verifiers, clock)


def draft(name: str) -> Draft:
    works = [
        WorkDraft(f"Title {name}", canonicalize_url(f"https://ada.test/{name}"), name.encode().ljust(32))
    ]
    return Draft({Use.TRAIN: Preference.RESERVED}, works, [url_rule("host", f"{name}.ada.test")], "Ada")


@pytest.fixture
def lived(registrar: Registrar, caller: Caller) -> list[str]:
    """Every kind of event, twelve of them."""
    ids = [registrar.register(caller, draft(f"n{number}")).id for number in range(5)]
    registrar.add_works(caller, ids[0], draft("more").works)
    registrar.change(caller, ids[1], Change(label="Ada L."))
    registrar.withdraw(caller, ids[2])
    registrar.erase(caller, ids[3])
    registrar.erase(caller, ids[4], keep=True)
    registrar.announce_key("key", Signer.new("log.example").verifier.text)
    registrar.register(caller, draft("last"))
    return ids


_SAYING = (Event, ReservationVersion, Work, UrlRuleRow, GrantRow, ReceiptRow, MentionRow)


def rows_of(store: Store) -> dict[str, Any]:
    """Everything that is said, as values."""
    with store.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in map(table_of, _SAYING)
        }


def states(store: Store, name: str) -> list[State]:
    question = Question(url=canonicalize_url(f"https://ada.test/{name}"))
    return [said.state for said in Lookup(store).ask([question]).statements[0]]


def test_it_has_every_row_and_the_same_log(store, copy, upstream, mirror, publish, lived):
    publish()
    assert mirror.follow() == 12
    assert rows_of(copy) == rows_of(store)
    assert mirror.folder.checkpoint() == upstream.folder.checkpoint()
    assert list(fsck(copy, mirror.folder, 12)) == []
    assert list(check_rows(copy)) == []
    for name in ("n0", "n1", "n2", "n3", "n4", "more", "last", "never"):
        assert states(copy, name) == states(store, name)


def test_it_follows_step_by_step(store, copy, upstream, mirror, publish, registrar, caller):
    for number in range(9):
        id_ = registrar.register(caller, draft(f"n{number}")).id
        if number % 3 == 1:
            registrar.erase(caller, id_, keep=number == 4)
        publish()
        assert mirror.follow() == store.head()
        assert rows_of(copy) == rows_of(store)


def test_it_has_the_grants_and_knows_which_were_taken_back(store, copy, mirror, publish, registrar, caller):
    record, granter = registrar.register(caller, draft("a")).id, Granter(registrar)
    wanted = GrantDraft(record, [Use.TRAIN], "Acme", 4_000_000_000)
    ids = [granter.grant(caller, wanted).id for _ in range(3)]

    def marks() -> list[list[str]]:
        asked = [Question(url=canonicalize_url("https://ada.test/a"))]
        held = [Held((id_,), Use.TRAIN, 2_000_000_000) for id_ in ids]
        return [[said.grant for said in Lookup(copy).ask(asked, held=one).statements[0]] for one in held]

    publish()
    mirror.follow()
    assert marks() == [[id_] for id_ in ids]
    granter.revoke(caller, ids[1])
    publish()
    mirror.follow()
    assert rows_of(copy) == rows_of(store)
    assert marks() == [[ids[0]], [""], [ids[2]]]
    registrar.erase(caller, record, keep=True)
    publish()
    mirror.follow()
    assert rows_of(copy) == rows_of(store)
    assert marks() == [[""]] * 3
    assert list(check_rows(copy)) == []


def publication(ids: list[str], seq: int) -> Publication:
    """A receipt that names records, countersigned as of an event."""
    envelope = sign_receipt(RUN, MAKER)
    said = Countersignature(
        registry="log.example", receipt=receipt_digest(envelope.payload), run="1" * 64, runs=1, requests=1,
        items=1, asked="2" * 64, answered="3" * 64, as_of_seq=seq, first=RUN.finished, last=RUN.finished,
        checkpoint=None,
    )  # fmt: skip
    return Publication(Bundle(envelope, ()), said, ids)


@pytest.mark.parametrize("gone", ["nothing", "the receipt", "a record", "a record, later"])
def test_it_knows_which_records_a_receipt_names(store, copy, mirror, publish, registrar, caller, gone):
    wanted = replace(draft("a"), preferences={Use.GENAI_TRAIN: Preference.RESERVED}, public=True)
    ids = [registrar.register(caller, wanted).id for _ in range(2)]
    receipt = Receipting(registrar).publish(caller, publication(ids, 2)).id
    if gone == "a record, later":
        publish()
        assert mirror.follow() == 5
    if gone == "the receipt":
        Receipting(registrar).erase(caller, receipt)
    elif gone != "nothing":
        registrar.erase(caller, ids[0])
    publish()
    assert mirror.follow() == store.head()
    assert rows_of(copy) == rows_of(store)
    left = {"nothing": 2, "the receipt": 0}.get(gone, 1)
    with copy.read() as connection:
        assert len(mentions.of_receipt(connection, receipt)) == left
    assert list(check_rows(copy)) == []
    assert list(check_rows(store)) == []


def test_a_grant_that_the_upstream_did_not_sign_is_not_taken_over(
    copy, upstream, mirror, publish, registrar, caller
):
    record = registrar.register(caller, draft("a")).id
    publish()
    mirror.follow()
    Granter(registrar).grant(caller, GrantDraft(record, [Use.TRAIN], "Acme", 4_000_000_000))
    publish()

    def widen(page: dict[str, Any]) -> None:
        for event in page["events"]:
            if event["op"] == "grant":
                event["payload"]["grant"]["uses"] = ["search", "train"]

    upstream.change = widen
    with pytest.raises(LogError, match="does not say what its leaf commits to"):
        mirror.follow()
    assert copy.head() == 1


def test_what_is_not_signed_yet_is_not_seen(copy, upstream, mirror, publish, registrar, caller):
    registrar.register(caller, draft("a"))
    publish()
    registrar.register(caller, draft("b"))
    assert mirror.follow() == 1
    assert (states(copy, "a"), states(copy, "b")) == ([State.ASSERTED], [])
    assert Lookup(copy).ask([]).as_of_seq == 1


def test_erased_upstream_is_erased_here(copy, mirror, publish, registrar, caller):
    id_ = registrar.register(caller, draft("a")).id
    publish()
    mirror.follow()
    registrar.erase(caller, id_)
    publish()
    mirror.follow()
    assert "Title a" not in repr(rows_of(copy))
    with copy.read() as connection:
        first = events.of_record(connection, id_)[0]
    assert (first.seq, first.erased_by, bytes(first.salt)) == (1, 2, b"")


def test_erased_before_the_mirror_came_is_copied_as_a_leaf(store, copy, mirror, publish, registrar, caller):
    id_ = registrar.register(caller, draft("a")).id
    registrar.erase(caller, id_, keep=True)
    registrar.erase(caller, id_)
    publish()
    mirror.follow()
    assert rows_of(copy) == rows_of(store)


def forged(event: dict[str, Any], **values: Any) -> None:
    """Let an event have a leaf that fits what it says."""
    leaf = parse_leaf(event["leaf"].encode())
    event["leaf"] = format_leaf(
        type(leaf)(leaf.seq, values.get("op", leaf.op), leaf.record, leaf.commitment, leaf.scope, leaf.key)
    ).decode()
    event.update(values)


LIES: dict[str, tuple[Callable[[dict[str, Any]], None], type[Exception]]] = {
    "another preference": (
        lambda e: (
            e["payload"]["version"].update(preferences='{"train":"allowed"}') if e["seq"] == 1 else None
        ),
        LogError,
    ),
    "a work left out": (lambda e: e["payload"]["works"].clear() if e["seq"] == 1 else None, LogError),
    "said to be erased": (
        lambda e: e.update(erased_by=2, salt=None, payload=None) if e["seq"] == 1 else None,
        LogError,
    ),
    "said to be erased earlier": (
        lambda e: e.update(erased_by=1, salt=None, payload=None) if e["seq"] == 1 else None,
        LogError,
    ),
    "a withdrawal that was none": (lambda e: forged(e, op="withdraw") if e["seq"] == 2 else None, LogError),
    "another number": (lambda e: e.update(seq=7) if e["seq"] == 2 else None, RegistryAnswerError),
    "no number": (lambda e: e.pop("seq") if e["seq"] == 2 else None, RegistryAnswerError),
    "another leaf": (lambda e: e.update(leaf=e["leaf"].replace("record", "recorD")), LogError),
    "no leaf": (lambda e: e.pop("leaf"), LogError),
    "no payload": (lambda e: e.update(payload=None), RegistryRefusedError),
    "a row of another kind": (
        lambda e: e["payload"]["works"][0].update(sha256="zz") if e["seq"] == 1 else None,
        LogError,
    ),
}


@pytest.mark.parametrize(("lie", "error"), LIES.values(), ids=LIES)
def test_a_lie_is_an_error_and_nothing_of_it_is_seen(
    copy, upstream, mirror, publish, registrar, caller, lie, error
):
    def change(page: dict[str, Any]) -> None:
        for event in page["events"]:
            lie(event)

    for name in ("a", "b", "c", "d"):
        registrar.register(caller, draft(name))
    publish()
    upstream.change = change
    for _ in range(2):
        with pytest.raises(error):
            mirror.follow()
        assert copy.head() == 0
        assert states(copy, "a") == []
    upstream.change = lambda _: None
    assert mirror.follow() == 4
    assert rows_of(copy) == rows_of(upstream.store)


def test_events_that_were_signed_otherwise_are_refused(
    store, copy, upstream, mirror, publish, registrar, caller, tmp_path, signer
):
    registrar.register(caller, draft("a"))
    publish()
    mirror.follow()
    before = rows_of(copy)
    (tmp_path / "fork").mkdir()
    fork = Store.open(engines.database_url(tmp_path / "fork"))
    migrate(fork)
    other = Registrar(fork, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    with fork.administer() as connection:
        connection.exec_driver_sql("INSERT INTO principal (id, name, created_at) VALUES ('eve', '', 0)")
    for name in ("x", "y"):
        other.register(Caller("eve", frozenset({"register", "domain:*"})), draft(name))
    folder = LogFolder(tmp_path / "fork-log")
    Publisher(fork, folder, signer).publish()
    upstream.store, upstream.folder = fork, folder
    with pytest.raises(LogError, match="not those that it signed"):
        mirror.follow()
    assert rows_of(copy) == before
    fork.close()


def test_a_log_that_shrank_is_refused(copy, upstream, mirror, publish, registrar, caller):
    notes = []
    for name in ("a", "b"):
        registrar.register(caller, draft(name))
        publish()
        notes.append(upstream.folder.checkpoint())
    mirror.follow()
    upstream.folder.write_checkpoint(notes[0])
    with pytest.raises(LogError, match="signed 1 events, after 2"):
        mirror.follow()


def test_a_checkpoint_of_another_key_is_refused(copy, upstream, mirror, registrar, caller):
    registrar.register(caller, draft("a"))
    Publisher(upstream.store, upstream.folder, Signer.new("log.example")).publish()
    with pytest.raises(LogError, match="not signed by"):
        mirror.follow()
    assert copy.head() == 0


def test_a_key_announced_under_the_old_one_is_adopted(
    store, copy, upstream, mirror, publish, registrar, caller, signer
):
    registrar.register(caller, draft("a"))
    new = Signer.new("log.example")
    upstream.folder.write_signers([new, signer])
    registrar.announce_key("key", new.verifier.text)
    Publisher(store, upstream.folder, new, [signer]).publish()
    mirror.follow()
    assert mirror.verifiers == [new.verifier, signer.verifier]
    registrar.announce_key("revoke-key", signer.verifier.text)
    Publisher(store, upstream.folder, new, [signer]).publish()
    mirror.follow()
    assert mirror.verifiers == [new.verifier]
    registrar.register(caller, draft("b"))
    Publisher(store, upstream.folder, new).publish()
    assert mirror.follow() == 4
    assert pin_upstream(copy, upstream) == [new.verifier]


def test_it_is_as_fresh_as_what_it_last_had_all_of(copy, upstream, mirror, publish, registrar, caller, clock):
    def fresh(bound: float = 60) -> bool:
        try:
            with copy.read() as connection:
                require_fresh(connection, clock(), bound)
        except StaleIndexError:
            return False
        return True

    assert not fresh()
    registrar.register(caller, draft("a"))
    publish()
    mirror.follow()
    assert fresh()
    clock.seconds += 61
    assert not fresh()
    # The upstream knows of one that its log does not cover yet: what it had not, it has not.
    registrar.register(caller, draft("b"))
    mirror.follow()
    assert not fresh()
    clock.seconds += 10
    publish()
    mirror.follow()
    assert fresh(0)
    clock.seconds -= 100
    assert not fresh()
    upstream.down = True
    with pytest.raises(RegistryUnreachableError):
        mirror.follow()


def test_a_mirror_takes_no_writes(copy, upstream, registrar, caller):
    read_only = Store(copy.engine, "https://upstream.example")
    with pytest.raises(ForbiddenError, match="this is a mirror"):
        Registrar(read_only, lambda: datetime.now(UTC)).register(caller, draft("a"))


def test_it_is_a_mirror_of_one_registry_and_stays_so(store, copy, upstream, registrar, caller, signer):
    registrar.register(caller, draft("a"))
    with pytest.raises(SettingsError, match="events of its own"):
        pin_upstream(store, upstream)
    assert pin_upstream(copy, upstream, signer.verifier.text) == [signer.verifier]
    with pytest.raises(SettingsError, match="another key"):
        pin_upstream(copy, upstream, Signer.new("log.example").verifier.text)
    upstream.url = "https://other.example"
    with pytest.raises(SettingsError, match=r"mirrors https://upstream\.example"):
        pin_upstream(copy, upstream)


def test_a_fall_on_the_way_is_made_good(copy, upstream, mirror, publish, lived):
    publish()
    pages = []

    def fall(page: dict[str, Any]) -> None:
        pages.append(page)
        if len(pages) == 4:
            raise RegistryUnreachableError("fell")

    upstream.change = fall
    with pytest.raises(RegistryUnreachableError):
        mirror.follow()
    assert copy.head() == 0
    assert states(copy, "n0") == []
    assert mirror.follow() == 12
    assert rows_of(copy) == rows_of(upstream.store)


@pytest.fixture
def partner(store: Store, make_key: Callable[..., Any]) -> tuple[Caller, Signer, Importer]:
    caller, signer = make_key(("import:acme", "register")).caller, Signer.new("acme.example")
    with store.administer() as connection:
        principals.set_import_key(connection, caller.principal_id, signer.verifier.text)
    return caller, signer, Importer(store, lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))


def import_(partner: tuple[Caller, Signer, Importer], *names: str, complete: bool = True) -> str:
    """Import a work a name, each in a part of its own."""
    caller, signer, importer = partner
    id_, _ = importer.open(caller, "acme", Draft({Use.TRAIN: Preference.RESERVED}, label="Acme"))
    stored = []
    for number, name in enumerate(names, 1):
        line = json.dumps({"title": f"Title {name}", "url": f"https://ada.test/{name}"}) + "\n"
        stored.append(importer.put(caller, id_, number, PartBody(line.encode(), NDJSON)))
    if complete:
        claim = Claim(len(stored), len(stored), digest_of([part.sha256 for part in stored]))
        note = sign_note(statement_of("acme", id_, claim), [signer])
        assert importer.complete(caller, id_, replace(claim, note=note)) is not None
    return id_


def imports_of(store: Store) -> dict[str, Any]:
    """The parts that have works, and which of those were withdrawn."""
    part, withdrawn = table_of(ImportPart), table_of(WithdrawnWork)
    with store.read() as connection:
        return {
            "import_part": sorted(map(repr, connection.execute(select(part).where(part.c.blob != b"")))),
            "withdrawn_work": sorted(map(repr, connection.execute(select(withdrawn)))),
        }


def test_imports_are_mirrored_too(store, copy, mirror, publish, partner, registrar):
    caller, _, importer = partner
    whole = import_(partner, "i1", "i2", "i3")
    import_(partner, "open", complete=False)
    publish()
    mirror.follow()
    assert (states(copy, "i1"), states(copy, "open")) == ([State.ASSERTED], [])
    importer.withdraw_works(caller, whole, [(2, 0)])
    importer.roll_back(caller, import_(partner, "gone", complete=False))
    importer.roll_back(caller, import_(partner, "ended"))
    registrar.erase(caller, import_(partner, "erased"))
    publish()
    assert mirror.follow() == store.head()
    for name in ("i1", "i2", "i3", "open", "gone", "ended", "erased"):
        assert states(copy, name) == states(store, name), name
    assert states(copy, "i1") == [State.ASSERTED]
    assert states(copy, "i2") == states(copy, "erased") == []
    assert imports_of(copy) == imports_of(store)
    assert rows_of(copy) == rows_of(store)
    assert list(check_rows(store)) == list(check_rows(copy)) == []
    assert "Title erased" not in repr(imports_of(copy))


def test_a_part_with_another_work_in_it_is_refused(copy, upstream, mirror, publish, partner):
    import_(partner, "i1")
    publish()
    foreign = base64.b64encode(b"no block").decode()
    upstream.change = lambda page: [
        event["payload"]["part"].update(block=foreign) for event in page["events"] if event["op"] == "part"
    ]
    with pytest.raises(LogError, match="event 1 of the upstream"):
        mirror.follow()
    assert copy.head() == 0


def test_an_import_that_was_signed_otherwise_leaves_nothing(copy, upstream, mirror, publish, partner):
    import_(partner, "i1")
    publish()
    taken = mirror._take_in
    note = upstream.checkpoint()
    lied = replace(mirror._opened(note), root=bytes(32))
    with pytest.raises(LogError, match="not those that it signed"):
        taken(lied, note, 0)
    assert imports_of(copy) == {"import_part": [], "withdrawn_work": []}
    assert mirror.follow() == 2
    assert states(copy, "i1") == [State.ASSERTED]


def test_a_work_of_an_import_changed_behind_its_back_shows(store, partner):
    import_(partner, "i1", "i2")
    assert list(check_rows(store)) == []
    with store.administer() as connection:
        table = table_of(ImportPart)
        other = connection.execute(select(table.c.blob).where(table.c.seq == 2)).scalar_one()
        connection.execute(update(table).where(table.c.seq == 1).values(blob=other))
    assert list(check_rows(store)) == ["event 1: its rows are not what its leaf commits to"]


def test_an_import_is_erased_whole(store, registrar, partner):
    id_ = import_(partner, "i1")
    with pytest.raises(ConflictError, match="erased whole"):
        registrar.erase(partner[0], id_, keep=True)
    registrar.erase(partner[0], id_)
    assert states(store, "i1") == []
    with store.read() as connection:
        batch = connection.execute(select(table_of(ImportBatch))).one()
    assert (batch.draft, batch.note) == ("{}", None)
    assert list(check_rows(store)) == []


# An older copy of the database.


@pytest.fixture
def older(store, tmp_path, publish, upstream, mirror, registrar, caller, lived) -> Iterator[Store]:
    """A database as it was at event 12; five more were signed since, and mirrored."""
    (tmp_path / "older").mkdir()
    publish()
    older = Store.open(engines.database_url(tmp_path / "older"))
    migrate(older)
    if store.engine.dialect.name == "sqlite":
        older.close()
        engines.copy_sqlite(store.engine, tmp_path / "older/registry.sqlite")
    else:
        Mirror(
            older, LogFolder(tmp_path / "older-log"), upstream, pin_upstream(older, upstream), mirror.now
        ).follow()
    for number in range(5):
        registrar.register(caller, draft(f"since{number}"))
    registrar.withdraw(caller, lived[0])
    publish()
    mirror.follow()
    yield older
    older.close()


def test_what_is_missing_is_named(older, upstream):
    lost = find_missing(older, upstream.folder)
    assert lost is not None
    assert (lost.after, lost.upto) == (12, 18)
    assert [leaf.op for leaf in lost.leaves] == ["register"] * 5 + ["withdraw"]
    with pytest.raises(
        LogError, match=r"older copy. Missing are 6 acknowledged events after 12: 13 \(register "
    ):
        require_newest(older, upstream.folder)


def test_a_mirror_gives_them_back(older, store, upstream, mirror, copy):
    held = Peer(copy, mirror.folder)
    assert replay(older, upstream.folder, held) == 18
    require_newest(older, upstream.folder)
    assert rows_of(older)["event"] == rows_of(store)["event"]
    assert rows_of(older) == rows_of(store)
    assert list(check_rows(older)) == []
    assert replay(older, upstream.folder, held) == 18


def test_a_mirror_that_has_not_all_gives_what_it_has(
    older, upstream, mirror, copy, store, registrar, caller, publish
):
    registrar.register(caller, draft("newest"))
    publish()
    assert replay(older, upstream.folder, Peer(copy, mirror.folder)) == 18
    with pytest.raises(LogError, match="Missing are 1 acknowledged events after 18"):
        require_newest(older, upstream.folder)


def test_a_mirror_that_lies_gives_nothing(older, upstream, mirror, copy):
    held = Peer(copy, mirror.folder)
    held.change = lambda page: [
        event["payload"]["version"].update(label="Eve") for event in page["events"] if event["seq"] == 14
    ]
    before = rows_of(older)
    with pytest.raises(LogError):
        replay(older, upstream.folder, held)
    assert older.head() == 12
    held.change = lambda _: None
    assert replay(older, upstream.folder, held) == 18
    assert rows_of(older) != before


def test_a_mirror_of_another_log_gives_nothing(older, upstream, mirror, copy, tmp_path):
    folder = LogFolder(tmp_path / "foreign")
    other = Signer.new("log.example")
    Publisher(copy, folder, other).publish()
    with pytest.raises(LogError, match="no mirror of this log"):
        replay(older, upstream.folder, Peer(copy, folder))


def test_another_history_of_the_same_length_is_refused(older, upstream):
    registrar = Registrar(older, lambda: datetime.now(UTC))
    for _ in range(6):
        registrar.announce_key("key", Signer.new("x").verifier.text)
    with pytest.raises(LogError, match="event 18 is another one than was signed"):
        require_newest(older, upstream.folder)


def test_a_log_that_cannot_go_on_is_kept_aside(older, upstream):
    aside = set_aside(upstream.folder)
    assert aside.name == "log.abandoned-18"
    assert (aside / "checkpoint").exists()
    assert not upstream.folder.path.exists()
    assert find_missing(older, upstream.folder) is None
