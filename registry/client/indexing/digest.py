"""What tells that a dataset is still the one that was indexed."""

import hashlib
from pathlib import Path

from registry.client.formats.files import state_of
from registry.client.formats.folder import walk

__all__ = ["digest_of"]


def digest_of(source: Path) -> str:
    """Return what changes when a dataset does: of names, sizes and times of its files; hexadecimal."""
    root, names = source, []
    if source.is_dir():
        names = walk(source)
    else:
        # A shard may have its table beside it.
        root = source.parent
        beside = (f"{source.stem}.parquet", f"{source.stem}_stats.json") if source.suffix == ".tar" else ()
        names = [source.name, *(name for name in beside if (root / name).is_file())]
    found = hashlib.sha256()
    for name in names:
        found.update(repr((name, *state_of(root / name))).encode())
    return found.hexdigest()
