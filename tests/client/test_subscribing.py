"""Being told of a run: what passed is sent, found by the registry, named by numbers, and deleted again."""

import json
from collections.abc import Iterator

import feedparser
import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from api.commands.watch import Watch
from api.settings import Settings
from registry.client import Options, RegistryClient, filter_dataset
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.own import read_own
from registry.client.pictures import hash_files
from registry.client.recheck import recheck
from registry.client.subscribing import SUBSCRIPTIONS, Telling, passed_by, subscribe
from registry.client.verdicts import Rules
from registry.errors import DatasetError, RegistryError
from registry.store import subscriptions
from registry.watched import items_of
from tests.api.watching import HERE

RESERVED = {"train": "reserved", "genai-train": "reserved"}


class World:
    """A registry that is served here, with what looks after its subscriptions, and the keys to it."""

    def __init__(self, url, store, maker, artist, settings):
        self.url, self.store, self.maker, self.artist = url, store, maker, artist
        self.watch = Watch(store, settings)
        self.env = {"CAVEAT_REGISTRY": url, "CAVEAT_KEY": maker}

    def client(self, key=""):
        return RegistryClient(self.url, key or self.maker, timeout=20)

    def reserve(self, *works):
        with self.client(self.artist) as client:
            lodge(client, {"preferences": RESERVED}, works, Lodged(self.url))

    def pictures(self, *paths):
        self.reserve(*(work_of(one) for one in hash_files(list(paths), registered=True)))

    def told(self, feed):
        """What the feed says, oldest first."""
        assert self.watch.step()
        found = feedparser.parse(requests.get(feed, timeout=10).content)
        return [one.title for one in reversed(found.entries)]

    def items(self):
        """Everything that is kept, in the form in which it was sent."""
        with self.store.read() as connection:
            blocks = subscriptions.waiting(connection, -1)
            kept = [items_of(subscriptions.wires_of(connection, *one.key)) for one in blocks]
        return {item.id: item.question for block in kept for item in block.values()}


@pytest.fixture
def world(threaded, database_url, store, make_key) -> Iterator[World]:
    url = threaded(database_url, CAVEAT_MAX_ITEMS="3")
    maker, artist = make_key(("lookup",)).secret, make_key(("register", "domain:*")).secret
    made = World(url, store, maker, artist, Settings(database_url, **HERE))
    yield made
    made.watch.close()


@pytest.fixture
def filtered(world, tmp_path, kit):
    """Filter some pictures; ``c.png`` is reserved and ``d.png`` none."""

    def run(files=None, **more):
        plain = {name: kit.free(number) for number, name in enumerate(("a.png", "b.png", "c.png", "e.png"))}
        kit.plant(tmp_path / "set", files or {**plain, "d.png": "no"})
        if files is None:
            world.pictures(tmp_path / "set" / "c.png")
        with world.client() as client:
            filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1), **more)
        return tmp_path / "clean"

    return run


def lines(target):
    text = (target.with_name(f"{target.name}.caveat") / "decisions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_what_passed_is_kept_and_told_by_its_line(world, filtered, caveat, tmp_path):
    target = filtered()
    done = caveat("receipt", "subscribe", target, "--label", "mine", "--output", "json", env=world.env)
    assert done.returncode == 0, done.stderr
    [made] = json.loads(done.stdout)
    assert (made["items"], made["secret"], made["as_of_seq"]) == (3, None, 1)
    assert world.told(made["feed"]) == []
    world.pictures(tmp_path / "set" / "b.png")
    [title] = world.told(made["feed"])
    number = int(title.partition(":")[0])
    assert title == f"{number}: reserved now"
    assert lines(target)[number - 1]["path"] == "b.png"
    with world.client() as client:
        assert [one.sample.key for one in recheck(target, [client]).reserved] == ["b.png"]


def test_nothing_but_keys_leaves_the_machine(world, filtered, caveat):
    caveat("receipt", "subscribe", filtered(), env=world.env)
    kept = world.items()
    assert all(id_.isdigit() for id_ in kept)
    assert {question.url for question in kept.values()} == {None}
    assert all(question.sha256 and question.fingerprint for question in kept.values())


def test_names_go_where_that_is_wished(world, filtered, caveat):
    caveat("receipt", "subscribe", filtered(), "--names", env=world.env)
    assert world.items().keys() == {"a.png", "b.png", "e.png"}


def test_it_is_deleted_again_at_the_registry_and_in_the_account(world, filtered, caveat, tmp_path):
    target = filtered()
    caveat("receipt", "subscribe", target, env=world.env)
    [noted] = json.loads((tmp_path / "clean.caveat" / SUBSCRIPTIONS).read_text())
    assert (noted["registry"], noted["items"], "secret" in noted) == (world.url, 3, False)
    done = caveat("receipt", "unsubscribe", target, env=world.env)
    assert (done.returncode, done.stdout) == (0, f"{world.url}: 1 subscription deleted\n")
    assert world.items() == {}
    assert not (tmp_path / "clean.caveat" / SUBSCRIPTIONS).exists()
    again = caveat("receipt", "unsubscribe", target, env=world.env)
    assert again.stdout == f"{world.url}: there was no subscription\n"


def test_one_that_is_gone_there_is_forgotten_here(world, filtered, caveat, tmp_path):
    target = filtered()
    caveat("receipt", "subscribe", target, env=world.env)
    [noted] = json.loads((tmp_path / "clean.caveat" / SUBSCRIPTIONS).read_text())
    with world.client() as client:
        client.tell_subscriptions("DELETE", f"/{noted['id']}")
    assert caveat("receipt", "unsubscribe", target, env=world.env).returncode == 0


def test_the_secret_is_shown_once_and_signs(world, filtered, caveat, tmp_path):
    done = caveat("receipt", "subscribe", filtered(), "--webhook", "https://hooks.example/x", env=world.env)
    assert done.returncode == 0, done.stderr
    assert "whsec_" in done.stdout
    assert "whsec_" not in (tmp_path / "clean.caveat" / SUBSCRIPTIONS).read_text()
    refused = caveat("receipt", "subscribe", tmp_path / "clean", "--webhook", "http://a.b/", env=world.env)
    assert (refused.returncode, "only https" in refused.stderr) == (3, True)


def test_many_are_sent_in_parts(world, filtered, kit):
    target = filtered({f"{number}.png": kit.free(number) for number in range(8)})
    passed = passed_by(target)
    with world.client() as client:
        assert subscribe(client, target, passed, Telling()).items == 8
    assert world.items().keys() == {str(number) for number in range(1, 9)}


def test_what_cannot_be_sent_whole_is_not_kept(world, filtered, kit, monkeypatch):
    target = filtered({f"{number}.png": kit.free(number) for number in range(8)})
    passed, whole = passed_by(target), RegistryClient.tell_subscriptions

    def failing(self, method, path="", body=None):
        if path.endswith("/items") and body["part"] == 2:
            raise RegistryError("the connection was lost")
        return whole(self, method, path, body)

    monkeypatch.setattr(RegistryClient, "tell_subscriptions", failing)
    with world.client() as client, pytest.raises(RegistryError, match="lost"):
        subscribe(client, target, passed, Telling())
    assert world.items() == {}
    assert not (target.with_name("clean.caveat") / SUBSCRIPTIONS).exists()


URLS = [f"https://free.example/{number}.jpg" for number in range(5)]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".lance"])
def test_rows_are_told_by_their_number_in_the_output(world, suffix, tmp_path, caveat):
    source, target = tmp_path / f"set{suffix}", tmp_path / f"clean{suffix}"
    table = pa.table({"url": URLS})
    if suffix == ".lance":
        lance.write_dataset(table, source)
    elif suffix == ".csv":
        source.write_text("url\n" + "".join(f"{url}\n" for url in URLS))
    else:
        pq.write_table(table, source)
    world.reserve({"url": URLS[0]})
    with world.client() as client:
        filter_dataset(source, target, [client], options=Options(workers=1))
    done = caveat("receipt", "subscribe", target, "--output", "json", env=world.env)
    [made] = json.loads(done.stdout)
    assert {id_: question.url for id_, question in world.items().items()} == {
        str(number): url for number, url in enumerate(URLS[1:])
    }
    world.reserve({"url": URLS[2]})
    assert world.told(made["feed"]) == ["1: reserved now"]


def test_rows_of_shards_are_told_with_the_number_of_the_shard(world, tmp_path, caveat):
    for name in ("x", "y"):
        (tmp_path / "set").mkdir(exist_ok=True)
        urls = [f"https://free.example/{name}/{number}.jpg" for number in range(2)]
        pq.write_table(pa.table({"url": urls}), tmp_path / "set" / f"{name}.parquet")
    with world.client() as client:
        filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1))
    done = caveat("receipt", "subscribe", tmp_path / "clean", env=world.env)
    assert done.returncode == 0, done.stderr
    assert world.items().keys() == {"1/0", "1/1", "2/0", "2/1"}


def test_what_was_reserved_between_run_and_subscription_is_told(world, filtered, caveat, tmp_path):
    target = filtered()
    world.pictures(tmp_path / "set" / "a.png")
    done = caveat("receipt", "subscribe", target, "--output", "json", env=world.env)
    assert [title.partition(": ")[2] for title in world.told(json.loads(done.stdout)[0]["feed"])] == [
        "reserved now"
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda account: (account / "decisions.jsonl").unlink(), "decisions.jsonl"),
        (lambda account: (account / "run.json").write_text("{"), "run.json"),
        (lambda account: (account / SUBSCRIPTIONS).write_text("[1]"), SUBSCRIPTIONS),
    ],
    ids=["decisions", "run", "subscriptions"],
)
def test_a_damaged_account_is_an_error_and_nothing_is_kept(world, filtered, caveat, change, named):
    target = filtered()
    change(target.with_name("clean.caveat"))
    done = caveat("receipt", "subscribe", target, env=world.env)
    assert (done.returncode, named in done.stderr) == (3, True)
    assert world.items() == {}


def test_an_output_that_changed_is_an_error(world, tmp_path):
    source, target = tmp_path / "set.csv", tmp_path / "clean.csv"
    source.write_text("url\n" + "".join(f"{url}\n" for url in URLS))
    with world.client() as client:
        filter_dataset(source, target, [client], options=Options(workers=1))
        target.write_text("url\n" + "".join(f"{url}\n" for url in URLS[1:]))
        with pytest.raises(DatasetError, match="does not have the rows"):
            subscribe(client, target, passed_by(target), Telling())
    assert world.items() == {}


def test_a_run_that_sent_nothing_is_asked_whether_all_is_meant(world, tmp_path, caveat):
    source, target = tmp_path / "set.csv", tmp_path / "clean.csv"
    source.write_text("url\n" + "".join(f"{url}\n" for url in URLS))
    done = caveat("filter", source, target, "--private", "--yes", env=world.env)
    assert done.returncode == 0, done.stderr
    refused = caveat("receipt", "subscribe", target, env=world.env)
    assert (refused.returncode, "only the beginnings of keys" in refused.stderr) == (3, True)
    assert world.items() == {}
    assert caveat("receipt", "subscribe", target, "--in-full", env=world.env).returncode == 0
    assert len(world.items()) == 5


def test_receipt_recheck_is_recheck(world, filtered, caveat):
    target = filtered()
    told = [caveat(*words, target, env=world.env) for words in (("recheck",), ("receipt", "recheck"))]
    assert [one.returncode for one in told] == [0, 0]
    assert told[0].stdout == told[1].stdout


def test_the_badge_of_a_receipt_that_was_not_published_cannot_be_bound(world, filtered, caveat):
    done = caveat("receipt", "subscribe", filtered(), "--receipt", env=world.env)
    assert done.returncode == 3
    assert "no receipt" in done.stderr or "no such receipt" in done.stderr


def test_own_works_are_not_sent(world, filtered, kit, tmp_path, caveat):
    kit.plant(tmp_path / "mine", {"a.png": kit.free(0)})
    own = read_own(tmp_path / "mine")
    target = filtered(rules=Rules(own=own))
    done = caveat("receipt", "subscribe", target, env=world.env)
    assert "1 sample declared as your own" in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert len(world.items()) == 2
