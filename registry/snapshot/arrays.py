"""Arrays in a file that never changes, mapped into memory: the form of a snapshot's own files.

Little-endian: ``CAVEATSN``, format version and header length (``uint32`` each), the header (canonical JSON:
the kind of the file, and name, type and shape of each array), then the arrays, each at a multiple of 64
bytes. Nothing else stands in it: of the same arrays the same bytes are made. There is no checksum: the
manifest has the SHA-256 of the whole.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray

from registry.errors import InputError, SnapshotError
from registry.jsontext import strict_json

__all__ = ["KINDS", "array_chunks", "open_arrays", "rows_of"]

KINDS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "filter": {"size": ("uint64", 1), "bits": ("uint8", 1)},
    "rules": {"keys": ("uint64", 2), "refs": ("int64", 1)},
    "files": {"keys": ("uint64", 2), "refs": ("int64", 1)},
    "pdq": {"words": ("uint64", 2), "radii": ("uint8", 1), "windows": ("uint8", 1), "refs": ("int64", 1)},
    "phash": {"words": ("uint64", 2), "refs": ("int64", 1)},
    "records": {"refs": ("int64", 1), "ends": ("int64", 1), "text": ("uint8", 1)},
}
"""Kind of file → its arrays, each with type and number of dimensions."""

_MAGIC = b"CAVEATSN"
_VERSION = 1
_ALIGNED = 64
_LARGEST_HEADER = 10_000

_Arrays = Mapping[str, NDArray[Any]]


def array_chunks(kind: str, arrays: _Arrays) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file of ``kind``. Requires the arrays of that kind."""
    layout = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    if [(name, dtype, len(shape)) for name, dtype, shape in layout] != _expected(kind):
        raise ValueError(f"not the arrays of {kind!r}: {layout}")
    header = _header(kind, layout)
    yield header
    written = len(header)
    for array in arrays.values():
        yield bytes(-written % _ALIGNED)
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        yield little.reshape(-1).view(np.uint8).data
        written += -written % _ALIGNED + little.nbytes


def open_arrays(path: Path, kind: str) -> dict[str, NDArray[Any]]:
    """Map a file of ``kind``; its arrays are read-only.

    Raises :class:`SnapshotError` when it is missing, cut off, or not what :func:`array_chunks` makes.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path.name}: cannot be opened: {error}") from error
    layout, at = _read_header(mapped, kind, path.name)
    arrays = {}
    for name, dtype, shape in layout:
        at += -at % _ALIGNED
        count = int(np.prod(shape, dtype=object))
        end = at + count * np.dtype(dtype).itemsize
        if end > len(mapped):
            raise SnapshotError(f"{path.name}: cut off: {len(mapped)} bytes, expected {end} or more")
        little = np.dtype(dtype).newbyteorder("<")
        arrays[name] = np.frombuffer(mapped, little, count, at).reshape(shape)
        at = end
    if at != len(mapped):
        raise SnapshotError(f"{path.name}: {len(mapped)} bytes, expected {at}")
    return arrays


def rows_of(kind: str, arrays: _Arrays) -> int:
    """Return how many keys, hashes or records a file holds."""
    return int(arrays["size"][0]) if kind == "filter" else len(next(iter(arrays.values())))


def _expected(kind: str) -> list[tuple[str, str, int]]:
    return [(name, dtype, dimensions) for name, (dtype, dimensions) in KINDS[kind].items()]


def _header(kind: str, layout: Any) -> bytes:
    text = rfc8785.dumps({"arrays": layout, "kind": kind})
    return _MAGIC + _VERSION.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text


def _read_header(mapped: mmap.mmap, kind: str, name: str) -> tuple[list[Any], int]:
    if mapped[:8] != _MAGIC:
        raise SnapshotError(f"{name}: not a file of a snapshot")
    version, length = (int.from_bytes(mapped[at : at + 4], "little") for at in (8, 12))
    if version != _VERSION or length > _LARGEST_HEADER:
        raise SnapshotError(f"{name}: of format {version}; this release reads {_VERSION}")
    try:
        layout = strict_json(mapped[16 : 16 + length])["arrays"]
        shapes = [(array, dtype, len(shape)) for array, dtype, shape in layout]
        sizes = [size for _, _, shape in layout for size in shape]
        sound = shapes == _expected(kind) and all(type(size) is int and size >= 0 for size in sizes)
        # What its own contents do not lead to again was not written here.
        sound = sound and _header(kind, layout) == mapped[: 16 + length]
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"{name}: its header cannot be read") from error
    if not sound:
        raise SnapshotError(f"{name}: not a file of {kind}")
    return layout, 16 + length
