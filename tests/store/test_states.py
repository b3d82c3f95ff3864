"""Any sequence of writes, asked at every event: the read model and a simple model of it agree."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.fingerprint import Fingerprint
from registry.lookup import Lookup, Question
from registry.preference import Preference, Use
from registry.registrar import Change, Draft, Registrar, WorkDraft
from registry.statement import Statement
from registry.store import Store
from registry.urls import RuleKind, canonicalize_url, url_rule

STEPS = 50
SAYS = (Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED)
URLS = [canonicalize_url(f"https://{host}/{path}") for host in ("a.test", "i.a.test") for path in "xy"]
RULES = [url_rule("host", "a.test"), url_rule("domain", "a.test"), url_rule("prefix", "https://i.a.test/")]
FILES = [bytes([number]) * 32 for number in range(3)]
PICTURES = [(1, 0), (1, 20), (1, 40), (2, 0), (2, 45)]
"""Seed and flipped bits: 40 apart asks for a review, 45 too, 20 decides."""

Found = Counter[tuple[str, str, bool, str, int]]


@dataclass
class Record:
    """What the model knows of a reservation: (event, what it says or None), (event, key) of works."""

    versions: list[tuple[int, Preference | None]]
    keys: list[tuple[int, object]] = field(default_factory=list)

    def at(self, seq: int) -> tuple[int, Preference | None]:
        return [version for version in self.versions if version[0] <= seq][-1]


@dataclass
class Model:
    records: dict[str, Record] = field(default_factory=dict)

    def found(self, asked: object, seq: int) -> Found:
        answer: Found = Counter()
        for id_, record in self.records.items():
            for since, key in record.keys:
                match = how(key, asked)
                if since > seq or match is None:
                    continue
                begun, said = record.at(seq)
                if said is not None:
                    answer[id_, *match, str(said), begun] += 1
        return answer


def how(key: Any, asked: Any) -> tuple[str, bool] | None:
    """Kind of the match and whether it is certain, by the plainest means; None when there is none."""
    if key in RULES:
        covered = {RULES[0]: "https://a.test/", RULES[1]: "", RULES[2]: "https://i.a.test/"}[key]
        return (str(key.kind), True) if isinstance(asked, str) and asked.startswith(covered) else None
    if isinstance(key, tuple) and isinstance(asked, tuple):
        distance = abs(key[1] - asked[1]) if key[0] == asked[0] else 999
        return ("pdq", distance <= 31) if distance <= 47 else None
    kind = "url" if isinstance(key, str) else "sha256"
    return (kind, True) if key == asked else None


def told(statements: list[Statement]) -> Found:
    return Counter(
        (s.record, s.match.kind, s.match.certain, str(s.preferences[Use.GENAI_TRAIN]), s.seq)
        for s in statements
    )


@pytest.mark.parametrize("seed", range(6))
def test_every_state_can_be_asked_again(
    store: Store, make_key: Callable[..., Any], picture_hash: Callable[..., bytes], seed: int
) -> None:
    chance = random.Random(seed)
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    caller = make_key(("register", "domain:*")).caller
    model, followed = Model(), Lookup(store)
    asked = [*URLS, *FILES, *PICTURES]

    def work(key: Any) -> WorkDraft:
        if isinstance(key, tuple):
            return WorkDraft(fingerprint=Fingerprint(1, 100, None, {"full": picture_hash(*key)}))
        return WorkDraft(url=key) if isinstance(key, str) else WorkDraft(sha256=key)

    def question(key: Any) -> Question:
        if isinstance(key, tuple):
            return Question(fingerprint=Fingerprint(1, 100, None, {"full": picture_hash(*key)}))
        return Question(url=key) if isinstance(key, str) else Question(sha256=key)

    def step() -> None:
        said, keys = chance.choice(SAYS), chance.choices(asked, k=chance.randint(1, 3))
        live = [id_ for id_, record in model.records.items() if record.versions[-1][1] is not None]
        action = chance.choice(["register", "change", "add", "withdraw"]) if live else "register"
        if action == "register":
            rules = chance.sample(RULES, k=chance.randint(0, 2))
            done = registrar.register(caller, Draft({Use.GENAI_TRAIN: said}, list(map(work, keys)), rules))
            held = [(done.seq, key) for key in [*keys, *rules]]
            model.records[done.id] = Record([(done.seq, said)], held)
            return
        id_ = chance.choice(live)
        if action == "change":
            done = registrar.change(caller, id_, Change({Use.GENAI_TRAIN: said}))
            model.records[id_].versions.append((done.seq, said))
        elif action == "add":
            done = registrar.add_works(caller, id_, list(map(work, keys)))
            model.records[id_].keys += [(done.seq, key) for key in keys]
        else:
            done = registrar.withdraw(caller, id_)
            model.records[id_].versions.append((done.seq, None))

    questions = list(map(question, asked))
    for number in range(1, STEPS + 1):
        step()
        if chance.random() < 0.5:
            answer = followed.ask(questions)
            assert answer.as_of_seq == number
            assert list(map(told, answer.statements)) == [model.found(key, number) for key in asked]
    rebuilt = Lookup(store)
    for seq in range(STEPS + 1):
        wanted = [model.found(key, seq) for key in asked]
        for lookup in (followed, rebuilt):
            assert list(map(told, lookup.ask(questions, seq).statements)) == wanted, seq
    assert any(model.found(key, STEPS) for key in asked)
    assert {rule.kind for rule in RULES} == set(RuleKind) - {RuleKind.EXACT}
