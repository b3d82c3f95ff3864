"""A picture that was sent to be hashed: read into memory, hashed, and forgotten.

It is never written to a disk. A process hashes one at a time, since a large picture takes a gigabyte while it
is hashed. One more may wait; whoever comes then, or waits too long, is told to come back, so that look-ups
always find a thread that is free.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable
from werkzeug.formparser import parse_form_data

from registry.errors import InputError, PayloadTooLargeError, UnsupportedMediaTypeError
from registry.fingerprint import Fingerprint, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

__all__ = ["Hashed", "Sent", "hashed", "read_picture"]

_KIND = "multipart/form-data"
_FORM_BYTES = 512 * 1024
"""What a form may take beside the picture, and what of it is read at once."""
_WAIT_SECONDS = 20
_LONGEST_NAME = 200
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
    if request.mimetype != _KIND:
        raise UnsupportedMediaTypeError(f"expected {_KIND}, got {request.mimetype or 'no Content-Type'}")
    try:
        _, form, files = parse_form_data(
            request.environ,
            stream_factory=_in_memory,
            max_content_length=most + _FORM_BYTES,
            max_form_memory_size=_FORM_BYTES,
            max_form_parts=20,
            silent=False,
        )
    except RequestEntityTooLarge as error:
        raise _too_large(most) from error
    except ValueError as error:
        raise InputError("the form cannot be read", hint="Send it again.") from error
    file = files.get("picture")
    data = b"" if file is None else file.stream.read()
    if file is None or not data:
        raise InputError("picture: no file was chosen, or it is empty", hint="Choose a picture.")
    if len(data) > most:
        raise _too_large(most)
    return Sent(data, (file.filename or "the picture")[:_LONGEST_NAME], form.to_dict())


def hashed(data: bytes, *, for_datasets: bool) -> Hashed:
    """Hash a picture, for datasets as well where they are asked.

    Raises :class:`PictureError`, and ServiceUnavailable when too many are being hashed.
    """
    with _turn():
        asked = query_fingerprint(decode_picture(data, reduced=True), data)
        return Hashed(asked, registered_fingerprint(decode_picture(data), data) if for_datasets else None)


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


def _in_memory(*_: Any, **__: Any) -> BytesIO:
    return BytesIO()


def _too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"the picture is larger than {most / 2**20:,.0f} MiB",
        hint="Send a smaller version of it, or hash it on your own machine: caveat check PICTURE.",
    )
