"""A sheet as Markdown, CommonMark or GitHub's: words of others are escaped, and are text there."""

import re
from collections.abc import Iterator

from registry.documents.escaping import markdown_text
from registry.oneline import one_line
from registry.paper.sheet import Facts, Lines, Part, Points, Sheet, Text, time_of

__all__ = ["markdown_of"]

_LEADING = re.compile(r"^(\d*)([-+=.)#])")


def markdown_of(sheet: Sheet) -> str:
    """Return the text, which ends with a newline."""
    lines = [f"# {_told(sheet.title)}", "", _told(sheet.subtitle), "", f"Made {time_of(sheet.made)}"]
    for section in sheet.sections:
        lines += ["", f"{'#' * (section.level + 1)} {_told(section.title)}"]
        for part in section.parts:
            lines += ["", *_part(part)]
    lines += ["", "---", "", _told(sheet.foot)] if sheet.foot else []
    return "\n".join(lines) + "\n"


def _part(part: Part) -> Iterator[str]:
    match part:
        case Text(text):
            yield _begun(text)
        case Points(items, numbered):
            yield from (f"{f'{n}.' if numbered else '-'} {_begun(item)}" for n, item in enumerate(items, 1))
        case Facts(rows, codes):
            for name, value in rows:
                yield _fact(name, value, is_code=name in codes)
        case Lines(lines):
            # Indented by four, every line is text as it stands, whatever is in it.
            yield from (f"    {one_line(line)}" for line in lines)


def _fact(name: str, value: str, *, is_code: bool) -> str:
    return f"- **{_told(name)}:** {_code(value) if is_code else _told(value)}"


def _begun(text: str) -> str:
    """Return text for the beginning of a line, where more than its characters is markup."""
    return _LEADING.sub(r"\g<1>\\\g<2>", _told(text))


def _code(line: str) -> str:
    return _told(line) if "`" in line else f"`{one_line(line)}`"


def _told(text: str) -> str:
    return markdown_text(one_line(text))
