"""Which files beside pictures belong to which of them: pure functions over relative paths.

Deleting a picture does not remove it from training: trainers cache latents, text-encoder outputs and masks
under its stem, and read them again. Here each file of a folder gets its place:

- ``pictures``: samples of their own, masks and control pictures among them;
- ``shared``: captions and other text of a stem; they go when every picture that reads them goes;
- ``derived``: latents, text-encoder outputs, masks and control pictures; they go when any picture that they
  may come from goes (a stem can be the beginning of another, and making a cache again costs little);
- ``stale``: caches of the whole folder, and derived files whose picture is not there; they never come along;
- ``plain``: text files of nobody in particular; they come along;
- ``strange``: anything else; it cannot be checked, so it does not come along (``Thumbs.db`` counts as stale).

Names alone do not show a list of pictures: :mod:`registry.client.formats.lists` finds those by their content.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from registry.client.pictures import PICTURE_SUFFIXES

__all__ = ["LIST_SUFFIXES", "Layout", "arrange"]

LIST_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet"})
"""How the names of lists end, in any case."""

_TEXT = frozenset(
    {".txt", ".caption", ".captions", ".tags", ".json", ".jsonl", ".csv", ".tsv", ".toml", ".yaml", ".yml"}
    | {".md", ".bbox", ".xmp", ".ini", ".cfg", ".html"}
)
_CACHE = frozenset({".npz", ".npy", ".safetensors", ".pt", ".pth", ".latent", ".bin"})
_WHOLE_FOLDER_CACHES = re.compile(
    r"metadata_cache\.json|aspect_ratio_bucket_(indices|metadata)_.*\.json|.*_cache\.json", re.ASCII
)
_JUNK = frozenset({"Thumbs.db", "desktop.ini"})
_DERIVED_PICTURE = re.compile(r"(?P<stem>.+?)(-masklabel|-condlabel|[-_.]mask)", re.ASCII)
_CONTROL_FOLDER = re.compile(r".*(control|cond|mask|depth|canny|pose|lineart|reference).*", re.ASCII)
_FRAME = re.compile(r"_[0-9]+\Z", re.ASCII)
_FACE_CROP = re.compile(r"(?P<stem>.+)_\d+_\d+_\d+_\d+", re.ASCII)


@dataclass(slots=True)
class Layout:
    """The places of a folder's files, by path below it; see the module."""

    pictures: list[str] = field(default_factory=list)
    shared: dict[str, frozenset[str]] = field(default_factory=dict)
    derived: dict[str, frozenset[str]] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def losses(self, removed: Mapping[str, str]) -> dict[str, str]:
        """Return the files beside pictures that do not come along, with the reason."""
        lost = {path: "a cache of the whole folder, or of a picture that is not there" for path in self.stale}
        for path, owners in self.shared.items():
            if owners <= removed.keys():
                lost[path] = f"belongs to {_names(owners)}"
        for path, owners in self.derived.items():
            gone = owners & removed.keys()
            if gone:
                lost[path] = f"made from {_names(gone)}"
        return lost

    @property
    def loose(self) -> list[str]:
        """The texts that may be a list: all that are of nobody, and those that are called like one."""
        named = [path for path in self.shared if PurePosixPath(path).suffix.lower() in LIST_SUFFIXES]
        return [*self.plain, *named]

    def pictures_of(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Return the masks and control pictures that go with the pictures in ``gone``, and why."""
        more = {}
        for path in self.pictures:
            lost = self.derived.get(path, frozenset()) & gone.keys()
            if lost and path not in gone:
                more[path] = f"made from {_names(lost)}"
        return more

    def without(self, paths: Collection[str]) -> "Layout":
        """Return the layout without files that have turned out to be lists of pictures."""
        return replace(
            self,
            shared={path: readers for path, readers in self.shared.items() if path not in paths},
            plain=[path for path in self.plain if path not in paths],
            strange=[path for path in self.strange if path not in paths],
        )


def arrange(paths: Iterable[str]) -> Layout:
    """Give each of ``paths`` (relative, with slashes) its place."""
    layout = Layout()
    files = [PurePosixPath(path) for path in sorted(paths)]
    stems = _Stems(file for file in files if file.suffix.lower() in PICTURE_SUFFIXES)
    for file in files:
        _place(file, stems, layout)
    return layout


class _Stems:
    """Pictures by folder and case-folded stem, file name, and stem before a face crop's numbers."""

    def __init__(self, pictures: Iterable[PurePosixPath]) -> None:
        self._stems: dict[tuple[PurePosixPath, str], set[str]] = {}
        self._names: dict[tuple[PurePosixPath, str], set[str]] = {}
        self._crops: dict[tuple[PurePosixPath, str], set[str]] = {}
        self._anywhere: dict[str, set[str]] = {}
        for picture in pictures:
            stem = picture.stem.casefold()
            self._stems.setdefault((picture.parent, stem), set()).add(str(picture))
            self._anywhere.setdefault(stem, set()).add(str(picture))
            self._names.setdefault((picture.parent, picture.name.casefold()), set()).add(str(picture))
            if crop := _FACE_CROP.fullmatch(stem):
                self._crops.setdefault((picture.parent, crop["stem"]), set()).add(str(picture))

    def shown_by(self, picture: PurePosixPath) -> set[str]:
        """Return the pictures of which this one is a mask or control, by its name or by its folder."""
        stem = picture.stem.casefold()
        if match := _DERIVED_PICTURE.fullmatch(stem):
            return self._stems.get((picture.parent, match["stem"]), set())
        if _is_control(picture.parent):
            found = self._anywhere.get(stem, set()) | self._anywhere.get(_FRAME.sub("", stem), set())
            return {other for other in found if not _is_control(PurePosixPath(other).parent)}
        return set()

    def readers(self, text: PurePosixPath) -> set[str]:
        """Return the pictures that read a text: named whole in it, or of the longest stem that begins it."""
        name, folder = text.stem.casefold(), text.parent
        crops = self._crops.get((folder, name), set())
        while True:
            found = self._names.get((folder, name), set()) or self._stems.get((folder, name), set())
            if found or "." not in name:
                return found | crops
            name = name.rpartition(".")[0]

    def sources(self, cache: PurePosixPath) -> set[str]:
        """Return the pictures that a cache may come from: every stem that begins its name, here or above."""
        name = cache.name.casefold()
        beginnings = [name[:at] for at, letter in enumerate(name) if letter in "_-."]
        found: set[str] = set()
        for folder in (cache.parent, *cache.parent.parents):
            for stem in beginnings:
                found |= self._stems.get((folder, stem), set())
        return found


def _place(file: PurePosixPath, stems: _Stems, layout: Layout) -> None:
    path, suffix = str(file), file.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        layout.pictures.append(path)
        sources = stems.shown_by(file)
        if sources:
            layout.derived[path] = frozenset(sources)
    elif _WHOLE_FOLDER_CACHES.fullmatch(file.name) or file.name in _JUNK:
        layout.stale.append(path)
    elif suffix in _TEXT:
        readers = stems.readers(file)
        if readers:
            layout.shared[path] = frozenset(readers)
        else:
            layout.plain.append(path)
    elif suffix in _CACHE:
        sources = stems.sources(file)
        if sources:
            layout.derived[path] = frozenset(sources)
        else:
            layout.stale.append(path)
    else:
        layout.strange.append(path)


def _is_control(folder: PurePosixPath) -> bool:
    return bool(_CONTROL_FOLDER.fullmatch(folder.name.casefold()))


def _names(pictures: Iterable[str]) -> str:
    return ", ".join(sorted(pictures))
