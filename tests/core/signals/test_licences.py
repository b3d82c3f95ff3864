import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Status, Use
from registry.signals import licences
from registry.signals.observation import Origin
from registry.statement import Quality, Speaker

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "licences.json").read_text("utf-8"))


def read(text):
    raw = text.encode("utf-8", "replace")
    origin = Origin(licences.PROTOCOL, licences.VERSION, "xmp", raw, Speaker.EMBEDDED)
    return licences.read_licence(text, origin)


@pytest.mark.parametrize("case", VECTORS["licences"], ids=lambda case: case["name"])
def test_a_licence_is_read(case, check_reading):
    check_reading(read(case["text"]), case)


@pytest.mark.parametrize("case", VECTORS["sentences"], ids=lambda case: case["name"])
def test_a_sentence_refuses_or_does_not(case):
    reading = read(case["text"])
    assert reading.faults == ()
    if not case["refuses"]:
        assert reading.statements == ()
        return
    (one,) = reading.statements
    assert one.signal.quality is Quality.NATURAL_LANGUAGE
    assert not one.match.certain
    assert set(one.preferences) == {Use.TRAIN, Use.GENAI_TRAIN, Use.AI_INPUT, Use.AI_INDEX}
    assert set(one.preferences.values()) == {Preference.RESERVED}


@pytest.mark.parametrize("end", [". Thank you.", "\n\nThank you", "; Ada", "! :)"])
def test_the_sentence_is_kept_without_those_around_it(end):
    (one,) = read("Hello there. No AI\n  training" + end).statements
    assert one.signal.said == "No AI training"


@pytest.mark.parametrize(("more", "faults"), [(0, 0), (1, 1)])
def test_a_text_that_is_too_long_is_a_fault(more, faults):
    reading = read("no ai training ".ljust(licences.LARGEST + more, "x"))
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert bool(reading.statements) is not bool(faults)


WORDS = ["no ", "not a b ", "train ", "ai train ", "cc ", "creative commons ", "no ai ", "data-", "https://"]
PIECES = [
    "a-",
    "cc-by-",
    "cc",
    "rail-",
    ".",
    "\n",
    "\n ",
    "? ",
    "a.i.",
    "a",
    " ",
    "https://creativecommons.org/l",
]


@pytest.mark.parametrize("part", WORDS + PIECES)
def test_a_long_text_costs_little_time(part):
    began = time.process_time()
    size = licences.LARGEST // 4
    read((part * size)[: size - 1] + "é")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        ([f"https://creativecommons.org/licenses/by/{at}.0/" for at in range(licences.MAX_TEXTS)], 0),
        ([f"https://creativecommons.org/licenses/by/{at}.0/" for at in range(licences.MAX_TEXTS + 1)], 1),
        (["cc-by"] * (licences.MAX_TEXTS + 1), 0),
        (["a" * (licences.LARGEST - 5), "cc-by"], 0),
        (["a" * (licences.LARGEST - 4), "cc-by"], 1),
    ],
    ids=["many", "too many", "many that are equal", "long", "too long together"],
)
def test_the_texts_of_a_carrier_are_bounded_together(texts, faults):
    reading = licences.read_licences(texts, Origin("licence", "1", "xmp", b""))
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert bool(reading.statements) is not bool(faults)


TEXTS = st.sampled_from([case["text"] for case in VECTORS["licences"] + VECTORS["sentences"]])


@given(TEXTS, st.sampled_from(["My terms: {} Thanks.", "({})", "{}\n\nAda"]))
def test_in_a_longer_text_nothing_permits_and_a_refusal_is_kept(text, around):
    longer = read(around.format(text)).statements
    assert all(one.signal.quality is not Quality.EXACT for one in longer)
    refused = [one for one in read(text).statements if one.signal.quality is Quality.NATURAL_LANGUAGE]
    assert not refused or any(one.signal.quality is Quality.NATURAL_LANGUAGE for one in longer)


@given(st.text(max_size=80))
def test_any_text_is_read(text):
    reading = read(text)
    assert reading.faults == ()
    for one in reading.statements:
        assert Preference.ALLOWED not in one.preferences.values() or one.terms == ""
