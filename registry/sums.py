"""The files of a folder by their SHA-256, in lines as ``sha256sum`` prints and checks them.

    5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  10_cosy/chair.jpg

The lines are sorted by name, as bytes; names are relative, with slashes. A name with a backslash or the end
of a line in it is escaped, and its line begins with a backslash. The SHA-256 of all lines is Go's h1 of the
folder, ``dirHash`` in in-toto's words, save for such names, which h1 does not have.
"""

import re
from collections.abc import Mapping

from registry.errors import ProofError

__all__ = ["parse_sums", "sums_of"]

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped: plain for plain, escaped in _ESCAPED.items()}


def sums_of(digests: Mapping[str, str]) -> bytes:
    """Return the lines of these files: name → SHA-256, hexadecimal."""
    lines = (_line(name, digests[name]) for name in sorted(digests, key=str.encode))
    return b"".join(lines)


def parse_sums(data: bytes) -> dict[str, str]:
    """Undo :func:`sums_of`. Raises :class:`ProofError`, also for what it would not have written."""
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n")[:-1], 1):
        sha256, separator, name = line.removeprefix("\\").partition("  ")
        if not separator or not name or not _HEX.fullmatch(sha256):
            raise ProofError(f"line {number} is not a SHA-256, two spaces and a name: {line[:80]!r}")
        found[_unescaped(name) if line.startswith("\\") else name] = sha256
    if sums_of(found) != data:
        raise ProofError("not a list of files as it is written: not sorted, a name twice, or cut off")
    return found


def _line(name: str, sha256: str) -> bytes:
    escaped = "".join(_ESCAPED.get(one, one) for one in name)
    return f"{'' if escaped == name else chr(92)}{sha256}  {escaped}\n".encode()


def _unescaped(name: str) -> str:
    return re.sub(r"\\.", lambda found: _PLAIN.get(found[0], found[0]), name)
