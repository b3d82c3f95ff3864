"""Receipts wherever they lie, with the countersignatures beside them.

A receipt is ``receipt.dsse.json`` in the account of a run, or ``receipt.bundle.json`` with its
countersignatures; ``caveat.receipt.json``, a bundle too, in the folder of a model; or text in the header of a
model file.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from registry.client.countersigning import BUNDLE
from registry.client.making import account_folder
from registry.client.models import read_header
from registry.client.receipts import RECEIPT, find_receipt
from registry.countersignature import Bundle
from registry.dsse import MAX_BYTES, Envelope
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.model_receipt import RECEIPT_KEY, carried_countersignatures

__all__ = ["FOLDER_BUNDLE", "Found", "bundle_from", "find_bundle", "is_model", "read_bundle"]

FOLDER_BUNDLE = "caveat.receipt.json"


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt, the bytes of ``receipt.dsse.json``, what came with it, and its account if that is known."""

    receipt: bytes
    countersignatures: Sequence[Envelope]
    account: Path | None

    @property
    def bundle(self) -> Bundle:
        """Both as one. Raises :class:`ProofError`."""
        return Bundle(Envelope.from_json(self.receipt), tuple(self.countersignatures))


def is_model(path: Path) -> bool:
    """Say whether a path is that of a model file, by its name."""
    return path.suffix.lower() == ".safetensors" and not path.is_dir()


def find_bundle(path: Path) -> Found:
    """Return the receipt at ``path``: a file, an account, the output of a run beside it, or a model.

    Raises :class:`ProofError` where there is none, or what is there is none; :class:`ModelError`.
    """
    if is_model(path):
        return _carried(path)
    data, account = read_bundle(path)
    return Found(*bundle_from(data), account)


def read_bundle(path: Path) -> tuple[bytes, Path | None]:
    """Return what is written of a receipt at ``path``, which is no model file, and the account it lies in.

    A bundle comes before the receipt alone. Raises :class:`ProofError` where nothing lies there, or a bundle
    beside another receipt than its own.
    """
    account = account_folder(path.absolute())
    places = (path / FOLDER_BUNDLE, path / BUNDLE, account / BUNDLE)
    named = path if path.is_file() and path.suffix == ".json" else None
    file = named or next((one for one in places if one.is_file()), None)
    if file is None or file.name == RECEIPT:
        return find_receipt(path)
    data = _read(file)
    if file.name != BUNDLE:
        return data, None
    beside = file.with_name(RECEIPT)
    if beside.is_file() and find_receipt(beside)[0] != bundle_from(data)[0]:
        raise ProofError(
            f"{file} is not of the receipt beside it", hint=f"Give the one that you mean: {beside} or {file}."
        )
    return data, file.parent


def bundle_from(data: bytes) -> tuple[bytes, tuple[Envelope, ...]]:
    """Return a receipt as it is written alone, and its countersignatures, from a bundle or from itself.

    Raises :class:`ProofError` for a bundle that is none. What is no bundle is not looked at.
    """
    with suppress(InputError):
        wire = strict_json(data)
        if not isinstance(wire, dict) or "receipt" not in wire:
            return data, ()
    bundle = Bundle.from_json(data)
    return bundle.receipt.to_json(), bundle.countersignatures


def _carried(path: Path) -> Found:
    metadata = read_header(path).metadata or {}
    if RECEIPT_KEY not in metadata:
        raise ProofError(f"{path} has no receipt in its header", hint="Attach one: caveat receipt attach.")
    return Found(metadata[RECEIPT_KEY].encode() + b"\n", carried_countersignatures(metadata), None)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ProofError(f"{file} is larger than {MAX_BYTES >> 20} MiB, and no receipt")
        return file.read_bytes()
    except OSError as error:
        raise ProofError(f"{file} cannot be read: {error.strerror}") from error
