"""``POST /api/v1/marks``: under which of many keys anything stands at all, without a word on what.

Nearly no address of a usual dataset has anything said of it. Whoever has many asks with their keys first, 16
bytes each way a key at most, and looks up the few that are marked. A mark means "look it up": what was
withdrawn has one too. No mark means that nothing was said under this key as of the event in the header.
"""

import numpy as np
from flask import Blueprint, Response, request
from numpy.typing import NDArray

from api.auth import optional_caller
from api.operations import Operation, operation
from api.state import state
from api.ticketing import note, ticketed
from registry.errors import InputError, PayloadTooLargeError, UnsupportedMediaTypeError
from registry.keys import KEY_BYTES
from registry.tickets import RUN_HEADER

__all__ = ["blueprint"]

blueprint = Blueprint("marks", __name__, url_prefix="/api/v1")

_BYTES = "application/octet-stream"


@blueprint.post("/marks")
@operation(
    Operation(
        "Say under which keys anything stands",
        body=f"Keys of {KEY_BYTES} bytes, one after the other.",
        scope="optional",
        errors=(400, 401, 413, 415, 422, 503),
        headers=(RUN_HEADER,),
        query=("of",),
        media=_BYTES,
        kinds=(_BYTES,),
    )
)
@ticketed
def marks() -> Response:
    """Answer one bit a key, in order, the first the highest of its byte; zeros fill the last byte."""
    optional_caller()
    as_of_seq, marked = state().lookup.marks(_keys(), request.args.get("of", "rule"))
    note(as_of_seq, len(marked))
    response = Response(np.packbits(marked).tobytes(), content_type=_BYTES)
    response.headers["Caveat-As-Of-Seq"] = str(as_of_seq)
    return response


def _keys() -> NDArray[np.uint64]:
    """Return the keys of the body, ``uint64[k, 2]``."""
    if request.mimetype != _BYTES:
        raise UnsupportedMediaTypeError(
            f"expected {_BYTES}, got {request.mimetype or 'no Content-Type'}",
            hint=f"Send the header 'Content-Type: {_BYTES}'.",
        )
    data, most = request.get_data(), state().settings.max_marks
    if len(data) % KEY_BYTES:
        raise InputError(f"body: {len(data)} bytes are no number of keys of {KEY_BYTES} bytes")
    if len(data) > KEY_BYTES * most:
        raise PayloadTooLargeError(f"{len(data) // KEY_BYTES} keys; at most {most} in one request")
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, 2)
