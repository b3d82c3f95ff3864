"""Text files of entries, taken apart: JSON objects and arrays, JSON lines, CSV. Pure functions over bytes.

Each entry has its values by column, and its own text: what stays is put together again from the texts, so
that it stays byte for byte. The name of a member of a JSON object is its column :data:`KEY`, the members of
its value the others; a text in an array is filed under itself. A CSV row that names a picture is no header:
the columns then are 0, 1 and so on.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError, InputError
from registry.jsontext import strict_json

__all__ = ["KEY", "Entries", "Row", "csv_batches", "csv_rows", "parse_entries"]

KEY = "the key"
"""The column of what an entry is filed under."""

_MAX_FIELD = 1 << 20
_MEND = "Mend it, or take the line out."
_LINES = 1 << 16
_MARK = "\ufeff"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Entries:
    """What a file holds: ``head``, then the ``raws`` of the entries with ``between`` each, then ``end``.

    ``lines`` are where entries begin, from 1; 0 where they have no lines of their own.
    """

    values: tuple[Mapping[str, Any], ...]
    raws: tuple[str, ...]
    lines: tuple[int, ...]
    head: str = ""
    between: str = ""
    end: str = ""


def parse_entries(data: bytes, where: str) -> Entries:
    """Take ``data`` apart by the ending of ``where``: ``.json``, ``.jsonl``, ``.csv`` or ``.tsv``.

    Raises :class:`DatasetError` with the place; a member that stands twice is refused, as is NaN.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where} is not UTF-8: byte {error.start}", hint="Save it as UTF-8.") from error
    ending = where.rpartition(".")[2].lower()
    if ending == "json":
        return _json_entries(text, where)
    if ending == "jsonl":
        return _line_entries(text, where)
    return _csv_entries(text, where, "\t" if ending == "tsv" else ",")


Row: TypeAlias = tuple[list[str], str]
"""The values of a CSV row, and its own text, line ends included."""


def csv_rows(lines: io.TextIOBase, where: str, delimiter: str = ",") -> Iterator[Row]:
    """Yield each CSV row.

    Raises :class:`DatasetError` for what the csv module does not take, a NUL or a field over 1 MiB among it.
    """
    return chain.from_iterable(csv_batches(lines, where, delimiter))


def csv_batches(lines: io.TextIOBase, where: str, delimiter: str = ",") -> Iterator[list[Row]]:
    """Yield the CSV rows of some thousand lines together. Raises as :func:`csv_rows`."""
    csv.field_size_limit(_MAX_FIELD)
    done, mark = 0, ""
    while batch := list(islice(lines, _LINES)):
        if not done and batch[0].startswith(_MARK):
            # Before a quoted name it would hide its quotes from the reader.
            mark, batch[0] = _MARK, batch[0].removeprefix(_MARK)
        if _is_plain(batch):
            rows = [(values.split(delimiter), line) for line in batch if (values := line.rstrip("\r\n"))]
        else:
            rows = list(_quoted_rows(batch, lines, (where, done), delimiter))
        if mark and rows:
            rows[0] = (rows[0][0], mark + rows[0][1])
            mark = ""
        yield rows
        done += len(batch)


def _is_plain(batch: list[str]) -> bool:
    """Say whether a row is a line, and its fields are what lies between delimiters."""
    text = "".join(batch)
    if '"' in text or "\0" in text or "\r" in text.replace("\r\n", "\n"):
        return False
    return max(map(len, batch)) <= _MAX_FIELD


def _quoted_rows(
    batch: list[str], lines: Iterable[str], place: tuple[str, int], delimiter: str
) -> Iterator[Row]:
    """Yield the rows of ``batch``, and add the lines of ``lines`` to it over which its last one goes on."""
    where, done = place
    at = 0

    def remembered() -> Iterator[str]:
        nonlocal at
        for line in batch:
            at += 1
            yield line
        for line in lines:
            batch.append(line)
            at += 1
            yield line

    known, end = len(batch), 0
    reader = csv.reader(remembered(), delimiter=delimiter, strict=True)
    while at < known:
        begin = end
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(f"{where}, line {done + reader.line_num}: {error}", hint=_MEND) from error
        end = at
        raw = "".join(batch[begin:end])
        if "\0" in raw:
            # The reader takes it for a letter, others for the end of the text.
            raise DatasetError(f"{where}, line {done + reader.line_num}: has a NUL in it", hint=_MEND)
        if values:
            yield values, raw


def _csv_entries(text: str, where: str, delimiter: str) -> Entries:
    rows = list(csv_rows(io.StringIO(text, newline=""), where, delimiter))
    if not rows:
        raise DatasetError(f"{where} is empty")
    names, head = rows[0]
    if any(PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES for name in names):
        # No header: a picture is named where the columns would be.
        names, head = [str(at) for at in range(max(len(row) for row, _ in rows))], ""
    else:
        del rows[0]
    starts = tuple(accumulate((_line_count(raw) for _, raw in rows), initial=1 + _line_count(head)))[:-1]
    for line, (row, _) in zip(starts, rows, strict=True):
        if len(row) > len(names):
            raise DatasetError(
                f"{where}, line {line}: {len(row)} fields under {len(names)} names",
                hint="Put a field with a comma in it in quotes.",
            )
    # A row that is shorter has nothing in its last columns.
    values = tuple(dict(zip(names, row, strict=False)) for row, _ in rows)
    return Entries(values, tuple(raw for _, raw in rows), starts, head)


def _line_count(raw: str) -> int:
    return len(raw.splitlines())


def _line_entries(text: str, where: str) -> Entries:
    lines = text.split("\n")
    values, raws, starts = [], [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _sound(line, f"{where}, line {number}")
        if not isinstance(found, dict):
            raise DatasetError(f"{where}, line {number}: expected an object")
        values.append(found)
        raws.append(line if number == len(lines) else line + "\n")
        starts.append(number)
    return Entries(tuple(values), tuple(raws), tuple(starts))


def _sound(text: str, where: str) -> Any:
    try:
        return strict_json(text.encode())
    except InputError as error:
        message = error.message.replace(" at line 1,", " at") if "\n" not in text else error.message
        raise DatasetError(f"{where}: {message}") from error


def _json_entries(text: str, where: str) -> Entries:
    whole = _sound(text, where)
    if isinstance(whole, dict):
        items: Iterable[tuple[Any, Any]] = whole.items()
    elif isinstance(whole, list):
        items = [(None, value) for value in whole]
    else:
        items = []
    values = tuple(_columns_of(key, value) for key, value in items)
    return _spans(text, values) if values else Entries((), (), (), text)


def _columns_of(key: str | None, value: Any) -> dict[str, Any]:
    columns = dict(value) if isinstance(value, dict) else {}
    if key is None and isinstance(value, str):
        key = value
    return columns if key is None else {**columns, KEY: key}


def _spans(text: str, values: tuple[Mapping[str, Any], ...]) -> Entries:
    """Cut sound JSON, an object or array with entries in it, into the texts of its entries."""
    at = _after_space(text, 0) + 1
    head, keyed = text[:at], text[at - 1] == "{"
    raws: list[str] = []
    for _ in values:
        begin, at = at, _after_space(text, at)
        if keyed:
            at = _after_space(text, _DECODER.raw_decode(text, at)[1]) + 1
            at = _after_space(text, at)
        at = _DECODER.raw_decode(text, at)[1]
        raws.append(text[begin:at])
        last, at = at, _after_space(text, at) + 1
    return Entries(values, tuple(raws), (0,) * len(raws), head, ",", text[last:])


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
