"""A sheet as PDF/A-3: every font embedded, page numbers, and the files that it carries.

The same sheet and files give the same bytes: what is made once can be made again and compared. fpdf2 reads
nothing but fonts and calls nothing; text is never markup.
"""

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from registry.paper.fonts import BODY, BOLD, MONO, Fonts, joined, missing, path_of
from registry.paper.sheet import Attachment, Facts, Lines, Part, Points, Section, Sheet, Text, time_of

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["pdf_of"]

_MARGIN, _BOTTOM = 22.0, 24.0
_NAME_WIDTH = 38.0
_SIZE, _SMALL, _CODE = 10.0, 8.0, 8.2
_LEAD, _CODE_LEAD = 5.0, 4.2
_INK, _GREY, _RULE, _SHADE = (20, 20, 24), (96, 96, 104), (196, 196, 202), (244, 244, 246)
_TOGETHER = 8
"""Lines of facts that are kept on one page."""
_BODY, _MONO, _OTHER = "body", "mono", "other"
_PRODUCER = "caveat"
# fpdf2 would write the clock's time into these.
_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/"
 xmp:CreateDate="{made}" xmp:ModifyDate="{made}" xmp:MetadataDate="{made}" pdf:Producer="{producer}">
<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def pdf_of(sheet: Sheet, attachments: Sequence[Attachment] = ()) -> bytes:
    """Return the PDF. Raises :class:`registry.errors.SettingsError` without the extra ``[pdf]``."""
    fonts = Fonts.open(joined([*sheet.texts(), *(f"{one.name} {one.about}" for one in attachments)]))
    made = datetime.fromtimestamp(sheet.made, UTC)
    pdf = _document(sheet, fonts, made)
    pdf.add_page()
    writer = _Writer(pdf, fonts)
    writer.head(sheet)
    for section in sheet.sections:
        writer.section(section)
    for one in attachments:
        pdf.embed_file(
            bytes=one.data,
            basename=one.name,
            mime_type=one.media,
            desc=one.about,
            modification_date=made,
            associated_file_relationship="DATA",
            compress=True,
        )
    return bytes(pdf.output())


def _document(sheet: Sheet, fonts: Fonts, made: datetime) -> "FPDF":
    try:
        from fpdf import FPDF
    except ImportError as error:
        raise missing("fpdf2") from error
    foot, total = fonts.shown(sheet.foot), _stand_in(sheet)

    class Paper(FPDF):  # type: ignore[misc, unused-ignore] # fpdf2 is not there without the extra
        def footer(self) -> None:
            """Write the foot of a page, and its number."""
            self.set_y(-15)
            self.set_draw_color(_RULE)
            self.line(_MARGIN, self.get_y() - 1, self.w - _MARGIN, self.get_y() - 1)
            self.set_font(_BODY, size=_SMALL)
            self.set_text_color(_GREY)
            self.cell(self.epw - 30, 6, foot)
            self.cell(30, 6, f"page {self.page_no()} of {total}", align="R")

    pdf = Paper(format="A4", enforce_compliance="PDF/A-3B")
    pdf.alias_nb_pages(total)
    pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
    pdf.set_auto_page_break(True, _BOTTOM)
    pdf.set_lang("en-GB")
    title = fonts.shown(sheet.title)
    pdf.set_title(title)
    pdf.set_producer(_PRODUCER)
    pdf.set_creation_date(made)
    pdf.set_xmp_metadata(
        _XMP.format(made=made.isoformat(timespec="seconds"), producer=_PRODUCER, title=html.escape(title))
    )
    pdf.add_font(_BODY, "", path_of(*BODY))
    pdf.add_font(_BODY, "B", path_of(*BOLD))
    pdf.add_font(_MONO, "", path_of(*MONO))
    others = [f"{_OTHER}{number}" for number in range(len(fonts.fallback))]
    for name, path in zip(others, fonts.fallback, strict=True):
        pdf.add_font(name, "", path)
    # What the monospaced face lacks, the other one may have.
    pdf.set_fallback_fonts([_BODY, *others], exact_match=False)
    # Joins the letters of Arabic and Indic scripts, and puts those that are read from the right in order.
    pdf.set_text_shaping(fonts.joins)
    return pdf


def _stand_in(sheet: Sheet) -> str:
    """Return what stands for the number of pages until it is known: nothing that anybody wrote."""
    written = "\n".join(sheet.texts())
    return next(name for n in count(1) if (name := f"{{{'n' * n}b}}") not in written)


class _Writer:
    """Writes the parts of a sheet one below the other."""

    def __init__(self, pdf: Any, fonts: Fonts) -> None:
        self._pdf = pdf
        self._fonts = fonts

    def head(self, sheet: Sheet) -> None:
        """Write title and subtitle."""
        self._face("B", 19)
        self._write(sheet.title, 9)
        self._face("", 11, _GREY)
        self._write(sheet.subtitle, 6)
        self._write(f"Made {time_of(sheet.made)}", 6)
        self._pdf.ln(2)
        self._rule()
        self._pdf.ln(3)

    def section(self, section: Section) -> None:
        """Write a heading, never alone at the end of a page, and what stands under it."""
        pdf = self._pdf
        pdf.ln(4 if section.level == 1 else 2)
        self._room(26)
        self._face("B", 13 if section.level == 1 else 10.5)
        self._write(section.title, 7 if section.level == 1 else 6)
        pdf.ln(1)
        for part in section.parts:
            self._part(part)
            pdf.ln(1.8)

    def _part(self, part: Part) -> None:
        match part:
            case Text(text):
                self._face("", _SIZE)
                self._write(text, _LEAD)
            case Points(items, numbered):
                for number, item in enumerate(items, 1):
                    self._item(f"{number}." if numbered else "•", item)
            case Facts(rows, codes):
                # A work is not torn apart by the end of a page.
                self._room(min(len(rows) + 1, _TOGETHER) * _LEAD)
                for name, value in rows:
                    self._fact(name, value, is_code=name in codes)
            case Lines(lines):
                self._lines(lines)

    def _item(self, mark: str, item: str) -> None:
        self._room(_LEAD)
        self._face("", _SIZE)
        self._pdf.cell(7, _LEAD, mark)
        self._write(item, _LEAD, indent=7)

    def _fact(self, name: str, value: str, *, is_code: bool) -> None:
        self._room(2 * _LEAD)
        top, page = self._pdf.get_y(), self._pdf.page
        self._face("", 9, _GREY)
        self._pdf.multi_cell(_NAME_WIDTH - 3, _LEAD, self._fonts.shown(name), align="L")
        below = self._pdf.get_y()
        if self._pdf.page == page:
            self._pdf.set_y(top)
        if is_code:
            self._code()
        else:
            self._face("", _SIZE)
        self._write(value, _LEAD, indent=_NAME_WIDTH, wrap="CHAR" if is_code else "WORD")
        if self._pdf.page == page:
            self._pdf.set_y(max(below, self._pdf.get_y()))

    def _lines(self, lines: Iterable[str]) -> None:
        self._code()
        self._pdf.set_fill_color(_SHADE)
        for line in lines:
            self._write(line, _CODE_LEAD, wrap="CHAR", fill=True)

    def _write(
        self, text: str, lead: float, *, indent: float = 0, wrap: str = "WORD", fill: bool = False
    ) -> None:
        pdf = self._pdf
        pdf.set_x(_MARGIN + indent)
        pdf.multi_cell(
            pdf.epw - indent,
            lead,
            self._fonts.shown(text) or " ",
            align="L",
            wrapmode=wrap,
            fill=fill,
            new_x="LMARGIN",
            new_y="NEXT",
        )

    def _code(self) -> None:
        self._pdf.set_font(_MONO, size=_CODE)
        self._pdf.set_text_color(_INK)

    def _face(self, style: str, size: float, colour: tuple[int, int, int] = _INK) -> None:
        self._pdf.set_font(_BODY, style, size)
        self._pdf.set_text_color(colour)

    def _rule(self) -> None:
        self._pdf.set_draw_color(_RULE)
        self._pdf.line(_MARGIN, self._pdf.get_y(), self._pdf.w - _MARGIN, self._pdf.get_y())

    def _room(self, height: float) -> None:
        """Begin a page unless so many millimetres are left."""
        if self._pdf.will_page_break(height):
            self._pdf.add_page()
