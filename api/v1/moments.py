"""``GET /api/v1/events/at``: up to which event the registry knew at a moment, and the state that shows it.

With that event, ``as_of_seq`` of a look-up says what was known of a work then. The times are those of the
registry's own clock. What was erased since cannot be told any more, and is counted, so that nobody takes
"nothing stands" for "nothing stood".

No signed state of each day is kept. The root of the first events is made from the tiles, and a consistency
proof shows it to be the beginning of the last state that was signed.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from api.operations import Operation, operation
from api.state import last_checkpoint, published_log, state
from registry.errors import InputError
from registry.merkle import consistency_proof, root_hash
from registry.note import open_note, parse_checkpoint
from registry.store import moments
from registry.tiles import TileReader

__all__ = ["blueprint"]

blueprint = Blueprint("moments", __name__, url_prefix="/api/v1/events")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_FORM = "Give a day, 2026-11-03, which means its end in UTC, or a time, 2026-11-03T12:00Z."


class MomentAnswer(BaseModel):
    """The last event by then, when it and the next happened, and what shows that state of the log.

    ``erased_since`` counts records that stood then and of which nothing can be told any more. ``root`` is of
    the first ``as_of_seq`` events, and ``proof`` shows it to be the beginning of ``checkpoint``; null while
    no checkpoint covers them.
    """

    time: str
    as_of_seq: int
    at: str
    next_at: str | None
    erased_since: int
    checkpoint: str | None
    root: str | None
    proof: list[str] | None


class _Shown(NamedTuple):
    """A root, and the proof that it is the beginning of a signed state."""

    checkpoint: str | None
    root: str | None = None
    proof: list[str] | None = None


@blueprint.get("/at")
@operation(
    Operation(
        "Which event was the last at a time",
        answer=MomentAnswer,
        errors=(422, 503),
        query=("time",),
    )
)
def at() -> Response:
    """Give the last event by a time."""
    seconds = _seconds(request.args.get("time", ""))
    # The head first: what is read after it has every event up to it.
    shown, head = last_checkpoint(), state().store.head()
    with state().store.read() as connection:
        seq = moments.last_by(connection, head, seconds)
        if not seq:
            raise _before(moments.at_of(connection, 1) if head else None)
        happened = moments.at_of(connection, seq)
        following = moments.at_of(connection, seq + 1) if seq < head else None
        erased = moments.erased_later(connection, seq)
    found = _shown(shown, seq)
    return jsonify(
        time=_text(seconds),
        as_of_seq=seq,
        at=_text(happened),
        next_at=None if following is None else _text(following),
        erased_since=erased,
        checkpoint=found.checkpoint,
        root=found.root,
        proof=found.proof,
    )


def _seconds(text: str) -> int:
    """Return the time that is asked about. Raises :class:`InputError`, also for one that is yet to come."""
    try:
        if _DAY.fullmatch(text):
            begin = datetime.fromisoformat(text).replace(tzinfo=UTC)
            seconds = int((begin + timedelta(days=1)).timestamp()) - 1
        elif _TIME.fullmatch(text):
            seconds = int(datetime.fromisoformat(text).timestamp())
        else:
            raise ValueError("neither a day nor a time")
    except (ValueError, OverflowError) as error:
        raise InputError(f"time: {text[:40]!r} cannot be read: {error}", hint=_FORM) from error
    if seconds > state().now():
        raise InputError(
            f"time: {_text(seconds)} is yet to come, and nobody knows what will be known then",
            hint="Of a day that is not over, name a time, 2026-11-03T12:00Z.",
        )
    return seconds


def _before(first: int | None) -> InputError:
    began = "it has none yet" if first is None else f"its first is of {_text(first)}"
    return InputError(
        f"time: the registry had no event by then; {began}",
        hint="That is no answer about any work: this registry could not have known of it.",
    )


def _shown(note: str | None, seq: int) -> _Shown:
    if note is None:
        return _Shown(None)
    log = published_log()
    checkpoint = parse_checkpoint(open_note(note, log.verifiers())[0])
    if checkpoint.size < seq:
        return _Shown(note)
    reader = TileReader(checkpoint.size, log.read_tile)
    proof = consistency_proof(reader, seq, checkpoint.size)
    return _Shown(note, root_hash(reader, seq).hex(), [one.hex() for one in proof])


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
