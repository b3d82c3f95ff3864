"""What stands on a paper, as values: a title, and sections of text, facts, lists and lines to copy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = ["Attachment", "Facts", "Lines", "Part", "Points", "Section", "Sheet", "Text", "time_of"]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are, a line each; those whose name is in ``codes`` are to be copied exactly."""

    rows: tuple[tuple[str, str], ...]
    codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Points:
    """Items of a list, with numbers where their order counts."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as a machine wrote them, or as they are to be typed."""

    lines: tuple[str, ...]


Part = Text | Facts | Points | Lines


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what stands under it; ``level`` 1 is the greater, 2 the lesser."""

    title: str
    parts: tuple[Part, ...] = ()
    level: int = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a paper carries; ``about`` says in a few words what it is."""

    name: str
    media: str
    data: bytes = field(repr=False)
    about: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A paper: ``foot`` stands at the end of each page, ``made`` is when it was made, seconds since 1970."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    made: int
    foot: str = ""

    def texts(self) -> Iterator[str]:
        """Yield every text that is on it."""
        yield from (self.title, self.subtitle, self.foot)
        for section in self.sections:
            yield section.title
            for part in section.parts:
                yield from _texts(part)


def time_of(seconds: int) -> str:
    """Return seconds since 1970 as people read them, in UTC: ``2026-11-03 12:00:07 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _texts(part: Part) -> Iterator[str]:
    match part:
        case Text(text):
            yield text
        case Facts(rows):
            for row in rows:
                yield from row
        case Points(items):
            yield from items
        case Lines(lines):
            yield from lines
