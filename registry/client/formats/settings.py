"""The settings of trainers, as values: which folders and files each dataset in them names. Pure functions.

Read are the TOML of kohya's scripts (``[[datasets.subsets]]``) and of musubi-tuner (``[[datasets]]``), which
may be JSON as well; OneTrainer's ``concepts.json`` and its configuration; SimpleTuner's
``multidatabackend.json``. They are known by what is in them, whatever they are called. What the names mean is
for :mod:`registry.client.formats.told`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry.errors import DatasetError, InputError
from registry.jsontext import strict_json

__all__ = ["Block", "Settings", "parse_settings", "read_settings", "settings_in"]

_Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """One dataset of a trainer's settings, with the names as they stand there.

    ``pictures``, ``controls`` and ``caches`` are folders; ``files`` are lists of pictures and texts that are
    read besides. ``captions`` are the endings of captions. ``layered``: pictures ``a_1``, ``a_2`` … are
    layers of ``a``.
    """

    pictures: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    layered: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The datasets that a file tells ``trainer`` of."""

    trainer: str
    blocks: tuple[Block, ...]


def read_settings(data: bytes, path: str) -> Settings | None:
    """Return the settings in a file; None when it is of no trainer that is known here.

    Raises :class:`DatasetError` for a ``.toml`` that is none; what is not JSON is no settings.
    """
    return settings_in(parse_settings(data, path))


def parse_settings(data: bytes, path: str) -> Any:
    """Return what a file holds as TOML or JSON, by the ending of ``path``; None for what is no JSON.

    Raises :class:`DatasetError` for a ``.toml`` that is none.
    """
    return _toml(data, path) if path.lower().endswith(".toml") else _json(data)


def settings_in(whole: Any) -> Settings | None:
    """Return the settings in what a file holds; None when they are of no trainer that is known here."""
    for found in _kohya(whole), _musubi(whole), _onetrainer(whole), _simpletuner(whole):
        if found is not None:
            return found
    return None


def _toml(data: bytes, path: str) -> Any:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{path} is not TOML: {error}", hint="Mend it, or take it out.") from error


def _json(data: bytes) -> Any:
    try:
        return strict_json(data)
    except InputError:
        return None


def _kohya(whole: Any) -> Settings | None:
    if not isinstance(whole, dict):
        return None
    blocks = [_subset(subset, levels) for subset, levels in _subsets(whole)]
    blocks += [_trained(section) for section in (whole, *_tables(whole.values())) if _is_trained(section)]
    return Settings("kohya", tuple(blocks)) if blocks else None


def _subsets(whole: _Table) -> Iterator[tuple[_Table, tuple[_Table, ...]]]:
    """Yield each subset with the tables in which what it leaves open may stand, the nearest first."""
    general = _table(whole.get("general"))
    for dataset in _tables(whole.get("datasets")):
        for subset in _tables(dataset.get("subsets")):
            yield subset, (subset, dataset, general)


def _subset(subset: _Table, levels: Iterable[_Table]) -> Block:
    endings = _texts(*(level.get("caption_extension") for level in levels))
    return Block(
        pictures=_texts(subset.get("image_dir")),
        controls=_texts(subset.get("conditioning_data_dir")),
        files=_texts(subset.get("metadata_file")),
        captions=endings[:1] or (".caption",),
    )


def _is_trained(section: _Table) -> bool:
    return bool(_texts(section.get("train_data_dir"), section.get("in_json")))


def _trained(section: _Table) -> Block:
    """Return what the file of all options (``--config_file``) says of the dataset."""
    return Block(
        pictures=_texts(section.get("train_data_dir"), section.get("reg_data_dir")),
        controls=_texts(section.get("conditioning_data_dir")),
        files=_texts(section.get("in_json"), section.get("dataset_config")),
        captions=_texts(section.get("caption_extension"))[:1] or (".caption",),
    )


def _musubi(whole: Any) -> Settings | None:
    if not isinstance(whole, dict):
        return None
    general = _table(whole.get("general"))
    blocks = tuple(
        Block(
            pictures=_texts(dataset.get("image_directory"), dataset.get("video_directory")),
            controls=_texts(dataset.get("control_directory")),
            caches=_texts(dataset.get("cache_directory")),
            files=_texts(dataset.get("image_jsonl_file"), dataset.get("video_jsonl_file")),
            captions=_texts(dataset.get("caption_extension"), general.get("caption_extension"))[:1],
            layered=dataset.get("multiple_target") is True,
        )
        for dataset in _tables(whole.get("datasets"))
    )
    named = [block for block in blocks if block.pictures or block.files]
    return Settings("musubi", blocks) if named else None


def _onetrainer(whole: Any) -> Settings | None:
    concepts = whole
    caches: tuple[str, ...] = ()
    if isinstance(whole, dict) and "concept_file_name" in whole:
        concepts = whole.get("concepts")
        caches = _texts(whole.get("cache_dir"), whole.get("debug_dir"))
    blocks = [_concept(concept) for concept in _tables(concepts) if _is_concept(concept)]
    if caches:
        blocks.append(Block(caches=caches, files=_texts(_table(whole).get("concept_file_name"))))
    return Settings("onetrainer", tuple(blocks)) if blocks else None


def _is_concept(concept: _Table) -> bool:
    return isinstance(concept.get("path"), str) and "prompt_source" in _table(concept.get("text"))


def _concept(concept: _Table) -> Block:
    text = _table(concept["text"])
    prompts = _texts(text.get("prompt_path")) if text.get("prompt_source") == "concept" else ()
    return Block(pictures=_texts(concept["path"]), files=prompts, captions=(".txt",))


_SIMPLETUNER_CACHES = ("cache_dir", "cache_dir_vae", "cache_dir_conditioning_image_embeds")
_SIMPLETUNER_FOLDERS = ("instance_data_dir", "instance_data_root")
_ELSEWHERE = ("dataset_name", "aws_data_prefix")
_EMBEDS = frozenset({"text_embeds", "image_embeds", "conditioning_image_embeds"})


def _simpletuner(whole: Any) -> Settings | None:
    backends = _tables(whole if isinstance(whole, list) else None)
    named = {str(one["id"]): one for one in backends if isinstance(one.get("id"), str)}
    if not any(_texts(*(one.get(key) for key in _SIMPLETUNER_FOLDERS)) for one in named.values()):
        return None
    return Settings("simpletuner", tuple(_backend(one, named) for one in named.values()))


def _backend(backend: _Table, others: Mapping[str, _Table]) -> Block:
    paired = backend.get("conditioning_data")
    ids = _texts(*(paired if isinstance(paired, list) else [paired]))
    controls = (others.get(key, {}) for key in ids)
    return Block(
        pictures=_folders(backend),
        controls=tuple(folder for control in controls for folder in _folders(control)),
        caches=_texts(*(backend.get(key) for key in _SIMPLETUNER_CACHES)),
        files=_texts(_table(backend.get("parquet")).get("path"), backend.get("csv_file")),
        captions=(".txt",) if backend.get("caption_strategy") == "textfile" else (),
    )


def _folders(backend: _Table) -> tuple[str, ...]:
    """Return where the pictures of a backend are; of one elsewhere its name there, which no folder has."""
    if backend.get("dataset_type") in _EMBEDS:
        return ()
    keys = _ELSEWHERE if backend.get("type") in ("aws", "huggingface") else _SIMPLETUNER_FOLDERS
    return _texts(*(backend.get(key) for key in keys))


def _table(value: Any) -> _Table:
    return value if isinstance(value, dict) else {}


def _tables(values: Any) -> list[_Table]:
    if isinstance(values, dict) or not isinstance(values, Iterable):
        return []
    return [value for value in values if isinstance(value, dict)]


def _texts(*values: Any) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value)
