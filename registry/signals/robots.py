"""robots.txt as a signal: whom it keeps out, and what it says about uses (RFC 9309).

A rule of robots.txt is about fetching. What follows from it for a use is inferred:

1. ``Disallow`` for everybody, or for ``OWN``: ``crawl_disallowed``, and every use is reserved.
2. ``Disallow`` for a name of AI training: training is reserved. For a name of an AI assistant or search:
   input and index are. A name that no group has is not looked at: the rules for everybody are those of 1.
3. ``Allow`` never says ``allowed``.
4. ``Content-Usage`` and ``Content-Signal`` are read by their own protocols, in the groups for everybody and
   for ``OWN``. In the group of an AI crawler, or in no group, they may restrict and never permit.
5. The file is read with both groupings (:mod:`registry.signals.robots_file`), and the stricter counts: what
   only one of them has may restrict, and never permit. So may a file of another host.
6. What breaks the rules and was plainly meant restricts too (:mod:`registry.signals.robots_salvage`).
7. 4xx: there is no file, and nothing is said. 408, 425 and 429, and everything that is neither 2xx nor 4xx,
   is no answer: an error, and by RFC 9309, 2.3.1.4, a disallow.
"""

from collections.abc import Iterable, Iterator

import registry.signals.aipref as aipref
import registry.signals.content_signal as content_signal
from registry.errors import InvalidUrlError
from registry.preference import Preference, Scope, Status, Use
from registry.signals.agents import Agent, AgentKind, Agents
from registry.signals.observation import Fault, Origin, Reading, SiteFile, joined, restricting, statement
from registry.signals.paths import origin_of, path_of
from registry.signals.robots_file import (
    EVERYBODY,
    READ,
    Field,
    Grouping,
    Place,
    Robots,
    Rule,
    parse,
    readable,
)
from registry.signals.robots_salvage import meant
from registry.statement import Quality, Speaker, Statement

__all__ = [
    "CARRIER",
    "LARGEST",
    "OWN",
    "POLICIES",
    "PROTOCOL",
    "RESERVED_BY",
    "VERSION",
    "Robots",
    "absent",
    "fault_of",
    "parse",
    "read",
]

PROTOCOL = "robots"
VERSION = "RFC 9309"
CARRIER = "robots.txt"
OWN = "caveat"
"""The name by which a site addresses this program."""

LARGEST = 5_000_000
"""Bytes of a file that is taken for one; of these the first ``READ`` are read."""
POLICIES = 100
"""Different ``Content-Usage`` and ``Content-Signal`` values that may hold for one path."""

RESERVED_BY = {
    AgentKind.TRAINING: (Use.TRAIN, Use.GENAI_TRAIN),
    AgentKind.ASSISTANT: (Use.AI_INPUT, Use.AI_INDEX),
    AgentKind.SEARCH: (Use.AI_INPUT, Use.AI_INDEX),
}
"""Kind of crawler that is kept out → what that reserves."""

_NOT_NOW = frozenset({408, 425, 429})
_SHOWN = 5
_READERS = {
    Field.USAGE: (aipref.PROTOCOL, aipref.VERSION, aipref.read_value),
    Field.SIGNAL: (content_signal.PROTOCOL, content_signal.VERSION, content_signal.read_value),
}
_Policies = dict[tuple[Field, str], None]
"""Values of ``Content-Usage`` and ``Content-Signal``, each once, in their order."""


def read(site_file: SiteFile, url: str, agents: Agents) -> Reading:
    """Read what the robots.txt of a site says about the asset at ``url``."""
    if absent(site_file.status):
        return Reading()
    origin = Origin(PROTOCOL, VERSION, CARRIER, site_file.data, Speaker.HOST)
    fault = fault_of(site_file, origin, LARGEST)
    if fault is not None:
        return Reading(_unreachable(site_file, origin), (fault,))
    try:
        path, at_home = path_of(url), origin_of(url) == origin_of(site_file.url)
    except InvalidUrlError as error:
        return Reading((), (Fault(PROTOCOL, CARRIER, Status.ERROR, error.message),))
    robots = parse(site_file.data)
    place = robots.at(path)
    said = [*_note(robots, origin), *_crawling(place, origin), *_addressed(robots, place, agents, origin)]
    said += _meant(robots, path, agents, origin)
    return joined([Reading(tuple(said)), _policies(robots, place, agents, site_file, at_home=at_home)])


def absent(status: int) -> bool:
    """Say whether an HTTP status means that there is no such file (RFC 9309, 2.3.1.3)."""
    return 400 <= status < 500 and status not in _NOT_NOW


def fault_of(site_file: SiteFile, origin: Origin, largest: int) -> Fault | None:
    """Return why a text file of a site cannot be read; None if it can. ``largest`` is in bytes."""
    status, size = site_file.status, len(site_file.data)
    if not 200 <= status < 300:
        answer = f"the status {status}" if status else "no answer"
        return Fault(origin.protocol, origin.carrier, Status.ERROR, f"/{origin.carrier}: {answer}")
    nul = site_file.data.find(b"\0", 0, READ)
    if size <= largest and nul < 0:
        return None
    what = f"no text in UTF-8, but a NUL at byte {nul}"
    if size > largest:
        what = f"{size} bytes; at most {largest} are taken"
    return Fault(origin.protocol, origin.carrier, Status.MALFORMED, f"/{origin.carrier}: {what}")


def _unreachable(site_file: SiteFile, origin: Origin) -> tuple[Statement, ...]:
    if 200 <= site_file.status < 300:
        return ()
    said = f"crawl_disallowed: {CARRIER} gave no answer (status {site_file.status})"
    return (_reserved(origin, tuple(Use), said, Scope.HOST),)


def _note(robots: Robots, origin: Origin) -> Iterator[Statement]:
    if robots.cut:
        said = f"{CARRIER} has {len(origin.raw)} bytes, of which the first {READ} are read"
        unknown = dict.fromkeys(Use, Preference.UNKNOWN)
        yield statement(origin, unknown, said, quality=Quality.MALFORMED, scope=Scope.HOST)


def _crawling(place: Place, origin: Origin) -> Iterator[Statement]:
    for agent in (EVERYBODY, OWN):
        rule = place.disallowing(agent)
        if rule is not None:
            said = f"crawl_disallowed: User-agent: {agent}, Disallow: {rule.path}"
            yield _reserved(origin, tuple(Use), said, _scope(rule))
            return


def _addressed(robots: Robots, place: Place, agents: Agents, origin: Origin) -> Iterator[Statement]:
    for uses in dict.fromkeys(RESERVED_BY.values()):
        kinds = [kind for kind, those in RESERVED_BY.items() if those == uses]
        kept_out = [
            (agent, rule)
            for agent in _named(robots, agents.of(*kinds))
            if (rule := place.disallowing(agent.token)) is not None
        ]
        if kept_out:
            names = ", ".join(agent.token for agent, _ in kept_out[:_SHOWN])
            more = f" and {len(kept_out) - _SHOWN} more" if len(kept_out) > _SHOWN else ""
            scope = max(_scope(rule) for _, rule in kept_out)
            said = f"User-agent: {names}{more}, Disallow: {kept_out[0][1].path}"
            yield _reserved(origin, uses, said, scope)


def _meant(robots: Robots, path: str, agents: Agents, origin: Origin) -> Iterator[Statement]:
    """Yield what lines that break the rules were plainly meant to reserve."""
    kinds = {agent.token: agent.kind for agent in agents.agents}
    for one in meant(robots, (EVERYBODY, OWN, *kinds), path):
        kind = kinds.get(one.name)
        uses = RESERVED_BY[kind] if kind else tuple(Use)
        if one.field is Field.TRAINING:
            uses = RESERVED_BY[AgentKind.TRAINING] if kind in (None, AgentKind.TRAINING) else ()
        if uses:
            said = f"User-agent: {one.name}, {one.field.capitalize()}: {one.value}"
            yield _reserved(origin, uses, said, Scope.PREFIX)


def _named(robots: Robots, agents: Iterable[Agent]) -> Iterator[Agent]:
    return (agent for agent in agents if robots.names(agent.token))


def _policies(robots: Robots, place: Place, agents: Agents, site_file: SiteFile, *, at_home: bool) -> Reading:
    """Read ``Content-Usage`` and ``Content-Signal``: what is plain, and what may only restrict."""
    ours = [EVERYBODY, *([OWN] if robots.names(OWN) else [])]
    theirs = [agent.token for agent in agents.agents if agent.token.lower() in robots.told]
    by_rules, by_lines = (_of(place, ours, grouping) for grouping in Grouping)
    plain = {one: None for one in by_rules if one in by_lines}
    either = {one: None for one in (by_rules | by_lines) if one not in plain}
    others = {one: None for grouping in Grouping for one in _of(place, theirs, grouping)}
    stray = {(line.field, line.value): None for line in robots.stray if line.field in _READERS}
    if len(plain | either | others | stray) > POLICIES:
        what = f"more than {POLICIES} different Content-Usage and Content-Signal values"
        return Reading((), (Fault(PROTOCOL, CARRIER, Status.MALFORMED, what),))
    exact = _all(plain, site_file)
    return joined(
        [
            exact if at_home else restricting(exact),
            restricting(_all(either, site_file)),
            restricting(_all(_without(others, plain | either), site_file), Quality.INFERRED),
            restricting(_all(_without(stray, plain | either), site_file), Quality.MALFORMED),
        ]
    )


def _of(place: Place, agents: Iterable[str], grouping: Grouping) -> _Policies:
    found: _Policies = {}
    for agent in agents:
        found |= dict.fromkeys((Field.USAGE, value) for value in place.usages(agent, grouping))
        found |= dict.fromkeys((Field.SIGNAL, value) for value in place.signals(agent, grouping))
    return found


def _without(policies: _Policies, others: _Policies) -> _Policies:
    return {one: None for one in policies if one not in others}


def _all(policies: _Policies, site_file: SiteFile) -> Reading:
    return joined(_policy(field, value, site_file.data) for field, value in policies)


def _policy(field: Field, value: str, raw: bytes) -> Reading:
    protocol, version, read_value = _READERS[field]
    origin = Origin(protocol, version, CARRIER, raw, Speaker.HOST)
    return read_value(readable(value), origin, scope=Scope.HOST)


def _reserved(origin: Origin, uses: Iterable[Use], said: str, scope: Scope) -> Statement:
    reserved = dict.fromkeys(uses, Preference.RESERVED)
    return statement(origin, reserved, readable(said), quality=Quality.INFERRED, scope=scope)


def _scope(rule: Rule) -> Scope:
    return Scope.HOST if rule.path in ("/", "*", "/*") else Scope.PREFIX
