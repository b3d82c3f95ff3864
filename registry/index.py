"""What is searched: the keys and hashes of registered works and rules, each leading to its place.

A place names a row of the database: the event that brought it, its ordinal there, and whether it is a work or
a rule. The index holds nothing else of it: it finds candidates, and whether a row still holds, and what was
said about it, is read from the rows themselves. So withdrawals need no change here, and any earlier state can
be asked for.

* :class:`Entries`: what some rows bring, as columns.
* :class:`FrozenIndex`: entries sorted into tables, as a segment holds them.
* :class:`Index`: frozen ones, and one that grows while it is searched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fingerprint import PHASH_RADIUS, REGISTERED_WINDOWS, hash_words, unpack_windows
from registry.hamming import HammingIndex, HammingTable, Matches
from registry.keys import Hits, KeySet, KeyTable, key_words

__all__ = ["MAX_SEQ", "Entries", "FrozenIndex", "Index", "Near", "Place", "RowKeys", "place_of"]

_Layout = dict[str, tuple[str, tuple[int, ...]]]
_ORDINAL_BITS = 23
MAX_SEQ = (1 << (62 - _ORDINAL_BITS)) - 1
"""The last event that has places."""


class Place(NamedTuple):
    """A row of the database."""

    seq: int
    ordinal: int
    is_rule: bool

    @classmethod
    def of(cls, number: int) -> "Place":
        """Undo :func:`place_of`."""
        return cls(
            number >> (_ORDINAL_BITS + 1), (number >> 1) & ((1 << _ORDINAL_BITS) - 1), bool(number & 1)
        )


def place_of(seq: int, ordinal: int, *, is_rule: bool) -> int:
    """Return the number of a place, below 2⁶³. Requires ordinal < 2²³ and seq < 2³⁹."""
    if not (0 <= ordinal < 1 << _ORDINAL_BITS and 0 <= seq <= MAX_SEQ):
        raise ValueError(f"no place for ordinal {ordinal} of event {seq}")
    return (seq << (_ORDINAL_BITS + 1)) | (ordinal << 1) | is_rule


@dataclass(frozen=True, slots=True)
class RowKeys:
    """By what a row is found; ``packed`` as :func:`registry.fingerprint.pack_windows` gives it."""

    place: int
    rule_key: bytes | None = None
    sha256: bytes | None = None
    packed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and hashes with their places, in the order of the rows.

    ``rule_keys``, ``file_keys: uint64[n, 2]``; ``pdq: uint64[n, 4]`` with ``pdq_radii`` and ``pdq_windows``
    (places in ``REGISTERED_WINDOWS``), ``uint8[n]``; ``phash: uint64[n, 1]``; each with its ``…_places:
    int64[n]``.
    """

    rule_keys: NDArray[np.uint64]
    rule_places: NDArray[np.int64]
    file_keys: NDArray[np.uint64]
    file_places: NDArray[np.int64]
    pdq: NDArray[np.uint64]
    pdq_radii: NDArray[np.uint8]
    pdq_windows: NDArray[np.uint8]
    pdq_places: NDArray[np.int64]
    phash: NDArray[np.uint64]
    phash_places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rule_keys) + len(self.file_keys) + len(self.pdq) + len(self.phash)

    @classmethod
    def of(cls, rows: Iterable[RowKeys]) -> "Entries":
        """Collect what ``rows`` bring."""
        rules: list[tuple[bytes, int]] = []
        files: list[tuple[bytes, int]] = []
        pdq: list[tuple[bytes, int, int, int]] = []
        phash: list[tuple[bytes, int]] = []
        for row in rows:
            if row.rule_key is not None:
                rules.append((row.rule_key, row.place))
            if row.sha256 is not None:
                files.append((row.sha256, row.place))
            if row.packed is not None:
                fingerprint, radii = unpack_windows(row.packed)
                for window, value in fingerprint.pdq.items():
                    pdq.append((value, radii[window], REGISTERED_WINDOWS.index(window), row.place))
                if fingerprint.phash is not None:
                    phash.append((fingerprint.phash, row.place))
        return cls(
            key_words([key for key, _ in rules]),
            _column(rules, 1, np.int64),
            key_words([key for key, _ in files]),
            _column(files, 1, np.int64),
            hash_words([value for value, *_ in pdq]).reshape(-1, 4),
            _column(pdq, 1, np.uint8),
            _column(pdq, 2, np.uint8),
            _column(pdq, 3, np.int64),
            hash_words([value for value, _ in phash]).reshape(-1, 1),
            _column(phash, 1, np.int64),
        )

    def without(self, seqs: NDArray[np.int64]) -> "Entries":
        """Leave out what these events brought; ``seqs`` sorted, ``int64[m]``."""
        if not len(seqs):
            return self
        columns: dict[str, NDArray[Any]] = {}
        for kind in ("rule", "file", "pdq", "phash"):
            places = getattr(self, f"{kind}_places")
            kept = ~np.isin(places >> (_ORDINAL_BITS + 1), seqs)
            for field in fields(self):
                if field.name.startswith(kind):
                    columns[field.name] = getattr(self, field.name)[kept]
        return Entries(**columns)

    @classmethod
    def joined(cls, parts: Sequence["Entries"]) -> "Entries":
        """Put the entries of ``parts`` one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Near:
    """Hashes found: for each, which query, how far (bits), and the place, window and own radius (bits).

    ``cut`` names the queries that had more than the limit.
    """

    query: NDArray[np.int64]
    distance: NDArray[np.uint16]
    place: NDArray[np.int64]
    window: NDArray[np.uint8]
    radius: NDArray[np.uint8]
    cut: NDArray[np.int64]


class FrozenIndex:
    """Entries in tables that never change; ``arrays`` as :meth:`fill` made them.

    Raises ValueError for arrays that do not fit together.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        _check(arrays)
        self.arrays = arrays
        self.rules = KeyTable(*(arrays[f"rules.{name}"] for name in _KEY_ARRAYS))
        self.files = KeyTable(*(arrays[f"files.{name}"] for name in _KEY_ARRAYS))
        self.pdq = HammingTable(*(arrays[f"pdq.{name}"] for name in _HASH_ARRAYS))
        self.phash = HammingTable(*(arrays[f"phash.{name}"] for name in _HASH_ARRAYS))

    def __len__(self) -> int:
        return len(self.rules) + len(self.files) + len(self.pdq) + len(self.phash)

    @staticmethod
    def layout(entries: Entries) -> _Layout:
        """Return name, type and shape of each array that holds ``entries``."""
        pieces = (len(HammingTable.plan(*words.shape)[0]) for words in (entries.pdq, entries.phash))
        counts = (len(entries.rule_keys), len(entries.file_keys), len(entries.pdq), len(entries.phash))
        return _layout(*counts, *pieces)

    @classmethod
    def fill(cls, arrays: Mapping[str, NDArray[Any]], entries: Entries) -> "FrozenIndex":
        """Sort ``entries`` into ``arrays`` of their layout, full of zeros so far."""
        for name, keys, places in (
            ("rules", entries.rule_keys, entries.rule_places),
            ("files", entries.file_keys, entries.file_places),
        ):
            table = KeyTable.build(keys, places)
            for column in _KEY_ARRAYS:
                arrays[f"{name}.{column}"][:] = getattr(table, column)
        arrays["pdq.radii"][:], arrays["pdq.windows"][:] = entries.pdq_radii, entries.pdq_windows
        for name, words, places in (
            ("pdq", entries.pdq, entries.pdq_places),
            ("phash", entries.phash, entries.phash_places),
        ):
            arrays[f"{name}.words"][:], arrays[f"{name}.places"][:] = words, places
            arrays[f"{name}.pieces"][:] = HammingTable.plan(*words.shape)[0]
            HammingTable(*(arrays[f"{name}.{column}"] for column in _HASH_ARRAYS)).fill()
        return cls(arrays)

    def entries(self) -> Entries:
        """Give back what it was made of; the keys in their sorted order."""
        found = self.arrays
        return Entries(
            self.rules.keys,
            self.rules.records,
            self.files.keys,
            self.files.records,
            self.pdq.words,
            found["pdq.radii"],
            found["pdq.windows"],
            found["pdq.places"],
            self.phash.words,
            found["phash.places"],
        )

    def near_pdq(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the windows near to each of ``hashes: uint64[k, 4]``."""
        columns = (self.arrays[f"pdq.{name}"] for name in ("places", "windows", "radii"))
        return _near(self.pdq.query(hashes, radius, limit), *columns)

    def near_phash(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the pHashes near to each of ``hashes: uint64[k, 1]``."""
        matches = self.phash.query(hashes, radius, limit)
        return _near(matches, self.arrays["phash.places"], *_plain(len(self.phash)))


class Index:
    """Frozen indexes, and what was added since; one writer at a time, any number of readers."""

    def __init__(self, frozen: Sequence[FrozenIndex] = ()) -> None:
        self._frozen = tuple(frozen)
        self._rules = KeySet([part.rules for part in frozen])
        self._files = KeySet([part.files for part in frozen])
        self._pdq, self._phash = HammingIndex(4), HammingIndex(1)
        self._pdq_columns = _Columns(np.int64, np.uint8, np.uint8)
        self._phash_columns = _Columns(np.int64)

    def add(self, entries: Entries) -> None:
        """Take in ``entries``; found from here on."""
        self._rules.add(entries.rule_keys, entries.rule_places)
        self._files.add(entries.file_keys, entries.file_places)
        # The columns come first: a search reads them for every hash that it can see.
        self._pdq_columns.append(entries.pdq_places, entries.pdq_windows, entries.pdq_radii)
        self._pdq.add(entries.pdq, entries.pdq_radii)
        self._phash_columns.append(entries.phash_places)
        self._phash.add(entries.phash, np.full(len(entries.phash), PHASH_RADIUS, np.uint8))

    def rules(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the places of the rules and URLs with each of ``keys: uint64[k, 2]``."""
        return self._rules.query(keys)

    def files(self, keys: NDArray[np.uint64]) -> Hits:
        """Return the places of the works with each of ``keys: uint64[k, 2]``, halves of SHA-256."""
        return self._files.query(keys)

    def has_rules(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]`` whether a rule or URL has it, in whatever state."""
        return self._rules.contains(keys)

    def has_files(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each of ``keys: uint64[k, 2]``, halves of SHA-256, whether a work has it."""
        return self._files.contains(keys)

    def between(self, first: bytes, last: bytes, of: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the keys from ``first`` to ``last``, 16 bytes each, and the places that have them.

        ``of`` is ``rule`` or ``sha256``.
        """
        return {"rule": self._rules, "sha256": self._files}[of].between(first, last)

    def near_pdq(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the windows within ``radius`` bits of each of ``hashes: uint64[k, 4]``."""
        parts = [part.near_pdq(hashes, radius, limit) for part in self._frozen]
        parts.append(_near(self._pdq.query(hashes, radius, limit), *self._pdq_columns.arrays))
        return _together(parts)

    def near_phash(self, hashes: NDArray[np.uint64], radius: int, limit: int) -> Near:
        """Return the pHashes within ``radius`` bits of each of ``hashes: uint64[k, 1]``."""
        parts = [part.near_phash(hashes, radius, limit) for part in self._frozen]
        matches = self._phash.query(hashes, radius, limit)
        places = self._phash_columns.arrays[0]
        parts.append(_near(matches, places, *_plain(len(places))))
        return _together(parts)


class _Columns:
    """Columns that grow together; longer arrays replace the old ones, which readers may go on using."""

    def __init__(self, *kinds: Any) -> None:
        self._size = 0
        self.arrays: tuple[NDArray[Any], ...] = tuple(np.empty(0, kind) for kind in kinds)

    def append(self, *columns: NDArray[Any]) -> None:
        end = self._size + len(columns[0])
        if end > len(self.arrays[0]):
            room = max(end, 2 * len(self.arrays[0]), 1024) - self._size
            self.arrays = tuple(
                np.concatenate([old[: self._size], np.zeros(room, old.dtype)]) for old in self.arrays
            )
        for array, column in zip(self.arrays, columns, strict=True):
            array[self._size : end] = column
        self._size = end


def _layout(rules: int, files: int, pdq: int, phash: int, pdq_pieces: int, phash_pieces: int) -> _Layout:
    """Return name, type and shape of the arrays for so many keys and hashes, in so many tables or in none."""
    layout: _Layout = {}
    for name, count in (("rules", rules), ("files", files)):
        layout[f"{name}.keys"] = ("uint64", (count, 2))
        layout[f"{name}.records"] = ("int64", (count,))
        layout[f"{name}.starts"] = ("uint32", (KeyTable.buckets(count) + 1,))
    for name, count, words, pieces in (("pdq", pdq, 4, pdq_pieces), ("phash", phash, 1, phash_pieces)):
        layout[f"{name}.words"] = ("uint64", (count, words))
        layout[f"{name}.pieces"] = ("int64", (pieces, 4))
        layout[f"{name}.starts"] = ("uint32", (HammingTable.buckets_of(count, words) if pieces else 0,))
        layout[f"{name}.ids"] = ("uint32", (pieces, count))
        layout[f"{name}.places"] = ("int64", (count,))
    return layout | {f"pdq.{column}": ("uint8", (pdq,)) for column in ("radii", "windows")}


def _check(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless these are the arrays of as many keys and hashes as they have."""
    names = ("rules.keys", "files.keys", "pdq.words", "phash.words", "pdq.pieces", "phash.pieces")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"no array {missing[0]!r}")
    expected = _layout(*(len(arrays[name]) for name in names))
    found = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    strange = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if strange:
        name = min(strange)
        raise ValueError(f"array {name!r}: expected {expected.get(name)}, got {found.get(name)}")
    for name, words in (("pdq", 4), ("phash", 1)):
        pieces = arrays[f"{name}.pieces"]
        if len(pieces) and not np.array_equal(
            pieces, HammingTable.pieces_of(len(arrays[f"{name}.words"]), words)
        ):
            raise ValueError(f"array {name}.pieces: cut in another way than here")


_KEY_ARRAYS = ("keys", "records", "starts")
_HASH_ARRAYS = ("words", "pieces", "starts", "ids")


def _near(
    matches: Matches, places: NDArray[np.int64], windows: NDArray[np.uint8], radii: NDArray[np.uint8]
) -> Near:
    at = matches.record
    return Near(matches.query, matches.distance, places[at], windows[at], radii[at], matches.cut)


def _plain(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return windows and radii for pHashes: always of the whole, at one radius."""
    return np.broadcast_to(np.uint8(0), count), np.broadcast_to(np.uint8(PHASH_RADIUS), count)


def _together(parts: Sequence[Near]) -> Near:
    return Near(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Near)))


def _column(rows: Sequence[tuple[Any, ...]], at: int, kind: Any) -> NDArray[Any]:
    return np.array([row[at] for row in rows], kind)
