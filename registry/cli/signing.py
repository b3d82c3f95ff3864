"""With which keys receipts, and folders of models, are signed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from registry.client.model_key import PRIVATE, ModelKey, own_model_key, private_at
from registry.client.signing import KEY_FILE, load_key, own_key
from registry.note import Signer

__all__ = ["known_key", "known_model_key", "model_signer_of", "signer_of", "signing_key_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


def signing_key_option(command: Command) -> Command:
    """Add ``--signing-key``."""
    return click.option(
        "--signing-key",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="CAVEAT_SIGNING_KEY",
        help="Key that signs receipts.  [env: CAVEAT_SIGNING_KEY; default: your own, made the first time]",
    )(command)


def signer_of(path: Path | None) -> Signer:
    """Return the key in ``path``, or the user's own, made the first time. Raises :class:`SettingsError`."""
    return own_key(_folder()) if path is None else load_key(path)


def known_key(path: Path | None) -> Signer | None:
    """Return the same, but None where there is no key yet."""
    if path is None and not (_folder() / KEY_FILE).exists():
        return None
    return signer_of(path)


def model_signer_of(path: Path | None) -> ModelKey:
    """Return the model key in ``path``, or the user's own, made the first time; raises as above."""
    return own_model_key(_folder()) if path is None else private_at(path)


def known_model_key() -> ModelKey | None:
    """Return the user's own model key, None where there is none yet."""
    return own_model_key(_folder()) if (_folder() / PRIVATE).exists() else None


def _folder() -> Path:
    return Path(click.get_app_dir("caveat"))
