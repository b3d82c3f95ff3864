"""Blocks: some thousand works of an import in one piece, as they are stored.

A block is an Arrow IPC stream of one record batch, uncompressed, with the columns of a work's row and the
salt of each work::

    sha256   32 bytes, zeros where ``has_sha256`` says that there is none
    title    text
    has_sha256, url, url_key (16 bytes), packed (as pack_windows gives it), salt (16 bytes)

The two columns that a look-up needs come first: so where they lie in the stream follows from the number of
works, and one work can be read from the database in two small pieces (:class:`Layout`).

The commitment to a work is that of its row, :func:`registry.leaf.commit` under the work's own salt; a part's
leaf commits to all of them by their RFC 6962 root. So one work can be shown to be in the log, and withdrawn,
alone.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.arrow import Column, pa
from registry.errors import InputError
from registry.index import Entries, place_of
from registry.leaf import SALT_BYTES
from registry.merkle import EMPTY_ROOT, inclusion_proof, leaf_hash, root_of
from registry.pdq import HASH_BYTES

__all__ = ["HEAD_BYTES", "ROW_COLUMNS", "Block", "Layout"]

HEAD_BYTES = 2048
"""Bytes at the beginning of a block that say where its columns lie."""
ROW_COLUMNS = ("title", "url", "url_key", "sha256", "packed")
"""What a work's commitment is made of, beside its salt."""

_SHA256_BYTES, _KEY_BYTES = 32, 16
_HEAD, _PHASH, _WINDOW = 4, 8, 2 + HASH_BYTES
"""Bytes of a packed fingerprint: before pHash and windows, the pHash, each window."""
_CONTINUES = b"\xff\xff\xff\xff"
_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.binary(_SHA256_BYTES), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("has_sha256", pa.bool_(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("url_key", pa.binary(_KEY_BYTES)),
        pa.field("packed", pa.binary()),
        pa.field("salt", pa.binary(SALT_BYTES), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a work's SHA-256 and title lie in a block of ``works`` works whose columns begin at ``begin``."""

    works: int
    begin: int

    @classmethod
    def of(cls, head: bytes, works: int) -> "Layout":
        """Read it from the first ``HEAD_BYTES`` of a block. Raises :class:`InputError` if it is none."""
        at = 0
        for _ in range(2):  # the schema's message, and that of the batch
            if head[at : at + 4] != _CONTINUES or len(head) < at + 8:
                raise InputError("not a block of works")
            at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
        return cls(works, at)

    def sha256(self, ordinal: int) -> tuple[int, int]:
        """Return place and length of the SHA-256 of a work."""
        return self.begin + _SHA256_BYTES * ordinal, _SHA256_BYTES

    def title_ends(self, ordinal: int) -> tuple[int, int]:
        """Return place and length of two numbers, ``<i4`` each: where the title of a work begins and ends."""
        return self.begin + _SHA256_BYTES * self.works + 4 * ordinal, 8

    def title(self, ends: bytes) -> tuple[int, int]:
        """Return place and length of the title whose :meth:`title_ends` are ``ends``."""
        first, last = (int.from_bytes(ends[at : at + 4], "little") for at in (0, 4))
        titles = self.begin + _SHA256_BYTES * self.works + -(-4 * (self.works + 1) // 8) * 8
        return titles + first, last - first


@dataclass(frozen=True)
class Block:
    """Works in one piece; ``batch`` is the Arrow record batch."""

    batch: Any

    @classmethod
    def of(cls, columns: Mapping[str, Column]) -> "Block":
        """Put works together from arrays by name: title, url, url_key, sha256 (nullable), packed, salt."""
        hashes = columns["sha256"]
        given = {**columns, "sha256": hashes.fill_null(bytes(_SHA256_BYTES)), "has_sha256": hashes.is_valid()}
        return cls(pa.record_batch([given[field.name].cast(field.type) for field in _SCHEMA], schema=_SCHEMA))

    @classmethod
    def load(cls, data: bytes) -> "Block":
        """Undo :meth:`dump`. Raises :class:`InputError` for anything else."""
        try:
            with pa.ipc.open_stream(data) as reader:
                if reader.schema != _SCHEMA:
                    raise InputError("not a block of works: it has other columns")
                (batch,) = reader
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(f"not a block of works: {error}") from error
        return cls(batch)

    def dump(self) -> bytes:
        """Return the bytes that are stored."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, _SCHEMA) as writer:
            writer.write_batch(self.batch)
        data: bytes = sink.getvalue().to_pybytes()
        self._require_layout(data)
        return data

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def row(self, ordinal: int) -> dict[str, Any]:
        """Return the columns of one work that its commitment is made of."""
        row = self.batch.slice(ordinal, 1).to_pylist()[0]
        return {name: row[name] for name in ROW_COLUMNS} | ({} if row["has_sha256"] else {"sha256": None})

    def salt(self, ordinal: int) -> bytes:
        """Return the salt of one work, 16 bytes."""
        salt: bytes = self.batch.column("salt")[ordinal].as_py()
        return salt

    @cached_property
    def commitments(self) -> list[bytes]:
        """The commitment to each work, 32 bytes, as :func:`registry.leaf.commit` makes it."""
        sha256 = hashlib.sha256
        return [
            sha256(outer + sha256(inner + text.encode()).digest()).digest()
            for inner, outer, text in zip(*self._keys(), self._texts(), strict=True)
        ]

    @cached_property
    def root(self) -> bytes:
        """The RFC 6962 root over the commitments: what the leaf of the part commits to."""
        sha256 = hashlib.sha256
        hashes = [sha256(b"\x00" + one).digest() for one in self.commitments]
        while len(hashes) > 1:
            # One without a neighbour moves up as it is: so the tree is split as RFC 6962 splits it.
            last = hashes[len(hashes) & ~1 :]
            pairs = zip(hashes[::2], hashes[1::2], strict=False)
            hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + last
        return hashes[0] if hashes else EMPTY_ROOT

    def proof(self, ordinal: int) -> list[bytes]:
        """Return the audit path from the commitment to a work to :attr:`root`.

        Raises :class:`registry.errors.ProofError` when there is no such work.
        """
        return inclusion_proof(_Hashes(self.commitments), ordinal, len(self))

    @property
    def exact_only(self) -> list[int]:
        """The places of the works that have a fingerprint too plain to be found by likeness."""
        return np.flatnonzero(self._packed()[2] == _HEAD).tolist()

    def entries(self, seq: int) -> Entries:
        """Return what the index holds of these works, as event ``seq`` brought them."""
        places = place_of(seq, 0, is_rule=False) + 2 * np.arange(len(self), dtype=np.int64)
        urls, files = (
            self.batch.column("url_key"),
            np.asarray(self.batch.column("has_sha256").to_numpy(zero_copy_only=False), bool),
        )
        with_url = np.asarray(urls.is_valid().to_numpy(zero_copy_only=False), bool)
        hashes = _fixed(self.batch.column("sha256"), _SHA256_BYTES)[files, :_KEY_BYTES]
        pdq, phash = self._windows(places)
        return Entries(
            _words(_fixed(urls, _KEY_BYTES)[with_url], 2),
            places[with_url],
            _words(hashes, 2),
            places[files],
            *pdq,
            *phash,
        )

    def _windows(self, places: NDArray[np.int64]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Take the packed fingerprints apart: they have few lengths, and those of one are alike."""
        data, starts, lengths = self._packed()
        windows: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
        hashes: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
        for length in np.unique(lengths[lengths > _HEAD]).tolist():
            rows = np.flatnonzero(lengths == length)
            packed = data[starts[rows, None] + np.arange(length)]
            # A pHash makes the length; without one the rest divides by that of a window.
            begin = _HEAD + (0 if (length - _HEAD) % _WINDOW == 0 else _PHASH)
            if begin > _HEAD:
                hashes.append((packed[:, _HEAD:begin], places[rows]))
            each = packed[:, begin:].reshape(-1, _WINDOW)
            windows.append((each, np.repeat(places[rows], (length - begin) // _WINDOW)))
        each, of_windows = _joined(windows, _WINDOW)
        whole, of_hashes = _joined(hashes, _PHASH)
        return (
            (_words(each[:, 2:], 4), each[:, 1].copy(), each[:, 0].copy(), of_windows),
            (_words(whole, 1), of_hashes),
        )

    def _packed(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Return the bytes of all packed fingerprints, where each begins, and its length: 0 without one."""
        column = self.batch.column("packed")
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        bytes_ = np.frombuffer(data or b"", np.uint8)
        return bytes_, ends[:-1].astype(np.int64), np.diff(ends).astype(np.int64)

    def _keys(self) -> tuple[list[bytes], list[bytes]]:
        """Return the two paddings of HMAC under each salt (RFC 2104), 64 bytes each."""
        salts = np.zeros((len(self), 64), np.uint8)
        salts[:, :SALT_BYTES] = _fixed(self.batch.column("salt"), SALT_BYTES)
        inner, outer = (np.bitwise_xor(salts, pad).tobytes() for pad in (np.uint8(0x36), np.uint8(0x5C)))
        return _cut(inner, 64), _cut(outer, 64)

    def _texts(self) -> list[str]:
        """Return each row in canonical JSON (RFC 8785): members in order, bytes as digits, text escaped."""
        data, starts, lengths = self._packed()
        digits = data.tobytes().hex()
        columns = (
            [
                f'"{digits[2 * at : 2 * (at + size)]}"' if size else "null"
                for at, size in zip(starts.tolist(), lengths.tolist(), strict=True)
            ],
            self._digits("sha256", _SHA256_BYTES, self.batch.column("has_sha256")),
            _escaped(self.batch.column("title")),
            _escaped(self.batch.column("url")),
            self._digits("url_key", _KEY_BYTES, self.batch.column("url_key").is_valid()),
        )
        return [
            f'{{"packed":{packed},"sha256":{sha256},"title":{title},"url":{url},"url_key":{key}}}'
            for packed, sha256, title, url, key in zip(*columns, strict=True)
        ]

    def _digits(self, name: str, width: int, given: Column) -> list[str]:
        digits = _fixed(self.batch.column(name), width).tobytes().hex()
        each = [f'"{digits[at : at + 2 * width]}"' for at in range(0, len(digits), 2 * width)]
        return (
            each
            if given.true_count == len(each)
            else [one if there else "null" for one, there in zip(each, given.to_pylist(), strict=True)]
        )

    def _require_layout(self, data: bytes) -> None:
        """Raise :class:`InputError` unless the last work can be read where :class:`Layout` says it is."""
        if not len(self):
            return
        last, layout = len(self) - 1, Layout.of(data[:HEAD_BYTES], len(self))
        at, size = layout.title(_slice(data, *layout.title_ends(last)))
        title = data[at : at + size].decode(errors="replace")
        found = (_slice(data, *layout.sha256(last)), title)
        if found != tuple(self.batch.column(name)[last].as_py() for name in ("sha256", "title")):
            raise InputError("this version of Arrow lays out a block in another way")


class _Hashes:
    """The hashes over leaves in memory, for the proofs of one block."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = [leaf_hash(one) for one in leaves]

    def read(self, level: int, index: int) -> bytes:
        """Return the hash over the 2^level leaves from ``index`` · 2^level on."""
        return root_of(self._leaves[index << level : (index + 1) << level])


def _slice(data: bytes, at: int, size: int) -> bytes:
    return data[at : at + size]


def _cut(data: bytes, width: int) -> list[bytes]:
    return [data[at : at + width] for at in range(0, len(data), width)]


def _fixed(column: Column, width: int) -> NDArray[np.uint8]:
    """Return the values of a column of fixed width, ``uint8[n, width]``."""
    data = np.frombuffer(column.buffers()[1] or b"", np.uint8)
    return data[width * column.offset : width * (column.offset + len(column))].reshape(-1, width)


def _words(rows: NDArray[np.uint8], count: int) -> NDArray[np.uint64]:
    """Return rows of bytes as big-endian words, ``uint64[n, count]``."""
    return np.ascontiguousarray(rows).view(">u8").astype(np.uint64).reshape(-1, count)


def _joined(
    parts: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]], width: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Join rows and their places, in the order of the places."""
    rows = np.concatenate([np.empty((0, width), np.uint8), *(part for part, _ in parts)])
    places = np.concatenate([np.empty(0, np.int64), *(part for _, part in parts)])
    order = np.argsort(places, kind="stable")
    return rows[order], places[order]


def _escaped(column: Column) -> list[str]:
    """Return texts as JSON writes them; where none has anything to escape, they are only put in quotes."""
    texts = column.to_pylist()
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    if ((data < 0x20) | (data == 0x22) | (data == 0x5C)).any():
        return [json.dumps(text, ensure_ascii=False) for text in texts]
    return ["null" if text is None else f'"{text}"' for text in texts]
