"""Webhooks: signed, sent until they arrive, to nobody who may not be called, by one process."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from api.commands.watch import LEADER
from api.settings import Settings
from api.state import webhook_policy
from registry.delivering import GIVEN_UP_AFTER, Deliverer, pause_after
from registry.errors import RefusedAddressError
from registry.fetch import WEBHOOK, Fetcher, require_callable
from registry.store import Store, notices
from registry.store.leading import Leading
from tests.api.watching import HERE, PATH, Receiver, Registry, receiving

A, B, C = (f"https://ada.test/{name}.jpg" for name in "abc")
DAY = 86_400


@pytest.fixture
def client(make_app: Callable[..., Any]) -> FlaskClient:
    return make_app(**HERE).test_client()


@pytest.fixture
def registry(client: FlaskClient, store: Store, make_key: Callable[..., Any]) -> Iterator[Registry]:
    made = Registry.of(client, store, make_key)
    made.seconds = time.time()
    yield made
    if made.watch is not None:
        made.watch.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def hook(registry: Registry, id_: str) -> dict[str, Any]:
    return registry.show(id_)["webhook"]


def test_it_is_signed_and_tells_what_a_look_up_would(registry, receiver):
    made = registry.subscribe(A, B, webhook=receiver.url, label="mine")
    reservation = registry.reserve(A)
    registry.step()
    [(headers, body)] = receiver.seen
    assert headers["content-type"] == "application/json"
    told = Webhook(made["secret"]).verify(body.decode(), headers)
    assert (told["type"], told["data"]["subscription"], told["data"]["label"]) == (
        "item.reserved",
        made["id"],
        "mine",
    )
    item = {"id": "a.jpg", "url": A}
    asked = registry.client.post("/api/v1/lookup", json={"items": [item], "review": False}).get_json()
    assert told["data"]["results"] == asked["results"]
    assert told["data"]["as_of_seq"] == asked["as_of_seq"]
    registry.withdraw(reservation)
    registry.step()
    assert [one["type"] for one in receiver.bodies()] == ["item.reserved", "item.free"]
    assert hook(registry, made["id"]) == {
        "url": receiver.url,
        "state": "on",
        "pending": 0,
        "done": 2,
        "failed": 0,
        "fault": "",
    }


def test_many_are_told_by_the_hundred(registry, receiver):
    addresses = [f"https://ada.test/{number:03}.jpg" for number in range(201)]
    registry.subscribe(*addresses, webhook=receiver.url)
    registry.reserve(*addresses)
    for _ in range(3):
        registry.step()
    told = [[one["id"] for one in body["data"]["results"]] for body in receiver.bodies()]
    assert [len(one) for one in told] == [100, 100, 1]
    assert [one for some in told for one in some] == [f"{number:03}.jpg" for number in range(201)]


def test_what_did_not_arrive_is_sent_again_the_same(registry, receiver):
    receiver.answers[:] = [500, 503, 302, 200]
    made = registry.subscribe(A, webhook=receiver.url)
    registry.reserve(A)
    for _ in range(4):
        registry.step()
        registry.step()
        registry.seconds += 60
    assert len(receiver.seen) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
    assert len({body for _, body in receiver.seen}) == 1
    assert hook(registry, made["id"])["done"] == 1
    registry.step()
    assert len(receiver.seen) == 4


def test_it_is_sent_again_after_a_restart(registry, receiver):
    receiver.answers[:] = [500, 200]
    registry.subscribe(A, webhook=receiver.url)
    registry.reserve(A)
    registry.step()
    registry.begin_anew()
    registry.seconds += 60
    registry.step()
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
    assert len(receiver.seen) == 2


def test_after_three_days_it_is_given_up_and_said(registry, receiver):
    receiver.answers[:] = [500]
    made = registry.subscribe(A, webhook=receiver.url)
    registry.reserve(A)
    for _ in range(40):
        registry.step()
        registry.seconds += 6 * 3600
    shown = hook(registry, made["id"])
    assert (shown["state"], shown["pending"], shown["failed"]) == ("on", 0, 1)
    assert shown["fault"] == "it answered 500"
    assert 8 <= len(receiver.seen) <= 14
    assert registry.told(made["id"]) == [("a.jpg", "reserved")]


def test_410_ends_it_and_the_feed_goes_on(registry, receiver):
    receiver.answers[:] = [410]
    made = registry.subscribe(A, B, webhook=receiver.url)
    registry.reserve(A)
    registry.step()
    registry.reserve(B)
    registry.step()
    assert len(receiver.seen) == 1
    shown = hook(registry, made["id"])
    assert (shown["state"], shown["pending"], shown["failed"]) == ("gone", 0, 1)
    assert registry.told(made["id"]) == [("a.jpg", "reserved"), ("b.jpg", "reserved")]


def test_a_slow_one_holds_up_no_other_and_is_cut_off(registry, client, receiver, monkeypatch):
    with receiving() as quick:
        receiver.seconds = 30
        slow = registry.subscribe(A, webhook=receiver.url)["id"]
        other = registry.subscribe(A, webhook=quick.url)["id"]
        registry.reserve(A)
        policy = replace(WEBHOOK, loopback=True, read_seconds=0.3, total_seconds=0.5)
        with monkeypatch.context() as patched:
            patched.setattr("api.commands.watch.webhook_policy", lambda _: policy)
            begun = time.monotonic()
            registry.step()
        assert time.monotonic() - begun < 15
    assert hook(registry, other)["done"] == 1
    assert hook(registry, slow)["pending"] == 1
    assert "no answer" in hook(registry, slow)["fault"]


def test_two_processes_have_one_leader(registry, receiver, database_url, store):
    with closing(Store.open(database_url)) as other:
        first, second = Leading(store, *LEADER), Leading(other, *LEADER)
        assert [first.leads(), second.leads(), first.leads()] == [True, False, True]
        first.close()
        assert second.leads()
        second.close()


LEAD = """
import sys, time
from registry.store import Store
from registry.store.leading import Leading
leading = Leading(Store.open(sys.argv[1]), "watch", 0x0CA7EA8)
print(leading.leads(), flush=True)
time.sleep(60)
"""


def test_who_led_and_was_killed_leads_no_more(store, database_url):
    command = [sys.executable, "-c", LEAD, database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        mine = Leading(store, *LEADER)
        assert not mine.leads()
        process.kill()
        process.wait()
    end = time.monotonic() + 10
    while not (leads := mine.leads()) and time.monotonic() < end:
        time.sleep(0.05)
    assert leads
    mine.close()


def test_two_that_send_at_once_send_the_same(registry, receiver, store):
    """Should a lock be lost: what comes twice has one id."""
    registry.subscribe(A, webhook=receiver.url)
    registry.reserve(A)
    fetcher = Fetcher(webhook_policy(Settings("", webhook_loopback=True)))
    registry.step()
    with store.administer() as connection:
        [delivery] = [headers["webhook-id"] for headers, _ in receiver.seen]
        notices.settle(connection, delivery, {"state": notices.PENDING})
    senders = [Deliverer(store, fetcher, lambda: registry.seconds, lambda: 0.5) for _ in range(2)]
    threads = [threading.Thread(target=one.step) for one in senders]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {headers["webhook-id"] for headers, _ in receiver.seen} == {delivery}
    assert len({body for _, body in receiver.seen}) == 1


# -- who is called ---------------------------------------------------------------------------------


def answering(*addresses: str) -> Callable[[str, int], list[tuple[Any, ...]]]:
    """Answer for any name with these addresses in turn, the last one for good."""
    left = list(addresses)

    def resolve(_: str, port: int) -> list[tuple[Any, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 0, "", (address, port))]

    return resolve


REFUSED = ("127.0.0.1", "10.1.2.3", "169.254.169.254", "168.63.129.16", "::1", "fd00::1", "::ffff:10.0.0.1")


@pytest.mark.parametrize("address", REFUSED)
def test_a_name_that_leads_to_no_public_address_is_not_called(address):
    fetcher = Fetcher(WEBHOOK, answering(address))
    with pytest.raises(RefusedAddressError, match="not a public address"):
        fetcher.post("https://hooks.example/x", b"{}", {})


def test_a_name_is_looked_up_at_each_call_and_the_address_that_was_checked_is_called():
    # Public when the subscription is made, private when it is called.
    fetcher = Fetcher(WEBHOOK, answering("10.0.0.1", "10.0.0.2"))
    assert require_callable("https://hooks.example/x", WEBHOOK) == "https://hooks.example/x"
    for address in ("10.0.0.1", "10.0.0.2"):
        with pytest.raises(RefusedAddressError, match=address):
            fetcher.post("https://hooks.example/x", b"{}", {})


def test_a_redirect_is_an_answer_and_is_not_followed(receiver):
    receiver.answers[:] = [307]
    fetcher = Fetcher(replace(WEBHOOK, loopback=True))
    assert fetcher.post(receiver.url, b"{}", {}) == 307
    assert len(receiver.seen) == 1


@pytest.mark.parametrize(
    ("url", "loopback", "is_called"),
    [
        ("https://hooks.example/x", False, True),
        ("https://hooks.example:443/x", False, True),
        ("http://hooks.example/x", False, False),
        ("http://hooks.example/x", True, False),
        ("https://8.8.8.8/x", False, True),
        ("https://0x7f000001/x", False, False),
        ("https://127.1/x", False, False),
        ("http://127.0.0.1:5000/x", True, True),
        ("http://localhost:5000/x", True, True),
        ("http://localhost:5000/x", False, False),
        ("https://10.0.0.1/x", True, False),
        ("https://hooks.example:22/x", True, False),
        ("https://user@hooks.example/x", False, False),
        ("gopher://hooks.example/x", False, False),
        ("", False, False),
    ],
)
def test_which_addresses_are_taken(url, loopback, is_called):
    policy = replace(WEBHOOK, loopback=loopback)
    if is_called:
        require_callable(url, policy)
    else:
        with pytest.raises(RefusedAddressError):
            require_callable(url, policy)


@pytest.mark.parametrize("url", ["http://hooks.example/x", "https://hooks.example:22/x"])
def test_what_was_stored_before_the_setting_changed_is_not_called(url):
    with pytest.raises(RefusedAddressError):
        Fetcher(WEBHOOK, answering("127.0.0.1")).post(url, b"{}", {})


def test_a_refused_one_is_tried_again_and_said(registry):
    made = registry.subscribe(A, webhook="https://localhost.invalid/x")
    registry.reserve(A)
    registry.step()
    shown = hook(registry, made["id"])
    assert (shown["pending"], shown["state"]) == (1, "on")
    assert shown["fault"].startswith("https://localhost.invalid/x: no answer")


# -- how often -------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_double_up_to_six_hours_give_or_take_a_third(tries, chance):
    usual = min(5 * 2 ** (min(tries, 40) - 1), 6 * 3600)
    assert usual * 2 / 3 - 1e-6 <= pause_after(tries, chance) <= usual * 4 / 3 + 1e-6


@given(st.lists(st.floats(0, 1), min_size=60, max_size=60))
def test_three_days_are_some_twenty_tries(chances):
    at, tries = 0.0, 0
    while at <= GIVEN_UP_AFTER:
        tries += 1
        at += pause_after(tries, chances[tries % 60])
    assert 18 <= tries <= 32


# -- as the command runs it ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--threaded",)], ids=["gunicorn", "threaded"])
def test_caveat_serve_looks_after_them(served, make_key, receiver, options):
    import requests

    artist, maker = make_key(("register",)).headers, make_key(("lookup",)).headers
    environment = {"CAVEAT_WEBHOOK_LOOPBACK": "1", "CAVEAT_SUBSCRIPTION_SECONDS": "1"}
    url = served(2, None, *options, **environment).url
    body = {"items": [{"id": "a", "url": A}], "webhook": receiver.url}
    made = requests.post(url + PATH, json=body, headers=maker, timeout=10).json()
    lodged = {"preferences": {"genai-train": "reserved"}, "works": [{"url": A}]}
    requests.post(url + "/api/v1/reservations", json=lodged, headers=artist, timeout=10)
    end = time.monotonic() + 30
    while not receiver.seen and time.monotonic() < end:
        time.sleep(0.1)
    [(headers, sent)] = receiver.seen
    assert Webhook(made["secret"]).verify(sent.decode(), headers)["type"] == "item.reserved"
    assert json.loads(sent)["data"]["results"][0]["id"] == "a"
