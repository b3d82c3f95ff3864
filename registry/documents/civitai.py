"""The description of a model at Civitai: HTML of the few tags that its editor keeps.

It has headings, lists and bold text, and no tables. Paste it as a browser shows it, or send it by its API.
"""

from collections.abc import Iterator

from registry.documents.escaping import html_text
from registry.documents.facts import Fact, Told, sections_of

__all__ = ["civitai"]


def civitai(told: Told) -> str:
    """Return the description: one tag a line."""
    return "".join(f"{line}\n" for line in _lines(told))


def _lines(told: Told) -> Iterator[str]:
    yield "<h2>Training data and consent</h2>"
    yield (
        "<p>Every line says who vouches for it: <strong>measured</strong> by the tool, "
        "<strong>declared</strong> by the maker, <strong>inherited</strong> from upstream.</p>"
    )
    yield f"<p><em>{html_text(told.receipt.about)}</em></p>"
    for section in sections_of(told):
        yield f"<h3>{html_text(section.title)}</h3>"
        yield "<ul>"
        yield from map(_item, section.facts)
        yield "</ul>"


def _item(fact: Fact) -> str:
    return (
        f"<li><strong>{html_text(fact.name)}:</strong> {html_text(fact.text)} <em>({fact.source})</em></li>"
    )
