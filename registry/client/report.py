"""``report.html`` and the pages in ``report/``: what a run did, for people.

The first page has the counts, and of each part — removed, to look at, kept all the same, set aside, went
with them — the first ``FIRST`` cards. The others follow on pages of their own, ``report/removed-2.html`` and
so on: ``CARDS`` a page with their pictures up to ``MAX_CARDS`` a part, and from there on names and reasons
alone, ``LINES`` a page. A part ends at ``MAX_LINES``, and says that the decisions have the rest. So a page is
small whatever the run removed, and so is the whole.

Nothing is fetched and no script runs: every page opens from the disk. They show works that may not be
shared, so each opens with that, and none is for publication. Verdicts are read one by one and only those of
the pages in the making are held.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from registry.client.cards import card, kind_of, line
from registry.client.formats.files import remove
from registry.client.granted import told_of
from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.preference import Action

__all__ = ["CARDS", "FIRST", "LINES", "MAX_CARDS", "MAX_LINES", "write_report"]

FIRST = 60
"""Most cards of each part on the first page."""

CARDS = 55
"""Cards on a further page."""

MAX_CARDS = FIRST + 8 * CARDS
"""Most cards of each part; what follows is named."""

LINES = 1_000
"""Names on a page."""

MAX_LINES = 100_000
"""Most entries of each part; the decisions have them all."""

_TEMPLATE = Template(files(__package__).joinpath("report.html.template").read_text(encoding="utf-8"))
_PARTS = {
    Action.REMOVE: ("removed", "Removed", "Not in the output."),
    Action.REVIEW: (
        "to-look-at",
        "To look at",
        "Kept, but close to a registered work: look at each, and take it out if it is a copy.",
    ),
    Action.KEEP: ("kept", "Kept all the same", "A record or a signal speaks of them."),
    Action.ERROR: ("set-aside", "Set aside", "Could not be checked or read, so not in the output."),
}
_ALONG = (
    "went-along",
    "Went with them",
    "Captions, caches, masks and rows that would have trained the removed works all the same.",
)


def write_report(path: Path, summary: FilterSummary) -> None:
    """Write the report of a run to ``path``, and its further pages to the folder ``report`` beside it."""
    folder = path.with_suffix("")
    remove(folder)
    title = f"{summary.source.name} filtered"
    parts = {action: _Part(*told, folder, path.name, title) for action, told in _PARTS.items()}
    along = _Part(*_ALONG, folder, path.name, title)
    for verdict in summary.notable:
        parts[verdict.action].add(verdict)
    for file, why in sorted(summary.left_out.items()):
        along.add_line(f"<tr><td><bdi>{html.escape(file)}</bdi></td><td>{html.escape(why)}</td></tr>\n")
    body = "".join(part.ended() for part in (*parts.values(), along))
    target = summary.target or "nothing: no sample was kept"
    head = (
        f"<h1>{html.escape(title)}</h1>"
        f'<p class="soft">{html.escape(str(summary.source))} → {html.escape(str(target))}</p>'
        f'<ul class="tiles">{_tiles(summary)}</ul><dl>{_facts(summary)}</dl>'
    )
    path.write_text(_page(title, head + body), encoding="utf-8")


@dataclass(slots=True)
class _Part:
    """A part of the report in the making: what it holds are the page begun, and the first one."""

    name: str
    title: str
    note: str
    folder: Path
    home: str
    report: str
    count: int = 0
    pages: int = 1
    first: str = ""
    page: list[str] = field(default_factory=list)
    is_of_cards: bool = True

    def add(self, verdict: Verdict) -> None:
        """Add a verdict: a card, or a name."""
        if self.count < MAX_CARDS:
            self._add(card(verdict), FIRST if self.pages == 1 else CARDS)
        else:
            self.add_line("" if self.count >= MAX_LINES else line(verdict))

    def add_line(self, text: str) -> None:
        """Add a row of a table."""
        if self.count >= MAX_LINES:
            self.count += 1
            return
        if self.is_of_cards:
            self._turn()
            self.is_of_cards = False
        self._add(text, LINES if self.pages > 1 else FIRST)

    def ended(self) -> str:
        """Write the last page, and return the section of the first one; empty when nothing was added."""
        if not self.count:
            return ""
        self._turn(is_last=True)
        more = self.count - MAX_LINES
        rest = (
            f"<p>… and {more:,} more; the decisions beside this file have them all.</p>" if more > 0 else ""
        )
        return self._section(self.first, "".join(self._links()) + rest)

    def _add(self, text: str, most: int) -> None:
        if len(self.page) >= most:
            self._turn()
        self.page.append(text)
        self.count += 1

    def _turn(self, *, is_last: bool = False) -> None:
        """End the page begun, if anything is on it."""
        if not self.page:
            return
        cards = f'<ul class="cards">{"".join(self.page)}</ul>'
        body = cards if self.is_of_cards else f"<table>{''.join(self.page)}</table>"
        if self.pages == 1:
            self.first = body
        else:
            self.folder.mkdir(exist_ok=True)
            text = _page(
                f"{self.title}, page {self.pages}", self._further(body, is_last=is_last), self.report
            )
            (self.folder / self._file(self.pages)).write_text(text, encoding="utf-8")
        self.page = []
        self.pages += not is_last

    def _further(self, body: str, *, is_last: bool) -> str:
        before = f"../{self.home}#{self.name}" if self.pages == 2 else self._file(self.pages - 1)
        turns = [_link(f"../{self.home}", "Summary"), _link(before, "‹ before")]
        if not is_last:
            turns.append(_link(self._file(self.pages + 1), "next ›"))
        around = f"<nav>{''.join(turns)}</nav>"
        return (
            f"{around}<h1>{self.title} <small>page {self.pages}</small></h1><p>{self.note}</p>{body}{around}"
        )

    def _section(self, body: str, more: str) -> str:
        return (
            f'<section id="{self.name}"><h2>{self.title} <small>{self.count:,}</small></h2>'
            f"<p>{self.note}</p>{body}{more}</section>"
        )

    def _links(self) -> Iterator[str]:
        if self.pages == 1:
            return
        yield '<nav aria-label="more pages">More: '
        for number in range(2, self.pages + 1):
            yield _link(f"{self.folder.name}/{self._file(number)}", str(number))
        yield "</nav>"

    def _file(self, number: int) -> str:
        return f"{self.name}-{number}.html"


def _link(address: str, text: str) -> str:
    return f'<a href="{address}">{text}</a>'


def _page(title: str, body: str, report: str = "") -> str:
    whole = f"{title} — {report}" if report else title
    return _TEMPLATE.substitute(title=html.escape(whole), body=body)


def _facts(summary: FilterSummary) -> str:
    facts = {
        "Format": f"{summary.format} ({summary.why})",
        "Use asked about": str(summary.rules.use),
        "Mode": str(summary.rules.mode),
        "Possible copies": "" if summary.rules.review else "not looked for (--no-review)",
        "Conditions met": ", ".join(sorted(summary.rules.met)),
        "Grants": _grants(summary),
        "Own works": _own(summary),
        "Evidence": _evidence(summary),
        "Removed by": ", ".join(
            f"{kind_of(cause)}: {count:,}" for cause, count in summary.reasons.most_common()
        ),
        "For": " — ".join(filter(None, (summary.rules.organisation, summary.rules.purpose))),
        "Registry": ", ".join(_registry(url, summary.as_of_seq.get(url)) for url in summary.registries),
        "Sites": "asked too (--site-signals)" if summary.sites_asked else "",
        "Made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items() if v)


def _own(summary: FilterSummary) -> str:
    if not summary.rules.own.digest:
        return ""
    return f"{summary.counts['own']:,} kept as declared, and not proven (--own)"


def _grants(summary: FilterSummary) -> str:
    held = summary.rules.grants.held
    if not held:
        return ""
    named = "; ".join(told_of(one.grant) for one in held)
    return f"{summary.counts['granted']:,} kept because of {named}"


def _evidence(summary: FilterSummary) -> str:
    least = summary.rules.min_evidence
    if not least:
        return ""
    return f"records below level {least} did not count, of {summary.counts['below_evidence']:,} samples"


def _registry(url: str, seq: int | None) -> str:
    return url if seq is None else f"{url}, as of event {seq:,}"


def _tiles(summary: FilterSummary) -> str:
    tiles = [
        ("kept", "kept", summary.kept),
        ("removed", "removed", summary.counts[Action.REMOVE]),
        ("review", "to look at", summary.counts[Action.REVIEW]),
        ("error", "set aside", summary.errors),
        ("plain", "nobody has spoken", summary.counts["unknown"]),
    ]
    return "".join(f'<li class="{kind}"><b>{count:,}</b> {label}</li>' for kind, label, count in tiles)
