"""A backup takes the database's place only when nobody is in it, and nothing that was there is lost."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.backup import back_up, require_unused, restore
from registry.errors import ConflictError
from registry.note import Signer
from registry.registrar import Registrar
from registry.store import Store


def announce(store: Store) -> None:
    Registrar(store, lambda: datetime.now(UTC)).announce_key("key", Signer.new("log.example").verifier.text)


@pytest.fixture
def other(store: Store):
    url = store.engine.url.render_as_string(hide_password=False)
    other = Store.open(url)
    yield other
    other.close()


def test_a_database_is_unused_once_the_others_have_left(store, other):
    announce(store)
    assert other.head() == 1
    with pytest.raises(ConflictError, match="others are connected"):
        require_unused(store, patience=0)
    other.close()
    require_unused(store, patience=5)
    assert store.head() == 1


def test_a_backup_waits_for_those_who_use_the_database(store, other, tmp_path):
    announce(store)
    back_up(store, tmp_path / "backup")
    announce(other)
    with pytest.raises(ConflictError, match="others are connected"):
        restore(store, tmp_path / "backup", patience=0)
    assert other.head() == 2
    other.close()
    restore(store, tmp_path / "backup", patience=5)
    assert store.head() == 1


def _folder(store: Store) -> Path:
    if store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps its own files")
    return Path(str(store.engine.url.database))


def test_what_was_there_is_kept_whole(store, tmp_path):
    path = _folder(store)
    back_up(store, tmp_path / "backup")
    announce(store)
    restore(store, tmp_path / "backup")
    assert store.head() == 0
    kept = Store.open(f"sqlite:///{path}.replaced")
    assert kept.head() == 1
    kept.close()


def test_a_file_that_is_no_database_any_more_is_replaced_too(store, tmp_path):
    path = _folder(store)
    announce(store)
    back_up(store, tmp_path / "backup")
    store.close()
    path.write_bytes(b"not a database" * 1000)
    path.with_name(f"{path.name}-wal").write_bytes(b"what was written last")
    restore(store, tmp_path / "backup")
    assert store.head() == 1
    assert path.with_name(f"{path.name}.replaced-wal").read_bytes() == b"what was written last"
