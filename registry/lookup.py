"""The read model: every question is answered from an index that has caught up with the head.

Each request reads the head H from the database first and applies the events up to H; if it cannot, the
answer is :class:`StaleIndexError`, never "nothing was said" (the ReadIndex rule). The answer carries
``as_of_seq = H``. Rows keep their ``from_seq`` and ``to_seq`` in the index, so any earlier state can be
asked for as well, and a search under way is not disturbed by rows that arrive meanwhile.

Matching, for one item: its URL by every rule that covers it, its SHA-256, and its PDQ forms within the
review radius of every registered window. Within the strict radius, and within the window's own, a match
decides; beyond, it asks for a review. A pHash is compared only where no PDQ form was sent, and asks for a
review at most.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from registry.errors import InputError, StaleIndexError
from registry.fingerprint import (
    MIN_QUALITY,
    PHASH_RADIUS,
    REVIEW_RADIUS,
    STRICT_RADIUS,
    Fingerprint,
    hash_words,
    is_distinctive,
    unpack_windows,
)
from registry.hamming import HammingIndex, Matches
from registry.keys import KeySet
from registry.preference import Match, Preference, Scope, State, Statement, Use
from registry.store import Store, events, reservations
from registry.urls import CanonicalUrl, RuleKind, candidate_keys

__all__ = ["Answer", "Lookup", "Question"]

_SCOPES = {
    RuleKind.EXACT: Scope.WORK,
    RuleKind.PREFIX: Scope.PREFIX,
    RuleKind.HOST: Scope.HOST,
    RuleKind.DOMAIN: Scope.DOMAIN,
}
_URL_MATCHES = {kind: Match("url" if kind is RuleKind.EXACT else str(kind)) for kind in RuleKind}


@dataclass(frozen=True, slots=True)
class Question:
    """One item to look up, by any of its keys."""

    url: CanonicalUrl | None = None
    sha256: bytes | None = None
    fingerprint: Fingerprint | None = None

    @property
    def too_plain(self) -> bool:
        """Whether it has a fingerprint only, and one that cannot be told apart from others."""
        if self.url is not None or self.sha256 is not None or self.fingerprint is None:
            return False
        return not _comparable(self.fingerprint) and _lone_phash(self.fingerprint) is None


@dataclass(frozen=True, slots=True)
class Answer:
    """The statements found for each question, in order, and the event up to which all of them hold."""

    as_of_seq: int
    statements: list[list[Statement]]


@dataclass(slots=True)
class _Row:
    """A work or a rule in the index; only ``to_seq`` ever changes, once."""

    reservation: str
    from_seq: int
    to_seq: int | None
    title: str = ""

    def holds_at(self, seq: int) -> bool:
        return self.from_seq <= seq and (self.to_seq is None or self.to_seq > seq)


@dataclass(frozen=True, slots=True)
class _Version:
    from_seq: int
    says: Mapping[Use, Preference]
    values: Mapping[str, Any]


@dataclass(slots=True)
class _Index:
    """Everything that is derived from the events up to ``applied``; can be thrown away and rebuilt."""

    applied: int = 0
    rows: list[_Row] = field(default_factory=list)
    numbers: dict[tuple[str, int, int], int] = field(default_factory=dict)
    versions: dict[str, list[_Version]] = field(default_factory=dict)
    rules: KeySet = field(default_factory=KeySet)
    files: KeySet = field(default_factory=KeySet)
    pdq: HammingIndex = field(default_factory=lambda: HammingIndex(4))
    pdq_rows: list[tuple[int, str]] = field(default_factory=list)
    phash: HammingIndex = field(default_factory=lambda: HammingIndex(1))
    phash_rows: list[int] = field(default_factory=list)


_Found = dict[tuple[int, str], Match]
"""By row and kind of match: how a row was found for one item."""


class Lookup:
    """Answers from one store; one instance a process, shared by its threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = _Index()
        self._answered = 0
        self._lock = threading.Lock()

    def catch_up(self) -> int:
        """Read the head, apply what is missing up to it, and return it.

        Raises :class:`StorageError` when the database does not answer, :class:`StaleIndexError` when events
        are missing.
        """
        return self._caught_up()[0]

    def ask(self, questions: Sequence[Question], as_of_seq: int | None = None) -> Answer:
        """Find the statements about each question, as they hold at the head or at ``as_of_seq``.

        Raises :class:`InputError` when ``as_of_seq`` lies in the future, and as :meth:`catch_up`.
        """
        head, index = self._caught_up()
        seq = head if as_of_seq is None else as_of_seq
        if not 0 <= seq <= head:
            raise InputError(f"as_of_seq: asked as of event {seq}; the last one is {head}")
        found: list[_Found] = [{} for _ in questions]
        for question, matches in zip(questions, found, strict=True):
            _match_keys(index, question, matches)
        _match_pdq(index, questions, found)
        _match_phash(index, questions, found)
        return Answer(seq, [_statements(index, matches, seq) for matches in found])

    def _caught_up(self) -> tuple[int, _Index]:
        # The order matters: whatever was answered before this line, the head read after it cannot be older.
        before = self._answered
        head = self._store.head()
        if head < before:
            raise StaleIndexError(
                f"the database is at event {head}, behind the {before} that were answered before",
                hint="An older copy of the database was put in its place; restart the service on purpose.",
            )
        index = self._index
        if head > index.applied:
            with self._lock:
                index = self._index
                if head > index.applied:
                    self._apply(index, head)
        if head > self._answered:
            with self._lock:
                self._answered = max(self._answered, head)
        return head, index

    def _apply(self, index: _Index, upto: int) -> None:
        after = index.applied
        with self._store.read() as connection:
            count = events.count_between(connection, after, upto)
            if count != upto - after:
                raise StaleIndexError(f"{upto - after} events were due after {after}, and {count} are there")
            changed = reservations.changed_between(connection, after, upto)
        try:
            _Applying(index, after, upto).apply(*changed)
        except BaseException:
            # Half of the rows are in: the next request begins with an empty index.
            self._index = _Index()
            raise
        index.applied = upto


@dataclass(frozen=True, slots=True)
class _Applying:
    """The events ``after < seq <= upto`` on their way into ``index``."""

    index: _Index
    after: int
    upto: int

    def apply(
        self, versions: Sequence[Row[Any]], works: Sequence[Row[Any]], rules: Sequence[Row[Any]]
    ) -> None:
        for version in versions:
            self._add_version(version)
        for work in works:
            self._add_work(work)
        for rule in rules:
            self._add_rule(rule)

    def _add_version(self, row: Row[Any]) -> None:
        if not self._is_new(row):
            return
        says = {Use(use): Preference(value) for use, value in json.loads(row.preferences).items()}
        known = self.index.versions.setdefault(row.reservation_id, [])
        known.append(_Version(row.from_seq, says, dict(row._mapping)))

    def _add_work(self, row: Row[Any]) -> None:
        number = self._number("work", row, row.title)
        if number is None:
            return
        index = self.index
        if row.url_key is not None:
            index.rules.add(bytes(row.url_key), number)
        if row.sha256 is not None:
            index.files.add(bytes(row.sha256), number)
        if row.packed is not None:
            fingerprint, radii = unpack_windows(bytes(row.packed))
            self._add_hashes(fingerprint, radii, number)

    def _add_hashes(self, fingerprint: Fingerprint, radii: Mapping[str, int], number: int) -> None:
        index = self.index
        # The row lists come first: a search looks up the rows of every hash that it can see.
        index.pdq_rows.extend((number, window) for window in fingerprint.pdq)
        if fingerprint.pdq:
            limits = np.array([radii[window] for window in fingerprint.pdq], np.uint8)
            index.pdq.add(hash_words(list(fingerprint.pdq.values())), limits)
        if fingerprint.phash is not None:
            index.phash_rows.append(number)
            index.phash.add(hash_words([fingerprint.phash]), np.array([PHASH_RADIUS], np.uint8))

    def _add_rule(self, row: Row[Any]) -> None:
        number = self._number("rule", row)
        if number is not None:
            self.index.rules.add(bytes(row.key), number)

    def _number(self, table: str, row: Row[Any], title: str = "") -> int | None:
        """Return the number for a new row; None for one that is known already, whose end is noted."""
        index = self.index
        place = (table, row.from_seq, row.ordinal)
        if self._is_new(row):
            index.rows.append(_Row(row.reservation_id, row.from_seq, row.to_seq, title))
            index.numbers[place] = len(index.rows) - 1
            return len(index.rows) - 1
        index.rows[index.numbers[place]].to_seq = row.to_seq
        return None

    def _is_new(self, row: Row[Any]) -> bool:
        return bool(self.after < row.from_seq <= self.upto)


def _match_keys(index: _Index, question: Question, matches: _Found) -> None:
    if question.sha256 is not None:
        for number in index.files.query(question.sha256):
            matches[number, "sha256"] = Match("sha256")
    if question.url is not None:
        for kind, key in candidate_keys(question.url):
            for number in index.rules.query(key):
                matches[number, str(kind)] = _URL_MATCHES[kind]


def _match_pdq(index: _Index, questions: Sequence[Question], found: list[_Found]) -> None:
    asked = [
        (place, form, value)
        for place, question in enumerate(questions)
        if question.fingerprint is not None and _comparable(question.fingerprint)
        for form, value in question.fingerprint.pdq.items()
    ]
    if not asked or not len(index.pdq):
        return
    matches = index.pdq.query(hash_words([value for _, _, value in asked]), REVIEW_RADIUS)
    strict = np.minimum(index.pdq.radius_of(matches.record), STRICT_RADIUS)
    for number, record, distance, limit in _rows_of(matches, strict):
        place, form, _ = asked[number]
        row, window = index.pdq_rows[record]
        _keep_nearest(found[place], row, Match("pdq", distance <= limit, distance, window, form))


def _match_phash(index: _Index, questions: Sequence[Question], found: list[_Found]) -> None:
    asked = [
        (place, phash)
        for place, question in enumerate(questions)
        if question.fingerprint is not None and (phash := _lone_phash(question.fingerprint)) is not None
    ]
    if not asked or not len(index.phash):
        return
    matches = index.phash.query(hash_words([value for _, value in asked]), PHASH_RADIUS)
    for number, record, distance, _ in _rows_of(matches, matches.distance):
        match = Match("phash", certain=False, distance=distance, window="full", form="full")
        _keep_nearest(found[asked[number][0]], index.phash_rows[record], match)


def _statements(index: _Index, matches: _Found, seq: int) -> list[Statement]:
    statements = []
    for (number, _), match in matches.items():
        row = index.rows[number]
        version = _version_at(index.versions.get(row.reservation, ()), seq)
        if row.holds_at(seq) and version is not None and version.values["state"] != State.WITHDRAWN:
            statements.append(_statement(row, version, match))
    return statements


def _comparable(fingerprint: Fingerprint) -> bool:
    return bool(fingerprint.pdq) and is_distinctive(fingerprint.quality, fingerprint.pdq)


def _lone_phash(fingerprint: Fingerprint) -> bytes | None:
    """Return the pHash of a fingerprint that brings nothing better."""
    return None if fingerprint.pdq or fingerprint.quality < MIN_QUALITY else fingerprint.phash


def _rows_of(matches: Matches, limits: NDArray[Any]) -> list[tuple[int, int, int, int]]:
    columns = (matches.query, matches.record, matches.distance, limits)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _keep_nearest(found: _Found, row: int, match: Match) -> None:
    known = found.get((row, match.kind))
    if known is None or (not match.certain, match.distance or 0) < (not known.certain, known.distance or 0):
        found[row, match.kind] = match


def _version_at(versions: Sequence[_Version], seq: int) -> _Version | None:
    return next((version for version in reversed(versions) if version.from_seq <= seq), None)


def _statement(row: _Row, version: _Version, match: Match) -> Statement:
    values = version.values
    return Statement(
        preferences=version.says,
        match=match,
        scope=_SCOPES[RuleKind(match.kind)] if match.kind in ("prefix", "host", "domain") else Scope.WORK,
        evidence_level=values["evidence_level"],
        state=State(values["state"]),
        seq=version.from_seq,
        at=datetime.fromtimestamp(values["at"], UTC).isoformat().replace("+00:00", "Z"),
        record=row.reservation,
        principal=values["principal_id"],
        label=values["label"],
        title=row.title,
        terms=values["terms"],
        contact=values["contact"],
    )
