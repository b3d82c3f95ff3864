"""The canonical text of plain URLs, from their SURT text: the labels turned round, the rest as it is."""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled

__all__ = ["texts"]

_COMMA, _DOT = ord(","), ord(".")
_SCHEME = np.frombuffer(b"https://", np.uint8)


@compiled
def texts(
    surt: NDArray[np.uint8], places: NDArray[np.int32], out: NDArray[np.uint8], ends: NDArray[np.int64]
) -> None:
    """Write the canonical URLs to ``out``, one behind the other, and where each ends to ``ends: int64[n]``.

    ``surt`` and ``places: int32[n, 5]`` come from :func:`registry.kernels.urls.surts`; a URL that is not
    plain gets no text. Requires room in ``out`` for six bytes a URL beside its SURT text.
    """
    at = 0
    for url in range(places.shape[0]):
        begin, labels, bracket, end = places[url, 0], places[url, 1], places[url, 2], places[url, 4]
        if end >= 0:
            for character in _SCHEME:
                out[at] = character
                at += 1
            # The labels end with a comma each; the last one comes first.
            stop = labels - 1
            while stop > begin:
                start = stop
                while start > begin and surt[start - 1] != _COMMA:
                    start -= 1
                for one in range(start, stop):
                    out[at] = surt[one]
                    at += 1
                stop = start - 1
                if stop > begin:
                    out[at] = _DOT
                    at += 1
            for one in range(labels, bracket - 1):
                out[at] = surt[one]
                at += 1
            for one in range(bracket, end):
                out[at] = surt[one]
                at += 1
        ends[url] = at
