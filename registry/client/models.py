"""Model files on the disk: read without loading a tensor, and their header replaced without harm.

The new file is written beside the old one, synced, and renamed over it: whatever stops that, a whole file is
there. A file that changes while it is read is refused, and so is one that its header does not describe to the
byte: it is still being written, or was cut off.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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

__all__ = ["Edit", "Model", "Rewritten", "read_header", "read_model", "rewrite"]

Edit = Callable[[Mapping[str, str], str], Mapping[str, str]]
"""Returns other metadata, given those of a model and its tensor hash."""

_CHUNK = 1 << 20
_UNKNOWN = "0" * 64
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


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A model that was written with other metadata; ``before`` and ``after`` are the SHA-256 of the file."""

    model: Model
    before: str
    after: str


def read_header(path: Path) -> Header:
    """Read the header of a model and nothing after it. Raises :class:`ModelError`."""
    with _told(path), path.open("rb") as file:
        return parse_header(_beginning(file))


def read_model(path: Path) -> Model:
    """Read the header of a model and hash its tensors.

    Raises :class:`ModelError` for what is no whole safetensors file, or changes meanwhile.
    """
    return _read(path)


def rewrite(path: Path, target: Path, edit: Edit) -> Rewritten:
    """Write the model at ``path`` with other metadata to ``target``, which may be the same file.

    ``edit`` is given the metadata and the tensor hash, and is asked twice: first for how long the header will
    be, with a hash that stands in for the true one, which is known when all was copied. The texts that it
    returns must be as long both times. The file is read once while it is copied, and what was written once,
    before it takes the place of what is there. Raises :class:`ModelError`; the model is then as it was.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        written = _copied(path, temporary, edit)
        os.replace(temporary, target)
        sync_names(target.parent)
    except FileExistsError as error:
        raise ModelError(f"{temporary} is there already", hint="Delete it, and begin again.") from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ModelError(
            f"{target} cannot be written: {error.strerror or error}; {path} is as it was",
            hint="It is written beside the old one first: make room for both." if full else "",
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return replace(written, model=replace(written.model, path=target))


def _copied(path: Path, temporary: Path, edit: Edit) -> Rewritten:
    """Write the copy, read it again, and return what it is; nothing else has changed yet."""
    whole = hashlib.sha256()
    with _told(path):
        state = state_of(path)
        reading = path.open("rb")
    with reading, temporary.open("xb") as writing:
        with _told(path):
            beginning = _beginning(reading)
            header = parse_header(beginning)
            require_complete(header, state[0])
            room = len(with_metadata(beginning, edit(header.metadata or {}, _UNKNOWN)))
        whole.update(beginning)
        writing.seek(room)
        tensors = _hashed(reading, whole.update, writing.write)
        if state_of(path) != state:
            raise _changed(path)
        edited = with_metadata(beginning, edit(header.metadata or {}, tensors))
        if len(edited) != room:
            raise ModelError(
                f"the header of {path} has {len(edited):,} bytes, and room for {room:,} was left"
            )
        writing.seek(0)
        writing.write(edited)
        writing.flush()
        os.fsync(writing.fileno())
    shutil.copymode(path, temporary)
    after = hashlib.sha256()
    model = _read(temporary, after.update)
    if (model.beginning, model.tensors) != (edited, tensors):
        raise ModelError(f"{temporary} does not hold what was written to it", hint="Look to the disk.")
    if state_of(path) != state:
        raise _changed(path)
    return Rewritten(model, whole.hexdigest(), after.hexdigest())


def _read(path: Path, *each: Callable[[bytes], object]) -> Model:
    with _told(path):
        state = state_of(path)
        with path.open("rb") as file:
            beginning = _beginning(file)
            header = parse_header(beginning)
            require_complete(header, state[0])
            for one in each:
                one(beginning)
            tensors = _hashed(file, *each)
        if state_of(path) != state:
            raise _changed(path)
    return Model(path, header, beginning, tensors, state)


def _hashed(file: BinaryIO, *each: Callable[[bytes], object]) -> str:
    """Return the hash over the rest of a file, whose bytes are given to ``each`` besides."""

    def chunks() -> Iterator[bytes]:
        while chunk := file.read(_CHUNK):
            for one in each:
                one(chunk)
            yield chunk

    return tensor_hash(chunks())


def _beginning(file: BinaryIO) -> bytes:
    length = file.read(LENGTH_BYTES)
    return length + file.read(header_size(length) - len(length))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Have what goes wrong with reading a model name its file."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ModelError as error:
        raise _named(error, path) from error


def _changed(path: Path) -> ModelError:
    return ModelError(f"{path} changed while it was read: it is being written", hint=_WAIT)


def _named(error: ModelError, path: Path) -> ModelError:
    message = error.message if str(path) in error.message else f"{path}: {error.message}"
    return ModelError(message, hint=error.hint)
