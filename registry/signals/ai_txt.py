"""``/ai.txt`` of Spawning's form: which media of a host may be taken for training (2023).

1. The lines are those of robots.txt. Without a ``User-agent`` line the file is something else that bears the
   name (a page, a file of context for assistants), and says nothing.
2. Of the rules that match the longest holds, and of equal ones ``Disallow``.
3. ``*.jpg`` names a kind of file: it matches the path's ending, whatever its case and query. A ``Disallow``
   matches as in robots.txt too, and one of ``/*.jpg`` names the kind as well.
4. ``Disallow`` reserves and ``Allow`` allows ``USES``. What is said to everybody, to Spawning's name or to
   ours may allow, by the host itself and under both groupings; what another name is told may only reserve.
5. 4xx: there is no file. No other answer but 2xx is one: an error.
"""

import re
from collections.abc import Iterable

from registry.errors import InvalidUrlError
from registry.preference import Preference, Scope, Status, Use
from registry.signals.observation import Fault, Origin, Reading, SiteFile, statement
from registry.signals.paths import origin_of, path_of
from registry.signals.robots import OWN, absent, fault_of
from registry.signals.robots_file import EVERYBODY, READ, Grouping, Robots, Rule, parse, readable
from registry.statement import Speaker

__all__ = ["CARRIER", "LARGEST", "PROTOCOL", "USES", "VERSION", "read"]

PROTOCOL = "ai.txt"
VERSION = "2023"
CARRIER = "ai.txt"
LARGEST = READ
"""Bytes of a file; a larger one is refused, since what is cut off might reserve."""

USES = (Use.TDM, Use.TRAIN, Use.GENAI_TRAIN)

_ADDRESSED = (EVERYBODY, OWN, "spawning-ai")
_ENDING = re.compile(r"(?:/?\*)?(\.[A-Za-z0-9]+)\$?")


def read(site_file: SiteFile, url: str) -> Reading:
    """Read what a host's ai.txt says about the asset at ``url``."""
    if absent(site_file.status):
        return Reading()
    origin = Origin(PROTOCOL, VERSION, CARRIER, site_file.data, Speaker.HOST)
    fault = fault_of(site_file, origin, LARGEST)
    if fault is not None:
        return Reading((), (fault,))
    try:
        path, at_home = path_of(url), origin_of(url) == origin_of(site_file.url)
    except InvalidUrlError as error:
        return Reading((), (Fault(PROTOCOL, CARRIER, Status.ERROR, error.message),))
    rule = _deciding(parse(site_file.data), path)
    if rule is None or (rule.allows and not at_home):
        return Reading()
    value = Preference.ALLOWED if rule.allows else Preference.RESERVED
    said = readable(f"{'Allow' if rule.allows else 'Disallow'}: {rule.path}")
    return Reading((statement(origin, dict.fromkeys(USES, value), said, scope=Scope.PREFIX),))


def _deciding(robots: Robots, path: str) -> Rule | None:
    """Return the rule that holds, the stricter of both groupings; None if nothing is said."""
    general = [_longest(_rules(robots, _ADDRESSED, grouping), path) for grouping in Grouping]
    others = [
        _longest(_rules(robots, [name], grouping), path)
        for grouping, groups in robots.named.items()
        for name in groups
        if name not in _ADDRESSED
    ]
    forbidding = [rule for rule in (*general, *others) if rule is not None and not rule.allows]
    if forbidding:
        return forbidding[0]
    return general[0] if all(general) else None


def _rules(robots: Robots, names: Iterable[str], grouping: Grouping) -> list[Rule]:
    groups = robots.named[grouping]
    return [rule for name in names for group in groups.get(name, ()) for rule in group.rules]


def _longest(rules: Iterable[Rule], path: str) -> Rule | None:
    matching = (rule for rule in rules if _covers(rule, path))
    return max(matching, key=lambda rule: (rule.pattern.octets, not rule.allows), default=None)


def _covers(rule: Rule, path: str) -> bool:
    kind = _ENDING.fullmatch(rule.path)
    if kind is None or (rule.allows and rule.path.startswith("/")):
        return rule.pattern.matches(path)
    ends = path.partition("?")[0].lower().endswith(kind[1].lower())
    return ends or (not rule.allows and rule.pattern.matches(path))
