"""Tar archives member by member, from their headers alone: nothing is unpacked, nothing is decoded.

:func:`members_of` tells where each member begins and ends, header blocks included, so that a member can be
copied as it stands. A member that a loader cannot read safely (a link, a device, a sparse file, a name that
leads out) carries a ``fault``. An archive whose end cannot be told with certainty is refused whole: what lies
behind a broken header would otherwise be passed over. Only uncompressed archives are read.
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from registry.client.formats.files import changed
from registry.client.place import MAX_FILE_BYTES, sized
from registry.errors import DatasetError

__all__ = ["MAX_MEMBERS", "Member", "copy_members", "members_of", "name_fault"]

MAX_MEMBERS = 1_000_000
"""Archives with more members are refused."""

_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER = 1 << 20
_CHUNK = 1 << 20
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its name as people can read it, and where it is, in bytes.

    ``start`` to ``end`` are its blocks, headers and padding included; ``size`` bytes from ``offset`` are what
    it holds. ``fault`` says why it cannot be taken.
    """

    name: str
    start: int
    end: int
    offset: int
    size: int
    is_folder: bool = False
    fault: str = ""


def members_of(path: Path) -> Iterator[Member]:
    """Yield the members of the archive at ``path``, in its order.

    Raises :class:`DatasetError` for what is not a whole, uncompressed tar archive.
    """
    try:
        with path.open("rb") as file:
            yield from _members(path, file)
    except tarfile.TarError as error:
        raise _broken(path, str(error)) from error
    except RecursionError as error:
        raise _broken(path, "too many long names in a row") from error
    except (ValueError, UnicodeError, OverflowError) as error:
        raise _broken(path, f"a header that cannot be read: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    end, count = 0, 0
    names: set[str] = set()
    with tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8") as archive:  # type: ignore[call-overload]
        while (info := archive.next()) is not None:
            # Nothing but members may stand between two of them: a global header would change what follows,
            # and offsets that go back would never end.
            if info.offset != end or archive.offset < info.offset_data or info.size < 0:
                raise _broken(path, f"its blocks do not follow one another at byte {end}")
            end, count = archive.offset, count + 1
            if count > MAX_MEMBERS:
                raise _broken(path, f"more than {MAX_MEMBERS:,} members")
            member = _member(info, end)
            yield _doubled(member) if member.name in names else member
            names.add(member.name)
            archive.members.clear()
    _require_end(path, file, end)


class _Headers:
    """A file of which only headers are read: a long name or a pax header may not fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _member(info: tarfile.TarInfo, end: int) -> Member:
    name = info.name.encode("utf-8", "backslashreplace").decode()
    fault = name_fault(info.name) or _kind_fault(info)
    return Member(name, info.offset, end, info.offset_data, info.size, info.isdir(), fault)


def name_fault(name: str) -> str:
    """Return what is wrong with the name of a member; nothing when it leads nowhere but below."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        return "its name leads out of the dataset"
    return "" if name.isprintable() else "its name has letters that cannot be shown"


def _kind_fault(info: tarfile.TarInfo) -> str:
    if info.issparse() or info.type == tarfile.GNUTYPE_SPARSE:
        return "a sparse file, which is not read"
    if info.type not in _PLAIN or (info.isdir() and info.size):
        return f"{_KINDS.get(info.type, 'a member of another kind')}, not a file"
    return f"larger than {sized(MAX_FILE_BYTES)}" if info.size > MAX_FILE_BYTES else ""


def _doubled(member: Member) -> Member:
    return replace(member, fault=member.fault or "its name occurs twice")


def _require_end(path: Path, file: BinaryIO, end: int) -> None:
    """Refuse what does not end with two blocks of zeros and nothing behind them."""
    file.seek(end)
    tail = file.read(2 * _BLOCK)
    if len(tail) < 2 * _BLOCK and not any(tail):
        raise _broken(path, "cut off: it has no end-of-archive mark")
    while tail:
        if any(tail):
            raise _broken(path, f"a header that cannot be read at or after byte {end}")
        tail = file.read(_CHUNK)


def copy_members(source: Path, target: Path, members: Iterable[Member], digests: Mapping[str, bytes]) -> None:
    """Write an archive of some ``members`` of ``source``, each byte for byte, headers included.

    ``digests`` maps names to the SHA-256 of what was checked; raises :class:`DatasetError` where a member
    holds something else by now.
    """
    with source.open("rb") as reading, target.open("xb") as writing:
        for member in members:
            reading.seek(member.start)
            digest = hashlib.sha256()
            _copy(reading, writing, member.offset - member.start)
            _copy(reading, writing, member.size, digest)
            _copy(reading, writing, member.end - member.offset - member.size)
            if digests.get(member.name, digest.digest()) != digest.digest():
                raise changed(source, member.name)
        writing.write(bytes(2 * _BLOCK))
        writing.write(bytes(-writing.tell() % tarfile.RECORDSIZE))


def _copy(reading: BinaryIO, writing: BinaryIO, count: int, digest: "hashlib._Hash | None" = None) -> None:
    while count > 0:
        chunk = reading.read(min(count, _CHUNK))
        if not chunk:
            raise DatasetError("an archive became shorter during the run", hint="Run again.")
        if digest is not None:
            digest.update(chunk)
        writing.write(chunk)
        count -= len(chunk)


def _broken(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not a tar archive that can be read whole: {what}",
        hint="Make the shard again, or take it out of the dataset.",
    )
