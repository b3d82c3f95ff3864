"""Papers: every character is shown, or its code point stands there; and a page is never a surprise."""

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from registry.errors import SettingsError
from registry.paper import Attachment, Facts, Lines, Points, Section, Sheet, Text
from registry.paper import fonts as faces
from registry.paper.fonts import Fonts
from registry.paper.pdf import pdf_of

LABELS = {
    "markup": ("**bold** <b>x</b> {nb} \\n", "**bold** <b>x</b> {nb} \\n"),
    "turned around": ("Ada\u202egpj.exe", "Ada[U+202E]gpj.exe"),
    "no width": ("A\u200bd\u200da", "A[U+200B]d[U+200D]a"),
    "no glyph": ("Ada \U0001f33b", "Ada [U+1F33B]"),
    "not assigned": ("Ada \u0378", "Ada [U+0378]"),
    "half a pair": ("Ada \ud83c", "Ada [U+D83C]"),
    "two lines": ("Ada\nEve", "Ada[U+000A]Eve"),
    "a terminal's codes": ("\x1b[31mAda", "[U+001B][31mAda"),
    "Japanese": ("ひまわり 山田", "ひまわり 山田"),
    "Korean": ("한국어", "한국어"),
    "simplified Chinese": ("简体汉字", "简体汉字"),
    "Greek and Cyrillic": ("Ωμέγα Жанна", "Ωμέγα Жанна"),
    "Vietnamese": ("Nguyễn Thị Ánh", "Nguyễn Thị Ánh"),
    "Georgian and Armenian": ("ქართული Հայերեն", "ქართული Հայերեն"),
    "a long word": ("x" * 200, "x" * 200),
    "parentheses": (")>> endobj (", ")>> endobj ("),
    "empty": ("", ""),
}


def text_of(data: bytes) -> str:
    # pypdf reads the codes of OpenType faces byte by byte: a zero before each character.
    pages = [page.extract_text().replace("\0", "") for page in PdfReader(io.BytesIO(data)).pages]
    return re.sub(r"\s", "", " ".join(pages))


def sheet(*parts: Text | Facts | Points | Lines, title: str = "Paper", foot: str = "foot") -> Sheet:
    return Sheet(title, "of a test", (Section("Section", parts),), 1_793_707_200, foot)


@pytest.fixture(scope="module")
def printed() -> str:
    """All labels on one paper, each as a fact and as a line."""
    rows = tuple((name, label) for name, (label, _) in LABELS.items())
    return text_of(pdf_of(sheet(Facts(rows), Lines(tuple(f"|{label}|" for _, label in rows)))))


@pytest.mark.parametrize("case", LABELS)
def test_what_others_wrote_is_shown_as_text_or_by_its_code_points(printed: str, case: str) -> None:
    told = re.sub(r"\s", "", LABELS[case][1])
    assert re.sub(r"\s", "", case) + told in printed
    assert f"|{told}|" in printed


@pytest.mark.parametrize("text", ["नमस्ते", "شهرزاد", "می\u200cخواهم", "สวัสดี", "தமிழ்", "שלום"], ids=ascii)
def test_scripts_whose_letters_join_have_their_shapes(text: str) -> None:
    fonts = Fonts.open(text)
    assert fonts.fallback
    assert fonts.shown(text) == text


@given(st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_no_character_is_lost(text: str) -> None:
    shown = Fonts.open(text).shown(text)
    told = iter(re.findall(r"\[U\+[0-9A-F]{4,6}\]|.", shown, flags=re.DOTALL))
    # One by one: as it is, or as its code point; a bracket that somebody wrote is one of theirs.
    if "[U+" not in text:
        for one in text:
            assert next(told) in (one, f"[U+{ord(one):04X}]")
        assert next(told, None) is None
    assert all(one.isprintable() or one in "\u200c\u200d" for one in shown)


def test_the_number_of_pages_is_nothing_that_anybody_wrote() -> None:
    data = pdf_of(sheet(Text("{nb} {nnb} " * 400), foot="{nnnb}"))
    count = len(PdfReader(io.BytesIO(data)).pages)
    text = text_of(data)
    assert count > 1
    assert text.count("{nb}") == text.count("{nnb}") == 400
    assert [f"page{n}of{count}" in text for n in range(1, count + 1)] == [True] * count


def test_a_heading_does_not_stand_alone_at_the_end_of_a_page() -> None:
    sections = tuple(Section(f"Heading {n}", (Text("word " * 60),)) for n in range(40))
    data = pdf_of(Sheet("Paper", "of a test", sections, 0, "foot"))
    for page in PdfReader(io.BytesIO(data)).pages:
        body = page.extract_text().partition("\nfoot")[0]
        assert not body.splitlines()[-1].startswith("Heading")


def test_what_is_said_of_one_work_is_not_torn_apart() -> None:
    works = tuple(Facts(tuple((f"fact {n}", "x") for n in range(5))) for _ in range(60))
    pages = PdfReader(io.BytesIO(pdf_of(sheet(*works)))).pages
    assert len(pages) > 3
    for page in pages[1:]:
        assert page.extract_text().startswith("fact 0")


def test_the_same_gives_the_same_bytes_and_carries_its_files() -> None:
    files = [Attachment("a.json", "application/json", b"{}"), Attachment("b.tsr", "application/x", b"\0" * 9)]
    first, second = (pdf_of(sheet(Points(("x", "y"), numbered=True)), files) for _ in range(2))
    assert first == second
    carried = PdfReader(io.BytesIO(first)).attachments
    assert {name: found[0] for name, found in carried.items()} == {one.name: one.data for one in files}


def test_without_the_fonts_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    faces._folder_of.cache_clear()
    monkeypatch.setattr(faces, "find_spec", lambda _: None)
    with pytest.raises(SettingsError) as refused:
        pdf_of(sheet())
    assert "[pdf]" in refused.value.hint
