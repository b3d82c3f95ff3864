import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Status, Use
from registry.signals import rsl
from registry.signals.observation import Origin
from registry.statement import Speaker

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "rsl.json").read_text("utf-8"))
URL = "https://example.org/a/b.jpg"
NAMESPACE = rsl.NAMESPACE


def read(text, url=URL):
    data = text.encode() if isinstance(text, str) else text
    return rsl.read(data, url, Origin(rsl.PROTOCOL, rsl.VERSION, "licence.xml", data, Speaker.HOST))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_a_document_is_read(case, check_reading):
    check_reading(read(case["xml"], case["url"]), case)


@pytest.mark.parametrize("case", VECTORS["links"], ids=lambda case: case["name"])
def test_links_to_documents_are_found(case):
    assert rsl.header_links(tuple(map(tuple, case["headers"]))) == tuple(case["expect"])


@pytest.mark.parametrize(("more", "faults"), [(0, 0), (1, 1)])
def test_a_document_that_is_too_large_is_a_fault(more, faults):
    text = document(("/", "", "all"))
    reading = read(text + " " * (rsl.LARGEST - len(text) + more))
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert bool(reading.statements) is not bool(faults)


@pytest.mark.parametrize(
    "text",
    [
        "<a>" * 300_000,
        f'<rsl xmlns="{NAMESPACE}">' + '<content url="/"/>' * 50_000 + "</rsl>",
        f'<rsl xmlns="{NAMESPACE}"><content url="/"><license><permits>'
        + "all " * 200_000
        + "</permits></license></content></rsl>",
        "<rsl " + " ".join(f'a{at}=""' for at in range(70_000)) + "/>",
        f'<rsl xmlns="{NAMESPACE}">' + '<content url="">' * 25_000 + "</content>" * 25_000 + "</rsl>",
        f'<rsl xmlns="{NAMESPACE}"><content url="">'
        + "<license>" * 39_000
        + "</license>" * 39_000
        + "</content></rsl>",
        f'<rsl xmlns="{NAMESPACE}">'
        + "".join(f'<content url="/{"*" * at}"/>' for at in range(900))
        + '<content url="/"/>' * 25_000
        + "</rsl>",
        f'<rsl xmlns:a="{"u" * 500_000}" ' + " ".join(f'a:a{at}=""' for at in range(30_000)) + "/>",
    ],
    ids=[
        "deep",
        "many contents",
        "many tokens",
        "many attributes",
        "contents within contents",
        "licences within licences",
        "many lengths of patterns",
        "a long namespace of many attributes",
    ],
)
def test_a_document_costs_little_time(text):
    began = time.process_time()
    read(text[: rsl.LARGEST])
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<rsl>" + "<content url='/'>" * 2 + "</content>" * 2 + "</rsl>", "a content within another"),
        ("<rsl>" + "<a>" * rsl.MAX_DEPTH + "</a>" * rsl.MAX_DEPTH + "</rsl>", "elements more than 16 deep"),
        ("<rsl>" + "<a/>" * rsl.MAX_MARKS + "</rsl>", "80002 tags and attributes; at most 80000"),
        ('<?xml version="1.0" encoding="cp500"?><rsl/>', "in the encoding cp500"),
        (f"<rsl xmlns='{'u' * 1000}'/>", "a namespace of more than 1000 bytes"),
    ],
    ids=["contents within contents", "deep", "many", "EBCDIC", "a long namespace"],
)
def test_a_document_that_would_cost_too_much_is_a_fault(text, says):
    (fault,) = read(text).faults
    assert says in fault.message


def test_a_document_in_utf_16_is_read():
    text = document(("/", "", "all"))
    assert values(read(text.encode("utf-16"))) == values(read(text))


def test_a_long_link_field_costs_little_time():
    began = time.process_time()
    for part in ("<", "<a>;", ';a="', "; ", "<a>;a", "a", '<a>;a="b', ";a=b"):
        rsl.header_links([("Link", "<a>" + part * 20_000)])
    assert time.process_time() - began < 2


def document(*contents):
    inner = "".join(
        f'<content url="{url}"><license>'
        + (f'<permits type="usage">{permits}</permits>' if permits else "")
        + (f'<prohibits type="usage">{prohibits}</prohibits>' if prohibits else "")
        + "</license></content>"
        for url, permits, prohibits in contents
    )
    return f'<rsl xmlns="{NAMESPACE}">{inner}</rsl>'


TOKENS = st.sampled_from(["", *rsl.USAGES])
CONTENTS = st.lists(st.tuples(st.sampled_from(["/", "/a/", "/*.jpg", "/b/"]), TOKENS, TOKENS), max_size=4)


def values(reading):
    return {use: value for one in reading.statements for use, value in one.preferences.items()}


@given(CONTENTS, st.randoms(use_true_random=False))
def test_the_order_of_contents_plays_no_part(contents, random):
    shuffled = random.sample(contents, len(contents))
    assert values(read(document(*contents))) == values(read(document(*shuffled)))


@given(CONTENTS, st.sampled_from([*rsl.USAGES]))
def test_the_narrowest_prohibition_holds(contents, token):
    told = values(read(document(*contents, ("/a/b.jpg$", "", token))))
    assert {told[use] for use in rsl.USAGES[token]} == {Preference.RESERVED}


@given(CONTENTS)
def test_each_use_is_told_once(contents):
    told = [use for one in read(document(*contents)).statements for use in one.preferences]
    assert len(told) == len(set(told))
    assert set(told) <= set(Use)


@given(CONTENTS)
def test_without_the_namespace_nothing_is_permitted_and_no_more_is_lost(contents):
    clean = values(read(document(*contents)))
    bare = values(read(document(*contents).replace(f' xmlns="{NAMESPACE}"', "")))
    for use, value in clean.items():
        assert bare[use] == (Preference.UNKNOWN if value is Preference.ALLOWED else value)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_document_or_a_fault(data):
    for begin in (b"", b"<rsl>", f'<rsl xmlns="{NAMESPACE}"><content url="'.encode()):
        assert all(one.status is Status.MALFORMED for one in read(begin + data).faults)
