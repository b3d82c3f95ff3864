"""How near to a registered hash a copy must be: less where strangers are near.

A trivial shape, a disc or a flag, lies within the usual radius of other people's discs and flags. So each
registered window gets a radius of its own: the distance to the nearest hash of a set of unrelated pictures,
less a margin, and never more than the review's. The set, the *calibration*, is a file of hashes; its
number is stored in every record, and another file applies to new records only.

A registered work may itself be in the set. So the one picture of the set that is nearest to it counts as the
work, if it is as near as only copies are; a second one does not.

Source: ADR 10; measured in docs/benchmarks.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from registry import fast
from registry.errors import SettingsError
from registry.fingerprint import REVIEW_RADIUS, VERSION, Fingerprint, hash_words
from registry.hamming import hamming_distances

__all__ = [
    "OWN_IDS",
    "SHIPPED_ID",
    "Calibration",
    "dump_calibration",
    "load_calibration",
    "radii_of",
    "radii_of_many",
    "shipped_calibration",
]

SHIPPED_ID = 1
OWN_IDS = range(128, 256)
"""For operators' own files; those below are for shipped ones."""

_SAME = 10
"""Bits within which the nearest picture of the set counts as the work itself."""
_FORMAT = 1
_DIMENSIONS = {"format": 0, "id": 0, "margin": 0, "words": 2, "pictures": 1}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hashes of unrelated pictures.

    ``id`` 1–255; ``margin`` in bits; ``words: uint64[n, 4]``, n ≥ 1, and ``pictures: uint32[n]``, which
    picture of the set each hash is of.
    """

    id: int
    margin: int
    words: NDArray[np.uint64]
    pictures: NDArray[np.uint32]


def radii_of(fingerprint: Fingerprint, calibration: Calibration) -> Mapping[str, int]:
    """Return the radius of each registered window in bits, 0 to ``REVIEW_RADIUS``."""
    if not fingerprint.pdq:
        return {}
    names = list(fingerprint.pdq)
    apart = np.stack(
        [hamming_distances(calibration.words, one) for one in hash_words(list(fingerprint.pdq.values()))]
    )
    nearest = int(apart.min(axis=0).argmin())
    if apart[:, nearest].min() <= _SAME:
        apart = apart[:, calibration.pictures != calibration.pictures[nearest]]
    room = apart.min(axis=1, initial=256).astype(int) - calibration.margin
    return dict(zip(names, np.clip(room, 0, REVIEW_RADIUS).tolist(), strict=True))


def radii_of_many(
    words: NDArray[np.uint64], works: NDArray[np.int64], calibration: Calibration
) -> NDArray[np.uint8]:
    """Return the radius of each window of many works, as :func:`radii_of` has it for one; ``uint8[n]``.

    ``words: uint64[n, 4]``; ``works: int64[n]`` says to which work each belongs, those of one work together.
    """
    near = _nearest(words, calibration.words)
    room = np.clip(near.astype(int) - calibration.margin, 0, REVIEW_RADIUS)
    radii: NDArray[np.uint8] = room.astype(np.uint8)
    # Of these the picture of the set that is nearest may be the work itself, and is left out.
    for work in np.unique(works[near <= _SAME]).tolist():
        begin, end = np.searchsorted(works, [work, work + 1])
        values = words[begin:end].astype(">u8")
        found = radii_of(
            Fingerprint(VERSION, 100, None, {str(k): row.tobytes() for k, row in enumerate(values)}),
            calibration,
        )
        radii[begin:end] = list(found.values())
    return radii


def _nearest(words: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint16]:
    if fast.kernels is not None:
        found: NDArray[np.uint16] = fast.kernels.hamming.nearest(words, np.ascontiguousarray(others.T))
        return found
    return np.array([hamming_distances(others, one).min(initial=256) for one in words], np.uint16)


def dump_calibration(calibration: Calibration) -> bytes:
    """Return the file: a NumPy archive of format, id, margin, words and pictures."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        format=np.int64(_FORMAT),
        id=np.int64(calibration.id),
        margin=np.int64(calibration.margin),
        words=calibration.words,
        pictures=calibration.pictures,
    )
    return file.getvalue()


def load_calibration(data: bytes) -> Calibration:
    """Read a calibration file. Raises :class:`SettingsError` for anything else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            values = {name: file[name] for name in _DIMENSIONS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SettingsError(f"not a calibration file: {error}") from error
    if any(value.ndim != _DIMENSIONS[name] or value.dtype.kind not in "iu" for name, value in values.items()):
        raise SettingsError("a calibration file whose arrays are of another kind")
    format_, id_, margin = (int(values[name]) for name in ("format", "id", "margin"))
    words, pictures = values["words"], values["pictures"]
    if format_ != _FORMAT:
        raise SettingsError(f"a calibration file of format {format_}; this release reads {_FORMAT}")
    fitting = words.dtype == np.uint64 and words.shape == (len(pictures), 4) and len(words) > 0
    if not (fitting and 1 <= id_ <= 255 and 0 <= margin <= 255):
        raise SettingsError("a calibration file whose contents do not fit together")
    return Calibration(id_, margin, words, pictures.astype(np.uint32))


def shipped_calibration() -> Calibration:
    """Return the calibration that is shipped with this release."""
    return load_calibration(resources.files("registry").joinpath("calibration.npz").read_bytes())
