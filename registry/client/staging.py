"""A shard at an object store: its files are fetched, filtered on this machine, and what is left is put up.

A worker has one shard at a time on the disk, in a folder that goes with it. What is put up does not count
until its report does: that comes last, and names size, SHA-256 and version of each object that it stands for.
One that is there already goes first, so that it never stands for another run's objects.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.client.formats.folder import walk
from registry.client.pictures import Hashers
from registry.client.sharding import Progress, ShardReport, ShardSpec, process_shard
from registry.client.stores import Address, Found, delete, fetch, put, put_bytes
from registry.client.verdicts import Judges
from registry.errors import DatasetError

__all__ = ["ACCOUNT", "OUTPUT", "manifest_of", "process"]

OUTPUT, ACCOUNT = "output", "account"
"""Where an object of a shard is: below ``DST``, or below ``DST.caveat``."""


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
            _put_up(spec, here, report)
    return report


def manifest_of(shard: str) -> str:
    """Return the name of a shard's report below the account."""
    return f"shards/{shard}.json"


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
        yield here


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
