"""C2PA manifests: the signature of a work's maker over what the work may be used for.

What is signed is the file as it is, so this comes last: whoever writes XMP afterwards breaks the signature.
A manifest that the file carries already stays, as that of its parent. Nothing is fetched and no time stamp is
asked for, so the signature is Valid until its certificate expires. What was signed is read back before it is
given away.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from registry.errors import InputError, PictureError, PictureTooLargeError, ProofError
from registry.preference import Preference, Use
from registry.signals.c2pa import KEYS, MAX_FILE, PURPOSES, VALUES, c2pa_module, library_settings, read
from registry.signals.parts import picture_kind
from registry.signals.writing.choice import Choice
from registry.statement import Quality, Speaker

__all__ = ["LABEL", "MIMES", "Credential", "carried", "sign"]

MIMES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}
"""Kind of picture → the media type of what can be signed."""

LABEL = "cawg.training-mining"
"""The label of the assertion that is signed (CAWG Training and Data Mining Assertion 1.1)."""

_WORDS = {value: word for word, value in VALUES.items()}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_LEAST_RSA = 2048


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signs: ``chain`` is PEM, the signer's certificate first; ``key`` is its private key, PEM, plain."""

    chain: bytes
    key: bytes = field(repr=False)


def carried(choice: Choice) -> dict[Use, Preference]:
    """Return what of a choice an assertion says; the uses without a key are left out."""
    keys = set(KEYS.values())
    return {use: value for use, value in choice.preferences.items() if use in keys}


def sign(data: bytes, mime: str, choice: Choice, credential: Credential) -> bytes:
    """Return the file with a signed manifest that says of a choice what :func:`carried` tells.

    Raises :class:`SettingsError` without the extra ``[c2pa]``, :class:`PictureError` for a file that is not
    of the kind ``mime``, :class:`InputError` for a choice of which nothing can be said, and
    :class:`ProofError` for a certificate or key that cannot sign, or when what was signed does not read back
    as it was meant.
    """
    module = c2pa_module()
    _check_picture(data, mime)
    entries = _entries(choice)
    info = _signer_info(module, credential)
    assertion = {"label": LABEL, "data": {"entries": entries}, "created": True}
    manifest = {"claim_generator_info": [{"name": "Caveat"}], "assertions": [assertion]}
    try:
        signed = _signed(module, (data, mime), manifest, info)
    except (module.C2paError.Signature, module.C2paError.Verify) as error:
        raise _unsuitable(str(error), credential) from error
    except module.C2paError as error:
        raise PictureError(f"the picture cannot be signed: {str(error)[:300]}") from error
    _read_back(signed, carried(choice))
    return signed


def _signed(
    module: ModuleType, picture: tuple[bytes, str], manifest: Mapping[str, Any], info: object
) -> bytes:
    data, mime = picture
    signed = io.BytesIO()
    with (
        module.Context.from_dict(dict(library_settings())) as context,
        module.Signer.from_info(info) as signer,
        module.Builder(dict(manifest), context) as builder,
    ):
        # The work is there already: it is opened and something is said about it, it is not created.
        builder.set_intent(module.C2paBuilderIntent.EDIT)
        builder.sign(signer, mime, io.BytesIO(data), signed)
    return signed.getvalue()


# -- what is signed --------------------------------------------------------------------------------


def _check_picture(data: bytes, mime: str) -> None:
    if len(data) > MAX_FILE:
        raise PictureTooLargeError(f"{len(data)} bytes, signed are at most {MAX_FILE}")
    found = MIMES.get(picture_kind(data))
    if found is None or found != mime:
        raise PictureError(
            f"expected {mime}, got {found or 'a file of another kind'}",
            hint=f"signed are {', '.join(MIMES.values())}",
        )


def _entries(choice: Choice) -> dict[str, dict[str, str]]:
    said = carried(choice)
    if not said:
        raise InputError(
            "there is nothing to sign: C2PA has no word for what was chosen",
            hint=f"It speaks of {', '.join(KEYS.values())}.",
        )
    return {f"cawg.{key}": _entry(said[use], choice.terms) for key, use in KEYS.items() if use in said}


def _entry(value: Preference, terms: str) -> dict[str, str]:
    condition = {"constraint_info": terms} if terms and value is Preference.CONDITIONAL else {}
    return {"use": _WORDS[value], **condition}


def _read_back(signed: bytes, meant: Mapping[Use, Preference]) -> None:
    reading = read(signed)
    signals = [one.signal for one in reading.statements if one.signal and dict(one.preferences) == meant]
    if any(one.speaker is Speaker.SIGNED and one.quality is Quality.EXACT for one in signals):
        return
    found = [one.signal.said for one in reading.statements if one.signal]
    raise ProofError(
        "what was signed does not read back as it was meant: "
        f"{'; '.join([*found, *(fault.message for fault in reading.faults)]) or 'nothing'}"
    )


# -- who signs -------------------------------------------------------------------------------------


def _signer_info(module: ModuleType, credential: Credential) -> object:
    leaf, key = _leaf(credential), _key(credential)
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise ProofError(
            "the private key is not that of the first certificate of the chain",
            hint="the chain begins with the signer's own certificate, that of its issuer follows",
        )
    _check_purpose(leaf)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # No time stamp: it would be fetched.
    return module.C2paSignerInfo(_algorithm(key), credential.chain, private, None)


def _leaf(credential: Credential) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(credential.chain)[0]
    except ValueError as error:
        raise ProofError(f"the certificate chain is not PEM: {error}") from error


def _key(credential: Credential) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(credential.key, None)
    except TypeError as error:
        raise ProofError(
            "the private key is encrypted", hint="decrypt it first: openssl pkey -in KEY -out PLAIN"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ProofError("the private key is not PEM, or of a kind that is not known") from error


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _algorithm(key: PrivateKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA:
        return "ps256"
    raise ProofError(
        "a private key of a kind that may not sign",
        hint=f"C2PA takes P-256, P-384, P-521, Ed25519, and RSA from {_LEAST_RSA} bits",
    )


def _check_purpose(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        found = [one.dotted_string for one in usage]
    except x509.ExtensionNotFound:
        found = []
    if not set(found) & set(PURPOSES):
        raise ProofError(
            f"a certificate for {', '.join(found) or 'no named purpose'}, which may not sign a claim",
            hint="its extended key usage has to name one of "
            + ", ".join(f"{name} ({number})" for number, name in PURPOSES.items()),
        )


def _unsuitable(message: str, credential: Credential) -> ProofError:
    leaf = _leaf(credential)
    validity = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return ProofError(
        f"the certificate does not sign: {message[:300]}",
        hint=f"it is valid from {validity}; see the profile of certificates in C2PA 2.4, section 14.5",
    )
