"""From hashes to figures: how far copies are, how far strangers are, and what a radius makes of it.

A copy is a changed picture beside its own original. Strangers are two pictures of different sources: one is
registered, the other asks, as it is or changed. Of several forms and windows the nearest two count.

A window may have a radius of its own, so that plain pictures claim less: the distance to the nearest stranger
of a calibration set less a margin, and a cap at most. Neither who asks nor who is registered may be known to
the calibration: the sources of both are left out of the set that a radius is made from. That is harder than
use will be: there the set is whole, and only the pictures are new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.fingerprint import hash_words

__all__ = ["Asked", "Bank", "Calibration", "Distances", "Result", "Trial", "calibrate"]


@dataclass(frozen=True, slots=True)
class Bank:
    """Hashes of many pictures: ``words: uint64[w, n]``; picture k has columns ``starts[k]:starts[k + 1]``."""

    words: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, pictures: Sequence[Mapping[str, str]]) -> "Bank":
        """Return the bank of pictures, each given as name → hex digits; at least one has a hash."""
        words = hash_words([bytes.fromhex(value) for one in pictures for value in one.values()])
        counts = [len(one) for one in pictures]
        return cls(np.ascontiguousarray(words.T), np.cumsum([0, *counts]))

    def columns(self, picture: int) -> slice:
        """Return where the hashes of ``picture`` stand."""
        return slice(self.starts[picture], self.starts[picture + 1])

    @property
    def bits(self) -> int:
        """Bits a hash."""
        return 64 * len(self.words)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks: ``bank``, and ``picture: int64[k]``, the picture of the corpus that each is or comes from."""

    bank: Bank
    picture: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one method is measured on.

    Every picture of the corpus is ``registered`` with at least one hash and asks as it is (``plain``);
    ``changed`` are the originals under the first transformation, then under the second …; ``sources:
    int64[pictures]`` numbers the sources from 0.
    """

    registered: Bank
    plain: Asked
    changed: Asked
    sources: NDArray[np.int64]
    transformations: int

    def by_transformation(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return what belongs to ``changed`` as ``[transformations, originals]``."""
        return values.reshape(self.transformations, -1)

    def copies(self) -> Iterator[tuple[slice, NDArray[np.uint16]]]:
        """Yield for each changed picture where its original's windows stand, and how far they are."""
        for number, picture in enumerate(self.changed.picture):
            own = self.registered.columns(picture)
            forms = self.changed.bank.words[:, self.changed.bank.columns(number)]
            yield own, _nearest(forms, self.registered.words[:, own])

    def strangers(self, asked: Asked) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.uint16]]]:
        """Yield for each who asks its source, which pictures are strangers, how far each window is."""
        for number, picture in enumerate(asked.picture):
            source = int(self.sources[picture])
            forms = asked.bank.words[:, asked.bank.columns(number)]
            yield source, self.sources != source, _nearest(forms, self.registered.words)

    def distances(self) -> "Distances":
        """Compare everything once."""
        nearest = np.array([distance.min() for _, distance in self.copies()])
        plain, changed = (self._histogram(asked) for asked in (self.plain, self.changed))
        return Distances(self.registered.bits, self.by_transformation(nearest), plain, changed)

    def nearest_strangers(self, asked: Asked, count: int) -> list[tuple[int, int, int]]:
        """Return the nearest pairs: distance, number of who asks, picture registered.

        A pair stands once; of each who asks no more than the nearest few are looked at.
        """
        nearest: dict[frozenset[int], tuple[int, int, int]] = {}
        for number, (_, strange, distance) in enumerate(self.strangers(asked)):
            apart = np.minimum.reduceat(distance, self.registered.starts[:-1]).astype(int)
            apart[~strange] = self.registered.bits + 1
            for other in np.argpartition(apart, 8)[:8].tolist():
                pair = frozenset((int(asked.picture[number]), other))
                found = int(apart[other]), number, other
                nearest[pair] = min(found, nearest.get(pair, found))
        return sorted(nearest.values())[:count]

    def _histogram(self, asked: Asked) -> NDArray[np.int64]:
        counts = np.zeros(self.registered.bits + 2, np.int64)
        for _, strange, distance in self.strangers(asked):
            nearest = np.minimum.reduceat(distance, self.registered.starts[:-1])
            counts += np.bincount(nearest[strange], minlength=len(counts))
        return counts


@dataclass(frozen=True, slots=True)
class Distances:
    """What is known of a method at every radius.

    ``copies: uint16[transformations, originals]``; ``strangers`` and ``changed`` count pairs by distance, as
    they are and changed. A distance of bits + 1 says that there was no hash to ask with.
    """

    bits: int
    copies: NDArray[np.uint16]
    strangers: NDArray[np.int64]
    changed: NDArray[np.int64]

    def result(self, name: str, radius: int) -> "Result":
        """Return what the method does at ``radius``."""
        within = slice(radius + 1)
        strangers, changed = int(self.strangers[within].sum()), int(self.changed[within].sum())
        return Result(name, str(radius), self.copies <= radius, strangers, changed)

    def radius_within(self, rate: float) -> int | None:
        """Return the largest radius with at most ``rate`` false matches a pair; None if 0 exceeds it."""
        fits = np.flatnonzero(np.cumsum(self.strangers) <= rate * self.strangers.sum())
        return int(fits[-1]) if len(fits) else None


@dataclass(frozen=True, slots=True)
class Result:
    """A method at its radius: ``found: bool[transformations, originals]``, and pairs of strangers matched.

    ``strangers`` asked as they are, ``changed`` under a transformation.
    """

    name: str
    radius: str
    found: NDArray[np.bool_]
    strangers: int
    changed: int

    @property
    def mean(self) -> float:
        """Mean recall of all transformations."""
        return float(self.found.mean())

    @property
    def spread(self) -> float:
        """Half the width of its 95 % interval: the originals are the sample, each with its own mean."""
        originals = self.found.mean(axis=0)
        return float(1.96 * originals.std(ddof=1) / len(originals) ** 0.5)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How windows get a radius: the distance to the nearest stranger − ``margin``, at most ``cap`` (bits)."""

    cap: int
    margin: int


def calibrate(
    trial: Trial, references: Bank, calibrations: Sequence[Calibration]
) -> list[tuple[Calibration, Result]]:
    """Measure each of ``calibrations``, whose set are the ``references`` of the same pictures.

    Copies by radii from all other sources than their own, strangers without the source of who asks too.
    """
    nearest = nearest_by_source(trial, references)
    radii = np.array([own_radii(nearest, one) for one in calibrations])
    held_out = np.array(
        [
            [own_radii(nearest, one, without=source) for one in calibrations]
            for source in range(nearest.shape[1])
        ]
    )
    found = found_within(trial, radii)
    plain, changed = (matched_strangers(trial, asked, held_out) for asked in (trial.plain, trial.changed))
    return [
        (one, Result(_own(one), str(one.cap), found[k], int(plain[k]), int(changed[k])))
        for k, one in enumerate(calibrations)
    ]


def _own(calibration: Calibration) -> str:
    return f"ours, own radii: at most {calibration.cap}, nearest − {calibration.margin}"


def nearest_by_source(trial: Trial, references: Bank) -> NDArray[np.uint8]:
    """Return how far the nearest reference of each source is from each window: ``uint8[windows, sources]``.

    The own source is no stranger, and stands as 255, as does one without references.
    """
    source = np.repeat(trial.sources, np.diff(references.starts))
    order = np.argsort(source, kind="stable")
    words = np.ascontiguousarray(references.words[:, order])
    there, starts = np.unique(source[order], return_index=True)
    nearest = np.full((trial.registered.words.shape[1], trial.sources.max() + 1), 255, np.uint16)
    for number, one in enumerate(trial.registered.words.T):
        nearest[number, there] = np.minimum.reduceat(_nearest(one[:, None], words), starts)
    nearest[np.arange(len(nearest)), np.repeat(trial.sources, np.diff(trial.registered.starts))] = 255
    return np.minimum(nearest, 255).astype(np.uint8)


def own_radii(
    nearest: NDArray[np.uint8], calibration: Calibration, *, without: int | None = None
) -> NDArray[np.uint8]:
    """Return the radius of each window; ``without`` leaves one source out of the calibration set."""
    others = nearest if without is None else np.delete(nearest, without, axis=1)
    spare = others.min(axis=1).astype(np.int64) - calibration.margin
    return np.clip(spare, 0, calibration.cap).astype(np.uint8)


def found_within(trial: Trial, radii: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which copies are found within ``radii: uint8[settings, windows]``.

    The result is ``bool[settings, transformations, originals]``.
    """
    found = np.array([(distance <= radii[:, own]).any(axis=1) for own, distance in trial.copies()])
    return np.array([trial.by_transformation(one) for one in found.T])


def matched_strangers(trial: Trial, asked: Asked, radii: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count pairs of strangers within ``radii: uint8[sources, settings, windows]``: ``int64[settings]``.

    The first axis is the source of the one who asks.
    """
    matched = np.zeros(radii.shape[1], np.int64)
    for source, strange, distance in trial.strangers(asked):
        # Beyond the largest radius there is nothing to look at, and that is nearly everything.
        near = np.flatnonzero(distance <= radii[source].max())
        picture = np.searchsorted(trial.registered.starts, near, side="right") - 1
        near, picture = near[strange[picture]], picture[strange[picture]]
        for setting, own in enumerate(radii[source]):
            matched[setting] += len(np.unique(picture[distance[near] <= own[near]]))
    return matched


def _nearest(forms: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return the distance of each of ``words: uint64[w, n]`` to the nearest of ``forms: uint64[w, f]``."""
    nearest = np.full(words.shape[1], 64 * len(words) + 1, np.uint16)
    for form in forms.T:
        distance = np.bitwise_count(words ^ form[:, None]).sum(axis=0, dtype=np.uint16)
        np.minimum(nearest, distance, out=nearest)
    return nearest
