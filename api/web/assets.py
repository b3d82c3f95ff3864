"""Style sheets, scripts and pictures of the pages, under names that change with their contents.

So they are kept by browsers for a year, and are never an old one's beside a new page. A script that loads
others names them by where they lie, so all of these stand in one folder, whose name changes with any of them.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from registry.errors import NotFoundError

__all__ = ["Asset", "asset_name", "asset_named", "module_named", "modules_name"]

_FOLDER = Path(__file__).parent.parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MODULE_TYPES = {".js": _TYPES[".js"], ".wasm": "application/wasm"}
_DIGITS = 12


class Asset(NamedTuple):
    """A file as it is sent."""

    data: bytes
    content_type: str


def asset_name(file: str) -> str:
    """Return the name under which ``file`` is served: ``style.css`` → ``style-0123456789ab.css``."""
    return _names()[file]


def asset_named(name: str) -> Asset:
    """Return what is served under ``name``. Raises :class:`NotFoundError`."""
    found = _assets().get(name)
    if found is None:
        raise NotFoundError(f"no file {name[:80]!r} belongs to the pages of this release")
    return found


@cache
def _names() -> dict[str, str]:
    names = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]
            names[path.name] = f"{path.stem}-{digest}{path.suffix}"
    return names


@cache
def _assets() -> dict[str, Asset]:
    return {
        name: Asset((_FOLDER / file).read_bytes(), _TYPES[Path(file).suffix])
        for file, name in _names().items()
    }


def modules_name() -> str:
    """Return the folder under which the scripts are served that load others."""
    return f"modules-{_modules()[1]}"


def module_named(folder: str, name: str) -> Asset:
    """Return the file ``name`` of a folder of scripts. Raises :class:`NotFoundError`."""
    found = _modules()[0].get(name) if folder == modules_name() else None
    if found is None:
        raise NotFoundError(f"no file {name[:80]!r} in {folder[:40]!r} belongs to the pages of this release")
    return found


@cache
def _modules() -> tuple[dict[str, Asset], str]:
    found, digest = {}, hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file() and path.suffix in _MODULE_TYPES:
            name, data = path.relative_to(_FOLDER).as_posix(), path.read_bytes()
            found[name] = Asset(data, _MODULE_TYPES[path.suffix])
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return found, digest.hexdigest()[:_DIGITS]
