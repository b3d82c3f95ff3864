"""A receipt put into a model file, and a model file checked by the receipt in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.client.bundles import Found
from registry.client.models import rewrite
from registry.client.receipts import this_tool
from registry.model_checks import Check, Policy
from registry.model_receipt import attached, bind, open_receipt
from registry.note import Signer
from registry.receipt import timestamp
from registry.receipt_checks import Registries, verify_metadata
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


def attach(path: Path, found: Found, signer: Signer, target: Path | None = None) -> Attached:
    """Put a receipt and its countersignatures into the model at ``path``, or into a copy of it at ``target``.

    The tensors stay as they are, byte for byte. Raises :class:`registry.errors.ProofError` for a receipt that
    does not hold or is of another key, :class:`registry.errors.ModelError` for a file that cannot be read or
    written; the model is then as it was.
    """
    signed, bundle, now = open_receipt(found.receipt, [signer.verifier]), found.bundle, int(time.time())

    def edit(metadata: Mapping[str, str], tensors: str) -> Mapping[str, str]:
        binding = bind(signed, tensors, signer, this_tool(), timestamp(now))
        return attached(metadata, bundle.receipt, binding, bundle.countersignatures)

    done = rewrite(path, target or path, edit)
    model = done.model
    policy = Policy(keys=[signer.verifier], now=now)
    checks = verify_metadata(model.metadata, model.tensors, policy, Registries()).checks
    return Attached(model.path, model.tensors, done.before, done.after, checks)
