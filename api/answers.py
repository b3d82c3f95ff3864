"""What is told of one item, and to whom: the same for look-ups and for pages.

An item that was not answered has a status that says so and no preference. Who has no key of scope ``lookup``
is told preference, state and kind of match, and neither record nor person nor distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.decision import decide, effective
from registry.lookup import MAX_NEAR
from registry.matching import MAX_STATEMENTS
from registry.preference import Mode, Preference, Status, Use
from registry.statement import Statement

__all__ = ["Answering", "unanswered"]

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Answering:
    """How items are answered: for which use, in which mode, and whether with everything."""

    use: Use
    mode: Mode
    detail: bool

    def result(self, id_: str, statements: Sequence[Statement], *, complete: bool) -> dict[str, Any]:
        """Return the result for an item; ``complete`` says that everything near to it was looked at."""
        told = self._told(statements)
        decision = decide(told, self.use, self.mode)
        if not complete and decision.preference is not Preference.RESERVED:
            # What was not looked at could only make the answer stricter: a reservation stands, anything
            # else not.
            return unanswered(
                id_, Status.ERROR, f"near to more than {MAX_NEAR} registered pictures; not all were looked at"
            )
        return {
            "id": id_,
            "status": str(Status.OK),
            "preference": str(decision.preference),
            "reason": decision.reason,
            "matched_by": decision.matched_by,
            "state": decision.state,
            "statements": [statement.to_wire(detail=self.detail) for statement in told],
        }

    def _told(self, statements: Sequence[Statement]) -> list[Statement]:
        """Choose what of the statements the caller may know."""
        counted = effective(statements, self.use)[:MAX_STATEMENTS]
        if self.detail:
            return [replace(s, principal="") for s in counted]
        return [_anonymous(statement) for statement in counted]


def _anonymous(statement: Statement) -> Statement:
    """Return what anybody may know; without the terms the reason does not quote them either."""
    match = replace(statement.match, distance=None)
    return replace(statement, principal="", record="", label="", title="", terms="", contact="", match=match)


def unanswered(id_: str, status: Status, reason: str) -> dict[str, Any]:
    """Return the result for an item that was not answered."""
    return {
        "id": id_,
        "status": str(status),
        "preference": None,
        "reason": reason[:_LONGEST],
        "matched_by": None,
        "state": None,
        "statements": [],
    }
