"""DSSE envelopes: a payload, of what kind it is, and who signed both.

    {"payload":"eyJ…","payloadType":"application/vnd.caveat.grant+json",
     "signatures":[{"keyid":"log.example+c74f20a3","sig":"x08…"}]}

What is signed is not the payload alone but :func:`pae` of it, which begins with ``DSSEv1`` and a space. No
note begins so, since no name of a log has a space in it: a key can sign notes and envelopes, and neither is
ever taken for the other.

Read strictly: what is accepted is what :meth:`Envelope.to_json` would have written, RFC 8785 and a newline.
Signatures by keys that are not given are let pass; a signature by a given key must be right.

Source: Dead Simple Signing Envelope, v1.0.2, with Ed25519. The protocol leaves open what a key is called;
here it is the name of a :class:`~registry.note.Verifier`, a plus, and its hash as eight digits.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.note import Signer, Verifier

__all__ = ["MAX_BYTES", "Envelope", "Signature", "keyid_of", "pae", "sign", "verify"]

MAX_BYTES = 16 * 1024 * 1024
"""The largest envelope that is read, in bytes."""
_MAX_SIGNATURES = 100
_LONGEST = 200
"""Characters of a payload type or of a key's name."""
_MEMBERS = {"payload", "payloadType", "signatures"}


@dataclass(frozen=True, slots=True)
class Signature:
    """``keyid`` says which key to try and proves nothing; ``sig`` is 64 bytes by Ed25519."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bytes, of what kind they say they are, and at least one signature over both.

    Nothing of the payload may be used before :func:`verify` has returned it.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        signatures = [{"keyid": one.keyid, "sig": _base64(one.sig)} for one in self.signatures]
        return {
            "payload": _base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }

    def to_json(self) -> bytes:
        """Return the JSON form as it is stored: RFC 8785, and a newline."""
        return rfc8785.dumps(self.to_wire()) + b"\n"

    @classmethod
    def from_wire(cls, wire: object) -> "Envelope":
        """Undo :meth:`to_wire`. Raises :class:`ProofError`, which names the member."""
        members = _members(wire, _MEMBERS, "an envelope")
        kind = _text(members["payloadType"], "payloadType")
        payload = _bytes(members["payload"], "payload")
        listed = members["signatures"]
        if not isinstance(listed, list) or not 1 <= len(listed) <= _MAX_SIGNATURES:
            raise ProofError(f"signatures: expected 1 to {_MAX_SIGNATURES} of them, in a list")
        signatures = tuple(_signature(one, place) for place, one in enumerate(listed))
        names = [one.keyid for one in signatures]
        if len(set(names)) != len(names):
            raise ProofError("signatures: two of them are by one key")
        return cls(kind, payload, signatures)

    @classmethod
    def from_json(cls, data: bytes) -> "Envelope":
        """Undo :meth:`to_json`. Raises :class:`ProofError`, also for the same in other bytes."""
        if len(data) > MAX_BYTES:
            raise ProofError(f"an envelope of {len(data):,} bytes; at most {MAX_BYTES:,} are read")
        try:
            envelope = cls.from_wire(strict_json(data))
        except ProofError:
            raise
        except InputError as error:
            raise ProofError(f"not an envelope: {error.message}") from error
        if envelope.to_json() != data:
            raise ProofError(
                "not an envelope as it is written: other spaces, or another order of its members",
                hint="Take the file as it was given; nothing may format it anew.",
            )
        return envelope


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of the protocol, lengths in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def keyid_of(key: Verifier) -> str:
    """Return what a key is called in an envelope."""
    return f"{key.name}+{key.key_hash.hex()}"


def sign(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> Envelope:
    """Return the envelope of ``payload``, signed by each of ``signers``, of which there must be one.

    Raises :class:`ProofError` when there is none, when one is given twice, or for a kind that is no text of
    1 to 200 characters.
    """
    message = pae(payload_type, payload)
    signatures = [Signature(keyid_of(one.verifier), one.sign(message)) for one in signers]
    # Read back as anybody would: what would be refused is not signed.
    return Envelope.from_wire(Envelope(payload_type, payload, tuple(signatures)).to_wire())


def verify(envelope: Envelope, keys: Sequence[Verifier], payload_type: str) -> bytes:
    """Return the payload of ``envelope``, which must be of this kind and signed by one of ``keys``.

    Raises :class:`ProofError` for another kind, when none of ``keys`` signed it, and when a signature of one
    of them is wrong, whoever else signed.
    """
    if envelope.payload_type != payload_type:
        raise ProofError(f"an envelope of {envelope.payload_type!r}; expected {payload_type!r}")
    known = {keyid_of(one): one for one in keys}
    message = pae(envelope.payload_type, envelope.payload)
    signed = [(known[one.keyid], one.sig) for one in envelope.signatures if one.keyid in known]
    for key, signature in signed:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise ProofError(f"the signature of {key.name} is wrong") from error
    if not signed:
        by = ", ".join(one.keyid for one in envelope.signatures)
        expected = ", ".join(known) or "any key that is known here"
        raise ProofError(f"signed by {by}, and not by {expected}")
    return envelope.payload


def _signature(wire: object, place: int) -> Signature:
    where = f"signatures.{place}"
    members = _members(wire, {"keyid", "sig"}, where)
    signature = _bytes(members["sig"], f"{where}.sig")
    if len(signature) != 64:
        raise ProofError(f"{where}.sig: {len(signature)} bytes; a signature by Ed25519 has 64")
    return Signature(_text(members["keyid"], f"{where}.keyid"), signature)


def _members(wire: object, expected: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(wire, Mapping):
        raise ProofError(f"{what}: expected a JSON object, got {type(wire).__name__}")
    if set(wire) != expected:
        raise ProofError(f"{what}: has {_listed(wire)}; expected {_listed(expected)}")
    return wire


def _listed(names: Any) -> str:
    return ", ".join(sorted(str(name)[:_LONGEST] for name in names)) or "no members"


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise ProofError(f"{where}: expected 1 to {_LONGEST} printable characters, got {repr(value)[:80]}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ProofError(f"{where}: half of a surrogate pair") from error
    return value


def _bytes(value: object, where: str) -> bytes:
    """Return what a text stands for in Base64 as it would be written, and nothing beside it."""
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or _base64(data) != value:
        raise ProofError(f"{where}: not Base64 as it is written")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
