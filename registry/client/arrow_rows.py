"""Rows of Arrow, for the engines that hand over batches: which of them stay, and why the others go.

    stays = mark_batch(batch, [client])         # bool[n]; one request where nobody has said anything
    clean = batch.filter(pa.array(stays))

Registries are first asked which keys of the addresses they know at all, and only rows of which they may know
something are looked up in full, as in ``caveat filter``. A row that could not be checked never stays: one
without an address, with a text that is none, or of which a registry says anything but ``ok``. When a registry
cannot be asked at all, that is an error by name and no batch comes out. Nothing is kept between batches, so
the functions can be sent to other processes, with the registries. Needs the extra ``[parquet]``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.parquet_entries import pyarrow_modules
from registry.client.judged import JudgedRows
from registry.client.rows import judge_urls
from registry.client.verdicts import Judges, Registry, Rules
from registry.errors import DatasetError, InputError
from registry.urlkeys import url_keys

__all__ = ["judge_batch", "key_lists", "mark_batch"]

_PART = 100_000
"""URLs whose keys are in memory at a time."""


def mark_batch(
    batch: Any,
    registries: Sequence[Registry],
    rules: Rules = Rules(),  # noqa: B008 - frozen
    column: str | Sequence[str] = "url",
) -> NDArray[np.bool_]:
    """Return which rows of ``batch`` stay, ``bool[n]``; a RecordBatch or a Table of Arrow.

    ``column`` has the addresses, or several columns have them. Raises as :func:`judge_batch`.
    """
    return judge_batch(batch, registries, rules, column).kept


def judge_batch(
    batch: Any,
    registries: Sequence[Registry],
    rules: Rules = Rules(),  # noqa: B008 - frozen
    column: str | Sequence[str] = "url",
) -> JudgedRows:
    """Return which rows of ``batch`` stay, and what was said of those of which anything was.

    Raises :class:`DatasetError` for a column that is not there or holds no text, :class:`InputError` without
    a registry, :class:`registry.errors.RegistryError` when one cannot be asked or is too old to say which
    keys it knows.
    """
    names = [column] if isinstance(column, str) else list(column)
    if not names:
        raise InputError("no column of addresses is named")
    return judge_urls([_texts(batch, name) for name in names], Judges(registries, rules))


def key_lists(urls: Any) -> Any:
    """Return the keys under which rules may stand that cover each URL, for joins with a snapshot's tables.

    ``urls`` is an array of texts, or a chunked one; the answer an array of lists of 16 bytes, the first being
    the key of the URL itself. What is no URL, and null, is null there: drop these rows, or an anti-join keeps
    them. A rule's key is the first half of the SHA-256 of ``kind:surt``.
    """
    arrow, _ = pyarrow_modules()
    texts = ["" if text is None else text for text in urls.to_pylist()]
    parts = [_lists(arrow, texts[at : at + _PART]) for at in range(0, len(texts) or 1, _PART)]
    return arrow.concat_arrays(parts)


def _lists(arrow: Any, texts: Sequence[str]) -> Any:
    found = url_keys(texts)
    counts = np.bincount(found.url, minlength=len(texts))
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    data = arrow.py_buffer(found.keys.astype(">u8").tobytes())
    keys = arrow.Array.from_buffers(arrow.binary(16), len(found.keys), [None, data]).cast(arrow.binary())
    return arrow.ListArray.from_arrays(arrow.array(ends), keys, mask=arrow.array(counts == 0))


def _texts(batch: Any, name: str) -> list[str | None]:
    arrow, _ = pyarrow_modules()
    at = batch.schema.get_all_field_indices(name)
    if len(at) != 1:
        names = ", ".join(map(repr, batch.schema.names))
        raise DatasetError(
            f"{len(at)} columns are named {name!r}; the columns are {names}",
            hint="Name the one with the addresses: column=….",
        )
    kind = batch.schema.field(at[0]).type
    inner = kind.value_type if arrow.types.is_dictionary(kind) else kind
    tests = arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_string_view
    if not (arrow.types.is_null(inner) or any(test(inner) for test in tests)):
        raise DatasetError(f"the column {name!r} holds {kind}, not texts")
    return list(batch.column(at[0]).to_pylist())
