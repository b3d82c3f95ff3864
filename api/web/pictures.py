"""A picture that was sent to be hashed: read into memory, hashed, and forgotten.

It is never written to a disk. A process hashes one at a time, since a large picture takes a gigabyte while it
is hashed; who comes meanwhile waits, and is told to come back when that takes too long.
"""

import threading
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable
from werkzeug.formparser import parse_form_data

from registry.errors import InputError, PayloadTooLargeError, UnsupportedMediaTypeError
from registry.fingerprint import Fingerprint, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

__all__ = ["Sent", "hashed_for_datasets", "hashed_for_registry", "read_picture"]

_KIND = "multipart/form-data"
_FORM_BYTES = 512 * 1024
"""What a form may take beside the picture, and what of it is read at once."""
_WAIT_SECONDS = 20
_LONGEST_NAME = 200
_one_at_a_time = threading.BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: the picture, the name of its file, and the other fields of the form."""

    data: bytes
    name: str
    fields: dict[str, str]


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


def hashed_for_registry(data: bytes) -> Fingerprint:
    """Return what a registry is asked with. Raises :class:`PictureError`, and ServiceUnavailable."""
    with _Turn():
        return query_fingerprint(decode_picture(data, reduced=True), data)


def hashed_for_datasets(data: bytes) -> Fingerprint:
    """Return what copies of the picture are looked for with. Raises as :func:`hashed_for_registry`."""
    with _Turn():
        return registered_fingerprint(decode_picture(data), data)


class _Turn:
    def __enter__(self) -> None:
        if not _one_at_a_time.acquire(timeout=_WAIT_SECONDS):
            raise ServiceUnavailable("too many pictures are being hashed just now; send it again in a minute")

    def __exit__(self, *_: object) -> None:
        _one_at_a_time.release()


def _in_memory(*_: Any, **__: Any) -> BytesIO:
    return BytesIO()


def _too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"the picture is larger than {most / 2**20:,.0f} MiB",
        hint="Send a smaller version of it, or hash it on your own machine: caveat check PICTURE.",
    )
