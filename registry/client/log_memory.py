"""What a client remembers of the logs that it visited: a file a log, written whole or not at all.

    {"v": 1, "origin": "log.example", "keys": ["log.example+…"], "checkpoint": "log.example\\n7\\n…",
     "registries": {"https://registry.example": 7}}

The last state of each log is what the next one is held against, so a file that cannot be read is an error and
never a first time. Where a log contradicts what it signed, both checkpoints are written to a file beside it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry.client.formats.files import appearing
from registry.client.http import RegistryClient
from registry.client.log import Found, Kept, NotYetError, Seen, check_log, origin_of
from registry.errors import CaveatError, InputError, LogError, ProofError, RegistryRefusedError
from registry.jsontext import strict_json
from registry.note import Verifier
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, beginning, tile_path

__all__ = ["LogMemory", "look", "visit", "write_private"]

_LARGEST_CHECKPOINT = 100_000
_LARGEST_TILE = 32 * HASHES_A_TILE
_LARGEST_BUNDLE = (65_535 + 2) * HASHES_A_TILE
_LONGEST_NAME = 100


class LogMemory:
    """The files in ``folder``, or the one ``file`` whatever the log."""

    def __init__(self, folder: Path, file: Path | None = None) -> None:
        self.folder, self.file = folder, file

    def place(self, origin: str) -> Path:
        """Return the file of the log of that name."""
        if self.file is not None:
            return self.file
        name = quote(origin, safe="") or "%"
        if len(name) > _LONGEST_NAME:
            name = hashlib.sha256(origin.encode()).hexdigest()
        return self.folder / f"{name}.json"

    def load(self, origin: str) -> Kept | None:
        """Return what is kept of a log, None the first time.

        Raises :class:`ProofError` for a file that is damaged or does not hold, :class:`LogError` for one of
        another log.
        """
        path = self.place(origin)
        kept = _read(path)
        if kept is not None and kept.origin != origin:
            raise LogError(f"{path} keeps the log {kept.origin}, and this one is {origin!r}", hint=_OTHER)
        return kept

    def require_same(self, registry: str, origin: str) -> None:
        """Raise :class:`LogError` when ``registry`` was seen with a log of another name."""
        for path in sorted(self.folder.glob("*.json")) if self.file is None else ():
            kept = _read(path)
            if kept is not None and registry in kept.registries and kept.origin != origin:
                raise LogError(
                    f"the log of {registry} is called {origin!r} now; it was {kept.origin}, kept in {path}",
                    hint=_OTHER,
                )

    def save(self, kept: Kept) -> Path:
        """Keep the state of a log; returns the file."""
        path = self.place(kept.origin)
        wire = {
            "v": 1,
            "origin": kept.origin,
            "keys": [key.text for key in kept.keys],
            "checkpoint": kept.note,
            "registries": dict(kept.registries),
        }
        write_private(path, json.dumps(wire, indent=2, ensure_ascii=False) + "\n")
        return path

    def accuse(self, seen: Seen, kept: Kept | None, why: str) -> Path:
        """Write down what is seen and what is kept, for others to check; returns the file."""
        before = "" if kept is None else kept.note
        digest = hashlib.sha256(f"{before}\0{seen.note}".encode()).hexdigest()[:12]
        wire = {
            "why": why,
            "registry": seen.registry,
            "known_keys": [] if kept is None else [key.text for key in kept.keys],
            "kept": None if kept is None else kept.note,
            "seen": seen.note,
            "shown_keys": seen.keys,
        }
        path = self.place(origin_of(seen.note)).with_suffix(f".contradiction-{digest}.txt")
        write_private(path, json.dumps(wire, indent=2, ensure_ascii=False) + "\n")
        return path


_OTHER = (
    "Ask the operator why, and for the key of the new log. If it is right, give it with --log-key: "
    "then it is followed from now on."
)


def look(client: RegistryClient) -> Seen:
    """Ask a registry for its keys, its checkpoint, and later its tiles. Raises RegistryError."""
    # The keys first: a checkpoint that is newer than they are is signed by the same ones.
    keys = client.log_keys()
    data = client.fetch("/checkpoint", _LARGEST_CHECKPOINT)
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise ProofError(f"the checkpoint of {client.url} is no text") from error
    return Seen(client.url, keys, note, lambda tile: _tile(client, tile))


def visit(
    seen: Seen,
    memory: LogMemory,
    given: Verifier | None,
    further: Callable[[Found], None] = lambda _: None,
) -> tuple[Found, Path]:
    """Check a log against what is kept of it, ``further`` too, and keep its new state.

    Returns what was found and the file. What contradicts what is kept is written down: the error says where.
    """
    origin = origin_of(seen.note)
    kept = memory.load(origin)
    if given is None:
        memory.require_same(seen.registry, origin)
    try:
        found = check_log(seen, kept, given)
        further(found)
    except NotYetError:
        raise
    except (ProofError, LogError) as error:
        raise _with_place(error, memory.accuse(seen, kept, error.message)) from error
    return found, memory.save(found.kept)


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner's eyes. Raises OSError."""
    with appearing(path) as [temporary]:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _with_place(error: CaveatError, path: Path) -> CaveatError:
    return type(error)(error.message, hint=f"{error.hint} What was seen and kept is in {path}.".strip())


def _read(path: Path) -> Kept | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _parsed(strict_json(data))
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        told = error.message if isinstance(error, InputError) else repr(error)
        raise ProofError(
            f"what was kept of a log in {path} cannot be used: {told}",
            hint="Put a copy of it back. Without one, move it away: the log is then met as if for the first "
            "time, and nothing says whether it goes on from what it was.",
        ) from error


def _parsed(wire: Mapping[str, Any]) -> Kept:
    if wire["v"] != 1:
        raise ValueError(f"version {wire['v']!r}; this client reads 1")
    keys, registries = wire["keys"], wire["registries"]
    if not (isinstance(keys, list) and keys and isinstance(registries, dict)):
        raise ValueError("keys are a list, and registries an object")
    if not all(type(size) is int for size in registries.values()):
        raise ValueError("a registry without the number of events that it showed")
    kept = Kept(tuple(Verifier.parse(one) for one in keys), wire["checkpoint"], registries)
    if any(key.name != wire["origin"] for key in kept.keys) or kept.checkpoint.origin != wire["origin"]:
        raise ValueError("keys or checkpoint of another log")
    return kept


def _tile(client: RegistryClient, tile: Tile) -> bytes:
    """Fetch a tile; a partial one that is no longer kept is the beginning of the full one."""
    largest = _LARGEST_BUNDLE if tile.level == ENTRIES else _LARGEST_TILE
    try:
        return client.fetch(f"/{tile_path(tile)}", largest)
    except RegistryRefusedError:
        if tile.width == HASHES_A_TILE:
            raise
        with suppress(RegistryRefusedError):
            full = tile_path(replace(tile, width=HASHES_A_TILE))
            return beginning(tile, client.fetch(f"/{full}", largest))
        raise
