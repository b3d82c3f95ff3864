"""Signed notes and checkpoints: what a log states about itself, and who signed it.

A note is text that ends with a newline, an empty line, and a line for each signature: an em dash, the
signer's name, and the first four bytes of the key's hash with the Ed25519 signature, in Base64. A checkpoint
is a note of three lines: the log's origin, how many leaves it has, and their root in Base64.

Read strictly: what is accepted is what :func:`sign_note` would have written. Signatures by keys that are not
given are let pass, as the format asks; a signature by a given key must be right.

Source: C2SP signed-note and tlog-checkpoint; the same format as Go's ``sumdb/note``.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from registry.errors import ProofError

__all__ = [
    "Checkpoint",
    "Signer",
    "Verifier",
    "format_checkpoint",
    "open_note",
    "parse_checkpoint",
    "sign_note",
]

_ED25519 = b"\x01"
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"
_MAX_NOTE = 1_000_000
_MAX_SIGNATURES = 100


@dataclass(frozen=True, slots=True)
class Verifier:
    """A name and its public key, 32 bytes."""

    name: str
    public: bytes

    @property
    def key_hash(self) -> bytes:
        """The four bytes that stand before each signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The key as it is published: name, hash and key, joined by ``+``."""
        return f"{self.name}+{self.key_hash.hex()}+{_base64(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Undo :attr:`text`. Raises :class:`ProofError`."""
        name, _, rest = text.partition("+")
        digits, _, packed = rest.partition("+")
        key = _bytes(packed)
        if not _is_name(name) or key is None or len(key) != 33 or key[:1] != _ED25519:
            raise ProofError(f"not the key of a log: {text[:80]!r}")
        verifier = cls(name, key[1:])
        if digits != verifier.key_hash.hex():
            raise ProofError(f"the key of {name} does not have the hash {digits[:8]!r}")
        return verifier


@dataclass(frozen=True, slots=True)
class Signer:
    """A name and its private key, 32 bytes."""

    name: str
    private: bytes

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @classmethod
    def new(cls, name: str) -> "Signer":
        """Make a key. Raises :class:`ProofError` unless the name is one that notes can carry."""
        if not _is_name(name):
            raise ProofError(f"not a name for a log: {name!r}: no spaces, no +")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "Signer":
        """Undo :attr:`text`. Raises :class:`ProofError`, which does not show it."""
        name, _, rest = text.removeprefix(_PRIVATE).partition("+")
        packed = _bytes(rest.partition("+")[2])
        if not (text.startswith(_PRIVATE) and _is_name(name)) or packed is None or packed[:1] != _ED25519:
            raise ProofError("not the private key of a log")
        signer = cls(name, packed[1:])
        if len(signer.private) != 32 or signer.text != text:
            raise ProofError("not the private key of a log, or a damaged one")
        return signer

    @property
    def text(self) -> str:
        """The key as it is kept: to be shown to nobody."""
        return f"{_PRIVATE}{self.name}+{self.verifier.key_hash.hex()}+{_base64(_ED25519 + self.private)}"

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(message)

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: ``origin`` its name, ``size`` leaves, ``root`` 32 bytes."""

    origin: str
    size: int
    root: bytes


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the three lines."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{_base64(checkpoint.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Undo :func:`format_checkpoint`; further lines are let pass. Raises :class:`ProofError`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not lines[0] or "" in lines[:-1]:
        raise ProofError("not a checkpoint: expected origin, size and root, a line each")
    size, root = lines[1], _bytes(lines[2])
    if not (size.isascii() and size.isdigit() and len(size) < 20 and str(int(size)) == size):
        raise ProofError(f"not a checkpoint: its size is {size[:30]!r}")
    if root is None or len(root) != 32:
        raise ProofError("not a checkpoint: its root is not 32 bytes in Base64")
    return Checkpoint(lines[0], int(size), root)


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Return the note of ``text``, which ends with a newline, signed by each of ``signers``."""
    lines = [
        f"{_DASH}{one.name} {_base64(one.verifier.key_hash + one.sign(text.encode()))}\n" for one in signers
    ]
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, verifiers: Sequence[Verifier]) -> tuple[str, list[Verifier]]:
    """Return the text of ``note`` and who of ``verifiers`` signed it.

    Raises :class:`ProofError` when nobody of them did, when a signature of one of them is wrong, or when it
    is not a note.
    """
    text, lines = _split_note(note)
    known = {(one.name, one.key_hash): one for one in verifiers}
    signed: list[Verifier] = []
    for line in lines:
        name, _, packed = line.removeprefix(_DASH).partition(" ")
        signature = _bytes(packed)
        if not (line.startswith(_DASH) and _is_name(name)) or signature is None or len(signature) < 5:
            raise ProofError(f"not a signature line: {line[:80]!r}")
        verifier = known.get((name, signature[:4]))
        if verifier is None or verifier in signed:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature[4:], text.encode())
        except (InvalidSignature, ValueError) as error:
            raise ProofError(f"the signature of {name} is wrong") from error
        signed.append(verifier)
    if not signed:
        names = ", ".join(one.name for one in verifiers) or "anybody"
        raise ProofError(f"not signed by {names}")
    return text, signed


def _split_note(note: str) -> tuple[str, list[str]]:
    if len(note) > _MAX_NOTE:
        raise ProofError("a note of more than a million characters")
    if any(character < " " and character != "\n" for character in note):
        raise ProofError("not a note: control characters")
    place = note.rfind("\n\n")
    lines = note[place + 2 :].split("\n")
    if place < 0 or lines[-1] or len(lines) < 2 or len(lines) > _MAX_SIGNATURES:
        raise ProofError("not a note: expected a text, an empty line and signature lines")
    return note[: place + 1], lines[:-1]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(one.isspace() for one in name)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes | None:
    """Return what ``text`` stands for in Base64 as it would be written, or None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None
