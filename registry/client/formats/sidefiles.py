"""Which files beside pictures belong to which of them: pure functions over relative paths.

Deleting a picture does not remove it from training: trainers cache latents, text-encoder outputs and masks
under its stem, and read them again. Here each file of a folder gets its place:

- ``pictures``: samples of their own, masks and control pictures among them;
- ``shared``: captions and other text of a stem; they go when every picture that reads them goes;
- ``derived``: latents, text-encoder outputs, masks and control pictures; they go when any picture that they
  may come from goes (a stem can be the beginning of another, and making a cache again costs little);
- ``stale``: caches of many pictures at once, and derived files whose picture is not there; they never come
  along;
- ``plain``: text files of nobody in particular; they come along;
- ``strange``: anything else; it cannot be checked, so it does not come along (``Thumbs.db`` counts as stale).

A picture in ``paired`` goes with others too: where settings tell of control pictures or layers, a trainer
stops at a picture that has lost its own. What settings tell is :class:`registry.client.formats.told.Told`.

Names alone do not show a list of pictures: :mod:`registry.client.formats.lists` finds those by their content.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from registry.client.formats.caches import is_of_a_folder, stems_told
from registry.client.formats.naming import folded
from registry.client.formats.told import Told, is_within
from registry.client.pictures import PICTURE_SUFFIXES

__all__ = ["LIST_SUFFIXES", "Layout", "arrange", "is_called_list", "is_default_caption"]

LIST_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet"})
"""How the names of lists end, in any case."""

_TEXT = frozenset(
    {".txt", ".caption", ".captions", ".tags", ".json", ".jsonl", ".csv", ".tsv", ".toml", ".yaml", ".yml"}
    | {".md", ".bbox", ".xmp", ".ini", ".cfg", ".html"}
)
_CACHE = frozenset({".npz", ".npy", ".safetensors", ".pt", ".pth", ".latent", ".bin"})
_JUNK = frozenset({"Thumbs.db", "desktop.ini"})
_DERIVED_PICTURE = re.compile(r"(?P<stem>.+?)(-masklabel|-condlabel|[-_.]mask)", re.ASCII)
_CONTROL_FOLDER = re.compile(r".*(control|cond|mask|depth|canny|pose|lineart|reference).*", re.ASCII)
_FRAME = re.compile(r"_[0-9]+\Z", re.ASCII)
_DEFAULT_CAPTION = re.compile(r"default\.(txt|caption)", re.ASCII)
_NOTHING = Told()
_FACE_CROP = re.compile(r"(?P<stem>.+)_\d+_\d+_\d+_\d+", re.ASCII)


@dataclass(slots=True)
class Layout:
    """The places of a folder's files, by path below it; see the module."""

    pictures: list[str] = field(default_factory=list)
    shared: dict[str, frozenset[str]] = field(default_factory=dict)
    derived: dict[str, frozenset[str]] = field(default_factory=dict)
    paired: dict[str, frozenset[str]] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def losses(self, removed: Mapping[str, str]) -> dict[str, str]:
        """Return the files beside pictures that do not come along, with the reason."""
        lost = {path: "a cache of the whole folder, or of a picture that is not there" for path in self.stale}
        for path, owners in self.shared.items():
            if owners <= removed.keys():
                lost[path] = f"belongs to {_names(owners)}"
        touched, pictures = self._touched(removed), frozenset(self.pictures)
        for path, owners in self.derived.items():
            caused = {} if path in pictures else touched
            gone = {source for owner in owners for source in caused.get(owner, {owner} & removed.keys())}
            if gone:
                lost[path] = f"made from {_names(gone)}"
        return lost

    def _touched(self, removed: Mapping[str, str]) -> dict[str, set[str]]:
        """Return the pictures of which caches go, and because of which others: themselves, or their masks.

        What is cached of a picture holds its mask and its control pictures as well.
        """
        touched = {path: {path} for path in removed}
        for path in removed:
            for owner in self.derived.get(path, ()):
                touched.setdefault(owner, set()).add(path)
        return touched

    @property
    def loose(self) -> list[str]:
        """The texts that may be a list: all that are of nobody, and those that are called like one."""
        named = [path for path in self.shared if is_called_list(path)]
        return [*(path for path in self.plain if not is_default_caption(path)), *named]

    def pictures_of(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Return the masks and control pictures that go with the pictures in ``gone``, and why."""
        more = {}
        for path in self.pictures:
            if path in gone:
                continue
            if lost := self.derived.get(path, frozenset()) & gone.keys():
                more[path] = f"made from {_names(lost)}"
            elif lost := self.paired.get(path, frozenset()) & gone.keys():
                more[path] = f"used together with {_names(lost)}"
        return more

    def without(self, paths: Collection[str]) -> "Layout":
        """Return the layout without files that have turned out to be lists of pictures."""
        return replace(
            self,
            shared={path: readers for path, readers in self.shared.items() if path not in paths},
            plain=[path for path in self.plain if path not in paths],
            strange=[path for path in self.strange if path not in paths],
        )


def arrange(paths: Iterable[str], told: Told = _NOTHING) -> Layout:
    """Give each of ``paths`` (relative, with slashes) its place; ``told`` is what settings say of them."""
    layout = Layout()
    files = [PurePosixPath(path) for path in sorted(paths)]
    stems = _Stems((file for file in files if file.suffix.lower() in PICTURE_SUFFIXES), told)
    for file in files:
        _place(file, stems, layout, told)
    stems.pair(layout)
    return layout


class _Stems:
    """Pictures by folder and folded stem, file name, and stem before a face crop's numbers."""

    def __init__(self, pictures: Iterable[PurePosixPath], told: Told) -> None:
        self._told = told
        self._stems: dict[tuple[str, str], set[str]] = {}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._crops: dict[tuple[str, str], set[str]] = {}
        self._layers: dict[tuple[str, str], set[str]] = {}
        self._anywhere: dict[str, set[str]] = {}
        for picture in pictures:
            folder, stem = folded(str(picture.parent)), folded(picture.stem)
            self._stems.setdefault((folder, stem), set()).add(str(picture))
            self._anywhere.setdefault(stem, set()).add(str(picture))
            self._names.setdefault((folder, folded(picture.name)), set()).add(str(picture))
            if crop := _FACE_CROP.fullmatch(stem):
                self._crops.setdefault((folder, crop["stem"]), set()).add(str(picture))
            if _folder(picture) in told.layered:
                self._layers.setdefault((folder, _FRAME.sub("", stem)), set()).add(str(picture))

    def shown_by(self, picture: PurePosixPath) -> set[str]:
        """Return the pictures of which this one is a mask or control, by its name or by its folder."""
        stem = folded(picture.stem)
        if told := self._controlled(picture, stem):
            return told
        if match := _DERIVED_PICTURE.fullmatch(stem):
            return self._stems.get((folded(str(picture.parent)), match["stem"]), set())
        if _is_control(picture.parent):
            found = self._alike(stem)
            return {other for other in found if not _is_control(PurePosixPath(other).parent)}
        return set()

    def _alike(self, stem: str) -> set[str]:
        return self._anywhere.get(stem, set()) | self._anywhere.get(_FRAME.sub("", stem), set())

    def _controlled(self, picture: PurePosixPath, stem: str) -> set[str]:
        """Return the pictures of which settings say that this one is a control picture."""
        found: set[str] = set()
        for control, folder in self._told.controls:
            if not _is_deepest(str(picture), control, folder):
                continue
            others = {one for one in self._alike(stem) if _is_deepest(one, folder, control)}
            beside = {one for one in others if _under(one, folder) == _under(str(picture), control)}
            found |= beside or others
        return found

    def pair(self, layout: Layout) -> None:
        """Add what goes together: pictures and the control pictures they are told to have, and layers."""
        paired: dict[str, set[str]] = {}
        for control in layout.derived.keys() & set(layout.pictures) if self._told.controls else ():
            for picture in self._controlled(PurePosixPath(control), folded(PurePosixPath(control).stem)):
                paired.setdefault(picture, set()).add(control)
        for together in self._layers.values():
            for picture in together:
                paired.setdefault(picture, set()).update(together - {picture})
        layout.paired = {picture: frozenset(others) for picture, others in paired.items() if others}

    def readers(self, text: PurePosixPath) -> set[str]:
        """Return the pictures that read a text: named whole in it, or of the longest stem that begins it."""
        name, folder = folded(text.stem), folded(str(text.parent))
        more = self._crops.get((folder, name), set()) | self._layers.get((folder, name), set())
        while True:
            found = self._names.get((folder, name), set()) or self._stems.get((folder, name), set())
            if found or "." not in name:
                return found | more
            name = name.rpartition(".")[0]

    def sources(self, cache: PurePosixPath) -> set[str]:
        """Return the pictures that a cache may come from: every stem that begins its name, here or above.

        Where its name tells the stem and no such picture is there, it comes from one that is gone.
        """
        name = folded(cache.name)
        folders = [folded(str(folder)) for folder in (cache.parent, *cache.parent.parents)]
        told = stems_told(str(cache))
        if told and not any((folder, stem) in self._stems for folder in folders for stem in told):
            return set()
        beginnings = [name[:at] for at, letter in enumerate(name) if letter in "_-."]
        found: set[str] = set()
        for folder in folders:
            for stem in beginnings:
                found |= self._stems.get((folder, stem), set())
        return found


def _place(file: PurePosixPath, stems: _Stems, layout: Layout, told: Told) -> None:
    path, suffix = str(file), file.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        layout.pictures.append(path)
        if sources := stems.shown_by(file):
            layout.derived[path] = frozenset(sources)
    elif is_of_a_folder(path) or file.name in _JUNK:
        layout.stale.append(path)
    elif suffix in _CACHE or any(is_within(path, folder) for folder in told.caches):
        if suffix in _CACHE and (sources := stems.sources(file)):
            layout.derived[path] = frozenset(sources)
        else:
            layout.stale.append(path)
    elif suffix in _TEXT or _is_caption(path, told):
        readers = set() if is_default_caption(path) else stems.readers(file)
        if readers:
            layout.shared[path] = frozenset(readers)
        else:
            layout.plain.append(path)
    else:
        layout.strange.append(path)


def is_called_list(path: str) -> bool:
    """Say whether a file is called like a list."""
    return PurePosixPath(path).suffix.lower() in LIST_SUFFIXES


def is_default_caption(path: str) -> bool:
    """Say whether a file is the caption that ai-toolkit gives to every picture of a folder without one."""
    return bool(_DEFAULT_CAPTION.fullmatch(PurePosixPath(path).name))


def _is_caption(path: str, told: Told) -> bool:
    return any(path.endswith(ending) and is_within(path, folder) for folder, ending in told.captions)


def _is_deepest(path: str, folder: str, other: str) -> bool:
    """Say whether ``path`` is in ``folder``, and not in ``other`` where that is within ``folder``."""
    return is_within(path, folder) and not (
        other != folder and is_within(other, folder) and is_within(path, other)
    )


def _under(path: str, folder: str) -> str:
    """Return the folder of ``path``, below ``folder``, folded."""
    return folded(_folder(PurePosixPath(path))[len(folder) :].strip("/"))


def _folder(file: PurePosixPath) -> str:
    return "" if str(file.parent) == "." else str(file.parent)


def _is_control(folder: PurePosixPath) -> bool:
    return bool(_CONTROL_FOLDER.fullmatch(folded(folder.name)))


def _names(pictures: Iterable[str]) -> str:
    return ", ".join(sorted(pictures))
