"""Subscriptions: what is taken, what is found, once, and what is deleted."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import func, select

from api.commands.db import db
from api.commands.watch import LEADER, _answers
from api.settings import settings_from
from registry.errors import ForbiddenError, SettingsError, StorageError
from registry.listing import NDJSON
from registry.lookup import Lookup
from registry.preference import Mode, Use
from registry.store import Store, principals, subscriptions
from registry.store.leading import Leading
from registry.store.sql import table_of
from registry.subscribing import Budget, Subscribing, Wanted
from registry.watch_tables import (
    Subscription,
    SubscriptionBlock,
    SubscriptionDelivery,
    SubscriptionNotice,
)
from registry.watching import Watcher
from tests.api.test_imports import BEGIN, SIGNER, claim_of, lines, work
from tests.api.watching import HERE, PATH, RESERVED, Registry

A, B, C = (f"https://ada.test/{name}.jpg" for name in "abc")
TABLES = [
    table_of(one) for one in (SubscriptionDelivery, SubscriptionNotice, SubscriptionBlock, Subscription)
]


@pytest.fixture
def client(make_app: Callable[..., Any]) -> FlaskClient:
    return make_app(**HERE).test_client()


@pytest.fixture
def registry(client: FlaskClient, store: Store, make_key: Callable[..., Any]) -> Iterator[Registry]:
    made = Registry.of(client, store, make_key)
    yield made
    if made.watch is not None:
        made.watch.close()


# -- what is found ---------------------------------------------------------------------------------


def lodged_by_rule(registry: Registry) -> str:
    return registry.reserve(rules=[{"kind": "exact", "value": A}])


def conditional(registry: Registry) -> str:
    return registry.reserve(A, preferences={"genai-train": "conditional"})


def changed(registry: Registry) -> str:
    id_ = registry.reserve(A, preferences={"genai-train": "allowed"})
    registry.step()
    registry.change(id_, preferences=RESERVED)
    return id_


def added(registry: Registry) -> str:
    id_ = registry.reserve(B)
    path = f"/api/v1/reservations/{id_}/works"
    sent = registry.client.post(path, json={"works": [{"url": A}]}, headers=registry.artist)
    assert sent.status_code == 201, sent.text
    return id_


WAYS = {
    "a work": lambda registry: registry.reserve(A),
    "a rule": lodged_by_rule,
    "a condition": conditional,
    "a change": changed,
    "an addition": added,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_passed_and_is_reserved_is_found_once_however_that_came(registry, way):
    id_ = registry.subscribe(A, C)["id"]
    registry.step()
    assert registry.told(id_) == []
    WAYS[way](registry)
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved")]
    registry.reserve(A)
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved")]
    shown = registry.show(id_)
    assert shown["found"] == {"reserved": 1, "free": 0, "not_checked": 0, "before": 0}
    assert (shown["checked_seq"], shown["behind_since"], shown["fault"]) == (
        registry.store.head(),
        None,
        "",
    )


@pytest.mark.parametrize("way", ["withdraw", "erase"])
def test_what_is_taken_back_is_told_and_so_is_what_comes_again(registry, way):
    id_ = registry.subscribe(A, B)["id"]
    reservation = registry.reserve(A)
    registry.step()
    getattr(registry, way)(reservation)
    registry.step()
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved"), ("a.jpg", "free")]
    assert registry.show(id_)["found"]["reserved"] == 0
    registry.reserve(A)
    registry.step()
    assert registry.told(id_)[2:] == [("a.jpg", "reserved")]


def test_another_reservation_that_stands_keeps_it_reserved(registry):
    id_ = registry.subscribe(A)["id"]
    first, _ = registry.reserve(A), registry.reserve(A)
    registry.step()
    registry.withdraw(first)
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved")]


def test_nothing_else_is_told(registry):
    id_ = registry.subscribe(A)["id"]
    registry.reserve(B)
    registry.reserve(A, preferences={"search": "reserved"})
    registry.reserve(A, preferences={"genai-train": "allowed"})
    registry.step()
    assert registry.told(id_) == []


def test_what_came_between_the_run_and_the_subscription_is_found(registry):
    registry.reserve(B)
    then = registry.store.head()
    registry.reserve(A)
    id_ = registry.subscribe(A, B, C, as_of_seq=then)["id"]
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved")]
    assert registry.show(id_)["found"] == {"reserved": 1, "free": 0, "not_checked": 0, "before": 1}


def test_what_had_not_passed_is_told_when_it_becomes_free(registry):
    reservation = registry.reserve(B)
    id_ = registry.subscribe(B)["id"]
    registry.step()
    registry.withdraw(reservation)
    registry.step()
    assert registry.told(id_) == [("b.jpg", "free")]


def test_who_uses_only_what_is_permitted_is_told_when_the_permission_is_gone(
    client, store, make_key, registry
):
    registry.artist = make_key(("register",), 3).headers
    permission = {"genai-train": "allowed"}
    taken = [registry.reserve(url, preferences=permission) for url in (A, B, C)]
    id_ = registry.subscribe(A, B, C, mode="strict")["id"]
    registry.step()
    assert registry.told(id_) == []
    registry.withdraw(taken[0])
    registry.step()
    registry.erase(taken[1])
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved"), ("b.jpg", "reserved")]


def test_pictures_and_files_are_found_by_their_hashes(registry, picture_hash):
    forms = {"full": picture_hash(1).hex(), "mirror": picture_hash(2).hex()}
    items = [
        {"id": "copy", "fingerprint": {"v": 1, "quality": 100, "pdq": forms}},
        {"id": "file", "sha256": "ab" * 32},
        {"id": "other", "sha256": "cd" * 32},
    ]
    sent = registry.client.post(PATH, json={"items": items}, headers=registry.maker)
    id_ = sent.get_json()["id"]
    registry.step()
    near = {"v": 1, "quality": 100, "pdq": {"full": picture_hash(2, 9).hex()}}
    registry.reserve(works=[{"sha256": "ab" * 32}, {"fingerprint": near, "sha256": "ef" * 32}])
    registry.step()
    assert sorted(registry.told(id_)) == [("copy", "reserved"), ("file", "reserved")]
    [copy] = [one["result"] for one in registry.show(id_)["notices"] if one["result"]["id"] == "copy"]
    assert (copy["status"], copy["preference"], copy["matched_by"]) == ("ok", "reserved", "pdq")
    assert "distance" not in str(copy["statements"])


def test_a_possible_copy_is_not_told(registry, picture_hash):
    item = {"id": "a", "fingerprint": {"v": 1, "quality": 100, "pdq": {"full": picture_hash(1).hex()}}}
    id_ = registry.client.post(PATH, json={"items": [item]}, headers=registry.maker).get_json()["id"]
    near = {"v": 1, "quality": 100, "pdq": {"full": picture_hash(1, 40).hex()}}
    registry.reserve(works=[{"fingerprint": near, "sha256": "ef" * 32}])
    registry.step()
    assert registry.told(id_) == []


@pytest.mark.parametrize("most_touched", [0, 100_000], ids=["looked up", "held against what is new"])
def test_both_ways_find_the_same(registry, client, most_touched):
    held = client.application.extensions["caveat"]
    watcher = Watcher(registry.store, held.lookup, _answers, lambda: 5.0, most_touched)
    addresses = [f"https://h.test/{number % 7}/{number}.jpg" for number in range(60)]
    id_ = registry.subscribe(*addresses)["id"]
    assert watcher.step() == 0
    registry.reserve(*addresses[::9])
    registry.reserve(rules=[{"kind": "prefix", "value": "https://h.test/3/"}])
    found = {number for number in range(60) if number % 9 == 0 or number % 7 == 3}
    assert watcher.step() == len(found)
    assert registry.told(id_) == [(f"{number}.jpg", "reserved") for number in sorted(found)]


# -- nothing fails open ----------------------------------------------------------------------------


def test_a_subscription_that_waits_says_since_when(registry, client):
    id_ = registry.subscribe(A)["id"]
    assert registry.show(id_)["checked_seq"] is None
    assert registry.show(id_)["behind_since"] == registry.show(id_)["at"]
    registry.step()
    registry.reserve(B)
    shown, ready = registry.show(id_), client.get("/readyz").get_json()
    assert shown["checked_seq"] == registry.store.head() - 1
    assert shown["behind_since"] is not None
    assert ready["subscriptions_behind_since"] == shown["behind_since"]
    registry.step()
    assert client.get("/readyz").get_json()["subscriptions_behind_since"] is None


def test_what_fails_is_said_and_done_again(registry, monkeypatch):
    id_ = registry.subscribe(A)["id"]
    registry.step()
    registry.reserve(A)

    def broken(*_: Any, **__: Any) -> None:
        raise StorageError("the database did not answer")

    with monkeypatch.context() as patched:
        patched.setattr(Lookup, "ask", broken)
        for seconds in (0, 100):
            registry.seconds += seconds
            with pytest.raises(StorageError):
                registry.step()
    shown = registry.show(id_)
    assert (shown["fault"], registry.told(id_)) == ("the database did not answer", [])
    assert shown["behind_since"] is not None
    registry.step()
    assert (registry.show(id_)["fault"], registry.told(id_)) == ("", [("a.jpg", "reserved")])


def test_an_item_that_cannot_be_looked_up_is_told_and_found_later(registry, picture_hash, monkeypatch):
    monkeypatch.setattr("registry.matching.MAX_NEAR", 2)
    form = {"v": 1, "quality": 100, "pdq": {"full": picture_hash(1).hex()}}
    item = {"id": "a", "fingerprint": form}
    id_ = registry.client.post(PATH, json={"items": [item]}, headers=registry.maker).get_json()["id"]
    registry.step()
    allowed = {"preferences": {"genai-train": "allowed"}}
    same = [{"fingerprint": form, "sha256": f"{number:064x}"} for number in range(4)]
    registry.lodge({**allowed, "works": same})
    registry.step()
    assert registry.told(id_) == [("a", "not_checked")]
    [notice] = registry.show(id_)["notices"]
    assert (notice["result"]["status"], notice["result"]["preference"]) == ("error", None)


def test_a_restart_goes_on_where_it_was(registry):
    id_ = registry.subscribe(A, B)["id"]
    registry.step()
    registry.reserve(A)
    registry.step()
    registry.begin_anew()
    registry.reserve(B)
    registry.step()
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved"), ("b.jpg", "reserved")]


def test_a_block_of_a_state_that_an_older_database_does_not_know_is_held_against_everything(registry):
    id_ = registry.subscribe(A)["id"]
    registry.step()
    registry.reserve(A)
    with registry.store.administer() as connection:
        block = subscriptions.Block(id_, 0, None, "", "", 0, "")
        subscriptions.settle_blocks(connection, [block], 1000)
    registry.step()
    assert registry.told(id_) == [("a.jpg", "reserved")]


# -- what is taken, and who may see it --------------------------------------------------------------

TOO_PLAIN = {"v": 1, "quality": 10, "pdq": {"full": "0f" * 32}}
BAD = {
    "no id": ({"items": [{"url": A}]}, "items.0.id"),
    "two with one id": ({"items": [{"id": "a", "url": A}, {"id": "a", "url": B}]}, "one id"),
    "no key": ({"items": [{"id": "a", "url": A}, {"id": "b"}]}, "items.1"),
    "no address": ({"items": [{"id": "a", "url": "ada"}]}, "items.0"),
    "half a hash": ({"items": [{"id": "a", "sha256": "ab"}]}, "items.0"),
    "too plain": ({"items": [{"id": "a", "fingerprint": TOO_PLAIN}]}, "by which it could be found"),
    "pHash alone": (
        {"items": [{"id": "a", "fingerprint": {"v": 1, "quality": 90, "phash": "0f" * 8}}]},
        "items.0",
    ),
    "an id that cannot be stored": ({"items": [{"id": "\0", "url": A}]}, "U+0000"),
    "a state to come": ({"items": [], "as_of_seq": 9}, "as_of_seq"),
    "http": ({"items": [], "webhook": "http://hooks.example/x"}, "only https"),
    "this network": ({"items": [], "webhook": "https://10.0.0.1/x"}, "not a public address"),
    "metadata": ({"items": [], "webhook": "https://[::ffff:169.254.169.254]/x"}, "not a public address"),
    "another port": ({"items": [], "webhook": "https://hooks.example:8443/x"}, "ports 80 and 443"),
    "a password": ({"items": [], "webhook": "https://u:p@hooks.example/x"}, "password"),
    "a file": ({"items": [], "webhook": "file:///etc/passwd"}, "webhook"),
    "a strange use": ({"items": [], "use": "fun"}, "use"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_watched_is_refused_by_name(registry, case):
    body, named = BAD[case]
    answer = registry.client.post(PATH, json=body, headers=registry.maker)
    assert answer.status_code == 422, answer.text
    assert named in answer.get_json()["detail"]
    assert registry.client.get(PATH, headers=registry.maker).get_json() == {"subscriptions": []}


def test_without_the_setting_no_webhook_comes_to_this_machine(make_app, make_key):
    body = {"items": [], "webhook": "http://127.0.0.1:5000/"}
    answer = make_app().test_client().post(PATH, json=body, headers=make_key(("lookup",)).headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("method", ["get", "delete"])
def test_only_its_key_sees_and_ends_a_subscription(registry, make_key, method):
    path = f"{PATH}/{registry.subscribe(A)['id']}"
    call = getattr(registry.client, method)
    assert call(path).status_code == 401
    assert call(path, headers=registry.artist).status_code == 403
    assert call(path, headers=make_key(("lookup",)).headers).status_code == 404
    assert call(f"{PATH}/{'0' * 32}", headers=registry.maker).status_code == 404
    assert call(f"{PATH}/%00", headers=registry.maker).status_code == 404


def test_deleting_deletes_the_items_and_what_was_found(registry):
    made = registry.subscribe(A, B, webhook="https://hooks.invalid/x")
    other = registry.subscribe(A)["id"]
    registry.reserve(A)
    with registry.store.read() as connection:
        before = [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in TABLES]
    assert before[2:] == [2, 2]
    deleted = registry.client.delete(f"{PATH}/{made['id']}", headers=registry.maker)
    assert deleted.get_json() == {"id": made["id"], "state": "deleted"}
    registry.step()
    with registry.store.read() as connection:
        left = [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in TABLES]
    assert left == [0, 1, 1, 1]
    assert registry.told(other) == [("a.jpg", "reserved")]
    assert registry.client.get(made["feed"]).status_code == 404


def test_further_items_come_in_parts_each_once(registry):
    id_ = registry.subscribe(A)["id"]
    path = f"{PATH}/{id_}/items"

    def send(part: int, url: str) -> Any:
        body = {"part": part, "items": [{"id": url[-5:], "url": url}]}
        return registry.client.post(path, json=body, headers=registry.maker)

    assert [send(1, B).get_json()["items"] for _ in range(2)] == [2, 2]
    assert send(1, C).status_code == 409
    assert send(0, C).status_code == 422
    assert send(2, C).get_json() == {"id": id_, "items": 3}
    registry.reserve(B, C)
    registry.step()
    assert sorted(registry.told(id_)) == [("b.jpg", "reserved"), ("c.jpg", "reserved")]


def test_the_budget_is_one_of_all_subscriptions_of_a_key(make_app, store, make_key):
    client = make_app(max_subscriptions=2, max_watched_items=3).test_client()
    registry = Registry.of(client, store, make_key)
    id_ = registry.subscribe(A, B)["id"]

    def status(path: str, **body: Any) -> int:
        return client.post(path, json=body, headers=registry.maker).status_code

    two = [{"id": "1", "url": A}, {"id": "2", "url": B}]
    assert status(PATH, items=two) == 413
    assert status(f"{PATH}/{id_}/items", part=1, items=two) == 413
    assert status(PATH, items=two[:1]) == 201
    assert status(PATH, items=[]) == 413
    registry.maker = make_key(("lookup",)).headers
    assert status(PATH, items=two) == 201


def test_a_mirror_watches_for_nobody(make_app, make_key):
    store = make_app().extensions["caveat"].store
    store.mirror_of = "https://registry.example"
    wanted = Wanted(Use.TRAIN, Mode.EU_ART4, None, "", None, None, [])
    with pytest.raises(ForbiddenError, match="mirror"):
        Subscribing(store, lambda: 0, Budget(1, 1)).create(make_key().caller.principal_id, wanted)


# -- other ways in which much becomes reserved, and the command ------------------------------------


def test_works_of_an_import_are_told_once_it_is_complete_and_as_they_go(registry, make_key, store):
    headers = make_key(("import:acme",))
    with store.administer() as connection:
        principals.set_import_key(connection, headers.caller.principal_id, SIGNER.verifier.text)
    begun = registry.client.post("/api/v1/imports", json=BEGIN, headers=headers.headers).get_json()["id"]
    path = f"/api/v1/imports/{begun}"
    id_ = registry.subscribe(*(work(number)["url"] for number in (1, 2, 3)))["id"]
    registry.step()

    def call(method: str, to: str, **sent: Any) -> Any:
        answer = registry.client.open(path + to, method=method, headers=headers.headers, **sent)
        assert answer.status_code == 200, answer.text
        registry.step()
        return answer.get_json()

    part = call("PUT", "/parts/1", data=lines(work(1), work(2)), content_type=NDJSON)
    assert registry.told(id_) == []
    call("POST", "/complete", json=claim_of(begun, [part["sha256"]], 2))
    assert registry.told(id_) == [("1.jpg", "reserved"), ("2.jpg", "reserved")]
    call("POST", "/withdraw", json={"works": [{"part": 1, "ordinal": 0}]})
    assert registry.told(id_)[2:] == [("1.jpg", "free")]
    call("DELETE", "")
    assert registry.told(id_)[3:] == [("2.jpg", "free")]


@pytest.mark.parametrize("word", ["yes", "true", "2", " "])
def test_a_flag_that_is_neither_is_refused(word):
    with pytest.raises(SettingsError, match="CAVEAT_WEBHOOK_LOOPBACK"):
        settings_from({"CAVEAT_DATA": "x", "CAVEAT_WEBHOOK_LOOPBACK": word})


def test_the_command_does_it_once_unless_another_process_is_at_it(registry, database_url, store):
    id_ = registry.subscribe(A)["id"]
    registry.reserve(A)

    def watched() -> str:
        done = CliRunner().invoke(db, ["watch"], env={"CAVEAT_DATABASE": database_url})
        assert done.exit_code == 0, done.output
        return done.output

    with closing(Leading(store, *LEADER)) as leading:
        assert leading.leads()
        assert watched() == "another process is at it\n"
        assert registry.told(id_) == []
    assert watched() == "done\n"
    assert registry.told(id_) == [("a.jpg", "reserved")]
