"""The log never forks or shrinks, whatever falls; other people's code reads it and agrees."""

import hashlib
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymerkle
import pytest
from sqlalchemy import delete, update
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from registry.errors import LogError, ProofError, StorageError
from registry.fsck import fsck
from registry.log_folder import LogFolder
from registry.merkle import inclusion_proof, leaf_hash, require_inclusion, root_of
from registry.note import Checkpoint, Signer, open_note, parse_checkpoint
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store, events
from registry.store.sql import table_of
from registry.tables import Event, Head
from registry.tiles import ENTRIES, Tile, TileReader

EVENT, HEAD = table_of(Event), table_of(Head)


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    return LogFolder(tmp_path / "log")


@pytest.fixture
def publisher(store: Store, folder: LogFolder) -> Publisher:
    signer = Signer.new("log.example/1")
    folder.write_signer(signer)
    return Publisher(store, folder, signer)


@pytest.fixture
def happen(store: Store) -> Callable[[int], None]:
    """Append events, some thousand at a time if need be."""

    def add(count: int) -> None:
        with store.write() as tx:
            for number in range(count):
                tx = tx if number == 0 else tx.following()
                events.append(tx, op="register", record="r", at=0, salt=b"", leaf=os.urandom(40))

    return add


def leaves_of(store: Store, size: int) -> list[bytes]:
    with store.read() as connection:
        return events.leaves_between(connection, 0, size)


def published(publisher: Publisher) -> Checkpoint:
    note = publisher.folder.checkpoint()
    assert note is not None
    return parse_checkpoint(open_note(note, [publisher.signer.verifier])[0])


def assert_right(publisher: Publisher, size: int) -> None:
    """The checkpoint is over all leaves, every tile is what they make it, and others see the same."""
    hashes = [leaf_hash(one) for one in leaves_of(publisher.store, size)]
    assert published(publisher) == Checkpoint("log.example/1", size, root_of(hashes))
    assert publisher.folder.signed() == published(publisher)
    assert list(fsck(publisher.store, publisher.folder, size)) == []


def test_what_happened_is_published(publisher: Publisher, store: Store, caller: Any) -> None:
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    for number in range(3):
        draft = Draft({Use.TRAIN: Preference.RESERVED}, [WorkDraft(sha256=bytes([number]) * 32)])
        registrar.register(caller, draft)
        done = publisher.publish()
        assert done is not None
        assert done.size == number + 1
        assert publisher.publish() is None
        assert_right(publisher, number + 1)


def test_nothing_happened_is_a_log_too(publisher: Publisher) -> None:
    assert publisher.publish() == Checkpoint("log.example/1", 0, hashlib.sha256(b"").digest())
    assert_right(publisher, 0)


@pytest.mark.parametrize("sizes", [[1], [255, 1, 1], [256, 256], [300, 700, 3]], ids=str)
def test_logs_of_any_size_grow(publisher: Publisher, happen: Callable[[int], None], sizes: list[int]) -> None:
    total = 0
    for count in sizes:
        happen(count)
        total += count
        publisher.publish()
        assert_right(publisher, total)


@pytest.mark.parametrize("at_once", [256, 512])
def test_much_is_written_in_parts(
    publisher: Publisher, happen: Callable[[int], None], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(100)
    publisher.publish()
    monkeypatch.setattr("registry.publisher._EVENTS_AT_ONCE", at_once)
    happen(1500)
    publisher.publish()
    assert_right(publisher, 1600)


class TestThirdParties:
    def test_a_reader_of_others_finds_every_leaf_and_proof(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None]
    ) -> None:
        happen(300)
        old = publisher.publish()
        happen(400)
        publisher.publish()
        reader = TilesReader(LocalBackend(publisher.folder.path))
        seen = reader.get_checkpoint()
        seen.verify(Vkey.from_string(publisher.signer.verifier.text))
        assert (seen.origin, seen.size) == ("log.example/1", 700)
        assert reader.calculate_root_hash() == seen.root_hash == published(publisher).root
        assert old is not None
        reader.get_consistency_proof(300, 700).check(old.root, seen.root_hash)
        for index, leaf in enumerate(leaves_of(store, 700)):
            assert reader.get_entry(index) == leaf
            reader.get_inclusion_proof(index, 700).check(leaf_hash(leaf), seen.root_hash)

    def test_a_tree_of_others_has_the_same_roots_and_proofs(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None]
    ) -> None:
        happen(333)
        publisher.publish()
        tree = pymerkle.InmemoryTree(algorithm="sha256")
        leaves = leaves_of(store, 333)
        for leaf in leaves:
            tree.append_entry(leaf)
        assert tree.get_root() == published(publisher).root
        reader = TileReader(333, publisher.folder.read_tile)
        for index in (0, 17, 255, 256, 332):
            proof = inclusion_proof(reader, index, 333)
            require_inclusion(leaf_hash(leaves[index]), index, 333, proof, tree.get_root())


class TestRefusing:
    def test_an_older_copy_of_the_database(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None]
    ) -> None:
        happen(10)
        publisher.publish()
        before = publisher.folder.checkpoint()
        with store.administer() as connection:
            connection.execute(update(HEAD).values(n=8))
            connection.execute(delete(EVENT).where(EVENT.c.seq > 8))
        with pytest.raises(LogError, match="signed with 10 events, and the database has 8"):
            publisher.publish()
        happen(5)
        with pytest.raises(LogError, match="first 10 events are not those"):
            publisher.publish()
        assert publisher.folder.checkpoint() == before

    @pytest.mark.parametrize("lost", ["key/signed", "checkpoint"])
    def test_an_older_copy_of_the_database_though_one_of_the_two_records_is_lost(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None], lost: str
    ) -> None:
        happen(10)
        publisher.publish()
        (publisher.folder.path / lost).unlink()
        with store.administer() as connection:
            connection.execute(update(HEAD).values(n=8))
            connection.execute(delete(EVENT).where(EVENT.c.seq > 8))
        with pytest.raises(LogError, match="signed with 10 events, and the database has 8"):
            publisher.publish()
        happen(5)
        with pytest.raises(LogError, match="first 10 events are not those"):
            publisher.publish()

    @pytest.mark.parametrize("lost", ["key/signed", "checkpoint"])
    def test_a_record_that_is_lost_is_written_again(
        self, publisher: Publisher, happen: Callable[[int], None], lost: str
    ) -> None:
        happen(300)
        publisher.publish()
        (publisher.folder.path / lost).unlink()
        publisher.publish()
        assert_right(publisher, 300)

    def test_a_record_that_cannot_be_read_is_not_taken_for_none(
        self, publisher: Publisher, happen: Callable[[int], None]
    ) -> None:
        happen(3)
        publisher.publish()
        (publisher.folder.path / "key" / "signed").write_bytes(b"\xff")
        with pytest.raises(StorageError, match="cannot be read"):
            publisher.publish()

    def test_an_event_that_was_changed_after_it_was_signed(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None]
    ) -> None:
        happen(10)
        publisher.publish()
        with store.administer() as connection:
            connection.execute(update(EVENT).where(EVENT.c.seq == 9).values(leaf=b"another"))
        assert "tile/0/000.p/10: is not what the events make it" in list(fsck(store, publisher.folder, 10))
        happen(1)
        with pytest.raises(LogError, match="not those that were signed"):
            publisher.publish()

    def test_an_event_that_is_missing(
        self, publisher: Publisher, store: Store, happen: Callable[[int], None]
    ) -> None:
        happen(10)
        with store.administer() as connection:
            connection.execute(delete(EVENT).where(EVENT.c.seq == 9))
        with pytest.raises(Exception, match="10 events were due after 0, and 9 are there"):
            publisher.publish()
        assert publisher.folder.checkpoint() is None

    def test_an_older_copy_of_the_folder_is_made_up_for_and_nothing_is_signed_twice(
        self, publisher: Publisher, happen: Callable[[int], None]
    ) -> None:
        happen(300)
        publisher.publish()
        old = publisher.folder.checkpoint()
        assert old is not None
        happen(300)
        publisher.publish()
        publisher.folder.write_checkpoint(old)
        publisher.publish()
        assert_right(publisher, 600)

    def test_a_checkpoint_by_another_key(self, publisher: Publisher, happen: Callable[[int], None]) -> None:
        happen(3)
        publisher.publish()
        other = Publisher(publisher.store, publisher.folder, Signer.new("log.example/1"))
        happen(1)
        with pytest.raises(ProofError, match="not signed by"):
            other.publish()


STEPS = ["write_tiles", "write_signed", "write_checkpoint"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_publisher_that_falls_anywhere_leaves_nothing_that_the_next_one_cannot_go_on_from(
    publisher: Publisher,
    happen: Callable[[int], None],
    step: str,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happen(300)
    publisher.publish()
    happen(300)
    real = getattr(LogFolder, step)

    def falling(self: LogFolder, *arguments: Any) -> None:
        if when == "after":
            real(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LogFolder, step, falling)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish()
    assert published(publisher).size in (300, 600)
    happen(7)
    publisher.publish()
    assert_right(publisher, 607)


def test_one_bit_turned_in_any_tile_is_found(
    publisher: Publisher, store: Store, happen: Callable[[int], None]
) -> None:
    happen(600)
    publisher.publish()
    tiles = [path for path in (publisher.folder.path / "tile").rglob("*") if path.is_file()]
    assert len(tiles) == 7
    for path in tiles:
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 4
        sound = path.read_bytes()
        path.write_bytes(data)
        (wrong,) = fsck(store, publisher.folder, 600)
        assert str(path.relative_to(publisher.folder.path)) in wrong
        path.unlink()
        (wrong,) = fsck(store, publisher.folder, 600)
        assert "cannot be read" in wrong
        path.write_bytes(sound)
    assert list(fsck(store, publisher.folder, 600)) == []


def test_the_key_is_for_its_owner_alone(folder: LogFolder) -> None:
    assert folder.signer() is None
    assert folder.signed() is None
    signer = Signer.new("log.example/1")
    folder.write_signer(signer)
    assert folder.signer() == signer
    assert stat.S_IMODE((folder.path / "key" / "private").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        LogFolder(tmp_path / "file" / "log").write_checkpoint("note")


def test_partial_tiles_go_when_the_tile_is_full_and_are_read_from_it(publisher, folder, happen):
    kept: dict[Tile, bytes] = {}
    for count in (1, 9, 245, 1, 1, 300):
        happen(count)
        publisher.publish()
        size = publisher.store.head()
        for tile in (Tile(0, 0, min(size, 256)), Tile(ENTRIES, 0, min(size, 256))):
            kept[tile] = folder.read_tile(tile)
    assert folder.widths(Tile(0, 0)) == folder.widths(Tile(ENTRIES, 0)) == []
    assert folder.widths(Tile(0, 2)) == [45]
    assert folder.widths(Tile(1, 0)) == [1, 2]
    assert {tile: folder.read_tile(tile) for tile in kept} == kept
    assert list(fsck(publisher.store, folder, 557)) == []
    with pytest.raises(ProofError):
        folder.read_tile(Tile(0, 2, 44))
