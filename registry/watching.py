"""Holding watched items against what is new, so that those who watch are told.

What passed as of one event can be told otherwise only by what came after it. So the rows that the events
since then touched are put into an index of their own, which is small, and the keys of all items are searched
in it: of nearly all items nothing is found, and they are done. The few others are looked up as anybody would
look them up, at the head, and what is said of them now is compared with what was last told of them.

Where very much is new, after an import, all items are looked up; so are those that were never held against
anything, and, of those who use only what somebody permits, all when something was erased.

Nothing is passed over: a block is noted as done in the transaction that writes what was found in it. Whatever
fails is noted too, with since when, and tried again.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import Connection

from registry.decision import decide
from registry.errors import CaveatError
from registry.lookup import Lookup
from registry.preference import Mode, Preference, Use
from registry.statement import Statement
from registry.store import Store, notices, subscriptions
from registry.store.notices import BEFORE, FREE, NOT_CHECKED, RESERVED, Found
from registry.store.subscriptions import Block
from registry.store.touched import Touched
from registry.watched import Fresh, Watched, items_of, touched_by

__all__ = ["MOST_TOUCHED", "Answers", "Watcher"]

MOST_TOUCHED = 100_000
"""Rows that are held against the items; of more, the items are looked up."""

_AT_ONCE = 1_000
"""Items in one look-up."""
_SETTLED_AT_ONCE = 200

log = logging.getLogger(__name__)


class Answers(Protocol):
    """What tells of one item: ``api.answers`` has it."""

    def result(self, id_: str, statements: Sequence[Statement], *, complete: bool) -> dict[str, Any]:
        """Return the result for an item, in the shape of a look-up's."""


@dataclass(slots=True)
class Watcher:
    """Holds the items of all subscriptions of ``store`` against what ``lookup`` knows.

    ``answers`` makes what tells of an item for a use, in a mode; ``now`` is in seconds since 1970.
    """

    store: Store
    lookup: Lookup
    answers: Callable[[Use, Mode], Answers]
    now: Callable[[], float]
    most_touched: int = MOST_TOUCHED
    _settled: list[Block] = field(default_factory=list, init=False)

    def step(self) -> int:
        """Hold all items against what is new; return how many notices were written.

        Raises :class:`CaveatError` where that fails; what was done stands, and it is noted for the rest.
        """
        head = self.store.head()
        with self.store.read() as connection:
            waiting = subscriptions.waiting(connection, head)
        if not waiting:
            return 0
        try:
            return self._hold(waiting, self.lookup.catch_up())
        except CaveatError as error:
            self._note(error)
            raise

    def _note(self, error: CaveatError) -> None:
        self._settled.clear()
        with self.store.administer() as connection:
            left = {block.subscription for block in subscriptions.waiting(connection, self.store.head())}
            subscriptions.note_fault(connection, sorted(left), error.message, int(self.now()))

    def _hold(self, waiting: Sequence[Block], head: int) -> int:
        found = 0
        for seq, blocks in groupby(waiting, key=lambda block: block.checked_seq):
            news = None if seq is None or seq > head else self._news(seq, head)
            for block in blocks:
                found += self._hold_block(block, news, head)
        self._settle(head, least=1)
        return found

    def _news(self, after: int, head: int) -> "_News | None":
        """Return what is new since event ``after``; None for so much that everything is looked up."""
        with self.store.read() as connection:
            touched = Touched.read(connection, after, head)
            if touched.count > self.most_touched:
                return None
            return _News(touched, Fresh.of(touched.entries(connection)))

    def _hold_block(self, block: Block, news: "_News | None", head: int) -> int:
        with self.store.read() as connection:
            places = None if news is None else news.places(connection, block)
        if places is not None and not places:
            self._settled.append(block)
            self._settle(head, least=_SETTLED_AT_ONCE)
            return 0
        return self._look_up(block, places, head)

    def _settle(self, head: int, *, least: int) -> None:
        if len(self._settled) >= least:
            with self.store.administer() as connection:
                subscriptions.settle_blocks(connection, self._settled, head)
            self._settled.clear()

    def _look_up(self, block: Block, places: Sequence[int] | None, head: int) -> int:
        """Look up the items at ``places`` of a block, or all; write what became of them."""
        with self.store.read() as connection:
            wires = subscriptions.wires_of(connection, *block.key)
            known = notices.standing(connection, block)
        if wires is None:  # It was deleted.
            return 0
        items = list(items_of(wires, places).items())
        found = [
            one
            for at in range(0, len(items), _AT_ONCE)
            for one in self._became(block, dict(items[at : at + _AT_ONCE]), known, head)
        ]
        with self.store.administer() as connection:
            if not notices.add(connection, block, found, head, int(self.now())):
                return 0
            subscriptions.settle_blocks(connection, [block], head)
        return len(found)

    def _became(
        self, block: Block, items: Mapping[int, Watched], known: Mapping[int, str], head: int
    ) -> Iterator[Found]:
        """Yield what became of some items, by their places, that is to be told, or counted."""
        told = _Told(Use(block.use), Mode(block.mode), self.answers)
        answer = self.lookup.ask([one.question for one in items.values()], head, review=False)
        changed: list[tuple[int, str, dict[str, Any]]] = []
        for number, (place, item) in enumerate(items.items()):
            complete = number not in answer.incomplete
            now, result = told.of(item.id, answer.statements[number], complete=complete)
            if (kind := _news_of(known.get(place), now)) is not None:
                changed.append((place, kind, result))
        before = self._had_not_passed(block, items, [one[0] for one in changed if one[1] == RESERVED], told)
        for place, kind, result in changed:
            kind = BEFORE if place in before else kind
            yield Found(place, items[place].id, kind, result)

    def _had_not_passed(
        self, block: Block, items: Mapping[int, Watched], places: Sequence[int], told: "_Told"
    ) -> set[int]:
        """Return those of ``places`` that had not passed when the subscription says that they had."""
        if block.checked_seq is not None or not places:
            return set()
        questions = [items[place].question for place in places]
        # An older copy of the database may have been put in place since: it knows no later state.
        then = min(block.as_of_seq, self.store.head())
        answer = self.lookup.ask(questions, then, review=False)
        return {
            place
            for place, statements in zip(places, answer.statements, strict=True)
            if told.of("", statements, complete=True)[0] == RESERVED
        }


@dataclass(frozen=True, slots=True)
class _News:
    """What is new since one event."""

    touched: Touched
    fresh: Fresh

    def places(self, connection: Connection, block: Block) -> list[int] | None:
        """Return which items of a block may be touched; None for all of them."""
        if self.touched.erases and not decide((), Use(block.use), Mode(block.mode)).action.stays:
            return None
        found = set()
        if self.touched.count:
            packed = subscriptions.packed_of(connection, *block.key)
            found = set() if packed is None else set(touched_by(packed, self.fresh))
        if self.touched.removes or found:
            # What does not hold any more may have no row that leads to the items of which it spoke.
            told = notices.standing(connection, block).items()
            found |= {place for place, kind in told if kind != FREE}
        return sorted(found)


@dataclass(frozen=True, slots=True)
class _Told:
    """How items are answered for one use in one mode."""

    use: Use
    mode: Mode
    answers: Callable[[Use, Mode], Answers]

    def of(self, id_: str, statements: Sequence[Statement], *, complete: bool) -> tuple[str, dict[str, Any]]:
        """Return what stands of an item now, and its result."""
        result = self.answers(self.use, self.mode).result(id_, statements, complete=complete)
        if result["preference"] is None:
            return NOT_CHECKED, result
        decision = decide(statements, self.use, self.mode)
        # In research mode a reservation is recorded and enforced not; those who watch are told of it.
        stays = decision.action.stays and decision.preference in (Preference.ALLOWED, Preference.UNKNOWN)
        return (FREE if stays else RESERVED), result


def _news_of(before: str | None, now: str) -> str | None:
    """Return what is to be told of an item of which ``before`` was last told; None for nothing."""
    if now == FREE:
        return FREE if before not in (None, FREE) else None
    if now == NOT_CHECKED:
        return None if before in (RESERVED, BEFORE, NOT_CHECKED) else NOT_CHECKED
    return None if before in (RESERVED, BEFORE) else RESERVED
