"""Imports: batches, their parts, and the works in them, read where they lie in a part's block.

A part is one row: the event that brought it names it, and ``blob`` is a :class:`registry.blocks.Block`. It is
empty once the import was rolled back or erased; then there are no works in it.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    update,
)

from registry.blocks import Block
from registry.errors import StorageError
from registry.store import Transaction
from registry.store.sql import table_of
from registry.tables import Event, ImportBatch, ImportPart, ReservationVersion, WithdrawnWork

__all__ = [
    "COMPLETE",
    "OPEN",
    "OPS",
    "ROLLED_BACK",
    "PartEvent",
    "add_batch",
    "batch_of",
    "blocks_between",
    "blocks_completed",
    "count_between",
    "count_of",
    "destroy_blobs",
    "erase",
    "forget_beyond",
    "insert_part",
    "is_completed",
    "last_part_at",
    "part_of",
    "parts_between",
    "parts_of",
    "payload_of",
    "payload_of_part",
    "seq_of_import",
    "settle",
    "sizes_of",
    "withdraw",
    "withdrawn_of",
]

_BATCH, _PART, _WITHDRAWN = (table_of(one) for one in (ImportBatch, ImportPart, WithdrawnWork))
_EVENT, _VERSION = table_of(Event), table_of(ReservationVersion)
OPEN, COMPLETE, ROLLED_BACK = "open", "complete", "rolled-back"
"""States of an import; one that was withdrawn stays complete."""
OPS = ("import", "rollback", "withdraw-works")
"""What happens to an import beside its parts, each a leaf that commits to a payload."""
_BLOCKS = 4
"""Blocks held at once where many are read."""
_HOLDS = func.length(_PART.c.blob) > 0


class PartEvent(NamedTuple):
    """What the event of a part brought; ``blob`` is empty if it was rolled back or erased since."""

    seq: int
    batch: str
    namespace: str
    principal: str
    number: int
    works: int
    blob: bytes


def add_batch(connection: Connection, row: Mapping[str, Any]) -> None:
    """Add an import that begins."""
    connection.execute(insert(_BATCH).values(**row))


def batch_of(connection: Connection, batch_id: str) -> Row[Any] | None:
    """Return the import with this identifier, or None."""
    return connection.execute(select(_BATCH).where(_BATCH.c.id == batch_id)).one_or_none()


def settle(tx: Transaction, batch_id: str, changes: Mapping[str, Any]) -> None:
    """Note with this transaction's event what became of an import."""
    tx.connection.execute(update(_BATCH).where(_BATCH.c.id == batch_id).values(**changes))


def seq_of_import(connection: Connection, batch_id: str) -> int | None:
    """Return the event that made an import visible, or None."""
    wanted = select(func.max(_EVENT.c.seq)).where(_EVENT.c.record == batch_id, _EVENT.c.op == "import")
    seq: int | None = connection.execute(wanted).scalar_one()
    return seq


def forget_beyond(connection: Connection, seq: int) -> None:
    """Undo what the events after ``seq`` did to imports, as far as nothing was destroyed."""
    connection.execute(delete(_PART).where(_PART.c.seq > seq))
    connection.execute(delete(_WITHDRAWN).where(_WITHDRAWN.c.to_seq > seq))
    visible = select(_VERSION.c.reservation_id)
    undone = (_BATCH.c.state == COMPLETE) & _BATCH.c.id.not_in(visible)
    changes = {"state": OPEN, "parts": None, "works": None, "digest": None, "note": None}
    connection.execute(update(_BATCH).where(undone).values(**changes))


def insert_part(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add the part that this transaction's event brings."""
    tx.connection.execute(insert(_PART).values(seq=tx.seq, **row))


def part_of(connection: Connection, batch_id: str, number: int) -> Row[Any] | None:
    """Return one part with its blob, or None."""
    wanted = select(_PART).where(_PART.c.batch_id == batch_id, _PART.c.number == number)
    return connection.execute(wanted).one_or_none()


def parts_of(connection: Connection, batch_id: str) -> Sequence[Any]:
    """Return (number, seq, works, body_sha256) of the parts of an import, by their number."""
    wanted = select(_PART.c.number, _PART.c.seq, _PART.c.works, _PART.c.body_sha256)
    return connection.execute(wanted.where(_PART.c.batch_id == batch_id).order_by(_PART.c.number)).all()


def last_part_at(connection: Connection, batch_id: str) -> int:
    """Return when the last part of an import came, in seconds since 1970; 0 when there is none."""
    wanted = select(func.max(_EVENT.c.at)).where(_EVENT.c.record == batch_id, _EVENT.c.op == "part")
    return int(connection.execute(wanted).scalar_one() or 0)


def destroy_blobs(tx: Transaction, batch_id: str) -> None:
    """Destroy the works of an import, and their salts with them; that there were parts is kept."""
    tx.connection.execute(update(_PART).where(_PART.c.batch_id == batch_id).values(blob=b""))


def withdraw(tx: Transaction, places: Iterable[tuple[int, int]]) -> None:
    """End the works at these (event, ordinal) with this transaction's event."""
    rows = [{"from_seq": seq, "ordinal": ordinal, "to_seq": tx.seq} for seq, ordinal in places]
    tx.connection.execute(insert(_WITHDRAWN), rows)


def withdrawn_of(connection: Connection, batch_id: str) -> dict[tuple[int, int], int]:
    """Return (event, ordinal) of the works of an import that were withdrawn alone, and by which event."""
    joined = _WITHDRAWN.join(_PART, _PART.c.seq == _WITHDRAWN.c.from_seq)
    wanted = select(_WITHDRAWN).select_from(joined).where(_PART.c.batch_id == batch_id)
    return {(row.from_seq, row.ordinal): row.to_seq for row in connection.execute(wanted)}


def parts_between(connection: Connection, after: int, upto: int) -> Iterator[PartEvent]:
    """Yield what the part events ``after < seq <= upto`` brought, in order."""
    joined = _PART.join(_BATCH, _BATCH.c.id == _PART.c.batch_id)
    wanted = select(
        _PART.c.seq,
        _PART.c.batch_id,
        _BATCH.c.namespace,
        _BATCH.c.principal_id,
        _PART.c.number,
        _PART.c.works,
        _PART.c.blob,
    )
    wanted = wanted.select_from(joined).where(_PART.c.seq > after, _PART.c.seq <= upto)
    for row in _streamed(connection, wanted.order_by(_PART.c.seq)):
        yield PartEvent(*row)._replace(blob=bytes(row.blob))


def payload_of_part(connection: Connection, seq: int) -> dict[str, Any]:
    """Return what a part's event says: {"part": {…}}, its block in Base64.

    Raises :class:`StorageError` when its row, or that of its import, is gone.
    """
    found = list(parts_between(connection, seq - 1, seq))
    if not found:
        raise _gone(seq, "part")
    (part,) = found
    digest = connection.execute(select(_PART.c.body_sha256).where(_PART.c.seq == seq)).scalar_one()
    said = {"namespace": part.namespace, "principal_id": part.principal, "number": part.number}
    block = base64.b64encode(part.blob).decode()
    return {"part": {**said, "works": part.works, "body_sha256": bytes(digest), "block": block}}


def sizes_of(connection: Connection, after: int, upto: int) -> dict[int, int]:
    """Return how many works each part event ``after < seq <= upto`` brought."""
    wanted = select(_PART.c.seq, _PART.c.works).where(_PART.c.seq > after, _PART.c.seq <= upto)
    return {row.seq: row.works for row in connection.execute(wanted)}


def erase(tx: Transaction, batch_id: str) -> None:
    """Destroy what an import said, its works and which of them were withdrawn; nothing for other records."""
    places = select(_PART.c.seq).where(_PART.c.batch_id == batch_id)
    tx.connection.execute(delete(_WITHDRAWN).where(_WITHDRAWN.c.from_seq.in_(places)))
    destroy_blobs(tx, batch_id)
    settle(tx, batch_id, {"draft": "{}", "note": None})


def payload_of(connection: Connection, event: Row[Any]) -> dict[str, Any]:
    """Return what an event of one of ``OPS`` says, put together again from its rows.

    {"import": {"parts", "works", "digest", "note"}} without the version that it began, {"rollback": {"parts",
    "works"}}, or {"withdrawn": [[event, ordinal], …]}. Raises :class:`StorageError` when the import is gone.
    """
    if event.op == "withdraw-works":
        wanted = select(_WITHDRAWN.c.from_seq, _WITHDRAWN.c.ordinal).where(_WITHDRAWN.c.to_seq == event.seq)
        ordered = wanted.order_by(_WITHDRAWN.c.from_seq, _WITHDRAWN.c.ordinal)
        return {"withdrawn": [list(row) for row in connection.execute(ordered)]}
    batch = connection.execute(select(_BATCH).where(_BATCH.c.id == event.record)).one_or_none()
    if batch is None:
        raise _gone(event.seq, "import")
    said = {"parts": batch.parts, "works": batch.works}
    if event.op == "rollback":
        return {"rollback": said}
    return {"import": {**said, "digest": bytes(batch.digest), "note": batch.note}}


def _gone(seq: int, what: str) -> StorageError:
    return StorageError(
        f"event {seq}: the {what} of which it tells is not there",
        hint="The database is damaged: restore it from a backup or a mirror.",
    )


def count_between(connection: Connection, after: int, upto: int) -> int:
    """Return how many works the part events ``after < seq <= upto`` brought that were not destroyed."""
    counted = select(func.coalesce(func.sum(_PART.c.works), 0))
    counted = counted.where(_PART.c.seq > after, _PART.c.seq <= upto, _HOLDS)
    return int(connection.execute(counted).scalar_one())


def count_of(connection: Connection, batch_id: str) -> int:
    """Return how many works of an import there are, less those that were withdrawn alone."""
    counted = select(func.coalesce(func.sum(_PART.c.works), 0)).where(_PART.c.batch_id == batch_id, _HOLDS)
    return int(connection.execute(counted).scalar_one()) - len(withdrawn_of(connection, batch_id))


def blocks_between(connection: Connection, after: int, upto: int) -> Iterator[tuple[int, Block]]:
    """Yield event and works of the parts that the events ``after < seq <= upto`` brought, visible or not."""
    wanted = select(_PART.c.seq, _PART.c.blob).where(_PART.c.seq > after, _PART.c.seq <= upto, _HOLDS)
    for seq, blob in _streamed(connection, wanted.order_by(_PART.c.seq)):
        yield seq, Block.load(bytes(blob))


def is_completed(connection: Connection, after: int, upto: int, beyond: int) -> bool:
    """Say whether :func:`blocks_completed` would yield anything."""
    return connection.execute(_completed(after, upto, beyond).limit(1)).first() is not None


def blocks_completed(
    connection: Connection, after: int, upto: int, beyond: int
) -> Iterator[tuple[int, Block]]:
    """Yield event and works of the parts, later than event ``beyond``, of the imports that became visible.

    Those are the imports which one of the events ``after < seq <= upto`` completed.
    """
    wanted = _completed(after, upto, beyond).add_columns(_PART.c.blob).order_by(_PART.c.seq)
    for seq, blob in _streamed(connection, wanted):
        yield seq, Block.load(bytes(blob))


def _completed(after: int, upto: int, beyond: int) -> Select[Any]:
    joined = _PART.join(_EVENT, _EVENT.c.record == _PART.c.batch_id)
    visible = (_EVENT.c.op == "import") & (_EVENT.c.seq > after) & (_EVENT.c.seq <= upto)
    return select(_PART.c.seq).select_from(joined).where(visible, _PART.c.seq > beyond, _HOLDS)


def _streamed(connection: Connection, wanted: Select[Any]) -> Iterator[Any]:
    with connection.execution_options(yield_per=_BLOCKS).execute(wanted) as rows:
        yield from rows
