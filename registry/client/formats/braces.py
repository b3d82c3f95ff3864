"""Names of shards in the short form that loaders take: ``{00000..00003}.tar``."""

import re
from collections.abc import Iterable

__all__ = ["brace_range"]

_NUMBERED = re.compile(r"(?P<head>.*?)(?P<number>[0-9]+)(?P<tail>[^0-9/]*)", re.ASCII)
_SPECIAL = re.compile(r"[{},\\]")


def brace_range(names: Iterable[str]) -> str:
    """Return an expression that braces expand to ``names``; where one holds a brace itself, their list."""
    wanted = list(names)
    if any(_SPECIAL.search(name) for name in wanted):
        return " ".join(wanted)
    runs: list[list[str]] = []
    for name in wanted:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    said = [_said(run) for run in runs]
    return said[0] if len(said) == 1 else f"{{{','.join(said)}}}"


def _follows(before: str, name: str) -> bool:
    match = _NUMBERED.fullmatch(before)
    if match is None:
        return False
    number = f"{int(match['number']) + 1:0{len(match['number'])}}"
    return name == f"{match['head']}{number}{match['tail']}" and len(number) == len(match["number"])


def _said(run: list[str]) -> str:
    first, last = _NUMBERED.fullmatch(run[0]), _NUMBERED.fullmatch(run[-1])
    if len(run) == 1 or first is None or last is None:
        return run[0]
    return f"{first['head']}{{{first['number']}..{last['number']}}}{first['tail']}"
