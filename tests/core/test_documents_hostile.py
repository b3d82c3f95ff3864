"""Whatever a maker writes, and whatever a receipt holds: the parsed document says that, and nothing else."""

import html
import json
from dataclasses import replace
from html.parser import HTMLParser

import yaml
from hypothesis import given
from markdown_it import MarkdownIt

from registry.documents import Declared, declared_json, parse_declared, sections_of
from registry.documents.card import card
from registry.documents.civitai import civitai
from registry.documents.croissant import croissant
from registry.documents.escaping import html_text, markdown_text, yaml_front_matter
from registry.documents.eu_template import eu_template
from registry.documents.spdx import spdx
from registry.receipt import Asked
from registry.strictly import wire_of
from tests.core.told import ANY_TEXT, DECLARED, HOSTILE, RECEIPT, TEXT, told_of

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
COMMENT = "<!-- -->"


def shown(tokens):
    """The text that a reader of rendered Markdown sees; what breaks links up is not seen."""
    return "".join(
        html.unescape(one.content) if one.type == "html_inline" else one.content
        for one in tokens
        if one.type != "html_inline" or one.content != COMMENT
    )


def items(markdown):
    """Each item of a list, or cell of a table, as a reader sees it."""
    tokens = READER.parse(markdown)
    return [shown(one.children) for one in tokens if one.type == "inline"]


def kinds(markdown):
    return {one.type for token in READER.parse(markdown) for one in [token, *(token.children or [])]}


HARMLESS = {
    "heading_open",
    "heading_close",
    "inline",
    "paragraph_open",
    "paragraph_close",
    "text",
    "text_special",
}
HARMLESS |= {"strong_open", "strong_close", "em_open", "em_close", "link_open", "link_close", "html_inline"}
HARMLESS |= {
    f"{name}_{side}" for name in ("bullet_list", "list_item", "blockquote") for side in ("open", "close")
}
OF_TABLES = {
    f"{name}_{side}" for name in ("table", "thead", "tbody", "tr", "th", "td") for side in ("open", "close")
}


class Reader(HTMLParser):
    """The tags and the text of items, as a browser would have them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.items: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.add(tag)
        if tag == "li":
            self.items.append("")

    def handle_data(self, data: str) -> None:
        if self.items:
            self.items[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def facts(told):
    return [fact for part in sections_of(told) for fact in part.facts]


@given(TEXT)
def test_markdown_shows_the_text_and_nothing_else(text):
    for within in (
        f"- **x:** {markdown_text(text)} · *y*\n",
        f"| a |\n|---|\n| **x:** {markdown_text(text)} · *y* |\n",
    ):
        assert items(within)[-1] == f"x: {text} · y"
        assert kinds(within) <= HARMLESS | OF_TABLES


@given(TEXT)
def test_html_shows_the_text_and_nothing_else(text):
    reader = Reader()
    reader.feed(f"<li>{html_text(text)}</li>")
    reader.close()
    assert (reader.items, reader.tags) == ([text], {"li"})


@given(TEXT, ANY_TEXT)
def test_yaml_holds_the_text_as_text(text, key):
    members = {"said": {"text": text, "list": [text, {"text": text}]}, "keys": {key: 1}}
    front = yaml_front_matter(members)
    assert yaml.safe_load(front.removeprefix("---\n").removesuffix("---\n")) == members
    # Whoever splits at the marks gets the same: no line of the body is one.
    lines = front.split("\n")
    assert [at for at, line in enumerate(lines) if line.rstrip() in ("---", "...")] == [0, len(lines) - 2]


@given(HOSTILE)
def test_a_declaration_is_read_as_it_was_written(declared):
    assert parse_declared(json.loads(declared_json(declared))) == declared


@given(HOSTILE)
def test_the_card_says_what_was_declared(declared):
    told = told_of(declared)
    _, front, markdown = card(told).split("---\n", 2)
    ours = yaml.safe_load(front)["optout_filter"]
    wire = wire_of(declared)
    beside = {"base_model"} if declared.kind == "dataset" else set()
    assert set(ours["not_stated"]) == {name for name in wire if not wire[name]} - beside
    for name in ("title", "author", "contact", "licence", "purposes", "limits"):
        assert ours["declared"].get(name) == (wire[name] or None)
    assert items(markdown)[2:] == _titled(told, lambda one: f"{one.name}: {one.text} · {one.source}")
    assert kinds(markdown) <= HARMLESS


@given(HOSTILE)
def test_the_description_at_civitai_says_what_was_declared(declared):
    told, reader = told_of(declared), Reader()
    reader.feed(civitai(told))
    reader.close()
    expected = [f"{one.name}: {one.text} ({one.source})" for one in facts(told)]
    assert [one.partition("\n")[0] for one in reader.items] == expected
    assert reader.tags == {"h2", "h3", "p", "ul", "li", "strong", "em"}


@given(HOSTILE)
def test_the_template_says_what_was_declared(declared):
    told = told_of(declared)
    markdown = eu_template(told)
    answered = set(items(markdown))
    consents, _, origins, _ = (part.facts for part in sections_of(told))
    numbers = {"Base model": "1.2", "Made from": "2.1–2.2"}
    for one in (*consents, *origins):
        assert f"{numbers.get(one.name, '3.1')} {one.name}: {one.text} · {one.source}" in answered
    for text in (*declared.purposes, *declared.limits):
        assert {f"3.3 Made for: {text} · declared", f"3.3 Limits: {text} · declared"} & answered
    assert kinds(markdown) <= HARMLESS | OF_TABLES


@given(HOSTILE)
def test_json_ld_says_what_was_declared(declared):
    told = told_of(declared)
    found = json.loads(croissant(told))
    assert found.get("creditText", "") == declared.author
    assert found.get("license", "") == declared.licence
    assert found["rai:dataLimitations"][1:] == [
        f"declared: Limits: {one}" for one in declared.limits or ("not stated",)
    ]
    graph = json.loads(spdx(told, "2026-11-24T00:00:00Z"))["@graph"]
    said = [one["statement"] for one in graph if one["type"] == "Annotation"]
    assert said[:-1] == [one.labelled for one in facts(told)]
    assert len(declared.upstream) == sum(one["type"] == "software_Package" for one in graph)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_receipt_says_no_more_than_lines_either(organisation, licence, url):
    registries = (Asked(url=url, origin="log", as_of_seq=1, asked="full", checkpoint=None),)
    told = told_of(
        DECLARED,
        replace(RECEIPT, registries=registries),
        organisation=organisation,
        licences=(licence,),
        purpose=organisation,
    )
    assert all(one.text == " ".join(one.text.split()) or "\u3000" in one.text for one in facts(told))
    assert items(card(told).split("---\n", 2)[2])[2:] == _titled(
        told, lambda one: f"{one.name}: {one.text} · {one.source}"
    )
    assert yaml.safe_load(card(told).split("---\n", 2)[1])["optout_filter"]["version"] == 1


def _titled(told, line):
    """The lines of a document with the titles between them, and the sentence before them."""
    body = [[part.title, *map(line, part.facts)] for part in sections_of(told)]
    return [told.receipt.about, *(one for part in body for one in part)]


def test_nothing_is_declared_by_default():
    assert not any(wire_of(Declared()).values())
