"""A receipt in a model file: how it gets there, and what whoever receives the file can check.

The header of a safetensors file carries two envelopes in its metadata, as text: ``caveat.receipt``, that of
the filter run, and ``caveat.model``, which binds it to this model's tensors. The second is signed by the same
key as the first: a receipt alone could be put into anybody's model. It is the maker's word that the model was
trained on what the receipt names, and no proof of that. ``caveat.countersignatures``, the list
of the envelopes by which registries countersigned the run, is there where there are any.

A folder is bound by a statement that names the key by which the folder is signed, and not what is in it: the
statement lies in the folder, and is signed with it.

Beside the envelopes a line names the receipt where people and trainers look: in ``ss_training_comment`` of
kohya's metadata and in ``modelspec.comment`` of ModelSpec's, only where such metadata are there already.

Every check answers ``ok``, ``not ok`` or ``not told``, with what was found. ``not told`` is neither: the file
does not say. Times are seconds since 1970.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import rfc8785

from registry import dsse
from registry.dsse import Envelope, keyid_of
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.note import Signer, Verifier
from registry.receipt import (
    PAYLOAD_TYPE,
    Receipt,
    Tool,
    digest_of,
    parse_statement,
    predicate_of,
    seconds_of,
    statement_of,
)
from registry.strictly import parsed, wire_of

__all__ = [
    "CARRIERS",
    "COUNTERSIGNATURES_KEY",
    "FOLDER_PREDICATE",
    "MODEL_KEY",
    "PREDICATE",
    "RECEIPT_KEY",
    "Binding",
    "FolderBinding",
    "Signed",
    "Trust",
    "attached",
    "bind",
    "bind_folder",
    "carried_countersignatures",
    "open_binding",
    "open_folder_binding",
    "open_receipt",
    "receipt_line",
]

RECEIPT_KEY = "caveat.receipt"
MODEL_KEY = "caveat.model"
COUNTERSIGNATURES_KEY = "caveat.countersignatures"
PREDICATE = "urn:caveat:model:1"
"""What the second statement says; a name that claims nobody's domain."""

FOLDER_PREDICATE = "urn:caveat:folder:1"
"""The same for what binds a receipt to the key of a folder."""

_ABOUT = (
    "The holder of this key says that the model with these tensors was trained on the output of the run that "
    "the receipt tells of, and on nothing else. Nothing here proves it."
)
_ABOUT_FOLDER = (
    "The holder of this key says that a folder which is signed by the model key named here, with this "
    "statement in it, holds a model that was trained on the output of the run that the receipt tells of, and "
    "on nothing else. Nothing here proves it."
)
_COMMENTS = {"ss_training_comment": "ss_", "modelspec.comment": "modelspec."}
_LINE = re.compile(r"caveat receipt sha256:[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_B = TypeVar("_B", "Binding", "FolderBinding")

CARRIERS: Mapping[str, str] = {
    "kohya": '--training_comment "{line}"',
    "musubi": '--training_comment "{line}"',
    "simpletuner": '--modelspec_comment "{line}"',
    "ai-toolkit": 'meta:\n  caveat: "{line}"',
    "onetrainer": "it writes no text of yours: attach the receipt to the finished file",
}
"""Trainer → what makes it write the line into its models, with ``{line}`` in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Which model a receipt belongs to: its tensor hash, and the SHA-256 of the receipt's statement."""

    about: str = _ABOUT
    maker: str
    tool: Tool
    tensors: str
    receipt: str
    attached: str

    def __post_init__(self) -> None:
        if self.about != _ABOUT:
            raise ProofError(f"about: says {self.about[:80]!r}; a binding says what it does not show")
        for name in ("tensors", "receipt"):
            if not _HEX.fullmatch(getattr(self, name)):
                raise ProofError(f"{name}: {getattr(self, name)[:70]!r} is no SHA-256")
        seconds_of(self.attached)
        Verifier.parse(self.maker)

    def to_statement(self) -> bytes:
        """Return the statement about the tensors: RFC 8785, without a newline."""
        subject = {"name": "tensors", "digest": {"sha256": self.tensors}}
        return statement_of(subject, PREDICATE, wire_of(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderBinding:
    """Whose folders a receipt is of: SHA-256 of the model key's public half in PEM, and of the receipt."""

    about: str = _ABOUT_FOLDER
    maker: str
    tool: Tool
    model_key: str
    receipt: str
    attached: str

    def __post_init__(self) -> None:
        if self.about != _ABOUT_FOLDER:
            raise ProofError(f"about: says {self.about[:80]!r}; a binding says what it does not show")
        for name in ("model_key", "receipt"):
            if not _HEX.fullmatch(getattr(self, name)):
                raise ProofError(f"{name}: {getattr(self, name)[:70]!r} is no SHA-256")
        seconds_of(self.attached)
        Verifier.parse(self.maker)

    def to_statement(self) -> bytes:
        """Return the statement about the key: RFC 8785, without a newline."""
        subject = {"name": "model-key", "digest": {"sha256": self.model_key}}
        return statement_of(subject, FOLDER_PREDICATE, wire_of(self))


class Trust(StrEnum):
    """Whose key signed: one that is known here, or only the one that the statement itself names."""

    KNOWN = "known"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Signed:
    """A receipt whose signature is right: ``signer`` is the key, ``trust`` whether it is known here.

    ``sha256`` is that of the statement.
    """

    receipt: Receipt
    signer: Verifier
    trust: Trust
    sha256: str


def open_receipt(data: bytes, keys: Sequence[Verifier]) -> Signed:
    """Read ``receipt.dsse.json``; ``keys`` are those that are known.

    Where none of them signed, the signature must still be right by the key that the receipt names; then the
    key is unknown, and whoever asked must say so. Raises :class:`ProofError`.
    """
    envelope = Envelope.from_json(data)
    receipt = parse_statement(_payload(envelope))
    signer, trust = _signer(envelope, receipt.maker, keys)
    return Signed(receipt, signer, trust, digest_of(envelope.payload))


def open_binding(data: bytes, signed: Signed) -> Binding:
    """Read ``caveat.model``; raises :class:`ProofError` unless it is of this receipt and by its key."""
    return _opened(Binding, PREDICATE, data, signed)


def open_folder_binding(data: bytes, signed: Signed) -> FolderBinding:
    """Read what binds the folder it lies in; raises as :func:`open_binding`."""
    return _opened(FolderBinding, FOLDER_PREDICATE, data, signed)


def bind(signed: Signed, tensors: str, signer: Signer, tool: Tool, at: str) -> Envelope:
    """Return the binding of a receipt to a model, ``tensors`` its tensor hash, signed.

    Raises :class:`ProofError` when ``signer`` is not the one of the receipt.
    """
    _require_own(signed, signer)
    binding = Binding(
        maker=signer.verifier.text, tool=tool, tensors=tensors, receipt=signed.sha256, attached=at
    )
    statement = binding.to_statement()
    _parsed(Binding, PREDICATE, statement)
    return dsse.sign(PAYLOAD_TYPE, statement, [signer])


def bind_folder(signed: Signed, model_key: str, signer: Signer, tool: Tool, at: str) -> Envelope:
    """Return the binding of a receipt to folders that the key of this SHA-256 signs; as :func:`bind`."""
    _require_own(signed, signer)
    binding = FolderBinding(
        maker=signer.verifier.text, tool=tool, model_key=model_key, receipt=signed.sha256, attached=at
    )
    statement = binding.to_statement()
    _parsed(FolderBinding, FOLDER_PREDICATE, statement)
    return dsse.sign(PAYLOAD_TYPE, statement, [signer])


def receipt_line(sha256: str) -> str:
    """Return the line that names a receipt in the metadata of trainers."""
    return f"caveat receipt sha256:{sha256}"


def attached(
    metadata: Mapping[str, str],
    receipt: Envelope,
    binding: Envelope,
    countersignatures: Sequence[Envelope] = (),
) -> dict[str, str]:
    """Return metadata with all envelopes in them; those of an earlier receipt are replaced, or taken out."""
    line = receipt_line(digest_of(receipt.payload))
    comments = {
        name: _with_line(metadata.get(name, ""), line)
        for name, prefix in _COMMENTS.items()
        if any(one.startswith(prefix) for one in metadata)
    }
    envelopes = {RECEIPT_KEY: _text(receipt), MODEL_KEY: _text(binding)}
    if countersignatures:
        envelopes[COUNTERSIGNATURES_KEY] = _list_text(countersignatures)
    others = {name: value for name, value in metadata.items() if name != COUNTERSIGNATURES_KEY}
    return {**others, **comments, **envelopes}


def carried_countersignatures(metadata: Mapping[str, str]) -> tuple[Envelope, ...]:
    """Return the countersignatures in metadata, none where there are none.

    Raises :class:`ProofError` for what would not have been written so.
    """
    text = metadata.get(COUNTERSIGNATURES_KEY)
    if text is None:
        return ()
    try:
        wire = strict_json(text.encode())
    except InputError as error:
        raise ProofError(f"{COUNTERSIGNATURES_KEY}: {error.message}") from error
    if not isinstance(wire, list) or not wire:
        raise ProofError(f"{COUNTERSIGNATURES_KEY}: expected a list of envelopes")
    found = tuple(map(Envelope.from_wire, wire))
    if _list_text(found) != text:
        raise ProofError(f"{COUNTERSIGNATURES_KEY}: not as it is written; nothing may format it anew")
    return found


def _with_line(comment: str, line: str) -> str:
    # kohya writes what is not there as the text None.
    lines = [one for one in comment.split("\n") if one not in ("", "None") and not _LINE.fullmatch(one)]
    return "\n".join([*lines, line])


def _text(envelope: Envelope) -> str:
    return envelope.to_json().decode().rstrip("\n")


def _list_text(envelopes: Sequence[Envelope]) -> str:
    return rfc8785.dumps([one.to_wire() for one in envelopes]).decode()


def _payload(envelope: Envelope) -> bytes:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ProofError(f"an envelope of {envelope.payload_type!r}; expected {PAYLOAD_TYPE!r}")
    return envelope.payload


def _signer(envelope: Envelope, maker: str, keys: Sequence[Verifier]) -> tuple[Verifier, Trust]:
    named = Verifier.parse(maker)
    known = [one for one in keys if one == named]
    dsse.verify(envelope, known or [named], PAYLOAD_TYPE)
    return named, Trust.KNOWN if known else Trust.UNKNOWN


def _require_own(signed: Signed, signer: Signer) -> None:
    if signer.verifier != signed.signer:
        raise ProofError(
            f"the receipt is signed by {keyid_of(signed.signer)}, and the key here is "
            f"{keyid_of(signer.verifier)}",
            hint="Attach it with the key of the run: --signing-key FILE.",
        )


def _opened(kind: type[_B], predicate: str, data: bytes, signed: Signed) -> _B:
    envelope = Envelope.from_json(data)
    binding = _parsed(kind, predicate, dsse.verify(envelope, [signed.signer], PAYLOAD_TYPE))
    if binding.maker != signed.signer.text:
        raise ProofError(f"it names the key {binding.maker[:60]}, and is signed by {signed.signer.text}")
    if binding.receipt != signed.sha256:
        raise ProofError(f"it is of the receipt {binding.receipt}, and this one is {signed.sha256}")
    return binding


def _parsed(kind: type[_B], predicate: str, payload: bytes) -> _B:
    try:
        wire: Any = strict_json(payload)
    except InputError as error:
        raise ProofError(f"not a statement: {error.message}") from error
    binding = parsed(kind, predicate_of(wire, predicate), "predicate")
    if binding.to_statement() != payload:
        raise ProofError("not a binding as it is written: of another subject, or written anew")
    return binding
