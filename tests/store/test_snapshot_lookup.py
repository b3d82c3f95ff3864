"""A snapshot answers as the service does, as of its event, whatever was written since."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy import delete, update

from registry.client.http import Asked, Known
from registry.client.snapshot import Snapshot
from registry.errors import LogError, ProofError, SnapshotError, StaleSnapshotError
from registry.fingerprint import Fingerprint
from registry.log_folder import LogFolder
from registry.lookup import Lookup, Question
from registry.merkle import leaf_hash
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.preference import Preference, Statement, Status, Use, decide, effective
from registry.publisher import Publisher
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.snapshot_builder import FULL, SnapshotBuilder, spans_upto
from registry.snapshot_folder import SnapshotFolder, Span
from registry.store import Store, events
from registry.store.sql import table_of
from registry.tables import Event
from registry.tiles import Tile
from registry.urls import RuleKind, canonicalize_url, url_rule

NOW = 1_795_000_000
USES = (Use.TRAIN, Use.GENAI_TRAIN)
URLS = [f"https://{host}/{path}" for host in ("a.example", "img.a.example", "b.example:8443")
        for path in ("", "x/", "x/1.jpg", "x/y/2.jpg", "3.jpg?size=2")]  # fmt: skip
RULES = {
    RuleKind.EXACT: URLS,
    RuleKind.PREFIX: [url for url in URLS if url.endswith("/")],
    RuleKind.HOST: ["a.example", "img.a.example", "b.example:8443"],
    RuleKind.DOMAIN: ["a.example", "b.example"],
}


@pytest.fixture
def log(tmp_path: Path) -> LogFolder:
    folder = LogFolder(tmp_path / "log")
    folder.write_signer(Signer.new("log.example"))
    return folder


@pytest.fixture
def snapshots(store: Store, log: LogFolder, tmp_path: Path) -> SnapshotBuilder:
    return SnapshotBuilder(store, log, SnapshotFolder(tmp_path / "snapshots"))


@pytest.fixture
def build(store: Store, log: LogFolder, snapshots: SnapshotBuilder) -> Callable[..., Path]:
    """Publish the log, build a snapshot, and say where it lies."""

    def build(keep: int = 9, now: int = NOW) -> Path:
        signer = log.signer()
        assert signer is not None
        Publisher(store, log, signer).publish()
        return snapshots.folder.path / str(snapshots.build(now, keep).manifest.seq)

    return build


@pytest.fixture
def opened(log: LogFolder) -> Callable[..., Snapshot]:
    def opened(folder: Path, age: float = 0, **options: Any) -> Snapshot:
        signer = log.signer()
        assert signer is not None
        return Snapshot.open(folder, log_key=signer.verifier.text, now=lambda: NOW + age, **options)

    return opened


class World:
    """Random works, questions and histories over a small vocabulary, so that they meet."""

    def __init__(self, seed: int, picture_hash: Callable[..., bytes]) -> None:
        self.random, self.picture_hash = random.Random(seed), picture_hash

    def print_(self, names: Iterable[str]) -> Fingerprint:
        pick = self.random
        flips = {name: pick.choice([0, 0, 5, 31, 32, 40, 47, 48]) for name in names if pick.random() < 0.7}
        pdq = {name: self.picture_hash(pick.randrange(8), flip) for name, flip in flips.items()}
        phash = pick.choice([None, *(self.picture_hash(seed)[:8] for seed in range(4))])
        sha256 = pick.choice([None, *(self.picture_hash(seed) for seed in range(8))])
        return Fingerprint(1, pick.choice([100, 100, 100, 20]), phash, pdq, sha256)

    def work(self) -> WorkDraft:
        pick, print_ = self.random, self.print_(("full", "trim", "start"))
        url = canonicalize_url(pick.choice(URLS))
        return pick.choice(
            [
                WorkDraft("A", url),
                WorkDraft("B", None, self.picture_hash(pick.randrange(8))),
                WorkDraft("C", url, print_.sha256, print_),
                WorkDraft("D", None, print_.sha256 or bytes(32), print_),
            ]
        )

    def draft(self) -> Draft:
        pick = self.random
        words = [one for one in Preference if one is not Preference.UNKNOWN]
        says = {use: pick.choice(words) for use in pick.sample(USES, pick.choice([1, 2]))}
        rules = [
            url_rule(kind, pick.choice(RULES[kind]))
            for kind in pick.sample(list(RuleKind), pick.randrange(3))
        ]
        works = [self.work() for _ in range(pick.randrange(0 if rules else 1, 4))]
        return Draft(
            says, works, rules, f"Label {pick.randrange(9)}", "https://terms.example/", "me@a.example"
        )

    def asked(self) -> Asked:
        pick = self.random
        if pick.random() < 0.03:
            return Asked("not a url")
        url = pick.choice([None, *URLS, "http://www.A.example/x/1.jpg?utm_source=b", "https://c.example/"])
        if url is not None and pick.random() < 0.5:
            return Asked(url)
        return Asked(url, self.print_(("full", "mirror", "trim", "trim_mirror")))

    def act(self, registrar: Registrar, callers: list[Any], own: dict[str, Any]) -> None:
        pick = self.random
        verb = pick.choice(["register", "register", "register", "works", "change", "withdraw"])
        if verb == "register" or not own:
            caller = pick.choice(callers)
            own[registrar.register(caller, self.draft()).id] = caller
            return
        id_ = pick.choice(sorted(own))
        if verb == "works":
            registrar.add_works(own[id_], id_, [self.work()])
        elif verb == "change":
            registrar.change(own[id_], id_, Change(self.draft().preferences, f"Label {pick.randrange(9)}"))
        else:
            registrar.withdraw(own.pop(id_), id_)


@pytest.fixture
def callers(make_key: Callable[..., Any]) -> list[Any]:
    return [make_key(("register", "domain:*"), level).caller for level in (0, 1, 3)]


def plain(statements: Iterable[Statement]) -> Iterator[Statement]:
    """What a snapshot tells of statements: one a record and kind of match, less what names a person."""
    seen = set()
    for one in statements:
        if (one.record, one.match.kind) not in seen:
            seen.add((one.record, one.match.kind))
            yield replace(one, principal="", title="", contact="")


def wire(statement: Statement) -> str:
    """All of it but which of equally near windows was found first."""
    return json.dumps(replace(statement, match=replace(statement.match, window=None, form=None)).to_wire())


def answers(lookup: Lookup, asked: list[Asked], seq: int, review: bool) -> list[list[Statement]]:
    prints = [one.fingerprint for one in asked]
    urls = [None if one.url is None else canonicalize_url(one.url) for one in asked]
    questions = [
        Question(url, print_ and print_.sha256, print_) for url, print_ in zip(urls, prints, strict=True)
    ]
    return lookup.ask(questions, seq, review=review).statements


def assert_same(known: Known, said: list[Statement], use: Use) -> None:
    told = list(plain(effective(said, use)))
    assert known.status is Status.OK
    assert {wire(one) for one in known.statements} <= {wire(one) for one in told}
    assert len(known.statements) == min(len(told), 8)
    ours, theirs = decide(known.statements, use), decide(told, use)
    assert (ours.preference, ours.action, ours.state) == (theirs.preference, theirs.action, theirs.state)


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_answers_as_the_service_did_at_its_event(
    seed: int,
    store: Store,
    registrar: Registrar,
    callers: list[Any],
    build: Callable[..., Path],
    opened: Callable[..., Snapshot],
    picture_hash: Callable[..., bytes],
) -> None:
    world, own = World(seed, picture_hash), {}
    folders = []
    for _ in range(3):
        for _ in range(20):
            world.act(registrar, callers, own)
        folders.append(build())
    world.act(registrar, callers, own)
    lookup = Lookup(store)
    found = 0
    for folder in folders:
        with opened(folder) as snapshot:
            assert snapshot.as_of_seq == int(folder.name) < store.head()
            asked = [world.asked() for _ in range(200)]
            for use in USES:
                for review in (True, False):
                    known = snapshot.lookup(asked, use, review=review)
                    good = [(a, k) for a, k in zip(asked, known, strict=True) if a.url != "not a url"]
                    good = [(a, k) for a, k in good if k.status is not Status.NOT_CHECKED]
                    said = answers(lookup, [a for a, _ in good], snapshot.as_of_seq, review)
                    for (_, one), statements in zip(good, said, strict=True):
                        assert_same(one, statements, use)
                        found += bool(one.statements)
                    bad = [k for a, k in zip(asked, known, strict=True) if a.url == "not a url"]
                    assert {one.status for one in bad} <= {Status.MALFORMED}
    assert found > 300


URL, OTHER = canonicalize_url("https://a.example/x/1.jpg"), canonicalize_url("https://free.example/1.jpg")
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}


class TestTiers:
    """With less than all tiers a snapshot says less, and never “unknown” of what it could not compare."""

    @pytest.fixture
    def folder(
        self, registrar: Registrar, callers: list[Any], build: Callable[..., Path], picture_hash: Any
    ) -> Path:
        print_ = Fingerprint(1, 100, None, {"full": picture_hash(1)}, picture_hash(9))
        registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", URL, picture_hash(9), print_)]))
        return build()

    @pytest.mark.parametrize(
        ("gone", "url", "file", "copy", "stranger"),
        [
            ([], "remove", "remove", "remove", "keep"),
            (["filter", "parquet"], "remove", "remove", "remove", "keep"),
            (["pictures"], "remove", "remove", Status.NOT_CHECKED, Status.NOT_CHECKED),
            (
                ["keys", "records", "pictures"],
                "review",
                Status.NOT_CHECKED,
                Status.NOT_CHECKED,
                Status.NOT_CHECKED,
            ),
        ],
        ids=["all", "enough", "keys", "filter"],
    )
    def test_what_is_not_compared_is_not_unknown(
        self,
        folder: Path,
        opened: Any,
        picture_hash: Any,
        gone: Any,
        url: str,
        file: Any,
        copy: Any,
        stranger: Any,
    ) -> None:
        for tier in gone:
            shutil.rmtree(folder / tier)
        asked = [
            Asked(URL),
            Asked(None, Fingerprint(1, 100, None, {"full": picture_hash(5)}, picture_hash(9))),
            Asked(None, Fingerprint(1, 100, None, {"full": picture_hash(1, 3)}, picture_hash(8))),
            Asked(OTHER, Fingerprint(1, 100, None, {"full": picture_hash(5)}, picture_hash(8))),
            Asked(OTHER),
            Asked(None, Fingerprint(1, 10, None, {}, picture_hash(7))),
        ]
        known = opened(folder).lookup(asked, Use.GENAI_TRAIN)
        told = [
            k.status if k.status is not Status.OK else decide(k.statements, Use.GENAI_TRAIN).action
            for k in known
        ]
        assert told == [url, file, copy, stranger, "keep", "keep"]
        assert {one.as_of_seq for one in known} == {1}

    def test_a_tier_is_whole_or_not_here(self, folder: Path, opened: Any) -> None:
        for name in ("records", "keys/files", "pictures/pdq"):
            [place] = folder.glob(f"{name}*") if "/" not in name else folder.glob(f"{name}-*")
            hidden = place.with_name("hidden")
            place.rename(hidden)
            with pytest.raises(SnapshotError, match="missing"):
                opened(folder)
            hidden.rename(place)
        assert opened(folder).tiers == ("filter", "keys", "pictures", "parquet")
        for tier in ("filter", "keys", "records", "pictures"):
            shutil.rmtree(folder / tier)
        with pytest.raises(SnapshotError, match="neither keys nor filter"):
            opened(folder)

    @pytest.mark.parametrize(
        ("age", "max_age", "refused"),
        [
            (0, 7, ""),
            (6.9, 7, ""),
            (7.1, 7, "7.1 days ago"),
            (1, 0.5, "1.0 days ago"),
            (-1, 7, "by the clock"),
        ],
    )
    def test_one_that_is_too_old_answers_nothing(
        self, folder: Path, opened: Any, age: float, max_age: float, refused: str
    ) -> None:
        if not refused:
            assert opened(folder, age * 86_400, max_age=max_age).as_of_seq == 1
            return
        with pytest.raises(StaleSnapshotError, match=refused):
            opened(folder, age * 86_400, max_age=max_age)


class TestBuilding:
    def test_what_was_withdrawn_or_erased_is_in_no_file(
        self, registrar: Registrar, callers: list[Any], build: Callable[..., Path], opened: Any
    ) -> None:
        secret = hashlib.sha256(b"x").digest()
        drafts = [
            Draft(RESERVED, [WorkDraft("", URL, secret)], [url_rule("host", "a.example")], "Ada Secret")
        ]
        first, second = (registrar.register(callers[0], draft).id for draft in drafts * 2)
        before = build()
        assert any(b"Ada Secret" in path.read_bytes() for path in before.rglob("records-*"))
        registrar.withdraw(callers[0], first)
        registrar.erase(callers[0], second)
        after = build()
        for path in after.rglob("*.*"):
            if "filter" not in path.name and path.suffix != ".parquet":
                data = path.read_bytes()
                assert b"Ada Secret" not in data
                assert secret[:8][::-1] not in data
        assert pyarrow.parquet.read_table(next(after.glob("parquet/works-*"))).num_rows == 0
        assert opened(after).lookup([Asked(URL)], Use.GENAI_TRAIN)[0].statements == ()
        # The older one says, rightly, what held at its event.
        assert opened(before).as_of_seq == 2 < opened(after).as_of_seq
        assert len(opened(before).lookup([Asked(URL)], Use.GENAI_TRAIN)[0].statements) == 4

    def test_nothing_is_built_from_another_database_than_was_published(
        self,
        store: Store,
        snapshots: SnapshotBuilder,
        registrar: Registrar,
        callers: list[Any],
        build: Callable[..., Path],
    ) -> None:
        with pytest.raises(LogError, match="nothing has been published"):
            snapshots.build(NOW, 9)
        for _ in range(3):
            registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", URL)]))
        build()
        event = table_of(Event)
        with store.administer() as connection:
            connection.execute(update(event).where(event.c.seq == 3).values(leaf=b"another"))
        with pytest.raises(LogError, match="event 3 of the database is not the one that was published"):
            snapshots.build(NOW, 9)
        with store.administer() as connection:
            connection.execute(delete(event).where(event.c.seq == 3))
        with pytest.raises(LogError, match="the database has no event 3"):
            snapshots.build(NOW, 9)

    def test_an_empty_registry_has_a_snapshot_of_nothing(
        self, build: Callable[..., Path], opened: Any, picture_hash: Any
    ) -> None:
        snapshot = opened(build())
        assert snapshot.as_of_seq == 0
        print_ = Fingerprint(1, 100, None, {"full": picture_hash(1)}, picture_hash(2))
        [known] = snapshot.lookup([Asked(URL, print_)], Use.GENAI_TRAIN)
        assert (known.status, known.statements) == (Status.OK, ())

    def test_while_the_log_changes_its_key_both_are_taken(
        self,
        log: LogFolder,
        registrar: Registrar,
        callers: list[Any],
        store: Store,
        snapshots: SnapshotBuilder,
    ) -> None:
        registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", URL)]))
        [old] = log.signers()
        new = Signer.new("log.example")
        log.write_signers([new, old])
        state = Checkpoint("log.example", 1, leaf_hash(leaf_of(store, 1)))
        build_tiles(store, log)
        log.write_checkpoint(sign_note(format_checkpoint(state), [new, old]))
        folder = snapshots.folder.path / str(snapshots.build(NOW, 9).manifest.seq)
        for key in (old, new):
            snapshot = Snapshot.open(folder, log_key=key.verifier.text, now=lambda: NOW)
            assert snapshot.manifest.log_key == new.verifier.text
        with pytest.raises(ProofError):
            Snapshot.open(folder, log_key=Signer.new("log.example").verifier.text, now=lambda: NOW)

    def test_what_did_not_change_has_the_same_name(
        self, registrar: Registrar, callers: list[Any], build: Callable[..., Path], opened: Any
    ) -> None:
        ids = [registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", URL)])).id for _ in range(20)]
        first = opened(build()).manifest
        registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", OTHER)]))
        second = opened(build()).manifest
        changed = {(entry.tier, entry.upto) for entry in set(second.files) - set(first.files)}
        assert changed == {*((tier, 21) for tier in ("keys", "records", "pictures", "parquet", "filter"))}
        registrar.change(callers[0], ids[0], Change({Use.GENAI_TRAIN: Preference.CONDITIONAL}))
        third = opened(build()).manifest
        old = {entry for entry in second.files if entry.upto == 20} & set(third.files)
        assert {entry.kind for entry in old} == {"rules", "files", "pdq", "phash"}, "what it says has changed"


@pytest.mark.parametrize(
    ("seq", "before", "wanted"),
    [
        (0, [], []),
        (10, [], [(0, 10)]),
        (10, [(0, 10)], [(0, 10)]),
        (11, [(0, 10)], [(0, 10), (10, 11)]),
        (12, [(0, 10), (10, 11)], [(0, 10), (10, 12)]),
        (16, [(0, 10), (10, 15)], [(0, 10), (10, 15), (15, 16)]),
        (30, [(0, 10), (10, 15)], [(0, 30)]),
        (10, [(0, 4), (5, 10)], [(0, 10)]),
        (10, [(1, 10)], [(0, 10)]),
    ],
)
def test_spans_shrink_towards_the_newest(
    seq: int, before: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    spans = spans_upto(seq, before, lambda after, upto: upto - after)
    assert [(span.after, span.upto) for span in spans] == wanted


@pytest.mark.parametrize("each", [1, 7, 400_000])
def test_spans_have_no_gap_and_are_full_at_most(each: int) -> None:
    """Of days with some thousand events, each with so many rows."""
    spans: list[Span] = []
    end, random_ = 0, random.Random(each)
    for _ in range(200):
        end += random_.randrange(3000)
        spans = spans_upto(end, [(s.after, s.upto) for s in spans], lambda after, upto: each * (upto - after))
        assert [span.after for span in spans] == [0, *(span.upto for span in spans)][:-1]
        assert spans[-1].upto == end
        assert all(span.rows <= FULL or span.upto - span.after == 1 for span in spans)
        if each < 10:
            assert len(spans) <= end * (each + 1) / FULL * 2 + 16


def test_the_tables_are_joined_by_a_database(
    registrar: Registrar,
    callers: list[Any],
    build: Callable[..., Path],
    tmp_path: Path,
    picture_hash: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = [f"https://site{number}.example/{number}.jpg" for number in range(50)]
    for number in range(0, 50, 2):
        work = WorkDraft("", canonicalize_url(urls[number]), picture_hash(number))
        preference = Preference.RESERVED if number % 4 == 0 else Preference.CONDITIONAL
        registrar.register(callers[0], Draft({Use.TRAIN: preference}, [work]))
        if number == 20:
            build()
    registrar.register(
        callers[0], Draft({Use.TRAIN: Preference.RESERVED}, [], [url_rule("host", "site7.example")])
    )
    tables = build() / "parquet"
    pyarrow.parquet.write_table(pyarrow.table({"url": urls}), tmp_path / "set.parquet")
    monkeypatch.chdir(tables)
    kept = duckdb.sql(
        "SELECT url FROM '../../../set.parquet' ANTI JOIN "
        "(SELECT url FROM 'works-*.parquet' WHERE train = 'reserved') USING (url) ORDER BY url"
    ).fetchall()
    assert [url for (url,) in kept] == sorted(url for number, url in enumerate(urls) if number % 4)
    rules = duckdb.sql("SELECT kind, value, surt, train FROM 'rules-*.parquet'").fetchall()
    assert rules == [("host", "site7.example", "example,site7,)", "reserved")]
    [(digest,)] = duckdb.sql(
        "SELECT sha256 FROM 'works-*.parquet' WHERE url = 'https://site4.example/4.jpg'"
    ).fetchall()
    assert digest == picture_hash(4).hex()
    for path in tables.glob("works-*"):
        found = pyarrow.parquet.read_table(path)["url"].to_pylist()
        assert found == sorted(found)
        assert found


def leaf_of(store: Store, seq: int) -> bytes:
    with store.read() as connection:
        return events.leaves_between(connection, seq - 1, seq)[0]


def build_tiles(store: Store, log: LogFolder) -> None:
    log.write_tiles([(Tile(0, 0, 1), leaf_hash(leaf_of(store, 1)))])
