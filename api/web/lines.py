"""The lines that say on one's own site what was lodged here, for those who ask no registry."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from registry.errors import InputError
from registry.signals.writing import Choice, Written, losses
from registry.signals.writing.headers import headers, meta
from registry.signals.writing.robots import robots
from registry.signals.writing.site import ai_txt

__all__ = ["Lines", "lines_for"]


class Lines(NamedTuple):
    """What to publish: its name, the text, where it belongs, and what of the choice it cannot say."""

    name: str
    text: str
    place: str
    lost: tuple[str, ...]


_WRITERS: dict[str, Callable[[Choice], Written]] = {
    "robots.txt": robots,
    "ai.txt": ai_txt,
    "Header fields of your web server": headers,
    "In the head of each page": meta,
}


def lines_for(choice: Choice) -> Iterator[Lines]:
    """Yield what says ``choice`` on a site; a protocol that has no words for it is left out."""
    for name, write in _WRITERS.items():
        try:
            written = write(choice)
        except InputError:
            continue
        lost = tuple(one.sentence for one in losses(choice, written.carried))
        yield Lines(name, written.text, written.place, lost)
