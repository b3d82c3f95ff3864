"""Looking works up in the index of a dataset.

A picture is asked about by what a registry would have of it, were it lodged: the SHA-256 of its file and the
PDQ hashes of its windows, each with its own radius. It is compared with every form of every picture, within
the radii of :mod:`registry.matching`, so the answer is the one that a filter of that dataset would get.
Where the dataset gives only a pHash, that is compared, and asks for a look at most.

An address is found however it is spelled; one that ends in a slash stands for everything below it. A name
stands for its host, or, when it is a registered domain, for every host under it.

What could not be compared is not "not found": an index without pictures answers no question about one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from registry.calibration import radii_of, shipped_calibration
from registry.canonical import canonical_urls
from registry.dataset_index.batch import FORM_CODES
from registry.dataset_index.listing import Listing, read_listing
from registry.dataset_index.part import OpenPart, open_part
from registry.dataset_index.query import Query, read_query
from registry.errors import DatasetError, InputError
from registry.fingerprint import (
    MIN_QUALITY,
    PHASH_RADIUS,
    REVIEW_RADIUS,
    STRICT_RADIUS,
    Fingerprint,
    hash_words,
)
from registry.index import Near
from registry.keys import key_words
from registry.matching import MAX_NEAR
from registry.preference import Status
from registry.statement import Match

__all__ = ["Answer", "Found", "OpenIndex"]

_Hits = dict[tuple[int, int], Match]
"""Part and sample in it → by what it was found."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sample that was found: its name in the dataset, its number from 0, its addresses, and by what."""

    sample: str
    number: int
    urls: tuple[str, ...]
    match: Match

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        match = self.match.to_wire()
        return {"sample": self.sample, "number": self.number, "urls": list(self.urls), "match": match}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an index says of one question.

    ``status`` is ok when it was compared with everything in the index. ``count`` is how many samples were
    found, or, where it is not ``complete``, how many at least. ``found`` are the first of them, those that
    are certain and nearest before the others.
    """

    query: str
    status: Status
    reason: str
    count: int = 0
    found: tuple[Found, ...] = field(default=())
    complete: bool = True

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "query": self.query,
            "status": str(self.status),
            "reason": self.reason,
            "count": self.count,
            "complete": self.complete,
            "found": [one.to_wire() for one in self.found],
        }


class OpenIndex:
    """An index that is open, every part of it checked; ``listing`` says what is in it."""

    def __init__(self, listing: Listing, parts: Sequence[OpenPart]) -> None:
        self.listing, self._parts = listing, tuple(parts)

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Check and open the index in ``folder``.

        Raises :class:`DatasetError` when it is none, not complete, or damaged.
        """
        folder = Path(folder)
        listing = read_listing(folder)
        if listing is None:
            raise DatasetError(f"no index in {folder}", hint="Make one: caveat index DATASET --to FOLDER.")
        if not listing.complete:
            raise DatasetError(
                f"the index {folder} is not complete: {listing.counts.samples:,} samples so far",
                hint="Run caveat index on the dataset again: it goes on from there.",
            )
        parts = [open_part(folder, one, listing.digest) for one in listing.parts]
        return cls(listing, parts)

    @property
    def parts(self) -> Sequence[OpenPart]:
        """Its parts, to be checked again while it is open."""
        return self._parts

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield name and reason of every sample that cannot be found by all that it has."""
        for part in self._parts:
            yield from part.faults()

    def find(self, text: str, *, limit: int = 20, most: int | None = None) -> Answer:
        """Return the answer for an address, a folder of addresses, a host or a registered domain.

        For a folder every address of its host is looked at; ``most`` of them where it is given, and of more
        the answer says so.
        """
        try:
            query = read_query(text)
        except InputError as error:
            return Answer(text, Status.MALFORMED, error.message)
        if not self.listing.counts.addresses:
            return Answer(text, Status.NOT_CHECKED, "the index has no addresses; ask with the pictures")
        named: list[Found] = []
        count, seen, cut = 0, 0, False
        for part in self._parts:
            looked_at, places = _places(part, query, None if most is None else most - seen)
            cut |= looked_at < len(part.places(query.key))
            seen += looked_at
            count += len(places)
            for sample, url in part.addresses(places[: limit - len(named)]):
                named.append(Found(part.name(sample), part.first + sample, (url,), Match(query.kind)))
        if cut:
            reason = f"{count:,} addresses at least: the host has so many that not all were looked at"
            status = Status.OK if count else Status.ERROR
            return Answer(text, status, reason, count, tuple(named), complete=False)
        where = {"url": "at this address", "prefix": "below it", "host": "on this host"}
        said = self._said(count, "address", "addresses", where.get(query.kind, "under this domain"))
        return Answer(text, Status.OK, said, count, tuple(named))

    def find_picture(self, name: str, fingerprint: Fingerprint, *, limit: int = 20) -> Answer:
        """Return the answer for the work that people call ``name``, by its registered fingerprint."""
        hits, cut = self._hits(fingerprint)
        nearest = sorted(hits.items(), key=_rank)[:limit]
        found = tuple(self._found(*place, match) for place, match in nearest)
        if cut:
            # What was found is in the dataset whatever else is; that nothing was does not follow.
            reason = (
                f"{len(hits):,} samples at least: near to more than {MAX_NEAR:,}, and not all were looked at"
            )
            return Answer(name, Status.OK if hits else Status.ERROR, reason, len(hits), found, complete=False)
        unchecked = "" if hits else self._unchecked(fingerprint)
        if unchecked:
            return Answer(name, Status.NOT_CHECKED, unchecked)
        return Answer(name, Status.OK, self._said(len(hits), "sample", "samples"), len(hits), found)

    def _unchecked(self, fingerprint: Fingerprint) -> str:
        """Say why a picture that was not found may be there all the same; empty when it was compared."""
        counts = self.listing.counts
        if not (counts.pictures or counts.phashes):
            return "the index has no pictures to compare with; ask with the addresses of your works"
        if not fingerprint.pdq:
            return "the picture is too plain to be told apart; only the same file would have been found"
        return ""

    def _hits(self, fingerprint: Fingerprint) -> tuple[_Hits, bool]:
        """Return where the picture is found, and whether some of it was not looked at."""
        hits: _Hits = {}
        files = key_words([fingerprint.sha256 or b""] if fingerprint.sha256 else [])
        windows, radii = list(fingerprint.pdq), radii_of(fingerprint, shipped_calibration())
        words = hash_words(list(fingerprint.pdq.values())).reshape(-1, 4)
        phash = [fingerprint.phash] if fingerprint.phash and fingerprint.quality >= MIN_QUALITY else []
        cut = False
        for place, part in enumerate(self._parts):
            near = part.index.near_pdq(words, REVIEW_RADIUS, MAX_NEAR)
            for query, sample, distance, code in _rows_of(near):
                if distance <= radii[windows[query]]:
                    form = FORM_CODES[code]
                    certain = distance <= STRICT_RADIUS and not form.plain
                    _keep(hits, (place, sample), Match("pdq", certain, distance, windows[query], form.name))
            alike = part.index.near_phash(hash_words(phash).reshape(-1, 1), PHASH_RADIUS, MAX_NEAR)
            for _, sample, distance, _ in _rows_of(alike):
                _keep(hits, (place, sample), Match("phash", False, distance, "full", "full"))
            for sample in part.index.files.query(files).record.tolist():
                hits[place, sample] = Match("sha256")
            cut |= bool(len(near.cut) or len(alike.cut))
        return hits, cut

    def _found(self, place: int, sample: int, match: Match) -> Found:
        part = self._parts[place]
        urls = tuple(part.addresses_of(sample))
        return Found(part.name(sample), part.first + sample, urls, match)

    def _said(self, count: int, noun: str, plural: str, where: str = "") -> str:
        counts = self.listing.counts
        if count:
            return f"{count:,} {noun if count == 1 else plural} {where}".rstrip()
        among, what = counts.pictures + counts.phashes, "pictures"
        if where:
            among, what = counts.addresses, "addresses"
        missing = f"; {counts.faults:,} samples could not be read" if counts.faults else ""
        return f"not found among {among:,} {what}{missing}"


def _places(part: OpenPart, query: Query, most: int | None) -> tuple[int, Sequence[int]]:
    """Return how many addresses were looked at, ``most`` of those of a folder's host, and which are meant."""
    places = part.places(query.key)
    if not query.below:
        return len(places), places
    places = places[:most]
    texts = canonical_urls([url for _, url in part.addresses(places)]).texts
    found = [at for at, one in zip(places, texts, strict=True) if one and one.startswith(query.below)]
    return len(places), found


def _rows_of(near: Near) -> list[tuple[int, int, int, int]]:
    columns = (near.query, near.place, near.distance, near.window)
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def _keep(hits: _Hits, place: tuple[int, int], match: Match) -> None:
    known = hits.get(place)
    if known is None or _strength(match) < _strength(known):
        hits[place] = match


def _strength(match: Match) -> tuple[bool, int]:
    return not match.certain, match.distance or 0


def _rank(hit: tuple[tuple[int, int], Match]) -> tuple[bool, int, tuple[int, int]]:
    place, match = hit
    return (*_strength(match), place)
