"""``report.html``: one file for people, with everything in it.

It shows what was removed beside the record or the signal that asked for it, what a person should look at,
and what could not be read. It shows works that may not be shared, so it opens with that, and is not for
publication.
"""

import base64
import html
import io
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image

from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.errors import PictureError
from registry.picture import decode_picture
from registry.preference import Action
from registry.reasons import place_of, protocol_name
from registry.statement import Signal, Statement

__all__ = ["MAX_CARDS", "write_report"]

MAX_CARDS = 500
"""Most cards in each part; the decisions have them all."""

_PAGE = Template(files(__package__).joinpath("report.html.template").read_text(encoding="utf-8"))
_THUMBNAIL = 176
_KINDS = {
    "url": "its address",
    "prefix": "a folder address",
    "host": "a host",
    "domain": "a domain",
    "sha256": "the same file",
    "pdq": "a copy",
    "phash": "a possible copy",
    "unknown": "no record (strict mode)",
    "another": "goes with another",
}


def write_report(path: Path, summary: FilterSummary) -> None:
    """Write the report of a run to ``path``."""
    by_action = {action: [v for v in summary.notable if v.action is action] for action in Action}
    parts = [
        _part("Removed", "Not in the output.", by_action[Action.REMOVE]),
        _part(
            "To look at",
            "Kept, but close to a registered work: look at each, and take it out if it is a copy.",
            by_action[Action.REVIEW],
        ),
        _part("Kept all the same", "A record or a signal speaks of them.", by_action[Action.KEEP]),
        _part("Set aside", "Could not be checked or read, so not in the output.", by_action[Action.ERROR]),
        _left_out(summary),
    ]
    page = _PAGE.substitute(
        title=html.escape(f"{summary.source.name} filtered"),
        source=html.escape(str(summary.source)),
        target=html.escape(str(summary.target) if summary.target else "nothing: no sample was kept"),
        facts=_facts(summary),
        tiles=_tiles(summary),
        parts="".join(parts),
    )
    path.write_text(page, encoding="utf-8")


def _facts(summary: FilterSummary) -> str:
    facts = {
        "Format": f"{summary.format} ({summary.why})",
        "Use asked about": str(summary.rules.use),
        "Mode": str(summary.rules.mode),
        "Possible copies": "" if summary.rules.review else "not looked for (--no-review)",
        "Conditions met": ", ".join(sorted(summary.rules.met)),
        "Removed by": ", ".join(
            f"{_kind(cause)}: {count:,}" for cause, count in summary.reasons.most_common()
        ),
        "For": " — ".join(filter(None, (summary.rules.organisation, summary.rules.purpose))),
        "Registry": ", ".join(_registry(url, summary.as_of_seq.get(url)) for url in summary.registries),
        "Sites": "asked too (--site-signals)" if summary.sites_asked else "",
        "Made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items() if v)


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


def _part(title: str, note: str, verdicts: list[Verdict]) -> str:
    if not verdicts:
        return ""
    cards = "".join(_card(verdict) for verdict in verdicts[:MAX_CARDS])
    more = len(verdicts) - MAX_CARDS
    rest = f"<p>… and {more:,} more; the decisions beside this file have them all.</p>" if more > 0 else ""
    return (
        f"<section><h2>{title} <small>{len(verdicts):,}</small></h2><p>{note}</p>"
        f'<ul class="cards">{cards}</ul>{rest}</section>'
    )


def _card(verdict: Verdict) -> str:
    decision = verdict.decision
    statements = decision.statements if decision is not None else ()
    name = html.escape(verdict.sample.name)
    kind = html.escape(_kind(verdict.cause)) if decision is not None else "error"
    badge = f'<span class="badge">{kind}</span>'
    return (
        f'<li class="card {verdict.action}">{_thumbnail(verdict)}<div><h3>{name}</h3>{badge}'
        f"<p>{html.escape(verdict.reason)}</p></div>{_record(statements)}</li>"
    )


def _kind(cause: str) -> str:
    """Return what people call a kind of match, or the protocol of a signal."""
    return _KINDS.get(cause) or protocol_name(cause)


def _record(statements: tuple[Statement, ...]) -> str:
    if not statements:
        return ""
    s = statements[0]
    says = ", ".join(f"{use}: {preference}" for use, preference in s.preferences.items())
    facts = {"Says": says} | (_lodged(s) if s.signal is None else _told(s.signal)) | {"Terms": s.terms}
    others = {_name(statement) for statement in statements} - {_name(s)}
    if others:
        facts["Besides"] = f"{len(others)} more that say so"
    rows = "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items() if v)
    return f'<dl class="record">{rows}</dl>'


def _name(statement: Statement) -> str:
    """Return what tells a record, or what a carrier said, from others."""
    signal = statement.signal
    return statement.record if signal is None else f"{signal.protocol} {signal.carrier} {signal.said}"


def _lodged(statement: Statement) -> dict[str, str]:
    return {
        "Lodged by": statement.label,
        "Work": statement.title,
        "Evidence": f"level {statement.evidence_level}, {statement.state}",
        "Since": statement.at[:10],
        "Match": _match(statement),
        "Contact": statement.contact,
        "Record": statement.record or "shown to holders of a look-up key",
    }


def _told(signal: Signal) -> dict[str, str]:
    return {
        "Protocol": f"{protocol_name(signal.protocol)} {signal.version}",
        "Where": place_of(signal.carrier),
        "In its words": signal.said,
        "Speaker": str(signal.speaker),
        "Read": str(signal.quality),
        "SHA-256": signal.raw_sha256,
    }


def _match(statement: Statement) -> str:
    match = statement.match
    if match.distance is None:
        return match.kind
    of = 64 if match.kind == "phash" else 256
    form = (match.form or "").replace("_", " + ")
    return f"{match.kind}, {match.distance} of {of} bits: {form} here, {match.window} as registered"


def _left_out(summary: FilterSummary) -> str:
    items = sorted(summary.left_out.items())
    if not items:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(path)}</td><td>{html.escape(why)}</td></tr>" for path, why in items[:MAX_CARDS]
    )
    return (
        f"<section><h2>Went with them <small>{len(items):,}</small></h2>"
        "<p>Captions, caches, masks and rows that would have trained the removed works all the same.</p>"
        f"<table>{rows}</table></section>"
    )


def _thumbnail(verdict: Verdict) -> str:
    place = verdict.sample.picture
    if place is None or verdict.fingerprint is None:
        return '<div class="none">no picture</div>'
    try:
        image = Image.fromarray(decode_picture(place.read()).rgb)
    except (OSError, PictureError):
        return '<div class="none">no picture</div>'
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    data = base64.b64encode(packed.getvalue()).decode()
    return f'<img alt="" width="{image.width}" height="{image.height}" src="data:image/jpeg;base64,{data}">'
