"""Segments change how fast an answer comes, never which: whatever they hold, and whatever becomes of them."""

import contextlib
import gc
import json
import logging
import random
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from registry import registrar as registrar_module
from registry.builder import Builder
from registry.errors import SegmentError, StaleIndexError
from registry.fingerprint import (
    PHASH_RADIUS,
    REGISTERED_WINDOWS,
    REVIEW_RADIUS,
    STRICT_RADIUS,
    Fingerprint,
)
from registry.index import Index
from registry.index_folder import IndexFolder
from registry.lookup import MAX_NEAR, Answer, Lookup, Question
from registry.matching import find
from registry.preference import Preference, Use
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.segments import open_segment
from registry.store import Store
from registry.store.sql import table_of
from registry.tables import Event, Head, ReservationVersion, UrlRuleRow, Work
from registry.urls import UrlRule, candidate_keys, canonicalize_url, exact_key, url_rule

LIST = "current.json"
RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
_HALF_SET = [byte for byte in range(256) if byte.bit_count() == 4]


@pytest.fixture
def lookup(store: Store, folder: IndexFolder) -> Iterator[Lookup]:
    """One that lives as long as the test."""
    lookup = Lookup(store, folder)
    yield lookup
    settle(lookup)


def settle(lookup: Lookup) -> None:
    """Wait until nothing is being taken over."""
    assert lookup._opening.acquire(timeout=30)
    lookup._opening.release()


def taken_over(lookup: Lookup, folder: IndexFolder) -> None:
    """Ask until the segments that are listed are those that answer."""
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(SegmentError):  # until another one stands
            lookup.catch_up()
        settle(lookup)
        reading = lookup._reading
        if reading is not None and not reading.damage and list(reading.segments) == folder.parts():
            return
        assert time.monotonic() < end, "the segments were not taken over"


# What is asked: few values, so that the same one is lodged, changed and withdrawn by turns.

URLS = [
    canonicalize_url(f"https://{host}/{path}")
    for host in ("a.example.org", "b.example.org", "example.org", "other.test", "ada.github.io")
    for path in ("g/1.jpg", "g/h/2.jpg?w=1", "3.jpg")
]
FILES = [bytes([n]) * 32 for n in range(4)] + [bytes(16) + bytes([n]) * 16 for n in (1, 2)]
RULES = [
    url_rule("exact", "https://a.example.org/g/1.jpg"),
    url_rule("prefix", "https://a.example.org/g/"),
    url_rule("prefix", "https://other.test/g/h/"),
    url_rule("host", "b.example.org"),
    url_rule("domain", "example.org"),
    url_rule("domain", "ada.github.io"),
]
NEAR = [bytes(random.Random(n).choices(_HALF_SET, k=32)) for n in range(3)]
PHASHES = [bytes(8), b"\x0f" * 8, b"\xff" * 8]
WINDOWS = ["full", "trim", "start", "middle", "end"]


def turned(value: bytes, bits: int, seed: int = 0) -> bytes:
    """``value`` with so many bits turned."""
    number = int.from_bytes(value, "big")
    for place in random.Random(seed).sample(range(8 * len(value)), bits):
        number ^= 1 << place
    return number.to_bytes(len(value), "big")


def picture_of(made: random.Random) -> Fingerprint:
    windows = {
        name: turned(made.choice(NEAR), made.choice([0, 0, 3, 20, 40]), made.randrange(1000))
        for name in made.sample(WINDOWS, made.randint(1, 4))
    }
    phash = made.choice([None, turned(made.choice(PHASHES), made.randrange(3), made.randrange(99))])
    return Fingerprint(1, 100, phash, windows)


def questions() -> list[Question]:
    asked = [Question(url=url) for url in URLS]
    asked += [Question(sha256=value) for value in FILES]
    for value in NEAR:
        for bits in (0, 5, 30, 45, 60):
            asked.append(Question(fingerprint=Fingerprint(1, 100, None, {"full": turned(value, bits, 7)})))
    forms = {"full": turned(NEAR[0], 20, 8), "mirror": NEAR[1], "trim": turned(NEAR[0], 3, 9)}
    asked.append(Question(fingerprint=Fingerprint(1, 100, PHASHES[0], forms)))
    for value in PHASHES:
        for bits in (0, 3, 4):
            asked.append(Question(fingerprint=Fingerprint(1, 100, turned(value, bits, 5), {})))
    asked.append(Question(URLS[0], FILES[0], Fingerprint(1, 100, None, {"full": NEAR[0]})))
    asked.append(Question(url=canonicalize_url("https://nobody.test/")))
    asked.append(Question(fingerprint=Fingerprint(1, 10, None, {"full": NEAR[0]})))
    return asked


ASKED = questions()


# What was lodged, kept beside the registry and searched from end to end.


@dataclass
class Lodged:
    """One reservation: its works and rules with the event that brought each, and when it ended."""

    works: list[tuple[int, WorkDraft]]
    rules: list[tuple[int, UrlRule]]
    withdrawn: int | None = None

    def kinds(self, question: Question, seq: int, radius: int | None) -> Iterator[str]:
        """How this reservation speaks about a question, as of event ``seq``."""
        if self.withdrawn is not None and self.withdrawn <= seq:
            return
        keys = {} if question.url is None else {key: str(kind) for kind, key in candidates(question.url)}
        for key in [rule.key for since, rule in self.rules if since <= seq]:
            if key in keys:
                yield "url" if keys[key] == "exact" else keys[key]
        for work in [work for since, work in self.works if since <= seq]:
            if work.url is not None and exact_key(work.url) in keys:
                yield "url"
            if question.sha256 is not None and work.sha256 == question.sha256:
                yield "sha256"
            if work.fingerprint is not None and question.fingerprint is not None:
                yield from like(work.fingerprint, question.fingerprint, radius)


def candidates(url: Any) -> list[tuple[Any, bytes]]:
    return list(candidate_keys(url))


OWN_RADII = (60, 2, 20, STRICT_RADIUS, 40)
"""Of the windows, in turn."""


def like(lodged: Fingerprint, asked: Fingerprint, radius: int | None) -> Iterator[str]:
    limit = STRICT_RADIUS if radius is None else radius
    if (asked.quality >= 50 or radius is not None) and any(
        apart(one, other) <= min(limit, OWN_RADII[REGISTERED_WINDOWS.index(name) % 5])
        for one in asked.pdq.values()
        if int.from_bytes(one).bit_count() >= 112
        for name, other in lodged.pdq.items()
    ):
        yield "pdq"
    if radius is None or asked.pdq or asked.phash is None or lodged.phash is None:
        return
    if asked.quality >= 50 and apart(asked.phash, lodged.phash) <= PHASH_RADIUS:
        yield "phash"


def apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


@dataclass
class History:
    """Lodges at random, and knows what should be found."""

    registrar: Registrar
    caller: Caller
    made: random.Random
    lodged: dict[str, Lodged] = field(default_factory=dict)
    head: int = 0

    def go_on(self) -> None:
        live = [id_ for id_, one in self.lodged.items() if one.withdrawn is None]
        step = self.made.choice(["register", "register", "register", "add", "change", "withdraw", "together"])
        if step == "together":
            drafts = [self._draft() for _ in range(3)]
            done = self.registrar.register_together(self.caller, drafts)
            for draft, one in zip(drafts, done, strict=True):
                self._keep(one.id, one.seq, draft)
        elif step == "register" or not live:
            draft = self._draft()
            done_one = self.registrar.register(self.caller, draft)
            self._keep(done_one.id, done_one.seq, draft)
        elif step == "add":
            id_, works = self.made.choice(live), self._works(2)
            self.head = self.registrar.add_works(self.caller, id_, works).seq
            self.lodged[id_].works += [(self.head, work) for work in works]
        elif step == "change":
            preference = self.made.choice([Preference.CONDITIONAL, Preference.RESERVED])
            change = Change({Use.GENAI_TRAIN: preference}, label=f"since {self.head + 1}")
            self.head = self.registrar.change(self.caller, self.made.choice(live), change).seq
        else:
            id_ = self.made.choice(live)
            self.head = self.registrar.withdraw(self.caller, id_).seq
            self.lodged[id_].withdrawn = self.head

    def expected(self, seq: int, *, review: bool = True) -> list[list[tuple[str, str]]]:
        """For each question the reservations that speak about it, and how."""
        radius = REVIEW_RADIUS if review else None
        return [
            sorted(
                (id_, kind)
                for id_, one in self.lodged.items()
                if min(since for since, _ in [*one.works, *one.rules]) <= seq
                for kind in one.kinds(question, seq, radius)
            )
            for question in ASKED
        ]

    def _keep(self, id_: str, seq: int, draft: Draft) -> None:
        self.lodged[id_] = Lodged(
            [(seq, work) for work in draft.works], [(seq, rule) for rule in draft.rules]
        )
        self.head = seq

    def _draft(self) -> Draft:
        rules = self.made.sample(RULES, self.made.choice([0, 0, 0, 1, 2]))
        return Draft(RESERVED, self._works(1 if not rules else 0), rules, label=f"from {self.head + 1}")

    def _works(self, least: int) -> list[WorkDraft]:
        made = self.made
        works = []
        for number in range(made.randint(least, 3)):
            keys = made.sample(["url", "sha256", "fingerprint"], made.randint(1, 3))
            works.append(
                WorkDraft(
                    f"work {number}",
                    made.choice(URLS) if "url" in keys else None,
                    made.choice(FILES) if "sha256" in keys else None,
                    picture_of(made) if "fingerprint" in keys else None,
                )
            )
        return works


def found(answer: Answer) -> list[list[tuple[str, str]]]:
    return [sorted((s.record, s.match.kind) for s in said) for said in answer.statements]


def whole(answer: Answer) -> tuple[int, list[list[str]], frozenset[int]]:
    """Everything that an answer says; the statements about one question have no order."""
    return answer.as_of_seq, [sorted(map(repr, said)) for said in answer.statements], answer.incomplete


def assert_same_answers(store: Store, *others: Lookup, seqs: Sequence[int | None] = (None,)) -> None:
    """As a look-up that reads everything from the database gives them."""
    plain = Lookup(store)
    for seq in seqs:
        for review in (True, False):
            wanted = whole(plain.ask(ASKED, seq, review=review))
            for other in others:
                assert whole(other.ask(ASKED, seq, review=review)) == wanted


@pytest.fixture
def own_radii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each registered window carry a radius of its own, as its form of storage allows."""
    pack = registrar_module.pack_windows

    def packed(*args: Any, **kwargs: Any) -> bytes:
        made = bytearray(pack(*args, **kwargs))
        for at in range(12 if made[3] else 4, len(made), 34):
            made[at + 1] = OWN_RADII[made[at] % 5]
        return bytes(made)

    monkeypatch.setattr(registrar_module, "pack_windows", packed)


@pytest.fixture
def history(registrar: Registrar, caller: Any, builder: Builder, own_radii: None) -> History:
    """Twenty-four steps, and three segments; one step is in none."""
    made = History(registrar, caller, random.Random(11))
    for count in (14, 6, 3):
        for _ in range(count):
            made.go_on()
        # Merged at once they would be one: each is built as if the others stood for more.
        build_apart(builder)
    assert len(builder.folder.parts()) == 3
    made.go_on()
    return made


def build_apart(builder: Builder) -> None:
    """Build a segment of what is new, and merge nothing."""
    before = builder.folder.parts()
    after = before[-1].upto if before else 0
    folder = Unmerged(builder.folder.path)
    part = Builder(builder.store, folder).build(1)
    assert part is not None
    assert part.after == after


class Unmerged(IndexFolder):
    """A folder whose segments tell the builder that they are large."""

    def parts(self) -> list[Any]:
        self.real = super().parts()
        return [replace(part, size=1 << 40) for part in self.real]

    def open(self, part: Any, *, check: bool = True) -> Any:
        return super().open(self._real(part), check=check)

    def publish(self, parts: Sequence[Any]) -> None:
        super().publish([self._real(part) for part in parts])

    def _real(self, part: Any) -> Any:
        return next((real for real in self.real if real.file == part.file), part)


class TestTheSameAnswers:
    @pytest.mark.parametrize("seed", range(3))
    def test_with_and_without_segments_at_every_event(
        self,
        store: Store,
        registrar: Registrar,
        caller: Any,
        builder: Builder,
        lookup: Lookup,
        tmp_path: Path,
        own_radii: None,
        seed: int,
    ) -> None:
        """Asked of: no folder, one look-up all along, segments and what came since, segments of all."""
        history = History(registrar, caller, random.Random(seed))
        apart = Builder(store, IndexFolder(tmp_path / "apart"))
        while history.head < 18:
            history.go_on()
            answer = lookup.ask(ASKED)
            assert answer.as_of_seq == history.head
            assert [sorted(set(said)) for said in history.expected(history.head)] == [
                sorted(set(said)) for said in found(answer)
            ]
            if history.made.random() < 0.25:
                builder.build(1)
            if history.made.random() < 0.2:
                apart.build(history.made.randint(1, 8))
        settle(lookup)
        complete = IndexFolder(tmp_path / "complete")
        Builder(store, complete).build(1)
        lookups = [lookup, *(Lookup(store, one) for one in (builder.folder, apart.folder, complete))]
        assert_same_answers(store, *lookups, seqs=[*range(history.head + 1), None])
        settle(lookup)

    def test_the_answers_are_those_of_a_search_from_end_to_end(
        self, store: Store, folder: IndexFolder, history: History
    ) -> None:
        """So that equal answers are not equally wrong."""
        lookup = Lookup(store, folder)
        for seq in range(history.head + 1):
            for review in (True, False):
                answer = lookup.ask(ASKED, seq, review=review)
                assert found(answer) == history.expected(seq, review=review)
        assert sum(map(len, history.expected(history.head))) > 100

    def test_several_segments_and_what_came_since(
        self, store: Store, folder: IndexFolder, history: History
    ) -> None:
        lookup = Lookup(store, folder)
        assert_same_answers(store, lookup)
        assert lookup._reading is not None
        assert list(lookup._reading.segments) == folder.parts()
        assert lookup._reading.reached.seq > folder.parts()[-1].upto

    def test_segments_ahead_of_what_was_asked_do_not_show_the_later_events(
        self, store: Store, folder: IndexFolder, history: History
    ) -> None:
        assert found(Lookup(store, folder).ask(ASKED, 0)) == [[] for _ in ASKED]


def names_of(folder: IndexFolder) -> list[str]:
    return [part.file for part in folder.parts()]


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "another format": lambda path: path.write_bytes(b"CAVEATSG\2" + path.read_bytes()[9:]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def listing(**changed: Any) -> bytes:
    part = {"file": "x", "after": 0, "upto": 1, "mark": "", "size": 1, **changed}
    return json.dumps({"format": 1, "parts": [part]}).encode()


LISTS = {
    "empty": b"",
    "no JSON": b"{",
    "too deep": b"[" * 100_000,
    "another format": b'{"format": 2, "parts": []}',
    "of another kind": b'{"format": 1, "parts": [1]}',
    "of a file that is missing": listing(),
    "file of another type": listing(file=5),
    "mark of another type": listing(mark=[]),
    "event of another type": listing(upto="x"),
    "beyond every event": listing(upto=2**70),
}


class TestDamage:
    def test_a_bit_turned_in_any_array_of_any_segment(
        self, store: Store, folder: IndexFolder, history: History, caplog: pytest.LogCaptureFixture
    ) -> None:
        wanted, made = whole(Lookup(store).ask(ASKED)), random.Random(3)
        for which, name in enumerate(names_of(folder)):
            path = folder.path / name
            sound, changed = path.read_bytes(), 0
            for kind, array in open_segment(path).arrays.items():
                if not array.nbytes or made.random() < (0.5 if which else 0):
                    continue
                place = sound.index(array.tobytes()) + made.randrange(array.nbytes)
                path.unlink()
                turned = sound[place] ^ 1 << made.randrange(8)
                path.write_bytes(sound[:place] + bytes([turned]) + sound[place + 1 :])
                caplog.clear()
                lookup = Lookup(store, folder)
                assert whole(lookup.ask(ASKED)) == wanted, kind
                assert said(caplog, name), kind
                assert lookup._reading is not None
                assert [part.file for part in lookup._reading.segments] == names_of(folder)[:which]
                changed += 1
            assert changed > 3
            path.write_bytes(sound)

    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
    def test_a_damaged_segment_is_read_from_the_database(
        self,
        store: Store,
        folder: IndexFolder,
        history: History,
        damage: Callable[[Path], Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for name in reversed(names_of(folder)):
            damage(folder.path / name)
            caplog.clear()
            assert_same_answers(store, Lookup(store, folder))
            assert said(caplog, name)

    def test_damaged_segments_are_taken_over_once_they_are_built_anew(
        self,
        store: Store,
        folder: IndexFolder,
        history: History,
        builder: Builder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        path = folder.path / names_of(folder)[0]
        path.write_bytes(path.read_bytes()[:-1])
        lookup = Lookup(store, folder)
        lookup.catch_up()
        assert said(caplog, path.name)
        assert builder.build(1) is not None
        caplog.clear()
        taken_over(lookup, folder)
        assert_same_answers(store, lookup)
        assert caplog.records == []

    @pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
    def test_a_list_that_cannot_be_read(
        self,
        store: Store,
        folder: IndexFolder,
        history: History,
        lookup: Lookup,
        text: bytes,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """By a worker that begins, and by one that is at work."""
        lookup.catch_up()
        (folder.path / LIST).write_bytes(text)
        for one in (Lookup(store, folder), lookup):
            caplog.clear()
            assert_same_answers(store, one)
            settle(one)
            assert said(caplog, "")
        assert_same_answers(store, lookup)

    @pytest.mark.parametrize("below", ["", "index"], ids=["the folder", "a part of its path"])
    def test_a_folder_that_is_a_file(
        self, store: Store, registrar: Registrar, caller: Any, tmp_path: Path, below: str
    ) -> None:
        registrar.register(caller, Draft(RESERVED, [WorkDraft(url=URLS[0])]))
        (tmp_path / "file").write_bytes(b"x")
        assert_same_answers(store, Lookup(store, IndexFolder(tmp_path / "file" / below)))

    def test_the_list_vanishes(
        self, store: Store, folder: IndexFolder, history: History, lookup: Lookup, builder: Builder
    ) -> None:
        lookup.catch_up()
        shutil.rmtree(folder.path)
        for _ in range(2):
            assert_same_answers(store, lookup)
            settle(lookup)
            history.go_on()
        assert lookup._reading is not None
        assert lookup._reading.segments == {}
        assert builder.build(1) is not None
        taken_over(lookup, folder)
        assert_same_answers(store, lookup)


def turn_bit(path: Path, near: bytes) -> None:
    """Turn a bit of ``near`` in the file, in place, as whoever has it mapped sees it."""
    at = path.read_bytes().index(near)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([near[0] ^ 1]))


def threads_of_rechecking() -> set[int | None]:
    return {one.ident for one in threading.enumerate() if "_go_on" in one.name}


class TestBitsThatTurnLater:
    KEY = exact_key(URLS[0])[:8][::-1]

    @pytest.fixture
    def watched(
        self, store: Store, folder: IndexFolder, registrar: Registrar, caller: Any, builder: Builder
    ) -> Iterator[Lookup]:
        """One that checks again within half a second, and has opened a segment with one work."""
        registrar.register(caller, Draft(RESERVED, [WorkDraft(url=URLS[0])]))
        assert builder.build(1) is not None
        lookup = Lookup(store, folder, 0.5)
        assert len(lookup.ask([Question(url=URLS[0])]).statements[0]) == 1
        yield lookup
        settle(lookup)

    def test_within_the_time_it_is_refused_and_then_answered_from_what_stands(
        self, watched: Lookup, folder: IndexFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody builds: the events are read from the database."""
        assert watched._reading is not None
        (index,) = watched._reading.segments.values()
        turn_bit(folder.path / folder.parts()[0].file, self.KEY)
        end = time.monotonic() + 0.5 + 2  # the machine may be busy
        while index.damage is None:
            assert time.monotonic() < end, "not found within its time"
            time.sleep(0.005)
        assert said(caplog, folder.parts()[0].file)
        refused = 0
        while watched._reading.segments:
            with contextlib.suppress(SegmentError):
                assert len(watched.ask([Question(url=URLS[0])]).statements[0]) == 1
                continue
            refused += 1
        assert refused > 0
        assert len(watched.ask([Question(url=URLS[0])]).statements[0]) == 1

    def test_what_is_built_in_its_place_is_taken_up(
        self, watched: Lookup, folder: IndexFolder, builder: Builder
    ) -> None:
        (part,) = folder.parts()
        turn_bit(folder.path / part.file, self.KEY)
        assert builder.build(again=True) is not None
        (other,) = folder.parts()
        assert other == replace(part, file=other.file)
        assert other.file != part.file
        taken_over(watched, folder)
        assert len(watched.ask([Question(url=URLS[0])]).statements[0]) == 1

    def test_a_replacement_that_fails_is_tried_again_and_nothing_is_answered_meanwhile(
        self, watched: Lookup, folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert watched._reading is not None
        (index,) = watched._reading.segments.values()
        index.damage = SegmentError("turned")
        with monkeypatch.context() as patch:
            patch.setattr(Lookup, "_opened", lambda *_: 1 / 0)
            for _ in range(5):
                for ask in (watched.catch_up, lambda: watched.ask([Question(url=URLS[0])])):
                    with pytest.raises(SegmentError, match="turned"):
                        ask()
                settle(watched)
        taken_over(watched, folder)
        assert index not in watched._reading.segments.values()
        assert len(watched.ask([Question(url=URLS[0])]).statements[0]) == 1

    def test_what_is_found_while_an_answer_is_looked_for_is_no_answer(
        self, watched: Lookup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert watched._reading is not None
        (index,) = watched._reading.segments.values()

        def found(*args: Any, **kwargs: Any) -> Any:
            index.damage = SegmentError("turned")
            return find(*args, **kwargs)

        monkeypatch.setattr("registry.lookup.find", found)
        with pytest.raises(SegmentError, match="turned"):
            watched.ask([Question(url=URLS[0])])

    @pytest.mark.parametrize(
        ("array", "bit", "question"),
        [
            ("pdq.windows", 7, Question(fingerprint=Fingerprint(1, 100, None, {"full": NEAR[0]}))),
            ("pdq.places", 62, Question(fingerprint=Fingerprint(1, 100, None, {"full": NEAR[0]}))),
            ("rules.records", 62, Question(url=URLS[0])),
        ],
        ids=["no such window", "an event to come", "an event to come, by its address"],
    )
    def test_what_leads_the_search_astray_is_named_before_it_is_looked_for(
        self,
        store: Store,
        folder: IndexFolder,
        registrar: Registrar,
        caller: Any,
        builder: Builder,
        array: str,
        bit: int,
        question: Question,
    ) -> None:
        work = WorkDraft(url=URLS[0], fingerprint=Fingerprint(1, 100, None, {"full": NEAR[0]}))
        registrar.register(caller, Draft(RESERVED, [work]))
        assert builder.build(1) is not None
        lookup = Lookup(store, folder)
        assert len(lookup.ask([question]).statements[0]) == 1
        path = folder.path / folder.parts()[0].file
        header, size = path.read_bytes()[16:], int.from_bytes(path.read_bytes()[12:16], "little")
        places = {name: at for name, _, _, at in json.loads(header[:size])["arrays"]}
        with path.open("r+b") as file:
            file.seek(places[array] + bit // 8)
            byte = file.read(1)[0] ^ 1 << bit % 8
            file.seek(places[array] + bit // 8)
            file.write(bytes([byte]))
        with pytest.raises(SegmentError, match="damaged since it was opened"):
            lookup.ask([question])
        with contextlib.suppress(SegmentError):  # until the events were read
            lookup.catch_up()
        settle(lookup)
        assert len(lookup.ask([question]).statements[0]) == 1

    def test_a_fault_of_the_search_in_sound_segments_stays_what_it_is(
        self, watched: Lookup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("registry.lookup.find", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            watched.ask([Question(url=URLS[0])])
        assert watched.catch_up() > 0

    def test_the_thread_ends_with_its_owner_and_keeps_no_file_open(
        self, store: Store, folder: IndexFolder, history: History
    ) -> None:
        before = threads_of_rechecking()
        lookup = Lookup(store, folder, 60)
        lookup.catch_up()
        assert lookup._reading is not None
        index = weakref.ref(next(iter(lookup._reading.segments.values())))
        assert len(threads_of_rechecking() - before) == 1
        del lookup
        gc.collect()
        end = time.monotonic() + 5
        while threads_of_rechecking() - before:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert index() is None


def said(caplog: pytest.LogCaptureFixture, name: str) -> bool:
    return any(name in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)


class TestOtherDatabases:
    def test_segments_of_another_registry_are_refused(
        self,
        store: Store,
        folder: IndexFolder,
        history: History,
        caller: Any,
        registrar: Registrar,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The same events once more, as a registry that was set up again with the same data has them."""
        events = history.head
        empty(store)
        again = History(registrar, caller, random.Random(11))
        while again.head < events:
            again.go_on()
        lookup = Lookup(store, folder)
        assert_same_answers(store, lookup, seqs=(None, 3, 20))
        assert found(lookup.ask(ASKED)) == again.expected(events)
        assert said(caplog, "another database")
        assert lookup._reading is not None
        assert lookup._reading.segments == {}

    def test_an_older_copy_of_the_database(
        self, store: Store, folder: IndexFolder, history: History, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The first segment is still of it; the others are of what it has forgotten."""
        first = folder.parts()[0]
        put_back(store, first.upto + 1)
        lookup = Lookup(store, folder)
        assert_same_answers(store, lookup, seqs=(None, 3, first.upto))
        assert lookup._reading is not None
        assert list(lookup._reading.segments) == [first]
        assert said(caplog, "another database")

    def test_a_worker_that_answered_from_the_newer_state_refuses_to_answer(
        self, store: Store, folder: IndexFolder, history: History, lookup: Lookup
    ) -> None:
        lookup.catch_up()
        put_back(store, folder.parts()[0].upto)
        for _ in range(2):
            with pytest.raises(StaleIndexError):
                lookup.ask(ASKED)

    @pytest.mark.parametrize("built", [False, True], ids=["without segments", "with segments"])
    def test_what_is_lodged_after_an_older_copy_was_put_back_is_found_or_no_answer_is_given(
        self,
        store: Store,
        history: History,
        folder: IndexFolder,
        registrar: Registrar,
        caller: Any,
        built: bool,
    ) -> None:
        """As many events later the head is where it was, and the worker's index is of what was forgotten."""
        lookup = Lookup(store, folder if built else None)
        lookup.catch_up()
        put_back(store, history.head - 3)
        url = canonicalize_url("https://new.test/a.jpg")
        ids = [registrar.register(caller, Draft(RESERVED, [WorkDraft(url=url)])).id for _ in range(4)]
        with contextlib.suppress(StaleIndexError):
            assert {s.record for s in lookup.ask([Question(url=url)]).statements[0]} == set(ids)

    def test_a_gap_in_the_events_after_the_segments_is_no_answer(
        self, store: Store, folder: IndexFolder, history: History
    ) -> None:
        event = table_of(Event)
        with store.administer() as connection:
            connection.execute(delete(event).where(event.c.seq == history.head))
        lookup = Lookup(store, folder)
        for _ in range(2):
            with pytest.raises(StaleIndexError):
                lookup.ask(ASKED)


def put_back(store: Store, seq: int) -> None:
    """Make the database what it was at event ``seq``."""
    with store.administer() as connection:
        event = table_of(Event)
        connection.execute(delete(event).where(event.c.seq > seq))
        for table in (table_of(Work), table_of(UrlRuleRow), table_of(ReservationVersion)):
            connection.execute(delete(table).where(table.c.from_seq > seq))
            connection.execute(update(table).where(table.c.to_seq > seq).values(to_seq=None))
        connection.execute(update(table_of(Head)).values(n=seq))


def empty(store: Store) -> None:
    put_back(store, 0)


class TestTakingOver:
    def test_a_look_up_takes_newer_segments_over_and_forgets_nothing(
        self, store: Store, history: History, folder: IndexFolder, builder: Builder, lookup: Lookup
    ) -> None:
        for _ in range(3):
            for _ in range(3):
                history.go_on()
                assert found(lookup.ask(ASKED)) == history.expected(history.head)
            assert builder.build(1) is not None
            taken_over(lookup, folder)
            assert found(lookup.ask(ASKED)) == history.expected(history.head)
        assert_same_answers(store, lookup, seqs=(None, 5, 20))

    def test_segments_that_it_has_already_are_not_opened_again(
        self, history: History, folder: IndexFolder, builder: Builder, lookup: Lookup
    ) -> None:
        lookup.catch_up()
        assert lookup._reading is not None
        before = dict(lookup._reading.segments)
        assert len(before) == 3
        build_apart(builder)
        taken_over(lookup, folder)
        after = lookup._reading.segments
        assert [after[part] is frozen for part, frozen in before.items()] == [True] * 3
        assert len(after) == 4

    @pytest.mark.parametrize("threads", [8])
    def test_what_is_acknowledged_is_found_by_the_next_question_while_segments_are_replaced(
        self,
        store: Store,
        registrar: Registrar,
        caller: Any,
        folder: IndexFolder,
        builder: Builder,
        lookup: Lookup,
        threads: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        each, stop, built = 12, threading.Event(), [0]
        lookup.catch_up()

        def build() -> None:
            while not stop.is_set():
                built[0] += builder.build(1) is not None

        def lodge(number: int) -> list[str]:
            made, missed, mine = random.Random(number), [], []
            for n in range(each):
                url = canonicalize_url(f"https://h{number}.test/{n}.jpg")
                value = made.randbytes(32)
                picture = Fingerprint(1, 100, None, {"full": bytes(made.choices(_HALF_SET, k=32))})
                works = [WorkDraft("", url, value, picture)]
                id_ = registrar.register(caller, Draft(RESERVED, works)).id
                mine.append((id_, Question(url=url), Question(sha256=value), Question(fingerprint=picture)))
                for id_, *asked in (mine[-1], made.choice(mine)):
                    answer = lookup.ask(asked)
                    missed += [id_ for some in answer.statements if [s.record for s in some] != [id_]]
            return missed

        with ThreadPoolExecutor(threads + 1) as pool:
            building = pool.submit(build)
            try:
                lost = [missed for done in pool.map(lodge, range(threads), timeout=60) for missed in done]
            finally:
                stop.set()
            building.result()
        assert lost == []
        assert built[0] > 2
        taken_over(lookup, folder)
        assert lookup.catch_up() == threads * each
        assert_same_answers(store, lookup)
        assert not said(caplog, "not taken over")

    def test_a_take_over_that_fails_is_tried_again_and_nothing_is_lost_meanwhile(
        self,
        store: Store,
        history: History,
        folder: IndexFolder,
        builder: Builder,
        lookup: Lookup,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        lookup.catch_up()
        assert builder.build(1) is not None
        with monkeypatch.context() as patch:
            patch.setattr(IndexFolder, "open", failing)
            for _ in range(3):
                assert found(lookup.ask(ASKED)) == history.expected(history.head)
                settle(lookup)
        assert said(caplog, "not taken over")
        taken_over(lookup, folder)
        assert_same_answers(store, lookup)

    def test_a_take_over_that_begins_while_another_thread_catches_up_is_no_error(
        self,
        store: Store,
        history: History,
        builder: Builder,
        lookup: Lookup,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """While events are taken in there is no index to look at; whoever asked just before saw one."""
        lookup.catch_up()
        assert builder.build(1) is not None
        looking, look, adding, go_on = (threading.Event() for _ in range(4))
        version, add = IndexFolder.version, Index.add
        first = threading.Lock()

        def slow_version(folder: IndexFolder) -> Any:
            found = version(folder)
            if first.acquire(blocking=False):
                looking.set()
                assert look.wait(30)
            return found

        def slow_add(index: Index, entries: Any) -> None:
            adding.set()
            assert go_on.wait(30)
            add(index, entries)

        monkeypatch.setattr(IndexFolder, "version", slow_version)
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(lookup.ask, ASKED)
            assert looking.wait(30)
            history.go_on()
            lookup._opening.acquire()  # the second one only catches up
            monkeypatch.setattr(Index, "add", slow_add)
            other = pool.submit(lookup.ask, ASKED)
            assert adding.wait(30) or other.result()
            lookup._opening.release()
            look.set()
            settle_after_start(lookup)
            monkeypatch.setattr(Index, "add", add)
            go_on.set()
            assert found(other.result()) == history.expected(history.head)
            assert one.result().as_of_seq <= history.head
        settle(lookup)
        assert_same_answers(store, lookup)
        assert not said(caplog, "not taken over")


def settle_after_start(lookup: Lookup) -> None:
    """Give a thread that is about to take over the time to do so."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end and not lookup._opening.locked():
        time.sleep(0.005)
    time.sleep(0.05)


def failing(*_: object, **__: object) -> None:
    raise MemoryError


def alike(count: int, preference: Preference = Preference.RESERVED, bits: int = 0) -> Draft:
    picture = Fingerprint(1, 100, PHASHES[0], {"full": turned(NEAR[0], bits, 4)})
    return Draft({Use.GENAI_TRAIN: preference}, [WorkDraft(fingerprint=picture)] * count)


LIKE = Question(fingerprint=Fingerprint(1, 100, None, {"full": NEAR[0]}))
LIKE_PHASH = Question(fingerprint=Fingerprint(1, 100, PHASHES[0], {}))
UNLIKE = Question(fingerprint=Fingerprint(1, 100, None, {"full": NEAR[1]}))


class TestTooManyNear:
    @pytest.mark.parametrize("built", [False, True], ids=["from the database", "from a segment"])
    @pytest.mark.parametrize(("count", "cut"), [(MAX_NEAR, False), (MAX_NEAR + 1, True)])
    def test_an_answer_says_that_not_all_were_looked_at(
        self,
        store: Store,
        registrar: Registrar,
        caller: Any,
        builder: Builder,
        folder: IndexFolder,
        built: bool,
        count: int,
        cut: bool,
    ) -> None:
        registrar.register(caller, alike(count))
        if built:
            builder.build(1)
        answer = Lookup(store, folder).ask([UNLIKE, LIKE, Question(url=URLS[0]), LIKE_PHASH, LIKE])
        assert answer.incomplete == (frozenset({1, 3, 4}) if cut else frozenset())
        assert [len(said) for said in answer.statements] == [0, *[MAX_NEAR, 0, MAX_NEAR, MAX_NEAR]]

    def test_of_many_in_several_segments_none_is_missing_or_it_is_said(
        self, store: Store, registrar: Registrar, caller: Any, builder: Builder, folder: IndexFolder
    ) -> None:
        ids = []
        for _ in range(3):
            ids.append(registrar.register(caller, alike(MAX_NEAR // 2)).id)
            build_apart(builder)
        ids.append(registrar.register(caller, alike(1)).id)
        answer = Lookup(store, folder).ask([LIKE])
        assert answer.incomplete or {s.record for s in answer.statements[0]} == set(ids)

    OUTCOMES = (
        # what is near, told with review, told without
        ([alike(MAX_NEAR + 1)], ("ok", "reserved"), ("ok", "reserved")),
        ([alike(MAX_NEAR + 1, Preference.CONDITIONAL)], ("error", None), ("error", None)),
        ([alike(MAX_NEAR + 1, bits=40)], ("error", None), ("ok", "unknown")),
        ([alike(MAX_NEAR, Preference.CONDITIONAL)], ("ok", "conditional"), ("ok", "conditional")),
        ([alike(MAX_NEAR, bits=40)], ("ok", "unknown"), ("ok", "unknown")),
    )

    @pytest.mark.parametrize("built", [False, True], ids=["from the database", "from a segment"])
    @pytest.mark.parametrize(
        ("drafts", "reviewed", "certain"),
        OUTCOMES,
        ids=["reserved", "conditional", "doubtful", "conditional, all", "doubtful, all"],
    )
    def test_the_service_answers_with_an_error_unless_it_is_reserved_anyway(
        self,
        registrar: Registrar,
        caller: Any,
        builder: Builder,
        make_app: Callable[..., Any],
        built: bool,
        drafts: list[Draft],
        reviewed: tuple[str, str | None],
        certain: tuple[str, str | None],
    ) -> None:
        for draft in drafts:
            registrar.register(caller, draft)
        if built:
            builder.build(1)
        client = make_app(index=builder.folder.path).test_client()
        for review, wanted in ((True, reviewed), (False, certain)):
            assert told(client, review=review) == wanted

    @pytest.mark.parametrize("built", [False, True], ids=["from the database", "from a segment"])
    def test_withdrawn_works_do_not_push_a_reservation_out_of_sight(
        self,
        registrar: Registrar,
        caller: Any,
        builder: Builder,
        make_app: Callable[..., Any],
        built: bool,
    ) -> None:
        """They are near all the same, and nobody knows whether what was not looked at is reserved."""
        registrar.withdraw(caller, registrar.register(caller, alike(MAX_NEAR + 50)).id)
        registrar.register(caller, alike(1, bits=20))
        if built:
            builder.build(1)
        client = make_app(index=builder.folder.path).test_client()
        for review in (True, False):
            assert told(client, review=review) in (("error", None), ("ok", "reserved"))


def told(client: Any, *, review: bool) -> tuple[str, str | None]:
    item = {"id": "a", "fingerprint": {"v": 1, "quality": 100, "pdq": {"full": NEAR[0].hex()}}}
    other = {"id": "b", "url": "https://nobody.test/"}
    response = client.post("/api/v1/lookup", json={"items": [item, other], "review": review})
    assert response.status_code == 200, response.text
    first, second = response.get_json()["results"]
    assert (second["status"], second["preference"]) == ("ok", "unknown")
    if first["status"] == "error":
        assert str(MAX_NEAR) in first["reason"]
        assert (first["statements"], first["matched_by"]) == ([], None)
    return first["status"], first["preference"]
