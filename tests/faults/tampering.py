"""Promise 10: rows that are deleted, changed or added behind the registry's back. `log fsck` finds it."""

import json
from contextlib import closing
from pathlib import Path

import pysqlite3

from tests.faults.batches import Batch
from tests.faults.importing import lodge_batch
from tests.faults.ledger import Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import copied, lodge
from tests.faults.service import Place
from tests.faults.victim import done_at_once, request

__all__ = ["tamper"]

_DEEDS = {
    "a work deleted": "DELETE FROM work WHERE from_seq = 2",
    "a reservation deleted": "DELETE FROM reservation_version WHERE from_seq = 2",
    "a reservation deleted, with its works": (
        "DELETE FROM work WHERE from_seq = 2; DELETE FROM reservation_version WHERE from_seq = 2"
    ),
    "a reservation deleted, with its event": (
        "DELETE FROM work WHERE from_seq = 2; DELETE FROM reservation_version WHERE from_seq = 2;"
        "DELETE FROM event WHERE seq = 2"
    ),
    "the last event undone": (
        "DELETE FROM event WHERE seq = (SELECT n FROM head); UPDATE head SET n = n - 1"
    ),
    "a rule deleted": "DELETE FROM url_rule",
    "a part deleted": "DELETE FROM import_part WHERE number = 1",
    "an import deleted": "DELETE FROM import_batch",
    "an import said to be open": "UPDATE import_batch SET state = 'open'",
    "a part emptied": "UPDATE import_part SET blob = x'' WHERE number = 1",
    "a part changed": "UPDATE import_part SET blob = substr(blob, 1, length(blob) - 2000) || zeroblob(2000)",
    "a work of an import withdrawn": "INSERT INTO withdrawn_work SELECT seq, 0, 3 FROM import_part",
    "a withdrawal undone": "DELETE FROM withdrawn_work",
    "a preference changed": (
        "UPDATE reservation_version SET preferences = replace(preferences, 'reserved', 'allowed')"
        " WHERE from_seq = 1"
    ),
    "a reservation withdrawn": "UPDATE reservation_version SET state = 'withdrawn' WHERE from_seq = 1",
    "a reservation ended": "UPDATE reservation_version SET to_seq = 3 WHERE from_seq = 1",
    "a work ended": "UPDATE work SET to_seq = 3 WHERE from_seq = 1",
    "a work given to another": (
        "UPDATE work SET reservation_id = (SELECT reservation_id FROM work WHERE from_seq = 2)"
        " WHERE from_seq = 1"
    ),
    "a key changed": "UPDATE work SET url_key = zeroblob(16) WHERE from_seq = 1",
    "a hash changed": "UPDATE work SET sha256 = zeroblob(32) WHERE from_seq = 1",
    "a salt changed": "UPDATE event SET salt = zeroblob(16) WHERE seq = 1",
    "a leaf changed": "UPDATE event SET leaf = (SELECT leaf FROM event WHERE seq = 2) WHERE seq = 1",
    "an erasure pretended": "UPDATE event SET erased_by = 3, salt = x'' WHERE seq = 1",
    "a work added": (
        "INSERT INTO work (from_seq, ordinal, reservation_id, title, url)"
        " SELECT 2, 7, reservation_id, '', 'https://x.test/' FROM work WHERE from_seq = 2"
    ),
}
"""Each leaves the log's folder alone, as somebody with a connection to the database would."""


def tamper(folder: Path) -> Outcome:
    """Do each deed to a copy of a registry that is published, and ask fsck."""
    outcome, ledger, base = Outcome(), Ledger(), Place.make(folder / "base")
    lodge(base, ledger, 3)
    rule = {"preferences": {"tdm": "reserved"}, "rules": [{"kind": "host", "value": "rule.example.org"}]}
    batch = Batch.new(2, 40)
    for status, data in (
        done_at_once("send", base, request("POST", "/api/v1/reservations", json.dumps(rule))),
        lodge_batch(base, batch),
        done_at_once("send", base, _withdrawal(batch)),
        done_at_once("publish", base),
        done_at_once("fsck", base),
    ):
        if status not in (200, 201):
            raise AssertionError(f"without a fault: {status} {data!r}")
    for deed, statements in _DEEDS.items():
        place = copied(base, folder / "trial")
        with closing(pysqlite3.connect(place.folder / "registry.sqlite")) as connection, connection:
            if not sum(connection.execute(one).rowcount for one in statements.split(";")):
                raise AssertionError(f"{deed}: no row was touched")
        if done_at_once("fsck", place)[0] == 200:
            outcome.broken(f"{deed}: fsck finds nothing wrong")
        outcome.injected += 1
    outcome.acknowledged = len(ledger.entries) + len(batch.works)
    return outcome


def _withdrawal(batch: Batch) -> bytes:
    works = json.dumps({"works": [{"part": 2, "ordinal": 3}]})
    return request("POST", batch.path("/withdraw"), works)
