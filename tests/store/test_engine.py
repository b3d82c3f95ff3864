from pathlib import Path

import pytest
from sqlalchemy import text

from registry.errors import SettingsError, StorageError, StorageFullError
from registry.migrations import migrate
from registry.store import Store
from registry.store.engine import database_url as embedded
from registry.store.engine import is_multiprocess_safe, open_engine, sqlite_version

SQLITE = {
    "PRAGMA journal_mode": "wal",
    "PRAGMA synchronous": 2,
    "PRAGMA foreign_keys": 1,
    "PRAGMA busy_timeout": 30_000,
    "PRAGMA mmap_size": 0,
}
POSTGRES = {
    "SHOW synchronous_commit": "on",
    "SHOW transaction_isolation": "read committed",
    "SHOW statement_timeout": "1min",
}


def settings_in_force(store: Store, wanted: dict[str, object]) -> dict[str, object]:
    with store.read() as connection:
        return {asked: connection.execute(text(asked)).scalar() for asked in wanted}


def test_the_settings_are_in_force_on_every_connection(store: Store) -> None:
    wanted = SQLITE if store.engine.dialect.name == "sqlite" else POSTGRES
    with store.read(), store.read():
        assert settings_in_force(store, wanted) == wanted


def test_sqlite_is_the_one_that_several_processes_may_write_with(tmp_path: Path) -> None:
    assert sqlite_version() >= (3, 51, 3)
    assert is_multiprocess_safe(embedded(tmp_path))
    with Store.open(embedded(tmp_path)).read() as connection:
        version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
    assert tuple(map(int, version.split("."))) == sqlite_version()


def test_the_postgresql_driver_is_chosen_here() -> None:
    assert open_engine("postgresql://nobody@127.0.0.1/none").dialect.driver == "psycopg"


def test_other_databases_are_refused() -> None:
    with pytest.raises(SettingsError, match="mysql"):
        open_engine("mysql://nobody@127.0.0.1/none")


@pytest.mark.parametrize("url", ["sqlite:////nowhere/x.sqlite", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_database_out_of_reach_is_a_storage_error(url: str) -> None:
    with pytest.raises(StorageError):
        Store.open(url).head()


def test_a_database_without_tables_is_a_storage_error(database_url: str) -> None:
    store = Store.open(database_url)
    with pytest.raises(StorageError):
        store.head()
    store.close()


def test_a_full_disk_is_told_apart_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store.open(embedded(tmp_path))
    migrate(store)
    fill = text("INSERT INTO principal (id, name, created_at) VALUES ('p', :name, 0)")
    with pytest.raises(StorageFullError), store.write() as tx:  # noqa: PT012 - the write is the context
        tx.connection.execute(text("PRAGMA max_page_count = 1"))
        tx.connection.execute(fill, {"name": "x" * 1_000_000})
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM principal")).scalar_one() == 0
    assert store.head() == 0
    store.close()
