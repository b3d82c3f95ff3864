import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import RegistryAnswerError
from registry.preference import Preference, Scope, State, Use
from registry.statement import Match, Quality, Signal, Speaker, Statement
from tests.core.matches import RECORD_MATCHES

WIRE = {
    "preferences": {"genai-train": "reserved", "search": "allowed"},
    "scope": "host",
    "evidence_level": 4,
    "state": "verified",
    "seq": 17,
    "at": "2026-11-01T00:00:00Z",
    "match": {"kind": "pdq", "certain": True, "distance": 12, "window": "middle", "form": "mirror"},
    "record": "r1",
    "label": "Ada",
    "title": "Sunflower",
    "terms": "https://example.org/terms",
    "contact": "ada@example.org",
}
SIGNAL = {
    "protocol": "iptc",
    "version": "2025.1",
    "carrier": "xmp",
    "speaker": "embedded",
    "quality": "exact",
    "said": "DMI-PROHIBITED",
    "raw_sha256": "0f" * 32,
}
SIGNALLED = {**WIRE, "match": {"kind": "iptc", "certain": True}, "signal": SIGNAL}


def test_the_wire_form_is_read_and_written_alike():
    statement = Statement.from_wire(WIRE, registry="https://r.example")
    assert statement.to_wire() == WIRE
    assert statement.match == Match("pdq", True, 12, "middle", "mirror")
    assert (statement.scope, statement.state, statement.registry) == (
        Scope.HOST,
        State.VERIFIED,
        "https://r.example",
    )


def test_without_detail_nothing_names_the_record_the_person_or_the_distance():
    wire = Statement.from_wire(WIRE).to_wire(detail=False)
    assert set(wire) == {"preferences", "scope", "evidence_level", "state", "seq", "at", "match"}
    assert wire["match"] == {"kind": "pdq", "certain": True}


def test_a_signal_is_read_and_written_alike():
    statement = Statement.from_wire(SIGNALLED)
    assert statement.to_wire() == SIGNALLED
    assert statement.signal == Signal(
        "iptc", "2025.1", "xmp", Speaker.EMBEDDED, Quality.EXACT, "DMI-PROHIBITED", "0f" * 32
    )
    assert statement.to_wire(detail=False)["signal"] == SIGNAL


@pytest.mark.parametrize("missing", list(SIGNAL))
def test_a_signal_with_a_member_missing_is_an_error(missing):
    signal = {key: value for key, value in SIGNAL.items() if key != missing}
    with pytest.raises(RegistryAnswerError, match="cannot be read"):
        Statement.from_wire({**SIGNALLED, "signal": signal})


@pytest.mark.parametrize(
    "change",
    [
        {"signal": "iptc"},
        {"signal": {**SIGNAL, "speaker": "artist"}},
        {"signal": {**SIGNAL, "quality": "good"}},
        {"signal": {**SIGNAL, "said": 5}},
        {"signal": {**SIGNAL, "protocol": ""}, "match": {"kind": "", "certain": True}},
        {"signal": {**SIGNAL, "protocol": ["iptc"]}},
        {"match": {"kind": "url", "certain": True}},
        {"signal": None},
    ],
    ids=str,
)
def test_a_signal_outside_the_vocabulary_or_of_another_match_is_an_error(change):
    with pytest.raises(RegistryAnswerError, match="cannot be read"):
        Statement.from_wire({**SIGNALLED, **change})


def test_unknown_keys_are_ignored():
    assert Statement.from_wire({**WIRE, "new": 1}) == Statement.from_wire(WIRE)


@pytest.mark.parametrize("missing", ["preferences", "scope", "evidence_level", "state", "seq", "match"])
def test_a_statement_with_a_member_missing_is_an_error_and_not_silence(missing):
    with pytest.raises(RegistryAnswerError, match="cannot be read"):
        Statement.from_wire({key: value for key, value in WIRE.items() if key != missing})


@pytest.mark.parametrize(
    "change",
    [
        {"preferences": {"genai-train": "Reserved"}},
        {"preferences": {"painting": "reserved"}},
        {"preferences": {"tdm": None}},
        {"preferences": ["tdm"]},
        {"preferences": None},
        {"scope": "planet"},
        {"scope": 0},
        {"state": "asleep"},
        {"evidence_level": None},
        {"evidence_level": "high"},
        {"evidence_level": "+5"},
        {"evidence_level": "4"},
        {"evidence_level": True},
        {"evidence_level": 2.0},
        {"evidence_level": float("inf")},
        {"evidence_level": -1},
        {"evidence_level": 5},
        {"seq": float("nan")},
        {"seq": "17"},
        {"seq": -1},
        {"seq": 2**53},
        {"label": None},
        {"label": "\ud800"},
        {"at": 5},
        {"match": None},
        {"match": {"kind": "url"}},
        {"match": {"certain": True}},
        {"match": {"kind": "url", "certain": 1}},
        {"match": {"kind": "url", "certain": "true"}},
        {"match": {"kind": "pdq", "certain": True, "distance": "3"}},
        {"match": {"kind": "pdq", "certain": True, "distance": True}},
        {"match": {"kind": "pdq", "certain": True, "distance": 257}},
    ],
    ids=str,
)
def test_a_value_outside_the_vocabulary_is_an_error_and_not_silence(change):
    with pytest.raises(RegistryAnswerError, match="cannot be read"):
        Statement.from_wire({**WIRE, **change})


@pytest.mark.parametrize("wire", [None, 5, True, "reserved", [], ["preferences"]], ids=repr)
def test_what_is_no_object_is_an_error_and_not_silence(wire):
    with pytest.raises(RegistryAnswerError, match="cannot be read"):
        Statement.from_wire(wire)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "WORK"},
        {"preferences": {}},
        {"match": {"kind": "nonsense", "certain": True}},
    ],
    ids=str,
)
def test_a_statement_outside_the_vocabulary_is_refused(wrong):
    with pytest.raises(RegistryAnswerError):
        Statement.from_wire({**WIRE, **wrong})


SIGNALS = st.builds(
    Signal,
    protocol=st.sampled_from(["iptc", "robots", "another"]),
    version=st.text(max_size=3),
    carrier=st.sampled_from(["xmp", "robots.txt", "another"]),
    speaker=st.sampled_from(Speaker),
    quality=st.sampled_from(Quality),
    said=st.text(max_size=5),
    raw_sha256=st.just("0f" * 32),
)


@st.composite
def statements(draw):
    signal = draw(st.none() | SIGNALS)
    return Statement(
        preferences=draw(st.dictionaries(st.sampled_from(Use), st.sampled_from(Preference), min_size=1)),
        match=draw(RECORD_MATCHES) if signal is None else Match(signal.protocol, draw(st.booleans())),
        scope=draw(st.sampled_from(Scope)),
        evidence_level=draw(st.integers(0, 4)),
        state=draw(st.sampled_from(State)),
        seq=draw(st.integers(0, 2**53 - 1)),
        label=draw(st.text(max_size=3)),
        title=draw(st.text(max_size=3)),
        terms=draw(st.text(max_size=3)),
        principal=draw(st.sampled_from(["", "ada"])),
        signal=signal,
    )


@given(statements())
def test_every_statement_survives_the_wire_but_for_its_principal(statement):
    wire = json.loads(json.dumps(statement.to_wire()))
    assert Statement.from_wire(wire) == replace(statement, principal="")
