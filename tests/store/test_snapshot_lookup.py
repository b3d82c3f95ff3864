"""A snapshot answers as the service does, as of its event, whatever was written since."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.client.http import Asked, Known
from registry.client.snapshot import Snapshot
from registry.errors import LogError, SnapshotError, StaleSnapshotError
from registry.fingerprint import Fingerprint
from registry.log_folder import LogFolder
from registry.lookup import Lookup, Question
from registry.note import Signer
from registry.preference import Action, Preference, Statement, Status, Use, decide, effective
from registry.publisher import Publisher
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store
from registry.urls import RuleKind, canonicalize_url, url_rule

NOW = 1_795_000_000
USES = (Use.TRAIN, Use.GENAI_TRAIN)
URLS = [f"https://{host}/{path}" for host in ("a.example", "img.a.example", "b.example:8443")
        for path in ("", "x/", "x/1.jpg", "x/y/2.jpg", "3.jpg?size=2")]  # fmt: skip
RULES = {
    RuleKind.EXACT: URLS,
    RuleKind.PREFIX: [url for url in URLS if url.endswith("/")],
    RuleKind.HOST: ["a.example", "img.a.example", "b.example:8443"],
    RuleKind.DOMAIN: ["a.example", "b.example"],
}


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


class World:
    """Random works, questions and histories over a small vocabulary, so that they meet."""

    def __init__(self, seed: int, picture_hash: Callable[..., bytes]) -> None:
        self.random, self.picture_hash = random.Random(seed), picture_hash

    def print_(self, names: Iterable[str]) -> Fingerprint:
        pick = self.random
        flips = {name: pick.choice([0, 0, 5, 31, 32, 40, 47, 48]) for name in names if pick.random() < 0.7}
        pdq = {name: self.picture_hash(pick.randrange(8), flip) for name, flip in flips.items()}
        phash = pick.choice([None, *(self.picture_hash(seed)[:8] for seed in range(4))])
        sha256 = pick.choice([None, *(self.picture_hash(seed) for seed in range(8))])
        return Fingerprint(1, pick.choice([100, 100, 100, 20]), phash, pdq, sha256)

    def work(self) -> WorkDraft:
        pick, print_ = self.random, self.print_(("full", "trim", "start"))
        url = canonicalize_url(pick.choice(URLS))
        return pick.choice(
            [
                WorkDraft("A", url),
                WorkDraft("B", None, self.picture_hash(pick.randrange(8))),
                WorkDraft("C", url, print_.sha256, print_),
                WorkDraft("D", None, print_.sha256 or bytes(32), print_),
            ]
        )

    def draft(self) -> Draft:
        pick = self.random
        words = [one for one in Preference if one is not Preference.UNKNOWN]
        says = {use: pick.choice(words) for use in pick.sample(USES, pick.choice([1, 2]))}
        rules = [
            url_rule(kind, pick.choice(RULES[kind]))
            for kind in pick.sample(list(RuleKind), pick.randrange(3))
        ]
        works = [self.work() for _ in range(pick.randrange(0 if rules else 1, 4))]
        return Draft(
            says, works, rules, f"Label {pick.randrange(9)}", "https://terms.example/", "me@a.example"
        )

    def asked(self) -> Asked:
        pick = self.random
        if pick.random() < 0.03:
            return Asked("not a url")
        url = pick.choice([None, *URLS, "http://www.A.example/x/1.jpg?utm_source=b", "https://c.example/"])
        if url is not None and pick.random() < 0.5:
            return Asked(url)
        return Asked(url, self.print_(("full", "mirror", "trim", "trim_mirror")))

    def act(self, registrar: Registrar, callers: list[Any], own: dict[str, Any]) -> None:
        pick = self.random
        verb = pick.choice(["register", "register", "register", "works", "change", "withdraw"])
        if verb == "register" or not own:
            caller = pick.choice(callers)
            own[registrar.register(caller, self.draft()).id] = caller
            return
        id_ = pick.choice(sorted(own))
        if verb == "works":
            registrar.add_works(own[id_], id_, [self.work()])
        elif verb == "change":
            registrar.change(own[id_], id_, Change(self.draft().preferences, f"Label {pick.randrange(9)}"))
        else:
            registrar.withdraw(own.pop(id_), id_)


@pytest.fixture
def callers(make_key: Callable[..., Any]) -> list[Any]:
    return [make_key(("register", "domain:*"), level).caller for level in (0, 1, 3)]


def plain(statements: Iterable[Statement]) -> Iterator[Statement]:
    """What a snapshot tells of statements: one a record and kind of match, less what names a person."""
    seen = set()
    for one in statements:
        if (one.record, one.match.kind) not in seen:
            seen.add((one.record, one.match.kind))
            yield replace(one, principal="", title="", contact="")


def wire(statement: Statement) -> str:
    """All of it but which of equally near windows was found first."""
    return json.dumps(replace(statement, match=replace(statement.match, window=None, form=None)).to_wire())


def answers(lookup: Lookup, asked: list[Asked], seq: int, review: bool) -> list[list[Statement]]:
    prints = [one.fingerprint for one in asked]
    urls = [None if one.url is None else canonicalize_url(one.url) for one in asked]
    questions = [
        Question(url, print_ and print_.sha256, print_) for url, print_ in zip(urls, prints, strict=True)
    ]
    return lookup.ask(questions, seq, review=review).statements


def assert_same(known: Known, said: list[Statement], use: Use) -> None:
    told = list(plain(effective(said, use)))
    assert known.status is Status.OK
    assert {wire(one) for one in known.statements} <= {wire(one) for one in told}
    assert len(known.statements) == min(len(told), 8)
    ours, theirs = decide(known.statements, use), decide(told, use)
    assert (ours.preference, ours.action, ours.state) == (theirs.preference, theirs.action, theirs.state)


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_answers_as_the_service_did_at_its_event(
    seed: int,
    store: Store,
    registrar: Registrar,
    callers: list[Any],
    build: Callable[..., Path],
    opened: Callable[..., Snapshot],
    picture_hash: Callable[..., bytes],
) -> None:
    world, own = World(seed, picture_hash), {}
    folders = []
    for _ in range(3):
        for _ in range(20):
            world.act(registrar, callers, own)
        folders.append(build())
    world.act(registrar, callers, own)
    lookup = Lookup(store)
    found = 0
    for folder in folders:
        with opened(folder) as snapshot:
            assert snapshot.as_of_seq == int(folder.name) < store.head()
            asked = [world.asked() for _ in range(200)]
            for use in USES:
                for review in (True, False):
                    known = snapshot.lookup(asked, use, review=review)
                    good = [(a, k) for a, k in zip(asked, known, strict=True) if a.url != "not a url"]
                    good = [(a, k) for a, k in good if k.status is not Status.NOT_CHECKED]
                    said = answers(lookup, [a for a, _ in good], snapshot.as_of_seq, review)
                    for (_, one), statements in zip(good, said, strict=True):
                        assert_same(one, statements, use)
                        found += bool(one.statements)
                    bad = [k for a, k in zip(asked, known, strict=True) if a.url == "not a url"]
                    assert {one.status for one in bad} <= {Status.MALFORMED}
    assert found > 300
