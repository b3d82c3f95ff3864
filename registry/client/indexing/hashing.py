"""Samples read and hashed, to become a part of an index."""

from collections.abc import Sequence

import numpy as np

from registry.client.formats import Sample
from registry.client.pictures import hash_files
from registry.dataset_index.batch import Batch

__all__ = ["hashed_batch"]


def hashed_batch(first: int, samples: Sequence[Sample], workers: int) -> Batch:
    """Read and hash the pictures of ``samples``, of which the first is the dataset's number ``first``."""
    batch = Batch(first, len(samples), [sample.key for sample in samples])
    urls_of = [number for number, sample in enumerate(samples) for _ in sample.urls]
    batch.urls, batch.urls_of = [url for one in samples for url in one.urls], np.array(urls_of, np.int64)
    pictures = {}
    for number, sample in enumerate(samples):
        if sample.fault:
            batch.faults.append((number, sample.fault))
        elif sample.picture is not None:
            pictures[number] = sample.picture
        elif not sample.urls:
            batch.faults.append((number, "it has neither a picture that is read nor an address"))
    hashed = hash_files(list(pictures.values()), workers=workers)
    for number, one in zip(pictures, hashed, strict=True):
        if one.fingerprint is None:
            batch.faults.append((number, one.error))
        else:
            batch.add_picture(number, one.fingerprint)
    return batch
