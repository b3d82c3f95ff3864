"""A receipt put into a model file, and a model file checked by the receipt in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.client.bundles import Found
from registry.client.models import rewrite
from registry.client.receipts import this_tool
from registry.errors import ProofError
from registry.model_checks import Check, Policy, Result
from registry.model_receipt import Signed, attached, bind, open_receipt
from registry.note import Signer
from registry.receipt import timestamp
from registry.receipt_checks import COUNTERSIGNED, Registries, verify_metadata, verify_receipt
from registry.safetensors import auto_v2, auto_v3

__all__ = ["Attached", "attach", "require_attachable"]


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


def require_attachable(found: Found, signer: Signer) -> Signed:
    """Return a receipt that is right by the key here, with countersignatures that are of it.

    Whose keys signed these is for others to ask. Raises :class:`registry.errors.ProofError`.
    """
    policy = Policy([signer.verifier], int(time.time()))
    for one in verify_receipt(found.receipt, policy, Registries(), found.countersignatures).checks:
        if one.name == COUNTERSIGNED and one.result is Result.NOT_OK:
            raise ProofError(
                f"a countersignature of it does not hold: {one.text}", hint="Attach the receipt alone."
            )
    return open_receipt(found.receipt, [signer.verifier])


def attach(path: Path, found: Found, signer: Signer, target: Path | None = None) -> Attached:
    """Put a receipt and its countersignatures into the model at ``path``, or into a copy of it at ``target``.

    The tensors stay as they are, byte for byte. Raises :class:`registry.errors.ProofError` for a receipt that
    does not hold or is of another key, and for a countersignature that is not of it,
    :class:`registry.errors.ModelError` for a file that cannot be read or written; then nothing has changed.
    """
    signed, now = require_attachable(found, signer), int(time.time())
    bundle = found.bundle

    def edit(metadata: Mapping[str, str], tensors: str) -> Mapping[str, str]:
        binding = bind(signed, tensors, signer, this_tool(), timestamp(now))
        return attached(metadata, bundle.receipt, binding, bundle.countersignatures)

    done = rewrite(path, target or path, edit)
    model = done.model
    policy = Policy(keys=[signer.verifier], now=now)
    checks = verify_metadata(model.metadata, model.tensors, policy, Registries()).checks
    return Attached(model.path, model.tensors, done.before, done.after, checks)
