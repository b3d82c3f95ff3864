"""Files and folders by their digests, and what was decided by its Merkle root: what receipts are made of.

Names of files stay on this machine: a folder's digest is that of the list of its files, and the list lies in
the account, as ``sha256sum -c`` reads it. Hidden files are left out, as the formats leave them out.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
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

__all__ = ["Digested", "content_of", "decided", "left_out_of", "source_content"]

_AT_ONCE = 10_000
_LINES = "decisions.jsonl"
_FILES = "decisions"


@dataclass(frozen=True, slots=True)
class Digested:
    """A content, and the lines of its files."""

    content: Content
    sums: bytes


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
    sha256, size = _hashed(path)
    content = Content(digest={"sha256": sha256}, files=1, bytes=size)
    return Digested(content, sums_of({name or path.name: sha256}))


def _digested(root: Path, names: Iterable[str], workers: int) -> Digested:
    digests, size, remaining = {}, 0, iter(names)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        # Some at a time: each that is handed to the pool is held until its turn.
        while some := list(islice(remaining, _AT_ONCE)):
            hashed = pool.map(_hashed, [root / name for name in some])
            for name, (sha256, count) in zip(some, hashed, strict=True):
                digests[name] = sha256
                size += count
    sums = sums_of(digests)
    return Digested(Content(digest={"dirHash": digest_of(sums)}, files=len(digests), bytes=size), sums)


def _hashed(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), os.fstat(file.fileno()).st_size


def decided(account: Path) -> Decisions:
    """Return the Merkle root of the decisions in an account.

    Raises :class:`DatasetError` when there are none, and OSError.
    """
    lines, files = _decision_files(account)
    if not files:
        with lines[0].open("rb") as read:
            return decisions_over((line.rstrip(b"\n") for line in read), "lines")
    sums = (sums_of({_below(one, account): _hashed(one)[0]}) for one in (*lines, *files))
    return decisions_over((line.rstrip(b"\n") for line in sums), "files")


def left_out_of(account: Path) -> tuple[Counter[str], Counter[str]]:
    """Count what is not in the output by status, and by preference, ``none`` where it has none.

    Raises :class:`DatasetError` for decisions that cannot be read, and OSError.
    """
    lines, files = _decision_files(account)
    tables = [one for one in files if one.suffix == ".parquet"]
    told = chain(chain.from_iterable(map(_of_lines, lines)), chain.from_iterable(map(_of_table, tables)))
    statuses: Counter[str] = Counter()
    preferences: Counter[str] = Counter()
    for status, preference, count in told:
        statuses[status] += count
        preferences[preference or "none"] += count
    return statuses, preferences


def _decision_files(account: Path) -> tuple[list[Path], list[Path]]:
    """Return the file of lines, if there is one, and those of tables, by name."""
    lines = [one for one in (account / _LINES,) if one.exists()]
    folder = account / _FILES
    files = sorted((one for one in folder.rglob("*") if one.is_file()), key=lambda one: _below(one, account))
    if not lines and not files:
        raise DatasetError(
            f"{account} holds no decisions", hint="Give the account of a run of caveat filter."
        )
    return lines, files


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
