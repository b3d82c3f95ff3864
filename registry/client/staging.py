"""A shard at an object store: its files are fetched, filtered on this machine, and what is left is put up.

A worker has one shard at a time on the disk, in a folder that goes with it. What is put up does not count
until its report does: that comes last, and names size, SHA-256 and version of each object that it stands for.
One that is there already goes first, so that it never stands for another run's objects.

What a receipt says of a shard is taken while the shard is here, so that nothing is fetched a second time for
it: the digests of its files stand in its report, and the leaves of its decisions are an object of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.client.contents import hashed, left_out_of, lines_of
from registry.client.formats import Sharded, opened
from registry.client.formats.files import changed
from registry.client.formats.folder import walk
from registry.client.pictures import Hashers
from registry.client.sharding import Progress, ShardReport, ShardSpec, process_shard
from registry.client.stores import Address, Found, delete, fetch, put, put_bytes
from registry.client.verdicts import Judges
from registry.errors import DatasetError
from registry.merkle import leaf_hash

__all__ = ["ACCOUNT", "LEAVES", "OUTPUT", "decisions_of", "leaves_of", "manifest_of", "process"]

OUTPUT, ACCOUNT = "output", "account"
"""Where an object of a shard is: below ``DST``, or below ``DST.caveat``."""

LEAVES = ".leaves"
"""Ending of the leaf hashes of a shard's decisions, 32 bytes a line (RFC 6962)."""


def process(
    spec: ShardSpec,
    judges: Judges,
    hashers: Hashers | None = None,
    progress: Progress = Progress(),  # noqa: B008 - frozen
) -> ShardReport:
    """Filter one shard, wherever it and its output are.

    Raises as :func:`registry.client.sharding.process_shard`, :class:`DatasetError` for a shard that changed
    since it was listed, and :class:`registry.errors.StoreError`.
    """
    if isinstance(spec.source, Path) and not isinstance(spec.output, Address):
        return process_shard(spec, judges, hashers, progress)
    with _staged(spec) as here:
        try:
            report = process_shard(here, judges, hashers, progress)
        except DatasetError as error:
            raise type(error)(here.said(error.message), hint=error.hint) from error
        if here.output is not None and isinstance(spec.output, Address):
            if not isinstance(spec.source, Address):
                _require_unchanged(here, report)
            _measure(Path(str(here.account)), report)
            _put_up(spec, here, report)
    return report


def manifest_of(shard: str) -> str:
    """Return the name of a shard's report below the account."""
    return f"shards/{shard}.json"


def leaves_of(shard: str) -> str:
    """Return the name of the leaf hashes of a shard's decisions, below the account."""
    return f"shards/{shard}{LEAVES}"


def decisions_of(shard: str) -> str:
    """Return the name of the decisions on the files of a shard, below the account."""
    return f"decisions/{shard}.jsonl"


@contextmanager
def _staged(spec: ShardSpec) -> Iterator[ShardSpec]:
    """Yield the shard as one that is filtered on this machine."""
    # Other machines of a cluster have folders of their own.
    root = spec.work if spec.work is not None and spec.work.is_dir() else None
    with TemporaryDirectory(prefix="caveat-", dir=root, ignore_cleanup_errors=True) as folder:
        here, work = spec, Path(folder)
        if isinstance(spec.source, Address):
            here = replace(here, source=work / "source", called=str(spec.source))
            for name, size, mark in spec.state:
                fetch(spec.source, Found(name, size, mark), work / "source" / name)
        if isinstance(spec.output, Address):
            here = replace(here, output=work / OUTPUT, account=work / ACCOUNT)
            (work / OUTPUT).mkdir()
        yield here if spec.output is None else _digested(here)


def _digested(here: ShardSpec) -> ShardSpec:
    """Return a shard on this machine with the digests of its files, and the state in which they had them."""
    source = Path(str(here.source))
    state, found = here.state or _state(here), {}
    for name, *_ in state:
        # What cannot be read is set aside in its turn, and is missed where a receipt is to be written.
        with suppress(OSError):
            found[name] = hashed(source / name)[0]
    return replace(here, state=state, sha256s=tuple(found.items()))


def _state(here: ShardSpec) -> tuple[tuple[str, int, Any], ...]:
    folder = opened(Path(str(here.source)), here.format)
    return tuple(folder.state(here.shard)) if isinstance(folder, Sharded) else ()


def _require_unchanged(here: ShardSpec, report: ShardReport) -> None:
    """Require that what is kept of a shard is of the files that were digested."""
    if report.kept and _state(here) != here.state:
        raise changed(Path(str(here.source), here.shard))


def _measure(account: Path, report: ShardReport) -> None:
    """Take what the receipt wants of the decisions on a shard."""
    status, preference = left_out_of(account)
    report.gone = {"status": dict(status), "preference": dict(preference)}
    lines = account / decisions_of(report.shard)
    if lines.exists():
        leaves = b"".join(leaf_hash(line.rstrip(b"\n")) for line in lines_of([lines]))
        (account / leaves_of(report.shard)).write_bytes(leaves)


def _put_up(spec: ShardSpec, here: ShardSpec, report: ShardReport) -> None:
    output, account = spec.output, spec.account
    if not isinstance(output, Address) or not isinstance(account, Address):
        raise AssertionError("both are at the store")
    manifest = manifest_of(spec.shard)
    delete([account / manifest])
    made = _files(here.output)
    report.objects = [_put(OUTPUT, here.output, name, output) for name in made]
    told = [name for name in _files(here.account) if name != manifest]
    report.objects += [_put(ACCOUNT, here.account, name, account) for name in told]
    # What an earlier run wrote of this shard, and this one does not, must not stay.
    delete([output / name for name, *_ in report.state if name not in made])
    put_bytes(account / manifest, report.to_json())


def _files(folder: Path | Address | None) -> list[str]:
    return walk(folder) if isinstance(folder, Path) else []


def _put(of: str, folder: Path | Address | None, name: str, there: Address) -> dict[str, Any]:
    found, sha256 = put(Path(str(folder), name), there / name)
    return {"of": of, "name": name, "size": found.size, "sha256": sha256.hex(), "version": found.mark}
