"""How one verdict looks in the report: a card with its picture beside the record, or a line that names it.

Everything that comes from a dataset, a registry or a picture is escaped, and names are isolated, so that one
written from right to left does not turn the text around it.
"""

import base64
import html
import io

from PIL import Image

from registry.client.verdicts import Verdict
from registry.errors import PictureError
from registry.picture import decode_picture
from registry.reasons import place_of, protocol_name
from registry.statement import Signal, Statement

__all__ = ["card", "kind_of", "line"]

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
    "own": "the maker’s own, as declared",
    "grant": "permitted by a grant",
}


def card(verdict: Verdict) -> str:
    """Return the card of a verdict: a list item."""
    decision = verdict.decision
    statements = () if decision is None else decision.statements or decision.lifted
    return (
        f'<li class="card {verdict.action}">{_thumbnail(verdict)}<div><h3>{_name(verdict)}</h3>'
        f"{_badge(verdict)}<p>{html.escape(verdict.reason)}</p></div>{_record(statements)}</li>"
    )


def line(verdict: Verdict) -> str:
    """Return the line of a verdict: a row of a table, without picture and record."""
    return f"<tr><td>{_name(verdict)}</td><td>{html.escape(verdict.reason)}</td></tr>\n"


def kind_of(cause: str) -> str:
    """Return what people call a kind of match, or the protocol of a signal."""
    return _KINDS.get(cause) or protocol_name(cause)


def _name(verdict: Verdict) -> str:
    return f"<bdi>{html.escape(verdict.sample.name)}</bdi>"


def _badge(verdict: Verdict) -> str:
    kind = html.escape(kind_of(verdict.cause)) if verdict.decision is not None else "error"
    return f'<span class="badge">{kind}</span>'


def _record(statements: tuple[Statement, ...]) -> str:
    if not statements:
        return ""
    s = statements[0]
    says = ", ".join(f"{use}: {preference}" for use, preference in s.preferences.items())
    facts = {"Says": says} | (_lodged(s) if s.signal is None else _told(s.signal)) | {"Terms": s.terms}
    others = {_record_name(statement) for statement in statements} - {_record_name(s)}
    if others:
        facts["Besides"] = f"{len(others)} more that say so"
    rows = "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items() if v)
    return f'<dl class="record">{rows}</dl>'


def _record_name(statement: Statement) -> str:
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
