"""A file of a newer snapshot made of files of an older one, where nothing new is in it.

What a withdrawal takes away is known from the records that are left: every key and hash whose record is gone
goes too. And where spans were put together, so can their files be. Whether it is right is for the SHA-256 in
the manifest to say; where it is not, the file is fetched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.snapshot.manifest import FileEntry

__all__ = ["DERIVED", "covering", "derived", "in_order"]

DERIVED = ("keys", "pictures")
"""The folders whose files can be made so."""

_Arrays = Mapping[str, NDArray[Any]]


def covering(entry: FileEntry, older: Sequence[FileEntry]) -> list[FileEntry]:
    """Return the ``older`` files of its kind whose spans make up that of ``entry``; none if they do not."""
    within = [
        one
        for one in older
        if (one.tier, one.kind) == (entry.tier, entry.kind)
        and entry.after <= one.after
        and one.upto <= entry.upto
    ]
    within.sort(key=lambda one: one.after)
    ends = [entry.after, *(one.upto for one in within)]
    whole = [one.after for one in within] == ends[:-1] and ends[-1] == entry.upto
    return within if whole else []


def derived(parts: Sequence[_Arrays], live: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Put the arrays of ``parts`` together, without what leads to a record that is not in ``live: int64[n]``.

    Requires ``live`` to be sorted.
    """
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    refs = joined["refs"]
    at = np.minimum(np.searchsorted(live, refs), max(len(live) - 1, 0))
    kept = live[at] == refs if len(live) else np.zeros(len(refs), np.bool_)
    left = {name: array[kept] for name, array in joined.items()}
    return in_order(left)


def in_order(arrays: _Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file in their one order: keys by key, hashes by record, then by all the rest.

    So the same rows make the same file, whatever order they came in.
    """
    first = "keys" if "keys" in arrays else "refs"
    columns = [arrays[first], *(array for name, array in arrays.items() if name != first)]
    flat = [column for array in columns for column in (array.T if array.ndim > 1 else [array])]
    order = np.lexsort(flat[::-1])
    return {name: array[order] for name, array in arrays.items()}
