"""What the pages call things, for people who have never heard of them."""

from typing import Any, NamedTuple

from registry.preference import Preference, Status, Use

__all__ = ["EVIDENCE", "MATCHES", "USES", "Verdict", "how_found", "verdict_of"]

USES = {
    Use.GENAI_TRAIN: "training generative AI",
    Use.TRAIN: "training other AI models",
    Use.TDM: "text and data mining",
    Use.AI_INPUT: "input to an AI model",
    Use.AI_INDEX: "indexing for AI",
    Use.SEARCH: "search engines",
}
EVIDENCE = (
    "nothing is known of who said it",
    "who said it showed that a domain or profile is theirs",
    "who said it has an account here",
    "who said it signed the works",
    "a third party vouches for who said it",
)
"""By level, 0 to 4."""
MATCHES = {
    "url": "this very address",
    "prefix": "a folder of addresses",
    "host": "everything on this host",
    "domain": "everything under this domain",
    "sha256": "this very file",
    "pdq": "a picture that looks the same",
    "phash": "a picture that looks alike",
}
_PLACES = {
    "url": "the same address",
    "prefix": "an address in this folder",
    "host": "an address on this host",
    "domain": "an address under this domain",
}
_VERDICTS = {
    Preference.RESERVED: ("reserved", "Reserved", "Not to be used for this without permission."),
    Preference.CONDITIONAL: (
        "conditional",
        "Under conditions",
        "Counts as reserved until the conditions are shown to be met.",
    ),
    Preference.ALLOWED: ("allowed", "Allowed", "Whoever may say so permits it."),
    Preference.UNKNOWN: (
        "unknown",
        "Unknown",
        "No record is not consent: it only means that nobody has lodged a word about this here.",
    ),
}
_DOUBTFUL = (
    "doubtful",
    "A possible copy",
    "It may be a copy of a work that is reserved. A person should compare the two before it is used.",
)


class Verdict(NamedTuple):
    """What people read first: the answer, and what follows; ``kind`` is for the style sheet."""

    kind: str
    title: str
    meaning: str


def verdict_of(result: dict[str, Any]) -> Verdict:
    """Return the verdict of a result of a look-up."""
    if result["status"] == Status.NOT_CHECKED:
        return Verdict("error", "Not compared", "This is no answer: something else has to be asked with.")
    if result["status"] != Status.OK:
        return Verdict("error", "No answer", "It could not be looked up, so nothing follows from this.")
    preference = Preference(result["preference"])
    doubts = any(not one["match"]["certain"] for one in result["statements"])
    if preference is Preference.UNKNOWN and doubts:
        return Verdict(*_DOUBTFUL)
    return Verdict(*_VERDICTS[preference])


def how_found(match: dict[str, Any]) -> str:
    """Return how a sample of a dataset was found, with how sure that is."""
    if match["kind"] == "sha256":
        return "the same file, byte for byte"
    if match["kind"] == "phash":
        return "looks alike by a coarse hash: compare the two yourself"
    if match["kind"] != "pdq":
        return _PLACES[match["kind"]]
    if match["certain"]:
        return "a copy beyond reasonable doubt"
    return "a possible copy: compare the two yourself"
