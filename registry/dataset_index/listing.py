"""The list of an index folder: of which dataset it is, which parts there are, and whether all are.

``index.json`` is replaced whole, by renaming. A part counts once it is listed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from registry.dataset_index.part import Counts, Listed, file_of, outside
from registry.errors import DatasetError, InputError
from registry.fingerprint import VERSION
from registry.jsontext import strict_json

__all__ = ["LIST", "Listing", "read_listing", "write_listing"]

LIST = "index.json"
_FORMAT = 1
_MAKE_ANEW = "Run caveat index DATASET --replace."


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds; ``digest`` changes whenever the dataset does, by names, sizes and times."""

    name: str
    format: str
    digest: str
    parts: tuple[Listed, ...] = ()
    complete: bool = False

    @property
    def counts(self) -> Counts:
        """What all parts hold."""
        return reduce(add, (part.counts for part in self.parts), Counts())


def read_listing(folder: Path) -> Listing | None:
    """Read the list; None when there is none. Raises :class:`DatasetError` for one that we did not write."""
    try:
        data = (folder / LIST).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{folder / LIST} cannot be read: {error.strerror}") from error
    try:
        return _parsed(strict_json(data))
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{folder / LIST} is not the list of an index: {error}", hint=_MAKE_ANEW
        ) from error


def write_listing(folder: Path, listing: Listing) -> None:
    """Replace the list, so that it lasts. Raises :class:`StorageError`."""
    _, disk = outside()
    wire = {
        "format": _FORMAT,
        "fingerprint": VERSION,
        "dataset": {"name": listing.name, "format": listing.format, "digest": listing.digest},
        "complete": listing.complete,
        "parts": [one.to_wire() for one in listing.parts],
    }
    disk.write_file(folder / LIST, (json.dumps(wire, indent=1) + "\n").encode())
    disk.sync_folder(folder)


def _parsed(wire: Any) -> Listing:
    if (wire["format"], wire["fingerprint"]) != (_FORMAT, VERSION):
        raise ValueError(
            f"of format {wire['format']} and fingerprint {wire['fingerprint']}; this release reads"
            f" {_FORMAT} and {VERSION}"
        )
    parts = tuple(map(_listed, wire["parts"]))
    ends = [0, *(part.first + part.counts.samples for part in parts)]
    if [part.first for part in parts] != ends[:-1]:
        raise ValueError("samples are missing between its parts")
    if type(wire["complete"]) is not bool:
        raise ValueError("it does not say whether it is complete")
    dataset = wire["dataset"]
    return Listing(
        str(dataset["name"]), str(dataset["format"]), str(dataset["digest"]), parts, wire["complete"]
    )


def _listed(row: Mapping[str, Any]) -> Listed:
    numbers = {one.name: row[one.name] for one in fields(Counts)}
    begins = 0 if row["row"] is None else row["row"]
    if not all(type(number) is int and number >= 0 for number in (row["first"], begins, *numbers.values())):
        raise ValueError("a count that is no number")
    if row["file"] != file_of(row["first"], numbers["samples"]):
        raise ValueError(f"{str(row['file'])[:80]!r} is not the file of a part")
    if type(row["table"]) is not str:
        raise ValueError("a table without a name")
    return Listed(row["file"], row["first"], Counts(**numbers), row["table"], row["row"])
