"""The text of robots.txt: lines, groups, and which rule of which group holds for a path (RFC 9309).

What the standard leaves open, or what readers do differently, is decided so:

1. A line is ``field: value``; ``#`` begins a comment. Field names have no case. Of what restricts also the
   spellings count that the large crawlers take: a missing colon, ``disalow``, ``useragent``.
2. A group is one or more ``User-agent`` lines with the rules after them. Whether a line that is no rule of
   RFC 9309 ends the run of names is read both ways (:class:`Grouping`), since crawlers differ in it.
3. Groups that share a name are one. A name matches as a whole, without case; without the version after a
   slash; and up to the first character that RFC 9309 does not let into a name.
4. Of the rules that match a path the one with the most octets holds, and of equal ones ``Allow``.
5. ``READ`` bytes are read, to the last whole line. A file that is longer says so (``cut``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import takewhile

from registry.signals.paths import PathPattern, path_pattern

__all__ = [
    "EVERYBODY",
    "READ",
    "Field",
    "Group",
    "Grouping",
    "Line",
    "Place",
    "Robots",
    "Rule",
    "parse",
    "readable",
]

READ = 512 * 1024
"""Bytes of a file that are read; RFC 9309, 2.5, asks for 500 KiB."""
EVERYBODY = "*"

_BLANKS = " \t\v\f\u00a0\u200b\ufeff"
"""What is taken off the ends of a line; byte order marks also stand where files were joined."""
_ODD = re.compile(r"[^/*$]|/[^\s,;]*[\s,;]")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz_-")
_CACHED = 64


class Field(StrEnum):
    """What a line is."""

    AGENT = "user-agent"
    ALLOW = "allow"
    DISALLOW = "disallow"
    USAGE = "content-usage"
    SIGNAL = "content-signal"
    LICENCE = "license"
    TRAINING = "disallowaitraining"
    SITE = "sitemap"
    """About the whole site, outside all groups: sitemap, host."""
    OTHER = "other"


class Grouping(StrEnum):
    """Which lines end a run of ``User-agent`` lines."""

    RULES = "rules"
    """``Allow`` and ``Disallow`` alone, as Google's parser has it: another line is nothing."""
    LINES = "lines"
    """Every line but a sitemap's, as draft-ietf-aipref-attach-05 has it for its own rule."""


_EXACT = {
    "allow": Field.ALLOW,
    "content-usage": Field.USAGE,
    "content-signal": Field.SIGNAL,
    "content-signals": Field.SIGNAL,
    "license": Field.LICENCE,
    "licence": Field.LICENCE,
    "disallowaitraining": Field.TRAINING,
    "disallow-ai-training": Field.TRAINING,
    "host": Field.SITE,
}
_BEGINNINGS = (
    (Field.AGENT, ("user-agent", "useragent", "user agent")),
    (Field.DISALLOW, ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")),
    (Field.SITE, ("sitemap", "site-map")),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that has a field. ``apart`` says that an empty line stands before it, or nothing at all."""

    field: Field
    value: str
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``Allow`` or ``Disallow``, with its path as it was written."""

    allows: bool
    path: str
    pattern: PathPattern

    @property
    def order(self) -> tuple[int, bool]:
        """The smallest of those that match holds."""
        return -self.pattern.octets, not self.allows


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Names in lower case, rules in the order in which they hold, usages with paths, and other lines.

    Among the others is a ``Disallow`` whose value is no single path.
    """

    names: frozenset[str]
    rules: tuple[Rule, ...]
    usages: tuple[tuple[PathPattern, str], ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Robots:
    """A file that was read.

    ``named`` has, for each grouping, the groups by name. ``told`` are the names of groups that speak about
    uses, under either. ``stray`` are the lines of no group; ``cut`` says that there is more than ``READ``.
    """

    named: Mapping[Grouping, Mapping[str, tuple[Group, ...]]]
    told: frozenset[str]
    stray: tuple[Line, ...]
    cut: bool

    def names(self, agent: str) -> bool:
        """Say whether a group names ``agent``."""
        return any(agent.lower() in groups for groups in self.named.values())

    def groups(self, agent: str, grouping: Grouping) -> tuple[Group, ...]:
        """Return the groups that hold for ``agent``: those that name it, or else those for everybody."""
        named = self.named[grouping]
        return named.get(agent.lower()) or named.get(EVERYBODY, ())

    def at(self, path: str) -> "Place":
        """Return what holds at ``path``, which :func:`~registry.signals.paths.path_of` has made."""
        return Place(self, path)

    def allows(
        self, agents: Sequence[str], path: str, groupings: Iterable[Grouping] = tuple(Grouping)
    ) -> bool:
        """Say whether a crawler with these names, the most specific first, may fetch ``path``.

        It may if it may under each of the groupings. The first name that a group has decides.
        """
        place = self.at(path)
        agent = next((agent for agent in agents if self.names(agent)), EVERYBODY)
        return all((rule := place.rule(agent, one)) is None or rule.allows for one in groupings)

    def content_usage(self, agent: str, path: str) -> list[str]:
        """Return the ``Content-Usage`` values that hold for ``agent`` at ``path``, under either grouping."""
        place = self.at(path)
        return list(dict.fromkeys(value for one in Grouping for value in place.usages(agent, one)))

    def licences(self, agent: str) -> list[str]:
        """Return the addresses of ``License`` lines that hold for ``agent`` or for the whole site.

        A line after an empty one counts for the whole site too: there is no other way to end a group.
        """
        own = [line for one in Grouping for group in self.groups(agent, one) for line in group.lines]
        every = (group for names in self.named.values() for groups in names.values() for group in groups)
        apart = [line for group in every for line in group.lines if line.apart]
        every_line = (*self.stray, *own, *apart)
        found = (readable(line.value) for line in every_line if line.field is Field.LICENCE)
        return list(dict.fromkeys(found))


class Place:
    """What a file says about one path; looks through each group once."""

    def __init__(self, robots: Robots, path: str) -> None:
        self._robots = robots
        self._path = path
        # By the group's identity: the file holds its groups, and this holds the file.
        self._rules: dict[int, Rule | None] = {}
        self._usages: dict[int, tuple[int, list[str]]] = {}

    def rule(self, agent: str, grouping: Grouping) -> Rule | None:
        """Return the rule that holds for ``agent``; None if none matches."""
        if self._path == "/robots.txt":
            return None
        rules = (self._first(group) for group in self._robots.groups(agent, grouping))
        return min((rule for rule in rules if rule), key=lambda rule: rule.order, default=None)

    def disallowing(self, agent: str) -> Rule | None:
        """Return the rule that keeps ``agent`` out under at least one grouping."""
        rules = (self.rule(agent, grouping) for grouping in Grouping)
        return next((rule for rule in rules if rule and not rule.allows), None)

    def usages(self, agent: str, grouping: Grouping) -> list[str]:
        """Return the ``Content-Usage`` values of the longest path that matches; equal paths all count."""
        found = [self._longest(group) for group in self._robots.groups(agent, grouping)]
        longest = max((octets for octets, _ in found), default=0)
        return [value for octets, values in found if octets == longest for value in values]

    def signals(self, agent: str, grouping: Grouping) -> list[str]:
        """Return the ``Content-Signal`` values; they have no paths."""
        groups = self._robots.groups(agent, grouping)
        return [line.value for group in groups for line in group.lines if line.field is Field.SIGNAL]

    def _first(self, group: Group) -> Rule | None:
        if id(group) not in self._rules:
            matching = (rule for rule in group.rules if rule.pattern.matches(self._path))
            self._rules[id(group)] = next(matching, None)
        return self._rules[id(group)]

    def _longest(self, group: Group) -> tuple[int, list[str]]:
        if id(group) not in self._usages:
            found = [(one.octets, value) for one, value in group.usages if one.matches(self._path)]
            longest = max((octets for octets, _ in found), default=0)
            self._usages[id(group)] = longest, [value for octets, value in found if octets == longest]
        return self._usages[id(group)]


def readable(text: str) -> str:
    """Return words of a file as they may be told: octets that are no UTF-8 are replaced.

    In the file's own values they stand as halves of pairs, since rules are held against octets.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def parse(data: bytes) -> Robots:
    """Read a file; equal ones once. Never raises: what is no line of robots.txt says nothing."""
    cut = len(data) > READ
    return _parsed(data[: data.rfind(b"\n", 0, READ) + 1] if cut else data, cut)


@lru_cache(maxsize=_CACHED)
def _parsed(data: bytes, cut: bool) -> Robots:
    lines = tuple(_lines(data))
    patterns: dict[tuple[bool, str], Rule] = {}
    stray = tuple(takewhile(lambda line: line.field is not Field.AGENT, lines))
    rest = lines[len(stray) :]
    named = {grouping: _by_name(_groups(rest, grouping, patterns)) for grouping in Grouping}
    told = (name for groups in named.values() for name, those in groups.items() if any(map(_tells, those)))
    return Robots(named, frozenset(told), stray, cut)


def _lines(data: bytes) -> Iterator[Line]:
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    apart = True
    for row in text.split("\n"):
        bare = row.partition("#")[0].strip(_BLANKS)
        if not bare:
            apart = apart or not row.strip(_BLANKS)
            continue
        line = _line(bare, apart)
        if line is not None:
            yield line
        apart = False


def _line(text: str, apart: bool) -> Line | None:
    key, colon, value = text.partition(":")
    if colon:
        return Line(_field(key.rstrip(_BLANKS).lower()), value.strip(_BLANKS), apart)
    # A full-width colon is one to whoever writes Chinese or Japanese, and none to a crawler.
    words = text.replace("\uff1a", " ").split() or [""]
    field = _field(words[0].lower())
    # Without its colon a line may restrict, and never permit.
    forgiven = len(words) == 2 and field in (Field.AGENT, Field.DISALLOW)
    return Line(field, words[1], apart) if forgiven else None


def _field(key: str) -> Field:
    if key in _EXACT:
        return _EXACT[key]
    return next((field for field, beginnings in _BEGINNINGS if key.startswith(beginnings)), Field.OTHER)


def _groups(
    lines: Iterable[Line], grouping: Grouping, rules: dict[tuple[bool, str], Rule]
) -> Iterator[Group]:
    names, held = set[str](), list[Line]()
    naming = True
    for line in lines:
        if line.field is Field.AGENT:
            if not naming:
                yield _group(names, held, rules)
                names, held = set(), []
            naming = True
            names |= _names(line.value)
            continue
        held.append(line)
        ends = line.field in (Field.ALLOW, Field.DISALLOW)
        if ends or (grouping is Grouping.LINES and line.field is not Field.SITE):
            naming = False
    if names:
        yield _group(names, held, rules)


def _group(names: Iterable[str], lines: Iterable[Line], known: dict[tuple[bool, str], Rule]) -> Group:
    rules, usages, others = set[Rule](), list[tuple[PathPattern, str]](), list[Line]()
    for line in lines:
        if line.field is Field.USAGE:
            usages.append(_usage(line.value))
        elif line.field not in (Field.ALLOW, Field.DISALLOW):
            others.append(line)
        elif line.value:
            key = (line.field is Field.ALLOW, line.value)
            if line.field is Field.DISALLOW and _ODD.match(line.value):
                others.append(line)
            rules.add(known.get(key) or known.setdefault(key, Rule(*key, path_pattern(line.value))))
    ordered = tuple(sorted(rules, key=lambda rule: rule.order))
    return Group(frozenset(names), ordered, tuple(usages), tuple(others))


def _tells(group: Group) -> bool:
    return bool(group.usages) or any(line.field is Field.SIGNAL for line in group.lines)


def _names(value: str) -> set[str]:
    """Return the names that a ``User-agent`` line gives, in lower case."""
    text = value.lower()
    words = text.split()
    if not words:
        return set()
    if words[0] == EVERYBODY:
        return {EVERYBODY}
    run = "".join(takewhile(_NAME.__contains__, text))
    spelled = {text, words[0], run, text.partition("/")[0].rstrip(_BLANKS), words[0].partition("/")[0]}
    return {name for one in spelled for name in (one, one.replace("*", "")) if name} - {EVERYBODY}


def _by_name(groups: Iterable[Group]) -> dict[str, tuple[Group, ...]]:
    found: dict[str, list[Group]] = {}
    for group in groups:
        for name in group.names:
            found.setdefault(name, []).append(group)
    return {name: tuple(those) for name, those in found.items()}


def _usage(value: str) -> tuple[PathPattern, str]:
    """Part the path of a ``Content-Usage`` line, ``/`` if it has none, from the preferences."""
    if not value.startswith("/"):
        return path_pattern("/"), value
    path, _, rest = value.replace("\t", " ").partition(" ")
    return path_pattern(path), rest.strip(_BLANKS)
