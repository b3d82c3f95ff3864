"""What the tests of the service share: a log of its own, and who signs it."""

from pathlib import Path

import pytest

from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from registry.store import Store


@pytest.fixture
def signer() -> Signer:
    return Signer.new("log.example")


@pytest.fixture
def publisher(store: Store, tmp_path: Path, signer: Signer) -> Publisher:
    folder = LogFolder(tmp_path / "log")
    folder.write_signer(signer)
    return Publisher(store, folder, signer)
