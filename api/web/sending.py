"""Forms with a file, as browsers send them: read into memory within bounds, never written to a disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from flask import request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import parse_form_data

from registry.errors import InputError, PayloadTooLargeError, UnsupportedMediaTypeError

__all__ = ["Form", "read_form"]

_KIND = "multipart/form-data"
_FIELD_BYTES = 512 * 1024
"""What a form may take beside its file, and what of it is read at once."""
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: the fields, and the files, of ``most`` bytes each at most."""

    fields: dict[str, str]
    files: MultiDict[str, FileStorage]
    most: int
    too_large: PayloadTooLargeError

    def file(self, name: str) -> tuple[bytes, str]:
        """Return the bytes and the name of a file; empty where none was chosen.

        Raises :class:`PayloadTooLargeError`.
        """
        found = self.files.get(name)
        data = b"" if found is None else found.stream.read()
        if len(data) > self.most:
            raise self.too_large
        return data, "" if found is None else (found.filename or "")[:_LONGEST_NAME]

    def every(self, name: str) -> Iterator[tuple[bytes, str]]:
        """Yield the bytes and the name of each file of a field where several may be chosen."""
        for one in self.files.getlist(name):
            if one.filename:
                yield one.stream.read(), one.filename[:_LONGEST_NAME]


def read_form(most: int, what: str, hint: str, parts: int = 20) -> Form:
    """Read the form of this request; ``what`` and ``hint`` are for a file of more than ``most`` bytes.

    ``parts`` is how many fields and files it may have.

    Raises :class:`UnsupportedMediaTypeError`, :class:`PayloadTooLargeError`, and :class:`InputError` for what
    is no form.
    """
    if request.mimetype != _KIND:
        raise UnsupportedMediaTypeError(f"expected {_KIND}, got {request.mimetype or 'no Content-Type'}")
    too_large = PayloadTooLargeError(f"{what} is larger than {most / 2**20:,.0f} MiB", hint=hint)
    try:
        _, fields, files = parse_form_data(
            request.environ,
            stream_factory=_in_memory,
            max_content_length=most + _FIELD_BYTES,
            max_form_memory_size=_FIELD_BYTES,
            max_form_parts=parts,
            silent=False,
        )
    except RequestEntityTooLarge as error:
        raise too_large from error
    except ValueError as error:
        raise InputError("the form cannot be read", hint="Send it again.") from error
    return Form(fields.to_dict(), files, most, too_large)


def _in_memory(*_: Any, **__: Any) -> BytesIO:
    return BytesIO()
