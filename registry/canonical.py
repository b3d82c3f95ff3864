"""URLs in bulk to the spelling under which they are stored, and the key of that one address.

The same as :func:`~registry.urls.canonicalize_url` and :func:`~registry.urls.exact_key`. Where the extra
``[fast]`` is installed, compiled loops take the plain URLs; these two functions take the others one by one,
and say of what is no URL why it is none.

    >>> canonical_urls(["http://www.example.org/a.jpg", "nothing"]).texts
    ['https://example.org/a.jpg', None]
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from registry import fast
from registry.errors import InvalidUrlError
from registry.urls import (
    KEY_BYTES,
    MAX_URL_LENGTH,
    TRACKING,
    CanonicalUrl,
    RuleKind,
    canonicalize_url,
    exact_key,
)

__all__ = ["CanonicalUrls", "canonical_urls"]

_EXACT = f"{RuleKind.EXACT}:".encode()
_LONGER = 6
"""By how many bytes a canonical URL is longer than its SURT text: ``https://`` for a comma and a bracket."""


@dataclass(frozen=True, slots=True)
class CanonicalUrls:
    """A batch in its order: text and key of each URL, None for what is none; ``errors`` by place."""

    texts: list[CanonicalUrl | None]
    keys: list[bytes | None]
    errors: Mapping[int, InvalidUrlError]


def canonical_urls(texts: Sequence[str]) -> CanonicalUrls:
    """Return the canonical form and the exact key of every URL of ``texts``."""
    found = CanonicalUrls([None] * len(texts), [None] * len(texts), {})
    others: Iterable[int] = range(len(texts))
    if fast.kernels is not None and texts:
        others = _plain(texts, fast.kernels, found)
    errors: dict[int, InvalidUrlError] = {}
    for place in others:
        try:
            url = canonicalize_url(texts[place])
        except InvalidUrlError as error:
            errors[place] = error
        else:
            found.texts[place], found.keys[place] = url, exact_key(url)
    return CanonicalUrls(found.texts, found.keys, errors)


def _plain(texts: Sequence[str], kernels: ModuleType, found: CanonicalUrls) -> list[int]:
    """Fill in the plain URLs; return the places of the others."""
    text, ends = _text_of(texts)
    surt, places = np.empty(text.size, np.uint8), np.empty((ends.size, 5), np.int32)
    kernels.urls.surts(text, ends, _tracking(), MAX_URL_LENGTH, surt, places)
    out, stops = np.empty(text.size + _LONGER * ends.size, np.uint8), np.empty(ends.size, np.int64)
    kernels.canonical.texts(surt, places, out, stops)
    written, labels = out[: stops[-1]].tobytes().decode("ascii"), surt.tobytes()
    start = 0
    for place, (begin, end, stop) in enumerate(
        zip(places[:, 0].tolist(), places[:, 4].tolist(), stops.tolist(), strict=True)
    ):
        if end >= 0:
            found.texts[place] = CanonicalUrl(written[start:stop])
            found.keys[place] = hashlib.sha256(_EXACT + labels[begin:end]).digest()[:KEY_BYTES]
            start = stop
    return np.flatnonzero(places[:, 4] < 0).tolist()


def _text_of(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the texts one behind the other, and where each ends; one beyond ASCII comes as an empty one."""
    joined = "".join(texts)
    if not joined.isascii():
        texts = [text if text.isascii() else "" for text in texts]
        joined = "".join(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return np.frombuffer(joined.encode("ascii"), np.uint8), np.cumsum(lengths)


def _tracking() -> NDArray[np.uint8]:
    padded = np.array([word.encode("ascii") for word in sorted(TRACKING)])
    return padded.view(np.uint8).reshape(len(padded), -1)
