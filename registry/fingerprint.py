"""The fingerprint of a picture: what is registered of it, and what is asked about it.

Registered are the PDQ hashes of up to five windows: the whole (``full``), the whole without a plain border
(``trim``), and three squares along the longer side (``start``, ``middle``, ``end``), because cropping to a
square is what training sets do most. Windows with equal hashes are folded into the first of them. A picture
with transparency is registered laid on white and again on black (``full_black`` …).

Asked are four forms: ``full``, ``mirror``, ``trim``, ``trim_mirror``.

A window too plain to tell pictures apart (PDQ quality below ``MIN_QUALITY``, or fewer than ``MIN_BITS`` set
bits) is not registered; a work whose whole is too plain has no perceptual hash and is found by SHA-256 alone.
A paler copy of a good picture can be plain: it is asked about, and what it matches asks for a review at most.

pHash-64 (imagehash) rides along as an interchange value for those who hold it already; it never decides.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry import fast
from registry.errors import InvalidFingerprintError
from registry.pdq import HASH_BYTES, PdqHash, luma_of, pdq
from registry.picture import Picture

__all__ = [
    "MIN_BITS",
    "MIN_QUALITY",
    "PHASH_RADIUS",
    "QUERY_FORMS",
    "REGISTERED_WINDOWS",
    "REVIEW_RADIUS",
    "STRICT_RADIUS",
    "VERSION",
    "Fingerprint",
    "has_bits",
    "hash_words",
    "is_distinctive",
    "pack_windows",
    "parse_fingerprint",
    "query_fingerprint",
    "registered_fingerprint",
    "sha256_from_hex",
    "trim_box",
    "unpack_windows",
]

VERSION = 1
MIN_QUALITY = 50
MIN_BITS = 112
STRICT_RADIUS = 31
"""Bits within which a match decides."""
REVIEW_RADIUS = 47
"""Bits within which a match asks for a review. A registered window may carry a radius of its own; beyond it
nothing matches."""
PHASH_RADIUS = 3
"""Bits within which a pHash alone asks for a review."""

_Luma = NDArray[np.float32 | np.uint8]
_SQUARES = ("start", "middle", "end")
_ON_WHITE = ("full", "trim", *_SQUARES)
REGISTERED_WINDOWS = _ON_WHITE + tuple(f"{name}_black" for name in _ON_WHITE)
QUERY_FORMS = ("full", "mirror", "trim", "trim_mirror")

_BORDER_TOLERANCE = 10.0
_BORDER_SHARE = 0.98
_BORDER_CHUNK = 16
_MIN_TRIMMED = 64
_PHASH_BYTES = 8
_PHASH_SIDE = 256
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What stands for a picture.

    ``quality`` is PDQ's for the whole, 0–100; ``phash`` 8 bytes or None; ``pdq`` maps window or form to
    32 bytes and is empty for a picture too plain to tell apart; ``sha256`` of the file, 32 bytes or None.
    """

    version: int
    quality: int
    phash: bytes | None = None
    pdq: Mapping[str, bytes] = field(default_factory=dict)
    sha256: bytes | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form; the SHA-256 travels beside it, as a key of its own."""
        wire: dict[str, Any] = {"v": self.version, "quality": self.quality}
        if self.phash is not None:
            wire["phash"] = self.phash.hex()
        if self.pdq:
            wire["pdq"] = {name: value.hex() for name, value in self.pdq.items()}
        return wire


def registered_fingerprint(picture: Picture, data: bytes) -> Fingerprint:
    """Return what is registered of ``picture``, decoded at full scale from ``data``."""
    whole, hashes = _windows(picture.pixels, "")
    if picture.on_black is not None:
        hashes |= _windows(picture.on_black, "_black")[1]
    return _fingerprint(picture, data, whole.quality, _folded(hashes))


def query_fingerprint(picture: Picture, data: bytes) -> Fingerprint:
    """Return what is asked about ``picture``: the four forms."""
    luma = luma_of(picture.pixels)
    whole = pdq(luma)
    trimmed = _trimmed(luma, whole)
    forms: dict[str, bytes] = {}
    for form, mirrored, found in (("full", "mirror", whole), ("trim", "trim_mirror", trimmed)):
        if has_bits(found.bits) and found.quality >= min(whole.quality, MIN_QUALITY):
            forms |= {form: found.bits, mirrored: found.mirrored}
    return _fingerprint(picture, data, whole.quality, _folded(forms))


def is_distinctive(quality: int, pdq_hashes: Mapping[str, bytes]) -> bool:
    """Say whether hashes of this quality can tell pictures apart."""
    return quality >= MIN_QUALITY and all(has_bits(value) for value in pdq_hashes.values())


def has_bits(bits: bytes) -> bool:
    """Say whether a hash has enough bits set to be compared: a flat picture's has not."""
    return int.from_bytes(bits, "big").bit_count() >= MIN_BITS


def parse_fingerprint(wire: object, names: tuple[str, ...], *, where: str = "fingerprint") -> Fingerprint:
    """Read the JSON form, whose hashes may carry ``names``; strict, nothing is guessed.

    Raises :class:`InvalidFingerprintError` that names the place, ``where.pdq.full`` for example.
    """
    if not isinstance(wire, Mapping):
        raise InvalidFingerprintError(f"{where}: expected an object, got {type(wire).__name__}")
    unknown = set(wire) - {"v", "quality", "phash", "pdq"}
    if unknown:
        raise InvalidFingerprintError(f"{where}: unknown member {sorted(unknown)[0]!r}")
    version = wire.get("v")
    if type(version) is not int or version != VERSION:
        raise InvalidFingerprintError(
            f"{where}.v: version {repr(version)[:40]} is not one that this registry takes ({VERSION})",
            hint="Ask /api/v1/parameters which versions are live, and compute one of them.",
        )
    quality = wire.get("quality")
    if not isinstance(quality, int) or isinstance(quality, bool) or not 0 <= quality <= 100:
        raise InvalidFingerprintError(
            f"{where}.quality: expected an integer from 0 to 100, got {repr(quality)[:40]}"
        )
    hashes = wire.get("pdq", {})
    if not isinstance(hashes, Mapping):
        raise InvalidFingerprintError(f"{where}.pdq: expected an object, got {type(hashes).__name__}")
    if "pdq" in wire and not hashes:
        raise InvalidFingerprintError(f"{where}.pdq: empty; leave it out when there is no hash")
    strange = [name for name in hashes if name not in names]
    if strange:
        raise InvalidFingerprintError(f"{where}.pdq: {strange[0]!r} is none of {', '.join(names)}")
    return Fingerprint(
        version=VERSION,
        quality=quality,
        phash=_from_hex(wire["phash"], _PHASH_BYTES, f"{where}.phash") if "phash" in wire else None,
        pdq={name: _from_hex(value, HASH_BYTES, f"{where}.pdq.{name}") for name, value in hashes.items()},
    )


def sha256_from_hex(text: object, *, where: str = "sha256") -> bytes:
    """Read 64 lower-case hex digits; raises :class:`InvalidFingerprintError`."""
    return _from_hex(text, 32, where)


def hash_words(hashes: list[bytes]) -> NDArray[np.uint64]:
    """Return hashes of equal length as ``uint64[n, length / 8]``, big-endian, for the Hamming index."""
    if not hashes:
        return np.empty((0, 0), np.uint64)
    words = np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.uint64)
    return words.reshape(len(hashes), -1)


def pack_windows(
    fingerprint: Fingerprint, radii: Mapping[str, int] | None = None, calibration: int = 0
) -> bytes:
    """Pack a registered fingerprint for storage.

    ``radii`` has the own radius of each window in bits; without, it is the review's. One byte each: version,
    quality, calibration id, whether a pHash follows (8 bytes if so); then a window at a time: its place in
    ``REGISTERED_WINDOWS``, its radius, its 32 bytes.
    """
    head = bytes([fingerprint.version, fingerprint.quality, calibration, fingerprint.phash is not None])
    windows = [
        bytes([REGISTERED_WINDOWS.index(name), REVIEW_RADIUS if radii is None else radii[name]]) + value
        for name, value in sorted(fingerprint.pdq.items(), key=lambda item: REGISTERED_WINDOWS.index(item[0]))
    ]
    return head + (fingerprint.phash or b"") + b"".join(windows)


def unpack_windows(packed: bytes) -> tuple[Fingerprint, dict[str, int]]:
    """Undo :func:`pack_windows`: the fingerprint, and the radius (bits) of each window."""
    version, quality, _, has_phash = packed[:4]
    start = 4 + (_PHASH_BYTES if has_phash else 0)
    step = 2 + HASH_BYTES
    hashes, radii = {}, {}
    for at in range(start, len(packed), step):
        name = REGISTERED_WINDOWS[packed[at]]
        radii[name] = packed[at + 1]
        hashes[name] = packed[at + 2 : at + step]
    return Fingerprint(version, quality, packed[4:start] or None, hashes), radii


def trim_box(luma: _Luma) -> tuple[int, int, int, int] | None:
    """Find the picture inside a plain border: top, bottom, left, right, or None when there is no border.

    A line belongs to the border while at least 98 % of it lies within 10 grey levels of the outermost line's
    median. Each side is trimmed for itself. A remainder below a third of a side, or below 64 pixels, counts
    as no border: the picture is then plain rather than framed.
    """
    height, width = luma.shape
    top, bottom = _border(luma), _border(luma[::-1])
    inner = luma[top : height - bottom]
    left, right = _border(inner.T), _border(inner.T[::-1])
    new_height, new_width = height - top - bottom, width - left - right
    if not (top or bottom or left or right):
        return None
    if new_height < max(_MIN_TRIMMED, height / 3) or new_width < max(_MIN_TRIMMED, width / 3):
        return None
    return top, height - bottom, left, width - right


def _border(lines: _Luma) -> int:
    """Return how many lines at the beginning are border; looks no further than the first that is not."""
    if not lines.size:
        return 0
    ground = np.median(lines[0])
    limit = 2 * len(lines) // 3 + 1
    if fast.kernels is not None:
        return int(fast.kernels.pixels.border(lines[:limit], ground, _BORDER_TOLERANCE, _BORDER_SHARE))
    for start in range(0, limit, _BORDER_CHUNK):
        chunk = lines[start : min(start + _BORDER_CHUNK, limit)]
        plain = (np.abs(chunk - ground) <= _BORDER_TOLERANCE).mean(axis=1) >= _BORDER_SHARE
        if not plain.all():
            return start + int(plain.argmin())
    return limit


def _trimmed(luma: _Luma, whole: PdqHash) -> PdqHash:
    box = trim_box(luma)
    if box is None:
        return whole
    top, bottom, left, right = box
    return pdq(np.ascontiguousarray(luma[top:bottom, left:right]))


def _windows(rgb: NDArray[np.uint8], suffix: str) -> tuple[PdqHash, dict[str, bytes]]:
    luma = luma_of(rgb)
    whole = pdq(luma)
    found = {"full": whole, "trim": _trimmed(luma, whole)}
    height, width = luma.shape
    side = min(height, width)
    spare = max(height, width) - side
    if spare:
        for name, start in zip(_SQUARES, (0, spare // 2, spare), strict=True):
            square = luma[:, start : start + side] if width > height else luma[start : start + side]
            found[name] = pdq(np.ascontiguousarray(square))
    if not _tells_apart(whole.quality, whole.bits):
        return whole, {}
    return whole, {name + suffix: h.bits for name, h in found.items() if _tells_apart(h.quality, h.bits)}


def _folded(hashes: Mapping[str, bytes]) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    for name, value in hashes.items():
        if value not in kept.values():
            kept[name] = value
    return kept


def _tells_apart(quality: int, bits: bytes) -> bool:
    return quality >= MIN_QUALITY and has_bits(bits)


def _fingerprint(picture: Picture, data: bytes, quality: int, hashes: dict[str, bytes]) -> Fingerprint:
    image = Image.fromarray(picture.pixels)
    if picture.pixels.ndim == 2:
        # A question may lose a bit or two of its pHash, and is asked in half the time.
        image = image.reduce(max(1, min(image.size) // _PHASH_SIDE))
    interchange = imagehash.phash(image)
    phash = np.packbits(np.asarray(interchange.hash, dtype=bool)).tobytes()
    return Fingerprint(VERSION, quality, phash, hashes, hashlib.sha256(data).digest())


def _from_hex(text: object, length: int, where: str) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text):
        shown = repr(text)[:80]
        raise InvalidFingerprintError(f"{where}: expected {2 * length} lower-case hex digits, got {shown}")
    return bytes.fromhex(text)
