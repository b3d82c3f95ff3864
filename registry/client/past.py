"""What a registry knew on a day: asked as of the last event by then, with what shows that state.

What a look-up finds in the past is what still can be told of it. Once a record was erased, nothing is left of
what it said: so where records that stood then were erased since, the registry answers of a work that nothing
reserves that it cannot be told. It is never ``unknown`` and never ``allowed``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from registry.client.http import Asked, Known, Marks, RegistryClient
from registry.client.log import origin_of
from registry.client.transport import wrong_answer
from registry.errors import InputError, ProofError
from registry.merkle import require_consistency
from registry.note import Checkpoint, Verifier, open_note, parse_checkpoint
from registry.preference import Use

__all__ = ["Moment", "PastRegistry", "moment_of"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The last event of a registry at a time; times are RFC 3339, as the registry tells them.

    ``erased_since`` counts records that stood then and were destroyed later. ``root``, of the first
    ``as_of_seq`` events, is the beginning of ``note`` by ``proof``; None while nothing signed covers them.
    """

    registry: str
    time: str
    as_of_seq: int
    at: str
    next_at: str | None
    erased_since: int
    note: str | None
    root: bytes | None
    proof: tuple[bytes, ...]

    @property
    def origin(self) -> str:
        """Name of the log that signed, unproven; empty without one."""
        return "" if self.note is None else origin_of(self.note)

    def check(self, keys: Sequence[Verifier]) -> Checkpoint:
        """Return the signed state that shows this one, checked by the log's ``keys``.

        Raises :class:`ProofError`.
        """
        if self.note is None or self.root is None:
            raise ProofError(f"{self.registry} has signed no state yet that covers event {self.as_of_seq:,}")
        checkpoint = parse_checkpoint(open_note(self.note, keys)[0])
        require_consistency(self.as_of_seq, checkpoint.size, self.root, checkpoint.root, self.proof)
        return checkpoint

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "registry": self.registry,
            "time": self.time,
            "as_of_seq": self.as_of_seq,
            "at": self.at,
            "next_at": self.next_at,
            "erased_since": self.erased_since,
            "checkpoint": self.note,
            "root": None if self.root is None else self.root.hex(),
            "proof": None if self.root is None else [one.hex() for one in self.proof],
        }


def moment_of(client: RegistryClient, time: str) -> Moment:
    """Ask a registry up to which event it knew at ``time``: a day, which means its end in UTC, or a time.

    Raises :class:`registry.errors.RegistryRefusedError` for a time before its first event or yet to come.
    """
    wire = client.events_at(quote(time, safe=""))
    try:
        told = Moment(
            registry=client.url,
            time=wire["time"],
            as_of_seq=wire["as_of_seq"],
            at=wire["at"],
            next_at=wire["next_at"],
            erased_since=wire["erased_since"],
            note=wire["checkpoint"],
            root=None if wire["root"] is None else bytes.fromhex(wire["root"]),
            proof=tuple(bytes.fromhex(one) for one in wire["proof"] or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise wrong_answer(client.url, f"a moment that cannot be read ({error!r})") from error
    texts = (told.time, told.at, told.next_at or "", told.note or "")
    counts = (told.as_of_seq, told.erased_since)
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in counts):
        raise wrong_answer(client.url, "a moment of another form")
    if told.as_of_seq < 1 or told.erased_since < 0:
        raise wrong_answer(client.url, f"a moment as of event {told.as_of_seq}")
    return told


@dataclass(frozen=True, slots=True)
class PastRegistry:
    """A registry that is asked what it knew at a moment."""

    client: RegistryClient
    moment: Moment

    @property
    def url(self) -> str:
        """Its address."""
        return self.client.url

    def again(self) -> Moment:
        """Return the moment as it is told now: what was erased while it was asked about is counted."""
        now = moment_of(self.client, self.moment.time)
        if now.as_of_seq != self.moment.as_of_seq:
            raise wrong_answer(
                self.url, f"event {now.as_of_seq}, and before {self.moment.as_of_seq}, for one time"
            )
        return now

    def check_parameters(self) -> Mapping[str, Any]:
        """Raise as the client does."""
        return self.client.check_parameters()

    def lookup(
        self, items: Sequence[Asked], use: Use, *, review: bool = True, grants: Sequence[str] = ()
    ) -> list[Known]:
        """Return what was known of each item then.

        Raises :class:`InputError` for grants, and as the client.
        """
        if grants:
            _no_grants()
        known = self.client.lookup(items, use, review=review, as_of_seq=self.moment.as_of_seq)
        for one in known:
            if one.as_of_seq != self.moment.as_of_seq:
                asked = self.moment.as_of_seq
                raise wrong_answer(self.url, f"as of event {one.as_of_seq}, and was asked as of {asked}")
        return known

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Raise :class:`InputError`: marks are of now, and what was withdrawn has one too."""
        raise InputError("marks cannot be asked as of an earlier event")


def _no_grants() -> NoReturn:
    raise InputError("grants are of now, and cannot be asked about as of an earlier event")
