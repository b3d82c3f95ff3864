"""Arrow columns by which rows are looked up: addresses, SHA-256 and pHashes, and pictures inside.

What parquet and Lance have in common. Columns are looked at through structs and lists. A picture is a struct
with ``bytes``, as :mod:`datasets` keeps them, or a column of bytes under a name of pictures (``jpg``, as
img2dataset writes it); bytes under any other name are one when they begin like one. A column that should hold
a key and cannot is refused, as are two of one name.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.base import Rows
from registry.client.formats.cell import Cell
from registry.client.formats.datacomp import uid_words
from registry.client.formats.key_columns import (
    Gathered,
    holds_integers,
    is_phash,
    is_sha256,
    is_url,
    require_once,
)
from registry.client.formats.leaves import Leaf, is_binary, leaves_of
from registry.client.formats.parquet_entries import pyarrow_modules, texts_of
from registry.client.pictures import PICTURE_SUFFIXES
from registry.errors import DatasetError, FormatError

__all__ = ["FIRST_ROWS", "ArrowColumns", "no_keys"]

_PICTURE_COLUMNS = {
    *(suffix.removeprefix(".") for suffix in PICTURE_SUFFIXES),
    *("image", "img", "picture", "photo", "bytes", "image_bytes", "img_bytes", "image_data"),
}
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF.{4}WEBP|BM|II\*\x00|MM\x00\*"
    rb"|.{4}ftyp(avif|avis|hei|mif|msf)|.{4}JXL |\xff\x0a",
    re.DOTALL,
)
_LOOKED_AT = 16
"""First bytes of a picture that tell that it is one."""

FIRST_ROWS = 1000
"""Rows that tell whether pHashes in text are whole numbers."""


class ArrowColumns:
    """The columns of the table at ``path`` by which its rows are looked up.

    ``first`` reads the first batch of some columns, None of an empty table; ``uids`` says that the column
    ``uid`` must hold those of a DataComp pool. Raises :class:`FormatError` when nothing can be looked up, and
    :class:`DatasetError` for columns that cannot hold what their name says.
    """

    def __init__(
        self, path: Path, schema: Any, first: Callable[[list[str]], Any], *, uids: bool = False
    ) -> None:
        leaves = leaves_of(schema)
        self._path, self._first, self._is_pool = path, first, uids
        self._keys = [leaf for leaf in leaves if _is_key(leaf)]
        self._pictures = [leaf for leaf in leaves if _is_picture(leaf)]
        # Pictures may stand under any name.
        self._bytes = [leaf for leaf in leaves if is_binary(leaf.kind) and leaf not in self._pictures]
        self._bytes = [leaf for leaf in self._bytes if not _is_key(leaf)]
        self._paths = [leaf for leaf in leaves if leaf.in_picture and leaf.names[-1] == "path"]
        if not self._keys and not self._pictures:
            raise no_keys(path, schema.names)
        self._unseen = [leaf for leaf in leaves if _hides(leaf)]
        self._require_sound()

    @property
    def told(self) -> str:
        """What there is, in words."""
        told = [leaf.name for leaf in self._keys]
        told += [f"pictures in {leaf.name.removesuffix('.bytes')}" for leaf in self._pictures]
        told += ["the uids of a DataComp pool"] if self._is_pool else []
        return " and ".join(told)

    @property
    def may_hold_pictures(self) -> bool:
        """Whether any column can have pictures in it."""
        return bool(self._pictures or self._bytes)

    @property
    def names(self) -> list[str]:
        """The columns that are read to look rows up."""
        leaves = [*self._keys, *self._pictures, *self._bytes, *self._paths]
        return list(dict.fromkeys([*(leaf.top for leaf in leaves), *(["uid"] if self._is_pool else [])]))

    def rows(self, first: int, batch: Any) -> Rows:
        """Return a batch as rows; ``first`` is the number of the first of them."""
        rows = Gathered(first, batch.num_rows)
        for leaf in self._keys:
            self._add_keys(rows, leaf, batch)
        for leaf in self._pictures:
            self._add_pictures(rows, leaf, batch)
        for leaf in self._bytes:
            self._add_hidden(rows, leaf, batch)
        if self._is_pool:
            uids = texts_of(batch.column(batch.schema.get_field_index("uid")))
            for row in np.flatnonzero(~uid_words(uids)[1]).tolist():
                rows.fault(row, f"its uid is not 32 hex digits: {str(uids[row])[:80]!r}")
        return rows.rows()

    def _add_keys(self, rows: Gathered, leaf: Leaf, batch: Any) -> None:
        array, of = leaf.values(batch)
        name = leaf.names[-1]
        if is_sha256(name):
            is_string = _is_text(leaf.kind) and not is_binary(leaf.kind)
            values = _texts(array, of, leaf, rows) if is_string else array.to_pylist()
            rows.files(values, of, leaf.name)
        elif is_phash(name):
            values = _texts(array, of, leaf, rows) if _is_text(leaf.kind) else array.to_pylist()
            rows.phashes(values, leaf.name, of, integers=leaf.name in self._integers)
        else:
            rows.urls(_texts(array, of, leaf, rows), of)

    def _add_pictures(self, rows: Gathered, leaf: Leaf, batch: Any) -> None:
        array, of = leaf.values(batch)
        beside = self._addresses(rows, leaf, batch)
        values = array.to_pylist()
        for number, (data, row) in enumerate(zip(values, of.tolist(), strict=True)):
            if not data and not beside.get(number):
                rows.fault(row, f"its picture in {leaf.name} is not in the file")
        self._add_cells(rows, leaf, values, of, np.fromiter(map(bool, values), np.bool_, len(values)))

    def _addresses(self, rows: Gathered, leaf: Leaf, batch: Any) -> dict[int, str]:
        """Add the addresses that stand where a picture has the path of its file, and return them."""
        path = next((one for one in self._paths if one.names[:-1] == leaf.names[:-1]), None)
        if path is None or not _is_text(path.kind):
            return {}
        array, of = path.values(batch)
        texts = _texts(array, of, path, rows)
        found = {
            at: text for at, text in enumerate(texts) if text and text.startswith(("http://", "https://"))
        }
        places = np.fromiter(found, np.int64, len(found))
        rows.urls(list(found.values()), of[places])
        return found

    def _add_hidden(self, rows: Gathered, leaf: Leaf, batch: Any) -> None:
        """Add the bytes that begin like a picture."""
        from pyarrow import compute

        array, of = leaf.values(batch)
        begins = compute.binary_slice(array, 0, _LOOKED_AT).to_pylist()
        seen = np.fromiter((bool(_PICTURE.match(one or b"")) for one in begins), np.bool_, len(begins))
        if seen.any():
            self._add_cells(rows, leaf, array.to_pylist(), of, seen)

    def _add_cells(
        self, rows: Gathered, leaf: Leaf, values: list[Any], of: NDArray[np.int64], chosen: NDArray[np.bool_]
    ) -> None:
        # The first of a row is its item 0.
        items = np.arange(len(of)) - np.searchsorted(of, of)
        cells = [
            Cell(
                self._path,
                0,
                None,
                None,
                None,
                (),
                leaf.name,
                rows.first + int(of[at]),
                int(items[at]),
                values[at],
            )
            for at in np.flatnonzero(chosen).tolist()
        ]
        rows.pictures(cells, of[chosen])

    @cached_property
    def _integers(self) -> set[str]:
        """The columns of texts that have whole numbers as pHashes."""
        found = set()
        for leaf in (one for one in self._keys if is_phash(one.names[-1]) and _is_text(one.kind)):
            batch = self._first([leaf.top])
            if batch is not None:
                array, of = leaf.values(batch.slice(0, FIRST_ROWS))
                if holds_integers(_texts(array, of, leaf, Gathered(0, 0))):
                    found.add(leaf.name)
        return found

    def _require_sound(self) -> None:
        """Raise :class:`DatasetError` for columns that cannot hold what their name says."""
        require_once(self._path, [leaf.name for leaf in (*self._keys, *self._pictures)])
        for leaf in self._keys:
            if not _can_hold(leaf):
                raise DatasetError(
                    f"{self._path}: the column {leaf.name} is of {leaf.kind}, not of what it should hold",
                    hint="Make it text (a pHash may be int64 or uint64), or give it another name.",
                )
        for leaf in self._unseen:
            raise DatasetError(
                f"{self._path}: the column {leaf.name} is of {leaf.kind}, and pictures in that are not seen",
                hint="Make it binary, or a list of binary.",
            )


def no_keys(path: Path, names: Sequence[str]) -> FormatError:
    """Return the error for a table by which nothing can be looked up."""
    return FormatError(
        f"{path} has no column of URLs; its columns are {', '.join(names)}",
        hint="Name it url, image_url, img_url or src; sha256 and image_phash are looked up as well.",
    )


def _is_key(leaf: Leaf) -> bool:
    name = leaf.names[-1]
    return is_url(name) or is_sha256(name) or is_phash(name)


def _is_picture(leaf: Leaf) -> bool:
    if not is_binary(leaf.kind) or _is_key(leaf):
        return False
    return (leaf.in_picture and leaf.names[-1] == "bytes") or leaf.names[-1].lower() in _PICTURE_COLUMNS


def _hides(leaf: Leaf) -> bool:
    """Say whether there may be pictures in a column of a type whose values are not read here."""
    arrow, _ = pyarrow_modules()
    types = arrow.types
    if types.is_list_view(leaf.kind) or types.is_large_list_view(leaf.kind):
        return True
    named = leaf.names[-1].lower() in _PICTURE_COLUMNS
    return bool(types.is_fixed_size_binary(leaf.kind)) and named and not _is_key(leaf)


def _is_text(kind: Any) -> bool:
    arrow, _ = pyarrow_modules()
    types = arrow.types
    is_string = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(is_string or is_binary(kind))


def _can_hold(leaf: Leaf) -> bool:
    """Say whether a column can hold the keys that its name promises; one of nothing but nulls can."""
    arrow, _ = pyarrow_modules()
    if _is_text(leaf.kind) or arrow.types.is_null(leaf.kind):
        return True
    if is_phash(leaf.names[-1]):
        return bool(leaf.kind in (arrow.int64(), arrow.uint64()))
    return is_sha256(leaf.names[-1]) and bool(leaf.kind == arrow.binary(32))


def _texts(array: Any, of: NDArray[np.int64], leaf: Leaf, rows: Gathered) -> list[str | None]:
    """Return the values of a column of texts; what is not UTF-8 is a fault of its row."""
    texts = texts_of(array)
    for at, value in enumerate(texts):
        if isinstance(value, bytes):
            rows.fault(int(of[at]), f"its {leaf.name} is not UTF-8")
            texts[at] = None
    return texts
