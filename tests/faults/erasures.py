"""Promise 20 under faults: a reservation is erased or it is not, never half, and the log still verifies."""

import json
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from tests.faults.checking import rows_of
from tests.faults.ledger import WITHDRAWN, Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import ask_all, check_log_folder, lodge
from tests.faults.service import Place
from tests.faults.strikes import FAULTS, Strikes, Struck, strike_all
from tests.faults.victim import done_at_once, request

__all__ = ["strike_erasure"]


def strike_erasure(folder: Path, faults: Sequence[str] = FAULTS, most: int = 0) -> Outcome:
    """Strike the erasure of one of three reservations at each of its calls; then do it again."""
    base, outcome, ledger = Place.make(folder / "base"), Outcome(), Ledger()
    lodge(base, ledger, 3)
    done_at_once("publish", base)
    entry = list(ledger.entries.values())[1]
    asked = request("POST", f"/api/v1/reservations/{entry.id}/erase", json.dumps({"keep": False}))

    def check(place: Place, struck: Struck, body: bytes) -> None:
        was_told = struck.is_acknowledged
        for told in (was_told, True):
            if told and not was_told and done_at_once("send", place, body)[0] != 200:
                outcome.broken("the erasure was refused after the fault")
            erased = _is_erased(place, entry.id, outcome)
            if told and not erased:
                outcome.broken("an erasure was acknowledged, and not done")
            entry.state = WITHDRAWN if erased else "held"
            ask_all(place, ledger, outcome)
            if done_at_once("publish", place)[0] != 200:
                outcome.broken("the log could not be published after an erasure")
            check_log_folder(place, outcome, "after an erasure")

    strike_all(Strikes(base, "send", faults, most), repeat(asked), check, outcome)
    outcome.acknowledged += len(ledger.entries)
    return outcome


def _is_erased(place: Place, record: str, outcome: Outcome) -> bool:
    """Say whether nothing of a reservation is there but its leaves; what is neither is told."""
    versions, works, events = (
        rows_of(place, sql.format(record=record))
        for sql in (
            "SELECT from_seq FROM reservation_version WHERE reservation_id = '{record}'",
            "SELECT from_seq FROM work WHERE reservation_id = '{record}'",
            "SELECT op, erased_by IS NULL, length(salt) FROM event WHERE record = '{record}' ORDER BY seq",
        )
    )
    told = (len(versions), len(works), events)
    if told == (1, 1, [("register", 1, 16)]):
        return False
    if told[:2] != (0, 0) or [row[:2] for row in events] != [("register", 0), ("erase", 1)] or events[0][2]:
        outcome.broken(f"a reservation is half erased: {told}")
    return True
