"""A run as Markdown (GitHub's), short enough for a comment on a pull request: counts, causes, some samples.

Names, reasons and addresses come from datasets and registries: they are written so that they are text and
nothing else. No link, picture, mention or HTML comes of them.
"""

from collections.abc import Iterator
from itertools import islice

from registry.client.cards import kind_of
from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.documents.escaping import markdown_escaped
from registry.oneline import one_line
from registry.preference import Action

__all__ = ["SHOWN", "markdown"]

SHOWN = 20
"""Most samples that are named."""

_LONGEST = 300
_WHAT = {
    Action.REMOVE: "removed",
    Action.REVIEW: "to look at",
    Action.KEEP: "kept",
    Action.ERROR: "set aside",
}


def markdown(summary: FilterSummary) -> str:
    """Return the account of a run, at most some 15 KB of it."""
    return "\n".join([*_head(summary), *_causes(summary), *_samples(summary)]) + "\n"


def _head(summary: FilterSummary) -> Iterator[str]:
    yield f"### Caveat: {_text(summary.source.name)}"
    yield ""
    yield (
        f"**{summary.kept:,} kept**, {summary.counts[Action.REMOVE]:,} removed, "
        f"{summary.counts[Action.REVIEW]:,} to look at, {summary.errors:,} set aside; "
        f"of {summary.counts['unknown']:,} nobody has said anything."
    )
    yield ""
    asked = ", ".join(f"{_text(url)}{_as_of(summary, url)}" for url in summary.registries)
    yield f"Asked about {summary.rules.use}, mode {summary.rules.mode}, of {asked}."


def _as_of(summary: FilterSummary, url: str) -> str:
    seq = summary.as_of_seq.get(url)
    return "" if seq is None else f" as of event {seq:,}"


def _causes(summary: FilterSummary) -> Iterator[str]:
    if not summary.reasons:
        return
    yield from ("", "| removed by | samples |", "|---|---:|")
    for cause, count in summary.reasons.most_common():
        yield f"| {_text(kind_of(cause))} | {count:,} |"


def _samples(summary: FilterSummary) -> Iterator[str]:
    first = list(islice(summary.notable, SHOWN))
    if not first:
        return
    yield from ("", "| what | sample | why |", "|---|---|---|")
    for verdict in first:
        yield _row(verdict)
    if (more := len(summary.notable) - len(first)) > 0:
        yield from ("", f"… and {more:,} more, in the report.")


def _row(verdict: Verdict) -> str:
    return f"| {_WHAT[verdict.action]} | {_text(verdict.sample.name)} | {_text(verdict.reason)} |"


def _text(text: str) -> str:
    """Return text in one line, shortened, with everything escaped that Markdown would read."""
    line = one_line(text)
    return markdown_escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")
