"""The header of a safetensors file: read strictly, and its metadata edited while its tensors stay.

A file is the length of its header (8 bytes, little-endian), the header (JSON, filled up with spaces), and the
bytes of the tensors. The header names each tensor with its type, its shape and where its bytes lie, counted
from the end of the header; ``__metadata__`` maps text to text, and is what makers and platforms write into.

Refused is what the format forbids, also where readers let it pass: a header of more than 100 MB, members that
stand twice, tensors that overlap, leave a hole or are of another size than their shape, and a file that is
shorter or longer than its header says. What is accepted can be written again.

Two hashes name a model. That of the whole file changes with the header; its first ten digits are Civitai's
AutoV2. That of everything after the header, the *tensor hash*, does not: it is ``modelspec.hash_sha256`` and
kohya's ``sshs_model_hash``, and its first twelve digits are AutoV3.

Source: the safetensors format as its repository describes it; ModelSpec 1.0.1; kohya's scripts.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.errors import InputError, ModelError
from registry.jsontext import strict_json

__all__ = [
    "LENGTH_BYTES",
    "MAX_HEADER_BYTES",
    "METADATA",
    "Header",
    "Tensor",
    "auto_v2",
    "auto_v3",
    "header_size",
    "parse_header",
    "require_complete",
    "tensor_hash",
    "with_metadata",
]

LENGTH_BYTES = 8
"""Bytes before the header, which tell how long it is."""

MAX_HEADER_BYTES = 100_000_000
"""The longest header that the format permits, in bytes, without the eight before it."""

METADATA = "__metadata__"
"""The member of the header that is no tensor."""

_ALIGNED = 8
_LARGEST = 2**63 - 1
_MOST_SIDES = 64
_TENSOR = {"dtype", "shape", "data_offsets"}
_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_HINT = "Take the file as its trainer wrote it, and load it once to see that it is whole."


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its type, its shape, and its bytes ``begin <= i < end``, counted from the header's end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: ``metadata`` text to text, None where there is none; ``tensors`` by name.

    ``size`` is that of the header and the eight bytes before it, ``data_size`` that of all tensors, in bytes.
    """

    metadata: Mapping[str, str] | None
    tensors: Mapping[str, Tensor]
    size: int
    data_size: int


def header_size(beginning: bytes) -> int:
    """Return how long the header is, the eight bytes before it included, by these eight.

    Raises :class:`ModelError` when there are fewer of them, or it is empty or longer than 100 MB.
    """
    if len(beginning) < LENGTH_BYTES:
        raise ModelError(f"{len(beginning)} bytes: too short for a safetensors file", hint=_HINT)
    length = int.from_bytes(beginning[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ModelError(
            f"the header announces {length:,} bytes; the format permits {MAX_HEADER_BYTES:,}", hint=_HINT
        )
    if length < 2:
        raise ModelError(f"the header announces {length} bytes, which hold no JSON object", hint=_HINT)
    return LENGTH_BYTES + length


def parse_header(data: bytes) -> Header:
    """Read a header, the eight bytes before it included; bytes after it are not looked at.

    Raises :class:`ModelError`, which says what is wrong with which tensor.
    """
    size = header_size(data)
    if len(data) < size:
        raise ModelError(f"the header announces {size:,} bytes, and {len(data):,} are there", hint=_HINT)
    whole = _object(data[LENGTH_BYTES:size])
    metadata = whole.pop(METADATA, None)
    tensors = {name: _tensor(name, one) for name, one in whole.items()}
    return Header(_texts(metadata), tensors, size, _end_of(tensors))


def require_complete(header: Header, file_size: int) -> None:
    """Raise :class:`ModelError` unless a file of this size (bytes) is what its header says, to the byte."""
    expected = header.size + header.data_size
    if file_size == expected:
        return
    what = "cut off, or still being written" if file_size < expected else "something is appended to it"
    raise ModelError(
        f"the file has {file_size:,} bytes, and its header describes {expected:,}: {what}", hint=_HINT
    )


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the header in ``data`` with other metadata, filled up to a multiple of eight bytes.

    The tensors keep names, order and places. Raises as :func:`parse_header`, and :class:`ModelError` for
    metadata that is not text or makes the header too long.
    """
    before = parse_header(data)
    whole = strict_json(data[LENGTH_BYTES : before.size])
    tensors = {name: one for name, one in whole.items() if name != METADATA}
    text = json.dumps({METADATA: _texts(metadata), **tensors}, ensure_ascii=False, separators=(",", ":"))
    written = text.encode()
    written += b" " * (-len(written) % _ALIGNED)
    if len(written) > MAX_HEADER_BYTES:
        raise ModelError(
            f"the header would have {len(written):,} bytes; the format permits {MAX_HEADER_BYTES:,}",
            hint="Take something out of its metadata.",
        )
    return len(written).to_bytes(LENGTH_BYTES, "little") + written


def tensor_hash(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256 of everything after the header, hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def auto_v2(file_sha256: str) -> str:
    """Return Civitai's AutoV2 of a file: ten digits of its SHA-256, which the header is part of."""
    return file_sha256[:10].upper()


def auto_v3(tensors_sha256: str) -> str:
    """Return Civitai's AutoV3 of a model: twelve digits of its tensor hash."""
    return tensors_sha256[:12].upper()


def _object(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise ModelError(f"the header begins with {text[:12]!r}, not with {{", hint=_HINT)
    try:
        whole = strict_json(text.rstrip(b" "))
    except InputError as error:
        raise ModelError(f"the header is no JSON as it is read here: {error.message}", hint=_HINT) from error
    if not isinstance(whole, dict):
        raise ModelError("the header is no JSON object", hint=_HINT)
    return whole


def _texts(metadata: object) -> dict[str, str] | None:
    """Return metadata, every key and value of which is text that UTF-8 can hold."""
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise ModelError(f"{METADATA} is {type(metadata).__name__}, not a JSON object", hint=_HINT)
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ModelError(
                f"{METADATA}.{key[:80]} is {type(value).__name__}; metadata map text to text", hint=_HINT
            )
        _require_text(key, f"a name in {METADATA}")
        _require_text(value, f"{METADATA}.{key[:80]}")
    return dict(metadata)


def _require_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{where}: half of a surrogate pair", hint=_HINT) from error


def _tensor(name: str, wire: object) -> Tensor:
    where = f"the tensor {name[:80]!r}"
    _require_text(name, "the name of a tensor")
    if not isinstance(wire, Mapping) or set(wire) != _TENSOR:
        raise ModelError(f"{where} has not dtype, shape and data_offsets alone", hint=_HINT)
    dtype, shape, offsets = wire["dtype"], wire["shape"], wire["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ModelError(f"{where} is of a type that is not read here: {repr(dtype)[:40]}", hint=_HINT)
    if not _are_counts(shape) or len(shape) > _MOST_SIDES:
        raise ModelError(
            f"{where} has the shape {repr(shape)[:80]}; expected at most {_MOST_SIDES} whole numbers",
            hint=_HINT,
        )
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ModelError(
            f"{where} lies at {repr(offsets)[:80]}; expected a beginning, and an end not before it",
            hint=_HINT,
        )
    bits = math.prod(shape) * _BITS[dtype]
    if bits != 8 * (offsets[1] - offsets[0]):
        raise ModelError(
            f"{where} has {offsets[1] - offsets[0]:,} bytes; {dtype} of the shape {repr(shape)[:80]} "
            f"has {-(-bits // 8):,}",
            hint=_HINT,
        )
    return Tensor(dtype, tuple(shape), *offsets)


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(one) is int and 0 <= one <= _LARGEST for one in values)


def _end_of(tensors: Mapping[str, Tensor]) -> int:
    """Return where the last tensor ends; every byte before that belongs to one tensor, and no more."""
    end = 0
    for name, one in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if one.begin != end:
            what = "leaves a hole before it" if one.begin > end else "overlaps another"
            raise ModelError(
                f"the tensor {name[:80]!r} {what}: it begins at {one.begin:,}, expected {end:,}", hint=_HINT
            )
        end = one.end
    return end
