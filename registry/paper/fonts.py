"""The fonts of a paper, from packages of the extra ``[pdf]``, and what of a text they can show.

Fira Sans shows Latin, Greek and Cyrillic, IBM Plex Mono what is to be copied. For other scripts Noto is
opened, only those faces that a text needs. What none of them has, and what cannot be seen (marks that turn
the direction of a text, for instance), is shown as its code point: ``[U+202E]``.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from registry.errors import SettingsError

__all__ = ["BODY", "BOLD", "MONO", "Fonts", "joined", "missing", "path_of"]

BODY = ("fontpkg_fira_sans", "files/FiraSans-Regular.ttf")
BOLD = ("fontpkg_fira_sans", "files/FiraSans-SemiBold.ttf")
MONO = ("fontpkg_ibm_plex_mono", "files/IBMPlexMono-Regular.ttf")
"""Package and file of the three faces that every paper has."""

_OTHERS = (
    ("pylopdf_fonts_jp", "NotoSansJP-Regular.otf"),
    ("pylopdf_fonts_ko", "NotoSansKR-Regular.otf"),
    ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"),
)
_NOTO = "manimgx_fonts"
_NOT_NOTO = ("NotoSans[", "NotoSans-Italic", "NotoEmoji")
_JOINERS = "\u200c\u200d"


def missing(what: str) -> SettingsError:
    """Return the error for a package of the extra that is not there."""
    return SettingsError(
        f"a PDF needs {what}, which is not installed", hint="pip install 'caveat-registry[pdf]'"
    )


@dataclass(frozen=True, slots=True)
class Fonts:
    """The faces that a paper needs beside the three that each has, and the characters that can be shown."""

    fallback: tuple[Path, ...]
    shows: frozenset[int]

    @classmethod
    def open(cls, text: str) -> "Fonts":
        """Choose the faces for ``text``. Raises :class:`SettingsError` when a package is missing."""
        shows = _characters(path_of(*BODY)) & _characters(path_of(*BOLD))
        due = {ord(one) for one in text if one.isprintable()} - shows
        due |= {ord(one) for one in text if ord(one) not in _characters(path_of(*MONO)) and ord(one) in shows}
        chosen: list[Path] = []
        for path in _others():
            if not due:
                break
            found = due & _characters(path)
            if found:
                chosen.append(path)
                due -= found
                shows |= _characters(path)
        return cls(tuple(chosen), shows)

    @property
    def joins(self) -> bool:
        """Whether there may be letters that join, or are read from the right: they take thrice as long."""
        return any(path.parent.name == _NOTO for path in self.fallback)

    def shown(self, text: str) -> str:
        """Return ``text`` as it can be shown, what cannot as its code points."""
        return "".join(
            one if self._is_shown(text, at) else f"[U+{ord(one):04X}]" for at, one in enumerate(text)
        )

    def _is_shown(self, text: str, at: int) -> bool:
        one = text[at]
        if one in _JOINERS:
            # Persian and Indic names need them, between letters; elsewhere they only hide.
            return 0 < at < len(text) - 1 and _joins(text[at - 1]) and _joins(text[at + 1])
        return one.isprintable() and ord(one) in self.shows


def path_of(package: str, file: str) -> Path:
    """Return where a font lies. Raises :class:`SettingsError` when its package is not installed."""
    return _folder_of(package) / file


@lru_cache
def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package.replace("_", "-"))
    return Path(spec.submodule_search_locations[0])


def _others() -> Iterator[Path]:
    for path in sorted(_folder_of(_NOTO).glob("NotoSans*.ttf")):
        if not path.name.startswith(_NOT_NOTO):
            yield path
    # Last: they are large, and have the letters of others too.
    yield from (path_of(*one) for one in _OTHERS)
    yield from _folder_of(_NOTO).glob("NotoSans[[]*.ttf")


@lru_cache(maxsize=64)
def _characters(path: Path) -> frozenset[int]:
    """Return the characters of a face that it has a shape for."""
    try:
        from fontTools.ttLib import TTFont
    except ImportError as error:
        raise missing("fpdf2") from error
    with TTFont(path, lazy=True) as font:
        return frozenset(font.getBestCmap())


def _joins(one: str) -> bool:
    return not one.isascii() and unicodedata.category(one)[0] in "LM"


def joined(texts: Iterable[str]) -> str:
    """Return the characters of all texts, each once, in order."""
    return "".join(sorted({one for text in texts for one in text}))
