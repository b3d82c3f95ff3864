"""Model files on the disk: read without loading a tensor, and their header replaced without harm.

The new file is written beside the old one, synced, and renamed over it: whatever stops that, a whole file is
there. A file that changes while it is read is refused, and so is one that its header does not describe to the
byte: it is still being written, or was cut off.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from registry.client.formats.files import state_of, sync_names
from registry.errors import ModelError
from registry.safetensors import (
    LENGTH_BYTES,
    Header,
    header_size,
    parse_header,
    require_complete,
    tensor_hash,
    with_metadata,
)

__all__ = ["Model", "read_header", "read_model", "sha256_of_file", "write_metadata"]

_CHUNK = 1 << 20
_WAIT = "Wait until the trainer has ended, and begin again."


@dataclass(frozen=True, slots=True)
class Model:
    """A safetensors file: its ``header``, also as the bytes it stands in, and its tensor hash.

    ``state`` is the file's size in bytes and its time, as they were when it was read.
    """

    path: Path
    header: Header
    beginning: bytes
    tensors: str
    state: tuple[int, int]

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata; none are empty ones."""
        return self.header.metadata or {}


def read_header(path: Path) -> Header:
    """Read the header of a model and nothing after it. Raises :class:`ModelError`."""
    try:
        with path.open("rb") as file:
            return parse_header(_beginning(file))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ModelError as error:
        raise _named(error, path) from error


def read_model(path: Path) -> Model:
    """Read the header of a model and hash its tensors.

    Raises :class:`ModelError` for what is no whole safetensors file, or changes meanwhile.
    """
    try:
        state = state_of(path)
        with path.open("rb") as file:
            beginning = _beginning(file)
            header = parse_header(beginning)
            require_complete(header, state[0])
            tensors = tensor_hash(_chunks(file))
        model = Model(path, header, beginning, tensors, state)
        _require_unchanged(model)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ModelError as error:
        raise _named(error, path) from error
    return model


def write_metadata(model: Model, metadata: Mapping[str, str], target: Path) -> None:
    """Write the model with other metadata to ``target``, which may be the model itself.

    Raises :class:`ModelError`; the model is then as it was.
    """
    header = with_metadata(model.beginning, metadata)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with model.path.open("rb") as reading, temporary.open("xb") as writing:
            writing.write(header)
            reading.seek(model.header.size)
            digest = hashlib.sha256()
            for chunk in _chunks(reading):
                digest.update(chunk)
                writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())
        shutil.copymode(model.path, temporary)
        if digest.hexdigest() != model.tensors:
            raise _changed(model.path)
        _require_unchanged(model)
        os.replace(temporary, target)
        sync_names(target.parent)
    except FileExistsError as error:
        raise ModelError(f"{temporary} is there already", hint="Delete it, and begin again.") from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ModelError(
            f"{target} cannot be written: {error.strerror or error}; {model.path} is as it was",
            hint="It is written beside the old one first: make room for both." if full else "",
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beginning(file: BinaryIO) -> bytes:
    length = file.read(LENGTH_BYTES)
    return length + file.read(header_size(length) - len(length))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _require_unchanged(model: Model) -> None:
    if state_of(model.path) != model.state:
        raise _changed(model.path)


def _changed(path: Path) -> ModelError:
    return ModelError(f"{path} changed while it was read: it is being written", hint=_WAIT)


def _named(error: ModelError, path: Path) -> ModelError:
    message = error.message if str(path) in error.message else f"{path}: {error.message}"
    return ModelError(message, hint=error.hint)
