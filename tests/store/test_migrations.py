import subprocess
import sys
from contextlib import ExitStack

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select
from sqlmodel import SQLModel

from registry.migrations import migrate
from registry.store import Store
from registry.store.sql import table_of
from registry.tables import Head

MIGRATE = """
import sys
from registry.migrations import migrate
from registry.store import Store

print("ready", end="", flush=True)
sys.stdin.read()
migrate(Store.open(sys.argv[1]))
"""


def test_the_migrated_database_is_what_the_tables_say(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


def test_every_table_and_no_other_is_made(store: Store) -> None:
    assert set(inspect(store.engine).get_table_names()) == {*SQLModel.metadata.tables, "alembic_version"}


def test_migrating_again_changes_nothing(store: Store) -> None:
    with store.write():
        pass
    migrate(store)
    with store.read() as connection:
        assert connection.execute(select(table_of(Head))).all() == [(1, 1)]


def test_services_that_start_together_migrate_once(database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, database_url]
    with ExitStack() as stack:
        services = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for _ in range(3)
        ]
        assert [service.stdout and service.stdout.read(5) for service in services] == [b"ready"] * 3
        for service in services:
            assert service.stdin
            service.stdin.close()
        assert [service.wait(timeout=60) for service in services] == [0] * 3
    store = Store.open(database_url)
    assert store.head() == 0
    store.close()
