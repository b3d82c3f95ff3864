"""The sentence that explains a decision: who said what about the use, and where it stands.

Written for the person whose picture went, or stayed. A record of a registry is told by what matched, a signal
by the place where it was read, with the words that were found there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.oneline import one_line
from registry.preference import Mode, Preference, Use
from registry.statement import Match, Quality, Signal, Statement

__all__ = ["Ground", "lifted", "place_of", "protocol_name", "reason", "silence"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a decision rests on: the statements that decided, and in a dispute those of the other side.

    ``lifted`` are those that a grant lifted.
    """

    use: Use
    mode: Mode
    preference: Preference
    deciding: tuple[Statement, ...]
    opposing: tuple[Statement, ...] = ()
    lifted: tuple[Statement, ...] = ()


def reason(ground: Ground) -> str:
    """Return the sentence for a decision that something said led to; requires a deciding statement."""
    statement = ground.deciding[0]
    who = f" by “{one_line(statement.label)}”" if statement.label else ""
    said = f"{_said(ground, statement).capitalize()} for {ground.use}{who}"
    return f"{said}: {_how(statement)}{_tail(ground, statement)}."


def silence(use: Use, mode: Mode, unheard: Iterable[Statement] = ()) -> str:
    """Return the sentence for a decision to which nothing led; ``unheard`` is what was said all the same."""
    why = min(filter(None, (_why_unheard(one, use) for one in unheard)), default="")
    counts = f" that counts: {why}" if why else ""
    left_out = "; strict mode leaves it out" if mode is Mode.STRICT else ""
    return f"Nobody has said anything about {use}{counts}{left_out}."


def lifted(ground: Ground) -> str:
    """Return the sentence where a grant lifted all that was said; requires a lifted statement."""
    statement = ground.lifted[0]
    who = f" by “{one_line(statement.label)}”" if statement.label else ""
    said = f"{str(statement.preferences[ground.use]).capitalize()} for {ground.use}{who}"
    weak = "; its evidence permits nothing by itself, and strict mode leaves it out"
    left_out = weak if ground.mode is Mode.STRICT else ""
    return f"{said}: {_how(statement)}; permitted by grant {statement.grant}{left_out}."


def protocol_name(protocol: str) -> str:
    """Return what people call a protocol."""
    return _PROTOCOLS.get(protocol) or _short(protocol)


def place_of(carrier: str) -> str:
    """Return where a signal stands, as a part of a sentence."""
    return _PLACES.get(carrier) or f"its {_short(carrier)}"


def _said(ground: Ground, statement: Statement) -> str:
    # A condition that is met makes a permission of what was conditional.
    if statement.match.certain and ground.preference is Preference.ALLOWED:
        return str(Preference.ALLOWED)
    return str(statement.preferences[ground.use])


def _tail(ground: Ground, statement: Statement) -> str:
    if not statement.match.certain:
        left_out = "; strict mode leaves it out" if ground.mode is Mode.STRICT else ""
        return f"; a person should look{left_out}"
    if ground.preference is Preference.ALLOWED:
        if statement in ground.lifted:
            return f"; permitted by grant {statement.grant}"
        met = statement.preferences[ground.use] is Preference.CONDITIONAL
        return f"; its condition is met, {_short(statement.terms)}" if met else ""
    disputed = "; disputed, since another verified claim allows it" if ground.opposing else ""
    if ground.mode is Mode.RESEARCH_ART3:
        return f"{disputed}; research mode records it and keeps the work"
    return disputed + (_unmet(statement) if ground.preference is Preference.CONDITIONAL else "")


def _unmet(statement: Statement) -> str:
    terms = f", {_short(statement.terms)}" if statement.terms else ""
    return f"; no proof that its condition is met{terms}"


def _how(statement: Statement) -> str:
    if statement.signal is not None:
        return _how_told(statement, statement.signal)
    return _MATCHES.get(statement.match.kind) or _likeness(statement.match)


def _likeness(match: Match) -> str:
    of = 64 if match.kind == "phash" else 256
    bits = "" if match.distance is None else f", {match.distance} of {of} bits apart"
    mirrored = ", mirrored" if match.form and "mirror" in match.form else ""
    look = "looks like the registered work" if match.certain else "may be a copy of the registered work"
    return f"{look}{mirrored}{bits}"


def _how_told(statement: Statement, signal: Signal) -> str:
    place, words = place_of(signal.carrier), _words(signal)
    if signal.protocol == "robots" and signal.quality is Quality.INFERRED:
        if signal.said.startswith(_NO_ANSWER):
            return f"{place} gave no answer, which counts as keeping every bot out"
        return f"{place} keeps {_kept_out(statement)} out"
    if signal.quality is Quality.HINT:
        return f"{place} keeps search engines away ({words}), which strict mode takes for a hint"
    if signal.quality is Quality.NATURAL_LANGUAGE:
        return f"{place} seems to say so in plain words (“{_short(signal.said)}”)"
    if signal.quality is Quality.MALFORMED:
        return f"{place} says so, though not by the rules ({words})"
    return f"{place} says so ({words})"


def _kept_out(statement: Statement) -> str:
    """Say whom a robots.txt keeps out, by the uses that follow from it."""
    if Use.SEARCH in statement.preferences:
        return "every bot"
    if Use.GENAI_TRAIN in statement.preferences:
        return "AI training bots"
    return "AI assistants and AI search"


def _why_unheard(statement: Statement, use: Use) -> str:
    signal, value = statement.signal, statement.preferences[use]
    if signal is not None and signal.quality is Quality.HINT and value is not Preference.ALLOWED:
        place = place_of(signal.carrier)
        return f"{place} keeps search engines away ({_words(signal)}), a hint for strict mode alone"
    if value is Preference.CONDITIONAL:
        return f"a condition is met, {_short(statement.terms)}, but who set it may not permit"
    if signal is None:
        return ""
    place, words = place_of(signal.carrier), _words(signal)
    if value is Preference.UNKNOWN:
        malformed = signal.quality is Quality.MALFORMED
        return f"{place} has a value that its rules do not know ({words})" if malformed else ""
    if signal.quality is not Quality.EXACT:
        return f"{place} seems to allow it ({words}), but not by the rules"
    return f"{place} allows it ({words}), but no valid signature stands behind that"


def _words(signal: Signal) -> str:
    name = protocol_name(signal.protocol)
    return f"{name}, {_short(signal.said)}" if signal.said else name


def _short(said: str) -> str:
    line = one_line(said)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


_LONGEST = 120
_NO_ANSWER = "crawl_disallowed: robots.txt gave no answer"
_MATCHES = {
    "url": "the registered address",
    "prefix": "below a registered folder",
    "host": "on a registered host",
    "domain": "under a registered domain",
    "sha256": "the registered file, byte for byte",
}
_PROTOCOLS = {
    "iptc": "IPTC Data Mining",
    "xmp": "XMP",
    "tdmrep": "TDMRep",
    "aipref": "Content-Usage",
    "content-signal": "Content-Signal",
    "robots": "robots.txt",
    "directives": "robots directives",
    "c2pa": "C2PA",
    "rsl": "RSL",
    "tdm-ai": "TDM-AI",
    "licence": "licence",
}
_PLACES = {
    "xmp": "the picture’s own metadata",
    "manifest": "the picture’s own manifest",
    "ingredient": "the manifest of a picture that went into it",
    "xmp sidecar": "the .xmp file beside the picture",
    "header": "the site’s answer with the picture",
    "page": "the page around the picture",
    "rsl": "the site’s RSL licence",
    "robots.txt": "the site’s robots.txt",
    "ai.txt": "the site’s ai.txt",
    "tdmrep.json": "the site’s tdmrep.json",
}
