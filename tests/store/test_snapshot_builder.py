"""Building a snapshot: exact at its event, of the right database, in files that seldom change; its tables."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy import delete, update

from registry.client.http import Asked
from registry.client.snapshot import Snapshot
from registry.errors import LogError, ProofError
from registry.fingerprint import Fingerprint
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.preference import Preference, Status, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.snapshot_builder import FULL, SnapshotBuilder, spans_upto
from registry.snapshot_folder import Span
from registry.store import Store, events
from registry.store.sql import table_of
from registry.tables import Event
from registry.tiles import Tile
from registry.urls import canonicalize_url, url_rule

NOW = 1_795_000_000
URL, OTHER = canonicalize_url("https://a.example/x/1.jpg"), canonicalize_url("https://free.example/1.jpg")
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}


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
    for _ in range(200 if each < 10 else 20):
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
