"""What a robots.txt was plainly meant to keep out, though its lines break RFC 9309.

Crawlers pass over such lines, so they part no groups and let nobody in. Here they may restrict:

1. a name in a list, in quotes or within a whole user agent (``User-agent: Googlebot, GPTBot``), where no
   group has it by the rules: it is kept out by what its group says;
2. a ``Disallow`` of an address, of a path without its slash, or of several paths;
3. ``DisallowAITraining`` (draft-canel-robots-ai-control), which speaks of training alone.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from registry.signals.paths import path_pattern
from registry.signals.robots_file import Field, Group, Robots

__all__ = ["Meant", "meant"]

_ODD = re.compile(r"[^a-z0-9_.*-]+")
_ORIGIN = re.compile(r"https?://[^/]*", re.IGNORECASE)
_BETWEEN = re.compile(r"[,;\s]+")


class Meant(NamedTuple):
    """Who is kept out, and by which line."""

    name: str
    field: Field
    value: str


def meant(robots: Robots, names: Iterable[str], path: str) -> Iterator[Meant]:
    """Yield which of ``names`` are meant to be kept out from ``path``, each at most once for a field."""
    strict, loose = _strictly(robots), _loosely(robots)
    # Many names can share a group of many lines: each is held against the path once.
    lines_of = lru_cache(maxsize=None)(lambda group: tuple(_lines(group, path)))
    rule_of = lru_cache(maxsize=None)(lambda group: _rule(group, path))
    for name in names:
        key = name.lower()
        groups = strict.get(key) or loose.get(key, [])
        lines = [one for group in groups for one in lines_of(group)]
        if key not in strict:
            lines += [(Field.DISALLOW, rule) for group in groups if (rule := rule_of(group))]
        yield from (Meant(name, field, value) for field, value in dict(reversed(lines)).items())


def _strictly(robots: Robots) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for groups in robots.named.values():
        for name, those in groups.items():
            found.setdefault(name, []).extend(those)
    return found


def _loosely(robots: Robots) -> dict[str, list[Group]]:
    """Return groups by the words of such of their names as are none."""
    found: dict[str, list[Group]] = {}
    for groups in robots.named.values():
        for name, those in groups.items():
            for word in _ODD.split(name) if _ODD.search(name) else ():
                found.setdefault(word, []).extend(those)
    return found


def _rule(group: Group, path: str) -> str:
    """Return the path of the ``Disallow`` that holds in a group, empty for none."""
    rule = next((one for one in group.rules if one.pattern.matches(path)), None)
    return rule.path if rule and not rule.allows else ""


def _lines(group: Group, path: str) -> Iterator[tuple[Field, str]]:
    for line in group.lines:
        paths = _paths(line.value) if line.field in (Field.DISALLOW, Field.TRAINING) else []
        if any(path_pattern(one).matches(path) for one in paths):
            yield line.field, line.value


def _paths(value: str) -> list[str]:
    """Return the paths for which a value stands, empty for none."""
    if value and not value.startswith(("/", "*")):
        return ["/" + _ORIGIN.sub("", value).lstrip("./\\")]
    paths = [one for one in _BETWEEN.split(value) if one]
    return paths if all(one.startswith(("/", "*")) for one in paths) else [value]
