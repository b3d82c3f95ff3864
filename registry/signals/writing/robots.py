"""robots.txt as a publisher writes it: anew, or into one that is there.

1. ``Content-Signal`` and ``Content-Usage`` stand in the group for everybody, after at least one rule: a
   parser that knows neither line would otherwise join that group with the next one.
2. Names of AI crawlers are kept out on request: those whose kind is for a use that is restricted.
3. ``License`` (RSL) stands before all groups.
4. In a file that is there, what we write stands between ``BEGIN`` and ``END``; the next time it is replaced.
   Every other line stays, byte for byte, and says to everybody what it said before. That is looked after with
   both ways to group lines: a file that the two read differently, before or after, is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import http_sf

from registry.errors import InputError
from registry.preference import Preference, Use
from registry.signals import aipref, content_signal
from registry.signals.agents import AgentKind, Agents
from registry.signals.robots import RESERVED_BY
from registry.signals.robots_file import EVERYBODY, READ, Field, Group, Grouping, Robots, parse
from registry.signals.writing.choice import Choice, Written, address, stricter, told, worded

__all__ = ["BEGIN", "END", "PLACE", "content_signal_value", "content_usage_value", "robots"]

BEGIN = "# caveat publish: begin"
END = "# caveat publish: end"
PLACE = "/robots.txt, on every host that serves your works"

_SIGNALS = ("search", "ai-input", "ai-train")
_YES_NO = {Preference.ALLOWED: "yes", Preference.RESERVED: "no"}
_Y_N = {Preference.ALLOWED: "y", Preference.RESERVED: "n"}
_BLOCK = re.compile(rf"^{BEGIN}\r?\n(?:.*\n)*?{END}(?:\r?\n|\Z)", re.MULTILINE)
_LINE = re.compile(r"^[ \t\ufeff]*(user-agent|allow|disallow)[ \t]*:[ \t]*([^#\r\n]*)", re.IGNORECASE)
# Not splitlines(): it parts lines at form feeds too, as no reader of robots.txt does.
_ROW = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SHOWN = 8


def content_signal_value(choice: Choice) -> str:
    """Return the value of ``Content-Signal``, empty when there is nothing to say."""
    said = worded(choice, content_signal.SIGNALS)
    return ", ".join(f"{word}={_YES_NO[said[word]]}" for word in _SIGNALS if word in said)


def content_usage_value(choice: Choice) -> str:
    """Return the value of ``Content-Usage`` (a Dictionary, RFC 9651), empty when there is nothing to say."""
    said = worded(choice, aipref.CURRENT)
    return http_sf.ser({word: http_sf.Token(_Y_N[value]) for word, value in said.items()}) if said else ""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is to stand where: before all groups, in the group for everybody, and at the end."""

    top: tuple[str, ...]
    everybody: tuple[str, ...]
    end: tuple[str, ...]


def robots(
    choice: Choice, *, agents: Agents | None = None, licence: str = "", existing: bytes = b""
) -> Written:
    """Return a robots.txt that says ``choice``.

    ``agents`` is the list of AI crawlers to keep out, None for none; ``licence`` the address of an RSL file;
    ``existing`` the file that is there. The text of :class:`Written` holds what was no UTF-8 in it as lone
    surrogates (``surrogateescape``). Raises :class:`InputError` when nothing could be said, or for a file
    into which nothing can be written without a change of what it says.
    """
    before = _without_ours(existing)
    known = _require_plain(before)
    lines = _everybody(choice)
    kept_out, left = _kept_out(choice, agents, known)
    if not (lines or kept_out or licence):
        raise InputError("robots.txt would say nothing", hint="It has words for all uses but tdm.")
    top = (f"License: {_licence(licence)}",) if licence else ()
    parts = _Parts(top, tuple(lines), _agents_group(kept_out))
    text = _anew(parts) if known is None else _merged(before, parts)
    if known is not None:
        fresh = _last_rule_for_everybody(_ROW.findall(before)) is None
        _require_same(known, parse(text.encode("utf-8", "surrogateescape")), parts, fresh=fresh)
    inferred = (dict.fromkeys(uses, Preference.RESERVED) for uses in kept_out.values())
    carried = stricter(_carried(choice), *inferred)
    notes = (*_unheard(known), *_standing(known, lines), *left)
    return Written("robots", text, carried, PLACE, notes)


def _everybody(choice: Choice) -> list[str]:
    values = (
        ("Content-Signal", content_signal_value(choice)),
        ("Content-Usage", content_usage_value(choice)),
    )
    return [f"{name}: {value}" for name, value in values if value]


def _carried(choice: Choice) -> dict[Use, Preference]:
    tables: tuple[Mapping[str, tuple[Use, ...]], ...] = (content_signal.SIGNALS, aipref.CURRENT)
    return stricter(*(told(worded(choice, words), words) for words in tables))


def _licence(url: str) -> str:
    found = address(url)
    if "#" in found:
        raise InputError("the address of an RSL file has a fragment, which robots.txt takes for a comment")
    return found


# -- the names of crawlers -------------------------------------------------------------------------


def _kept_out(
    choice: Choice, agents: Agents | None, known: Robots | None
) -> tuple[dict[str, tuple[Use, ...]], list[str]]:
    """Return the names to keep out, with what that reserves, and a note on those with a group already."""
    if agents is None:
        return {}, []
    kinds = [kind for kind in AgentKind if _is_restricted(choice, RESERVED_BY[kind])]
    wanted = {one.token: RESERVED_BY[one.kind] for one in agents.of(*kinds) if " " not in one.token}
    theirs = [name for name in wanted if known is not None and known.names(name)]
    free = [name for name in theirs if known is not None and known.allows([name], "/")]
    note = [f"{_listed(free)}: in a group of your file already, which lets them in; it is left as it is"]
    return {name: uses for name, uses in wanted.items() if name not in theirs}, note if free else []


def _is_restricted(choice: Choice, uses: Iterable[Use]) -> bool:
    return not {Preference.RESERVED, Preference.CONDITIONAL}.isdisjoint(choice.of(uses))


def _agents_group(names: Iterable[str]) -> tuple[str, ...]:
    lines = [f"User-agent: {name}" for name in names]
    return (*lines, "Disallow: /") if lines else ()


def _unheard(known: Robots | None) -> Iterator[str]:
    """Yield a note on crawlers with a group of their own, who do not read the group for everybody."""
    if known is None:
        return
    names = [
        name
        for name, groups in known.named[Grouping.RULES].items()
        if name != EVERYBODY
        and not any(EVERYBODY in group.names for group in groups)
        and known.allows([name], "/")
    ]
    if names:
        yield f"{_listed(names)}: in a group of their own, so they do not read what is said to everybody"


def _standing(known: Robots | None, lines: Iterable[str]) -> Iterator[str]:
    groups = () if known is None else known.named[Grouping.RULES].get(EVERYBODY, ())
    said = [
        f"Content-Signal: {one.value}" for group in groups for one in group.lines if one.field is Field.SIGNAL
    ]
    said += [f"Content-Usage: {value}" for group in groups for _, value in group.usages]
    for one in dict.fromkeys(said):
        if one not in set(lines):
            yield f"your file says {one!r} already; both stand, and the stricter counts"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# -- a new file, and one that is there -------------------------------------------------------------


def _anew(parts: _Parts) -> str:
    head = ["# What may be done with the works on this site.", *parts.top]
    everybody = ["User-agent: *", "Allow: /", *parts.everybody] if parts.everybody else []
    text = "\n\n".join("\n".join(one) for one in (head, everybody, parts.end) if one)
    return "\n".join([BEGIN, text, END, ""])


def _without_ours(existing: bytes) -> str:
    if b"\0" in existing or len(existing) > READ:
        what = "a NUL, so it is no text in UTF-8" if b"\0" in existing else f"more than {READ} bytes"
        raise InputError(f"the robots.txt that is there has {what}", hint="Nothing was written.")
    text = _BLOCK.sub("", existing.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    for mark in (BEGIN, END):
        if re.search(rf"^{mark}", text, re.MULTILINE):
            raise InputError(
                f"the robots.txt that is there has {mark!r} without its counterpart",
                hint="Take what stands between the two lines out, and the lines.",
            )
    return text


def _require_plain(text: str) -> Robots | None:
    if not text.strip():
        return None
    robots = parse(text.encode("utf-8", "surrogateescape"))
    by_rules, by_lines = (_contents(robots, grouping) for grouping in Grouping)
    for name in sorted(by_rules.keys() | by_lines.keys()):
        if by_rules.get(name) != by_lines.get(name):
            raise InputError(
                "the robots.txt that is there is read in two ways: a line between two User-agent lines, "
                f"which some crawlers pass over, makes the rules for {name!r} others for them",
                hint="Put each Content-Usage, Content-Signal or other such line below the Allow and Disallow "
                "lines of its group.",
            )
    return robots


def _merged(before: str, parts: _Parts) -> str:
    end = "\r\n" if "\r\n" in before else "\n"
    rows = _ROW.findall(before)
    rows[-1] = rows[-1] if rows[-1].endswith(("\n", "\r")) else rows[-1] + end
    at, tail = _last_rule_for_everybody(rows), list(parts.end)
    everybody = list(parts.everybody)
    if at is None and everybody:
        group = ["User-agent: *", "Allow: /", *everybody]
        tail, everybody = [*group, *(["", *tail] if tail else [])], []
    place = len(rows) if at is None else at + 1
    return "".join(
        [
            *_block(parts.top, end),
            *rows[:place],
            *_block(everybody, end),
            *rows[place:],
            *_block(["", *tail] if tail else [], end),
        ]
    )


def _block(lines: Iterable[str], end: str) -> list[str]:
    rows = [f"{line}{end}" for line in lines]
    return [f"{BEGIN}{end}", *rows, f"{END}{end}"] if rows else []


def _last_rule_for_everybody(rows: Iterable[str]) -> int | None:
    """Return the place of the last rule of the first group for everybody, None if there is none."""
    names: list[str] = []
    ruled, found = False, None
    for place, row in enumerate(rows):
        line = _LINE.match(row)
        if line is None:
            continue
        if line[1].lower() == "user-agent":
            if ruled and found is not None:
                return found
            names, ruled = ([] if ruled else names), False
            names.append(line[2].split()[0] if line[2].split() else "")
        else:
            ruled = True
            found = place if EVERYBODY in names else found
    return found


# -- what it says to others stays ------------------------------------------------------------------

_Content = tuple[tuple[str, ...], ...]


def _content(group: Group) -> _Content:
    """Return the rules of a group, its usages, and its other lines."""
    rules = sorted(f"{rule.allows} {rule.path}" for rule in group.rules)
    usages = sorted(f"{'*'.join(one.parts)} {one.closed} {value}" for one, value in group.usages)
    return tuple(rules), tuple(usages), tuple(sorted(f"{line.field}: {line.value}" for line in group.lines))


def _contents(robots: Robots, grouping: Grouping) -> dict[str, _Content]:
    return {name: _joined(groups) for name, groups in robots.named[grouping].items()}


def _joined(groups: Iterable[Group]) -> _Content:
    every = [_content(group) for group in groups]
    return tuple(tuple(sorted(one for content in every for one in content[part])) for part in range(3))


def _require_same(before: Robots, after: Robots, parts: _Parts, *, fresh: bool) -> None:
    """Raise :class:`InputError` unless ``after`` says what ``before`` did, and what is new, and no more.

    ``fresh`` says that the lines for everybody have a group of their own, with a rule.
    """
    rule = "Allow: /" if fresh and parts.everybody else "Disallow:"
    everybody = ["User-agent: *", rule, *parts.everybody] if parts.everybody else []
    gained = parse("\n".join([*everybody, "", *parts.end]).encode())
    for grouping in Grouping:
        old, shared = _contents(before, grouping), before.named[grouping]
        ours, new = _contents(gained, grouping), _contents(after, grouping)
        for name in old.keys() | new.keys() | ours.keys():
            is_shared = any(EVERYBODY in group.names for group in shared.get(name, ()))
            added = ours.get(EVERYBODY if is_shared else name)
            if new.get(name) != _added(old.get(name), added, ruled=name == EVERYBODY):
                raise InputError(
                    f"nothing can be written into the robots.txt that is there without a change of what it "
                    f"says to {name!r}",
                    hint="Put these lines into the group for everybody by hand, after its Allow and Disallow "
                    f"lines: {'; '.join(parts.everybody)}",
                )


def _added(old: _Content | None, ours: _Content | None, *, ruled: bool) -> _Content | None:
    """Return what a name is to be told; only with ``ruled`` may one without rules get one."""
    if old is None or ours is None:
        return ours if old is None else old
    rules = old[0] or (ours[0] if ruled else ())
    return rules, *(tuple(sorted(old[part] + ours[part])) for part in (1, 2))
