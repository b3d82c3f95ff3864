"""From a partner's list to the block that is stored: the same checks and forms as for single works, in bulk.

In the order: titles; URLs to their canonical text and key; SHA-256; fingerprints, whose plain ones are
dropped but for version and quality, because every flat picture would match them, and whose windows get their
radii. A row that says nothing, or only a plain fingerprint, is refused. Every bad row is named, and one
refuses the whole list.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.arrow import Column, pa
from registry.arrow import compute as pc
from registry.blocks import Block
from registry.calibration import Calibration, radii_of_many
from registry.canonical import canonical_urls
from registry.fingerprint import MIN_BITS, MIN_QUALITY, REGISTERED_WINDOWS, REVIEW_RADIUS, VERSION
from registry.leaf import SALT_BYTES
from registry.listing import Fault, Listing, refusal
from registry.pdq import HASH_BYTES

__all__ = ["MAX_TITLE", "take_in"]

MAX_TITLE = 200
"""Characters of a title."""

_HEAD, _PHASH, _WINDOW = 4, 8, 2 + HASH_BYTES
_SHA256 = 32
_NO_DIGIT = 255
_Flags = NDArray[np.bool_]
_Rows = NDArray[np.uint8]


def _digit_values() -> _Rows:
    values = np.full(256, _NO_DIGIT, np.uint8)
    for digit in "0123456789abcdef":
        values[ord(digit)] = int(digit, 16)
    return values


_DIGITS = _digit_values()


@dataclass(frozen=True, slots=True)
class _Taking:
    """A list under way, and what is wrong with it so far."""

    listing: Listing
    faults: list[Fault]

    def column(self, name: str) -> Column:
        found = self.listing.columns.get(name)
        number = name in ("v", "quality")
        return pa.nulls(self.listing.rows, pa.int64() if number else pa.string()) if found is None else found

    def fault(self, rows: Any, name: str, what: str) -> None:
        """Note a fault of each of ``rows``; ``what`` may show the value as ``{}``."""
        column, shown = self.column(name) if "{}" in what else None, self.listing.shown[name]
        for row in np.asarray(rows).tolist():
            value = "" if column is None else _shown(column[row].as_py())
            self.faults.append(Fault(row, shown, what.format(value)))


@dataclass(frozen=True, slots=True)
class _Prints:
    """The fingerprints of a list; ``given`` which rows have one, ``rich`` which can be told apart.

    ``windows`` are the places in ``REGISTERED_WINDOWS`` that occur, ``hashes: uint8[w, n, 32]`` and ``there:
    bool[w, n]`` one for each.
    """

    given: _Flags
    rich: _Flags
    quality: NDArray[np.int64]
    phash: tuple[_Rows, _Flags]
    windows: list[int]
    hashes: _Rows
    there: _Flags


def take_in(listing: Listing, salts: bytes, calibration: Calibration | None) -> Block:
    """Return the works of ``listing``; ``salts`` are 16 random bytes for each.

    Raises :class:`registry.errors.InputError` that names every row that cannot be taken, up to a few.
    """
    taking = _Taking(listing, [])
    titles = _titles(taking)
    urls, keys = _urls(taking)
    sha256, with_sha256 = _bytes(taking, "sha256", _SHA256)
    prints = _prints(taking)
    silent = ~(_flags(taking.column("url")) | with_sha256 | prints.rich)
    plain = silent & prints.given
    taking.fault(np.flatnonzero(silent & ~plain), "url", "none of url, sha256 and fingerprint is given")
    shown = "fingerprint" if listing.shown["v"] != "v" else "quality"
    for row in np.flatnonzero(plain).tolist():
        taking.faults.append(Fault(row, shown, "too plain to be told apart, and neither url nor sha256"))
    if taking.faults:
        raise refusal(taking.faults)
    return Block.of(
        {
            "title": titles,
            "url": urls,
            "url_key": keys,
            "sha256": _fixed(sha256, with_sha256),
            "packed": _packed(prints, calibration),
            "salt": _fixed(np.frombuffer(salts, np.uint8).reshape(-1, SALT_BYTES)),
        }
    )


def _titles(taking: _Taking) -> Column:
    titles = taking.column("title").fill_null("")
    long = np.flatnonzero(_array(pc.utf8_length(titles)) > MAX_TITLE)
    taking.fault(long, "title", f"longer than {MAX_TITLE} characters")
    nul = np.flatnonzero(_array(pc.match_substring(titles, "\0")))
    taking.fault(nul, "title", "the character U+0000 cannot be stored")
    return titles


def _urls(taking: _Taking) -> tuple[Column, Column]:
    """Return canonical URLs and their keys, null where there is none."""
    column = taking.column("url")
    rows = np.flatnonzero(_flags(column))
    found = canonical_urls(column.drop_null().to_pylist())
    for place, error in found.errors.items():
        taking.faults.append(Fault(int(rows[place]), taking.listing.shown["url"], error.message))
    if len(rows) == taking.listing.rows:
        return pa.array(found.texts, pa.string()), pa.array(found.keys, pa.binary(16))
    texts: list[str | None] = [None] * taking.listing.rows
    keys: list[bytes | None] = [None] * taking.listing.rows
    for row, text, key in zip(rows.tolist(), found.texts, found.keys, strict=True):
        texts[row], keys[row] = text, key
    return pa.array(texts, pa.string()), pa.array(keys, pa.binary(16))


def _bytes(taking: _Taking, name: str, width: int) -> tuple[_Rows, _Flags]:
    """Read hexadecimal digits: ``uint8[n, width]``, zeros where there are none, and which rows have some."""
    column = taking.column(name)
    out, there = np.zeros((len(column), width), np.uint8), _flags(column)
    if not there.any():
        return out, there
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1].astype(np.int64)
    fitting = there & (np.diff(ends) == 2 * width)
    characters = np.frombuffer(data or b"", np.uint8)
    if fitting.all():
        digits = _DIGITS[characters[ends[0] : ends[-1]].reshape(-1, 2 * width)]
    else:
        digits = _DIGITS[characters[ends[:-1][fitting, None] + np.arange(2 * width)]]
    out[fitting] = digits[:, ::2] << 4 | digits[:, 1::2]
    strange = np.flatnonzero(fitting)[(digits == _NO_DIGIT).any(axis=1)]
    wrong = np.concatenate([np.flatnonzero(there & ~fitting), strange])
    taking.fault(wrong, name, f"expected {2 * width} lower-case hex digits, got {{}}")
    return out, there


def _prints(taking: _Taking) -> _Prints:
    version, with_version = _whole(taking, "v")
    quality, with_quality = _whole(taking, "quality")
    phash = _bytes(taking, "phash", _PHASH)
    windows = [
        place
        for place, name in enumerate(REGISTERED_WINDOWS)
        if taking.column(f"pdq_{name}").null_count < taking.listing.rows
    ]
    read = [_bytes(taking, f"pdq_{REGISTERED_WINDOWS[place]}", HASH_BYTES) for place in windows]
    hashes = np.array([rows for rows, _ in read], np.uint8).reshape(-1, taking.listing.rows, HASH_BYTES)
    there = np.array([flags for _, flags in read], bool).reshape(-1, taking.listing.rows)
    given = with_version | with_quality | phash[1] | there.any(axis=0)
    taking.fault(np.flatnonzero(given & ~with_version), "v", f"expected version {VERSION}, got nothing")
    taking.fault(
        np.flatnonzero(with_version & (version != VERSION)), "v", f"expected version {VERSION}, got {{}}"
    )
    taking.fault(np.flatnonzero(given & ~with_quality), "quality", "expected 0 to 100, got nothing")
    taking.fault(
        np.flatnonzero(with_quality & ((quality < 0) | (quality > 100))),
        "quality",
        "expected 0 to 100, got {}",
    )
    bits = np.bitwise_count(hashes.view(np.uint64)).sum(axis=2)
    rich = given & (quality >= MIN_QUALITY) & there.any(axis=0) & ((bits >= MIN_BITS) | ~there).all(axis=0)
    return _Prints(given, rich, quality, phash, windows, hashes, there)


def _whole(taking: _Taking, name: str) -> tuple[NDArray[np.int64], _Flags]:
    column = taking.column(name)
    return _array(column.fill_null(0)), _flags(column)


def _packed(prints: _Prints, calibration: Calibration | None) -> Column:
    """Return the fingerprints as :func:`registry.fingerprint.pack_windows` packs each."""
    there = prints.there & prints.rich
    with_phash = prints.phash[1] & prints.rich
    lengths = prints.given * _HEAD + with_phash * _PHASH + there.sum(axis=0) * _WINDOW
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    data = np.zeros(offsets[-1], np.uint8)
    heads = offsets[:-1][prints.given]
    data[heads], data[heads + 1] = VERSION, prints.quality[prints.given]
    data[heads + 2] = 0 if calibration is None else calibration.id
    data[heads + 3] = with_phash[prints.given]
    data[_spread(offsets[:-1][with_phash] + _HEAD, _PHASH)] = prints.phash[0][with_phash]
    at = offsets[:-1] + _HEAD + with_phash * _PHASH
    radii = _radii(prints, there, calibration)
    for number, window in enumerate(prints.windows):
        rows = there[number]
        data[at[rows]], data[at[rows] + 1] = window, radii[number][rows]
        data[_spread(at[rows] + 2, HASH_BYTES)] = prints.hashes[number][rows]
        at = at + rows * _WINDOW
    buffers = [_bitmap(prints.given), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)


def _radii(prints: _Prints, there: _Flags, calibration: Calibration | None) -> _Rows:
    """Return the radius of each window that is there, ``uint8[w, n]``."""
    radii = np.full(there.shape, REVIEW_RADIUS, np.uint8)
    if calibration is not None and there.any():
        works, windows = np.nonzero(there.T)
        words = prints.hashes[windows, works].view(">u8").astype(np.uint64)
        radii[windows, works] = radii_of_many(words, works, calibration)
    return radii


def _spread(starts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return starts[:, None] + np.arange(width)


def _fixed(rows: _Rows, given: _Flags | None = None) -> Column:
    """Return rows of bytes as values of fixed width, null where they are not given."""
    bitmap = None if given is None else _bitmap(given)
    data = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [bitmap, data])


def _bitmap(flags: _Flags) -> Any:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _flags(column: Column) -> _Flags:
    """Say of each row whether it has a value."""
    flags: _Flags = _array(column.is_valid()).astype(bool)
    return flags


def _array(column: Column) -> NDArray[Any]:
    found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
