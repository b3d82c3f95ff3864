"""The writer of imports: a partner's works in parts, durable one by one and visible together.

    open → put a part, in any order and as often as need be → complete      (or roll back)

A part is one event and one row. It is in the log from its acknowledgement on and says nothing yet: what is
said about its works is a version of the reservation with the import's identifier, and only ``complete``
begins that. Nothing needs an Idempotency-Key: a part is known by its number and the SHA-256 of its body, and
an import by its digest.

``complete`` waits until the index files hold the works, so that no worker has to read millions of them
between two questions; but not for ever, because the files are derived and may be missing, and the works must
become visible. It wants the partner's signature over what the import is: :mod:`registry.import_claim`.

Rolled back before it is complete, the works and their salts are destroyed; after that, the reservation is
withdrawn.
"""

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785
from sqlalchemy import Connection, Row

from registry.blocks import Block
from registry.builder import LEAST
from registry.calibration import Calibration
from registry.errors import ConflictError, ForbiddenError, InputError, SegmentError
from registry.import_checks import (
    may_import,
    own_batch,
    places_of,
    require_claimed,
    verifier_of,
)
from registry.import_claim import Claim
from registry.index_folder import IndexFolder
from registry.intake import take_in
from registry.leaf import SALT_BYTES, Leaf, format_leaf
from registry.listing import read_listing
from registry.note import Verifier
from registry.preference import State
from registry.registrar import Caller, Draft, Registrar, new_id, version_of
from registry.store import Store, events, imports, index_rows, payloads, reservations
from registry.store.imports import COMPLETE, OPEN, ROLLED_BACK

__all__ = [
    "MAX_PARTS",
    "PART_WORKS",
    "WITHDRAWN",
    "Completed",
    "Importer",
    "PartBody",
    "PartStored",
]

PART_WORKS = 10_000
"""Most works of one part."""
MAX_PARTS = 1_000_000
WITHDRAWN = "withdrawn"
"""What is said of a complete import whose reservation was withdrawn."""

_PATIENCE = 120
"""Seconds that the index files are waited for at least, from the last part on."""
_BUILT_A_SECOND = 10_000
"""Works that the index files take in a second even on a slow disk: so much longer a large import waits."""


@dataclass(frozen=True, slots=True)
class PartBody:
    """The body of a part as it came: its bytes, its media type, and how many works it may hold."""

    data: bytes
    kind: str
    most: int = PART_WORKS


@dataclass(frozen=True, slots=True)
class PartStored:
    """The acknowledgement of a part; ``exact_only`` lists the ordinals of works too plain for likeness."""

    id: str
    part: int
    seq: int
    works: int
    sha256: bytes
    exact_only: list[int]


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of an import: visible, or no longer, with event ``seq``."""

    id: str
    seq: int
    state: str
    parts: int
    works: int


class _AlreadyDoneError(Exception):
    """Leaves the transaction, so that no event is appended."""


class Importer:
    """Writes imports to one store; ``now`` gives the time of each event.

    ``index`` is the folder that a builder keeps, or None where each worker holds the whole index itself.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime],
        calibration: Calibration | None = None,
        index: IndexFolder | None = None,
    ) -> None:
        self._store = store
        self._now = now
        self._calibration = calibration
        self._index = index
        # Python runs one of them at a time anyway; look-ups beside them wait for one instead of for many.
        self._taking_in = threading.Lock()

    def open(self, caller: Caller, namespace: str, draft: Draft) -> tuple[str, Verifier]:
        """Begin an import about which ``draft`` (without works and rules) will be said.

        Returns its identifier, and the key that must sign it. Raises :class:`ForbiddenError` without the
        scope ``import:NAMESPACE``, or when no key for signatures is registered.
        """
        if not may_import(caller, namespace):
            raise ForbiddenError(
                f"this key may not import as {namespace[:80]!r}",
                hint="Ask the registry's operator for a key with the scope import:NAME.",
            )
        batch_id = new_id()
        said: dict[str, Any] = {
            "preferences": {str(use): str(value) for use, value in draft.preferences.items()},
            "label": draft.label,
            "terms": draft.terms,
            "contact": draft.contact,
        }
        with self._store.administer() as connection:
            verifier = verifier_of(connection, caller)
            imports.add_batch(
                connection,
                {
                    "id": batch_id,
                    "principal_id": caller.principal_id,
                    "namespace": namespace,
                    "state": OPEN,
                    "opened_at": self._seconds(),
                    "draft": rfc8785.dumps(said).decode(),
                },
            )
        return batch_id, verifier

    def put(self, caller: Caller, batch_id: str, number: int, body: PartBody) -> PartStored:
        """Store part ``number`` (from 1) of an own import; the same body again gets the same answer.

        Raises :class:`NotFoundError`, :class:`ConflictError`, and as :func:`registry.listing.read_listing`.
        """
        if not 1 <= number <= MAX_PARTS:
            raise InputError(f"part {number}; parts are numbered from 1 to {MAX_PARTS}")
        sha256 = hashlib.sha256(body.data).digest()
        with self._store.read() as connection:
            known = _part_before(connection, caller, batch_id, number, sha256)
        if known is not None:
            return _stored(known, Block.load(bytes(known.blob)))
        with self._taking_in:
            listing = read_listing(body.data, body.kind, min(body.most, PART_WORKS))
            block = take_in(listing, secrets.token_bytes(SALT_BYTES * listing.rows), self._calibration)
            root = block.root
        row = {
            "batch_id": batch_id,
            "number": number,
            "works": len(block),
            "body_sha256": sha256,
            "blob": block.dump(),
        }
        try:
            with self._store.write() as tx:
                known = _part_before(tx.connection, caller, batch_id, number, sha256)
                if known is not None:
                    raise _AlreadyDoneError
                imports.insert_part(tx, row)
                leaf = format_leaf(Leaf(tx.seq, "part", batch_id, root, "part"))
                events.append(tx, op="part", record=batch_id, at=self._seconds(), salt=b"", leaf=leaf)
                return PartStored(batch_id, number, tx.seq, len(block), sha256, block.exact_only)
        except _AlreadyDoneError:
            # Sent twice at the same time: what the other one stored counts, its salts too.
            return self.put(caller, batch_id, number, body)

    def complete(self, caller: Caller, batch_id: str, claim: Claim) -> Completed | None:
        """Make all works of an own import visible with one event; None while the index files lag behind.

        The same claim again gets the same answer. Raises :class:`NotFoundError`; :class:`ConflictError`,
        which names what is missing or differs; :class:`ForbiddenError` without the right signature.
        """
        with self._store.read() as connection:
            done = _completed_before(connection, caller, batch_id, claim)
            last = 0 if done else require_claimed(connection, caller, batch_id, claim)
        if done is None and self._is_behind(batch_id, last, claim.works):
            return None
        if done is None:
            try:
                return self._complete(caller, batch_id, claim)
            except _AlreadyDoneError:
                return self.complete(caller, batch_id, claim)
        return done

    def roll_back(self, caller: Caller, batch_id: str) -> Completed:
        """Take an own import back as a whole; doing it again changes nothing.

        Before it is complete its works are destroyed (``rolled-back``), after that it says nothing any more
        (``withdrawn``).
        """
        with self._store.read() as connection:
            batch = own_batch(connection, caller, batch_id)
        if batch.state == OPEN:
            try:
                return self._destroy(caller, batch_id)
            except _AlreadyDoneError:
                return self.roll_back(caller, batch_id)
        if batch.state == COMPLETE:
            done = Registrar(self._store, self._now).withdraw(caller, batch_id)
            return Completed(batch_id, done.seq, WITHDRAWN, batch.parts, batch.works)
        with self._store.read() as connection:
            (seq,) = [event.seq for event in events.of_record(connection, batch_id) if event.op == "rollback"]
        return Completed(batch_id, seq, ROLLED_BACK, batch.parts, batch.works)

    def withdraw_works(
        self, caller: Caller, batch_id: str, works: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        """Withdraw single works, each by part and ordinal, of an own import that is complete.

        Returns the last event that withdrew one of them, and how many were withdrawn now: of those that are
        already, none. Raises :class:`NotFoundError` when there is no such work, :class:`ConflictError`.
        """
        try:
            with self._store.write() as tx:
                places, gone = places_of(tx.connection, caller, batch_id, works)
                fresh = sorted(places - gone.keys())
                if not fresh:
                    raise _AlreadyDoneError
                imports.withdraw(tx, fresh)
                payload = {"withdrawn": [list(place) for place in fresh]}
                events.commit_to(tx, "withdraw-works", batch_id, payload, self._seconds())
                return tx.seq, len(fresh)
        except _AlreadyDoneError:
            return max(gone[place] for place in places), 0

    def show(self, caller: Caller, batch_id: str) -> dict[str, Any]:
        """Return the state of an own import and which of its parts stand, as JSON values."""
        with self._store.read() as connection:
            batch = own_batch(connection, caller, batch_id)
            parts = imports.parts_of(connection, batch_id)
            version = reservations.current(connection, batch_id)
            withdrawn = imports.withdrawn_of(connection, batch_id)
            seq = imports.seq_of_import(connection, batch_id)
        ended = version is not None and version.state == State.WITHDRAWN
        return {
            "id": batch_id,
            "namespace": batch.namespace,
            "state": WITHDRAWN if ended else batch.state,
            "opened_at": batch.opened_at,
            "seq": seq,
            "works": sum(part.works for part in parts),
            "withdrawn": len(withdrawn),
            **json.loads(batch.draft),
            "parts": [
                {
                    "part": part.number,
                    "seq": part.seq,
                    "works": part.works,
                    "sha256": bytes(part.body_sha256).hex(),
                }
                for part in parts
            ],
        }

    def _complete(self, caller: Caller, batch_id: str, claim: Claim) -> Completed:
        with self._store.write() as tx:
            batch = own_batch(tx.connection, caller, batch_id)
            if batch.state != OPEN:
                raise _AlreadyDoneError
            require_claimed(tx.connection, caller, batch_id, claim)
            said = {"parts": claim.parts, "works": claim.works, "digest": claim.digest, "note": claim.note}
            version = version_of(caller, Draft(**json.loads(batch.draft)), self._seconds())
            imports.settle(tx, batch_id, {"state": COMPLETE, **said})
            written = payloads.insert(tx, batch_id, {"version": version})
            events.commit_to(tx, "import", batch_id, {**written, "import": said}, self._seconds())
        return Completed(batch_id, tx.seq, COMPLETE, claim.parts, claim.works)

    def _destroy(self, caller: Caller, batch_id: str) -> Completed:
        with self._store.write() as tx:
            if own_batch(tx.connection, caller, batch_id).state != OPEN:
                raise _AlreadyDoneError
            parts = imports.parts_of(tx.connection, batch_id)
            said = {"parts": len(parts), "works": sum(part.works for part in parts)}
            imports.settle(tx, batch_id, {"state": ROLLED_BACK, **said})
            imports.destroy_blobs(tx, batch_id)
            # Whoever derives something from events learns from this that the parts are no more.
            events.destroy_salts(tx, batch_id)
            events.commit_to(tx, "rollback", batch_id, {"rollback": said}, self._seconds())
        return Completed(batch_id, tx.seq, ROLLED_BACK, **said)

    def _is_behind(self, batch_id: str, last: int, works: int) -> bool:
        """Say whether the index files should soon hold the works of an import, and do not yet."""
        if self._index is None or not self._index.path.exists():
            return False
        try:
            end = max((part.upto for part in self._index.parts()), default=0)
        except SegmentError:
            end = 0  # it is built anew
        with self._store.read() as connection:
            if end >= last or index_rows.count_between(connection, end, last) < LEAST:
                return False
            since = self._seconds() - imports.last_part_at(connection, batch_id)
        return since < _PATIENCE + works // _BUILT_A_SECOND

    def _seconds(self) -> int:
        return int(self._now().timestamp())


def _part_before(
    connection: Connection, caller: Caller, batch_id: str, number: int, sha256: bytes
) -> Row[Any] | None:
    """Return the same part if it is there already. Raises :class:`ConflictError` for another one."""
    batch = own_batch(connection, caller, batch_id)
    known = imports.part_of(connection, batch_id, number)
    if known is not None and bytes(known.body_sha256) == sha256 and batch.state != ROLLED_BACK:
        return known
    if batch.state != OPEN:
        raise ConflictError(f"this import is {batch.state} and takes no more parts", hint="Begin a new one.")
    if known is not None:
        raise ConflictError(
            f"part {number} is there already, with another body",
            hint="Number every part once, and cut the list in the same way each time.",
        )
    return None


def _stored(part: Row[Any], block: Block) -> PartStored:
    return PartStored(
        part.batch_id, part.number, part.seq, part.works, bytes(part.body_sha256), block.exact_only
    )


def _completed_before(
    connection: Connection, caller: Caller, batch_id: str, claim: Claim
) -> Completed | None:
    """Return what the same claim was answered. Raises :class:`ConflictError` for another one."""
    batch = own_batch(connection, caller, batch_id)
    if batch.state == OPEN:
        return None
    if batch.state == ROLLED_BACK:
        raise ConflictError("this import was rolled back", hint="Begin a new one.")
    if (batch.parts, batch.works, bytes(batch.digest)) != (claim.parts, claim.works, claim.digest):
        raise ConflictError("this import was completed with other parts, works or digest")
    seq = imports.seq_of_import(connection, batch_id)
    if seq is None:
        raise ConflictError("this import was erased", hint="Begin a new one.")
    return Completed(batch_id, seq, COMPLETE, claim.parts, claim.works)
