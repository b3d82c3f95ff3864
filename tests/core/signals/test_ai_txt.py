import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Scope
from registry.signals import SiteFile
from registry.signals.ai_txt import LARGEST, USES, VERSION, read

VECTORS = Path(__file__).parents[2] / "vectors" / "signals" / "ai_txt.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
HOME = "https://a.example/ai.txt"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case, check_reading):
    data = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()
    site_file = SiteFile(case.get("site", HOME), case.get("status", 200), data)
    check_reading(read(site_file, case["url"]), case)


def test_what_is_told_of_a_statement():
    data = b"User-Agent: *\nDisallow: *.png\n"
    (one,) = read(SiteFile(HOME, 200, data), "https://a.example/a.png").statements
    signal = one.signal
    assert (signal.version, signal.carrier, signal.speaker) == (VERSION, "ai.txt", "host")
    assert (signal.said, one.scope) == ("Disallow: *.png", Scope.PREFIX)
    assert set(one.preferences) == set(USES)


def test_a_file_too_large_is_a_fault_by_name():
    data = b"User-Agent: *\nAllow: *.png\n" + b"#" * LARGEST
    reading = read(SiteFile(HOME, 200, data), "https://a.example/a.png")
    assert reading.statements == ()
    assert f"at most {LARGEST} are taken" in reading.faults[0].message


def test_a_hostile_file_is_read_in_time(timed):
    data = b"User-agent: x\n" + b"".join(
        b"User-agent: b%d\nDisallow: *.x%d\n" % (n, n) for n in range(14_000)
    )
    with timed(4):
        read(SiteFile(HOME, 200, data), "https://a.example/" + "a" * 8000)


LINES = st.one_of(
    st.sampled_from(["*", "GPTBot", "caveat"]).map("User-agent: {}".format),
    st.sampled_from(["/", "*", "*.png", "*.jpg", "/img/", "*.PNG"]).map("Disallow: {}".format),
    st.sampled_from(["/", "*", "*.png", "*.jpg", "/img/"]).map("Allow: {}".format),
)


def preference(lines, url="https://a.example/img/a.png"):
    reading = read(SiteFile(HOME, 200, "\n".join(lines).encode()), url)
    return {value for one in reading.statements for value in one.preferences.values()}


@given(st.lists(LINES, max_size=8))
def test_a_last_word_that_reserves_this_kind_of_file_holds(lines):
    closed = [*lines, "Disallow: /none/", "User-agent: *", "Disallow: *.png"]
    assert preference(closed) == {Preference.RESERVED}


@given(st.lists(LINES, max_size=8))
def test_without_a_name_nothing_is_said(lines):
    assert preference([line for line in lines if not line.startswith("User")]) == set()


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data):
    for one in read(SiteFile(HOME, 200, b"User-agent: *\n" + data), "https://a.example/a").statements:
        json.dumps(one.to_wire()).encode()
