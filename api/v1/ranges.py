"""``GET /api/v1/range/{of}/{prefix}``: what is said under all keys that begin alike, for those who tell none.

Who asks so tells the beginning of a key, which very many addresses share, and picks out by itself what is
about its own. The answer is 200 whether or not there is anything, and its length is a power of two: who
watches the line learns little from it.

Without a key of scope ``lookup`` a statement names nobody, as in a look-up, and those that say the same of
one key are told as one. With one it has a ``speaker``, a name made up for the principal: whose narrower or
newer word takes the place of an earlier one can only be told between keys that are asked for apart.
"""

import hashlib
import json
import re
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel

from api.auth import has_scope
from api.operations import Operation, operation
from api.state import state
from api.ticketing import note, ticketed
from registry.errors import InputError
from registry.matching import OF, RANGE_DIGITS
from registry.statement import Statement
from registry.tickets import RUN_HEADER

__all__ = ["blueprint"]

blueprint = Blueprint("ranges", __name__, url_prefix="/api/v1/range")

_PREFIX = re.compile(rf"[0-9a-f]{{{RANGE_DIGITS}}}", re.ASCII)
_TABLES = {"url": "rule"} | {of: of for of in OF}
"""Exact addresses stand in one table with the rules."""
_LEAST = 4096
_ONE_S_OWN = ("seq", "at", "record", "label", "title", "contact")


class KeyRange(BaseModel):
    """A key, hexadecimal, and what is said under it."""

    key: str
    statements: list[dict[str, Any]]


class RangeAnswer(BaseModel):
    """All keys of a range as of one event; ``padding`` fills the body up."""

    as_of_seq: int
    keys: list[KeyRange]
    padding: str


@blueprint.get("/<of>/<prefix>")
@operation(
    Operation(
        "What is said under all keys that begin alike",
        answer=RangeAnswer,
        scope="optional",
        errors=(401, 422, 503),
        headers=(RUN_HEADER,),
    )
)
@ticketed
def under(of: str, prefix: str) -> Response:
    """Give every key of the range with its statements."""
    detail = has_scope("lookup")
    if of not in _TABLES:
        raise InputError(f"expected {', '.join(_TABLES)}, got {of!r}")
    if not _PREFIX.fullmatch(prefix):
        raise InputError(f"expected {RANGE_DIGITS} hexadecimal digits in lower case, got {prefix!r}")
    head, said = state().lookup.under(prefix, _TABLES[of])
    note(head, 1)
    keys = [{"key": key.hex(), "statements": _told(said[key], detail)} for key in sorted(said)]
    response = Response(_padded({"as_of_seq": head, "keys": keys}), content_type="application/json")
    # Whoever pressed it would undo the padding; whoever kept it would answer with what was.
    response.headers["Cache-Control"] = "no-store, no-transform"
    return response


def _told(statements: list[Statement], detail: bool) -> list[dict[str, Any]]:
    """Return the statements as the caller may know them; of those that say the same, the newest."""
    told: dict[str, dict[str, Any]] = {}
    for statement in sorted(statements, key=lambda one: -one.seq):
        wire = statement.to_wire(detail=detail)
        if detail:
            wire["speaker"] = hashlib.sha256(statement.principal.encode()).hexdigest()[:16]
        said = {name: value for name, value in wire.items() if name not in _ONE_S_OWN}
        told.setdefault(json.dumps(said, sort_keys=True), wire)
    return list(told.values())


def _padded(answer: dict[str, Any]) -> bytes:
    bare = json.dumps(answer | {"padding": ""}, separators=(",", ":"))
    wanted = max(_LEAST, 1 << (len(bare) - 1).bit_length())
    return f'{bare[:-2]}{"0" * (wanted - len(bare))}"}}'.encode()
