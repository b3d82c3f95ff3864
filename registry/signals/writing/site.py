"""The files of a site besides robots.txt: ai.txt, tdmrep.json with its policy, and an RSL licence.

Each function takes a choice and returns the text of a whole file, by the rules of
:mod:`registry.signals.writing.choice`. RSL has two rules of its own: where a usage is permitted those
that are not listed are not licensed, and neither is what is permitted and prohibited. So a use on terms
stands in a licence of its own, with its payment.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from registry.errors import InputError
from registry.preference import Preference, Use
from registry.signals.ai_txt import USES as AI_TXT_USES
from registry.signals.writing.choice import Choice, Written, address, told, worded

__all__ = [
    "MEDIA",
    "RSL_NAMESPACE",
    "RSL_USES",
    "TDM_USES",
    "Assigner",
    "ai_txt",
    "policy_notes",
    "rsl",
    "tdm_policy",
    "tdm_reservation",
    "tdmrep",
]

MEDIA = (
    *("bmp", "gif", "ico", "jpeg", "jpg", "png", "svg", "tif", "tiff", "webp"),
    *("eps", "ai", "indd", "heif", "raw", "psd", "cr2", "nef", "orf", "sr2"),
)
"""Endings of pictures, as Spawning's generator of ai.txt lists them."""

RSL_NAMESPACE = "https://rslstandard.org/rsl"

_AI_TXT = {"": AI_TXT_USES}
TDM_USES = (Use.TDM, Use.TRAIN, Use.GENAI_TRAIN, Use.AI_INPUT, Use.AI_INDEX)
"""What ``tdm-reservation: 1`` reserves (every automated analysis)."""

_TDM_PERMITS = (Use.TDM, Use.TRAIN, Use.GENAI_TRAIN)
_ODRL = ["http://www.w3.org/ns/odrl.jsonld", "http://www.w3.org/ns/tdmrep.jsonld"]
_PROFILE = "http://www.w3.org/ns/tdmrep"
RSL_USES = {
    "ai-train": (Use.TRAIN, Use.GENAI_TRAIN),
    "ai-input": (Use.AI_INPUT,),
    "ai-index": (Use.AI_INDEX,),
    "search": (Use.SEARCH,),
}
"""Usage token of RSL 1.0 → uses, for the tokens that are written."""

_RESERVED, _CONDITIONAL, _ALLOWED = Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED


# -- ai.txt ----------------------------------------------------------------------------------------


def ai_txt(choice: Choice) -> Written:
    """Return an ai.txt of Spawning's form. Raises :class:`InputError` when it would say nothing."""
    said = worded(choice, _AI_TXT)
    if not said:
        raise _nothing("ai.txt", _AI_TXT[""])
    field = "Allow" if said[""] is _ALLOWED else "Disallow"
    paths = (*(f"*.{ending}" for ending in MEDIA), "/", "*")
    lines = ["# Whether media of this host may be taken for training.", "User-Agent: *"]
    text = "\n".join([*lines, *(f"{field}: {path}" for path in paths)]) + "\n"
    return Written("ai.txt", text, told(said, _AI_TXT), "/ai.txt, on every host that serves your works")


# -- TDMRep ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigner:
    """Who reserves, for an ODRL policy: a name, and one or more ways to reach them."""

    name: str
    mail: str = ""
    url: str = ""


def tdm_reservation(choice: Choice) -> tuple[Preference, dict[Use, Preference]]:
    """Return what ``tdm-reservation`` says, and of which uses.

    Conditional is 1 with a policy, reserved is 1 without one, allowed is 0. Raises :class:`InputError` when
    it would say nothing.
    """
    meant = choice.of(TDM_USES)
    if _RESERVED in meant:
        return _RESERVED, dict.fromkeys(TDM_USES, _RESERVED)
    if _CONDITIONAL in meant:
        return _CONDITIONAL, dict.fromkeys(TDM_USES, _CONDITIONAL)
    if all(one is _ALLOWED for one in choice.of(_TDM_PERMITS)):
        return _ALLOWED, dict.fromkeys(_TDM_PERMITS, _ALLOWED)
    raise _nothing("TDMRep", _TDM_PERMITS)


def tdmrep(choice: Choice, *, policy: str = "") -> Written:
    """Return ``/.well-known/tdmrep.json``: an array with one entry for the whole host.

    ``policy`` is the address of a policy document; without one the terms of the choice are the policy.
    """
    value, carried = tdm_reservation(choice)
    entry: dict[str, Any] = {"location": "/", "tdm-reservation": 0 if value is _ALLOWED else 1}
    if value is _CONDITIONAL:
        entry["tdm-policy"] = address(policy or choice.terms)
    text = json.dumps([entry], indent=2) + "\n"
    place = "/.well-known/tdmrep.json, on every host that serves your works"
    notes: tuple[str, ...] = ()
    if choice.terms and value is not _CONDITIONAL:
        notes = ("your terms: not said, since TDMRep names terms as a condition, and for all uses at once",)
    return Written("tdmrep", text, carried, place, (*notes, *policy_notes(choice, policy)))


def policy_notes(choice: Choice, policy: str) -> tuple[str, ...]:
    """Return, if the address of a policy is given and not written, that it is not."""
    try:
        written = tdm_reservation(choice)[0] is _CONDITIONAL
    except InputError:
        written = False
    if not policy or written:
        return ()
    return (
        "your policy: not said, since TDMRep names one for what is on terms: --condition, for all but search",
    )


def tdm_policy(choice: Choice, assigner: Assigner, policy: str) -> str:
    """Return the policy document that is to lie at the address ``policy``: an ODRL offer of TDMRep's profile.

    Raises :class:`InputError` when nothing is on terms, or when nobody could be reached by it.
    """
    if tdm_reservation(choice)[0] is not _CONDITIONAL:
        raise InputError(
            "a policy says on which terms mining is permitted, and it is not on terms",
            hint="Name the uses with --condition, and reserve none that is mining: "
            f"{', '.join(map(str, TDM_USES))}.",
        )
    if not assigner.name or not (assigner.mail or assigner.url):
        raise InputError(
            "a policy names who reserves, and how to reach them",
            hint="Give --assigner-name, and --assigner-mail or --assigner-url.",
        )
    document = {
        "@context": _ODRL,
        "@type": "Offer",
        "profile": _PROFILE,
        "uid": address(policy),
        "assigner": _card(assigner),
        "permission": [{"action": "tdm:mine", "duty": [{"action": "obtainConsent"}]}],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _card(assigner: Assigner) -> Mapping[str, str]:
    card = {"vcard:fn": assigner.name}
    if assigner.mail:
        if "@" not in assigner.mail.strip("@") or any(one.isspace() for one in assigner.mail):
            raise InputError(f"not a mail address: {assigner.mail[:120]!r}")
        card["vcard:hasEmail"] = f"mailto:{assigner.mail}"
    if assigner.url:
        card["vcard:hasURL"] = address(assigner.url)
    return card


# -- RSL -------------------------------------------------------------------------------------------


def rsl(choice: Choice, *, site: str = "") -> Written:
    """Return an RSL 1.0 file for all of a site; ``site`` is its address, empty for wherever it lies.

    Raises :class:`InputError` when it would say nothing.
    """
    said = {word: value for word, uses in RSL_USES.items() if (value := _strictest(choice, uses)) is not None}
    if not said:
        raise _nothing("RSL", [use for uses in RSL_USES.values() for use in uses])
    root = ElementTree.Element("rsl", {"xmlns": RSL_NAMESPACE})
    content = ElementTree.SubElement(root, "content", {"url": f"{site}/"})
    by_value = {value: [word for word in said if said[word] is value] for value in said.values()}
    if set(by_value) - {_CONDITIONAL}:
        _licence(content, by_value.get(_ALLOWED, []), by_value.get(_RESERVED, []))
    if _CONDITIONAL in by_value:
        licence = _licence(content, by_value[_CONDITIONAL], [])
        payment = ElementTree.SubElement(licence, "payment", {"type": "use"})
        ElementTree.SubElement(payment, "custom").text = choice.terms
    ElementTree.indent(root)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'
    place = "/license.xml on your site; say where it lies with --rsl in robots.txt, headers and pages"
    return Written("rsl", text, _licensed(said), place)


def _licensed(said: Mapping[str, Preference]) -> dict[Use, Preference]:
    """Return what is said of each use: where something is permitted, what is not listed is reserved."""
    listed = {use: value for word, value in said.items() for use in RSL_USES[word]}
    unlisted = dict.fromkeys(Use, _RESERVED) if set(said.values()) - {_RESERVED} else {}
    return {**unlisted, **listed}


def _strictest(choice: Choice, uses: tuple[Use, ...]) -> Preference | None:
    meant = choice.of(uses)
    for value in (_RESERVED, _CONDITIONAL):
        if value in meant:
            return value
    return _ALLOWED if all(one is _ALLOWED for one in meant) else None


def _licence(content: ElementTree.Element, permits: list[str], prohibits: list[str]) -> ElementTree.Element:
    licence = ElementTree.SubElement(content, "license")
    for tag, words in (("permits", permits), ("prohibits", prohibits)):
        if words:
            ElementTree.SubElement(licence, tag, {"type": "usage"}).text = " ".join(words)
    return licence


def _nothing(protocol: str, uses: Iterable[Use]) -> InputError:
    named = ", ".join(map(str, uses))
    return InputError(f"{protocol} would say nothing of what you chose", hint=f"It speaks of {named}.")
