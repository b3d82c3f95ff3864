"""What a name in a list means: pure functions over paths below a dataset, with slashes.

Trainers write names relative to the list, to a folder of pictures that only their settings tell, or to the
place where they were started; absolute; with or without the suffix; with backslashes. A name that could mean
several pictures means each of them: an entry then goes with any.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from registry.client.pictures import PICTURE_SUFFIXES

__all__ = ["Names", "below", "folded", "is_absolute", "is_named", "slashed"]

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/", re.ASCII)


class _Named(NamedTuple):
    """A form of a name, folded, and the file that it means."""

    form: str
    path: str
    is_whole: bool


class Names:
    """The names of ``files``, of which those that are pictures go by their stems too.

    ``roots`` are the absolute paths of the dataset, one as it was given, one without links.
    """

    def __init__(self, roots: Sequence[str], files: Iterable[str]) -> None:
        self._roots = [slashed(root).rstrip("/") for root in roots]
        self._folded_roots = [folded(root) for root in self._roots]
        self._whole: dict[str, list[_Named]] = {}
        self._ends: dict[str, list[_Named]] = {}
        for path in files:
            for named in _forms(path):
                self._whole.setdefault(named.form, []).append(named)
                self._ends.setdefault(named.form.rpartition("/")[2], []).append(named)

    def place(self, name: str, folder: str) -> str | None:
        """Return the path below the dataset that a name in a list in ``folder`` says; None: outside of it."""
        name = slashed(name)
        if not is_absolute(name):
            return below(folder, name)
        for root in self._roots:
            if name.startswith(f"{root}/"):
                return below("", name.removeprefix(f"{root}/"))
        return None

    def at(self, name: str, folder: str) -> tuple[str, ...]:
        """Return the files that ``name`` means when it is relative to ``folder``."""
        place = self.place(name, folder)
        return () if place is None else _best(self._whole.get(folded(place), ()))

    def anywhere(self, name: str, folder: str) -> tuple[str, ...]:
        """Return every file whose path ends in ``name``; where it goes up or is absolute, as :meth:`at`."""
        plain = below("", slashed(name))
        if is_absolute(name) or plain is None or ".." in PurePosixPath(slashed(name)).parts:
            return self.at(name, folder)
        ending = f"/{folded(plain)}"
        found = self._ends.get(ending.rpartition("/")[2], ())
        return _best(named for named in found if self._ends_in(named.form, ending))

    def _ends_in(self, form: str, ending: str) -> bool:
        # The folder itself counts: a trainer that was started above it says "set/a.png".
        return any(f"{root}/{form}".endswith(ending) for root in self._folded_roots)


def below(folder: str, name: str) -> str | None:
    """Return ``folder/name`` without its dots; None when it leads out."""
    parts: list[str] = []
    for part in PurePosixPath(folder, name).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def is_absolute(name: str) -> bool:
    """Say whether a path is absolute, on any system."""
    return bool(_ABSOLUTE.match(slashed(name)))


def is_named(picture: str, path: str, text: str) -> bool:
    """Say whether the text at ``path`` names a picture: by file name, or by stem in quotes or as a cell.

    Case, and how letters are composed, do not count.
    """
    text = _folded_text(text)
    name, stem = (folded(part) for part in (PurePosixPath(picture).name, PurePosixPath(picture).stem))
    forms = (unicodedata.normalize(form, PurePosixPath(picture).name) for form in ("NFC", "NFD"))
    escaped = {json.dumps(form)[1:-1].casefold() for form in forms}
    if any(form in text for form in (name, *escaped, f'/{stem}"', f'"{stem}"')):
        return True
    cell = rf"(^|[,\t/]){re.escape(stem)}([,\t\r]|$)"
    return path.lower().endswith((".csv", ".tsv")) and re.search(cell, text, re.M) is not None


@lru_cache(maxsize=1)
def _folded_text(text: str) -> str:
    """Return a text as names are compared; remembered, since one text is asked for many names."""
    composed = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", composed)


def slashed(name: str) -> str:
    """Return a path with slashes where it has backslashes."""
    return name.replace("\\", "/")


def folded(path: str) -> str:
    """Return a path with slashes, without case, its letters composed: what one name is on some systems."""
    composed = unicodedata.normalize("NFC", slashed(path)).casefold()
    return unicodedata.normalize("NFC", composed)


def _forms(path: str) -> list[_Named]:
    """Return the forms a file is named by: its path, and without the suffix when it is a picture."""
    whole = folded(path)
    suffix = PurePosixPath(whole).suffix
    forms = [_Named(whole, path, is_whole=True)]
    if suffix in PICTURE_SUFFIXES:
        forms.append(_Named(whole.removesuffix(suffix), path, is_whole=False))
    return forms


def _best(found: Iterable[_Named]) -> tuple[str, ...]:
    """Return the files that are named whole, or else those that are named without their suffix."""
    found = list(found)
    return tuple(named.path for named in found if named.is_whole) or tuple(named.path for named in found)
