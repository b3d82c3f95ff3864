"""What the tests of the store share: who writes, who builds, and where."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.builder import Builder
from registry.index_folder import IndexFolder
from registry.registrar import Registrar
from registry.store import Store


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
