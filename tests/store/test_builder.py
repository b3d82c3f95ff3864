"""What is built holds what the database holds, whatever was there before and whatever fails on the way."""

import contextlib
import logging
import math
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from registry.builder import LEAST, Builder
from registry.errors import CaveatError, SegmentError, StaleIndexError, StorageError, StorageFullError
from registry.fingerprint import REGISTERED_WINDOWS, Fingerprint, hash_words, unpack_windows
from registry.index import place_of
from registry.index_folder import IndexFolder, Part
from registry.keys import key_bytes
from registry.migrations import migrate
from registry.preference import Preference, Use
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.store import Store, principals
from registry.store.engine import database_url as embedded
from registry.store.sql import table_of
from registry.tables import Event, Head, ReservationVersion, UrlRuleRow, Work
from registry.urls import canonicalize_url, url_rule

LIST = "current.json"
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
_HALF_SET = [byte for byte in range(256) if byte.bit_count() == 4]


@pytest.fixture
def lodge(registrar: Registrar, caller: Any) -> Callable[..., Any]:
    """Register ``count`` works and rules of every kind, as one event."""
    return lambda count, seed=0: registrar.register(caller, draft_of(count, seed))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much is built: whether it would outlast a loss of power is not what is shown."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def draft_of(count: int, seed: int = 0) -> Draft:
    made = random.Random(f"{seed}/{count}")
    works, rules = [], []
    for number in range(count):
        kind = made.choice(["url", "file", "picture", "rule", "all"])
        url = canonicalize_url(f"https://h{made.randrange(5)}.test/{made.randrange(10)}/{number}.jpg")
        windows = {
            name: bytes(made.choices(_HALF_SET, k=32))
            for name in made.sample(REGISTERED_WINDOWS, made.randint(1, 3))
        }
        picture = Fingerprint(1, 100, made.choice([None, made.randbytes(8)]), windows)
        if kind == "rule":
            rules.append(url_rule("prefix", f"https://h.test/{seed}/{number}/"))
            continue
        works.append(
            WorkDraft(
                url=url if kind in ("url", "all") else None,
                sha256=made.randbytes(32) if kind in ("file", "all") else None,
                fingerprint=picture if kind in ("picture", "all") else None,
            )
        )
    return Draft(RESERVED, works, rules)


def in_database(store: Store) -> list[tuple[Any, ...]]:
    """Every key and hash of every row, read from end to end."""
    found: list[tuple[Any, ...]] = []
    with store.read() as connection:
        for row in connection.execute(select(table_of(Work))):
            place = place_of(row.from_seq, row.ordinal, is_rule=False)
            if row.url_key is not None:
                found.append(("rule", bytes(row.url_key), place))
            if row.sha256 is not None:
                found.append(("file", bytes(row.sha256)[:16], place))
            if row.packed is not None:
                fingerprint, radii = unpack_windows(bytes(row.packed))
                for name, value in fingerprint.pdq.items():
                    found.append(("pdq", value, radii[name], REGISTERED_WINDOWS.index(name), place))
                if fingerprint.phash is not None:
                    found.append(("phash", fingerprint.phash, place))
        for row in connection.execute(select(table_of(UrlRuleRow))):
            found.append(("rule", bytes(row.key), place_of(row.from_seq, row.ordinal, is_rule=True)))
    return sorted(found)


def in_segments(folder: IndexFolder) -> list[tuple[Any, ...]]:
    """Every key and hash of every listed segment, which must be sound and as large as it says."""
    found: list[tuple[Any, ...]] = []
    for part in folder.parts():
        entries = folder.open(part).entries()
        assert len(entries) == part.size
        for kind, keys, places in (
            ("rule", entries.rule_keys, entries.rule_places),
            ("file", entries.file_keys, entries.file_places),
        ):
            found += [(kind, *pair) for pair in zip(key_bytes(keys), places.tolist(), strict=True)]
        for words, *columns in zip(
            entries.pdq.astype(">u8"),
            entries.pdq_radii.tolist(),
            entries.pdq_windows.tolist(),
            entries.pdq_places.tolist(),
            strict=True,
        ):
            found.append(("pdq", words.tobytes(), *columns))
        for words, place in zip(entries.phash.astype(">u8"), entries.phash_places.tolist(), strict=True):
            found.append(("phash", words.tobytes(), place))
    return sorted(found)


def assert_complete(builder: Builder) -> None:
    """The segments hold every row up to the head, each once, and nothing else lies in the folder."""
    parts = builder.folder.parts()
    assert parts[-1].upto == builder.store.head()
    assert in_segments(builder.folder) == in_database(builder.store)
    assert names(builder.folder.path) == sorted([LIST, *(part.file for part in parts)])


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir()) if path.exists() else []


def state_of(folder: IndexFolder) -> dict[str, tuple[int, int, int]]:
    """What changes whenever a file is written."""
    return {
        one.name: (one.stat().st_ino, one.stat().st_mtime_ns, one.stat().st_size)
        for one in folder.path.iterdir()
    }


def test_the_words_of_a_hash_are_its_bytes() -> None:
    """On which the comparison with the database rests."""
    value = bytes(range(32))
    assert hash_words([value]).astype(">u8").tobytes() == value


class TestEnough:
    @pytest.mark.parametrize("least", [0, 1, LEAST])
    def test_where_nothing_is_registered_nothing_is_written(self, builder: Builder, least: int) -> None:
        assert builder.build(least) is None
        assert names(builder.folder.path) == []

    @pytest.mark.parametrize(
        ("registered", "least", "built"),
        [(1, 1, True), (1, 0, True), (1, 2, False), (5, 5, True), (4, 5, False), (9, 5, True)],
    )
    def test_built_is_when_enough_waits(
        self, builder: Builder, lodge: Any, registered: int, least: int, built: bool
    ) -> None:
        for seed in range(registered):
            lodge(1, seed)
        part = builder.build(least)
        assert (part is not None) == built
        if part is not None:
            assert (part.after, part.upto) == (0, registered)
            assert builder.folder.parts() == [part]
            assert_complete(builder)
        else:
            assert names(builder.folder.path) == []

    def test_it_is_works_and_rules_that_count_and_not_events_or_hashes(
        self, builder: Builder, lodge: Any
    ) -> None:
        lodge(30)
        assert len(in_database(builder.store)) > 31
        assert builder.build(31) is None
        assert builder.build(30) is not None

    def test_what_waits_counts_from_the_last_segment_on(self, builder: Builder, lodge: Any) -> None:
        lodge(40)
        assert builder.build(40) is not None
        lodge(39, 1)
        assert builder.build(40) is None
        lodge(1, 2)
        assert builder.build(40) is not None
        assert_complete(builder)

    def test_without_news_nothing_is_written(self, builder: Builder, lodge: Any) -> None:
        lodge(20)
        assert builder.build(1) is not None
        before = state_of(builder.folder)
        for least in (0, 1, LEAST):
            assert builder.build(least) is None
        assert state_of(builder.folder) == before

    def test_changes_and_withdrawals_bring_nothing_to_find(
        self, builder: Builder, lodge: Any, registrar: Registrar, caller: Any
    ) -> None:
        id_ = lodge(20).id
        assert builder.build(1) is not None
        before = state_of(builder.folder)
        registrar.change(caller, id_, Change(label="other"))
        registrar.withdraw(caller, id_)
        assert builder.build(1) is None
        assert state_of(builder.folder) == before
        lodge(1, 2)
        assert builder.build(1) is not None
        assert_complete(builder)

    def test_works_that_cannot_be_found_make_a_segment_of_nothing(
        self, builder: Builder, registrar: Registrar, caller: Any
    ) -> None:
        """As a picture too plain to be told apart by likeness, lodged by its fingerprint alone."""
        plain = WorkDraft(fingerprint=Fingerprint(1, 0, None, {}))
        registrar.register(caller, Draft(RESERVED, [plain] * 3))
        part = builder.build(3)
        assert part is not None
        assert part.size == 0
        assert_complete(builder)
        registrar.register(caller, draft_of(5))
        assert builder.build(1) is not None
        assert len(builder.folder.parts()) == 1
        assert_complete(builder)


class TestMerging:
    MERGES = (
        # sizes before, new one, sizes after
        ([], 8, [8]),
        ([8], 4, [8, 4]),
        ([8], 5, [13]),
        ([8], 8, [16]),
        ([8, 4], 2, [8, 4, 2]),
        ([8, 4], 3, [15]),
        ([20, 4], 3, [20, 7]),
        ([40, 8, 4], 3, [40, 15]),
        ([40, 8, 4, 2, 1], 1, [40, 16]),
        ([4], 400, [404]),
    )

    @pytest.mark.parametrize(("before", "new", "after"), MERGES, ids=lambda value: str(value))
    def test_a_segment_takes_in_those_that_are_not_twice_as_large(
        self,
        builder: Builder,
        registrar: Registrar,
        caller: Any,
        before: list[int],
        new: int,
        after: list[int],
    ) -> None:
        for number, size in enumerate([*before, new]):
            works = [WorkDraft(sha256=bytes([number, n % 256, n // 256]) * 8 + bytes(8)) for n in range(size)]
            registrar.register(caller, Draft(RESERVED, works))
            assert builder.build(1) is not None
            if number == len(before) - 1:
                assert [part.size for part in builder.folder.parts()] == before
        assert [part.size for part in builder.folder.parts()] == after
        assert_complete(builder)

    def test_after_200_builds_there_are_few_segments_and_they_hold_everything(
        self, builder: Builder, lodge: Any, no_waiting: None
    ) -> None:
        made = random.Random(5)
        written = total = most = 0
        for number in range(200):
            lodge(made.choice([1, 1, 1, 1, 2, 3, 9]), number)
            if made.random() < 0.2:
                lodge(1, number)
            part = builder.build(1)
            assert part is not None
            sizes = [part.size for part in builder.folder.parts()]
            assert all(later <= earlier / 2 for earlier, later in pairwise(sizes)), sizes
            total, written, most = sum(sizes), written + part.size, max(most, len(sizes))
            assert len(sizes) <= math.log2(total + 1) + 1
            assert part == builder.folder.parts()[-1]
        assert most > 2
        assert written < total * 2 * math.log2(total)
        assert_complete(builder)

    def test_the_same_rows_make_the_same_segment_however_they_came_together(
        self, builder: Builder, lodge: Any, tmp_path: Path
    ) -> None:
        """But for the order within the tables: each search finds the same."""
        made = random.Random(6)
        for number in range(12):
            lodge(made.randint(1, 6), number)
            if number % 3 == 2:
                builder.build(1)
        at_once = Builder(builder.store, IndexFolder(tmp_path / "at once"))
        assert at_once.build(1) is not None
        assert in_segments(at_once.folder) == in_segments(builder.folder)


def flipped(place: float, bit: int = 3) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[int(place * (len(data) - 1))] ^= 1 << bit
        return bytes(damaged)

    return change


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "one byte cut off": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "another format": lambda data: data[:8] + b"\2\0\0\0" + data[12:],
    "full of zeros": lambda data: bytes(len(data)),
    "a bit in the header": flipped(0.0005),
    "a bit in the arrays": flipped(0.5),
    "a bit at the end": flipped(1),
}


def damage(path: Path, change: Callable[[bytes], bytes | None]) -> None:
    data = change(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.fixture
def three(builder: Builder, lodge: Any) -> list[Part]:
    """Three segments, and one event that is in none."""
    for number, count in enumerate((40, 12, 3)):
        lodge(count, number)
        assert builder.build(1) is not None
    parts = builder.folder.parts()
    assert [(part.after, part.upto) for part in parts] == [(0, 1), (1, 2), (2, 3)]
    return parts


class TestDamage:
    @pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
    def test_a_damaged_segment_is_dropped_with_all_that_follow_and_built_anew(
        self,
        builder: Builder,
        three: list[Part],
        change: Callable[[bytes], bytes | None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        path = builder.folder.path
        sound = {name: (path / name).read_bytes() for name in names(path)}
        for which, damaged in enumerate(three):
            for name, data in sound.items():
                (path / name).write_bytes(data)
            before = state_of(builder.folder)
            caplog.clear()
            damage(path / damaged.file, change)
            part = Builder(builder.store, builder.folder).build(1)
            assert part is not None
            assert part.after <= damaged.after
            assert part.upto == 3
            after, parts = state_of(builder.folder), builder.folder.parts()
            assert all(after[kept.file] == before[kept.file] for kept in three[:which] if kept in parts)
            assert all(after.get(lost.file) != before[lost.file] for lost in three[which:])
            assert_complete(builder)
            (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert damaged.file in record.message

    def test_a_bit_turned_anywhere(self, builder: Builder, lodge: Any, no_waiting: None) -> None:
        lodge(30)
        part = builder.build(1)
        assert part is not None
        path, made = builder.folder.path / part.file, random.Random(8)
        sound = path.read_bytes()
        for _ in range(40):
            damage(path, flipped(made.random(), made.randrange(8)))
            again = Builder(builder.store, builder.folder).build(1)
            assert again is not None
            assert again == replace(part, file=again.file)
            assert again.file != path.name, "whoever has mapped the damaged one must see that this is another"
            path = builder.folder.path / again.file
            assert path.read_bytes() == sound
            assert_complete(builder)

    @pytest.mark.parametrize(
        "text", [b"", b"[]", b"{", b'{"format": 2, "parts": []}', b"[" * 100_000], ids=lambda t: repr(t[:8])
    )
    def test_a_damaged_list_is_built_anew(
        self, builder: Builder, three: list[Part], text: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        (builder.folder.path / LIST).write_bytes(text)
        part = builder.build(1)
        assert part is not None
        assert (part.after, part.upto) == (0, 3)
        assert_complete(builder)
        assert [record.levelname for record in caplog.records] == ["ERROR"]

    def test_a_list_that_is_gone_is_built_anew(self, builder: Builder, three: list[Part]) -> None:
        (builder.folder.path / LIST).unlink()
        assert builder.build(1) is not None
        assert_complete(builder)

    def test_what_was_checked_is_checked_again_when_it_is_asked_for(
        self, builder: Builder, three: list[Part], caplog: pytest.LogCaptureFixture
    ) -> None:
        """However little there is in it, and with all that follows it."""
        before = state_of(builder.folder)
        assert builder.build(again=True) is None
        assert state_of(builder.folder) == before
        with (builder.folder.path / three[1].file).open("r+b") as file:  # in place, as a bit turns
            file.seek(5000)
            file.write(b"\xff")
        assert builder.build() is None
        assert builder.folder.parts() == three
        part = builder.build(again=True)
        assert part is not None
        assert (part.after, part.upto) == (1, 3)
        assert builder.folder.parts()[0] == three[0]
        assert_complete(builder)
        assert builder.build(again=True) is None
        assert three[1].file in caplog.text

    def test_a_damaged_list_of_nothing_is_not_built_anew(self, builder: Builder) -> None:
        builder.folder.publish([])
        (builder.folder.path / LIST).write_bytes(b"{")
        assert builder.build(again=True) is None
        assert names(builder.folder.path) == [LIST]

    def test_until_enough_waits_a_damaged_segment_stays_listed_and_is_refused(
        self, builder: Builder, three: list[Part]
    ) -> None:
        """The list says what was there; that it is sound is found out by whoever opens it."""
        damage(builder.folder.path / three[2].file, flipped(0.5))
        assert builder.build(LEAST) is None
        assert builder.folder.parts() == three
        with pytest.raises(SegmentError):
            builder.folder.open(three[2])


class TestOtherDatabases:
    def test_the_segments_of_another_registry_are_dropped(
        self,
        builder: Builder,
        three: list[Part],
        tmp_path: Path,
        make_key: Callable[..., Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It has as many events, and they brought as much; only the marks differ."""
        other = Store.open(embedded(tmp_path))
        if other.engine.url == builder.store.engine.url:
            other.close()
            (tmp_path / "other").mkdir()
            other = Store.open(embedded(tmp_path / "other"))
        migrate(other)
        caller = Caller("somebody", frozenset({"register", "domain:*"}))
        registrar = Registrar(other, lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))
        with other.administer() as connection:
            principals.add_principal(connection, {"id": "somebody", "name": "", "created_at": 0})
        for number, count in enumerate((40, 12, 3)):
            registrar.register(caller, draft_of(count, number + 100))
        moved = Builder(other, builder.folder)
        part = moved.build(1)
        assert part is not None
        assert (part.after, part.upto) == (0, 3)
        assert_complete(moved)
        assert "another database" in caplog.text
        assert builder.build(1) is not None
        assert_complete(builder)
        other.close()

    @pytest.mark.parametrize("back_to", [1, 2], ids=["after the first", "after the second"])
    def test_segments_that_are_ahead_of_an_older_copy_are_dropped(
        self,
        builder: Builder,
        three: list[Part],
        lodge: Any,
        back_to: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        put_back(builder.store, back_to)
        # What it has is in sound segments: there is nothing to write, and the list is left as it is.
        assert builder.build(1) is None
        assert "another database" in caplog.text
        lodge(3, 50)
        assert builder.build(1) is not None
        assert builder.folder.parts()[0] == three[0]
        assert_complete(builder)

    def test_an_older_copy_that_went_another_way_since(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        """The same works, lodged again: the numbers are the same, and the events are not."""
        put_back(builder.store, 1)
        for number, count in ((1, 12), (2, 3), (3, 1)):
            lodge(count, number)
        assert builder.build(1) is not None
        assert builder.folder.parts()[0] == three[0]
        assert three[1] not in builder.folder.parts()
        assert_complete(builder)

    def test_an_empty_database_beside_full_segments(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        put_back(builder.store, 0)
        assert builder.build(1) is None
        lodge(1)
        assert builder.build(1) is not None
        assert_complete(builder)


def put_back(store: Store, seq: int) -> None:
    """Make the database what it was at event ``seq``."""
    with store.administer() as connection:
        event = table_of(Event)
        connection.execute(delete(event).where(event.c.seq > seq))
        for table in (table_of(Work), table_of(UrlRuleRow), table_of(ReservationVersion)):
            connection.execute(delete(table).where(table.c.from_seq > seq))
            connection.execute(update(table).where(table.c.to_seq > seq).values(to_seq=None))
        connection.execute(update(table_of(Head)).values(n=seq))


class Failing(IndexFolder):
    """A folder that fails once, at a named step."""

    def __init__(self, path: Path, step: str, error: BaseException) -> None:
        super().__init__(path)
        self.step, self.error = step, error

    def _fail(self, step: str) -> None:
        if step == self.step:
            self.step = ""
            raise self.error

    def write(self, *args: Any, **kwargs: Any) -> Part:
        self._fail("before writing")
        part = super().write(*args, **kwargs)
        self._fail("between writing and publishing")
        return part

    def publish(self, *args: Any, **kwargs: Any) -> None:
        super().publish(*args, **kwargs)
        self._fail("after publishing")


class TestInterrupted:
    @pytest.mark.parametrize(
        "error", [OSError(5, "the disk does not answer"), MemoryError(), KeyboardInterrupt()], ids=repr
    )
    @pytest.mark.parametrize("step", ["before writing", "between writing and publishing"])
    def test_the_old_list_stays_in_force_and_the_next_build_succeeds(
        self, builder: Builder, three: list[Part], lodge: Any, step: str, error: BaseException
    ) -> None:
        """Also when it would have taken segments in that are listed."""
        lodge(60, 9)
        failing = Builder(builder.store, Failing(builder.folder.path, step, error))
        held = in_segments(builder.folder)
        with pytest.raises(type(error)):
            failing.build(1)
        assert builder.folder.parts() == three
        assert in_segments(builder.folder) == held
        part = failing.build(1)
        assert part is not None
        assert (part.after, part.upto) == (0, 4)
        assert_complete(builder)

    def test_what_was_published_stands_though_its_builder_fell(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        lodge(60, 9)
        failing = Builder(builder.store, Failing(builder.folder.path, "after publishing", MemoryError()))
        with pytest.raises(MemoryError):
            failing.build(1)
        assert_complete(builder)
        assert builder.build(1) is None

    def test_an_orphan_from_an_interrupted_build_goes_with_the_next_one(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        """Its head has moved on meanwhile, so the name of the next segment is another one."""
        lodge(60, 9)
        step = "between writing and publishing"
        with pytest.raises(MemoryError):
            Builder(builder.store, Failing(builder.folder.path, step, MemoryError())).build(1)
        assert "events-0-4.caveat" in names(builder.folder.path)
        lodge(1, 10)
        assert builder.build(1) is not None
        assert_complete(builder)

    def test_a_second_builder_that_comes_between_does_no_lasting_harm(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        """As `caveat db build-index` beside a service. It deletes what is not listed yet."""
        lodge(60, 4)

        class Overtaken(IndexFolder):
            def write(self, *args: Any, **kwargs: Any) -> Part:
                part = super().write(*args, **kwargs)
                lodge(60, 5)
                with contextlib.suppress(CaveatError):
                    builder.build(1)
                return part

        with contextlib.suppress(CaveatError):
            Builder(builder.store, Overtaken(builder.folder.path)).build(1)
        builder.build(1)
        assert_complete(builder)

    def test_a_gap_in_the_events_builds_nothing(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        for number in range(4, 7):
            lodge(1, number)
        event = table_of(Event)
        with builder.store.administer() as connection:
            connection.execute(delete(event).where(event.c.seq == 5))
        before = state_of(builder.folder)
        for _ in range(2):
            with pytest.raises(StaleIndexError):
                builder.build(1)
        assert state_of(builder.folder) == before

    def test_a_database_that_does_not_answer_builds_nothing(
        self, builder: Builder, three: list[Part], lodge: Any
    ) -> None:
        lodge(1, 4)
        before = state_of(builder.folder)
        with builder.store.administer() as connection:
            connection.exec_driver_sql("ALTER TABLE work RENAME TO gone")
        with pytest.raises(StorageError):
            builder.build(1)
        assert state_of(builder.folder) == before


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """A disk with room for one small segment and the list."""
    return disk_of("size=200k")


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


class TestFullDisk:
    @pytest.fixture
    def builder(self, store: Store, small_disk: Path) -> Builder:
        return Builder(store, IndexFolder(small_disk / "index"))

    def test_without_room_for_the_segment_list_and_files_stay(self, builder: Builder, lodge: Any) -> None:
        lodge(20)
        assert builder.build(1) is not None
        parts, before = builder.folder.parts(), state_of(builder.folder)
        held = in_segments(builder.folder)
        lodge(60, 1)
        for _ in range(2):
            with pytest.raises(StorageFullError):
                builder.build(1)
            assert (builder.folder.parts(), state_of(builder.folder)) == (parts, before)
            assert in_segments(builder.folder) == held
        enlarge(builder.folder.path.parent)
        assert builder.build(1) is not None
        assert_complete(builder)

    def test_without_room_for_the_list_the_old_one_stays(self, builder: Builder, lodge: Any) -> None:
        lodge(20)
        assert builder.build(1) is not None
        parts, held = builder.folder.parts(), in_segments(builder.folder)
        enlarge(builder.folder.path.parent)
        lodge(60, 1)
        with pytest.raises(StorageFullError):
            Builder(builder.store, Filling(builder.folder.path)).build(1)
        assert builder.folder.parts() == parts
        assert in_segments(builder.folder) == held
        (builder.folder.path.parent / "filler").unlink()
        assert builder.build(1) is not None
        assert_complete(builder)

    def test_what_a_failed_build_left_does_not_stand_in_the_way_of_the_next_one(
        self, builder: Builder, lodge: Any
    ) -> None:
        """There is room for the new segment, but not beside one that was never listed."""
        lodge(20)
        step = "between writing and publishing"
        with pytest.raises(MemoryError):
            Builder(builder.store, Failing(builder.folder.path, step, MemoryError())).build(1)
        lodge(1, 1)
        assert builder.build(1) is not None
        assert_complete(builder)


class Filling(IndexFolder):
    """A folder on a disk that is full once the segment stands."""

    def write(self, *args: Any, **kwargs: Any) -> Part:
        part = super().write(*args, **kwargs)
        with (self.path.parent / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return part
        raise AssertionError("the disk has no end")
