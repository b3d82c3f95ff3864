"""A receipt put into a model file, and a model file checked by the receipt in it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.client.models import read_model, sha256_of_file, write_metadata
from registry.client.receipts import this_tool
from registry.dsse import Envelope
from registry.model_checks import Check, Policy, check_model
from registry.model_receipt import attached, bind, open_receipt
from registry.note import Signer
from registry.receipt import timestamp
from registry.safetensors import auto_v2, auto_v3

__all__ = ["Attached", "attach"]


@dataclass(frozen=True, slots=True)
class Attached:
    """What was done: the file, its tensor hash, which is as it was, and its SHA-256 before and now.

    ``checks`` are those of whoever receives the file and knows the key.
    """

    path: Path
    tensors: str
    before: str
    after: str
    checks: Sequence[Check]

    def to_wire(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "model": str(self.path),
            "tensor_hash": self.tensors,
            "auto_v3": auto_v3(self.tensors),
            "sha256_before": self.before,
            "sha256": self.after,
            "auto_v2_before": auto_v2(self.before),
            "auto_v2": auto_v2(self.after),
            "checks": [one.to_wire() for one in self.checks],
        }


def attach(path: Path, receipt: bytes, signer: Signer, target: Path | None = None) -> Attached:
    """Put a receipt, the bytes of ``receipt.dsse.json``, into the model at ``path``, or into a copy of it.

    The tensors stay as they are, byte for byte. Raises :class:`registry.errors.ProofError` for a receipt that
    does not hold or is of another key, :class:`registry.errors.ModelError` for a file that cannot be read or
    written; the model is then as it was.
    """
    target = target or path
    signed = open_receipt(receipt, [signer.verifier])
    model = read_model(path)
    now = int(time.time())
    binding = bind(signed, model.tensors, signer, this_tool(), timestamp(now))
    before = sha256_of_file(path)
    write_metadata(model, attached(model.metadata, Envelope.from_json(receipt), binding), target)
    written = read_model(target)
    policy = Policy(keys=[signer.verifier], now=now)
    checks = check_model(written.metadata, written.tensors, policy)
    return Attached(target, written.tensors, before, sha256_of_file(target), checks)
