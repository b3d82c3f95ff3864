"""A ``Dataset`` of Hugging Face without the rows that are reserved. Needs the extra ``[hf]``.

    clean, summary = filter_hf(dataset, [client])

Pictures are hashed from the bytes of their files, which a ``Dataset`` keeps, and not from what it decodes of
them: what a file says itself is read too. The answers are never taken from the cache of ``datasets``. What
comes back leads to the kept rows of the same files; ``save_to_disk`` writes these rows alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from registry.client.formats.metadata import url_columns as named_like_urls
from registry.client.rows import Columns, RowJudge, RowSummary
from registry.client.verdicts import Judges, Registry, Rules
from registry.errors import DatasetError, FormatError, InputError

__all__ = ["filter_hf", "undecoded"]

_ROWS, _ROWS_WITH_PICTURES = 20_000, 128


def filter_hf(
    dataset: Any,
    registries: Sequence[Registry],
    *,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    image_column: str | Sequence[str] | None = None,
    url_columns: str | Sequence[str] | None = None,
    workers: int = 1,
) -> tuple[Any, RowSummary]:
    """Return ``dataset`` without its reserved rows, and what became of all of them.

    ``image_column`` and ``url_columns`` name what is looked at, one or several; None stands for all columns
    of pictures, and all that are named as addresses are. ``workers`` processes hash the pictures.

    Raises :class:`InputError` for what is no ``datasets.Dataset``, :class:`DatasetError` for a column that is
    not there, :class:`FormatError` when there is nothing to look up or pictures are hidden in a column,
    :class:`registry.errors.RegistryError` when a registry cannot be asked.
    """
    datasets = _datasets()
    if not isinstance(dataset, datasets.Dataset):
        raise InputError(
            f"a {type(dataset).__name__}, not a datasets.Dataset",
            hint="Give each split by itself; a stream goes into FilteredStream.",
        )
    columns = _columns(dataset.features, _named(url_columns), _named(image_column))
    summary = RowSummary(rules=rules, registries=tuple(one.url for one in registries), columns=columns)
    with RowJudge(Judges(tuple(registries), rules), workers) as judge:
        for registry in registries:
            registry.check_parameters()
        kept = list(_kept(_looked_at(dataset, columns), judge, summary))
    return dataset.select(kept), summary


def undecoded(rows: Any) -> tuple[Any, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return an ``IterableDataset`` with its pictures as bytes, and what decodes these in a row."""
    features = rows.features or {}
    decoded = {name: one for name, one in features.items() if _image_of(one) and _image_of(one).decode}
    plain = rows.with_format(None)
    for name, feature in decoded.items():
        plain = plain.cast_column(name, _as_bytes(feature))

    def decode(row: dict[str, Any]) -> dict[str, Any]:
        return {k: _decoded(decoded[k], v) if k in decoded else v for k, v in row.items()}

    return plain, decode


def _kept(dataset: Any, judge: RowJudge, summary: RowSummary) -> Iterator[int]:
    """Yield the numbers of the rows that stay."""
    step = _ROWS_WITH_PICTURES if summary.columns.images else _ROWS
    for first in range(0, len(dataset), step):
        judged = judge.judge(dataset[first : first + step], summary.columns, first)
        summary.join(judged.tally)
        summary.notable += judged.notable
        yield from (first + judged.kept.nonzero()[0]).tolist()


def _looked_at(dataset: Any, columns: Columns) -> Any:
    """Return the dataset with these columns alone, as they stand in its files."""
    plain = dataset.with_format(None).select_columns(columns.all)
    for name in columns.images:
        if _image_of(plain.features[name]):
            plain = plain.cast_column(name, _as_bytes(plain.features[name]))
    return plain


def _columns(
    features: Mapping[str, Any], urls: Sequence[str] | None, images: Sequence[str] | None
) -> Columns:
    missing = [name for name in (*(urls or ()), *(images or ())) if name not in features]
    if missing:
        raise DatasetError(f"no column {missing[0]!r}; the columns are {', '.join(features)}")
    if urls is None:
        urls = named_like_urls(features)
    if images is None:
        images = [name for name, feature in features.items() if _has_pictures(name, feature)]
    if not urls and not images:
        raise FormatError(
            f"neither pictures nor a column of URLs; the columns are {', '.join(features)}",
            hint="Name them with image_column or url_columns.",
        )
    return Columns(tuple(urls), tuple(images))


def _has_pictures(name: str, feature: Any) -> bool:
    if _image_of(feature):
        return True
    if "Image(" in repr(feature):
        raise FormatError(
            f"pictures stand deeper in the column {name!r} than in a list, and are not looked at there",
            hint="Move them to a column of their own, or name the columns with image_column.",
        )
    return False


def _image_of(feature: Any) -> Any:
    """Return the feature of the pictures in a column of pictures or of lists of such; None for others."""
    datasets = _datasets()
    if isinstance(feature, datasets.Image):
        return feature
    inner = getattr(feature, "feature", None)
    if isinstance(feature, list) and len(feature) == 1:
        inner = feature[0]
    return inner if isinstance(inner, datasets.Image) else None


def _as_bytes(feature: Any) -> Any:
    datasets = _datasets()
    plain = datasets.Image(mode=_image_of(feature).mode, decode=False)
    return plain if isinstance(feature, datasets.Image) else datasets.List(plain)


def _decoded(feature: Any, value: Any) -> Any:
    if value is None:
        return None
    image = _image_of(feature)
    return [_decoded(image, one) for one in value] if isinstance(value, list) else image.decode_example(value)


def _named(names: str | Sequence[str] | None) -> Sequence[str] | None:
    return [names] if isinstance(names, str) else names


def _datasets() -> Any:
    try:
        import datasets  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise InputError("datasets is not installed", hint="pip install 'caveat-registry[hf]'") from error
    return datasets
