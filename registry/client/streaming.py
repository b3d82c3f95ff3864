"""A stream of rows without those that are reserved: nothing comes out that was not checked.

    stream = FilteredStream(rows, [client])
    for row in stream: ...
    stream.summary.counts

Rows are dicts. Some are taken at a time, judged together, and handed on in their order. When a registry
cannot be asked, the loop ends with that error, and none of those rows came out; it never ends quietly. The
stream can be gone through again if the rows can, and is asked about anew then.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from registry.client.formats.metadata import url_columns as named_like_urls
from registry.client.row_pictures import is_picture
from registry.client.rows import Columns, RowJudge, RowSummary
from registry.client.verdicts import Judges, Registry, Rules, Verdict
from registry.errors import DatasetError

__all__ = ["FilteredStream", "StreamOptions"]

_ROWS, _ROWS_WITH_PICTURES = 1000, 128

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is gone through.

    ``image_columns`` and ``url_columns`` are the columns that are looked at; None stands for those whose
    values are pictures, and whose names are those of addresses. ``batch_size`` is how many rows are judged
    together, by default 1,000, and 128 where they have pictures; ``workers`` processes hash these. ``gone``
    is called with each row that goes because something was said of it or it could not be checked.
    """

    image_columns: Sequence[str] | None = None
    url_columns: Sequence[str] | None = None
    batch_size: int | None = None
    workers: int = 1
    gone: Callable[[Row, Verdict], None] = lambda *_: None


class FilteredStream:
    """The rows of ``rows`` that stay; ``summary`` counts those of the last time it was gone through.

    An ``IterableDataset`` of ``datasets`` is read with its pictures as they are in their files, and each that
    stays is decoded after that. Going through it raises :class:`registry.errors.RegistryError` when a
    registry cannot be asked, :class:`DatasetError` for rows in which there is nothing to look up.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        registries: Sequence[Registry],
        rules: Rules = Rules(),  # noqa: B008 - frozen
        options: StreamOptions = StreamOptions(),  # noqa: B008 - frozen
    ) -> None:
        self._rows, self._options = rows, options
        self._judges = Judges(tuple(registries), rules)
        RowJudge(self._judges)  # Without a registry it is refused here, and not at the first row.
        self.summary = self._nothing()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        summary = self.summary = self._nothing()
        for registry in self._judges.registries:
            registry.check_parameters()
        rows, decode = _undecoded(self._rows)
        remaining, first = iter(rows), 0
        with RowJudge(self._judges, self._options.workers) as judge:
            while batch := list(islice(remaining, self._size(summary))):
                for row in self._judged(batch, judge, first):
                    yield decode(row)
                first += len(batch)

    def _judged(self, batch: Sequence[Row], judge: RowJudge, first: int) -> Iterator[dict[str, Any]]:
        summary, columns = self.summary, self._columns(batch, first)
        values = {name: [row.get(name) for row in batch] for name in columns.all}
        judged = judge.judge(values, columns, first)
        summary.columns = columns
        summary.join(judged.tally)
        for place, (row, stays) in enumerate(zip(batch, judged.kept.tolist(), strict=True)):
            if stays:
                yield dict(row)
            elif place in judged.verdicts:
                self._options.gone(row, judged.verdicts[place])

    def _columns(self, batch: Sequence[Row], first: int) -> Columns:
        options, names = self._options, list(dict.fromkeys(name for row in batch for name in row))
        urls, images = options.url_columns, options.image_columns
        if urls is None:
            urls = named_like_urls(names)
        if images is None:
            images = [name for name in names if any(is_picture(row.get(name)) for row in batch)]
        missing = [name for name in (*urls, *images) if name not in names]
        if missing or not (urls or images):
            what = f"no column {missing[0]!r}" if missing else "neither pictures nor a column of URLs"
            raise DatasetError(
                f"rows {first} to {first + len(batch) - 1} have {what}; they have {', '.join(names)}",
                hint="Name the columns: StreamOptions(url_columns=…, image_columns=…).",
            )
        return Columns(tuple(urls), tuple(images))

    def _size(self, summary: RowSummary) -> int:
        has_pictures = bool(summary.columns.images) or not summary.samples
        return self._options.batch_size or (_ROWS_WITH_PICTURES if has_pictures else _ROWS)

    def _nothing(self) -> RowSummary:
        judges = self._judges
        return RowSummary(rules=judges.rules, registries=tuple(one.url for one in judges.registries))


def _undecoded(rows: Iterable[Row]) -> tuple[Iterable[Row], Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return the rows with their pictures as bytes, and what decodes these; others as they are."""
    datasets = sys.modules.get("datasets")
    if datasets is None or not isinstance(rows, datasets.IterableDataset):
        return rows, lambda row: row
    from registry.client.huggingface import undecoded

    return undecoded(rows)
