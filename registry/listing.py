"""Lists of works as partners send them, read strictly into columns of text.

JSON lines carry one work each, in the form of ``POST /api/v1/reservations``; CSV (with a header) and parquet
have a column for each key: ``title``, ``url``, ``sha256``, and of the fingerprint ``v``, ``quality``,
``phash`` and ``pdq_full`` … (a column for each window). An empty cell, or null, says nothing.

A name that is not known, a doubled one, a value of another type, a line that is cut or empty: each refuses
the list, with row and column. Rows count from 0, as the works of a reservation do. What the texts must be is
checked in :mod:`registry.intake`.

Parquet is read some rows at a time, and no further than the largest decoded size: what the file says of
itself binds nobody.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from registry.arrow import Column, pa
from registry.arrow import parquet as pq
from registry.errors import InputError, PayloadTooLargeError, UnsupportedMediaTypeError
from registry.fingerprint import REGISTERED_WINDOWS
from registry.jsontext import strict_json

__all__ = [
    "CSV",
    "DECODED_BYTES",
    "KINDS",
    "NDJSON",
    "PARQUET",
    "Fault",
    "Listing",
    "read_listing",
    "refusal",
]

NDJSON, CSV, PARQUET = "application/x-ndjson", "text/csv", "application/vnd.apache.parquet"
KINDS = (NDJSON, CSV, PARQUET)
"""The media types that are read."""
DECODED_BYTES = 64 * 1024 * 1024
"""What a list may hold once it is decoded, in bytes."""

_TEXTS = ("title", "url", "sha256")
_NUMBERS = ("v", "quality")
_WINDOWS = {f"pdq_{window}": f"fingerprint.pdq.{window}" for window in REGISTERED_WINDOWS}
_COLUMNS = (*_TEXTS, *_NUMBERS, "phash", *_WINDOWS)
_IN_JSON = {"v": "fingerprint.v", "quality": "fingerprint.quality", "phash": "fingerprint.phash", **_WINDOWS}
_FIELD_BYTES = 1 << 17
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_AT_ONCE = 256
"""Rows of a parquet file that are decoded before anybody looks how large they are."""
_TOLD = 5
"""Faults that a refusal names; of the others it says how many there are."""
_EXPECTED = {"title": "text", "url": "text", "sha256": "text", "fingerprint": "an object"}


class Fault(NamedTuple):
    """What is wrong in one place; ``row`` counts from 0."""

    row: int
    column: str
    what: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Works as columns: an array of text for each name, of whole numbers for ``v`` and ``quality``.

    ``shown`` says under which name the sender knows a column.
    """

    columns: Mapping[str, Column]
    rows: int
    shown: Mapping[str, str]


def refusal(faults: Sequence[Fault]) -> InputError:
    """Return the error that names the rows that cannot be taken, in their order."""
    first = [f"works.{row}.{column}: {what}" for row, column, what in sorted(set(faults))[:_TOLD]]
    more = len(set(faults)) - len(first)
    text = "; ".join(first) + (f"; and {more} more" if more else "")
    return InputError(text, hint="Nothing of the part was stored. Mend these rows and send it again.")


def read_listing(data: bytes, kind: str, most: int) -> Listing:
    """Read a list of at most ``most`` works of one of ``KINDS``.

    Raises :class:`UnsupportedMediaTypeError`, :class:`PayloadTooLargeError`, or :class:`InputError`, which
    names rows and columns.
    """
    readers = {NDJSON: _of_lines, CSV: _of_csv, PARQUET: _of_parquet}
    if kind not in readers:
        raise UnsupportedMediaTypeError(
            f"expected {', '.join(KINDS)}; got {kind or 'no Content-Type'}",
            hint="Say in the header Content-Type what the list is.",
        )
    listing = readers[kind](data, most)
    if not listing.rows:
        raise InputError("a list of no works")
    return listing


def _of_lines(data: bytes, most: int) -> Listing:
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    _require_few(len(lines), most)
    faults: list[Fault] = []
    columns: dict[str, list[Any]] = {name: [None] * len(lines) for name in _COLUMNS}
    for row, line in enumerate(lines):
        try:
            work = strict_json(line)
        except InputError as error:
            faults.append(Fault(row, "line", error.message))
            continue
        if not isinstance(work, dict):
            faults.append(Fault(row, "line", f"expected an object, got {type(work).__name__}"))
            continue
        faults += _wrong_types(row, work)
        fingerprint = work.pop("fingerprint", None)
        if isinstance(fingerprint, dict):
            faults += _flattened(row, fingerprint, work)
        for name, value in work.items():
            if name in columns:
                columns[name][row] = value
    if faults:
        raise refusal(faults)
    return _listing(columns, len(lines), _IN_JSON)


def _wrong_types(row: int, work: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in work.items():
        if name not in _EXPECTED:
            yield Fault(row, name[:80], f"is none of {', '.join(_EXPECTED)}")
        elif value is not None and not isinstance(value, dict if name == "fingerprint" else str):
            yield Fault(row, name, f"expected {_EXPECTED[name]}, got {_shown(value)}")


def _flattened(row: int, fingerprint: dict[str, Any], work: dict[str, Any]) -> Iterator[Fault]:
    """Put the members of a fingerprint into ``work`` under the names of their columns."""
    windows = fingerprint.pop("pdq", None)
    if windows is not None and not (isinstance(windows, dict) and windows):
        yield Fault(row, "fingerprint.pdq", "expected an object with a hash; leave it out when there is none")
        windows = None
    for name in ("v", "quality"):
        if type(fingerprint.get(name)) is not int:
            value = _shown(fingerprint[name]) if name in fingerprint else "nothing"
            yield Fault(row, f"fingerprint.{name}", f"expected a whole number, got {value}")
        elif not 0 <= fingerprint[name] < 10**9:
            yield Fault(row, f"fingerprint.{name}", f"got {_shown(fingerprint[name])}")
    texts = [("phash", fingerprint["phash"], "phash")] if "phash" in fingerprint else []
    texts += [(f"pdq.{name}", value, f"pdq_{name}") for name, value in (windows or {}).items()]
    unknown = [name for name in fingerprint if name not in ("v", "quality", "phash")]
    for shown in unknown + [name for name, _, column in texts if column not in _COLUMNS]:
        yield Fault(row, f"fingerprint.{shown[:80]}", "is not known")
    for shown, value, column in texts:
        if not isinstance(value, str):
            yield Fault(row, f"fingerprint.{shown[:80]}", f"expected text, got {_shown(value)}")
        elif column in _COLUMNS:
            work[column] = value
    work |= {name: fingerprint[name] for name in ("v", "quality") if name in fingerprint}


def _of_csv(data: bytes, most: int) -> Listing:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start}", hint="Save the list as UTF-8.") from error
    csv.field_size_limit(_FIELD_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
        rows = list(itertools.islice(reader, most + 1))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: {error}") from error
    _require_names(names)
    _require_few(len(rows), most)
    uneven = [row for row, cells in enumerate(rows) if len(cells) != len(names)]
    if uneven:
        raise refusal([Fault(row, "cells", f"expected {len(names)}, got {len(rows[row])}") for row in uneven])
    columns: dict[str, list[Any]] = (
        {
            name: [cell or None for cell in cells]
            for name, cells in zip(names, zip(*rows, strict=True), strict=True)
        }
        if rows
        else {}
    )
    for name in _NUMBERS:
        if name in columns:
            columns[name] = _numbers(name, columns[name])
    return _listing(columns, len(rows), {})


def _numbers(name: str, cells: Sequence[str | None]) -> list[int | None]:
    wrong = [
        Fault(row, name, f"expected a whole number, got {_shown(cell)}")
        for row, cell in enumerate(cells)
        if cell is not None and not _NUMBER.fullmatch(cell)
    ]
    if wrong:
        raise refusal(wrong)
    return [None if cell is None else int(cell) for cell in cells]


def _of_parquet(data: bytes, most: int) -> Listing:
    try:
        with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
            names = file.schema_arrow.names
            _require_names(names)
            _require_few(file.metadata.num_rows, most)
            parts, rows, size = [], 0, 0
            for batch in file.iter_batches(_AT_ONCE, use_threads=False):
                # A value that is named many times stands there once until it is decoded.
                part = [_parquet_column(name, batch.column(name)) for name in names]
                rows, size = rows + batch.num_rows, size + sum(column.nbytes for column in part)
                _require_few(rows, most)
                if size > DECODED_BYTES:
                    raise PayloadTooLargeError(
                        f"a list of more than {DECODED_BYTES} bytes once it is decoded",
                        hint="Cut it into smaller parts.",
                    )
                parts.append(part)
        columns = {
            name: pa.concat_arrays([part[at] for part in parts]) for at, name in enumerate(names) if parts
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a parquet file that can be read: {_first_line(error)}") from error
    return Listing(columns, rows, {name: name for name in _COLUMNS})


def _parquet_column(name: str, column: Column) -> Column:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    wanted = pa.types.is_integer if name in _NUMBERS else _is_text
    if not (wanted(kind) or pa.types.is_null(kind)):
        expected = "whole numbers" if name in _NUMBERS else "text"
        raise InputError(f"column {name}: expected {expected}, got {column.type}")
    array = column.cast(pa.int64() if name in _NUMBERS else pa.string())
    array.validate(full=True)
    return array


def _is_text(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _require_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in _COLUMNS]
    if unknown or not names:
        raise InputError(
            f"the column {unknown[0][:80]!r} is not known" if unknown else "a list without columns",
            hint=f"Columns are {', '.join(_COLUMNS[:7])} … {_COLUMNS[-1]}.",
        )
    doubled = [name for name in names if list(names).count(name) > 1]
    if doubled:
        raise InputError(f"the column {doubled[0]!r} stands there twice")


def _require_few(rows: int, most: int) -> None:
    if rows > most:
        raise PayloadTooLargeError(
            f"more than {most} works in one part", hint="Cut the list into smaller parts."
        )


def _listing(columns: Mapping[str, list[Any]], rows: int, shown: Mapping[str, str]) -> Listing:
    faults: list[Fault] = []
    arrays = {}
    names = {name: shown.get(name, name) for name in _COLUMNS}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values, pa.int64() if name in _NUMBERS else pa.string())
        except UnicodeEncodeError:
            faults += [Fault(row, names[name], "half a character") for row in _unpaired(values)]
    if faults:
        raise refusal(faults)
    return Listing(arrays, rows, names)


def _unpaired(values: Iterable[str | None]) -> Iterator[int]:
    """Yield the rows of texts with half of a surrogate pair, which no bytes stand for."""
    for row, value in enumerate(values):
        if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
            yield row


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
