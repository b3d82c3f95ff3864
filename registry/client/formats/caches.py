"""What the names of caches say: pure functions over names of files.

Trainers name a cache after its picture, each in its own way, and read it whether or not the picture is still
there. Where the way is known, the stem is known to the letter: ``a_b_0512x0512_sdxl.npz`` is of ``a_b`` and
not of ``a``. Other caches are named by position or by content (OneTrainer): nobody can tell whose they are.
"""

import re

from registry.client.formats.naming import folded

__all__ = ["AI_TOOLKIT_CACHES", "is_kohya", "is_musubi", "is_of_a_folder", "is_onetrainer", "stems_told"]

AI_TOOLKIT_CACHES = frozenset({"_latent_cache", "_t_e_cache", "_clip_vision_cache"})
"""The folders beside pictures in which ai-toolkit keeps its caches."""

_FOLDER_CACHE = re.compile(
    r"metadata_cache\.json|aspect_ratio_bucket_.*\.json|(.*_)?cache\.json(\.bak|\.tmp)?", re.ASCII
)
_SIZE = r"_[0-9]{3,5}x[0-9]{3,5}"
_FRAMES = r"_[0-9]+-[0-9]+"
_KOHYA_TEXT = r"_(te_outputs|(sd3|flux|hi|lumina|anima)_te)\.npz"
_KOHYA = (re.compile(rf"(?P<stem>.+){_SIZE}(_[a-z0-9]+)?\.npz"), re.compile(rf"(?P<stem>.+){_KOHYA_TEXT}"))
_MUSUBI = (
    re.compile(rf"(?P<stem>.+){_SIZE}_[a-z0-9]+\.safetensors"),
    re.compile(rf"(?P<stem>.+){_FRAMES}{_SIZE}_[a-z0-9]+\.safetensors"),
    re.compile(r"(?P<stem>.+)_[a-z0-9]+_te\.safetensors"),
)
_AI_TOOLKIT = re.compile(r"(?P<stem>.+)_[a-z0-9_-]{22}(==)?\.safetensors")
_PLAIN = re.compile(r"(?P<stem>.+)\.npz")
_VARIATION = re.compile(r"variation-[0-9]+", re.ASCII)
_HASHED = re.compile(r"[0-9a-f]{12}(_[0-9]+x[0-9]+)?_[0-9]+\.pt", re.ASCII)


def is_of_a_folder(path: str) -> bool:
    """Say whether a file is a cache of many pictures at once, by a path with slashes."""
    return bool(_FOLDER_CACHE.fullmatch(path.rpartition("/")[2])) or is_onetrainer(path)


def is_onetrainer(path: str) -> bool:
    """Say whether a file is of OneTrainer's cache: ``…/variation-0/3.pt``, or named by a hash.

    Its rows are numbers in the order of files that are not there any more, so no row can be taken out.
    """
    *folders, name = path.split("/")
    in_group = any(_VARIATION.fullmatch(folder) for folder in folders)
    return in_group or name == "aggregate.pt" or bool(_HASHED.fullmatch(name))


def is_kohya(name: str) -> bool:
    """Say whether kohya's scripts name a cache like this; latents and outputs of text encoders."""
    return any(form.fullmatch(folded(name)) for form in _KOHYA)


def is_musubi(name: str) -> bool:
    """Say whether musubi-tuner names a cache like this; latents and outputs of text encoders."""
    return any(form.fullmatch(folded(name)) for form in _MUSUBI)


def stems_told(path: str) -> frozenset[str]:
    """Return the stems, folded, of which the cache at ``path`` may be; none when its name does not tell.

    More than one where names can be read in two ways.
    """
    *folders, name = folded(path).split("/")
    forms = [*_KOHYA, *_MUSUBI, _PLAIN]
    if folders and folders[-1] in AI_TOOLKIT_CACHES:
        forms.append(_AI_TOOLKIT)
    return frozenset(match["stem"] for form in forms if (match := form.fullmatch(name)))
