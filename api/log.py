"""``/checkpoint`` and ``/tile/…``: the transparency log as its files, for monitors and witnesses."""

from flask import Blueprint, Response

from api.operations import Operation, operation
from api.state import published_log
from registry.errors import NotFoundError, ProofError
from registry.tiles import parse_tile_path

__all__ = ["blueprint"]

blueprint = Blueprint("log", __name__)

_FOR_EVER = "public, max-age=31536000, immutable"


@blueprint.get("/checkpoint")
@operation(Operation("The signed state of the log, a C2SP checkpoint", errors=(404, 503), media="text/plain"))
def checkpoint() -> Response:
    """Give the last checkpoint as it was signed."""
    note = published_log().checkpoint()
    if note is None:
        raise NotFoundError("no checkpoint has been published yet", hint="Ask again in a few seconds.")
    return Response(note, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


@blueprint.get("/tile/<path:name>")
@operation(
    Operation(
        "A tile of hashes, or a bundle of leaves, of the log (C2SP tlog-tiles)",
        errors=(404,),
        media="application/octet-stream",
    )
)
def tile(name: str) -> Response:
    """Give a tile; its path says what it holds, so it never changes."""
    try:
        data = published_log().read_tile(parse_tile_path(f"tile/{name}"))
    except ProofError as error:
        raise NotFoundError(error.message) from error
    return Response(data, content_type="application/octet-stream", headers={"Cache-Control": _FOR_EVER})
