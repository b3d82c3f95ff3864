"""The feed of a subscription, read by a feed reader's own parser."""

from collections.abc import Callable, Iterator
from typing import Any

import feedparser
import pytest
from defusedxml.ElementTree import fromstring
from flask.testing import FlaskClient

from registry.store import Store
from tests.api.watching import HERE, Registry

A, B = (f"https://ada.test/{name}.jpg" for name in "ab")
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def client(make_app: Callable[..., Any]) -> FlaskClient:
    return make_app(**HERE).test_client()


@pytest.fixture
def registry(client: FlaskClient, store: Store, make_key: Callable[..., Any]) -> Iterator[Registry]:
    made = Registry.of(client, store, make_key)
    yield made
    if made.watch is not None:
        made.watch.close()


def read(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (200, "application/atom+xml; charset=utf-8")
    found = feedparser.parse(answer.data)
    assert (found.bozo, found.version) == (False, "atom10")
    require_valid(answer.data)
    return found


def require_valid(data: bytes) -> None:
    """What RFC 4287 asks of a feed and its entries (4.1.1, 4.1.2, 4.2.6), and asks to be there once."""
    root = fromstring(data)
    assert root.tag == f"{ATOM}feed"
    for element in (root, *root.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            [one] = element.findall(ATOM + name)
            assert one.text
        assert element.findall(f"{ATOM}content") or element.findall(f"{ATOM}link")
    assert root.findall(f"{ATOM}author")
    ids = [one.text for one in root.iter(f"{ATOM}id")]
    assert len(set(ids)) == len(ids)
    links = {one.get("rel"): one.get("href") for one in root.findall(f"{ATOM}link")}
    assert "self" in links


def test_what_was_found_stands_in_it_newest_first(registry, client):
    made = registry.subscribe(A, B, label="portraits <v2> & more")
    assert made["feed"] == f"/feed/{made['id']}.atom"
    registry.step()
    assert read(client, made["feed"]).entries == []
    reservation = registry.reserve(A)
    registry.step()
    registry.seconds += 60
    registry.withdraw(reservation)
    registry.step()
    found = read(client, made["feed"])
    assert found.feed.title == "portraits <v2> & more: what is reserved since"
    assert [one.title for one in found.entries] == ["a.jpg: free again", "a.jpg: reserved now"]
    assert [one.id for one in found.entries] == [f"urn:caveat:subscription:{made['id']}:{n}" for n in (2, 1)]
    assert [one.tags[0].term for one in found.entries] == ["free", "reserved"]
    assert "As of event 1." in found.entries[1].content[0].value
    assert found.entries[0].updated_parsed > found.entries[1].updated_parsed


def test_it_names_no_record_and_nobody(registry, client):
    made = registry.subscribe(A)
    record = registry.reserve(A, label="Ada Secret", terms="https://ada.test/terms", contact="ada@ada.test")
    registry.step()
    text = client.get(made["feed"]).text
    assert "reserved now" in text
    for secret in (record, "Ada Secret", "ada.test/terms", "ada@ada.test"):
        assert secret not in text


def test_it_is_sent_once_while_nothing_is_new(registry, client):
    made = registry.subscribe(A)
    registry.step()
    tag = client.get(made["feed"]).headers["ETag"]
    again = client.get(made["feed"], headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    registry.reserve(A)
    registry.step()
    assert client.get(made["feed"], headers={"If-None-Match": tag}).status_code == 200


def test_older_ones_stand_on_further_pages(registry, client):
    addresses = [f"https://ada.test/{number:03}.jpg" for number in range(250)]
    made = registry.subscribe(*addresses)
    registry.step()
    registry.reserve(*addresses)
    registry.step()
    path, titles = made["feed"], []
    while path:
        found = read(client, path)
        titles += [one.title for one in found.entries]
        links = {one.rel: one.href for one in found.feed.links}
        assert links["first"].endswith(made["feed"])
        path = links.get("next", "").removeprefix("http://localhost")
    assert titles == [f"{number:03}.jpg: reserved now" for number in reversed(range(250))]


def test_ids_that_xml_cannot_hold_are_told_all_the_same(registry, client):
    items = [{"id": "\x01\ufffe]]><b>&\n🖼", "url": A}]
    path = "/api/v1/subscriptions"
    made = client.post(path, json={"items": items}, headers=registry.maker).get_json()
    registry.reserve(A)
    registry.step()
    [entry] = fromstring(client.get(made["feed"]).data).findall(f"{ATOM}entry")
    title = entry.find(f"{ATOM}title")
    assert title is not None
    assert title.text == "\ufffd\ufffd]]><b>&\n🖼: reserved now"


def test_a_feed_that_waits_says_since_when(registry, client, monkeypatch):
    made = registry.subscribe(A)
    registry.step()
    registry.reserve(A)
    assert read(client, made["feed"]).entries == []
    monkeypatch.setattr("api.feed.LATE_SECONDS", -10)
    [entry] = read(client, made["feed"]).entries
    assert entry.title.startswith("Not held against what is new since 20")
    assert entry.id.startswith(f"urn:caveat:subscription:{made['id']}:not-checked:")
    monkeypatch.undo()
    registry.step()
    assert [one.title for one in read(client, made["feed"]).entries] == ["a.jpg: reserved now"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/feed/" + "0" * 32 + ".atom", 404),
        ("/feed/" + "A" * 32 + ".atom", 404),
        ("/feed/%00.atom", 404),
        ("/feed/x.atom?before=1", 404),
        ("{feed}?before=0", 422),
        ("{feed}?before=-1", 422),
        ("{feed}?before=1_0", 422),
        ("{feed}?before=" + "9" * 40, 422),
        ("{feed}?before=1", 200),
    ],
)
def test_what_there_is_and_what_not(registry, client, path, status):
    feed = registry.subscribe(A)["feed"]
    assert client.get(path.format(feed=feed)).status_code == status
