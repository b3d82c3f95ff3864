"""What the records of a snapshot say: canonical JSON lines, found by a number made of the identifier.

Of a person there is in it what a look-up with a key tells, less contact and the titles of single works; the
principal is a pseudonym, there only to tell whose statements lift each other.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray

from registry.errors import InputError, SnapshotError
from registry.jsontext import strict_json
from registry.matching import SCOPES
from registry.preference import Preference, Scope, State, Use
from registry.statement import Match, Statement

__all__ = ["Records", "record_arrays", "record_line", "ref_of"]


def ref_of(record: str) -> int:
    """Return the number of the record with this identifier, below 2⁶³."""
    return int.from_bytes(hashlib.sha256(record.encode()).digest()[:8], "big") >> 1


def record_line(version: Mapping[str, Any], at: str) -> bytes:
    """Return the line of a reservation's version, a row of its table; ``at`` is its time, RFC 3339."""
    principal = hashlib.sha256(version["principal_id"].encode()).hexdigest()[:16]
    wire = {
        "record": version["reservation_id"],
        "principal": principal,
        "preferences": json.loads(version["preferences"]),
        "evidence_level": version["evidence_level"],
        "state": str(version["state"]),
        "seq": version["from_seq"],
        "at": at,
        "label": version["label"],
        "terms": version["terms"],
    }
    return rfc8785.dumps(wire) + b"\n"


def record_arrays(lines: Iterable[tuple[str, bytes]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of records, from pairs of identifier and line."""
    ordered = sorted((ref_of(record), line) for record, line in lines)
    lengths = np.array([len(line) for _, line in ordered], np.int64)
    return {
        "refs": np.array([ref for ref, _ in ordered], np.int64),
        "ends": np.cumsum(lengths, dtype=np.int64),
        "text": np.frombuffer(b"".join(line for _, line in ordered), np.uint8),
    }


class Records:
    """The records of a snapshot's files, ``parts`` the arrays of each."""

    def __init__(self, parts: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._parts = parts
        refs = [part["refs"] for part in parts]
        merged = np.concatenate([np.empty(0, np.int64), *refs])
        order = np.argsort(merged, kind="stable")
        self._refs = merged[order]
        if (self._refs[1:] == self._refs[:-1]).any():
            raise SnapshotError("two records of a snapshot have one number")
        part_of = np.repeat(np.arange(len(parts)), [len(one) for one in refs])
        first = np.cumsum([0, *(len(one) for one in refs)])[:-1]
        self._part = part_of[order]
        self._row = (np.arange(len(merged)) - np.repeat(first, [len(one) for one in refs]))[order]

    def __len__(self) -> int:
        return len(self._refs)

    def statement(self, ref: int, match: Match, registry: str) -> Statement:
        """Return what record ``ref`` says of an item that was found by ``match``.

        Raises :class:`SnapshotError` when there is no such record: a key without one would say nothing.
        """
        at = int(np.searchsorted(self._refs, ref))
        if at == len(self._refs) or self._refs[at] != ref:
            raise SnapshotError("a key of the snapshot leads to no record", hint="Fetch the snapshot again.")
        arrays, row = self._parts[self._part[at]], int(self._row[at])
        begin = int(arrays["ends"][row - 1]) if row else 0
        line = arrays["text"][begin : int(arrays["ends"][row])].tobytes()
        try:
            return _statement(strict_json(line), match, registry)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"a record of the snapshot that cannot be read: {error!r}") from error


def _statement(wire: Mapping[str, Any], match: Match, registry: str) -> Statement:
    return Statement(
        preferences={Use(use): Preference(value) for use, value in wire["preferences"].items()},
        match=match,
        scope=SCOPES.get(match.kind, Scope.WORK),
        evidence_level=wire["evidence_level"],
        state=State(wire["state"]),
        seq=wire["seq"],
        at=wire["at"],
        record=wire["record"],
        principal=wire["principal"],
        label=wire["label"],
        terms=wire["terms"],
        registry=registry,
    )
