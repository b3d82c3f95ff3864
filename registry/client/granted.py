"""The grants that a run holds: files of its maker, checked before the run against the registries it asks.

A file counts for nothing until all of this holds: it is signed by the key of a log that one of the asked
registries keeps, is about the use that is asked about, is valid now, and the registry states the same and
has not seen it taken back. Otherwise the run does not begin. After that a grant still lifts only what the
registry marks with it, look-up by look-up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from registry.grant import Grant
from registry.oneline import one_line
from registry.statement import Statement

__all__ = ["HeldGrant", "HeldGrants", "told_of", "utc"]


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that was checked, and the addresses of the registries that it is of: one, and its mirrors."""

    grant: Grant
    urls: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return what an account tells of it."""
        grant = self.grant
        return {
            "id": grant.id,
            "registry": grant.registry,
            "reservation": grant.reservation,
            "works": None if grant.works is None else list(grant.works),
            "uses": [str(use) for use in grant.uses],
            "licensee": grant.licensee,
            "valid_from": grant.valid_from,
            "valid_until": grant.valid_until,
        }


@dataclass(frozen=True, slots=True)
class HeldGrants:
    """What a run holds, each grant once, by identifier."""

    held: tuple[HeldGrant, ...] = ()
    ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", frozenset(one.grant.id for one in self.held))

    @classmethod
    def of(cls, held: Iterable[HeldGrant]) -> "HeldGrants":
        """Return them sorted, each once."""
        by_id = {one.grant.id: one for one in held}
        return cls(tuple(by_id[id_] for id_ in sorted(by_id)))

    def ids_at(self, url: str) -> Sequence[str]:
        """Return the identifiers of those that the registry at ``url`` is asked about."""
        return [one.grant.id for one in self.held if url in one.urls]

    def are_about(self, statement: Statement) -> bool:
        """Say whether the one that ``statement`` is marked with can be about it, as far as that is told."""
        for one in self.held:
            if one.grant.id == statement.grant:
                # Without a key the record is not told.
                is_its = statement.record in ("", one.grant.reservation)
                return is_its and statement.registry in one.urls
        return False

    def to_wire(self) -> list[dict[str, Any]]:
        """Return what an account tells of them."""
        return [one.to_wire() for one in self.held]


def told_of(grant: Grant) -> str:
    """Return what people are told of a grant: one line, and nothing that a terminal obeys."""
    whole = "all of" if grant.works is None else f"{len(grant.works):,} of the works of"
    uses = ", ".join(grant.uses)
    return (
        f"grant {grant.id} of {grant.registry}: {uses} to “{one_line(grant.licensee)}” "
        f"until {utc(grant.valid_until)}, {whole} reservation {grant.reservation}"
    )


def utc(seconds: int) -> str:
    """Return a time for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
