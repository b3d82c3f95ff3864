"""The read model: every question is answered from an index that has caught up with the head.

Each request reads the head H from the database first and takes in the events up to H; if it cannot, the
answer is :class:`StaleIndexError`, never "nothing was said" (the ReadIndex rule). The answer carries
``as_of_seq = H``. The index finds rows by their keys; whether a row held at H, or at the earlier event that
was asked for, and what was said about it then, is read from the rows, which are never changed in place.

The index is made of the segments in a folder, if there is one, and of what came after them. New segments are
opened beside the work and take the place of the old index once they have caught up. A segment that is
damaged, or not of this database, is refused, and its events are read from the database instead. Open ones are
checked again and again: once a bit is found to have turned, nothing is answered until another index stands.

The parts of an import are passed over until the event that makes all of them visible. Then they are taken
from the segments, which hold them already, or else from the database.

How an item is found by its keys and hashes is :mod:`registry.matching`.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.calibration import Calibration, radii_of_many
from registry.canonical import canonical_urls
from registry.errors import InputError, SegmentError, StaleIndexError
from registry.fingerprint import REVIEW_RADIUS, STRICT_RADIUS
from registry.index import Entries, FrozenIndex, Index, Place
from registry.index_folder import IndexFolder, MappedIndex, Part
from registry.keys import KEY_BYTES, key_bytes
from registry.matching import MAX_NEAR, Question, find, marked
from registry.rechecking import Rechecking
from registry.said import Held, Said
from registry.statement import Statement
from registry.store import Store, imports, index_rows, moments
from registry.urlkeys import url_keys

__all__ = ["MAX_NEAR", "Answer", "Lookup", "Question", "warm_up"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The statements found for each question, in order, and the event up to which all of them hold.

    ``incomplete`` names the questions that were near to so many works that not all were looked at. ``erased``
    counts the records that stood then and of which nothing can be told any more.
    """

    as_of_seq: int
    statements: list[list[Statement]]
    incomplete: frozenset[int] = frozenset()
    erased: int = 0


class _Reached(NamedTuple):
    """The last event that was taken in, and its mark."""

    seq: int
    mark: str


@dataclass(slots=True)
class _Reading:
    """An index, and how far it was filled."""

    index: Index
    reached: _Reached
    segments: dict[Part, MappedIndex] = field(default_factory=dict)

    @property
    def base(self) -> int:
        """The last event that the segments hold."""
        return max((part.upto for part in self.segments), default=0)

    @property
    def damage(self) -> SegmentError | None:
        """What was found in its segments since they were opened."""
        return next((one.damage for one in self.segments.values() if one.damage is not None), None)

    def require_sound(self) -> None:
        """Raise :class:`SegmentError` when a bit of its segments has turned."""
        if self.damage is not None:
            raise self.damage

    def require_reached(self, found: Iterable[tuple[int, str]]) -> None:
        """Raise :class:`StaleIndexError` when a place that was found is of an event yet to come."""
        for number, _ in found:
            if not 0 < Place.of(number).seq <= self.reached.seq:
                raise StaleIndexError(f"the index names event {Place.of(number).seq}, which is yet to come")

    @contextmanager
    def searched(self) -> Iterator[Index]:
        """Hand out the index for one search; raise :class:`SegmentError` when a bit of it has turned."""
        try:
            yield self.index
        except Exception:
            # A turned bit leads the search anywhere; what fails on a sound index is a fault of this program.
            self.check_all()
            raise
        # A bit may have been found to have turned while it was searched.
        self.require_sound()

    def check_all(self) -> None:
        """Raise :class:`SegmentError` when any block of its segments does not have its checksum now."""
        for one in self.segments.values():
            for number in range(one.blocks):
                one.check(number)


class Lookup:
    """Answers from one store; one instance a process, shared by its threads.

    Each block of the segments in ``folder`` is checked again at least every ``check_seconds``, if given.
    """

    def __init__(
        self, store: Store, folder: IndexFolder | None = None, check_seconds: float | None = None
    ) -> None:
        self._store = store
        self._folder = folder
        self._rechecking = None if check_seconds is None else Rechecking(check_seconds)
        self._version: tuple[int, int] | None = None
        self._reading: _Reading | None = None
        self._answered = 0
        self._lock = threading.Lock()
        self._opening = threading.Lock()

    def catch_up(self) -> int:
        """Read the head, apply what is missing up to it, and return it.

        Raises :class:`StorageError` when the database does not answer, :class:`StaleIndexError` when events
        are missing, :class:`SegmentError` while a damaged segment is replaced.
        """
        return self._caught_up()[0]

    def ask(
        self,
        questions: Sequence[Question],
        as_of_seq: int | None = None,
        *,
        review: bool = True,
        held: Held | None = None,
    ) -> Answer:
        """Find the statements about each question, as they hold at the head or at ``as_of_seq``.

        Without ``review`` only matches that decide are looked for, which is faster in a large registry. A
        statement that a grant of ``held`` covers is marked with it. Raises :class:`InputError` when
        ``as_of_seq`` lies in the future, and as :meth:`catch_up`.
        """
        head, reading = self._caught_up()
        seq = head if as_of_seq is None else as_of_seq
        if not 0 <= seq <= head:
            raise InputError(f"as_of_seq: asked as of event {seq}; the last one is {head}")
        with reading.searched() as index:
            found, incomplete = find(index, questions, review=review)
            reading.require_reached(chain.from_iterable(found))
        said = Said.read(self._store, chain.from_iterable(found), seq, held)
        statements = [said.about(*one) for one in zip(questions, found, strict=True)]
        return Answer(seq, statements, frozenset(incomplete), 0 if seq == head else self._erased(seq))

    def _erased(self, seq: int) -> int:
        with self._store.read() as connection:
            return moments.erased_later(connection, seq)

    def marks(self, keys: NDArray[np.uint64], of: str) -> tuple[int, NDArray[np.bool_]]:
        """Return the head, and of each of ``keys: uint64[k, 2]`` whether anything was said under it by then.

        ``of`` is ``rule`` or ``sha256``. What was withdrawn counts too. Raises :class:`InputError`, and as
        :meth:`catch_up`.
        """
        head, reading = self._caught_up()
        with reading.searched() as index:
            return head, marked(index, keys, of)

    def under(self, prefix: str, of: str) -> tuple[int, dict[bytes, list[Statement]]]:
        """Return the head, and what is said under each key that begins with ``prefix``, hexadecimal digits.

        ``of`` is ``rule``, of which a key has 16 bytes, or ``sha256``, of which it has all 32. Keys under
        which everything was withdrawn are left out. Raises as :meth:`catch_up`.
        """
        head, reading = self._caught_up()
        digits = 2 * KEY_BYTES
        first, last = (bytes.fromhex(prefix.ljust(digits, end)) for end in "0f")
        with reading.searched() as index:
            keys, numbers = index.between(first, last, of)
            found = list(zip(key_bytes(keys), numbers.tolist(), strict=True))
            reading.require_reached((number, of) for _, number in found)
        said = Said.read(self._store, ((number, of) for _, number in found), head)
        return head, said.under(found, of)

    def _caught_up(self) -> tuple[int, _Reading]:
        # The order matters: whatever was answered before this line, the head read after it cannot be older.
        before, reading = self._answered, self._reading
        reached = _Reached(0, "") if reading is None else reading.reached
        with self._store.read() as connection:
            head, mark = index_rows.head_and_mark(connection, reached.seq)
        if head < before:
            raise _went_back(f"is at event {head}, behind the {before} that were answered before")
        _require_same(reached, mark)
        self._look_for_segments(reading)
        if reading is None or head > reached.seq:
            reading = self._filled(head)
        if head > self._answered:
            with self._lock:
                self._answered = max(self._answered, head)
        reading.require_sound()
        return head, reading

    def _filled(self, head: int) -> _Reading:
        """Take in the events up to ``head``."""
        with self._lock:
            # Whoever fails on the way leaves no half of the rows behind: the next request begins anew.
            reading, self._reading = self._reading or self._opened({}), None
            reading = self._with_segments_of_imports(reading, head)
            if head > reading.reached.seq:
                self._add(reading, head)
            self._reading = reading
        return reading

    def _with_segments_of_imports(self, reading: _Reading, head: int) -> _Reading:
        """Open new segments at once where they hold an import that became visible, and the old ones do not.

        Without them its works are read from the database, which takes longer.
        """
        if self._folder is None:
            return reading
        # Also while another thread is at it: that one may come too late for millions of works.
        with self._store.read() as connection:
            if not imports.is_completed(connection, reading.reached.seq, head, reading.base):
                return reading
        new = self._opened(reading.segments)
        return new if new.base > reading.base else reading

    def _add(self, reading: _Reading, upto: int) -> None:
        reached = reading.reached
        with self._store.read() as connection:
            _require_same(reached, index_rows.mark_at(connection, reached.seq))
            with index_rows.entries_between(connection, reached.seq, upto, reading.base) as batches:
                for entries in batches:
                    reading.index.add(entries)
            reading.reached = _Reached(upto, index_rows.mark_at(connection, upto))

    def _look_for_segments(self, reading: _Reading | None) -> None:
        """Open new segments in a thread, if there are any and nobody is at it."""
        if self._folder is None or reading is None:
            return
        if self._folder.version() == self._version and reading.damage is None:
            return
        if self._opening.acquire(blocking=False):
            try:
                threading.Thread(target=self._take_over, args=(reading,), daemon=True).start()
            except RuntimeError:  # no more threads: the old index goes on answering
                self._opening.release()

    def _take_over(self, old: _Reading) -> None:
        try:
            new = self._opened(old.segments)
            if old.reached.seq > new.reached.seq:
                self._add(new, old.reached.seq)
            with self._lock:
                self._reading = new
        except Exception:  # the old index goes on answering, and the next request tries again
            log.exception("the new index segments were not taken over")
            self._version = None
        finally:
            self._opening.release()

    def _opened(self, known: dict[Part, MappedIndex]) -> _Reading:
        """Return a reading of the segments in the folder that are sound, from the first event on."""
        segments: dict[Part, MappedIndex] = {}
        if self._folder is not None:
            self._version = self._folder.version()
            try:
                for part in self._folder.parts():
                    with self._store.read() as connection:
                        index_rows.require_mark(connection, part)
                    one = known.get(part)
                    segments[part] = self._folder.open(part) if one is None or one.damage is not None else one
            except SegmentError as error:
                log.error("index segment refused, its events are read anew: %s", error.message)
        if self._rechecking is not None:
            self._rechecking.watch(segments.values())
        reached = max((_Reached(part.upto, part.mark) for part in segments), default=_Reached(0, ""))
        return _Reading(Index(list(segments.values())), reached, segments)


def _require_same(reached: _Reached, mark: str) -> None:
    """Raise :class:`StaleIndexError` unless the event that was reached is still the database's."""
    if mark != reached.mark:
        raise _went_back(f"has another event {reached.seq} than the one that was answered from")


def _went_back(what: str) -> StaleIndexError:
    return StaleIndexError(
        f"the database {what}",
        hint="An older copy of the database was put in its place; restart the service on purpose.",
    )


def warm_up() -> None:
    """Load the compiled loops, or compile them on a new machine, before the first question waits for it.

    What a process forks afterwards has them too.
    """
    words = np.random.default_rng(1).integers(0, 2**64, (4096, 4), np.uint64)
    places = np.arange(len(words))
    plain = np.zeros(len(words), np.uint8)
    keys, halves = words[:, :2].copy(), words[:, :1].copy()
    entries = Entries(keys, places, keys, places, words, plain, plain, places, halves, places)
    arrays = {name: np.zeros(shape, kind) for name, (kind, shape) in FrozenIndex.layout(entries).items()}
    FrozenIndex.fill(arrays, entries)
    for array in arrays.values():
        array.flags.writeable = False  # as in a segment, for which the loops are compiled anew
    index = Index([FrozenIndex(arrays)])
    index.add(entries)
    for radius in (1, STRICT_RADIUS, REVIEW_RADIUS):
        index.near_pdq(words[:1], radius, MAX_NEAR)
        index.near_phash(halves[:1], radius, MAX_NEAR)
    index.files(keys[:1])
    url_keys(["https://example.org/a.jpg"])
    canonical_urls(["https://example.org/a.jpg"])
    radii_of_many(words[:1], places[:1], Calibration(1, 0, words, places.astype(np.uint32)))
