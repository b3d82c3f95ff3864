"""TDM-AI: declarations about one work by its ISCC, from a registry of them (schema 1.0, 21 July 2025).

A declaration is a flat JSON object. Its labels are those of AIPREF's revision 02, whose meanings are not
today's: there ``train-ai`` is about models that generate nothing.

1. A label that is absent takes the value of its parent: train-genai of train-ai, train-ai of all.
2. ``ai-use`` and ``search`` are below all in AIPREF's draft, and stand alone in TDM-AI's text. So they take
   its no, not its yes.
3. Values are ``y`` and ``n``, or true and false, as texts or not: the schema and its publishers differ.
4. Other values say ``unknown``, and what plainly means no reserves; both are ``malformed``. So is all that a
   declaration of another version says: its labels may mean something else, so it permits nothing.

Whether the ISCC is that of the work, and who signed, is for the caller to find out.

    {"version": "1.0", "iscc": "ISCC:…", "intent": "activate", "all": "n", "search": "y"}
"""

from collections.abc import Iterator, Mapping
from typing import Any

from registry.errors import InputError
from registry.jsontext import strict_json
from registry.preference import Preference, Status, Use
from registry.signals.observation import Fault, Origin, Reading, statement
from registry.statement import Quality, Statement

__all__ = ["CHAINS", "LARGEST", "PROTOCOL", "VERSION", "read"]

PROTOCOL = "tdm-ai"
VERSION = "1.0"
LARGEST = 65536
"""Bytes of a declaration that are read; a larger one is a fault."""

CHAINS = {
    Use.TDM: ("all",),
    Use.TRAIN: ("train-ai", "all"),
    Use.GENAI_TRAIN: ("train-genai", "train-ai", "all"),
    Use.AI_INPUT: ("ai-use", "all"),
    Use.SEARCH: ("search", "all"),
}
"""Use → the label that speaks about it, then its parents (draft-ietf-aipref-vocab-02)."""

_ALONE = frozenset({Use.AI_INPUT, Use.SEARCH})
_INTENTS = frozenset({"activate", "update", "supersede", "supercede"})
_WORDS = {"y": True, "true": True, "n": False, "false": False}
_NO = ("n", "f")
_Said = tuple[Preference, Quality]


def read(data: bytes, origin: Origin) -> Reading:
    """Read one declaration. What is larger than ``LARGEST`` or no JSON object is a fault."""
    try:
        declaration = _declaration(data)
    except InputError as error:
        fault = Fault(origin.protocol, origin.carrier, Status.MALFORMED, f"TDM-AI: {error.message}")
        return Reading(faults=(fault,))
    return Reading(tuple(_statements(declaration, origin)))


def _declaration(data: bytes) -> Mapping[str, Any]:
    if len(data) > LARGEST:
        raise InputError(f"{len(data)} bytes; at most {LARGEST} are read")
    declaration = strict_json(data)
    if not isinstance(declaration, dict):
        raise InputError(f"an object is expected, got {type(declaration).__name__}")
    return declaration


def _statements(declaration: Mapping[str, Any], origin: Origin) -> Iterator[Statement]:
    known = declaration.get("version") == VERSION and str(declaration.get("intent", "activate")) in _INTENTS
    said = {use: _said(use, chain, declaration) for use, chain in CHAINS.items()}
    found = {use: one if known else _doubted(one) for use, one in said.items() if one is not None}
    labels = dict.fromkeys(label for chain in CHAINS.values() for label in chain[::-1])
    words = ", ".join(f"{label}={str(declaration[label])[:20]}" for label in labels if label in declaration)
    for quality in (Quality.EXACT, Quality.MALFORMED):
        preferences = {use: value for use, (value, one) in found.items() if one is quality}
        if preferences:
            yield statement(origin, preferences, words, quality=quality)


def _said(use: Use, chain: tuple[str, ...], declaration: Mapping[str, Any]) -> _Said | None:
    """Return what is said of one use; None if nothing is."""
    told = [(label, _meant(declaration[label])) for label in chain if label in declaration]
    if not told:
        return None
    label, (value, quality) = told[0]
    reserved = any(parent is Preference.RESERVED for _, (parent, _) in told[1:])
    if value is Preference.UNKNOWN and reserved:
        return Preference.RESERVED, Quality.MALFORMED
    if value is not Preference.RESERVED and use in _ALONE and label != chain[0]:
        return None
    return value, quality


def _meant(value: object) -> _Said:
    word = _WORDS.get(value) if isinstance(value, str) else value
    if isinstance(word, bool):
        return (Preference.ALLOWED if word else Preference.RESERVED), Quality.EXACT
    no = isinstance(value, str) and value.strip().lower().startswith(_NO)
    return (Preference.RESERVED if no else Preference.UNKNOWN), Quality.MALFORMED


def _doubted(said: _Said) -> _Said:
    value = Preference.UNKNOWN if said[0] is Preference.ALLOWED else said[0]
    return value, Quality.MALFORMED
