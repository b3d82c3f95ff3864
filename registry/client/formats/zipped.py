"""Zip archives of pictures with texts of the same stem: what the trainers of LoRAs hand around.

Which file belongs to which picture follows :mod:`registry.client.formats.sidefiles`, as in folders. Members
are read in place and bounded by what the directory of the archive announces; what is kept is packed again
from the same bytes, by the method it had. A member that cannot be read safely is set aside by name.
"""

import hashlib
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from pathlib import Path, PurePosixPath

from registry.client.formats.base import Plan, Sample
from registry.client.formats.files import changed, state_of
from registry.client.formats.metadata import METADATA_NAMES
from registry.client.formats.naming import is_named
from registry.client.formats.sidefiles import Layout, arrange
from registry.client.formats.tarred import name_fault
from registry.client.place import MAX_FILE_BYTES, Place, sized
from registry.errors import DatasetError, FormatError

__all__ = ["MAX_RATIO", "ZipPictures"]

MAX_RATIO = 200
"""Members over 1 MiB that unpack to more than this many times their packed size are set aside."""

_SMALL = 1 << 20
_CHUNK = 1 << 20
_LOCAL = struct.Struct("<4s22xHH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipPictures:
    """A zip archive of pictures; see the module. Raises :class:`DatasetError` when it is none."""

    name = "zip"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        self._state = state_of(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self._infos = [one for one in archive.infolist() if not one.is_dir()]
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise DatasetError(f"{path} is not a zip archive that can be read: {error}") from error
        for info in self._infos:
            if PurePosixPath(info.filename).name in (*METADATA_NAMES, "metadata.parquet"):
                raise FormatError(
                    f"{path} holds {info.filename}, and metadata in a zip archive is not read",
                    hint="Unpack it, and filter the folder.",
                )

    @property
    def size(self) -> int | None:
        """How many pictures there are."""
        return len(self._layout.pictures)

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {name: found for name, found in self._found.items() if isinstance(found, Place)}

    @cached_property
    def _found(self) -> dict[str, Place | str]:
        """Where each member is, or why it cannot be taken; hidden ones, as in folders, are not there."""
        counts = Counter(one.filename for one in self._infos)
        starts = sorted(one.header_offset for one in self._infos)
        ends = dict(zip(starts, [*starts[1:], self._state[0]], strict=True))
        found: dict[str, Place | str] = {}
        for info in self._infos:
            if any(part.startswith(".") and part != ".." for part in info.filename.split("/")):
                continue
            fault = _fault(info) or ("its name occurs twice" if counts[info.filename] > 1 else "")
            shown = info.orig_filename.encode("utf-8", "backslashreplace").decode()
            found[shown] = fault or self._place(info, ends[info.header_offset])
        return found

    def _place(self, info: zipfile.ZipInfo, end: int) -> Place | str:
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            head = file.read(_LOCAL.size)
            if len(head) < _LOCAL.size:
                return "its header is cut off"
            mark, name, extra = _LOCAL.unpack(head)
            begins = info.header_offset + _LOCAL.size + name + extra
            encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
            if mark != b"PK\x03\x04" or file.read(name) != info.orig_filename.encode(encoding, "replace"):
                return "its header is not the one that the archive announces"
        if begins + info.compress_size > end:
            return "it overlaps another member"
        unpacked = None if info.compress_type == zipfile.ZIP_STORED else info.file_size
        if unpacked is None and info.file_size != info.compress_size:
            return "its sizes contradict one another"
        return Place(self.path, begins, info.compress_size, unpacked, info.CRC, ())

    @cached_property
    def _layout(self) -> Layout:
        return arrange(self._places)

    def samples(self) -> Iterator[Sample]:
        """Yield every picture by name; what cannot be checked or read is a sample with a fault."""
        faults = {name: found for name, found in self._found.items() if isinstance(found, str)}
        faults |= dict.fromkeys(self._layout.strange, "a kind of file that cannot be checked")
        captions: dict[str, str] = {}
        for name in sorted(self._places.keys() - {*self._layout.pictures, *self._layout.strange}):
            if fault := self._text_fault(name):
                for reader in self._layout.shared.get(name, ()):
                    captions[reader] = f"its caption {name} {fault}"
                faults |= {} if name in self._layout.shared else {name: fault}
        for name in self._layout.pictures:
            place = self._with_sidecars(name)
            yield Sample(name, self.path, fault=captions.get(name, ""), place=place)
        for name in sorted(faults):
            yield Sample(name, fault=faults[name])

    def _text_fault(self, name: str) -> str:
        try:
            data = self._places[name].read()
            if name in self._layout.shared:
                data.decode("utf-8")
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            return f"is not UTF-8: byte {error.start}"
        return ""

    def _with_sidecars(self, picture: str) -> Place:
        path, place = PurePosixPath(picture), self._places[picture]
        stems = (str(path.with_suffix("")), picture)
        names = [f"{stem}{suffix}" for stem in stems for suffix in (".xmp", ".XMP")]
        beside = tuple(self._places[name] for name in names if name in self._places)
        return Place(place.path, place.offset, place.size, place.unpacked, place.crc, beside)

    def plan(self, dropped: Mapping[str, str]) -> Plan:
        """Say which pictures, captions, caches and lists go when ``dropped`` do."""
        gone, pictures = dict(dropped), frozenset(self._layout.pictures)
        while more := self._layout.pictures_of(gone):
            gone |= more
        lost = {path: why for path, why in self._layout.losses(gone).items() if path not in pictures}
        lost |= {name: why for name in self._layout.loose if (why := self._named(name, gone))}
        return Plan(gone, {path: why for path, why in lost.items() if path not in gone})

    def _named(self, text: str, gone: Mapping[str, str]) -> str:
        if text in gone or not gone:
            return ""
        words = self._places[text].read().decode("utf-8", "replace")
        own = self._layout.shared.get(text, frozenset())
        named = next((name for name in sorted(gone.keys() - own) if is_named(name, text, words)), None)
        return "" if named is None else f"names {named}, and lists in a zip archive are not rewritten"

    def write(self, target: Path, plan: Plan, digests: Mapping[str, bytes]) -> None:
        """Write the members that stay, in their order, each by the method that it had."""
        kept = self._places.keys() - plan.gone.keys() - plan.left_out.keys()
        if state_of(self.path) != self._state or not kept & set(self._layout.pictures) <= digests.keys():
            raise changed(self.path)
        with zipfile.ZipFile(self.path) as source, zipfile.ZipFile(target, "x") as out:
            for info in self._infos:
                if info.filename in kept:
                    self._copy(source, out, info, digests.get(info.filename))

    def _copy(
        self, source: zipfile.ZipFile, out: zipfile.ZipFile, info: zipfile.ZipInfo, sha256: bytes | None
    ) -> None:
        digest = hashlib.sha256()
        new = copy(info)
        new.extra = b""
        try:
            with source.open(info) as reading, out.open(new, "w") as writing:
                while chunk := reading.read(_CHUNK):
                    digest.update(chunk)
                    writing.write(chunk)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise changed(self.path, info.filename) from error
        if sha256 not in (None, digest.digest()):
            raise changed(self.path, info.filename)


def _fault(info: zipfile.ZipInfo) -> str:
    if info.filename != info.orig_filename:
        return "its name leads out of the dataset"
    if fault := name_fault(info.filename):
        return fault
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in _METHODS:
        return "packed by a method that is not read"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or device, not a file"
    if info.file_size > MAX_FILE_BYTES:
        return f"larger than {sized(MAX_FILE_BYTES)}"
    if info.file_size > max(_SMALL, MAX_RATIO * info.compress_size):
        return f"unpacks to more than {MAX_RATIO} times its size"
    return ""
