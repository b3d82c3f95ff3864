import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Use
from registry.signals import Origin
from registry.signals.content_signal import LARGEST, PROTOCOL, VERSION, read_headers, read_value
from registry.statement import Speaker

VECTORS = Path(__file__).parents[2] / "vectors" / "signals" / "content_signal.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
ORIGIN = Origin(PROTOCOL, VERSION, "robots.txt", b"", Speaker.HOST)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case, check_reading):
    check_reading(read_value(case["value"], ORIGIN), case)


def test_a_value_too_long_is_a_fault():
    reading = read_value("ai-train=no," * (LARGEST // 12 + 1), ORIGIN)
    assert reading.statements == ()
    assert [fault.status for fault in reading.faults] == ["malformed"]


@pytest.mark.parametrize(
    "value", ["=" * LARGEST, "a " * (LARGEST // 2), ",;" * (LARGEST // 2), "a" * LARGEST]
)
def test_hostile_values_are_read_in_time(value, timed):
    with timed(1):
        read_value(value, ORIGIN)


MEMBERS = st.tuples(
    st.sampled_from(["ai-train", "ai-input", "search", "other"]), st.sampled_from(["yes", "no", "odd", ""])
)


def found(value: str) -> dict[Use, list[Preference]]:
    kept: dict[Use, list[Preference]] = {}
    for one in read_value(value, ORIGIN).statements:
        for use, preference in one.preferences.items():
            kept.setdefault(use, []).append(preference)
    return kept


@given(st.lists(MEMBERS, max_size=6), st.sampled_from([", ", ",", " ", ";", "; "]))
def test_a_no_is_never_lost(members, between):
    value = between.join(f"{key}={word}" for key, word in members)
    if any(key == "ai-train" and word == "no" for key, word in members):
        assert Preference.RESERVED in found(value)[Use.GENAI_TRAIN]


@given(st.text(max_size=60))
def test_a_no_beside_anything_never_permits_training(text):
    assert Preference.ALLOWED not in found(f"{text}, ai-train=no").get(Use.GENAI_TRAIN, [])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("content-signal", "ai-train=no, search=yes")], {Use.TRAIN, Use.GENAI_TRAIN}),
        ([("Content-Signal", "search=yes"), ("Content-Signal", "ai-input=no")], {Use.AI_INPUT, Use.AI_INDEX}),
        ([("Content-Signal", "ai-train=yes, search=yes, ai-input=yes")], set()),
        ([("Content-Usage", "ai-train=no")], set()),
        ([], set()),
    ],
    ids=["a no", "two lines", "what a network says by default permits nothing", "another field", "none"],
)
def test_a_header_field_restricts_and_permits_nothing(headers, expected):
    said = {use: value for one in read_headers(headers).statements for use, value in one.preferences.items()}
    assert said == dict.fromkeys(expected, Preference.RESERVED)
