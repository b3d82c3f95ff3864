"""Turns single bits in a published log's files, and asks fsck which files are not as they should be."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from registry.fsck import fsck
from registry.log_folder import LogFolder
from registry.store import Store
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, tile_path, tiles_between

__all__ = ["all_at_once", "kind_of", "names_of", "one_at_a_time", "outgrown"]


def names_of(log: Path) -> list[str]:
    """Return the name of every tile and bundle in the folder, partial ones too, in order."""
    return sorted(str(path.relative_to(log)) for path in (log / "tile").rglob("*") if path.is_file())


def outgrown(log: Path, size: int) -> list[str]:
    """Return the partial files of earlier sizes, of which a log of this size has wider ones."""
    bundles = (Tile(ENTRIES, at // HASHES_A_TILE, min(HASHES_A_TILE, size - at)) for at in _starts(size))
    wanted = {tile_path(tile) for tile in [*bundles, *tiles_between(0, size)]}
    assert wanted <= set(names_of(log))
    return [name for name in names_of(log) if name not in wanted]


def kind_of(name: str) -> str:
    """Return ``tile/LEVEL``, with ``partial`` behind it for one that is not full."""
    return "/".join(name.split("/")[:2]) + (" partial" if ".p/" in name else "")


def one_at_a_time(store: Store, log: Path, size: int, names: Iterable[str], seed: int = 0) -> list[str]:
    """Turn one bit of one file after the other; return the files for which fsck did not name just them."""
    chance, missed = random.Random(seed), []
    for name in names:
        with _turned(log / name, chance):
            if _named(store, log, size) != [name]:
                missed.append(name)
    return missed


def all_at_once(store: Store, log: Path, size: int, names: Sequence[str], seed: int = 0) -> list[str]:
    """Turn one bit of every file; return those that fsck did not name, or named without cause."""
    _turn_all(log, names, seed)
    found = _named(store, log, size)
    _turn_all(log, names, seed)
    assert len(found) == len(set(found))
    return sorted(set(found) ^ set(names))


def _turn_all(log: Path, names: Sequence[str], seed: int) -> None:
    """Turn the same bits for the same seed, so that doing it twice mends the files."""
    chance = random.Random(seed)
    for name in names:
        _turn(log / name, chance)


def _named(store: Store, log: Path, size: int) -> list[str]:
    return [message.partition(":")[0] for message in fsck(store, LogFolder(log), size)]


def _turn(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


@contextmanager
def _turned(path: Path, chance: random.Random) -> Iterator[None]:
    sound = path.read_bytes()
    _turn(path, chance)
    try:
        yield
    finally:
        path.write_bytes(sound)


def _starts(size: int) -> range:
    return range(0, size, HASHES_A_TILE)
