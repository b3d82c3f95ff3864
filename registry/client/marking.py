"""Which of many URLs a registry may know: asked with keys alone, before any of them is looked up.

    marking = mark_urls(urls, registries)
    [url for url, is_marked in zip(urls, marking.marked) if is_marked]   # to be looked up in full

Nearly no address of a usual dataset has anything said of it. Of one that is not marked, nobody has said
anything in any of the registries, as of the events in ``as_of_seq``: the answer of a look-up would be
``unknown``. What is marked may turn out to be withdrawn, or about another use. A text that is no URL is an
error, not unknown. The registries learn no URL from it, only keys; who suspects a URL can compute its keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.client.verdicts import Registry
from registry.errors import InvalidUrlError
from registry.keys import key_words
from registry.urlkeys import url_keys

__all__ = ["Marking", "mark_files", "mark_urls"]

_PART = 100_000
"""URLs whose keys are in memory at a time, some 35 MB of them."""


@dataclass(frozen=True, slots=True)
class Marking:
    """Which URLs are to be looked up, ``marked: bool[n]``; ``errors`` has those that are none, by place.

    ``as_of_seq`` maps each registry to the event up to which nothing was said of the others.
    """

    marked: NDArray[np.bool_]
    errors: Mapping[int, InvalidUrlError]
    as_of_seq: Mapping[str, int]


def mark_urls(urls: Sequence[str], registries: Sequence[Registry]) -> Marking:
    """Ask every registry which of ``urls`` it may know, by the key of any rule that would cover one.

    Raises as :meth:`registry.client.RegistryClient.mark`.
    """
    marked = np.zeros(len(urls), np.bool_)
    errors: dict[int, InvalidUrlError] = {}
    as_of_seq: dict[str, int] = {}
    for first in range(0, len(urls) or 1, _PART):
        found = url_keys(urls[first : first + _PART])
        errors |= {first + place: error for place, error in found.errors.items()}
        for registry in registries:
            answer = registry.mark(found.keys)
            marked[first + found.url[answer.marked]] = True
            as_of_seq[registry.url] = min(answer.as_of_seq, as_of_seq.get(registry.url, answer.as_of_seq))
    return Marking(marked, errors, as_of_seq)


def mark_files(digests: Sequence[bytes], registries: Sequence[Registry]) -> Marking:
    """Ask every registry which of ``digests``, the SHA-256 of files, it may know.

    Raises as :meth:`registry.client.RegistryClient.mark`.
    """
    marked = np.zeros(len(digests), np.bool_)
    as_of_seq: dict[str, int] = {}
    for first in range(0, len(digests), _PART):
        keys = key_words(digests[first : first + _PART])
        for registry in registries:
            answer = registry.mark(keys, of="sha256")
            marked[first : first + len(keys)] |= answer.marked
            as_of_seq[registry.url] = min(answer.as_of_seq, as_of_seq.get(registry.url, answer.as_of_seq))
    return Marking(marked, {}, as_of_seq)
