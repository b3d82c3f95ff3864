"""What lies at an object store, as a place to read a picture from once its shard is gone from this machine.

While a shard is filtered its files are on this machine. What is told of them afterwards names the objects
that they came from: in notes, in reasons, in errors.
"""

import errno
from dataclasses import dataclass, replace
from pathlib import Path

from registry.client.formats.cell import Cell
from registry.client.place import MAX_FILE_BYTES, Place, sized
from registry.client.stores import Address, read_part
from registry.client.verdicts import Verdict
from registry.errors import StoreError

__all__ = ["AwayPlace", "moved"]


@dataclass(frozen=True, slots=True)
class AwayPlace(Place):
    """A member of an archive at an object store: ``size`` bytes from ``offset`` of the object ``text``."""

    text: str = ""

    def read(self, most: int = MAX_FILE_BYTES) -> bytes:
        """Return the bytes; raises OSError when they cannot be had, or are more than ``most``."""
        if self.size is None or self.size > most:
            raise OSError(errno.EFBIG, f"larger than {sized(most)}")
        try:
            return read_part(Address(self.text), self.offset, self.size)
        except StoreError as error:
            raise OSError(errno.EIO, error.message) from error


def moved(verdict: Verdict, root: Path, text: str) -> Verdict:
    """Return a verdict on a file below ``root`` as one on the object below the address ``text``.

    A cell of a table is not read again from there: for one picture a whole column would have to come.
    """
    place, sample = verdict.sample.picture, verdict.sample
    if place is None or isinstance(place, Cell):
        return replace(verdict, sample=replace(sample, path=None, place=None))
    there = f"{text}/{place.path.relative_to(root).as_posix()}"
    away = AwayPlace(Path(there), place.offset, place.size, text=there)
    return replace(verdict, sample=replace(sample, path=away.path, place=away))
