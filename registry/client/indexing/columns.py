"""Columns of a table as batches for an index: addresses, pHashes and SHA-256, without a look at any picture.

Rows are not handled one by one where it costs; what is unusual in a column is. A pHash is imagehash's: 16 hex
digits, or the same 64 bits as a whole number, signed or not. Of a column of texts the first rows decide which
of the two it holds.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.entries import csv_rows
from registry.client.formats.metadata import url_columns
from registry.client.formats.parquet_entries import MAX_COLUMN_BYTES, pyarrow_modules
from registry.client.formats.table import DELIMITERS
from registry.dataset_index.batch import Batch
from registry.errors import DatasetError

__all__ = ["PHASH_COLUMNS", "table_batches"]

PHASH_COLUMNS = ("image_phash", "phash")
_SHA256_COLUMN = "sha256"
_DIGITS = 16
_LOOKED_AT = 1000
"""Rows that decide whether a column of texts holds hex digits or whole numbers."""
_HEX = re.compile(r"[0-9a-f]{16}", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
_WORD = 1 << 64

_Values = list[Any] | NDArray[Any]
_Columns = Sequence[tuple[str, _Values]]
"""Name and values of each; a table may have two of one name."""
_Faults = list[tuple[int, str]]


def table_batches(path: Path, size: int, skip: int) -> Iterator[Batch]:
    """Yield the rows of ``path``, a ``.csv``, ``.tsv`` or ``.parquet``, ``size`` at a time, numbered from 0.

    The first ``skip`` rows are left out. Raises :class:`DatasetError` for what cannot be read.
    """
    read = _parquet_columns if path.suffix.lower() == ".parquet" else _csv_columns
    batches = read(path, size)
    head = next(batches, None)
    if head is None:
        return
    whole = [_is_phash(name) and _holds_integers(values) for name, values in head]
    first = 0
    for columns in chain([head], batches):
        count = len(columns[0][1])
        left = max(0, min(count, skip - first))
        if left < count:
            yield _batch(first + left, [(name, values[left:]) for name, values in columns], whole)
        first += count


def _is_phash(name: str) -> bool:
    return name.strip().lower() in PHASH_COLUMNS


def _is_sha256(name: str) -> bool:
    return name.strip().lower() == _SHA256_COLUMN


def _is_wanted(name: str) -> bool:
    return bool(url_columns([name])) or _is_phash(name) or _is_sha256(name)


def _csv_columns(path: Path, size: int) -> Iterator[_Columns]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv_rows(lines, str(path), DELIMITERS[path.suffix.lower()])
            names = next(rows, ([], ""))[0]
            places = [(at, name) for at, name in enumerate(names) if _is_wanted(name)]
            while taken := [values for values, _ in islice(rows, size)]:
                yield [(name, [row[at] if at < len(row) else "" for row in taken]) for at, name in places]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8: {error.reason}", hint="Save it as UTF-8.") from error


def _parquet_columns(path: Path, size: int) -> Iterator[_Columns]:
    _, parquet = pyarrow_modules()
    try:
        with parquet.ParquetFile(path) as file:
            wanted = dict.fromkeys(filter(_is_wanted, file.schema_arrow.names))
            _require_phashes(path, file.schema_arrow)
            for batch in file.iter_batches(batch_size=size, columns=list(wanted)):
                if batch.nbytes > MAX_COLUMN_BYTES:
                    raise DatasetError(f"{path}: over {MAX_COLUMN_BYTES:,} bytes in {size:,} rows")
                yield list(zip(batch.schema.names, map(_values, batch.columns), strict=True))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not a parquet file that can be read: {error}") from error


def _require_phashes(path: Path, schema: Any) -> None:
    """Raise :class:`DatasetError` when a column of pHashes cannot hold them."""
    arrow, _ = pyarrow_modules()
    for field in schema:
        kind = field.type
        texts = arrow.types.is_string(kind) or arrow.types.is_large_string(kind)
        if _is_phash(field.name) and not (texts or kind in (arrow.int64(), arrow.uint64())):
            raise DatasetError(
                f"{path}: the column {field.name} is of {kind}, and a pHash has 64 bits",
                hint="Make it 16 hex digits, or int64 or uint64; or give the column another name.",
            )


def _values(column: Any) -> _Values:
    """Return the values of an Arrow column; whole numbers without a gap stay an array."""
    arrow, _ = pyarrow_modules()
    if column.type in (arrow.int64(), arrow.uint64()) and not column.null_count:
        numbers: NDArray[Any] = column.to_numpy()
        return numbers
    values: list[Any] = column.to_pylist()
    return values


def _batch(first: int, columns: _Columns, whole: Sequence[bool]) -> Batch:
    batch = Batch(first, len(columns[0][1]))
    for (name, values), integers in zip(columns, whole, strict=True):
        if _is_phash(name):
            words, of = _phashes(name, values, integers, batch.faults)
            batch.phashes = np.concatenate([batch.phashes, words])
            batch.phashes_of = np.concatenate([batch.phashes_of, of])
        elif _is_sha256(name):
            _add_files(batch, values)
        else:
            urls, of = _texts(values)
            batch.urls += urls
            batch.urls_of = np.concatenate([batch.urls_of, of])
    known = np.zeros(batch.count, np.bool_)
    faulty = [number for number, _ in batch.faults]
    for of in map(np.asarray, (batch.urls_of, batch.phashes_of, batch.files_of, faulty)):
        known[of.astype(np.int64)] = True
    batch.faults += [(one, "the row has no URL") for one in np.flatnonzero(~known).tolist()]
    return batch


def _texts(values: _Values) -> tuple[list[str], NDArray[np.int64]]:
    """Return the texts that are not empty, and the number of the row of each."""
    texts = [value for value in values if value and isinstance(value, str)]
    if len(texts) == len(values):
        return texts, np.arange(len(texts), dtype=np.int64)
    of = [number for number, value in enumerate(values) if value and isinstance(value, str)]
    return texts, np.array(of, np.int64)


def _add_files(batch: Batch, values: _Values) -> None:
    texts, of = _texts(values)
    for text, number in zip(texts, of.tolist(), strict=True):
        if _SHA256.fullmatch(text):
            batch.files.append(bytes.fromhex(text))
            batch.files_of.append(number)
        else:
            batch.faults.append((number, f"its sha256 is not 64 hex digits: {text[:80]!r}"))


def _holds_integers(values: _Values) -> bool:
    texts = [value for value in values[:_LOOKED_AT] if value and isinstance(value, str)]
    return all(map(_INTEGER.fullmatch, texts)) and not all(map(_HEX.fullmatch, texts))


def _phashes(
    name: str, values: _Values, whole: bool, faults: _Faults
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the pHashes of a column as words, and the number of the row of each."""
    if isinstance(values, np.ndarray):
        return values.view(np.uint64), np.arange(len(values), dtype=np.int64)
    if not whole and len(words := _hex_words(values)):
        return words, np.arange(len(values), dtype=np.int64)
    found, of = [], []
    for number, value in enumerate(values):
        if value is None or value == "":
            continue
        word = _word(value, whole)
        if word is None:
            faults.append((number, f"its {name} is no pHash of 64 bits: {str(value)[:80]!r}"))
        else:
            found.append(word)
            of.append(number)
    return np.array(found, np.uint64), np.array(of, np.int64)


def _hex_words(values: list[Any]) -> NDArray[np.uint64]:
    """Return the words of a column in which every value is 16 hex digits; none for any other column."""
    words = np.empty(0, np.uint64)
    if all(type(value) is str and len(value) == _DIGITS for value in values):
        # What is no digit is refused by fromhex, but for blanks, and they make it shorter.
        with suppress(ValueError):
            found = bytes.fromhex("".join(values))
            words = np.frombuffer(found, ">u8").astype(np.uint64)
    return words if len(words) == len(values) else words[:0]


def _word(value: Any, whole: bool) -> int | None:
    """Return a pHash as an unsigned word, None for anything else."""
    if isinstance(value, str) and not whole:
        return int(value, 16) if _HEX.fullmatch(value) else None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is int and -_WORD // 2 <= value < _WORD:
        return value % _WORD
    return None
