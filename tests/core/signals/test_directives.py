import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Status
from registry.signals import directives, page

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "signals" / "directives.json").read_text("utf-8")
)
NAME = "X-Robots-Tag"


@pytest.mark.parametrize("case", VECTORS["headers"], ids=lambda case: case["name"])
def test_header_fields_are_read(case, check_reading):
    check_reading(directives.read_headers(tuple(map(tuple, case["headers"]))), case)


@pytest.mark.parametrize("case", VECTORS["pages"], ids=lambda case: case["name"])
def test_a_page_is_read(case, check_reading):
    check_reading(directives.read_page(page.read(case["html"].encode())), case)


@pytest.mark.parametrize(("size", "faults"), [(directives.LARGEST, 0), (directives.LARGEST + 1, 1)])
def test_lines_that_are_too_long_are_a_fault(size, faults):
    half = ("noai," * size)[: size // 2]
    reading = directives.read_headers([(NAME, half), (NAME, half + "x" * (size % 2))])
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert bool(reading.statements) is not bool(faults)


@pytest.mark.parametrize(
    "part", ["a", ",", ":", "a:", "a:a,", "noai ", "noai,", " ", "_", "max-snippet:", "noai: "]
)
def test_a_long_line_costs_little_time(part):
    began = time.process_time()
    line = (part * directives.LARGEST)[: directives.LARGEST - 4]
    for end in ("", "é:a", ",:a"):
        directives.read_headers([(NAME, line + end)])
    assert time.process_time() - began < 1


WORDS = [
    "noai",
    "NOML",
    "noindex",
    "all",
    "max-snippet: 5",
    "otherbot:",
    "*:",
    "caveat:",
    "15:00",
    " ",
    ",",
    ";",
]
LINES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@given(LINES)
def test_nothing_is_ever_permitted(line):
    for one in directives.read_headers([(NAME, line)]).statements:
        assert set(one.preferences.values()) == {Preference.RESERVED}


@given(LINES, LINES)
def test_another_line_takes_nothing_away(first, second):
    alone = directives.read_headers([(NAME, first)]).statements
    both = directives.read_headers([(NAME, first), (NAME, second)]).statements
    told = {(one.signal.quality != "hint", use) for one in both for use in one.preferences}
    assert {(one.signal.quality != "hint", use) for one in alone for use in one.preferences} <= told


@given(LINES)
def test_a_header_and_a_page_say_the_same(line):
    header = directives.read_headers([(NAME, line)])
    found = page.read(f'<meta name="robots" content="{line}">'.encode())
    assert [one.preferences for one in directives.read_page(found).statements] == [
        one.preferences for one in header.statements
    ]


@given(st.text(max_size=30))
def test_any_text_is_read(text):
    assert directives.read_headers([(NAME, text)]).faults == ()
