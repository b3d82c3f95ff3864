"""The receipt of a run that reads or writes at an object store: it says what it would say of folders here.

Nothing is fetched a second time for it but the leaves of the decisions, 32 bytes each. The digests of the
input were taken while each shard was on a machine, those of the output before it was put up: all of it stands
in the reports of the shards, whichever run or machine wrote these. What lies beside the shards is read here.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from registry.client.contents import (
    BESIDE,
    Digested,
    Measured,
    decided_files,
    folder_of,
    hashed,
    left_out_of,
    lines_of,
)
from registry.client.formats import Sharded
from registry.client.formats.folder import walk
from registry.client.making import Making
from registry.client.receipts import INPUT_SUMS, OUTPUT_SUMS, ReceiptOf, write_measured, write_receipt
from registry.client.sharding import ShardReport
from registry.client.staging import OUTPUT, decisions_of, leaves_of
from registry.client.store_making import StoreMaking, not_whole
from registry.client.store_shards import StoreShards
from registry.client.stores import Address, read_all
from registry.client.summary import FilterSummary
from registry.errors import DatasetError
from registry.merkle import leaf_hash, root_of
from registry.receipt import Decisions

__all__ = ["Ended", "write_store_receipt"]

_AT_ONCE = 32
_LEAF = 32


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is put together: ``reports`` are those of all shards of ``dataset``, in their order."""

    making: Making | StoreMaking
    dataset: Sharded
    reports: Sequence[ShardReport]


def write_store_receipt(ended: Ended, summary: FilterSummary, run: ReceiptOf) -> None:
    """Write the receipt, its card and the lists of files into the account in the making.

    Raises :class:`DatasetError` for shards that were filtered without what a receipt wants of them, and for
    decisions that are not those that were put up; :class:`registry.errors.StoreError`, and OSError.
    """
    making = ended.making
    given = _input(ended, summary.source)
    (making.account / INPUT_SUMS).write_bytes(given.sums)
    if isinstance(making, Making):
        write_receipt(making.account, making.output, summary, run, given.content)
        return
    made = _output(making, ended.reports)
    (making.account / OUTPUT_SUMS).write_bytes(made.sums)
    decisions, gone = _decisions(making, ended.reports), _gone(making, ended.reports)
    write_measured(making.account, summary, run, Measured(given.content, made.content, decisions, gone))


def _input(ended: Ended, source: Path | Address) -> Digested:
    found: dict[str, tuple[str, int]] = {}
    for report in ended.reports:
        sizes, names = {str(name): int(size) for name, size, _ in report.state}, report.input.keys()
        if not names <= sizes.keys() or (isinstance(source, Address) and names != sizes.keys()):
            raise _without(report)
        found |= {name: (sha256, sizes[name]) for name, sha256 in report.input.items()}
    if isinstance(ended.dataset, StoreShards):
        found.update(ended.dataset.digests_beside())
    elif isinstance(source, Path):
        found |= {name: hashed(source / name) for name in walk(source) if name not in found}
    return folder_of(found)


def _output(making: StoreMaking, reports: Sequence[ShardReport]) -> Digested:
    objects = (one for report in reports for one in report.objects if one["of"] == OUTPUT)
    found = {str(one["name"]): (str(one["sha256"]), int(one["size"])) for one in objects}
    beside = walk(making.output) if making.output.exists() else ()
    return folder_of(found | {name: hashed(making.output / name) for name in beside})


def _decisions(making: StoreMaking, reports: Sequence[ShardReport]) -> Decisions:
    beside = list(lines_of(_beside(making)))
    digests = {name: sha256 for report in reports for name, sha256 in _told(report).items()}
    tables = {name: digests[name] for name in digests if name.startswith("decisions/")}
    lines = [one for report in reports if (one := decisions_of(report.shard)) in tables]
    for name in lines:
        del tables[name]
    if tables:
        # Decisions that are lines are those on tables that could not be read, a line each.
        return decided_files(tables, chain(_read(making, lines, digests), beside))
    leaves = _read(making, [leaves_of(report.shard) for report in reports], digests)
    count = 0

    def hashes() -> Iterator[bytes]:
        nonlocal count
        for some in chain(leaves, (leaf_hash(line.rstrip(b"\n")) for line in beside)):
            for at in range(0, len(some), _LEAF):
                count += 1
                yield some[at : at + _LEAF]

    root = root_of(hashes()).hex()
    return Decisions(leaves="lines", count=count, root=root)


def _gone(making: StoreMaking, reports: Sequence[ShardReport]) -> tuple[Counter[str], Counter[str]]:
    statuses, preferences = left_out_of(making.account) if _beside(making) else (Counter(), Counter())
    for report in reports:
        if report.gone.keys() != {"status", "preference"}:
            raise _without(report)
        statuses.update(report.gone["status"])
        preferences.update(report.gone["preference"])
    return statuses, preferences


def _beside(making: StoreMaking) -> list[Path]:
    """Return the file of decisions on what lies beside the shards, if there is any."""
    return [one for one in (making.account / decisions_of(BESIDE),) if one.exists()]


def _told(report: ShardReport) -> dict[str, str]:
    """Return the objects of a shard's account: name → SHA-256, hexadecimal."""
    return {str(one["name"]): str(one["sha256"]) for one in report.objects if one["of"] != OUTPUT}


def _read(making: StoreMaking, names: Sequence[str], digests: Mapping[str, str]) -> Iterator[bytes]:
    """Yield objects of the account, some of which are held at a time, as they were put up."""
    account = making.places[1]
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        found = read_all([account / name for name in some])
        for name in some:
            data = found[account / name]
            if hashlib.sha256(data).hexdigest() != digests.get(name):
                raise not_whole(account / name)
            yield data


def _without(report: ShardReport) -> DatasetError:
    return DatasetError(
        f"{report.shard} was filtered without what a receipt wants of it: by an earlier version",
        hint="Begin anew with --no-resume.",
    )
