"""What img2dataset writes beside a shard: ``00000.parquet`` with a row an address, ``00000_stats.json``.

The table has a row for each download, those that failed among them; a row belongs to the sample of the same
key. Pure functions but for :func:`rows_beside`, which reads the table.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.client.formats.metadata import url_columns
from registry.client.formats.parquet_entries import pyarrow_modules, read_columns
from registry.errors import DatasetError, InputError
from registry.jsontext import strict_json

__all__ = ["Row", "mended_stats", "rows_beside", "urls_in"]

_KEYS = ("key", "__key__")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 0, the key of its sample, its addresses, and how its download went."""

    number: int
    key: str
    urls: tuple[str, ...]
    status: str = "success"
    message: str = ""


def rows_beside(path: Path) -> list[Row]:
    """Read the table beside a shard.

    Raises :class:`DatasetError` when it cannot be read, or has no column of keys or of addresses.
    """
    _, parquet = pyarrow_modules()
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            key = next((name for name in names if name.lower() in _KEYS), None)
            urls = url_columns(names)
            if key is None or not urls:
                raise DatasetError(f"{path} has no column {'key' if key is None else 'url'}")
            wanted = [key, *urls, *(name for name in ("status", "error_message") if name in names)]
            values = read_columns(file, wanted, str(path))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not a parquet file that can be read: {error}") from error
    return [_row(number, one, key, urls) for number, one in enumerate(values)]


def _row(number: int, values: dict[str, Any], key: str, columns: Iterable[str]) -> Row:
    urls = tuple(url for name in columns if isinstance(url := values[name], str) and url)
    status = values.get("status") or "success"
    return Row(number, str(values[key]), urls, str(status), str(values.get("error_message") or ""))


def urls_in(data: bytes) -> tuple[str, ...]:
    """Return the addresses that the ``.json`` of a sample gives. Raises :class:`InputError`."""
    found = strict_json(data)
    if not isinstance(found, dict):
        return ()
    return tuple(url for name in url_columns(found) if isinstance(url := found[name], str) and url)


def mended_stats(data: bytes, lost: Sequence[Row]) -> bytes | None:
    """Return ``_stats.json`` without the rows in ``lost``; None when its counts cannot be theirs."""
    try:
        stats = strict_json(data)
    except InputError:
        return None
    by_status = Counter(row.status for row in lost)
    by_message = Counter("success" if row.status == "success" else row.message for row in lost)
    if not isinstance(stats, dict) or not isinstance(stats.get("status_dict", {}), dict):
        return None
    fits = _take(stats, {"count": len(lost), "successes": by_status.pop("success", 0), **by_status})
    fits &= "status_dict" not in stats or _take(stats["status_dict"], by_message)
    return json.dumps(stats, indent=4).encode() if fits else None


def _take(counts: dict[str, Any], less: dict[str, int]) -> bool:
    """Subtract ``less``; say whether each count was there, a whole number and large enough."""
    for name, number in less.items():
        if not number:
            continue
        if type(counts.get(name)) is not int or counts[name] < number:
            return False
        counts[name] -= number
    return True
