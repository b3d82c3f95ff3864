"""A packet becomes properties, in every form and encoding of RDF/XML that XMP allows, or a named error."""

import time
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.preference import Status
from registry.signals import xmp
from registry.signals.parts import UnreadableError
from registry.signals.xmp import CC, DC, PLUS, RIGHTS, TDM, licence_texts, merged, parse, tdm_properties
from tests.core.signals.packets import BEGIN, END, mined, packet

TITLE = (DC, "title")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")

FORMS = {
    "attribute": packet(attributes='dc:title="a"'),
    "element": packet("<dc:title>a</dc:title>"),
    "element with white space": packet("<dc:title>\n  a\n</dc:title>"),
    "CDATA": packet("<dc:title><![CDATA[a]]></dc:title>"),
    "resource": packet('<dc:title rdf:resource="a"/>'),
    "value": packet('<dc:title rdf:parseType="Resource"><rdf:value>a</rdf:value></dc:title>'),
    "value in a description": packet(
        "<dc:title><rdf:Description><rdf:value>a</rdf:value></rdf:Description></dc:title>"
    ),
    "bag": packet("<dc:title><rdf:Bag><rdf:li>a</rdf:li></rdf:Bag></dc:title>"),
    "bag of resources": packet('<dc:title><rdf:Bag><rdf:li rdf:resource="a"/></rdf:Bag></dc:title>'),
    "inside another property": packet(
        '<xmpMM:Pantry rdf:parseType="Resource"><dc:title>a</dc:title></xmpMM:Pantry>'
    ),
    "with a comment": packet("<dc:title><!-- b -->a</dc:title>"),
    "without the packet's marks": packet("<dc:title>a</dc:title>", wrapped=False),
    "without xmpmeta": packet("<dc:title>a</dc:title>", wrapped=False)
    .replace('<x:xmpmeta xmlns:x="adobe:ns:meta/">', "")
    .replace("</x:xmpmeta>", ""),
    "with an XML declaration": '<?xml version="1.0" encoding="UTF-8"?>' + packet("<dc:title>a</dc:title>"),
    "https namespace without its slash": packet("<dc:title>a</dc:title>").replace(
        "http://purl.org/dc/elements/1.1/", "https://purl.org/dc/elements/1.1"
    ),
    "padded with spaces": packet("<dc:title>a</dc:title>").replace(END, " " * 2000 + END),
    "padded with zeros": packet("<dc:title>a</dc:title>") + "\0" * 9,
    "binary after the end": packet("<dc:title>a</dc:title>") + "\1\x7f",
    "binary after the meta": packet("<dc:title>a</dc:title>", wrapped=False) + "\1\x7f",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_value(name):
    assert parse(FORMS[name].encode())[TITLE] == ("a",)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("declared", [False, True], ids=["plain", "declared"])
def test_every_encoding_gives_the_value(encoding, declared):
    text = packet("<dc:title>å ☃ 𝄞</dc:title>")
    name = "utf-8" if "8" in encoding else encoding[:6].upper()
    text = f'<?xml version="1.0" encoding="{name}"?>{text}' if declared else text
    assert parse(text.encode(encoding))[TITLE] == ("å ☃ 𝄞",)


def test_an_encoding_that_is_declared_is_used():
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + packet("<dc:title>å</dc:title>", wrapped=False)
    assert parse(text.encode("latin-1"))[TITLE] == ("å",)


def test_several_values_stand_in_their_order_and_once():
    text = packet("<dc:title>b</dc:title><dc:title>a</dc:title><dc:title>b</dc:title>")
    assert parse(text.encode())[TITLE] == ("b", "a")


def test_of_languages_the_default_comes_first():
    alternatives = '<rdf:li xml:lang="de">d</rdf:li><rdf:li xml:lang="X-Default">x</rdf:li><rdf:li>n</rdf:li>'
    text = packet(f"<dc:title><rdf:Alt>{alternatives}</rdf:Alt></dc:title>")
    assert parse(text.encode())[TITLE] == ("x", "d", "n")


def test_attributes_of_rdf_and_xml_are_no_properties():
    found = parse(packet('<dc:title rdf:ID="i" xml:lang="en">a</dc:title>').encode())
    assert set(found) == {TITLE}


BROKEN = {
    "empty": ("", Status.MALFORMED, "no element found"),
    "text": ("no XML", Status.MALFORMED, "line 1, column 0"),
    "tag not closed": (packet("<dc:title>"), Status.MALFORMED, "mismatched tag: line 1, column"),
    "cut short": (packet()[:200], Status.MALFORMED, "not well-formed XML"),
    "zero inside": (packet("<dc:title>a\0b</dc:title>"), Status.MALFORMED, "not well-formed"),
    "undefined entity": (
        packet("<dc:title>&lol;</dc:title>"),
        Status.MALFORMED,
        "not well-formed XML: undefined",
    ),
    "entity bomb": (
        '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>' + packet("<dc:title>&b;</dc:title>"),
        Status.MALFORMED,
        "declares a document type",
    ),
    "external entity": (
        '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + packet("<dc:title>&a;</dc:title>"),
        Status.MALFORMED,
        "declares a document type",
    ),
    "encoding that nobody knows": ('<?xml version="1.0" encoding="nope"?><a/>', Status.MALFORMED, "nope"),
    "EBCDIC": ('<?xml version="1.0" encoding="cp037"?><a/>', Status.ERROR, "in the encoding cp037"),
    "long namespace": (
        f"<a:b xmlns:a\n= 'u{'x' * 1000}'/>",
        Status.ERROR,
        "namespace of more than 1000 bytes",
    ),
    "long prefix": (
        f'<a xmlns:{"x" * 1000}="u"/>',
        Status.ERROR,
        "namespace of more than 1000 bytes at byte 3",
    ),
    "many namespaces": (
        "<a>" + '<b xmlns="u"/>' * 20_001 + "</a>",
        Status.ERROR,
        "more than 20000 namespaces",
    ),
    "too deep": ("<a>" * 101 + "</a>" * 101, Status.ERROR, "at most 500000 elements of XMP, 100 deep"),
    "too many": ("<a>" + "<b/>" * 500_000 + "</a>", Status.ERROR, "at most 500000 elements"),
    "too long": (packet("<dc:title>" + "a" * 2**24 + "</dc:title>"), Status.ERROR, "at most 16777216 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_parsed_is_an_error_by_name(name):
    text, status, says = BROKEN[name]
    with pytest.raises(UnreadableError) as raised:
        parse(text.encode())
    assert raised.value.status is status
    assert says in raised.value.message


WRONG_BYTES = {
    "latin-1 that is not declared": packet("<dc:title>å</dc:title>", wrapped=False).encode("latin-1"),
    "half a pair of surrogates": b"\xff\xfe"
    + "<a>".encode("utf-16-le")
    + b"\x00\xd8"
    + "</a>".encode("utf-16-le"),
    "beyond Unicode": b"\xff\xfe\0\0" + "<a>".encode("utf-32-le") + b"\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_wrong_bytes_are_malformed(name):
    with pytest.raises(UnreadableError) as raised:
        parse(WRONG_BYTES[name])
    assert raised.value.status is Status.MALFORMED


def test_a_large_packet_with_one_long_value_is_read_quickly():
    began = time.perf_counter()
    parse(packet("<dc:title>" + "a<!-- -->" * 200_000 + "</dc:title>").encode())
    parse((BEGIN * 100_000).encode() + packet().encode())
    assert time.perf_counter() - began < 5


def test_packets_are_merged_without_doubles():
    one, two = ({TITLE: ("a", "b")}, {TITLE: ("b", "c"), (PLUS, "x"): ("y",)})
    assert merged([one, two]) == {TITLE: ("a", "b", "c"), (PLUS, "x"): ("y",)}
    assert merged([]) == {}


@pytest.mark.parametrize("end", ["/", "#", ""], ids=["slash", "hash", "bare"])
def test_tdm_is_handed_on_by_the_names_of_its_headers(end):
    text = packet("<tdm:reservation>1</tdm:reservation>", 'tdm:policy="https://example.org/p"')
    found = parse(text.replace("ns/tdmrep/", f"ns/tdmrep{end}").encode())
    assert tdm_properties(found) == {"tdm-reservation": ("1",), "tdm-policy": ("https://example.org/p",)}
    assert (TDM, "reservation") in found


def test_what_is_not_said_of_tdm_is_left_out():
    assert tdm_properties(parse(mined("DMI-PROHIBITED"))) == {}


def test_licences_are_handed_on_in_order_and_once():
    text = packet(
        "<dc:rights><rdf:Alt><rdf:li>© Ada</rdf:li></rdf:Alt></dc:rights>"
        "<xmpRights:UsageTerms>No AI</xmpRights:UsageTerms>"
        '<cc:license rdf:resource="https://creativecommons.org/licenses/by/4.0/"/>',
        'xmpRights:WebStatement="© Ada"',
    )
    found = parse(text.encode())
    assert licence_texts(found) == ("https://creativecommons.org/licenses/by/4.0/", "No AI", "© Ada")
    assert {(CC, "license"), (RIGHTS, "UsageTerms")} <= set(found)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from(ENCODINGS))
@example("]]> & <", "utf-8")
def test_what_is_written_is_read(value, encoding):
    text = packet(f"<dc:title>{escape(value)}</dc:title>")
    assert parse(text.encode(encoding))[TITLE] == (value.strip(),)


@given(st.binary(max_size=300) | st.text(st.sampled_from("<>/\"'=: ax\0&;!?[]")).map(str.encode))
def test_any_bytes_are_parsed_or_refused_by_name(raw):
    try:
        parse(raw)
    except UnreadableError as error:
        assert error.message  # noqa: PT017 - anything else that is raised fails the test
    assert xmp.as_utf8(b"<a/>\0 \n") == b"<a/>"
