"""What is said of a work here, and in which datasets it is: one answer for the page and its JSON twin.

The registry is asked as by ``POST /api/v1/lookup``, with the same look-up, the same decision and the same
rules on who is told what. A dataset is asked with what its index was made for; one whose index cannot be used
is an error, and never "not found".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from api.answers import Answering, unanswered
from api.datasets import ServedIndex
from api.state import last_checkpoint, state
from registry.dataset_index import Answer, OpenIndex
from registry.errors import SegmentError
from registry.fingerprint import Fingerprint
from registry.lookup import Question
from registry.preference import Mode, Preference, Status, Use

__all__ = ["Asked", "DatasetAsked", "asked_of_datasets", "asked_of_registry", "of_address", "of_picture"]

_SHOWN = 10
"""Samples that are named of what was found in a dataset; all are counted."""
_MOST = 100_000
"""Addresses of a host that are looked through for those in a folder: a second's work at most."""
_TOO_PLAIN = "the picture is too plain to be told apart; only the same file would have been found"
_ASK = Callable[[OpenIndex], Answer]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, for which use, and whether by one who is told everything.

    ``text`` is what people call it, ``kind`` is url, prefix, host, domain or picture. ``as_name`` says that a
    host or domain is meant, not its front page.
    """

    text: str
    kind: str
    question: Question
    use: Use
    detail: bool
    as_name: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"kind": self.kind, "text": self.text, "use": str(self.use)}


@dataclass(frozen=True, slots=True)
class DatasetAsked:
    """What a dataset answered: ``wire`` is its JSON form; ``error`` why there is no answer."""

    wire: dict[str, Any]
    error: SegmentError | None = None


def asked_of_registry(asked: Asked) -> dict[str, Any]:
    """Return ``as_of_seq``, ``checkpoint``, the ``result`` for the use, and for every use its ``uses``.

    Raises :class:`StaleIndexError` and the others of a look-up: what cannot be known is not told.
    """
    answer = state().lookup.ask([asked.question])
    [statements] = answer.statements
    if asked.as_name:
        # What was said of the front page alone says nothing of the others.
        statements = [one for one in statements if one.match.kind != "url"]
    complete = not answer.incomplete
    results = {
        use: Answering(use, Mode.EU_ART4, asked.detail).result("", statements, complete=complete)
        for use in Use
    }
    if asked.kind == "picture" and not asked.question.is_comparable:
        results = {use: _compared(result) for use, result in results.items()}
    for result in results.values():
        del result["id"]
    return {
        "as_of_seq": answer.as_of_seq,
        "checkpoint": last_checkpoint(),
        "result": results[asked.use],
        "uses": {
            str(use): {name: result[name] for name in ("status", "preference", "reason")}
            for use, result in results.items()
        },
    }


def _compared(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result for a picture that was looked up as a file only: silence is no answer then."""
    if result["preference"] == Preference.UNKNOWN and not result["statements"]:
        return unanswered("", Status.NOT_CHECKED, _TOO_PLAIN)
    return result


def asked_of_datasets(indexes: tuple[ServedIndex, ...], ask: _ASK, *, detail: bool) -> Iterator[DatasetAsked]:
    """Yield what each dataset answers, in their order."""
    for one in indexes:
        try:
            yield DatasetAsked(one.ask(partial(_told, one.name, ask, detail)))
        except SegmentError as error:
            nothing = {"format": "", "samples": 0, "count": 0, "complete": False, "found": []}
            said = {"name": one.name, "reason": error.message, "hint": error.hint}
            yield DatasetAsked(said | {"status": str(Status.ERROR)} | nothing, error)


def of_address(text: str) -> _ASK:
    """Return what looks for an address, or for addresses, in an index."""
    return lambda index: index.find(text, limit=_SHOWN, most=_MOST)


def of_picture(name: str, fingerprint: Fingerprint) -> _ASK:
    """Return what looks for copies of a picture, by its registered fingerprint."""
    return lambda index: index.find_picture(name, fingerprint, limit=_SHOWN)


def _told(name: str, ask: _ASK, detail: bool, index: OpenIndex) -> dict[str, Any]:
    listing, answer = index.listing, ask(index)
    found = [
        {**one.to_wire(), "match": one.match.to_wire(detail=detail), "urls": list(one.urls[:_SHOWN])}
        for one in answer.found
    ]
    return {
        "name": name,
        "format": listing.format,
        "samples": listing.counts.samples,
        "status": str(answer.status),
        "reason": answer.reason,
        "count": answer.count,
        "complete": answer.complete,
        "found": found,
    }
