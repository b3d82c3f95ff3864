"""The documents of a run on the disk: what is read for them, and the card that every receipt comes with.

``card.md`` in the account is made with the receipt, of what the tool knows. ``declared.json`` beside it holds
the maker's answers once they are given; it is a file of theirs, to be edited and used again.
"""

import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from registry.client.formats.files import write_synced
from registry.documents import Declared, Told, declared_json, parse_declared
from registry.documents.card import card
from registry.documents.civitai import civitai
from registry.documents.croissant import croissant
from registry.documents.eu_template import eu_template
from registry.documents.spdx import spdx
from registry.errors import InputError
from registry.jsontext import strict_json
from registry.model_receipt import open_receipt
from registry.receipt import timestamp

__all__ = ["CARD", "DECLARED", "DOCUMENTS", "read_declared", "told_of", "write_card", "write_document"]

CARD = "card.md"
DECLARED = "declared.json"

_LARGEST = 1024 * 1024

DOCUMENTS: Mapping[str, Callable[[Told], str]] = {
    "card": card,
    "civitai": civitai,
    "croissant": croissant,
    "spdx": lambda told: spdx(told, timestamp(int(time.time()))),
    "eu": eu_template,
    "declared": lambda told: declared_json(told.declared),
}
"""Name of a format → what writes it."""


def told_of(receipt: bytes, declared: Declared = Declared()) -> Told:  # noqa: B008 - frozen
    """Return what documents are made of; raises :class:`ProofError` unless the signature is right."""
    return Told(open_receipt(receipt, []), declared)


def read_declared(path: Path) -> Declared:
    """Read the maker's declaration, TOML or JSON by its name. Raises :class:`InputError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InputError(f"it is larger than {_LARGEST >> 20} MiB")
        is_toml = path.suffix.lower() == ".toml"
        return parse_declared(tomllib.loads(data.decode()) if is_toml else strict_json(data))
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="Mend it, or name another.") from error


def write_card(account: Path, receipt: bytes) -> None:
    """Write the card of a receipt that was just made into its account."""
    write_document(account / CARD, card(told_of(receipt)))


def write_document(path: Path, text: str) -> None:
    """Write a document: whole, or not at all."""
    write_synced(path, text.encode())
