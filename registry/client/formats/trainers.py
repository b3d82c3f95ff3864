"""Which format a folder of pictures is: shown by its folders, its metadata, or the settings of a trainer.

Where nothing else shows, it is what a trainer has left beside the pictures. What is removed does not depend
on the trainer: a folder is read by the rules of all, since more than one may have used it. The name is for
the announcement, and for whoever wants to be sure of it.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from registry.client.formats.caches import (
    AI_TOOLKIT_CACHES,
    is_kohya,
    is_musubi,
    is_of_a_folder,
    is_onetrainer,
)
from registry.client.formats.downloaded import Downloaded, numbered_folders
from registry.client.formats.folder import PictureFolder
from registry.client.formats.metadata import METADATA_NAMES
from registry.client.formats.told import Told, find_told
from registry.client.pictures import PICTURE_SUFFIXES

__all__ = ["PICTURE_FORMATS", "cache_among", "left_behind", "opened_pictures", "picture_formats"]

PICTURE_FORMATS = {
    "folder": "a folder of pictures, captions beside them under the same stem",
    "kohya": "folders named N_concept with pictures and captions, or what a TOML of kohya's scripts names",
    "musubi": "pictures that a TOML of musubi-tuner names, or with its latents beside them",
    "onetrainer": "pictures that concepts.json names, or with masks of OneTrainer beside them",
    "simpletuner": "pictures that multidatabackend.json names, or with an index of SimpleTuner beside them",
    "ai-toolkit": "pictures with folders of caches or control pictures of ai-toolkit beside them",
    "imagefolder": "pictures with metadata.jsonl, .csv or .parquet (Hugging Face)",
    "img2dataset": "numbered folders of pictures with a table or statistics beside them (img2dataset)",
}
"""Name → what it is."""

_CONCEPT = re.compile(r"[0-9]+_.*", re.ASCII)
_AI_TOOLKIT = AI_TOOLKIT_CACHES | {"_controls"}
_SIZES = ".aitk_size.json"
_MASKS = ("-masklabel", "-condlabel")


def picture_formats(root: Path, files: Sequence[str], wanted: str = "auto") -> dict[str, str]:
    """Return the formats that a folder with ``files`` may be, pictures among them, with the reason.

    What settings or a trainer's files show goes before ``folder``, unless that is ``wanted``.
    """
    pictures = [file for file in files if PurePosixPath(file).suffix.lower() in PICTURE_SUFFIXES]
    metadata = [file for file in files if PurePosixPath(file).name in METADATA_NAMES]
    shown = _told_by(find_told(root, files))
    if numbered := numbered_folders(files):
        shown["img2dataset"] = f"has {numbered[0]}/ and what was downloaded to it"
    found = {"imagefolder": f"has {metadata[0]}"} if metadata else {}
    if concept := _concept(pictures):
        found["kohya"] = f"has {concept}/ with pictures"
    loose = [file for file in pictures if "/" not in file]
    if not found and not shown:
        folders = sorted({PurePosixPath(picture).parent for picture in pictures})
        sizes = (str(folder / _SIZES) for folder in folders)
        shown = left_behind([*files, *(path for path in sizes if (root / path).is_file())])
    if ((loose and not metadata) or not found) and (wanted == "folder" or not shown):
        found["folder"] = f"has {len(loose or pictures)} pictures, {(loose or pictures)[0]} the first"
    return {**shown, **found}


def opened_pictures(root: Path, files: Sequence[str], name: str, why: str) -> PictureFolder | Downloaded:
    """Return the dataset of the format ``name`` at ``root``."""
    return Downloaded(root, files, why) if name == "img2dataset" else PictureFolder(root, name, why, files)


def _concept(pictures: Iterable[str]) -> str | None:
    parts = (PurePosixPath(picture).parts for picture in pictures)
    return min((one[0] for one in parts if len(one) == 2 and _CONCEPT.fullmatch(one[0])), default=None)


def _told_by(told: Told) -> dict[str, str]:
    """Return the trainers whose settings are there, with the reason."""
    found: dict[str, str] = {}
    for path, trainer in sorted(told.by.items()):
        found.setdefault(trainer, f"has {path}, settings of {trainer}")
    return found


def cache_among(files: Iterable[str]) -> str:
    """Return the first cache that trainers read although its picture is not there; "" without one."""
    return next((file for file in files if _trainer(PurePosixPath(file)) or is_of_a_folder(file)), "")


def left_behind(files: Iterable[str]) -> dict[str, str]:
    """Return the trainers that have left something among ``files``, with the reason."""
    found: dict[str, str] = {}
    for file in files:
        if trainer := _trainer(PurePosixPath(file)):
            found.setdefault(trainer, f"has {file}, as {trainer} leaves it")
    return found


def _trainer(file: PurePosixPath) -> str:
    """Return whose file it is, by its name; "" when it may be anybody's."""
    if file.name == _SIZES or not _AI_TOOLKIT.isdisjoint(file.parts[:-1]):
        return "ai-toolkit"
    if file.suffix.lower() in PICTURE_SUFFIXES:
        return "onetrainer" if file.stem.lower().endswith(_MASKS) else ""
    if is_onetrainer(str(file)):
        return "onetrainer"
    if file.name.startswith("aspect_ratio_bucket_"):
        return "simpletuner"
    if is_musubi(file.name):
        return "musubi"
    return "kohya" if file.name == "metadata_cache.json" or is_kohya(file.name) else ""
