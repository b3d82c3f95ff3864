import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Preference, Status, Use
from registry.signals import tdm_ai
from registry.signals.observation import Origin
from registry.statement import Quality, Speaker

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "tdm_ai.json").read_text("utf-8"))


def read(text):
    data = text.encode() if isinstance(text, str) else text
    return tdm_ai.read(data, Origin(tdm_ai.PROTOCOL, tdm_ai.VERSION, "declaration", data, Speaker.SIGNED))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_a_declaration_is_read(case, check_reading):
    check_reading(read(case["declaration"]), case)


@pytest.mark.parametrize(("more", "faults"), [(0, 0), (1, 1)])
def test_a_declaration_that_is_too_large_is_a_fault(more, faults):
    text = '{"version":"1.0","all":"n"}'
    reading = read(text + " " * (tdm_ai.LARGEST - len(text) + more))
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert bool(reading.statements) is not bool(faults)


LABELS = ["all", "train-ai", "train-genai", "ai-use", "search"]
VALUES = st.sampled_from(["y", "n", "true", "false", True, False, "No", "maybe", 1, None])
DECLARED = st.dictionaries(st.sampled_from(LABELS), VALUES)


def values(**declaration):
    return {
        use: value
        for one in read(json.dumps(declaration)).statements
        for use, value in one.preferences.items()
    }


@given(DECLARED)
def test_a_permission_has_a_label_of_its_own_or_a_parent_in_training(declared):
    for one in read(json.dumps({"version": "1.0", **declared})).statements:
        allowed = {use for use, value in one.preferences.items() if value is Preference.ALLOWED}
        assert not allowed or one.signal.quality is Quality.EXACT
        for use, label in ((Use.AI_INPUT, "ai-use"), (Use.SEARCH, "search")):
            assert use not in allowed or declared[label] in ("y", "true", True)


@given(DECLARED)
def test_another_version_permits_nothing_and_loses_no_reservation(declared):
    known, other = values(version="1.0", **declared), values(version="1.1", **declared)
    assert Preference.ALLOWED not in other.values()
    for use, value in known.items():
        assert value is not Preference.RESERVED or other[use] is Preference.RESERVED


@given(DECLARED, st.sampled_from(LABELS))
def test_a_no_is_never_lost(declared, label):
    use = {"all": Use.TDM, "train-ai": Use.TRAIN, "train-genai": Use.GENAI_TRAIN, "ai-use": Use.AI_INPUT}
    assert values(**{**declared, label: "n"})[use.get(label, Use.SEARCH)] is Preference.RESERVED


@given(st.binary(max_size=60))
def test_any_bytes_are_a_declaration_or_a_fault(data):
    for begin in (b"", b"{", b'{"all":'):
        assert all(one.status is Status.MALFORMED for one in read(begin + data).faults)
