"""What holds of a receipt or a model that is shown to a page.

The checks are those of ``POST /api/v1/receipts/verify``. Whoever looks at a page seldom brings the maker's
key. Then the signature is checked by the key that the receipt names itself, and whose key that is stands
there as not told: this registry vouches for no maker.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from api.state import state
from api.v1.published import published_bundle
from api.v1.receipts import known_log
from registry.countersignature import Bundle
from registry.dsse import Envelope, keyid_of
from registry.model_checks import Check, Policy, Result
from registry.model_receipt import Signed, Trust
from registry.note import Verifier
from registry.receipt_checks import Registries, Verified, verify_header, verify_receipt

__all__ = ["checked_bundle", "checked_header", "told"]

_SIGNATURE = "signature"


def checked_bundle(bundle: Bundle, keys: Sequence[Verifier]) -> Verified:
    """Check a receipt with what was countersigned; without ``keys`` by its own."""
    data, given = bundle.receipt.to_json(), bundle.countersignatures
    found = verify_receipt(data, _policy(keys), _registries(), given)
    if keys or found.signed is None:
        return found
    return _by_its_own(verify_receipt(data, _policy([found.signed.signer]), _registries(), given))


def checked_header(header: bytes, tensors: str | None, keys: Sequence[Verifier]) -> Verified:
    """Check a model by its header; ``tensors`` is its tensor hash. Raises :class:`ModelError`."""
    found = verify_header(header, tensors, _policy(keys), _registries())
    if keys or found.signed is None:
        return found
    return _by_its_own(verify_header(header, tensors, _policy([found.signed.signer]), _registries()))


def told(found: Verified) -> dict[str, Any]:
    """Return the JSON form, which is that of ``POST /api/v1/receipts/verify``."""
    signed = found.signed
    own = any(one.name == _SIGNATURE and one.result is Result.NOT_TOLD for one in found.checks)
    return {
        "verdict": str(found.verdict),
        "receipt": None if signed is None else signed.sha256,
        "key": None if signed is None else signed.signer.text,
        "key_known": signed is not None and signed.trust is Trust.KNOWN and not own,
        "tensor_hash": found.tensors,
        "checks": [one.to_wire() for one in found.checks],
    }


def _by_its_own(found: Verified) -> Verified:
    return replace(found, checks=[_whose(one, found.signed) for one in found.checks])


def _whose(check: Check, signed: Signed | None) -> Check:
    if check.name != _SIGNATURE or check.result is not Result.OK or signed is None:
        return check
    text = f"right, by the key {keyid_of(signed.signer)} that the receipt names"
    return Check(_SIGNATURE, Result.NOT_TOLD, f"{text}; whose key that is, is not known here")


def _policy(keys: Sequence[Verifier]) -> Policy:
    log = state().log
    return Policy(keys=keys, now=int(state().now()), log_keys=[] if log is None else log.verifiers())


def _registries() -> Registries:
    log = known_log()
    return Registries([] if log is None else [log], _countersigned)


def _countersigned(signed: Signed) -> tuple[Envelope, ...]:
    bundle = published_bundle(signed)
    return () if bundle is None else bundle.countersignatures
