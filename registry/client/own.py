"""The maker's own works, which a run keeps whatever a registry says of them: declared, and not proven.

They are a folder of pictures, or a text file with a line for each: ``sha256:`` or ``pdq:`` and 64 hexadecimal
digits; empty lines and lines that begin with ``#`` say nothing. A sample is own when its file is one of them
byte for byte, or its whole picture lies within the strict radius of the whole of one. Crops and mirrored
copies are not, nor is a picture that is too plain to tell apart.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from registry.client.formats.folder import pictures_below
from registry.client.pictures import hash_files
from registry.errors import InputError
from registry.fingerprint import STRICT_RADIUS, Fingerprint, has_bits

__all__ = ["OwnWorks", "read_own"]

_MAX_BYTES = 256 * 1024 * 1024
_LINE = re.compile(r"(sha256|pdq):([0-9a-f]{64})", re.ASCII)
_WHOLE = ("full", "full_black")


@dataclass(frozen=True, slots=True)
class OwnWorks:
    """Own works: ``sha256s`` of their files, 32 bytes each, and ``pdqs`` of their pictures, 32 bytes each."""

    sha256s: frozenset[bytes] = frozenset()
    pdqs: frozenset[bytes] = frozenset()
    _packed: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_packed", b"".join(sorted(self.pdqs)))

    @property
    def digest(self) -> str:
        """What tells these works from others: SHA-256, hexadecimal; empty when there are none."""
        if not self.sha256s and not self.pdqs:
            return ""
        return hashlib.sha256(b"".join(sorted(self.sha256s)) + b"|" + self._packed).hexdigest()

    def key_of(self, fingerprint: Fingerprint) -> str:
        """Return by what a picture is own: ``sha256``, ``pdq``, or empty when it is not."""
        if fingerprint.sha256 is not None and fingerprint.sha256 in self.sha256s:
            return "sha256"
        whole = fingerprint.pdq.get("full")
        if whole is None or not self._packed:
            return ""
        own = np.frombuffer(self._packed, np.uint64).reshape(-1, 4)
        bits = np.bitwise_count(own ^ np.frombuffer(whole, np.uint64)).sum(axis=1, dtype=np.int64)
        return "pdq" if bits.min() <= STRICT_RADIUS else ""


def read_own(path: Path, workers: int = 1) -> OwnWorks:
    """Read own works from a folder of pictures or a list; see the module.

    Raises :class:`InputError` for a line or a picture that cannot be read, and when there is none.
    """
    return _of_pictures(path, workers) if path.is_dir() else _of_lines(path)


def _of_pictures(folder: Path, workers: int) -> OwnWorks:
    sha256s, pdqs = set(), set()
    for hashed in hash_files(pictures_below(folder), registered=True, workers=workers):
        found = hashed.fingerprint
        if found is None or found.sha256 is None:
            raise InputError(f"{hashed.path}: {hashed.error}", hint="Mend it, or take it out of the folder.")
        sha256s.add(found.sha256)
        pdqs |= {value for name, value in found.pdq.items() if name in _WHOLE}
    return OwnWorks(frozenset(sha256s), frozenset(pdqs))


def _of_lines(path: Path) -> OwnWorks:
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", hint="Give a list of fingerprints.")
    found: dict[str, set[bytes]] = {"sha256": set(), "pdq": set()}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        text = line.strip().decode("utf-8", "replace").lower()
        if not text or text.startswith("#"):
            continue
        read = _LINE.fullmatch(text)
        if read is None or (read[1] == "pdq" and not has_bits(bytes.fromhex(read[2]))):
            raise InputError(
                f"{path}, line {number}: {text[:80]!r} is not sha256: or pdq: and 64 hexadecimal digits "
                "that tell a picture apart",
                hint="Give a line for each work, or a folder of pictures.",
            )
        found[read[1]].add(bytes.fromhex(read[2]))
    if not any(found.values()):
        raise InputError(f"{path} names no work", hint="Leave out --own, or give a list with works in it.")
    return OwnWorks(frozenset(found["sha256"]), frozenset(found["pdq"]))
