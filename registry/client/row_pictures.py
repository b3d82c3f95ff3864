"""Pictures as rows hold them: bytes, ``{"bytes", "path"}`` as ``datasets`` has it, or a picture of Pillow.

What a file says itself, and its SHA-256, are in its original bytes. A picture of Pillow has these no more: it
is hashed from its pixels, packed without loss, and nothing embedded is read. What cannot be read is a fault
of the row, never passed over.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from registry.client.pictures import Hashed, hash_files
from registry.client.place import MAX_FILE_BYTES, Place, sized
from registry.errors import PictureError
from registry.fingerprint import query_fingerprint
from registry.picture import decode_picture
from registry.signals import Reading, read_embedded

__all__ = ["RowPicture", "hash_picture", "is_picture", "pictures_of"]

_PACKED = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
"""Modes that PNG holds as they are."""


@dataclass(frozen=True, slots=True)
class RowPicture:
    """A picture of a row: its bytes, or the file at ``place`` where ``data`` is None; or a ``fault``.

    ``place`` names it otherwise. ``is_packed`` tells that the bytes are not those of its file.
    """

    place: Place
    data: bytes | None = None
    fault: str = ""
    is_packed: bool = False


def is_picture(value: Any) -> bool:
    """Say whether a value is a picture, or a list of such; bytes alone may be anything."""
    if isinstance(value, list | tuple):
        return any(map(is_picture, value))
    return isinstance(value, Image.Image) or (
        isinstance(value, Mapping) and value.keys() == {"bytes", "path"}
    )


def pictures_of(value: Any, name: str) -> list[RowPicture]:
    """Return the pictures in a value; none for None. ``name`` says where it stands."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        numbered = (pictures_of(one, f"{name}, number {at}") for at, one in enumerate(value, 1))
        return [picture for some in numbered for picture in some]
    return [_picture(value, Place(Path(name)))]


def _picture(value: Any, place: Place) -> RowPicture:
    if isinstance(value, Image.Image):
        return _packed(value, place)
    data, path = value, None
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
    if isinstance(data, bytes | bytearray | memoryview):
        return RowPicture(place, bytes(data))
    if data is None and isinstance(path, str) and path and "://" not in path:
        return RowPicture(Place(Path(path)))
    if data is None and isinstance(path, str) and path:
        return RowPicture(place, fault=f"its bytes are not here: {path}")
    return RowPicture(place, fault=f"{place.path} holds {type(value).__name__}, and no bytes of a picture")


def _packed(image: Image.Image, place: Place) -> RowPicture:
    out = io.BytesIO()
    try:
        # Trainers turn a picture as its file says; what Pillow hands over is not turned yet.
        turned = ImageOps.exif_transpose(image)
        plain = turned if turned.mode in _PACKED else turned.convert("RGB")
        plain.save(out, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError) as error:
        return RowPicture(place, fault=f"cannot be decoded: {error}")
    return RowPicture(place, out.getvalue(), is_packed=True)


def hash_picture(picture: RowPicture) -> Hashed:
    """Return a picture hashed, with what it says itself, or with what is wrong."""
    place, data = picture.place, picture.data
    if picture.fault:
        return Hashed(place, None, picture.fault)
    if data is None:
        [hashed] = hash_files([place])
        return hashed
    if len(data) > MAX_FILE_BYTES:
        return Hashed(place, None, f"larger than {sized(MAX_FILE_BYTES)}")
    reading = Reading() if picture.is_packed else read_embedded(data)
    try:
        fingerprint = query_fingerprint(decode_picture(data, reduced=True), data)
    except PictureError as error:
        return Hashed(place, None, error.message, reading)
    # The digest of bytes that we have packed ourselves is nobody's.
    sha256 = None if picture.is_packed else fingerprint.sha256
    return Hashed(place, replace(fingerprint, sha256=sha256), reading=reading)
