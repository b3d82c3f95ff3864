"""Files and folders by their digests, and what was decided by its Merkle root: what receipts are made of.

Names of files stay on this machine: a folder's digest is that of the list of its files, and the list lies in
the account, as ``sha256sum -c`` reads it. Hidden files are left out, as the formats leave them out.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from registry.client.formats import opened
from registry.client.formats.folder import PictureFolder, walk
from registry.client.formats.parquet_entries import pyarrow_modules
from registry.errors import CaveatError, DatasetError
from registry.jsontext import strict_json
from registry.preference import Action
from registry.receipt import Content, Decisions, decisions_over, digest_of
from registry.sums import sums_of

__all__ = [
    "BESIDE",
    "LINES",
    "Digested",
    "Measured",
    "content_of",
    "decided",
    "decided_files",
    "decision_files",
    "folder_of",
    "hashed",
    "left_out_of",
    "lines_of",
    "source_content",
]

BESIDE = "beside"
"""Name of the decisions on what lies beside shards, where each shard's are a file of their own."""

LINES = "decisions.jsonl"
"""The decisions on files. Where they are one file a shard, this is those one after the other."""

_AT_ONCE = 10_000
_FILES = "decisions"


@dataclass(frozen=True, slots=True)
class Digested:
    """A content, and the lines of its files."""

    content: Content
    sums: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """What a receipt says of the files of a run; ``gone`` as :func:`left_out_of` returns it."""

    input: Content
    output: Content
    decisions: Decisions
    gone: tuple[Counter[str], Counter[str]]


def source_content(source: Path, format_name: str, workers: int = 1) -> Digested:
    """Return the content of what a run reads; of settings that name folders, of what these hold.

    Raises :class:`DatasetError` and OSError.
    """
    if source.is_dir() or source.suffix.lower() not in (".toml", ".json"):
        return content_of(source, workers)
    dataset = opened(source, format_name)
    if not isinstance(dataset, PictureFolder):
        raise DatasetError(f"{source} is of format {format_name}, and not settings of a trainer")
    return _digested(dataset.root, dataset.files, workers)


def content_of(path: Path, workers: int = 1, name: str = "") -> Digested:
    """Return the content of a file, or of a folder; ``workers`` threads read it.

    ``name`` is what a file will be called, where it is still being made.

    Raises :class:`DatasetError` for names and kinds of files that no format takes, and OSError.
    """
    if path.is_dir():
        return _digested(path, walk(path), workers)
    sha256, size = hashed(path)
    content = Content(digest={"sha256": sha256}, files=1, bytes=size)
    return Digested(content, sums_of({name or path.name: sha256}))


def folder_of(found: Mapping[str, tuple[str, int]]) -> Digested:
    """Return the content of a folder: name → SHA-256 and size in bytes of each of its files."""
    sums = sums_of({name: sha256 for name, (sha256, _) in found.items()})
    size = sum(size for _, size in found.values())
    return Digested(Content(digest={"dirHash": digest_of(sums)}, files=len(found), bytes=size), sums)


def hashed(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file, and its size in bytes. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), os.fstat(file.fileno()).st_size


def _digested(root: Path, names: Iterable[str], workers: int) -> Digested:
    found: dict[str, tuple[str, int]] = {}
    remaining = iter(names)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        # Some at a time: each that is handed to the pool is held until its turn.
        while some := list(islice(remaining, _AT_ONCE)):
            found.update(zip(some, pool.map(hashed, [root / name for name in some]), strict=True))
    return folder_of(found)


def decided(account: Path) -> Decisions:
    """Return the Merkle root of the decisions in an account.

    Raises :class:`DatasetError` when there are none, and OSError.
    """
    lines, files = decision_files(account)
    if not files:
        return decisions_over((line.rstrip(b"\n") for line in lines_of(lines)), "lines")
    return decided_files({_below(one, account): hashed(one)[0] for one in files}, lines_of(lines))


def decided_files(files: Mapping[str, str], lines: Iterable[bytes] = ()) -> Decisions:
    """Return the root over the decisions on tables: name below the account → SHA-256, hexadecimal.

    ``lines`` are the decisions on what was no table, with their ends.
    """
    whole, is_any = hashlib.sha256(), False
    for line in lines:
        whole.update(line)
        is_any = True
    first = [sums_of({LINES: whole.hexdigest()})] if is_any else []
    each = (sums_of({name: files[name]}) for name in sorted(files))
    return decisions_over((line.rstrip(b"\n") for line in (*first, *each)), "files")


def lines_of(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the lines of some files, one after the other, with their ends. Raises OSError."""
    for path in files:
        with path.open("rb") as read:
            yield from read


def left_out_of(account: Path) -> tuple[Counter[str], Counter[str]]:
    """Count what is not in the output by status, and by preference, ``none`` where it has none.

    Raises :class:`DatasetError` for decisions that cannot be read, and OSError.
    """
    lines, files = decision_files(account)
    tables = [one for one in files if one.suffix == ".parquet"]
    told = chain(chain.from_iterable(map(_of_lines, lines)), chain.from_iterable(map(_of_table, tables)))
    statuses: Counter[str] = Counter()
    preferences: Counter[str] = Counter()
    for status, preference, count in told:
        statuses[status] += count
        preferences[preference or "none"] += count
    return statuses, preferences


def decision_files(account: Path) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the files of lines, in their order, and those of tables, by name.

    Raises :class:`DatasetError` where an account holds neither.
    """
    whole, folder = account / LINES, account / _FILES
    below = sorted((one for one in folder.rglob("*") if one.is_file()), key=lambda one: _below(one, account))
    parts = sorted((one for one in below if one.suffix == ".jsonl"), key=lambda one: _in_order(one, folder))
    lines = [whole] if whole.exists() else parts
    files = [one for one in below if one not in set(lines)]
    if not lines and not files:
        raise DatasetError(
            f"{account} holds no decisions", hint="Give the account of a run of caveat filter."
        )
    return lines, files


def _in_order(path: Path, folder: Path) -> tuple[bool, str]:
    """Return by what decisions on shards follow each other: their names, and what lies beside comes last."""
    name = path.relative_to(folder).with_suffix("").as_posix()
    return name == BESIDE, name


def _below(path: Path, account: Path) -> str:
    return path.relative_to(account).as_posix()


def _of_lines(path: Path) -> Iterator[tuple[str, str | None, int]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                wire = strict_json(line)
                if not Action(wire["action"]).stays:
                    yield str(wire["status"]), wire.get("preference"), 1
            except (CaveatError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise DatasetError(f"{path}, line {number}: it cannot be read ({error!r})") from error


def _of_table(path: Path) -> Iterator[tuple[str, str | None, int]]:
    _, parquet = pyarrow_modules()
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(columns=["status", "preference"]):
            columns = (batch.column(name).to_pylist() for name in ("status", "preference"))
            for (status, preference), count in Counter(zip(*columns, strict=True)).items():
                yield status, preference, count
