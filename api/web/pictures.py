"""A picture that was sent to be hashed: read into memory, hashed, and forgotten.

It is never written to a disk. A process hashes one at a time, since a large picture takes a gigabyte while it
is hashed. One more may wait; whoever comes then, or waits too long, is told to come back, so that look-ups
always find a thread that is free.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from werkzeug.exceptions import ServiceUnavailable

from api.web.sending import read_form
from registry.errors import InputError
from registry.fingerprint import Fingerprint, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

__all__ = ["Hashed", "Sent", "hashed", "hashed_to_register", "read_picture"]

_WAIT_SECONDS = 20
_HINT = "Send a smaller version of it, or hash it on your own machine: caveat check PICTURE."
_BUSY = "too many pictures are being hashed just now; send it again in a minute"
_at_the_door, _one_at_a_time = threading.BoundedSemaphore(2), threading.BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: the picture, the name of its file, and the other fields of the form."""

    data: bytes
    name: str
    fields: dict[str, str]


class Hashed(NamedTuple):
    """What a registry is asked with, and what copies are looked for with in datasets."""

    asked: Fingerprint
    registered: Fingerprint | None


def read_picture(most: int) -> Sent:
    """Read the form of this request, with a ``picture`` of ``most`` bytes at most.

    Raises :class:`UnsupportedMediaTypeError`, :class:`PayloadTooLargeError`, and :class:`InputError` when it
    has no picture.
    """
    form = read_form(most, "the picture", _HINT)
    data, name = form.file("picture")
    if not data:
        raise InputError("picture: no file was chosen, or it is empty", hint="Choose a picture.")
    return Sent(data, name or "the picture", form.fields)


def hashed(data: bytes, *, for_datasets: bool) -> Hashed:
    """Hash a picture, for datasets as well where they are asked.

    Raises :class:`PictureError`, and ServiceUnavailable when too many are being hashed.
    """
    with _turn():
        asked = query_fingerprint(decode_picture(data, reduced=True), data)
        return Hashed(asked, registered_fingerprint(decode_picture(data), data) if for_datasets else None)


def hashed_to_register(data: bytes) -> Fingerprint:
    """Hash a picture that is to be lodged. Raises as :func:`hashed` does."""
    with _turn():
        return registered_fingerprint(decode_picture(data), data)


@contextmanager
def _turn() -> Iterator[None]:
    if not _at_the_door.acquire(blocking=False):
        raise ServiceUnavailable(_BUSY)
    try:
        if not _one_at_a_time.acquire(timeout=_WAIT_SECONDS):
            raise ServiceUnavailable(_BUSY)
        try:
            yield
        finally:
            _one_at_a_time.release()
    finally:
        _at_the_door.release()
