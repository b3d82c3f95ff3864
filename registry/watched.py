"""Items that are watched for somebody: as they were sent, and by the keys under which they can be found.

A subscriber's items come in blocks. Of each block the items are kept as they were sent, and beside them
everything by which one could be found, as arrays: every rule that would cover an address, the file, the forms
of the picture. The arrays alone tell quickly whether new works touch an item of the block at all; what is
said of that item then is for the look-up to say.

Only what decides is watched for. A picture that cannot be told from others by its hashes, with neither
address nor file beside them, could never be found, so it is refused.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry import fast
from registry.errors import InputError
from registry.fingerprint import (
    MIN_QUALITY,
    QUERY_FORMS,
    STRICT_RADIUS,
    has_bits,
    hash_words,
    parse_fingerprint,
    sha256_from_hex,
)
from registry.index import Entries, Index
from registry.jsontext import canonical_json
from registry.keys import key_words
from registry.matching import MAX_NEAR, Question
from registry.urlkeys import url_keys
from registry.urls import canonicalize_url

__all__ = ["Fresh", "Watched", "items_of", "packed_items", "parse_item", "touched_by", "wires_of"]

_COLUMNS = (("<u8", 2), ("<u8", 2), ("<u8", 4))
"""Type and words of a row: rules, files, pictures; each with the places of their items, ``<u4``."""
_FEW = 20_000
"""Hashes up to which each form is compared with each."""
_HEADER = np.dtype("<u4")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Watched:
    """One item: the subscriber's own ``id`` for it, and what is asked about it."""

    id: str
    question: Question


def parse_item(wire: Mapping[str, Any], where: str) -> Watched:
    """Read one item in the form of a look-up; ``where`` names its place.

    Raises :class:`InputError` for one that is malformed, or that could never be found.
    """
    try:
        question = Question(
            url=None if wire.get("url") is None else canonicalize_url(wire["url"]),
            sha256=None if wire.get("sha256") is None else sha256_from_hex(wire["sha256"]),
            fingerprint=None
            if wire.get("fingerprint") is None
            else parse_fingerprint(wire["fingerprint"], QUERY_FORMS),
        )
    except InputError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    if question.url is None and question.sha256 is None and not _forms(question):
        raise InputError(
            f"{where}: nothing by which it could be found",
            hint="Give url, sha256, or the PDQ forms of a picture that is not too plain.",
        )
    return Watched(str(wire["id"]), question)


def packed_items(items: Sequence[Watched]) -> bytes:
    """Return by what ``items`` can be found, as bytes for :func:`touched_by`."""
    urls = [(place, one.question.url) for place, one in enumerate(items) if one.question.url is not None]
    rules = url_keys([url for _, url in urls])
    of_url = np.array([place for place, _ in urls], np.uint32)
    files = [(place, one.question.sha256) for place, one in enumerate(items) if one.question.sha256]
    forms = [(place, form) for place, one in enumerate(items) for form in _forms(one.question)]
    arrays = [
        (rules.keys, of_url[rules.url]),
        (key_words([key for _, key in files]), np.array([place for place, _ in files], np.uint32)),
        (
            hash_words([form for _, form in forms]).reshape(-1, 4),
            np.array([place for place, _ in forms], np.uint32),
        ),
    ]
    header = np.array([_VERSION, *(len(places) for _, places in arrays)], _HEADER)
    columns = (
        part
        for (words, places), (kind, _) in zip(arrays, _COLUMNS, strict=True)
        for part in (words.astype(kind).tobytes(), places.astype("<u4").tobytes())
    )
    return b"".join([header.tobytes(), *columns])


@dataclass(frozen=True, slots=True)
class Fresh:
    """Keys and hashes that are new: an index of them, and the hashes of the pictures as ``uint64[n, 4]``."""

    index: Index
    pdq: NDArray[np.uint64]

    @classmethod
    def of(cls, batches: Iterable[Entries]) -> "Fresh":
        """Put together what rows bring."""
        index, hashes = Index([]), [np.empty((0, 4), np.uint64)]
        for entries in batches:
            index.add(entries)
            hashes.append(entries.pdq)
        return cls(index, np.concatenate(hashes))

    def near(self, forms: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return which of ``forms: uint64[k, 4]`` may be near enough to one of the hashes to decide."""
        if fast.kernels is not None and len(self.pdq) <= _FEW:
            # Each with each takes less than each in an index: there are far more forms than hashes.
            apart = fast.kernels.hamming.nearest(forms, np.ascontiguousarray(self.pdq.T))
            return np.flatnonzero(apart <= STRICT_RADIUS)
        found = self.index.near_pdq(forms, STRICT_RADIUS, MAX_NEAR)
        return np.concatenate([found.query, found.cut])


def touched_by(packed: bytes, fresh: Fresh) -> list[int]:
    """Return the places of the items of which anything stands in ``fresh``, in order.

    More may be named than what is said of them bears out, never fewer. Raises ValueError for other bytes than
    :func:`packed_items` gives.
    """
    (rules, rule_items), (files, file_items), (forms, form_items) = _unpacked(packed)
    found = [
        rule_items[fresh.index.rules(rules).query],
        file_items[fresh.index.files(files).query],
        form_items[fresh.near(forms)],
    ]
    places: list[int] = np.unique(np.concatenate(found)).tolist()
    return places


def wires_of(items: Iterable[Watched]) -> bytes:
    """Return items as they are kept: what :func:`items_of` reads."""
    wires = [[one.id, *_wire(one.question)] for one in items]
    return zlib.compress(canonical_json(wires), 1)


def items_of(data: bytes, places: Sequence[int] | None = None) -> dict[int, Watched]:
    """Return the items at ``places`` of what :func:`wires_of` gave, all without; by their places."""
    names, wires = ("url", "sha256", "fingerprint"), json.loads(zlib.decompress(data))
    found = {}
    for place in range(len(wires)) if places is None else places:
        id_, *keys = wires[place]
        found[place] = parse_item({"id": id_, **dict(zip(names, keys, strict=True))}, id_)
    return found


def _wire(question: Question) -> tuple[str | None, str | None, dict[str, Any] | None]:
    sha256 = None if question.sha256 is None else question.sha256.hex()
    return question.url, sha256, None if question.fingerprint is None else question.fingerprint.to_wire()


def _forms(question: Question) -> list[bytes]:
    """Return the hashes of a picture by which a match can decide."""
    one = question.fingerprint
    if one is None or one.quality < MIN_QUALITY:
        return []
    return [value for value in one.pdq.values() if has_bits(value)]


def _unpacked(packed: bytes) -> list[tuple[NDArray[np.uint64], NDArray[np.uint32]]]:
    version, *counts = np.frombuffer(packed, _HEADER, 1 + len(_COLUMNS)).tolist()
    if version != _VERSION:
        raise ValueError(f"items of version {version}, and {_VERSION} is read")
    at, found = (1 + len(_COLUMNS)) * _HEADER.itemsize, []
    for count, (kind, words) in zip(counts, _COLUMNS, strict=True):
        keys = np.frombuffer(packed, kind, count * words, at).reshape(-1, words)
        at += keys.nbytes
        places = np.frombuffer(packed, "<u4", count, at)
        at += places.nbytes
        found.append((keys.astype(np.uint64, copy=False), places))
    return found
