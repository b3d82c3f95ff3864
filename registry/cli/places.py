"""Places on the command line: paths on this machine, and addresses of object stores."""

from pathlib import Path
from typing import Any

import click

from registry.client.stores import Address, place_of

__all__ = ["PlaceType"]


class PlaceType(click.ParamType[Path | Address]):
    """A path, or ``protocol://bucket/prefix``; a path must be there where ``exists`` is true."""

    name = "place"

    def __init__(self, *, exists: bool = False) -> None:
        self._path = click.Path(exists=exists, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | Address:
        """Return the path or the address.

        Raises :class:`registry.errors.InputError` for an address that cannot be one.
        """
        place = place_of(value)
        if isinstance(place, Address):
            return place
        path: Path = self._path.convert(value, param, ctx)
        return path
