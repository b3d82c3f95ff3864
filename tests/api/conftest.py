"""What the tests of the service share: a log of its own, who signs it, and a clock that a test sets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.settings import Settings
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from registry.store import Store
from tests.api.receipts import Clock, timed


@pytest.fixture
def signer() -> Signer:
    return Signer.new("log.example")


@pytest.fixture
def publisher(store: Store, tmp_path: Path, signer: Signer) -> Publisher:
    folder = LogFolder(tmp_path / "log")
    folder.write_signer(signer)
    return Publisher(store, folder, signer)


@pytest.fixture
def timed_client(
    make_app: Callable[..., Any], publisher: Publisher, clock: Clock, database_url: str
) -> Iterator[FlaskClient]:
    """A client of a service that has the log, and the test's own ``clock``."""
    with timed(make_app, Settings(database=database_url, log=publisher.folder.path), clock) as client:
        yield client


@pytest.fixture
def checkpoint(timed_client: FlaskClient, publisher: Publisher, make_key: Callable[..., Any]) -> str:
    """The state of the log after two events."""
    draft = {"preferences": {"train": "reserved"}, "works": [{"url": "https://ada.test/1.jpg"}]}
    for _ in range(2):
        lodged = timed_client.post(
            "/api/v1/reservations", json=draft, headers=make_key(("register",)).headers
        )
        assert lodged.status_code == 201
    publisher.publish()
    return publisher.folder.checkpoint()
