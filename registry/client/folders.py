"""Folders of models, signed as OpenSSF's model-signing does it, with a receipt inside.

    model/
      diffusion_pytorch_model.safetensors  …
      caveat.receipt.json    the receipt with its countersignatures
      caveat.model.json      binds it to the key that signs the folder, by the key of the receipt
      model.sig              the signature over every file, but itself and git's own

``model.sig`` is what the library model-signing writes and verifies; any program that reads its format can
verify the folder without this one. What the library ignores is listed in the signature itself: one that
leaves out more than the above is refused, since the model could be among it.
"""

import base64
import binascii
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from registry.client.attaching import require_attachable
from registry.client.bundles import FOLDER_BUNDLE, Found
from registry.client.formats.files import appearing, remove, write_synced
from registry.client.model_key import ModelKey
from registry.client.receipts import this_tool
from registry.errors import CaveatError, InputError, ModelError, ProofError, SettingsError
from registry.jsontext import strict_json
from registry.model_checks import SKEW, Check, Result
from registry.model_receipt import Signed, bind_folder, open_folder_binding
from registry.note import Signer
from registry.oneline import one_line
from registry.receipt import seconds_of, timestamp

__all__ = ["BINDING", "SIGNATURE", "attach_folder", "check_folder", "is_folder", "model_signing"]

SIGNATURE = "model.sig"
BINDING = "caveat.model.json"

_NAME = "model signature"
_LEFT_OUT = {SIGNATURE, ".git", ".gitignore", ".gitattributes", ".github"}
_LARGEST = 64 * 1024 * 1024
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
# The library prints hashes as Python does bytes.
_DIGESTS = re.compile(r": Expected 'Digest\(.*?\)', Actual 'Digest\(.*?\)'(?=[\"',\]])")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a signature says of itself, before it is verified: by which key, and what it leaves out."""

    key: str
    left_out: frozenset[str]


def model_signing() -> ModuleType:
    """Return the library. Raises :class:`SettingsError` where it is not installed."""
    try:
        import model_signing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise SettingsError(
            f"folders of models need model-signing, which is not installed ({error})",
            hint="pip install 'caveat-registry[model-signing]'",
        ) from error
    return model_signing


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder with a receipt attached."""
    return (path / FOLDER_BUNDLE).is_file()


def attach_folder(folder: Path, found: Found, signer: Signer, key: ModelKey) -> None:
    """Put a receipt and what binds it into ``folder``, and sign all of it with the private model key.

    What another key signed is not signed over. Raises :class:`ProofError` as ``attach``, :class:`ModelError`
    for a folder that cannot be signed, :class:`SettingsError`; receipt and signature are then as they were.
    """
    library = model_signing()
    signed = require_attachable(found, signer)
    _require_free(folder, key)
    binding = bind_folder(signed, key.sha256, signer, this_tool(), timestamp(int(time.time())))
    with _restored([folder / FOLDER_BUNDLE, folder / BINDING, folder / SIGNATURE]):
        write_synced(folder / FOLDER_BUNDLE, found.bundle.to_json())
        write_synced(folder / BINDING, binding.to_json())
        with appearing(folder / SIGNATURE) as [temporary], _named(folder):
            hashing = library.hashing.Config().set_ignored_paths(paths=[SIGNATURE])
            config = library.signing.Config().set_hashing_config(hashing)
            config.use_elliptic_key_signer(private_key=key.path).sign(folder, temporary)


def check_folder(folder: Path, signed: Signed, keys: Sequence[ModelKey], now: int) -> list[Check]:
    """Check that nothing in a folder was changed since one of ``keys`` signed it, and whose key that is.

    Raises :class:`SettingsError` where the library is not installed.
    """
    library = model_signing()
    try:
        claim = _claim(folder / SIGNATURE)
        key = _known(claim, keys)
        _verify(library, folder, key)
    except CaveatError as error:
        return [Check(_NAME, Result.NOT_OK, error.message)]
    text = f"every file is as {key.path.name} signed it, but for git's own"
    return [Check(_NAME, Result.OK, text), _bound(folder, signed, key, now)]


def _verify(library: ModuleType, folder: Path, key: ModelKey) -> None:
    with TemporaryDirectory(prefix="caveat-") as place, _named(folder):
        # The library reads keys from files, and the public half of our own is in none.
        public = Path(place, "public.pem")
        public.write_bytes(key.pem)
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=public)
        config.verify(folder, folder / SIGNATURE)


def _bound(folder: Path, signed: Signed, key: ModelKey, now: int) -> Check:
    name = "model key"
    try:
        binding = open_folder_binding((folder / BINDING).read_bytes(), signed)
    except (ProofError, OSError) as error:
        told = error.message if isinstance(error, ProofError) else error.strerror
        return Check(name, Result.NOT_OK, f"the receipt is bound to no key: {BINDING}: {told}")
    if binding.model_key != key.sha256:
        text = f"the receipt is bound to the key {binding.model_key}, and {key.sha256} signed the folder"
        return Check(name, Result.NOT_OK, text)
    if seconds_of(binding.attached) > now + SKEW:
        return Check(name, Result.NOT_OK, f"from the future: bound {binding.attached}")
    return Check(name, Result.OK, "the key of the receipt says that this key signs its models")


def _known(claim: _Claim, keys: Sequence[ModelKey]) -> ModelKey:
    beyond = sorted(claim.left_out - _LEFT_OUT)
    if beyond:
        raise ProofError(f"the signature leaves out {', '.join(beyond)[:200]}, so anybody can change that")
    for key in keys:
        if key.sha256 == claim.key:
            return key
    raise ProofError(f"signed by the key {claim.key}, which is not known here: give it with --model-key FILE")


def _claim(path: Path) -> _Claim:
    """Read what a signature says of itself. Raises :class:`ProofError`."""
    try:
        with path.open("rb") as file:
            wire = strict_json(file.read(_LARGEST))
        # Signatures by certificates and by Sigstore name no key.
        key = wire["verificationMaterial"]["publicKey"]["hint"]
        said = strict_json(base64.b64decode(wire["dsseEnvelope"]["payload"], validate=True))
        left_out = said["predicate"]["serialization"].get("ignore_paths", [])
        return _Claim(_digits(key), frozenset(map(_text, left_out)))
    except FileNotFoundError as error:
        raise ProofError(f"there is none: no {path.name} in the folder") from error
    except (OSError, InputError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ProofError(f"{path.name} is no signature of a folder by a key") from error


def _digits(value: Any) -> str:
    if not _HEX.fullmatch(_text(value)):
        raise TypeError(f"expected the hash of a key, got {value[:80]!r}")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _require_free(folder: Path, key: ModelKey) -> None:
    ours = {folder / FOLDER_BUNDLE, folder / BINDING, folder / SIGNATURE}
    if not any(one.is_file() for one in folder.rglob("*") if one not in ours):
        raise ModelError(f"there is no file of a model in {folder}", hint="Give the folder of the model.")
    path = folder / SIGNATURE
    if not path.exists():
        return
    try:
        is_own = _claim(path).key == key.sha256
    except ProofError:
        is_own = False
    if not is_own:
        raise ModelError(
            f"{path} is not by the key {key.path}: it would not hold any more",
            hint="Move it away, if this folder is yours to sign.",
        )


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Have whatever the library raises, which is of any kind, say that the folder does not hold."""
    try:
        yield
    except CaveatError:
        raise
    except Exception as error:
        text = one_line(_DIGESTS.sub("", str(error))) or "its signature is wrong"
        hint = "Put the files themselves there: links are not signed." if "symlink" in text else ""
        raise ModelError(f"{folder}: {text[:500]}", hint=hint) from error


@contextmanager
def _restored(paths: Sequence[Path]) -> Iterator[None]:
    """Put files back as they were when the block fails."""
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, data in before.items():
            if data is None:
                remove(path)
            else:
                write_synced(path, data)
        raise
