"""Object stores: what lies below an address such as ``s3://bucket/data``, fetched and put by fsspec.

The one module that knows of fsspec, which is imported when the first address is asked for (extra ``[s3]``).
A store has no folders and no renaming: names are read from one listing, and an object is there whole or not
at all, once it is put. Passing errors are tried again by fsspec; what fails to the end is a
:class:`StoreError`. Where and as whom a store is asked comes from the environment, as its own tools have it.

    for name, found in listed(Address("s3://bucket/data")).items():
        fetch(Address("s3://bucket/data"), found, Path("here"))
"""

import hashlib
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from registry.client.side_by_side import side_by_side
from registry.errors import DatasetError, InputError, StoreError

__all__ = [
    "Address",
    "Found",
    "create",
    "delete",
    "fetch",
    "listed",
    "place_of",
    "put",
    "put_bytes",
    "read",
    "read_all",
    "read_part",
]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.ASCII | re.DOTALL)
_PASSWORD = re.compile(r"[^/]*:[^/]*@")
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
_THREADS = 16
_AGAIN = "Run the same command again: it goes on from the shards that count."


@dataclass(frozen=True, slots=True)
class Address:
    """A place at an object store: its bucket, or what lies below a prefix; text without a slash at its end.

    Raises :class:`InputError` for an address that cannot be one.
    """

    text: str

    def __post_init__(self) -> None:
        found = _ADDRESS.fullmatch(self.text)
        if found is None or not found[2]:
            raise InputError(f"{self.text!r} is no address", hint="Give protocol://bucket/prefix.")
        protocol, rest = found[1].lower(), found[2].rstrip("/")
        object.__setattr__(self, "text", f"{'s3' if protocol == 's3a' else protocol}://{rest}")
        if protocol in ("http", "https", "file", "local"):
            raise InputError(
                f"{self.text} is no address of an object store", hint="Give a path, or s3://bucket/prefix."
            )
        if _PASSWORD.match(rest):
            raise InputError(
                "the address holds a password, which would be written down",
                hint="Leave it to the environment.",
            )
        if "::" in rest or not _is_plain(rest):
            raise InputError(
                f"{self.text!r} cannot be read as bucket and prefix", hint="Give s3://bucket/prefix."
            )

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "Address":
        return Address(f"{self.text}/{name}")

    @property
    def name(self) -> str:
        """Its last part."""
        return self.text.rpartition("/")[2]

    @property
    def is_bucket(self) -> bool:
        """Whether nothing follows the bucket."""
        return "/" not in self.text.partition("://")[2]

    def with_name(self, name: str) -> "Address":
        """Return the place beside it.

        Raises :class:`InputError` for a whole bucket, beside which there is nothing of one's own.
        """
        if self.is_bucket:
            raise InputError(f"{self} is a whole bucket", hint=f"Give a prefix in it: {self}/clean.")
        return Address(f"{self.text.rpartition('/')[0]}/{name}")

    def overlaps(self, other: "Address") -> bool:
        """Say whether both are one place, or one lies below the other; a store may have several names."""
        one, two = (f"{address.text.partition('://')[2]}/" for address in (self, other))
        return one.startswith(two) or two.startswith(one)


@dataclass(frozen=True, slots=True)
class Found:
    """An object: its name below what was listed, its size in bytes, and what changes when it is written."""

    name: str
    size: int
    mark: str


def place_of(text: str | Path | Address) -> Path | Address:
    """Return an address for what is written as one, else a path on this machine."""
    if isinstance(text, str):
        return Address(text) if _ADDRESS.fullmatch(text) else Path(text)
    return text


def listed(place: Address) -> dict[str, Found]:
    """Return every object below ``place`` by its name, sorted; of one object itself, as ``""``.

    Raises :class:`StoreError` when the listing fails, or does not tell sizes and versions, and
    :class:`DatasetError` for names that could not be those of files.
    """
    files, path = _opened(place)
    with _named(place, "listed"):
        files.invalidate_cache()
        answer = files.find(path, detail=True)
    found = {}
    for whole, told in answer.items():
        name = _below(place, path, whole)
        # Some tools mark a folder by an object without bytes.
        if told.get("type") == "file" and not (whole.endswith("/") and not told.get("size")):
            found[name] = _found(place, name, told)
    return dict(sorted(found.items()))


def fetch(place: Address, found: Found, to: Path) -> None:
    """Copy the object ``found`` below ``place`` to the file ``to``, all of it.

    Raises :class:`DatasetError` when it has changed since it was listed, :class:`StoreError` else.
    """
    there = place / found.name
    files, path = _opened(there)
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _named(there, "fetched"):
            files.get_file(path, str(to))
            now = _found(place, found.name, _told(files, path))
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise _changed(there) from error
        raise
    if now != found:
        raise _changed(there)
    if (size := to.stat().st_size) != found.size:
        raise StoreError(f"{there}: {size:,} of {found.size:,} bytes came", hint=_AGAIN)


def put(file: Path, place: Address) -> tuple[Found, bytes]:
    """Copy a file to ``place``; return what is there then, under its last name, and the SHA-256 of the file.

    Raises :class:`StoreError`.
    """
    files, path = _opened(place)
    with file.open("rb") as reading:
        digest = hashlib.file_digest(reading, "sha256").digest()
    with _named(place, "written"):
        files.put_file(str(file), path)
        now = _found(place, place.name, _told(files, path))
    if now.size != file.stat().st_size:
        raise StoreError(f"{place}: {now.size:,} bytes are there of {file.stat().st_size:,}", hint=_AGAIN)
    return now, digest


def put_bytes(place: Address, data: bytes) -> None:
    """Write an object, in the place of any that is there. Raises :class:`StoreError`."""
    files, path = _opened(place)
    with _named(place, "written"):
        files.pipe_file(path, data)


def create(place: Address, data: bytes) -> bytes:
    """Write an object unless there is one, and return what is there then. Raises :class:`StoreError`."""
    files, path = _opened(place)
    try:
        with _named(place, "written"):
            files.pipe_file(path, data, mode="create")
    except StoreError as error:
        # Some stores cannot write on a condition. What is read after tells who was first, or last.
        if not isinstance(error.__cause__, FileExistsError):
            put_bytes(place, data)
    return read(place)


def read(place: Address) -> bytes:
    """Return an object, which is small. Raises :class:`StoreError`."""
    files, path = _opened(place)
    with _named(place, "read"):
        return bytes(files.cat_file(path))


def read_all(places: Collection[Address]) -> dict[Address, bytes]:
    """Return small objects, several at a time. Raises :class:`StoreError`."""
    each = side_by_side(lambda one: (one, read(one)), list(places), _THREADS, threading.Event())
    return dict(each)


def read_part(place: Address, first: int, size: int) -> bytes:
    """Return ``size`` bytes of an object, from the byte ``first`` on. Raises :class:`StoreError`."""
    files, path = _opened(place)
    with _named(place, "read"):
        data = bytes(files.cat_file(path, start=first, end=first + size))
    if len(data) != size:
        raise StoreError(f"{place}: {len(data):,} of {size:,} bytes came")
    return data


def delete(places: Collection[Address]) -> None:
    """Delete objects, several at a time; none of them needs to be there. Raises :class:`StoreError`."""
    for _ in side_by_side(_delete, list(places), _THREADS, threading.Event()):
        pass


def _delete(place: Address) -> None:
    files, path = _opened(place)
    try:
        with _named(place, "deleted"):
            files.rm_file(path)
    except StoreError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise


def _opened(place: Address) -> tuple[Any, str]:
    """Return the store of a place, and how it calls it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(
            f"{place} is at an object store, and fsspec is not installed",
            hint="pip install 'caveat-registry[s3]'",
        ) from error
    protocol = str(place).partition("://")[0]
    try:
        with _named(place, "reached"):
            files, path = url_to_fs(str(place), use_listings_cache=False)
    except StoreError as error:
        if isinstance(error.__cause__, ImportError):
            more = "pip install 'caveat-registry[s3]'" if protocol == "s3" else str(error.__cause__)
            raise InputError(f"what reads {protocol}:// is not installed", hint=more) from error
        if isinstance(error.__cause__, ValueError):
            hint = "Give s3://bucket/prefix, or another protocol of fsspec."
            raise InputError(f"{place}: {error.__cause__}", hint=hint) from error
        raise
    return files, str(path)


@contextmanager
def _named(place: Address, done: str) -> Iterator[None]:
    """Give an error of a store, of whatever kind, its name."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # stores raise what they like
        told = str(error).strip() or type(error).__name__
        raise StoreError(
            f"{place} could not be {done}: {told.splitlines()[0][:300]}",
            hint=f"Check the address, the credentials in the environment and the store. {_AGAIN}",
        ) from error


def _told(files: Any, path: str) -> Mapping[str, Any]:
    files.invalidate_cache()
    told: Mapping[str, Any] = files.info(path)
    return told


def _found(place: Address, name: str, told: Mapping[str, Any]) -> Found:
    size, mark = told.get("size"), next((told[one] for one in _MARKS if told.get(one)), None)
    if not isinstance(size, int) or mark is None:
        raise StoreError(
            f"{place}: {name} has no size or no version there, so nobody would see it change",
            hint="Copy it to a store that tells them, or to this machine.",
        )
    # A time is one thing in a listing of some stores, and another when an object is asked for.
    mark = mark.timestamp() if isinstance(mark, datetime) else mark
    return Found(name, size, str(mark).strip('"'))


def _below(place: Address, path: str, whole: str) -> str:
    """Return the name of an object below what was listed."""
    root, whole = path.strip("/"), whole.lstrip("/")
    name = whole.removeprefix(root).removeprefix("/")
    if not f"{whole}/".startswith(f"{root}/") or (name and not _is_plain(name.removesuffix("/"))):
        raise DatasetError(
            f"{place}: the object {whole!r} has a name that no file could have",
            hint="Give it another name, or a prefix in which there is no such.",
        )
    return name


def _is_plain(name: str) -> bool:
    """Say whether a name stays where it is put: parts between slashes that are names, and no signs."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\x00-\x1f\x7f\\?]", name)


def _changed(place: Address) -> DatasetError:
    return DatasetError(
        f"{place} changed during the run", hint="Let nothing write to the dataset, and run again."
    )
