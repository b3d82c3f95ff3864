"""What the rows that an index found say, as they held at one event.

An index finds places and nothing else. Here the rows at these places are read, and the versions of the
reservations that they belong to; a row that ought to be there and is not is an error, never silence.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import Row

from registry.errors import StorageError
from registry.grant import Grant
from registry.index import Place
from registry.matching import SCOPES, Found, Question
from registry.preference import Preference, Scope, State, Use
from registry.statement import Match, Statement
from registry.store import Store, events, grants, imported_works, reservations
from registry.urls import RuleKind

__all__ = ["Held", "Said"]

_LOCAL = "-"
"""Stands for the log's name in grants that are not handed out."""


@dataclass(frozen=True, slots=True)
class Held:
    """The grants that an asker names, what for, and the time, seconds since 1970."""

    ids: tuple[str, ...]
    use: Use
    now: float


@dataclass(frozen=True, slots=True)
class Said:
    """What the rows that were found say, as they held at one event.

    ``granted`` are the grants that the asker holds and that count, by their reservation.
    """

    rows: dict[int, Any]
    versions: dict[str, Row[Any]]
    granted: Mapping[str, list[Grant]]

    @classmethod
    def read(
        cls, store: Store, found: Iterable[tuple[int, str]], seq: int, held: Held | None = None
    ) -> "Said":
        """Read the rows at these places, the versions of their reservations, and the grants that are held.

        Nothing that the index found is passed over because it is not there, unless it was erased.
        """
        places = {number: Place.of(number) for number, _ in found}
        if not places:
            return cls({}, {}, {})
        by_place = {(place.seq, place.ordinal, place.is_rule): number for number, place in places.items()}
        works = [place[:2] for place in places.values() if not place.is_rule]
        rules = [place[:2] for place in places.values() if place.is_rule]
        with store.read() as connection:
            single = reservations.works_at(connection, works, seq)
            ruled = reservations.rules_at(connection, rules, seq)
            others = set(works) - {(row.from_seq, row.ordinal) for row in single}
            rows: dict[int, Any] = {
                by_place[row.from_seq, row.ordinal, is_rule]: row
                for is_rule, some in (
                    (False, single),
                    (False, imported_works.works_at(connection, sorted(others), seq)),
                    (True, ruled),
                )
                for row in some
            }
            ids = list(dict.fromkeys(row.reservation_id for row in rows.values()))
            versions = {row.reservation_id: row for row in reservations.versions_at(connection, ids, seq)}
            granted = {} if held is None else _granted(grants.standing_at(connection, held.ids, seq), held)
            due = {place.seq for number, place in places.items() if number not in rows and place.seq <= seq}
            due |= {row.from_seq for row in chain(single, ruled) if row.reservation_id not in versions}
            # Asked last: whatever was erased while the rows were read is known to be by now.
            if due and (missing := events.standing(connection, due)):
                raise _damaged(
                    f"a row that event {min(missing)} brought, or what it belongs to, is not there"
                )
        return cls(rows, versions, granted)

    def about(self, question: Question, matches: Found) -> list[Statement]:
        """Return the statements of the rows that matched and still hold."""
        said = []
        for (number, kind), match in sorted(matches.items(), key=lambda found: found[0][0]):
            row = self.rows.get(number)
            # The index compares half of a SHA-256; the row has all of it.
            if row is None or (kind == "sha256" and bytes(row.sha256) != question.sha256):
                continue
            version = self.versions.get(row.reservation_id)
            if version is not None and version.state != State.WITHDRAWN:
                statement = _statement(getattr(row, "title", ""), version, match)
                grant = self._grant(row, Place.of(number))
                said.append(replace(statement, grant=grant) if grant else statement)
        return said

    def _grant(self, row: Any, place: Place) -> str:
        """Return the grant that permits what was asked of the work or rule at this place, empty if none."""
        work = "" if place.is_rule else f"{place.seq}.{place.ordinal}"
        held = self.granted.get(row.reservation_id, ())
        return next((one.id for one in held if one.covers_work(work)), "")

    def under(self, found: Iterable[tuple[bytes, int]], of: str) -> dict[bytes, list[Statement]]:
        """Return what still holds under each key, of pairs of 16 bytes and a place; ``of`` as keys are of.

        Of ``sha256`` the keys that are returned have all 32 bytes.
        """
        said: dict[bytes, list[Statement]] = {}
        for key, number in found:
            row = self.rows.get(number)
            version = None if row is None else self.versions.get(row.reservation_id)
            if row is None or version is None or version.state == State.WITHDRAWN:
                continue
            kind = getattr(row, "kind", RuleKind.EXACT) if of == "rule" else of
            match = Match("url" if kind == RuleKind.EXACT else kind)
            whole = key if of == "rule" else bytes(row.sha256)
            said.setdefault(whole, []).append(_statement(getattr(row, "title", ""), version, match))
        return said


def _granted(rows: Iterable[Row[Any]], held: Held) -> dict[str, list[Grant]]:
    """Return those of the grants that permit what is asked now, by their reservation."""
    found: dict[str, list[Grant]] = {}
    for grant in (grants.grant_of(row, _LOCAL) for row in rows):
        if grant.covers(held.use, held.now):
            found.setdefault(grant.reservation, []).append(grant)
    return found


def _damaged(what: str) -> StorageError:
    return StorageError(what, hint="The database is damaged: caveat log fsck says where.")


def _statement(title: str, version: Row[Any], match: Match) -> Statement:
    try:
        says = {Use(use): Preference(value) for use, value in json.loads(version.preferences).items()}
        state = State(version.state)
    except (ValueError, AttributeError) as error:
        raise _damaged(f"what reservation {version.reservation_id} says cannot be read: {error}") from error
    return Statement(
        preferences=says,
        match=match,
        scope=SCOPES.get(match.kind, Scope.WORK),
        evidence_level=version.evidence_level,
        state=state,
        seq=version.from_seq,
        at=datetime.fromtimestamp(version.at, UTC).isoformat().replace("+00:00", "Z"),
        record=version.reservation_id,
        principal=version.principal_id,
        label=version.label,
        title=title,
        terms=version.terms,
        contact=version.contact,
    )
