"""What an item can be found by, and what finds it: one way for the service and for snapshots.

Matching, for one item: its URL by every rule that covers it, its SHA-256, and its PDQ forms within the
review radius of every registered window and within the window's own. Within the strict radius a match
decides; beyond, and for a plain picture, it asks for a review.
A pHash is compared only where no PDQ form was sent, and asks for a review at most.

What is searched gives numbers, and what they stand for is the caller's: rows of a database, or records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError
from registry.fingerprint import (
    MIN_QUALITY,
    PHASH_RADIUS,
    REGISTERED_WINDOWS,
    REVIEW_RADIUS,
    STRICT_RADIUS,
    Fingerprint,
    has_bits,
    hash_words,
)
from registry.index import Near
from registry.keys import Hits, key_words
from registry.preference import Scope
from registry.statement import Match
from registry.urlkeys import KINDS, url_keys
from registry.urls import CanonicalUrl, RuleKind

__all__ = [
    "MAX_NEAR",
    "MAX_STATEMENTS",
    "OF",
    "RANGE_DIGITS",
    "SCOPES",
    "TOO_PLAIN",
    "Found",
    "Question",
    "Searched",
    "find",
    "marked",
]

MAX_NEAR = 1_000
"""Registered hashes near to one asked hash that are looked at; of more, the answer says so."""

MAX_STATEMENTS = 8
"""Most statements told of one item, the deciding ones first."""
TOO_PLAIN = "the picture is too plain to be told apart by its fingerprint; send its sha256"
"""Why an item that has nothing else is not checked."""

SCOPES = {
    "prefix": Scope.PREFIX,
    "host": Scope.HOST,
    "domain": Scope.DOMAIN,
}
"""Kind of match → how much the statement speaks about; every other kind is of one work."""

OF = ("rule", "sha256")
"""What keys can be of: rules and URLs, or files."""

RANGE_DIGITS = 5
"""Hexadecimal digits of a key by which it is asked for among its neighbours, 20 bits.

Some 5,000 of five thousand million addresses begin alike, and of a registry of a hundred million keys a
hundred: few enough to send. All ask with as many, so that how many are sent says nothing either.
"""

Found = dict[tuple[int, str], Match]
"""By number and kind of match: how it was found for one item."""

_URL_MATCHES = {kind: Match("url" if kind is RuleKind.EXACT else str(kind)) for kind in RuleKind}


class Searched(Protocol):
    """What can be searched; :class:`registry.index.Index` says what each method returns."""

    def rules(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the numbers of the rules and URLs with each of ``keys: uint64[k, 2]``."""

    def files(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the numbers of the works with each of ``keys: uint64[k, 2]``, halves of SHA-256."""

    def has_rules(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]`` whether a rule or URL has it."""

    def has_files(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]``, halves of SHA-256, whether a work has it."""

    def near_pdq(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the windows within ``radius`` bits of each of ``hashes: uint64[k, 4]``."""

    def near_phash(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the pHashes within ``radius`` bits of each of ``hashes: uint64[k, 1]``."""


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
        return not self.is_comparable

    @property
    def is_comparable(self) -> bool:
        """Whether it has a picture to compare with others."""
        if self.fingerprint is None:
            return False
        comparable = any(has_bits(value) for value in self.fingerprint.pdq.values())
        return comparable or _lone_phash(self.fingerprint) is not None


def find(index: Searched, questions: Sequence[Question], *, review: bool) -> tuple[list[Found], set[int]]:
    """Return what was found for each question, in order, and which were near to more than ``MAX_NEAR``.

    Without ``review`` only matches that decide are looked for.
    """
    found: list[Found] = [{} for _ in questions]
    _match_files(index, questions, found)
    _match_urls(index, questions, found)
    incomplete = _match_pdq(index, questions, found, review)
    if review:
        incomplete |= _match_phash(index, questions, found)
    return found, incomplete


def marked(index: Searched, keys: NDArray[np.uint64], of: str) -> NDArray[np.bool_]:
    """Say of each of ``keys: uint64[k, 2]`` whether anything stands under it, also what holds no longer.

    False means that nothing was said under this key; True, that it is to be looked up. ``of`` is one of
    ``OF``; raises :class:`InputError` for another.
    """
    if of not in OF:
        raise InputError(f"of: expected {' or '.join(OF)}, got {of!r}")
    return index.has_rules(keys) if of == "rule" else index.has_files(keys)


def _match_files(index: Searched, questions: Sequence[Question], found: list[Found]) -> None:
    asked = [(place, question.sha256) for place, question in enumerate(questions) if question.sha256]
    hits = index.files(key_words([key for _, key in asked]))
    for number, row in zip(hits.query.tolist(), hits.record.tolist(), strict=True):
        found[asked[number][0]][row, "sha256"] = Match("sha256")


def _match_urls(index: Searched, questions: Sequence[Question], found: list[Found]) -> None:
    asked = [(place, question.url) for place, question in enumerate(questions) if question.url is not None]
    candidates = url_keys([url for _, url in asked])
    hits = index.rules(candidates.keys)
    urls, kinds = candidates.url[hits.query].tolist(), candidates.kind[hits.query].tolist()
    for url, kind, row in zip(urls, kinds, hits.record.tolist(), strict=True):
        found[asked[url][0]][row, str(KINDS[kind])] = _URL_MATCHES[KINDS[kind]]


def _match_pdq(index: Searched, questions: Sequence[Question], found: list[Found], review: bool) -> set[int]:
    asked = [
        (place, form, value, question.fingerprint.quality < MIN_QUALITY)
        for place, question in enumerate(questions)
        if question.fingerprint is not None and question.fingerprint.pdq
        for form, value in question.fingerprint.pdq.items()
        if has_bits(value)
    ]
    if not asked:
        return set()
    words = hash_words([value for _, _, value, _ in asked])
    near = index.near_pdq(words, REVIEW_RADIUS if review else STRICT_RADIUS, MAX_NEAR)
    for (number, row, distance, window), own in zip(_rows_of(near), near.radius.tolist(), strict=True):
        place, form, _, plain = asked[number]
        certain = distance <= STRICT_RADIUS and not plain
        if distance <= own and (certain or review):
            match = Match("pdq", certain, distance, REGISTERED_WINDOWS[window], form)
            _keep_nearest(found[place], row, match)
    return {asked[number][0] for number in near.cut.tolist()}


def _match_phash(index: Searched, questions: Sequence[Question], found: list[Found]) -> set[int]:
    asked = [
        (place, phash)
        for place, question in enumerate(questions)
        if question.fingerprint is not None and (phash := _lone_phash(question.fingerprint)) is not None
    ]
    if not asked:
        return set()
    near = index.near_phash(hash_words([value for _, value in asked]), PHASH_RADIUS, MAX_NEAR)
    for number, row, distance, _ in _rows_of(near):
        match = Match("phash", certain=False, distance=distance, window="full", form="full")
        _keep_nearest(found[asked[number][0]], row, match)
    return {asked[number][0] for number in near.cut.tolist()}


def _lone_phash(fingerprint: Fingerprint) -> bytes | None:
    """Return the pHash of a fingerprint that brings nothing better."""
    return None if fingerprint.pdq or fingerprint.quality < MIN_QUALITY else fingerprint.phash


def _rows_of(near: Near) -> list[tuple[int, int, int, int]]:
    columns = (near.query, near.place, near.distance, near.window)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _keep_nearest(found: Found, row: int, match: Match) -> None:
    known = found.get((row, match.kind))
    if known is None or (not match.certain, match.distance or 0) < (not known.certain, known.distance or 0):
        found[row, match.kind] = match
