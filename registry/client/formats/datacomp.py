"""DataComp: pools are tables with ``uid`` and ``url``, and a subset of one is a file of uids.

A uid is a number of 128 bits in hex digits, the zeros in front of it perhaps left out. A subset is a ``.npy``
of them as pairs of 64 bits, the high half first, sorted: what DataComp's resharder takes from the shards of a
pool, so that no data is written again.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.parquet_entries import batches_of, opened_parquet, pyarrow_modules, texts_of
from registry.errors import DatasetError

__all__ = ["is_pool", "kept_of_pool", "uid_words", "write_subset"]

_UID = "uid"
_DIGITS = 32
_LOOKED_AT = 1000
_HEX = re.compile(r"[0-9a-fA-F]{1,32}", re.ASCII)
_PAIRS = np.dtype("u8,u8")


def is_pool(path: Path) -> bool:
    """Say whether a parquet file is of a pool: it has ``url`` and ``uid``, and its first uids are such.

    Raises :class:`DatasetError` for a file that cannot be read.
    """
    arrow, _ = pyarrow_modules()
    with opened_parquet(path) as file:
        schema = file.schema_arrow
        if any(len(schema.get_all_field_indices(name)) != 1 for name in (_UID, "url")):
            return False
        if schema.field(_UID).type not in (arrow.string(), arrow.large_string()):
            return False
        groups = (batches_of(path, file, group, [_UID]) for group in range(file.num_row_groups))
        batch = next(chain.from_iterable(groups), None)
        first = [] if batch is None else texts_of(batch.column(0).slice(0, _LOOKED_AT))
    # Numbers of another kind are shorter.
    return bool(uid_words(first)[1].all()) and max(map(len, map(str, first)), default=_DIGITS) == _DIGITS


def uid_words(values: Sequence[Any]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return uids as ``uint64[n, 2]``, high half first, and which of them are such, ``bool[n]``."""
    sound = np.fromiter(
        (isinstance(v, str) and bool(_HEX.fullmatch(v)) for v in values), np.bool_, len(values)
    )
    digits = "".join(v.zfill(_DIGITS) if ok else "0" * _DIGITS for v, ok in zip(values, sound, strict=True))
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64).reshape(-1, 2), sound


def kept_of_pool(source: Path, account: Path) -> list[tuple[Path, Path]]:
    """Return the tables of a pool that were filtered, each with the bits of the rows that stay.

    There are none when any of them is of no pool.
    """
    decisions = account / "decisions"
    found = [(source, decisions / "00000.keep")]
    if source.is_dir():
        bits = sorted(decisions.rglob("*.parquet.keep"))
        found = [(source / one.relative_to(decisions).with_suffix(""), one) for one in bits]
    return found if all(is_pool(table) for table, _ in found) else []


def write_subset(target: Path, kept: Iterable[tuple[Path, Path]]) -> int:
    """Write the uids that are left to ``target``, and return how many these are.

    ``kept`` has each table with the bits of the rows that stay, as the account has them. A uid of which any
    row went is not among them. Raises :class:`DatasetError` when tables and bits do not fit together.
    """
    staying, gone = [np.empty((0, 2), np.uint64)], [np.empty((0, 2), np.uint64)]
    for table, bits in kept:
        for words, stays in _uids(table, bits):
            staying.append(words[stays])
            gone.append(words[~stays])
    left = _without(_sorted(np.concatenate(staying)), _sorted(np.concatenate(gone)))
    with target.open("wb") as out:
        np.save(out, np.ascontiguousarray(left).view(_PAIRS).reshape(-1))
        out.flush()
        os.fsync(out.fileno())
    return len(left)


def _uids(table: Path, bits: Path) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.bool_]]]:
    with opened_parquet(table) as file:
        size = file.metadata.num_rows
        packed = np.frombuffer(bits.read_bytes(), np.uint8)
        if len(packed) != -(-size // 8):
            raise DatasetError(
                f"{table} has changed since it was filtered", hint="Begin anew with --no-resume."
            )
        kept, first = np.unpackbits(packed, count=size).astype(np.bool_), 0
        for group in range(file.num_row_groups):
            for batch in batches_of(table, file, group, [_UID]):
                words, sound = uid_words(texts_of(batch.column(0)))
                stays = kept[first : first + len(words)]
                first += len(words)
                if (stays & ~sound).any():
                    raise DatasetError(f"{table} has changed since it was filtered: a uid that is none")
                yield words[sound], stays[sound]


def _sorted(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return pairs in their order, each once."""
    words = words[np.lexsort((words[:, 1], words[:, 0]))]
    fresh = np.ones(len(words), np.bool_)
    fresh[1:] = (words[1:] != words[:-1]).any(axis=1)
    return words[fresh]


def _without(words: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the sorted pairs that are not among ``others``, sorted too."""
    both = np.concatenate([words, others])
    order = np.lexsort((both[:, 1], both[:, 0]))
    ordered = both[order]
    again = np.zeros(len(both), np.bool_)
    again[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    again[:-1] |= again[1:]
    return ordered[~again & (order < len(words))]
