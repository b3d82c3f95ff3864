"""Events for a registry whose log others are to read: all kinds through the registrar, or a great many."""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, update

from api.keys import create_key
from registry.leaf import SALT_BYTES, Leaf, commit, format_leaf
from registry.preference import Preference, Use
from registry.registrar import Caller, Change, Draft, Registrar, WorkDraft
from registry.store import Store
from registry.store.sql import table_of
from registry.tables import Event, Head
from registry.urls import RuleKind, UrlRule, canonicalize_url, url_rule

__all__ = ["KINDS", "fill", "write_all_kinds"]

KINDS = ("register", "works", "change", "withdraw", "erase")
"""What an event can do to a record, by the word in its leaf."""
_AT = datetime(2026, 11, 21, tzinfo=UTC)
_AT_ONCE = 50_000
_SCOPES = frozenset({"register", "domain:*"})


def write_all_kinds(store: Store, count: int) -> None:
    """Write ``count`` events of all kinds as the service does, each acknowledged by itself."""
    if count <= 0:
        return
    new = create_key(
        store, name="filling", scopes=_SCOPES, evidence_level=1, environment="test", at=int(_AT.timestamp())
    )
    maker = _Maker(Registrar(store, lambda: _AT), Caller(new.principal_id, _SCOPES, 1))
    for _, write in zip(range(count), maker.steps(), strict=False):
        write()


@dataclass
class _Maker:
    """Somebody who lodges works and addresses, adds to them, changes and withdraws."""

    registrar: Registrar
    caller: Caller
    held: list[str] = field(default_factory=list)

    def steps(self) -> Iterator[Callable[[], object]]:
        number = 0
        while True:
            number += 1
            yield lambda n=number: self.lodge(Draft(_RESERVED, [_work(n)], label=f"series {n}"))
            yield lambda n=number: self.lodge(Draft(_RESERVED, rules=_rules(n), terms="https://a.test/terms"))
            yield lambda n=number: self.registrar.add_works(self.caller, self.held[-2], [_work(-n), _work(n)])
            yield lambda: self.registrar.change(self.caller, self.held[-1], Change(_ALLOWED, contact="maker"))
            if number % 3 == 0:
                yield lambda: self.registrar.withdraw(self.caller, self.held.pop(0))
                yield lambda: self.registrar.erase(self.caller, self.held.pop(0), keep=True)
                yield lambda: self.registrar.erase(self.caller, self.held.pop(0))

    def lodge(self, draft: Draft) -> None:
        self.held.append(self.registrar.register(self.caller, draft).id)


_RESERVED = {Use.TRAIN: Preference.RESERVED, Use.GENAI_TRAIN: Preference.RESERVED}
_ALLOWED = {Use.TRAIN: Preference.ALLOWED}


def _work(number: int) -> WorkDraft:
    address = canonicalize_url(f"https://maker.test/{number}.jpg")
    return WorkDraft(f"Work {number} — ü", address, hashlib.sha256(str(number).encode()).digest())


def _rules(number: int) -> list[UrlRule]:
    return [
        url_rule(RuleKind.PREFIX, f"https://maker.test/{number}/"),
        url_rule(RuleKind.HOST, f"p{number}.maker.test"),
        url_rule(RuleKind.DOMAIN, f"maker-{number}.test"),
    ]


def fill(store: Store, upto: int, seed: int = 0) -> None:
    """Append events up to number ``upto``, many in one transaction: real leaves, each over a real payload.

    The rows that the payloads tell of are left out, since the log does not read them.
    """
    chance = random.Random(seed)
    head = store.head()
    while head < upto:
        count = min(_AT_ONCE, upto - head)
        with store.write() as tx:
            rows = [_event(seq, chance) for seq in range(tx.seq, tx.seq + count)]
            # In two statements: two for each event take four times as long as all the rest.
            tx.connection.execute(insert(table_of(Event)), rows)
            tx.connection.execute(update(table_of(Head)).values(n=head + count))
        head += count


def _event(seq: int, chance: random.Random) -> dict[str, Any]:
    op, record, salt = (
        chance.choice(KINDS),
        f"{chance.getrandbits(128):032x}"[:26],
        chance.randbytes(SALT_BYTES),
    )
    payload = {"works": [{"sha256": chance.randbytes(32), "title": "", "url": None}]}
    leaf = format_leaf(Leaf(seq, op, record, commit(salt, payload)))
    return {
        "seq": seq,
        "op": op,
        "record": record,
        "at": int(_AT.timestamp()),
        "salt": salt,
        "leaf": leaf,
        "erased_by": None,
    }
