"""Documents that are made of a receipt and of what the maker adds, one file a format.

    receipt.dsse.json + declared.json → Told → card.md, Civitai, Croissant, SPDX, the EU template

Each line says who vouches for it: ``measured`` by the tool, ``declared`` by the maker, ``inherited`` from
upstream. What nobody said is not guessed: it is told as not stated. Each document says what a receipt does
not show.
"""

from registry.documents.declared import Artist, Conveyed, Declared, Upstream, declared_json, parse_declared
from registry.documents.facts import NOT_STATED, Fact, Source, Told, sections_of

__all__ = [
    "NOT_STATED",
    "Artist",
    "Conveyed",
    "Declared",
    "Fact",
    "Source",
    "Told",
    "Upstream",
    "declared_json",
    "parse_declared",
    "sections_of",
]
