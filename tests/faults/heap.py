"""Promise 6 on PostgreSQL with data checksums: a bit turned in a table or an index of it is no answer."""

import json
import random
from pathlib import Path

import psycopg

from tests.faults.damage import asked, flip, judge
from tests.faults.ledger import Ledger
from tests.faults.outcome import Outcome
from tests.faults.places import lodge
from tests.faults.postgres import Cluster
from tests.faults.service import Place, Reply
from tests.faults.victim import done_at_once

__all__ = ["flip_heap"]

_TABLES = ("work", "reservation_version", "event", "head")


def flip_heap(place: Place, server: Cluster, flips: int) -> Outcome:
    """Turn a bit in the files of the tables and their indexes, in turn, while the server is stopped."""
    outcome, ledger = Outcome(), Ledger()
    lodge(place, ledger, 150)
    paths = _files(place, server)
    random.shuffle(paths)
    server.stop("fast")
    refused = 0
    for number in range(flips):
        path = paths[number % len(paths)]
        sound = path.read_bytes()
        where = flip(path, number)
        server.start()
        status, data = done_at_once("look up", place, json.dumps(asked(ledger)).encode())
        server.stop("fast")
        judge(Reply(status, data, ""), ledger, outcome, where)
        refused += status == 503
        with path.open("r+b") as file:
            file.write(sound)
        outcome.injected += 1
    server.start()
    status, data = done_at_once("look up", place, json.dumps(asked(ledger)).encode())
    judge(Reply(status, data, ""), ledger, outcome, "no bit")
    outcome.acknowledged = len(ledger.entries)
    outcome.note = "; ".join(filter(None, [f"{refused} refused by name", outcome.note]))
    return outcome


def _files(place: Place, server: Cluster) -> list[Path]:
    """Return the files of the tables and their indexes that hold anything."""
    sql = (
        "SELECT pg_relation_filepath(c.oid) FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE coalesce(i.indrelid, c.oid) = ANY(%s::regclass[]) AND c.relkind IN ('r', 'i')"
    )
    with psycopg.connect(place.url) as connection:
        found = [Path(server.data) / row[0] for row in connection.execute(sql, [list(_TABLES)])]
        connection.execute("CHECKPOINT")
    return [path for path in found if path.stat().st_size]
