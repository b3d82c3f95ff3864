import json
import time
from pathlib import Path

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Scope, Status, Use
from registry.signals import aipref
from registry.signals.observation import Origin
from registry.statement import Quality, Speaker

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "aipref.json").read_text("utf-8"))
LABELS = [*aipref.CURRENT, *aipref.LEGACY]
ORIGIN = Origin("aipref", aipref.VERSION, "robots.txt", b"Content-Usage: train-ai=n", Speaker.HOST)


@pytest.mark.parametrize("case", VECTORS["values"], ids=lambda case: case["name"])
def test_a_value_is_read(case, check_reading):
    check_reading(aipref.read_value(case["value"], ORIGIN), case)


@pytest.mark.parametrize("case", VECTORS["headers"], ids=lambda case: case["name"])
def test_header_fields_are_read(case, check_reading):
    check_reading(aipref.read_headers(tuple(map(tuple, case["headers"]))), case)


def test_a_statement_says_whence_it_comes():
    (one,) = aipref.read_value("train-ai=n", ORIGIN, scope=Scope.PREFIX).statements
    assert one.scope is Scope.PREFIX
    assert one.match.kind == "aipref"
    assert one.match.certain
    assert (one.signal.carrier, one.signal.speaker) == ("robots.txt", Speaker.HOST)
    assert len(one.signal.raw_sha256) == 64


@pytest.mark.parametrize(("more", "faults"), [(0, 0), (1, 1)])
def test_a_value_that_is_too_long_is_a_fault(more, faults):
    end = "train-ai=n"
    value = "a," * ((aipref.LARGEST - len(end)) // 2) + end + "x" * more
    reading = aipref.read_value(value, ORIGIN)
    assert len(reading.faults) == faults
    assert bool(reading.statements) is not bool(faults)
    assert {one.status for one in reading.faults} <= {Status.MALFORMED}


@pytest.mark.parametrize(
    "part", ["train-ai", "train-ai ", "train-ai=", " ", ",", "ai\t", '"', "(", "a;", "=?0 ", "train-ai = "]
)
def test_a_long_value_costs_little_time(part):
    value = (part * aipref.LARGEST)[: aipref.LARGEST]
    began = time.process_time()
    aipref.read_value(value, ORIGIN)
    aipref.read_value("," + value, ORIGIN)
    assert time.process_time() - began < 1


WORDS = st.sampled_from(["y", "n", "no", "?0", "?1", '"n"', "(n)", "1", "N", "yes"])
MEMBERS = st.lists(st.tuples(st.sampled_from([*LABELS, "x-other"]), WORDS), max_size=6)


def written(members):
    return ", ".join(f"{label}={word}" for label, word in members)


@given(st.lists(st.sampled_from([*'yn=,; \t?0"(ATé\ud800', *LABELS]), max_size=12).map("".join))
def test_any_text_is_read_and_a_permission_wants_a_clean_value(text):
    reading = aipref.read_value(text, ORIGIN)
    assert reading.faults == ()
    allowed = [one for one in reading.statements if Preference.ALLOWED in one.preferences.values()]
    assert all(one.signal.quality is Quality.EXACT for one in allowed)
    if allowed:
        http_sf.parse(text.strip(" \t").encode(), tltype="dictionary")


@given(MEMBERS)
def test_an_n_is_never_lost(members):
    last = dict(members)
    reading = aipref.read_value(written(members), ORIGIN)
    for label, (use, *_) in aipref.CURRENT.items():
        said = {one.preferences.get(use) for one in reading.statements}
        assert (Preference.RESERVED in said) or last.get(label) != "n"


@given(MEMBERS)
def test_breaking_the_syntax_loses_no_reservation_and_permits_nothing(members):
    clean = aipref.read_value(written(members), ORIGIN)
    broken = aipref.read_value(written(members) + ",", ORIGIN)
    if not members:
        return
    reserved = [
        {use for one in reading.statements for use in Use if one.preferences.get(use) is Preference.RESERVED}
        for reading in (clean, broken)
    ]
    assert reserved[0] <= reserved[1]
    assert not any(Preference.ALLOWED in one.preferences.values() for one in broken.statements)


@given(st.lists(MEMBERS, max_size=3))
def test_several_lines_are_read_like_one(lines):
    headers = [("Content-Usage", written(line)) for line in lines]
    joined = ", ".join(value for _, value in headers if value)
    apart, together = aipref.read_headers(headers), aipref.read_headers([("content-usage", joined)])
    assert apart == together
