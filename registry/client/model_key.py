"""The key that signs folders of models: what OpenSSF's model-signing takes, which is not what signs receipts.

An elliptic key, P-256, in PEM as other programs read it, made where it is first needed, and readable by its
owner alone. Whoever is to believe it is given the public half, ``caveat receipt key --model``.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registry.client.log_memory import write_private
from registry.errors import SettingsError

__all__ = ["PRIVATE", "ModelKey", "load_public", "own_model_key", "private_at"]

PRIVATE = "model-signing.pem"
"""Its name in the folder of the user's settings."""

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LARGEST = 10_000


@dataclass(frozen=True, slots=True)
class ModelKey:
    """The public half of a key in the file ``path``, as ``pem``."""

    path: Path
    pem: bytes

    @property
    def sha256(self) -> str:
        """What signatures call it: the SHA-256 of its PEM, hexadecimal."""
        return hashlib.sha256(self.pem).hexdigest()


def own_model_key(folder: Path) -> ModelKey:
    """Return the key in ``folder``, made the first time. Raises :class:`SettingsError`."""
    path = folder / PRIVATE
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_private(path, private.decode())
        return private_at(path)
    except OSError as error:
        raise SettingsError(
            f"no key can be kept in {path}: {error.strerror or error}", hint="Name one: --model-key FILE."
        ) from error


def private_at(path: Path) -> ModelKey:
    """Return the key whose private half is in ``path``.

    Raises :class:`SettingsError` for what is no elliptic key, or others may read; OSError.
    """
    if os.name != "nt" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(
            f"others may read the model key {path}", hint=f"Keep it to yourself: chmod 600 {path}."
        )
    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _none(path, "private") from error
    return ModelKey(path, _pem(key.public_key(), path))


def load_public(path: Path) -> ModelKey:
    """Return the public key in a file. Raises :class:`SettingsError` for what is no elliptic key; OSError."""
    try:
        return ModelKey(path, _pem(serialization.load_pem_public_key(_read(path)), path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _none(path, "public") from error


def _pem(key: object, path: Path) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise SettingsError(
            f"{path} holds a key of another kind; model-signing takes elliptic ones: {', '.join(_CURVES)}"
        )
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)


def _none(path: Path, half: str) -> SettingsError:
    return SettingsError(
        f"{path} holds no {half} key in PEM that can be read without a password",
        hint="openssl ecparam -name prime256v1 -genkey -noout makes one; so does caveat receipt key --model.",
    )
