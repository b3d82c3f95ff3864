"""The badge of a receipt whose maker watches for what passed: grey while something of it is reserved."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.commands.watch import Watch
from api.settings import Settings
from registry.store import Store
from registry.tickets import format_run
from tests.api.receipts import ASKING, Clock, envelope_of, run_of
from tests.api.watching import HERE, PATH, Registry
from tests.runs import NOW

A, B = "https://ben.test/a.jpg", "https://ben.test/b.jpg"
GREEN, GREY = "#2e7d32", "#757575"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - 30)


@pytest.fixture
def registry(timed_client: FlaskClient, store: Store, make_key: Callable[..., Any]) -> Iterator[Registry]:
    made = Registry.of(timed_client, store, make_key)
    held = timed_client.application.extensions["caveat"]
    made.watch = Watch(store, Settings(held.settings.database, **HERE), held.lookup, lambda: NOW)
    yield made
    made.watch.close()


@pytest.fixture
def receipt(registry: Registry, checkpoint: str) -> str:
    """The identifier of a receipt that the maker published."""
    named = {"Caveat-Run": format_run(ASKING[0], 0)}
    ticket = registry.client.post("/api/v1/lookup", json={"items": []}, headers=named).headers[
        "Caveat-Ticket"
    ]
    body = {"receipt": envelope_of(run_of(checkpoint)), "tickets": [ticket], "publish": True}
    answer = registry.client.post("/api/v1/receipts", json=body, headers=registry.maker)
    assert answer.status_code == 200, answer.text
    return answer.get_json()["published"]["id"]


def badge(registry: Registry, receipt: str) -> tuple[str, str]:
    """Its colour and what it says; the receipt says the same."""
    svg = registry.client.get(f"/badge/{receipt}.svg").text
    colour = GREEN if GREEN in svg else GREY
    shown = registry.client.get(f"/api/v1/receipts/{receipt}").get_json()
    assert f"caveat: {shown['badge']}<" in svg
    assert shown["stale"] is (colour == GREY)
    return colour, shown["badge"]


def watched(registry: Registry, receipt: str) -> dict[str, Any] | None:
    return registry.client.get(f"/api/v1/receipts/{receipt}").get_json()["watched"]


def test_it_is_grey_while_something_that_passed_is_reserved(registry, receipt):
    assert watched(registry, receipt) is None
    registry.subscribe(A, B, receipt=receipt)
    assert watched(registry, receipt)["checked_seq"] is None
    registry.step()
    head = registry.store.head()
    assert badge(registry, receipt) == (GREEN, "filtered 2026-11-18 · state 2")
    assert watched(registry, receipt) == {"reserved_since": 0, "checked_seq": head, "behind_since": None}
    reservations = [registry.reserve(url) for url in (A, B)]
    assert watched(registry, receipt)["behind_since"] == NOW - 30
    registry.step()
    assert badge(registry, receipt) == (GREY, "filtered 2026-11-18 · state 2 · 2 reserved since")
    page = registry.client.get(f"/receipt/{receipt}", headers={"Accept": "text/html"}).text
    assert "It holds, and works were reserved since" in page
    assert "Samples that passed, and may not be used now: 2." in page
    for reservation in reservations:
        registry.withdraw(reservation)
    registry.step()
    assert badge(registry, receipt) == (GREEN, "filtered 2026-11-18 · state 2")


def test_what_another_subscription_finds_does_not_count(registry, receipt):
    registry.subscribe(A)
    registry.subscribe(B, receipt=receipt)
    registry.reserve(A)
    registry.step()
    assert badge(registry, receipt)[0] == GREEN
    assert watched(registry, receipt)["reserved_since"] == 0


def test_what_was_reserved_before_does_not_count(registry, receipt):
    registry.reserve(A)
    registry.subscribe(A, receipt=receipt)
    registry.step()
    assert badge(registry, receipt)[0] == GREEN


def test_only_who_published_it_binds_to_it(registry, receipt, make_key):
    body = {"items": [], "receipt": receipt}
    stranger = make_key(("lookup",)).headers
    assert registry.client.post(PATH, json=body, headers=stranger).status_code == 404
    for other in ("0" * 32, "\0", receipt + "0"):
        answer = registry.client.post(PATH, json={**body, "receipt": other}, headers=registry.maker)
        assert answer.status_code in (404, 422)
    assert registry.client.post(PATH, json=body, headers=registry.maker).status_code == 201
