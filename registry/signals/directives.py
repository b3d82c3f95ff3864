"""Directives to robots: the header field ``X-Robots-Tag`` and ``<meta name="robots">``.

``noai`` and ``noimageai`` come from DeviantArt (11 November 2022), ``noml`` from the NoML initiative; none
has a specification beyond its announcement. The rest are the search engines' own.

1. A line is ``[user agent ":"] directive *("," directive)``, in any case. What stands before the first colon
   of a member is a user agent unless it is a directive itself (``max-snippet: 5``) or what follows is a
   number, as in the time of a date. It stays in force for the members after it, up to the next one or to the
   end of the line.
2. Only what is said to all (nobody named, or ``*``) or to ``caveat`` concerns us.
3. ``AI`` reserves training and every other use by AI. ``SEARCH`` keeps search engines away: it reserves
   search, and is a hint (quality ``hint``) for all other uses, which counts in strict mode only.
4. ``TRAINING`` reserves training.
5. Words of ``AI`` that stand in a member without a comma between them are read too, as ``malformed``.

    X-Robots-Tag: max-snippet: 5, NoAI, otherbot: noindex    →    every use by AI is reserved
"""

import re
from collections.abc import Iterable, Iterator

from registry.preference import Preference, Status, Use
from registry.signals.observation import Fault, Origin, Reading, statement
from registry.signals.page import Page
from registry.statement import Quality, Speaker, Statement

__all__ = ["AI", "LARGEST", "PROTOCOL", "SEARCH", "TRAINING", "VERSION", "read_headers", "read_page"]

PROTOCOL = "directives"
VERSION = "2022-11-11"
"""The day of DeviantArt's announcement."""

LARGEST = 65536
"""Characters of all lines of one carrier that are read; more are a fault."""

AI = frozenset({"noai", "noimageai", "noml"})
TRAINING = frozenset({"disallowaitraining"})
"""Words of draft-canel-robots-ai-control, which speaks of training alone."""
SEARCH = frozenset({"noindex", "none", "noimageindex"})

_TRAIN = (Use.TRAIN, Use.GENAI_TRAIN)
_AI_USES = (*_TRAIN, Use.AI_INPUT, Use.AI_INDEX)
_OTHERS = tuple(use for use in Use if use is not Use.SEARCH)
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_OURS = frozenset({"", "*", "caveat"})
_NO_AGENT = frozenset({"robots", "all", "index", "follow", "nofollow", "noarchive", "nosnippet", "nocache"})
"""Other directives, and the name of the page's element: what stands after them is said to everybody."""
_AGENT = re.compile(r"\*|[a-z0-9_.-]+")
_BETWEEN = re.compile(r"[^\w-]+")


def read_headers(headers: Iterable[tuple[str, str]]) -> Reading:
    """Read every ``X-Robots-Tag`` among the header fields of one answer, each line by itself."""
    lines = [value for name, value in headers if name.lower() == "x-robots-tag"]
    return _read(lines, "header", "\n".join(lines).encode("utf-8", "surrogatepass"))


def read_page(page: Page) -> Reading:
    """Read what the page says to all robots or to ``caveat`` by name."""
    return _read([*page.contents("robots"), *page.contents("caveat")], "page", page.data)


def _read(lines: list[str], carrier: str, raw: bytes) -> Reading:
    size = sum(map(len, lines))
    if size > LARGEST:
        message = f"directives of {size} characters; at most {LARGEST} are read"
        return Reading(faults=(Fault(PROTOCOL, carrier, Status.MALFORMED, message),))
    origin = Origin(PROTOCOL, VERSION, carrier, raw, Speaker.HOST)
    return Reading(tuple(_statements([one for line in lines for one in _to_us(line)], origin)))


def _statements(members: list[str], origin: Origin) -> Iterator[Statement]:
    ai, training, search = (_distinct(members, known) for known in (AI, TRAINING, SEARCH))
    reserved = Preference.RESERVED
    salvaged = _distinct((word for one in members for word in _BETWEEN.split(one)), AI)
    if ai:
        yield statement(origin, dict.fromkeys(_AI_USES, reserved), ", ".join(ai))
    elif salvaged:
        said = next(one for one in members if not AI.isdisjoint(_BETWEEN.split(one)))
        yield statement(origin, dict.fromkeys(_AI_USES, reserved), said, quality=Quality.MALFORMED)
    if training:
        yield statement(origin, dict.fromkeys(_TRAIN, reserved), ", ".join(training))
    if search:
        yield statement(origin, {Use.SEARCH: reserved}, ", ".join(search))
        yield statement(origin, dict.fromkeys(_OTHERS, reserved), ", ".join(search), quality=Quality.HINT)


def _distinct(members: Iterable[str], known: frozenset[str]) -> list[str]:
    return [one for one in dict.fromkeys(members) if one in known]


def _to_us(line: str) -> Iterator[str]:
    """Return the members of one line that concern us, in lower case, each without its user agent."""
    agent = ""
    for member in line.lower().split(","):
        before, colon, after = member.partition(":")
        if colon and _is_agent(before.strip(), after.strip()):
            agent, member = before.strip(), after
        if agent in _OURS:
            yield member.strip()


def _is_agent(before: str, after: str) -> bool:
    if before in _VALUED | AI | SEARCH | TRAINING | _NO_AGENT or after[:1].isdigit():
        return False
    return _AGENT.fullmatch(before) is not None and before.strip("0123456789.-") != ""
