"""What tables tell of the pictures at their addresses: SHA-256 and pHash, and rows gathered from columns.

A SHA-256 is 64 hex digits or 32 bytes. A pHash is imagehash's: 16 hex digits, or the same 64 bits as a whole
number, signed or not; of a column of texts the first rows decide which of the two it holds. An MD5 is of no
use: no registry has any. What is neither empty nor of this form is a fault of its row.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.base import Cells, Rows
from registry.client.formats.metadata import url_columns
from registry.client.place import Place
from registry.errors import DatasetError

__all__ = ["Gathered", "holds_integers", "is_phash", "is_sha256", "is_url", "key_columns", "require_once"]

_PHASH_COLUMNS = ("image_phash", "phash")
_SHA256_COLUMN = "sha256"
_HEX = re.compile(r"[0-9a-f]{16}", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
_WORD = 1 << 64


def is_url(name: str) -> bool:
    """Say whether a column of this name has addresses."""
    return bool(url_columns([name]))


def is_sha256(name: str) -> bool:
    """Say whether a column of this name has the SHA-256 of files."""
    return name.strip().lower() == _SHA256_COLUMN


def is_phash(name: str) -> bool:
    """Say whether a column of this name has pHashes."""
    return name.strip().lower() in _PHASH_COLUMNS


def key_columns(names: Iterable[str]) -> list[str]:
    """Return every name among ``names`` by which rows are looked up."""
    return [name for name in names if is_url(name) or is_sha256(name) or is_phash(name)]


def holds_integers(texts: Iterable[str | None]) -> bool:
    """Say whether a column of pHashes that begins like this has whole numbers rather than hex digits."""
    begin = [text for text in texts if text]
    return all(map(_INTEGER.fullmatch, begin)) and not all(map(_HEX.fullmatch, begin))


def require_once(path: Path, names: Sequence[str]) -> None:
    """Raise :class:`DatasetError` when two columns have one name but for case: loaders take either."""
    for name, count in Counter(one.strip().lower() for one in names).items():
        if count > 1:
            same = " and ".join(repr(one) for one in names if one.strip().lower() == name)
            raise DatasetError(
                f"{path} has {count} columns of one name: {same}", hint="Rename all but one of them."
            )


class Gathered:
    """Rows being put together from columns; ``of: int64[n]`` has the row of each value of one."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count
        self.faults: dict[int, str] = {}
        self._urls: list[Cells[str]] = []
        self._files: list[Cells[bytes]] = []
        self._phashes: list[Cells[bytes]] = []
        self._pictures: list[Cells[Place]] = []

    def fault(self, row: int, why: str) -> None:
        """Say why a row cannot be taken; what was said first stays."""
        self.faults.setdefault(row, why)

    def urls(self, values: Sequence[str | None], of: NDArray[np.int64] | None = None) -> None:
        """Add addresses."""
        self._urls.append(_filled(values, self._of(of)))

    def files(self, values: Iterable[Any], of: NDArray[np.int64] | None = None, name: str = "sha256") -> None:
        """Add SHA-256."""
        self._files.append(self._parsed(values, self._of(of), f"its {name} is not 64 hex digits", _digest))

    def phashes(
        self, values: Iterable[Any], name: str, of: NDArray[np.int64] | None = None, *, integers: bool = False
    ) -> None:
        """Add pHashes; ``integers`` says that texts among them are whole numbers."""
        parse = _word_of_integer if integers else _word
        self._phashes.append(self._parsed(values, self._of(of), f"its {name} is no pHash of 64 bits", parse))

    def pictures(self, values: Sequence[Place], of: NDArray[np.int64]) -> None:
        """Add pictures."""
        self._pictures.append(Cells(values, of))

    def rows(self) -> Rows:
        """Return the rows."""
        return Rows(
            self.first,
            self.count,
            _joined(self._urls),
            _joined(self._files),
            _joined(self._phashes),
            _joined(self._pictures),
            self.faults,
        )

    def _of(self, of: NDArray[np.int64] | None) -> NDArray[np.int64]:
        return np.arange(self.count, dtype=np.int64) if of is None else of

    def _parsed(self, values: Iterable[Any], of: NDArray[np.int64], wrong: str, parse: Any) -> Cells[bytes]:
        found: list[bytes] = []
        rows: list[int] = []
        for value, row in zip(values, of.tolist(), strict=True):
            if value is None or value in ("", b""):
                continue
            key = parse(value)
            if key is None:
                self.fault(row, f"{wrong}: {str(value)[:80]!r}")
            else:
                found.append(key)
                rows.append(row)
        return Cells(found, np.array(rows, np.int64))


def _digest(value: Any) -> bytes | None:
    if isinstance(value, bytes):
        return value if len(value) == 32 else _digest(value.decode("latin-1"))
    return bytes.fromhex(value) if isinstance(value, str) and _SHA256.fullmatch(value) else None


def _word(value: Any) -> bytes | None:
    if isinstance(value, str):
        return bytes.fromhex(value) if _HEX.fullmatch(value) else None
    return _word_of_integer(value)


def _word_of_integer(value: Any) -> bytes | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    in_range = type(value) is int and -_WORD // 2 <= value < _WORD
    return (value % _WORD).to_bytes(8, "big") if in_range else None


def _filled(values: Sequence[str | None], of: NDArray[np.int64]) -> Cells[str]:
    """Return a column without what is empty."""
    texts = [value for value in values if value]
    if len(texts) == len(values):
        return Cells(texts, of)
    return Cells(texts, of[np.fromiter(map(bool, values), np.bool_, len(values))])


def _joined(columns: Sequence[Cells[Any]]) -> Cells[Any]:
    if len(columns) == 1:
        return columns[0]
    values = [value for column in columns for value in column.values]
    return Cells(values, np.concatenate([np.empty(0, np.int64), *(column.of for column in columns)]))
