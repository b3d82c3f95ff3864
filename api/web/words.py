"""What the pages call things, for people who have never heard of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from registry.model_checks import MAX_AGE_DAYS, Result
from registry.preference import Preference, Status, Use
from registry.reasons import protocol_name

__all__ = [
    "ANSWERS",
    "CHECKS",
    "EVIDENCE",
    "HAPPENED",
    "HOW_ASKED",
    "MATCHES",
    "MEANINGS",
    "SAID",
    "UNSHOWN",
    "USES",
    "Verdict",
    "cause_of",
    "how_found",
    "is_link",
    "standing_of",
    "uses_by_preference",
    "verdict_of",
]

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
CHECKS = {
    Result.OK: ("yes", "holds"),
    Result.NOT_OK: ("no", "does not hold"),
    Result.NOT_TOLD: ("open", "not told"),
}
"""What the result of a check is called, with its kind for the style sheet."""
HOW_ASKED = {
    "full": "asked about each sample",
    "marks": "asked which keys it knows, and about those",
    "private": "asked by the beginnings of keys only",
    "snapshot": "a copy on the maker’s own machine; nothing was sent",
}
SAID = {
    Preference.RESERVED: ("Reserved", "Not to be used for this without permission."),
    Preference.CONDITIONAL: ("Under conditions", "To be used for this by whoever meets the terms."),
    Preference.ALLOWED: ("Allowed", "Whoever may say so permits it."),
}
"""What a record says of a use: a title, and what it means."""
UNSHOWN = "So says whoever lodged it. That they may is not shown here, so no filter goes by it yet: ask them."
"""What a permission means below the evidence level from which it counts."""
ANSWERS = {
    "": "say nothing",
    Preference.RESERVED: "no",
    Preference.CONDITIONAL: "ask me: only under my terms",
    Preference.ALLOWED: "yes",
}
"""What somebody who lodges works may answer for a use."""
MEANINGS = {
    Use.GENAI_TRAIN: "Models that make pictures, texts or sounds, and small ones that copy one’s style.",
    Use.TRAIN: "Models that recognise, sort or search, and make nothing.",
    Use.TDM: "Programs that analyse many works to find patterns, for research or for sale.",
    Use.AI_INPUT: "Your work is given to a finished model: to be described, summed up, or made into another.",
    Use.AI_INDEX: "Your work is listed so that an AI assistant finds it and can show or cite it.",
    Use.SEARCH: "Ordinary search engines list your work. A no may take you out of them.",
}
"""What a use is, for those whose works are used."""
HAPPENED = {
    "register": "Lodged",
    "import": "Lodged, by a partner for many",
    "works": "Works were added",
    "change": "Changed",
    "withdraw": "Withdrawn",
    "withdraw-works": "Some works were withdrawn",
    "erase": "What it said before was erased",
    "grant": "Permission was given to somebody",
    "revoke-grant": "A permission was taken back",
    "honoured": "A receipt says that works of it were left out",
    "consent": "A receipt says that works of it were used with permission",
}
"""What can happen to a record."""
_CAUSES = {
    "url": "by the very address",
    "prefix": "by a folder of addresses",
    "host": "by their host",
    "domain": "by their domain",
    "sha256": "as the very file",
    "pdq": "as copies of a picture",
    "phash": "as possible copies of a picture",
    "unknown": "because nobody has said anything, in strict mode",
    "another": "because they belong to another that went",
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


def cause_of(kind: str) -> str:
    """Return why samples were left out: by a kind of match, or by what a work or site says itself."""
    return _CAUSES.get(kind) or f"by {protocol_name(kind)}"


def is_link(text: str) -> bool:
    """Say whether what somebody gave as terms or contact may be made a link: no other schemes are."""
    return text.startswith(("https://", "http://", "mailto:")) and " " not in text


def uses_by_preference(preferences: Mapping[Any, str]) -> list[tuple[Preference, list[str]]]:
    """Return what a record says, the uses of each preference together, named as people call them."""
    found = {one: [name for use, name in USES.items() if preferences.get(use) == one] for one in SAID}
    return [(one, uses) for one, uses in found.items() if uses]


def standing_of(checks: Sequence[Mapping[str, str]], verdict: str, since: int = 0) -> Verdict:
    """Return what follows from all checks of a receipt together.

    ``since`` counts samples that passed, and are known to be reserved now.
    """
    wrong = {one["name"] for one in checks if one["result"] == Result.NOT_OK}
    if since and wrong <= {"age"}:
        return Verdict("conditional", "It holds, and works were reserved since", _SINCE.format(since))
    if not wrong and verdict == Result.OK:
        return Verdict("allowed", "What can be checked here holds", _WHOSE)
    if not wrong:
        return Verdict("conditional", "Nothing is wrong, and something is open", _TENSORS)
    if wrong == {"age"}:
        return Verdict("unknown", "It holds, and it is old", _OLD)
    if "signature" in wrong <= {"signature", "age"}:
        return Verdict("error", "Signed by another key", _STRANGER)
    return Verdict("error", "It does not hold", "What is wrong stands below. Do not rely on it.")


_WHOSE = "Whether you know the key that signed it, you alone can say."
_OLD = f"Older than {MAX_AGE_DAYS} days: works that were reserved since may be in the set."
_STRANGER = "The signature is right, and not by the key that was given. Do not rely on it."
_SINCE = "Samples that passed, and may not be used now: {:,}. The set should be filtered again."
_TENSORS = "The model’s own bytes were not compared with the hash that the receipt is bound to."
