"""URLs in bulk to the keys under which the rules that cover them stand.

The keys are those of :func:`~registry.urls.canonicalize_url` and :func:`~registry.urls.candidate_keys`, in
their order. Where the extra ``[fast]`` is installed, compiled loops take the plain URLs, nearly all of a
usual list; these two functions take the others one by one, and say of what is no URL why it is none.

    >>> found = url_keys(["http://www.example.org/a.jpg", "nothing"])
    >>> [KINDS[kind].value for kind in found.kind]
    ['exact', 'prefix', 'host', 'domain']
    >>> found.errors[1].message
    "not a URL: 'nothing'"
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry import fast
from registry.errors import InvalidUrlError
from registry.urls import MAX_URL_LENGTH, TRACKING, RuleKind, candidate_keys, canonicalize_url

__all__ = ["KINDS", "UrlKeys", "url_keys"]

KINDS = tuple(RuleKind)
"""The kinds of rules as ``UrlKeys.kind`` numbers them."""

_PLACE_OF_KIND = {kind: place for place, kind in enumerate(KINDS)}
# A batch's messages, six or eight a URL, stay in the processor's second cache until they are hashed.
_BATCH = 1024  # URLs
_ROOM = 16384  # blocks of 64 bytes
_SUFFIXES = "public_suffix_list.dat"
_ITSELF, _FLAGS = 1, {"*": 2, "!": 4}


@dataclass(frozen=True, slots=True)
class UrlKeys:
    """The keys of a batch: URLs in their order, the keys of one narrowest first.

    ``keys: uint64[k, 2]`` are the 16 bytes as two big-endian words, ``url: int64[k]`` the place of the URL in
    the batch, ``kind: uint8[k]`` the place of the kind in ``KINDS``. ``errors`` has the URLs that are none,
    by their place; they have no keys.
    """

    keys: NDArray[np.uint64]
    url: NDArray[np.int64]
    kind: NDArray[np.uint8]
    errors: Mapping[int, InvalidUrlError]


class _Part(NamedTuple):
    """Some rows of the three arrays of :class:`UrlKeys`."""

    keys: NDArray[np.uint64]
    url: NDArray[np.int64]
    kind: NDArray[np.uint8]


class _Rules(NamedTuple):
    """What :mod:`registry.urls` and the public suffix list say, as the compiled loops take it."""

    kinds: NDArray[np.uint8]
    tracking: NDArray[np.uint8]
    suffixes: NDArray[np.uint8]
    slots: NDArray[np.uint64]


def url_keys(texts: Sequence[str]) -> UrlKeys:
    """Return the keys of every URL of ``texts``, and an error for every text that is none.

    A key takes 25 bytes, twice that while the answer is put together, and a usual URL has seven: long lists
    are better handed over in parts of some 100,000.
    """
    errors: dict[int, InvalidUrlError] = {}
    if fast.kernels is None:
        parts = [_one_by_one(texts, range(len(texts)), errors)]
    else:
        parts = list(_compiled(texts, fast.kernels, errors))
    return UrlKeys(*_joined(parts), errors)


def _one_by_one(texts: Sequence[str], places: Iterable[int], errors: dict[int, InvalidUrlError]) -> _Part:
    """Return the keys of the URLs at ``places``, by the parser; what is none goes into ``errors``."""
    keys, urls, kinds = [], [], []
    for place in places:
        try:
            found = candidate_keys(canonicalize_url(texts[place]))
        except InvalidUrlError as error:
            errors[place] = error
            continue
        keys += [key for _, key in found]
        kinds += [_PLACE_OF_KIND[kind] for kind, _ in found]
        urls += [place] * len(found)
    words = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
    return _Part(words, np.array(urls, np.int64), np.array(kinds, np.uint8))


def _compiled(
    texts: Sequence[str], kernels: ModuleType, errors: dict[int, InvalidUrlError]
) -> Iterator[_Part]:
    """Yield the keys of all URLs in parts: plain ones by the compiled loops, the others one by one."""
    rules = _rules(kernels)
    data = np.empty(_ROOM * kernels.candidates.BLOCK, np.uint8)
    notes = np.empty((_ROOM, 4), np.int32)
    for first in range(0, len(texts), _BATCH):
        text, ends = _text_of(texts[first : first + _BATCH])
        surt, places = np.empty(text.size, np.uint8), np.empty((ends.size, 5), np.int32)
        kernels.urls.surts(text, ends, rules.tracking, MAX_URL_LENGTH, surt, places)
        parts = []
        done = 0
        while done < ends.size:
            done, count = kernels.candidates.messages(
                surt, places, done, rules.kinds, rules.suffixes, rules.slots, data, notes
            )
            start, blocks, url, kind = notes[:count].T
            keys = kernels.sha256.digests(data.view(np.uint32), start, blocks)
            parts.append(_Part(keys, url.astype(np.int64) + first, kind.astype(np.uint8)))
        others = np.flatnonzero(places[:, -1] < 0) + first
        if others.size:
            parts.append(_one_by_one(texts, others.tolist(), errors))
            parts = [_in_order(_joined(parts))]
        yield from parts


def _text_of(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the texts one behind the other, ``uint8[m]``, and where each ends, ``int64[n]``.

    A text beyond ASCII comes as an empty one, which is not plain either.
    """
    text = "".join(texts)
    if not text.isascii():
        texts = [text if text.isascii() else "" for text in texts]
        text = "".join(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return np.frombuffer(text.encode("ascii"), np.uint8), np.cumsum(lengths)


def _joined(parts: Sequence[_Part]) -> _Part:
    if not parts:
        return _Part(np.empty((0, 2), np.uint64), np.empty(0, np.int64), np.empty(0, np.uint8))
    keys, url, kind = zip(*parts, strict=True)
    return _Part(np.concatenate(keys), np.concatenate(url), np.concatenate(kind))


def _in_order(part: _Part) -> _Part:
    order = np.argsort(part.url, kind="stable")
    return _Part(part.keys[order], part.url[order], part.kind[order])


@lru_cache(maxsize=1)
def _rules(kernels: ModuleType) -> _Rules:
    """Return the rules, made at the first use: it takes some 50 ms."""
    flags = _suffixes()
    records = (bytes([flag, len(suffix)]) + suffix.encode("ascii") for suffix, flag in flags.items())
    suffixes = np.frombuffer(b"".join(records), np.uint8)
    return _Rules(
        kinds=_rows(f"{kind}:" for kind in KINDS),
        tracking=_rows(sorted(TRACKING)),
        suffixes=suffixes,
        # At most half full, so that a search for what is not there ends soon.
        slots=kernels.candidates.suffix_slots(suffixes, 2 << len(flags).bit_length()),
    )


def _rows(words: Iterable[str]) -> NDArray[np.uint8]:
    """Return the words as rows of bytes, ``uint8[n, w]``, padded with zeros."""
    padded = np.array([word.encode("ascii") for word in words])
    return padded.view(np.uint8).reshape(len(padded), -1)


def _suffixes() -> dict[str, int]:
    """Return the public suffixes in SURT order and which rules there are on each.

    The list is the one that the library ships, read as the library reads it; names beyond ASCII come in
    their ``xn--`` form alone, because a canonical host has no other.
    """
    flags: dict[str, int] = {}
    for line in resources.files("publicsuffixlist").joinpath(_SUFFIXES).read_text("utf-8").split("\n"):
        rule = line.lower().split(" ")[0].rstrip()
        if rule and not rule.startswith("//"):
            name = rule.lstrip("!").encode("idna").decode("ascii").removeprefix("*.")
            surt = ",".join(reversed(name.split("."))) + ","
            flags[surt] = flags.get(surt, 0) | _FLAGS.get(rule[0], _ITSELF)
    return flags
