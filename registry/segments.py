"""Index files: arrays in a file that never changes, mapped into memory and checked.

A segment is written under a temporary name, synced, and renamed into place, so that it is whole or absent.
Space is claimed before anything is written: a full disk is an error at the beginning, not a crash in the
middle. Readers map it read-only; the processes of one machine share its pages.

Layout, little-endian: ``CAVEATSG``, format version and header length (``uint32`` each), the header (JSON:
what the segment holds, and name, type, shape and place of each array), its CRC-32; then the arrays, each on a
page of its own; at the end the XXH3 (64 bits) of every block of 1 MiB of all that lies before.

Opening checks header and length, and by default every block: an array with one bit turned could hide a match.
A bit can turn after that too, so each block can be checked again as it is mapped. The checksums find damage,
not forgery.
"""

import json
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from registry.disk import disk_errors, sync_folder
from registry.errors import SegmentError

__all__ = ["FORMAT", "Segment", "open_segment", "write_segment"]

FORMAT = 1
_MAGIC = b"CAVEATSG"
_PAGE = 4096
_CHECKED = 1 << 20
_AT_ONCE = 64 * _CHECKED
_SUM = 8
"""Bytes of a checksum."""
_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int64")
_REBUILD = "It is refused; the index is rebuilt from the database."

_Layout = Mapping[str, tuple[str, tuple[int, ...]]]
_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Segment:
    """An open segment: what it says of itself, and its arrays, read-only, which are views of ``mapped``."""

    path: Path
    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    mapped: mmap.mmap = field(repr=False)
    size: int
    """Bytes before the checksums."""

    @property
    def blocks(self) -> int:
        """How many blocks have a checksum."""
        return -(-self.size // _CHECKED)

    def check(self, number: int) -> None:
        """Read block ``number`` again, as whoever searches the arrays sees it.

        Raises :class:`SegmentError` when it does not have its checksum any more.
        """
        begin, stored = number * _CHECKED, self.size + number * _SUM
        with memoryview(self.mapped) as whole, whole[begin : min(begin + _CHECKED, self.size)] as block:
            found = xxh3_64_intdigest(block)
        if found != int.from_bytes(self.mapped[stored : stored + _SUM], "little"):
            raise SegmentError(
                f"{self.path.name}: damaged since it was opened: block {number} of {self.blocks} does not"
                " have its checksum",
                hint=_REBUILD,
            )


@contextmanager
def write_segment(path: Path, meta: Mapping[str, Any], layout: _Layout) -> Iterator[_Arrays]:
    """Make the segment ``path``: yields its arrays, full of zeros, to be filled before the block ends.

    ``layout`` maps each array's name to its type (``uint8`` … ``int64``) and shape. Raises
    :class:`StorageFullError` when there is no room for it, :class:`StorageError` when it cannot be written;
    nothing is left behind then.
    """
    header, places, size = _header(meta, layout)
    whole = size + _SUM * -(-size // _CHECKED)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(f"the index file {path} of {whole / 1e6:,.0f} MB"):
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        with disk_errors(f"the index file {path} of {whole / 1e6:,.0f} MB"):
            os.posix_fallocate(descriptor, 0, whole)
            # Closed when the last array on it is gone: whoever filled them may still hold one.
            mapped = mmap.mmap(descriptor, whole)
        mapped[: len(header)] = header
        yield _arrays(mapped, layout, places)
        mapped[size:] = _block_sums(descriptor, size)
        with disk_errors(f"the index file {path}"):
            mapped.flush()
            os.fsync(descriptor)
            os.replace(temporary, path)
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def open_segment(path: Path, *, check: bool = True) -> Segment:
    """Map the segment ``path``; ``check`` reads all of it once.

    Raises :class:`SegmentError` when it is missing, of another format, cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            meta, layout = _read_header(mapped)
            _, places, size = _header(meta, layout)
            if len(mapped) != size + _SUM * -(-size // _CHECKED):
                raise SegmentError(f"cut off: {len(mapped)} bytes, and the header speaks of {size}")
            if check:
                _check_blocks(mapped[size:], _block_sums(file.fileno(), size))
            arrays = _arrays(mapped, layout, places)
    except SegmentError as error:
        raise SegmentError(f"{path.name}: {error.message}", hint=_REBUILD) from error
    except (OSError, ValueError) as error:
        raise SegmentError(f"{path.name}: cannot be opened: {error}", hint=_REBUILD) from error
    for array in arrays.values():
        array.flags.writeable = False
    return Segment(path, meta, arrays, mapped, size)


def _header(meta: Mapping[str, Any], layout: _Layout) -> tuple[bytes, dict[str, int], int]:
    """Return the header's bytes, where each array begins, and where the last one ends."""
    # The places stand in the header, and its length decides them: room is left for the longest numbers.
    longest = {name: 2**63 for name in layout}
    begin = _rounded(len(_packed(meta, layout, longest, 2**63)))
    places = {}
    for name, (kind, shape) in layout.items():
        if kind not in _DTYPES or any(length < 0 for length in shape):
            raise SegmentError(f"array {name!r} of {kind}{list(shape)}")
        places[name] = begin
        begin = _rounded(begin + np.dtype(kind).itemsize * int(np.prod(shape, dtype=object)))
    return _packed(meta, layout, places, begin), places, begin


def _packed(meta: Mapping[str, Any], layout: _Layout, places: Mapping[str, int], size: int) -> bytes:
    arrays = [[name, kind, list(shape), places[name]] for name, (kind, shape) in layout.items()]
    text = json.dumps({"arrays": arrays, "meta": dict(meta), "size": size}, sort_keys=True).encode()
    numbers = FORMAT.to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return _MAGIC + numbers + text + zlib.crc32(numbers + text).to_bytes(4, "little")


def _read_header(mapped: mmap.mmap) -> tuple[dict[str, Any], _Layout]:
    if mapped[:8] != _MAGIC:
        raise SegmentError("not a segment")
    version, length = (int.from_bytes(mapped[at : at + 4], "little") for at in (8, 12))
    if version != FORMAT:
        raise SegmentError(f"of format {version}; this release reads {FORMAT}")
    end = 16 + length
    if zlib.crc32(mapped[8:end]) != int.from_bytes(mapped[end : end + 4], "little"):
        raise SegmentError("the header is damaged")
    try:
        header = json.loads(mapped[16:end])
        meta: dict[str, Any] = header["meta"]
        layout = {name: (kind, tuple(shape)) for name, kind, shape, _ in header["arrays"]}
        # What its own contents do not lead to again was not written here.
        ours = _header(meta, layout)[0] == mapped[: end + 4]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SegmentError("the header cannot be read") from error
    if not ours:
        raise SegmentError("the header contradicts itself")
    return meta, layout


def _arrays(mapped: mmap.mmap, layout: _Layout, places: Mapping[str, int]) -> _Arrays:
    found = {}
    for name, (kind, shape) in layout.items():
        dtype, count = np.dtype(kind).newbyteorder("<"), int(np.prod(shape, dtype=np.int64))
        found[name] = np.frombuffer(mapped, dtype, count, places[name]).reshape(shape)
    return found


def _check_blocks(stored: bytes, found: bytes) -> None:
    damaged = int((np.frombuffer(stored, "<u8") != np.frombuffer(found, "<u8")).sum())
    if damaged:
        raise SegmentError(f"damaged: {damaged} of {len(found) // _SUM} blocks do not have their checksum")


def _block_sums(descriptor: int, size: int) -> bytes:
    """Return the checksums of the first ``size`` bytes of a file, one after the other, on every core.

    Read, not mapped: that would cost a page fault each 16 pages.
    """

    def sums(begin: int) -> bytes:
        room, found = bytearray(_CHECKED), []
        for at in range(begin, min(begin + _AT_ONCE, size), _CHECKED):
            block = memoryview(room)[: min(_CHECKED, size - at)]
            if os.preadv(descriptor, [block], at) != len(block):
                raise SegmentError("cut off while it was read")
            found.append(xxh3_64_intdigest(block).to_bytes(_SUM, "little"))
        return b"".join(found)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return b"".join(pool.map(sums, range(0, size, _AT_ONCE)))


def _rounded(place: int) -> int:
    return -(-place // _PAGE) * _PAGE
