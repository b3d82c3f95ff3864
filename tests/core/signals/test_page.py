import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Status
from registry.signals import page

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "page.json").read_text("utf-8"))
META = b'<meta name="robots" content="noai">'


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_what_a_page_says_is_found(case):
    data = case["html"].encode(case["encoding"])
    found = page.read(data)
    assert found.metas == tuple((name, content) for name, content in case["metas"])
    assert found.rsl_links == tuple(case["rsl_links"])
    assert found.rsl_inline == tuple(one.encode() for one in case["rsl_inline"])
    assert found.licences == tuple(case["licences"])
    assert found.data == data
    assert found.faults == ()


def test_contents_are_asked_for_by_name():
    found = page.read(b"<meta name=robots content=a><meta name=caveat content=b><meta name=robots content=c>")
    assert found.contents("robots") == ("a", "c")
    assert found.contents("tdm-policy") == ()


@pytest.mark.parametrize(
    ("begin", "faults"),
    [(b"<head>", 1), (b"<head></head>", 0), (b"<body>", 0), (b"", 1)],
    ids=["head goes on", "head ended", "body begun", "neither"],
)
def test_a_page_that_is_too_large_is_cut_and_says_so_when_that_matters(begin, faults):
    whole = begin + META + b" " * (page.LARGEST - len(begin) - len(META))
    assert page.read(whole).faults == ()
    found = page.read(whole + META)
    assert found.metas == (("robots", "noai"),)
    assert [one.status for one in found.faults] == [Status.MALFORMED] * faults
    assert all(str(page.LARGEST) in one.message for one in found.faults)


LONG = [
    "<",
    "<a",
    "<a ",
    "<a x='",
    "<!--",
    "<!",
    "<![",
    "<?",
    "</",
    "&",
    "&#1",
    "<script>",
    "<!-- -- ",
    "<a/",
]
MANY = [
    "<a =",
    '<meta a="',
    "<a\n",
    "<p>",
    "</p>",
    "<a b>",
    "<!-->",
    "<![x>",
    "<meta name=robots>",
    "<a b=c ",
]


@pytest.mark.parametrize("part", LONG + MANY)
def test_a_page_of_any_repetition_costs_time_in_proportion(part):
    size = 200_000
    data = (part * (size // len(part) + 1)).encode()[:size]
    began = time.process_time()
    page.read(b"<a " + data)
    page.read(data)
    # In proportion it is 0.5 s at most. What the library does at its close takes minutes.
    assert time.process_time() - began < 5


PARTS = [
    "<",
    ">",
    "<!--",
    "-->",
    "--!>",
    "<![",
    "<!",
    "]]>",
    "<?",
    "</",
    '"',
    "'",
    "=",
    " ",
    "&",
    "&#x0;",
    "é",
    "\ud800",
]
TAGS = [
    "meta",
    "name=robots",
    "content=noai",
    "script",
    "type=application/rsl+xml",
    "link",
    "rel=license",
    "href=a",
]


@given(st.lists(st.sampled_from([*PARTS, *TAGS]), max_size=30).map("".join))
def test_any_text_is_read(text):
    found = page.read(text.encode("utf-8", "surrogatepass"))
    assert {name for name, _ in found.metas} <= page.METAS


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data):
    assert page.read(data).faults == ()


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "text", "<br/>", "<!-- c -->", "<b x='<'>", "&amp;", "<![if]>"]))
)
def test_well_formed_html_before_it_hides_no_meta(before):
    assert page.read("".join(before).encode() + META).metas == (("robots", "noai"),)
