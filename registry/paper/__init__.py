"""Documents that people hand to people: evidence for a court, a letter to a platform.

    evidence, words of the sender → Sheet → PDF, or Markdown

A :class:`Sheet` is what stands on the paper, as values; :mod:`registry.paper.evidence_sheet` and
:mod:`registry.paper.notice` make them, :mod:`registry.paper.pdf` and :mod:`registry.paper.markdown` write
them down. Words of others are text and nothing else in both. What the fonts cannot show stands there as its
code points: nothing is left out in silence.
"""

from registry.paper.sheet import Attachment, Facts, Lines, Part, Points, Section, Sheet, Text

__all__ = ["Attachment", "Facts", "Lines", "Part", "Points", "Section", "Sheet", "Text"]
