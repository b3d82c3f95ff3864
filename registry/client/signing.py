"""The maker's key: what signs the receipts of filter runs.

Ed25519, in a file of one line that only its owner may read, made where it is first needed. Nobody vouches for
it: it says that receipts are of one maker, and whoever is to believe them is given the public half,
``caveat receipt key``. A key that was lost is not made anew in silence where another is named.
"""

import os
import stat
from pathlib import Path

from registry.client.formats.files import sync_names
from registry.errors import ProofError, SettingsError
from registry.note import Signer, Verifier

__all__ = ["KEY_FILE", "key_of", "load_key", "own_key"]

KEY_FILE = "maker.key"
"""Its name in the folder of the user's settings."""

_NAME = "maker"
_LARGEST = 1000


def own_key(folder: Path) -> Signer:
    """Return the key in ``folder``, made the first time. Raises :class:`SettingsError`."""
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise SettingsError(
            f"no key can be kept in {path}: {error.strerror or error}",
            hint="Name another place for it: --signing-key FILE, or CAVEAT_SIGNING_KEY.",
        ) from error
    return load_key(path)


def load_key(path: Path) -> Signer:
    """Return the key in a file. Raises :class:`SettingsError` when it is none, or others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LARGEST)
    except OSError as error:
        raise SettingsError(
            f"the signing key {path} cannot be read: {error.strerror}", hint="Put a copy of it back."
        ) from error
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"others may read the signing key {path}", hint=f"Keep it to yourself: chmod 600 {path}."
        )
    try:
        return Signer.parse(data.decode("ascii").rstrip("\r\n"))
    except (ProofError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} holds no signing key, or a damaged one",
            hint="Put a copy of it back. One that is moved away is followed by a new key.",
        ) from error


def key_of(text: str) -> Verifier:
    """Return a public key, given as text or as the name of a file with it. Raises :class:`ProofError`."""
    path = Path(text)
    if "+" not in text or path.is_file():
        try:
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ProofError(
                f"{text[:200]} is neither a public key nor a file with one",
                hint="Give what caveat receipt key prints.",
            ) from error
    return Verifier.parse(text.strip())


def _make(path: Path) -> None:
    """Write a new key, unless another process was quicker: then that one is the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii", newline="\n") as file:
            file.write(Signer.new(_NAME).text + "\n")
            file.flush()
            os.fsync(file.fileno())
        _appear(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_names(path.parent)


def _appear(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        # A disk without hard links, where two that begin at once end with the key of the second.
        if not path.exists():
            os.replace(temporary, path)
