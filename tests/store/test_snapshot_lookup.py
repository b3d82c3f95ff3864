"""A snapshot answers as the service does, as of its event, whatever was written since."""

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.client.http import Asked, Known
from registry.client.snapshot import Snapshot
from registry.decision import decide, effective
from registry.errors import SnapshotError, StaleSnapshotError
from registry.fingerprint import Fingerprint
from registry.lookup import Lookup, Question
from registry.preference import Preference, Status, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.statement import Statement
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


URL, OTHER = canonicalize_url("https://a.example/x/1.jpg"), canonicalize_url("https://free.example/1.jpg")
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}


class TestTiers:
    """With less than all tiers a snapshot says less, and never “unknown” of what it could not compare."""

    @pytest.fixture
    def folder(
        self, registrar: Registrar, callers: list[Any], build: Callable[..., Path], picture_hash: Any
    ) -> Path:
        print_ = Fingerprint(1, 100, None, {"full": picture_hash(1)}, picture_hash(9))
        registrar.register(callers[0], Draft(RESERVED, [WorkDraft("", URL, picture_hash(9), print_)]))
        return build()

    @pytest.mark.parametrize(
        ("gone", "url", "file", "copy", "stranger"),
        [
            ([], "remove", "remove", "remove", "keep"),
            (["filter", "parquet"], "remove", "remove", "remove", "keep"),
            (["pictures"], "remove", "remove", Status.NOT_CHECKED, Status.NOT_CHECKED),
            (
                ["keys", "records", "pictures"],
                "review",
                Status.NOT_CHECKED,
                Status.NOT_CHECKED,
                Status.NOT_CHECKED,
            ),
        ],
        ids=["all", "enough", "keys", "filter"],
    )
    def test_what_is_not_compared_is_not_unknown(
        self,
        folder: Path,
        opened: Any,
        picture_hash: Any,
        gone: Any,
        url: str,
        file: Any,
        copy: Any,
        stranger: Any,
    ) -> None:
        for tier in gone:
            shutil.rmtree(folder / tier)
        asked = [
            Asked(URL),
            Asked(None, Fingerprint(1, 100, None, {"full": picture_hash(5)}, picture_hash(9))),
            Asked(None, Fingerprint(1, 100, None, {"full": picture_hash(1, 3)}, picture_hash(8))),
            Asked(OTHER, Fingerprint(1, 100, None, {"full": picture_hash(5)}, picture_hash(8))),
            Asked(OTHER),
            Asked(None, Fingerprint(1, 10, None, {}, picture_hash(7))),
        ]
        known = opened(folder).lookup(asked, Use.GENAI_TRAIN)
        told = [
            k.status if k.status is not Status.OK else decide(k.statements, Use.GENAI_TRAIN).action
            for k in known
        ]
        assert told == [url, file, copy, stranger, "keep", "keep"]
        assert {one.as_of_seq for one in known} == {1}

    def test_a_tier_is_whole_or_not_here(self, folder: Path, opened: Any) -> None:
        for name in ("records", "keys/files", "pictures/pdq"):
            [place] = folder.glob(f"{name}*") if "/" not in name else folder.glob(f"{name}-*")
            hidden = place.with_name("hidden")
            place.rename(hidden)
            with pytest.raises(SnapshotError, match="missing"):
                opened(folder)
            hidden.rename(place)
        assert opened(folder).tiers == ("filter", "keys", "pictures", "parquet")
        for tier in ("filter", "keys", "records", "pictures"):
            shutil.rmtree(folder / tier)
        with pytest.raises(SnapshotError, match="neither keys nor filter"):
            opened(folder)

    @pytest.mark.parametrize(
        ("age", "max_age", "refused"),
        [
            (0, 7, ""),
            (6.9, 7, ""),
            (7.1, 7, "7.1 days ago"),
            (1, 0.5, "1.0 days ago"),
            (-1, 7, "by the clock"),
        ],
    )
    def test_one_that_is_too_old_answers_nothing(
        self, folder: Path, opened: Any, age: float, max_age: float, refused: str
    ) -> None:
        if not refused:
            assert opened(folder, age * 86_400, max_age=max_age).as_of_seq == 1
            return
        with pytest.raises(StaleSnapshotError, match=refused):
            opened(folder, age * 86_400, max_age=max_age)
