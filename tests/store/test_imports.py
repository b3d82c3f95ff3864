"""Imports: durable part by part, visible together, taken back as a whole; the index files change nothing."""

import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from registry import imports as imports_module
from registry.blocks import Block
from registry.builder import Builder
from registry.errors import ConflictError, ForbiddenError, InputError, NotFoundError, PayloadTooLargeError
from registry.import_claim import Claim, digest_of, statement_of
from registry.imports import Completed, Importer, PartBody, PartStored
from registry.index_folder import IndexFolder
from registry.leaf import commit, parse_leaf
from registry.listing import NDJSON
from registry.lookup import Lookup, Question
from registry.merkle import leaf_hash, require_inclusion
from registry.note import Signer, sign_note
from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store, events, imports, payloads, principals, reservations
from registry.store.sql import table_of
from registry.tables import Event, Head, ImportPart
from registry.urls import canonicalize_url

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def url(number: int) -> str:
    return f"https://works.example.org/{number}.jpg"


def file(number: int) -> bytes:
    return number.to_bytes(16, "big") * 2


def body(numbers: Sequence[int]) -> PartBody:
    """Works by URL and SHA-256, a title each."""
    lines = [
        json.dumps({"title": f"No. {number}", "url": url(number), "sha256": file(number).hex()}) + "\n"
        for number in numbers
    ]
    return PartBody("".join(lines).encode(), NDJSON)


def asked(*numbers: int) -> list[Question]:
    return [Question(url=canonicalize_url(url(number)), sha256=file(number)) for number in numbers]


@dataclass
class Partner:
    """Somebody with the namespace acme, and an import of theirs."""

    caller: Any
    signer: Signer
    importer: Importer
    id: str = ""
    stored: dict[int, PartStored] = field(default_factory=dict)

    def open(self) -> "Partner":
        id_, verifier = self.importer.open(self.caller, "acme", Draft(RESERVED, label="Acme"))
        assert verifier == self.signer.verifier
        return replace(self, id=id_, stored={})

    def put(self, number: int, numbers: Sequence[int]) -> PartStored:
        self.stored[number] = self.importer.put(self.caller, self.id, number, body(numbers))
        return self.stored[number]

    def claim(self, signer: Signer | None = None, **changes: Any) -> Claim:
        parts = [self.stored[number] for number in sorted(self.stored)]
        digest = digest_of([part.sha256 for part in parts])
        claim = replace(Claim(len(parts), sum(part.works for part in parts), digest), **changes)
        text = statement_of("acme", self.id, claim)
        return replace(claim, note=sign_note(text, [signer or self.signer]))

    def complete(self, claim: Claim | None = None) -> Completed | None:
        return self.importer.complete(self.caller, self.id, claim or self.claim())

    def imported(self, *parts: Sequence[int]) -> "Partner":
        one = self.open()
        for number, numbers in enumerate(parts, 1):
            one.put(number, numbers)
        assert one.complete() is not None
        return one


@pytest.fixture
def now() -> list[datetime]:
    return [NOON]


@pytest.fixture
def importer(store: Store, now: list[datetime]) -> Importer:
    return Importer(store, lambda: now[0])


@pytest.fixture
def make_partner(store: Store, importer: Importer, make_key: Callable[..., Any]) -> Callable[..., Partner]:
    def make(scopes: Sequence[str] = ("import:acme",)) -> Partner:
        key, signer = make_key(scopes), Signer.new("acme.example")
        with store.administer() as connection:
            principals.set_import_key(connection, key.caller.principal_id, signer.verifier.text)
        return Partner(key.caller, signer, importer)

    return make


@pytest.fixture
def partner(make_partner: Callable[..., Partner]) -> Partner:
    return make_partner()


def found(lookup: Lookup, *numbers: int, seq: int | None = None) -> list[list[tuple[str, str, str]]]:
    """Record, kind of match and title of what was found of each work."""
    answer = lookup.ask(asked(*numbers), seq)
    return [[(s.record, s.match.kind, s.title) for s in said] for said in answer.statements]


def both_of(partner: Partner, number: int) -> list[tuple[str, str, str]]:
    title = f"No. {number}"
    return [(partner.id, "sha256", title), (partner.id, "url", title)]


def rows_of(store: Store) -> tuple[int, int, int]:
    """How many events and parts there are, and the head."""
    with store.read() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table_of(one))).scalar_one()
            for one in (Event, ImportPart)
        ]
        return counts[0], counts[1], connection.execute(select(table_of(Head).c.n)).scalar_one()


class TestVisibility:
    def test_nothing_before_complete_and_everything_after_it(self, store: Store, partner: Partner) -> None:
        followed, one = Lookup(store), partner.open()
        for part in (1, 2):
            assert one.put(part, [10 * part, 10 * part + 1]).seq == part
            assert found(followed, 10, 11, 20, 21) == [[]] * 4
            assert followed.catch_up() == part
        done = one.complete()
        assert done == Completed(one.id, 3, "complete", 2, 4)
        for lookup in (followed, Lookup(store)):
            assert found(lookup, 10, 11, 20, 21, 22) == [*(both_of(one, n) for n in (10, 11, 20, 21)), []]
            assert found(lookup, 10, 21, seq=2) == [[], []]
            assert found(lookup, 10, 21, seq=3) == [both_of(one, 10), both_of(one, 21)]
        statement = followed.ask(asked(10)).statements[0][0]
        assert (statement.preferences, statement.seq, statement.label) == (RESERVED, 3, "Acme")

    def test_an_item_without_url_or_file_is_not_found_by_what_it_lacks(
        self, store: Store, partner: Partner
    ) -> None:
        one = partner.open()
        lines = [{"url": url(1)}, {"sha256": file(2).hex()}]
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        one.stored[1] = one.importer.put(one.caller, one.id, 1, PartBody(data, NDJSON))
        assert one.complete()
        answer = Lookup(store).ask([*asked(1, 2), Question(sha256=bytes(32))])
        assert [[s.match.kind for s in said] for said in answer.statements] == [["url"], ["sha256"], []]

    def test_many_works_of_many_parts_are_told_apart(self, store: Store, partner: Partner) -> None:
        one = partner.imported(range(300), range(300, 600), range(600, 900))
        numbers = random.Random(1).sample(range(900), 700)
        assert found(Lookup(store), *numbers) == [both_of(one, number) for number in numbers]

    def test_half_a_hash_is_not_enough(self, store: Store, partner: Partner) -> None:
        partner.imported([7])
        other = file(7)[:16] + b"\1" * 16
        assert Lookup(store).ask([Question(sha256=other)]).statements == [[]]

    def test_pictures_are_found_by_likeness_and_plain_ones_are_named(
        self, store: Store, partner: Partner, picture_hash: Callable[..., bytes]
    ) -> None:
        one = partner.open()
        prints = [(100, 1), (3, 2)]
        lines = [
            {
                "sha256": file(seed).hex(),
                "fingerprint": {"v": 1, "quality": quality, "pdq": {"full": picture_hash(seed).hex()}},
            }
            for quality, seed in prints
        ]
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        one.stored[1] = one.importer.put(one.caller, one.id, 1, PartBody(data, NDJSON))
        assert one.stored[1].exact_only == [1]
        assert one.complete()
        from registry.fingerprint import Fingerprint

        questions = [
            Question(fingerprint=Fingerprint(1, 100, None, {"full": picture_hash(seed, 9)}))
            for _, seed in prints
        ]
        answer = Lookup(store).ask(questions)
        assert [[s.match.distance for s in said] for said in answer.statements] == [[9], []]


class TestOnceAndAgain:
    def test_the_same_part_gets_the_same_answer_and_another_body_none(
        self, store: Store, partner: Partner
    ) -> None:
        one = partner.open()
        first = one.put(1, [1, 2])
        before = rows_of(store)
        assert one.put(1, [1, 2]) == first
        with pytest.raises(ConflictError, match="part 1 is there already, with another body"):
            one.put(1, [1, 3])
        assert rows_of(store) == before == (1, 1, 1)

    def test_parts_in_any_order_twice_and_after_a_fall_are_a_clean_run(
        self, store: Store, partner: Partner, importer: Importer
    ) -> None:
        """Whoever fell sends everything again: what stands is answered, the rest is stored."""
        parts = {number: [10 * number, 10 * number + 1] for number in range(1, 6)}
        clean = partner.imported(*parts.values())
        for seed in range(3):
            chance = random.Random(seed)
            fallen = partner.open()
            for number in chance.sample(sorted(parts), chance.randint(1, 4)):
                fallen.put(number, parts[number])
            again = replace(fallen, stored={})
            for number in chance.sample(sorted(parts), 5):
                again.put(number, parts[number])
            done = again.complete()
            assert done is not None
            assert (done.parts, done.works) == (5, 10)
            assert again.claim().digest == clean.claim().digest
            assert [
                (part["part"], part["works"], part["sha256"])
                for part in importer.show(partner.caller, again.id)["parts"]
            ] == [
                (part["part"], part["works"], part["sha256"])
                for part in importer.show(partner.caller, clean.id)["parts"]
            ]
            lookup = Lookup(store)
            for number in (10, 31, 51):
                assert set(both_of(again, number)) | set(both_of(clean, number)) <= set(
                    found(lookup, number)[0]
                )

    def test_a_part_sent_twice_at_once_is_one_event(self, store: Store, partner: Partner) -> None:
        one, barrier = partner.open(), threading.Barrier(4)
        answers: list[PartStored] = []

        def send() -> None:
            barrier.wait()
            answers.append(one.importer.put(one.caller, one.id, 1, body([1, 2, 3])))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [answers[0]] * 4
        assert rows_of(store) == (1, 1, 1)

    def test_complete_twice_answers_the_same_and_another_claim_is_refused(
        self, store: Store, partner: Partner
    ) -> None:
        one = partner.imported([1], [2])
        head = store.head()
        assert one.complete() == Completed(one.id, head, "complete", 2, 2)
        with pytest.raises(ConflictError, match="was completed with other"):
            one.complete(one.claim(works=3))
        assert one.put(1, [1]) == one.stored[1]
        with pytest.raises(ConflictError, match="is complete and takes no more parts"):
            one.put(3, [3])
        assert store.head() == head

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"parts": 3}, "missing parts: 2"),
            ({"parts": 20}, r"missing parts: 2, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more"),
            ({"parts": 1}, "1 parts were declared, and there is part 3"),
        ],
        ids=["one missing", "many missing", "one too many"],
    )
    def test_parts_that_are_missing_or_too_many_are_named(
        self, store: Store, partner: Partner, changes: dict[str, int], told: str
    ) -> None:
        one = partner.open()
        one.put(1, [1])
        one.put(3, [3])
        with pytest.raises(ConflictError, match=told):
            one.complete(one.claim(**changes))
        assert store.head() == 2
        assert found(Lookup(store), 1) == [[]]

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"works": 5}, "5 works were declared, and the parts hold 2"),
            ({"digest": bytes(32)}, "the digest 00"),
        ],
        ids=["works", "digest"],
    )
    def test_works_and_digest_must_be_those_of_the_parts(
        self, store: Store, partner: Partner, changes: dict[str, Any], told: str
    ) -> None:
        one = partner.open()
        one.put(1, [1, 2])
        with pytest.raises(ConflictError, match=told):
            one.complete(one.claim(**changes))
        assert found(Lookup(store), 1) == [[]]

    @pytest.mark.parametrize(
        "data",
        [
            body([1, 2]).data[:-3],
            b"",
            b"\n",
            body([1]).data + b"{}\n",
            body([1]).data + b'{"url": "nothing"}\n',
            body([1]).data + b'{"url": "https://a.org/", "url": "https://b.org/"}\n',
        ],
        ids=["cut", "empty", "an empty line", "says nothing", "no URL", "doubled"],
    )
    def test_a_part_with_one_bad_row_leaves_nothing(
        self, store: Store, partner: Partner, data: bytes
    ) -> None:
        one = partner.open()
        with pytest.raises(InputError):
            one.importer.put(one.caller, one.id, 1, PartBody(data, NDJSON))
        assert rows_of(store) == (0, 0, 0)

    def test_too_many_works_and_impossible_numbers_are_refused(self, store: Store, partner: Partner) -> None:
        one = partner.open()
        with pytest.raises(PayloadTooLargeError):
            one.importer.put(one.caller, one.id, 1, replace(body([1, 2, 3]), most=2))
        for number in (0, imports_module.MAX_PARTS + 1):
            with pytest.raises(InputError, match="parts are numbered"):
                one.put(number, [1])
        assert rows_of(store) == (0, 0, 0)


class TestWhoMay:
    def test_without_the_scope_or_a_registered_key_nothing_begins(
        self, importer: Importer, partner: Partner, make_key: Callable[..., Any]
    ) -> None:
        with pytest.raises(ForbiddenError, match="may not import as 'other'"):
            importer.open(partner.caller, "other", Draft(RESERVED))
        with pytest.raises(ForbiddenError, match="no key is registered") as caught:
            importer.open(make_key(("import:acme",)).caller, "acme", Draft(RESERVED))
        assert "--import-key" in caught.value.hint

    @pytest.mark.parametrize("whose", ["another principal", "the same without the scope"])
    def test_what_belongs_to_others_is_not_there(
        self, store: Store, partner: Partner, make_partner: Callable[..., Partner], whose: str
    ) -> None:
        one = partner.open()
        one.put(1, [1])
        other = make_partner().caller
        if whose != "another principal":
            other = replace(partner.caller, scopes=frozenset({"register", "lookup", "import:acme-2"}))
        acts: list[Callable[[], Any]] = [
            lambda: one.importer.put(other, one.id, 2, body([2])),
            lambda: one.importer.put(other, one.id, 1, body([1])),
            lambda: one.importer.complete(other, one.id, one.claim()),
            lambda: one.importer.roll_back(other, one.id),
            lambda: one.importer.show(other, one.id),
            lambda: one.importer.withdraw_works(other, one.id, [(1, 0)]),
            lambda: one.importer.show(partner.caller, "a" * 26),
            lambda: one.importer.show(partner.caller, "\0"),
        ]
        for act in acts:
            with pytest.raises(NotFoundError, match="no such import of yours"):
                act()
        assert store.head() == 1

    @pytest.mark.parametrize("wrong", ["another key", "another import", "changed", "no note", "no signature"])
    def test_only_the_partner_s_signature_over_this_import_completes_it(
        self, store: Store, partner: Partner, wrong: str
    ) -> None:
        one, other = partner.open(), partner.open()
        for each in (one, other):
            each.put(1, [1, 2])
        claim = one.claim()
        notes = {
            "another key": one.claim(Signer.new("acme.example")).note,
            "another import": other.claim().note,
            "changed": claim.note.replace("\n2\n", "\n3\n", 1),
            "no note": "",
            "no signature": statement_of("acme", one.id, claim),
        }
        with pytest.raises(ForbiddenError, match="note: "):
            one.complete(replace(claim, note=notes[wrong]))
        assert found(Lookup(store), 1) == [[]]
        assert one.complete() is not None


class TestTakingBack:
    def test_before_complete_the_works_are_destroyed(self, store: Store, partner: Partner) -> None:
        one, lookup = partner.open(), Lookup(store)
        one.put(1, [1, 2])
        one.put(2, [3])
        before = leaves(store)
        done = one.importer.roll_back(one.caller, one.id)
        assert done == Completed(one.id, 3, "rolled-back", 2, 3)
        assert one.importer.roll_back(one.caller, one.id) == done
        assert leaves(store)[:2] == before
        with store.read() as connection:
            assert [part.blob for part in imports.parts_between(connection, 0, 3)] == [b"", b""]
        for act in (lambda: one.put(1, [1, 2]), lambda: one.put(3, [4]), one.complete):
            with pytest.raises(ConflictError, match=r"rolled[- ]back"):
                act()
        assert one.importer.show(one.caller, one.id)["state"] == "rolled-back"
        assert found(lookup, 1, 2, 3) == [[]] * 3
        assert store.head() == 3

    def test_after_complete_the_reservation_is_withdrawn(self, store: Store, partner: Partner) -> None:
        one, lookup = partner.imported([1], [2]), Lookup(store)
        assert found(lookup, 1) == [both_of(one, 1)]
        done = one.importer.roll_back(one.caller, one.id)
        assert done == Completed(one.id, 4, "withdrawn", 2, 2)
        assert one.importer.roll_back(one.caller, one.id) == done
        assert found(lookup, 1, 2) == [[], []]
        assert found(lookup, 1, seq=3) == [both_of(one, 1)]
        assert one.importer.show(one.caller, one.id)["state"] == "withdrawn"

    def test_one_work_alone(self, store: Store, partner: Partner) -> None:
        one, other = partner.imported([1, 2], [3, 4]), partner.imported([4])
        lookup, before = Lookup(store), leaves(store)
        assert one.importer.withdraw_works(one.caller, one.id, [(2, 1), (1, 0), (1, 0)]) == (6, 2)
        assert one.importer.withdraw_works(one.caller, one.id, [(1, 0)]) == (6, 0)
        assert one.importer.withdraw_works(one.caller, one.id, [(1, 0), (1, 1)]) == (7, 1)
        for asking in (lookup, Lookup(store)):
            assert found(asking, 1, 2, 3, 4) == [[], [], both_of(one, 3), both_of(other, 4)]
            assert found(asking, 1, 2, seq=6) == [[], both_of(one, 2)]
            assert found(asking, 1, seq=5) == [both_of(one, 1)]
        assert leaves(store)[:5] == before
        assert one.importer.show(one.caller, one.id)["withdrawn"] == 3
        with store.read() as connection:
            assert reservations.count_works(connection, one.id) == 1

    @pytest.mark.parametrize("place", [(3, 0), (1, 2), (1, -1), (0, 0)], ids=str)
    def test_a_work_that_is_not_there_cannot_go(
        self, store: Store, partner: Partner, place: tuple[int, int]
    ) -> None:
        one = partner.imported([1, 2], [3, 4])
        with pytest.raises(NotFoundError, match="no work"):
            one.importer.withdraw_works(one.caller, one.id, [(1, 0), place])
        assert found(Lookup(store), 1) == [both_of(one, 1)]

    def test_before_complete_no_work_goes_alone(self, partner: Partner) -> None:
        one = partner.open()
        one.put(1, [1])
        with pytest.raises(ConflictError, match="this import is open"):
            one.importer.withdraw_works(one.caller, one.id, [(1, 0)])


def leaves(store: Store) -> list[bytes]:
    with store.read() as connection:
        return events.leaves_between(connection, 0, store.head())


class TestInTheLog:
    def test_every_work_is_shown_to_be_under_the_leaf_of_its_part(
        self, store: Store, partner: Partner
    ) -> None:
        one = partner.imported(range(5), range(5, 8))
        one.importer.withdraw_works(one.caller, one.id, [(1, 3)])
        with store.read() as connection:
            parts = list(imports.parts_between(connection, 0, store.head()))
        assert [(part.batch, part.namespace, part.number, part.works) for part in parts] == [
            (one.id, "acme", 1, 5),
            (one.id, "acme", 2, 3),
        ]
        for part in parts:
            leaf, block = parse_leaf(leaves(store)[part.seq - 1]), Block.load(part.blob)
            assert (leaf.op, leaf.record, leaf.scope) == ("part", one.id, "part")
            for ordinal in range(part.works):
                row = block.row(ordinal)
                assert row["url"] == url(5 * (part.number - 1) + ordinal)
                shown = leaf_hash(commit(block.salt(ordinal), row))
                require_inclusion(shown, ordinal, part.works, block.proof(ordinal), leaf.commitment)

    def test_the_other_events_commit_to_what_they_say(self, store: Store, partner: Partner) -> None:
        one = partner.imported([1], [2])
        one.importer.withdraw_works(one.caller, one.id, [(1, 0)])
        gone = partner.open()
        gone.put(1, [3])
        gone.importer.roll_back(gone.caller, gone.id)
        with store.read() as connection:
            happened = [*events.of_record(connection, one.id), *events.of_record(connection, gone.id)]
            said = payloads.payloads_of(
                connection, [event.seq for event in happened if event.op in imports.OPS]
            )
            version = reservations.current(connection, one.id)
        assert [event.op for event in happened] == [
            *("part", "part", "import", "withdraw-works"),
            *("part", "rollback"),
        ]
        for event in happened:
            leaf = parse_leaf(bytes(event.leaf))
            assert leaf.seq == event.seq
            if event.op in imports.OPS:
                assert leaf.commitment == commit(bytes(event.salt), said[event.seq])
        assert version is not None
        assert said[3]["import"]["note"] == one.claim().note
        assert said[4] == {"withdrawn": [[1, 0]]}
        assert said[6] == {"rollback": {"parts": 1, "works": 1}}


class TestBesideTheIndexFiles:
    @pytest.fixture
    def indexed(self, partner: Partner, store: Store, now: list[datetime], folder: IndexFolder) -> Partner:
        return replace(partner, importer=Importer(store, lambda: now[0], None, folder))

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(imports_module, "LEAST", 3)

    def test_complete_waits_until_the_files_hold_the_works(
        self, store: Store, indexed: Partner, builder: Builder, folder: IndexFolder
    ) -> None:
        builder.build(1)
        folder.path.mkdir(exist_ok=True)
        one, lookup = indexed.open(), Lookup(store, folder)
        one.put(1, [1, 2])
        one.put(2, [3, 4])
        assert one.complete() is None
        assert one.complete() is None
        assert found(lookup, 1) == [[]]
        assert store.head() == 2
        part = builder.build(3)
        assert part is not None
        assert (part.upto, part.size) == (2, 8)
        done = one.complete()
        assert done is not None
        assert found(lookup, 1, 2, 3, 4) == [both_of(one, n) for n in (1, 2, 3, 4)]
        reading = lookup._reading
        assert reading is not None
        assert reading.base == 2
        with store.read() as connection:
            assert imports.is_completed(connection, 2, 3, 0)
            # Opened in that request: nothing had to be read from the database.
            assert not imports.is_completed(connection, 2, 3, reading.base)

    def test_a_small_rest_is_not_waited_for_and_comes_from_the_database(
        self, store: Store, indexed: Partner, builder: Builder, folder: IndexFolder
    ) -> None:
        one = indexed.open()
        one.put(1, [1, 2, 5])
        builder.build(1)
        one.put(2, [3, 4])
        lookup = Lookup(store, folder)
        assert found(lookup, 3) == [[]]
        assert one.complete() is not None
        assert found(lookup, 1, 2, 3, 4, 5) == [both_of(one, n) for n in (1, 2, 3, 4, 5)]

    def test_it_does_not_wait_for_ever(
        self, store: Store, indexed: Partner, folder: IndexFolder, now: list[datetime]
    ) -> None:
        """A builder that is gone must not keep an acknowledged opt-out from being seen."""
        folder.path.mkdir()
        (folder.path / "current.json").write_text("damaged")
        one = indexed.open()
        one.put(1, [1, 2, 3, 4])
        now[0] += timedelta(seconds=imports_module._PATIENCE - 1)
        assert one.complete() is None
        now[0] += timedelta(seconds=2)
        assert one.complete() is not None
        assert found(Lookup(store, folder), 1) == [both_of(one, 1)]

    def test_rolled_back_works_leave_the_files(
        self, store: Store, indexed: Partner, builder: Builder, folder: IndexFolder
    ) -> None:
        one = indexed.open()
        one.put(1, [1, 2, 3])
        part = builder.build(1)
        assert part is not None
        assert part.size == 6
        one.importer.roll_back(one.caller, one.id)
        indexed.imported([9])
        part = builder.build(1)
        assert part is not None
        assert (part.after, part.upto, part.size) == (0, 4, 2)
        assert found(Lookup(store, folder), 1, 9)[0] == []

    def test_files_built_between_the_parts_and_after_all_answer_alike(
        self, store: Store, indexed: Partner, registrar: Registrar, caller: Any, builder: Builder
    ) -> None:
        """Index rebuilt = live index, whenever the builder worked and whenever a worker looked."""
        chance = random.Random(5)
        live, bare = Lookup(store, builder.folder), Lookup(store)
        known: list[Partner] = []
        for step in range(40):
            action = chance.choice(
                ["open", "put", "put", "complete", "single", "back", "one", "build", "ask"]
            )
            open_ones = [p for p in known if p.importer.show(p.caller, p.id)["state"] == "open"]
            if action == "open" or (action in ("put", "complete", "back") and not open_ones):
                known.append(indexed.open())
            elif action == "put":
                one = chance.choice(open_ones)
                one.put(len(one.stored) + 1, chance.sample(range(12), 2))
            elif action == "complete":
                one = chance.choice([p for p in open_ones if p.stored] or [indexed.open()])
                if one.stored:
                    one.complete()
            elif action == "single":
                draft = Draft(RESERVED, [WorkDraft("No. 3", canonicalize_url(url(3)), file(3))])
                registrar.register(caller, draft)
            elif action == "back" and chance.random() < 0.4:
                one = chance.choice(open_ones)
                one.importer.roll_back(one.caller, one.id)
            elif action == "build":
                builder.build(1)
            if action == "ask" or step % 3 == 0:
                for seq in (None, chance.randint(0, store.head())):
                    wanted = found(bare, *range(12), seq=seq)
                    assert found(live, *range(12), seq=seq) == wanted
                    assert found(Lookup(store, builder.folder), *range(12), seq=seq) == wanted
        assert any(found(live, *range(12)))


Visible = dict[tuple[int, str], set[str]]


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_acts_asked_at_every_event_is_what_a_simple_model_says(
    store: Store, partner: Partner, builder: Builder, seed: int
) -> None:
    """The model: for each event a set of (work, import) that hold."""
    chance = random.Random(seed)
    lookup = Lookup(store, builder.folder)
    held: list[set[tuple[int, str]]] = [set()]
    batches: dict[str, Partner] = {}
    content: dict[str, dict[int, list[int]]] = {}
    state: dict[str, str] = {}
    for _ in range(45):
        holds = set(held[-1])
        action = chance.choice(["open", "put", "put", "put", "complete", "back", "one", "build"])
        if action == "open" or not batches:
            one = partner.open()
            batches[one.id], content[one.id], state[one.id] = one, {}, "open"
            continue
        one = batches[chance.choice(list(batches))]
        parts = content[one.id]
        if action == "build":
            builder.build(1)
            continue
        if action == "put" and state[one.id] == "open":
            number = chance.randint(1, len(parts) + 1)
            if number not in parts:
                parts[number] = chance.sample(range(8), chance.randint(1, 3))
                one.put(number, parts[number])
                held.append(holds)
        elif action == "complete" and state[one.id] == "open" and parts:
            assert one.complete() is not None
            state[one.id] = "complete"
            held.append(holds | {(number, one.id) for part in parts.values() for number in part})
        elif action == "back" and state[one.id] in ("open", "complete") and chance.random() < 0.3:
            one.importer.roll_back(one.caller, one.id)
            state[one.id] = "gone"
            held.append({pair for pair in holds if pair[1] != one.id})
        elif action == "one" and state[one.id] == "complete":
            part = chance.choice(sorted(parts))
            ordinal = chance.randrange(len(parts[part]))
            if one.importer.withdraw_works(one.caller, one.id, [(part, ordinal)])[1]:
                gone = parts[part][ordinal]
                # The same work may stand in another part of the same import, which goes on holding.
                taken = state.setdefault(f"{one.id} {part} {ordinal}", "gone")
                assert taken == "gone"
                left = [
                    (p, o)
                    for p, numbers in parts.items()
                    for o, number in enumerate(numbers)
                    if number == gone and f"{one.id} {p} {o}" not in state
                ]
                held.append(holds if left else holds - {(gone, one.id)})
        if chance.random() < 0.4:
            assert seen(lookup, None) == held[-1]
    assert store.head() == len(held) - 1
    for seq, wanted in enumerate(held):
        for one_lookup in (lookup, Lookup(store)):
            assert seen(one_lookup, seq) == wanted, seq
    assert any(held)


def seen(lookup: Lookup, seq: int | None) -> set[tuple[int, str]]:
    return {(number, s[0]) for number, said in enumerate(found(lookup, *range(8), seq=seq)) for s in said}
