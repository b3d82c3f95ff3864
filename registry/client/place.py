"""Where a picture's bytes are: a whole file, or a part of an archive that worker processes read themselves.

A part is told by offset and size, so nothing is unpacked and no archive is held in memory. A deflated part
is unpacked to the size that the archive gives for it and no further, and must have the checksum given there.
"""

import errno
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "Place", "sized"]

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Larger files, and larger parts of archives, are not read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes in ``path``: all, or ``size`` of them from ``offset`` (both in bytes).

    ``unpacked`` is the size of what a deflated part holds, None for what stands there plainly; ``crc`` the
    CRC-32 of what it holds, None where none is given. ``sidecars`` are the ``.xmp`` members of the same
    archive that speak of a picture; they are None for a file, whose sidecars lie beside it.
    """

    path: Path
    offset: int = 0
    size: int | None = None
    unpacked: int | None = None
    crc: int | None = None
    sidecars: "tuple[Place, ...] | None" = None

    @property
    def bare(self) -> "Place":
        """The same place without any bytes that are kept with it."""
        return self

    def read(self, most: int = MAX_FILE_BYTES) -> bytes:
        """Return the bytes; raises OSError when they are more than ``most``, or not what was announced."""
        length = self.path.stat().st_size if self.size is None else self.size
        if max(length, self.unpacked or 0) > most:
            raise OSError(errno.EFBIG, f"larger than {sized(most)}")
        if self.size is None:
            return self.path.read_bytes()
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise OSError(errno.EIO, "cut off")
        found = data if self.unpacked is None else _inflated(data, self.unpacked)
        if self.crc is not None and zlib.crc32(found) != self.crc:
            raise OSError(errno.EIO, "damaged: its checksum is another")
        return found


def _inflated(data: bytes, size: int) -> bytes:
    try:
        # One byte more than announced, so that what is longer is seen.
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
    except zlib.error as error:
        raise OSError(errno.EIO, "damaged: it does not unpack") from error
    if len(found) != size:
        raise OSError(errno.EIO, "damaged: it unpacks to another size than announced")
    return found


def sized(count: int) -> str:
    """Return a number of bytes as people say it."""
    return f"{count // 2**20} MiB"
