"""What the tests of the store share: who writes, who builds, and where."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.builder import Builder
from registry.client.snapshot import Snapshot
from registry.index_folder import IndexFolder
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from registry.registrar import Registrar
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store

NOW = 1_795_000_000
"""When snapshots are built and opened."""


@pytest.fixture
def registrar(store: Store) -> Registrar:
    return Registrar(store, lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))


@pytest.fixture
def caller(make_key: Callable[..., Any]) -> Any:
    return make_key(("register", "domain:*")).caller


@pytest.fixture
def folder(tmp_path: Path) -> IndexFolder:
    return IndexFolder(tmp_path / "index")


@pytest.fixture
def builder(store: Store, folder: IndexFolder) -> Builder:
    return Builder(store, folder)


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


@pytest.fixture
def callers(make_key: Callable[..., Any]) -> list[Any]:
    return [make_key(("register", "domain:*"), level).caller for level in (0, 1, 3)]
