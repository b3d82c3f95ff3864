"""Some samples of a dataset, one after the other, with everything by which they will be found.

Pictures come as the forms that are *asked* about, since a sample is the possible copy. The work is what an
artist holds, and its windows are made when it is looked for. So a sample is found here exactly where a
registry would find it, were the work lodged there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fingerprint import MIN_QUALITY, QUERY_FORMS, Fingerprint, has_bits

__all__ = ["FORM_CODES", "Batch", "Form", "joined"]


class Form(NamedTuple):
    """A form of a sample: its name, and whether the sample is too plain for a match to decide."""

    name: str
    plain: bool


FORM_CODES = tuple(Form(name, plain) for plain in (False, True) for name in QUERY_FORMS)
"""What the numbers in an index's ``pdq.windows`` stand for."""


@dataclass(slots=True)
class Batch:
    """Samples ``first`` to ``first + count`` of a dataset.

    ``names`` are their keys; empty in a table, whose samples are rows from ``row`` on, of the table ``table``
    where the dataset has several. Of everything else the number of
    its sample, from 0 in this batch, stands in ``…_of``; ``pdq`` comes with the place of its form in
    ``FORM_CODES``. ``phashes: uint64[n]`` are those that a table brings. ``faults`` are samples that cannot
    be found by all that they have, with the reason; ``plain`` counts pictures too plain to be compared.
    """

    first: int
    count: int
    names: Sequence[str] = ()
    urls: list[str] = field(default_factory=list)
    urls_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    files: list[bytes] = field(default_factory=list)
    files_of: list[int] = field(default_factory=list)
    pdq: list[bytes] = field(default_factory=list)
    pdq_forms: list[int] = field(default_factory=list)
    pdq_of: list[int] = field(default_factory=list)
    phashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    phashes_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    faults: list[tuple[int, str]] = field(default_factory=list)
    plain: int = 0
    table: str = ""
    row: int | None = None

    def add_picture(self, number: int, fingerprint: Fingerprint) -> None:
        """Take in the fingerprint, made for a question, of sample ``number``."""
        if fingerprint.sha256 is not None:
            self.files.append(fingerprint.sha256)
            self.files_of.append(number)
        forms = {form: value for form, value in fingerprint.pdq.items() if has_bits(value)}
        self.plain += not forms
        for form, value in forms.items():
            self.pdq.append(value)
            self.pdq_forms.append(FORM_CODES.index(Form(form, fingerprint.quality < MIN_QUALITY)))
            self.pdq_of.append(number)


def joined(batches: Sequence[Batch]) -> Batch:
    """Put batches that follow one another, and have names, together."""
    whole = Batch(batches[0].first, 0, [name for one in batches for name in one.names])
    for one in batches:
        before = whole.count
        whole.urls += one.urls
        whole.urls_of = np.concatenate([whole.urls_of, one.urls_of + before])
        whole.files += one.files
        whole.files_of += [number + before for number in one.files_of]
        whole.pdq += one.pdq
        whole.pdq_forms += one.pdq_forms
        whole.pdq_of += [number + before for number in one.pdq_of]
        whole.phashes = np.concatenate([whole.phashes, one.phashes])
        whole.phashes_of = np.concatenate([whole.phashes_of, one.phashes_of + before])
        whole.faults += [(number + before, reason) for number, reason in one.faults]
        whole.plain += one.plain
        whole.count += one.count
    return whole
