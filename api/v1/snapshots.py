"""``/api/v1/snapshots``: what the registry says as files, for look-ups without asking it.

The filter is open to all; what says more wants a key with the scope ``lookup``. Files are streamed from the
disk, and an interrupted one can be gone on with. A file's name has the beginning of its SHA-256 in it, so it
never changes.
"""

import time
from collections import Counter
from pathlib import Path

from flask import Blueprint, Response, jsonify, request, send_file
from pydantic import BaseModel

from api.auth import optional_caller, require_caller
from api.operations import Operation, operation
from api.state import state
from registry.errors import NotFoundError
from registry.snapshot.manifest import Manifest
from registry.snapshot_folder import SnapshotFolder

__all__ = ["blueprint"]

blueprint = Blueprint("snapshots", __name__, url_prefix="/api/v1/snapshots")

_OPEN = "filter"
_FOR_EVER = "max-age=31536000, immutable"


class TierSummary(BaseModel):
    """How much a tier is."""

    files: int
    bytes: int


class SnapshotSummary(BaseModel):
    """One snapshot: as of which event, when built (seconds since 1970), signed by which key, its tiers."""

    seq: int
    built_at: int
    log_key: str
    tiers: dict[str, TierSummary]


class SnapshotsAnswer(BaseModel):
    """The snapshots, the newest first."""

    snapshots: list[SnapshotSummary]


@blueprint.get("")
@operation(Operation("List the snapshots", answer=SnapshotsAnswer, errors=(404, 503)))
def list_all() -> Response:
    """List the snapshots that are handed out, the newest first."""
    return jsonify(snapshots=[_summary(one).model_dump() for one in _folder().served(int(time.time()))])


@blueprint.get("/<snapshot>/manifest")
@operation(
    Operation("The signed manifest of a snapshot", errors=(404, 503), also=(304,), media="text/plain"),
)
def manifest(snapshot: str) -> Response:
    """Give the manifest as it was signed."""
    folder = _folder()
    found = folder.serve(snapshot, int(time.time()))
    response = Response(folder.note(found.seq), content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.get("/<snapshot>/<tier>/<file>")
@operation(
    Operation(
        "A file of a snapshot",
        scope="optional",
        errors=(401, 403, 404, 416, 503),
        also=(206, 304),
        headers=("Range", "If-Range", "If-None-Match"),
        media="application/octet-stream",
    )
)
def content(snapshot: str, tier: str, file: str) -> Response:
    """Give a file, or the part of it that is asked for."""
    if tier == _OPEN:
        optional_caller()
    else:
        require_caller("lookup")
    folder = _folder()
    found = folder.serve(snapshot, int(time.time()))
    for entry in found.files:
        if (entry.tier, entry.name) == (tier, file):
            return _sent(entry.path(folder.path / str(found.seq)), entry.sha256, tier)
    raise NotFoundError(f"snapshot {found.seq} has no such file", hint="Its manifest names the files.")


def _sent(path: Path, sha256: str, tier: str) -> Response:
    try:
        response = send_file(path.resolve(), "application/octet-stream", conditional=True, etag=sha256)
    except FileNotFoundError as error:
        # Deleted meanwhile: a newer snapshot has taken its place.
        raise NotFoundError("the snapshot is gone", hint="Fetch the latest one.") from error
    response.headers["Cache-Control"] = f"{'public' if tier == _OPEN else 'private'}, {_FOR_EVER}"
    return response


def _summary(manifest: Manifest) -> SnapshotSummary:
    files = Counter(entry.tier for entry in manifest.files)
    sizes: Counter[str] = Counter()
    for entry in manifest.files:
        sizes[entry.tier] += entry.size
    return SnapshotSummary(
        seq=manifest.seq,
        built_at=manifest.built_at,
        log_key=manifest.log_key,
        tiers={tier: TierSummary(files=count, bytes=sizes[tier]) for tier, count in files.items()},
    )


def _folder() -> SnapshotFolder:
    path = state().settings.snapshots
    if path is None:
        raise NotFoundError("this registry has no snapshots", hint="Ask its operator, or use the look-up.")
    return SnapshotFolder(path)
