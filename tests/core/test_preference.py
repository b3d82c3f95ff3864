import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.decision import decide, effective
from registry.errors import RegistryAnswerError
from registry.preference import ALLOWING_LEVEL, Action, Mode, Preference, Scope, State, Use
from registry.statement import Match, Statement

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "decide.json").read_text("utf-8"))
USE = Use.GENAI_TRAIN
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


def read(given_by_case):
    wire = {**VECTORS["defaults"], **given_by_case}
    return replace(Statement.from_wire(wire), principal=wire["principal"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_what_was_said_leads_to_the_decision(case):
    statements = [read(one) for one in case["statements"]]
    for mode, action in zip(VECTORS["modes"], case["actions"], strict=True):
        decision = decide(statements, Use(VECTORS["use"]), Mode(mode))
        assert (decision.preference, decision.action) == (case["preference"], action)
        assert decision.statements == tuple(statements[at] for at in case["deciding"])
        assert decision.matched_by == (decision.statements[0].match.kind if case["deciding"] else None)
        assert decision.state == (State.ASSERTED if case["deciding"] else None)


def test_the_default_mode_is_eu_art4():
    assert decide([], USE).mode is Mode.EU_ART4


def test_preferences_are_ordered_by_restriction():
    ordered = sorted(Preference, key=lambda one: one.restriction, reverse=True)
    assert ordered == ["reserved", "conditional", "allowed", "unknown"]
    assert [one.restriction for one in ordered] == [3, 2, 1, 0]
    assert ALLOWING_LEVEL == 3


@pytest.mark.parametrize(
    ("match", "label", "said", "mode", "reason"),
    [
        (None, "", "", "eu-art4", "Nobody has said anything about tdm."),
        (None, "", "", "strict", "Nobody has said anything about tdm; strict mode leaves it out."),
        (
            Match("url"),
            "Ada",
            "reserved",
            "eu-art4",
            "Reserved for tdm by “Ada”: the registered address.",
        ),
        (
            Match("sha256"),
            "",
            "conditional",
            "eu-art4",
            "Conditional for tdm: the registered file, byte for byte; no proof that its condition is met.",
        ),
        (
            Match("pdq", True, 12, "full", "trim_mirror"),
            "Ada",
            "reserved",
            "research-art3",
            "Reserved for tdm by “Ada”: looks like the registered work, mirrored, "
            "12 of 256 bits apart; research mode records it and keeps the work.",
        ),
        (
            Match("phash", False, 3, "full", "full"),
            "Ada",
            "reserved",
            "strict",
            "Reserved for tdm by “Ada”: may be a copy of the registered work, 3 of 64 bits apart; "
            "a person should look; strict mode leaves it out.",
        ),
    ],
    ids=["silence", "silence, strict", "address", "file", "mirrored copy", "doubtful copy"],
)
def test_a_decision_says_its_reason_in_a_sentence(match, label, said, mode, reason):
    said_by = [Statement({Use.TDM: Preference(said)}, match, label=label)] if match else []
    assert decide(said_by, Use.TDM, Mode(mode)).reason == reason


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


MATCHES = st.one_of(
    st.builds(Match, st.sampled_from(["url", "prefix", "host", "domain", "sha256"])),
    st.builds(
        Match,
        st.sampled_from(["pdq", "phash"]),
        st.booleans(),
        st.integers(0, 64),
        st.sampled_from(["full", "trim"]),
        st.sampled_from(["full", "mirror"]),
    ),
)
SAID = st.builds(
    Statement,
    preferences=st.dictionaries(st.sampled_from([USE, Use.TDM]), st.sampled_from(Preference), min_size=1),
    match=MATCHES,
    scope=st.sampled_from(Scope),
    evidence_level=st.integers(0, 4),
    state=st.sampled_from(State),
    seq=st.integers(0, 2**53 - 2),
    label=st.text(max_size=3),
    title=st.text(max_size=3),
    principal=st.sampled_from(["", "ada", "ben"]),
)
# One event of the registry makes one statement, so two never share a sequence number.
STATEMENTS = st.lists(SAID, max_size=6, unique_by=lambda statement: statement.seq)
MODES = st.sampled_from(Mode)
SEVERITY = {Action.KEEP: 0, Action.REVIEW: 1, Action.REMOVE: 2}


@given(SAID)
def test_every_statement_survives_the_wire_but_for_its_principal(statement):
    wire = json.loads(json.dumps(statement.to_wire()))
    assert Statement.from_wire(wire) == replace(statement, principal="")


@given(STATEMENTS)
def test_what_counts_still_counts_when_it_is_asked_again_without_names(statements):
    counted = effective(statements, USE)
    assert effective(counted, USE) == counted
    unnamed = [replace(one, principal="") for one in counted]
    assert effective(unnamed, USE) == unnamed
    assert all(one in statements for one in counted)


@given(STATEMENTS, MODES)
def test_the_registrys_selection_decides_as_all_statements_do(statements, mode):
    everything, selected = decide(statements, USE, mode), decide(effective(statements, USE), USE, mode)
    assert everything == selected


@given(STATEMENTS, MODES, st.integers(1, 5))
def test_a_list_cut_at_its_end_leads_to_no_milder_action(statements, mode, kept):
    cut = decide(effective(statements, USE)[:kept], USE, mode)
    assert SEVERITY[cut.action] >= SEVERITY[decide(statements, USE, mode).action]


@given(STATEMENTS, MODES)
def test_the_order_of_statements_does_not_matter(statements, mode):
    outcomes = {
        (d.preference, d.action) for d in (decide(s, USE, mode) for s in (statements, statements[::-1]))
    }
    assert len(outcomes) == 1


@given(STATEMENTS, SAID, MODES)
def test_one_more_certain_reservation_never_makes_it_less_restrictive(statements, more, mode):
    certain = replace(more.match, certain=True)
    said = {USE: Preference.RESERVED}
    more = replace(more, preferences=said, match=certain, seq=2**53 - 1, state=State.ASSERTED)
    before, after = decide(statements, USE, mode), decide([*statements, more], USE, mode)
    assert after.preference.restriction >= before.preference.restriction
    assert SEVERITY[after.action] >= SEVERITY[before.action]


@given(STATEMENTS, SAID, MODES)
def test_a_reservation_by_somebody_else_always_reserves(statements, more, mode):
    certain = replace(more.match, certain=True)
    said = {USE: Preference.RESERVED}
    more = replace(more, preferences=said, match=certain, principal="cy", state=State.ASSERTED)
    decision = decide([*statements, more], USE, mode)
    assert decision.preference is Preference.RESERVED
    assert decision.action is (Action.KEEP if mode is Mode.RESEARCH_ART3 else Action.REMOVE)


@given(STATEMENTS)
def test_strict_removes_at_least_what_eu_art4_does_and_research_removes_nothing(statements):
    eu, strict, research = (decide(statements, USE, mode) for mode in Mode)
    assert SEVERITY[strict.action] >= SEVERITY[eu.action]
    assert research.action is Action.KEEP
    assert eu.preference is strict.preference is research.preference
    assert eu.statements == strict.statements == research.statements


@given(STATEMENTS, MODES)
def test_allowed_comes_only_from_evidence(statements, mode):
    decision = decide(statements, USE, mode)
    if decision.preference is Preference.ALLOWED:
        assert any(
            one.preferences.get(USE) is Preference.ALLOWED and one.evidence_level >= 3 and one.match.certain
            for one in statements
        )


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(Preference, 2)))
def test_between_two_attested_principals_the_most_restrictive_wins(first, second):
    said = [
        Statement({USE: one}, Match("url"), evidence_level=4, principal=who, seq=seq)
        for seq, (one, who) in enumerate([(first, "ada"), (second, "ben")])
    ]
    assert decide(said, USE).preference is max(first, second, key=lambda one: one.restriction)


SPOKEN = Statement({USE: Preference.RESERVED}, Match("domain"), Scope.DOMAIN, 4, seq=1, principal="p")


@pytest.mark.parametrize("word", [Preference.ALLOWED, Preference.UNKNOWN])
def test_a_weaker_key_never_opens_what_a_stronger_one_closed(word):
    weaker = replace(
        SPOKEN, preferences={USE: word}, match=Match("url"), scope=Scope.WORK, evidence_level=1, seq=2
    )
    assert decide([SPOKEN, weaker], USE).preference is Preference.RESERVED


def test_of_two_words_in_one_event_the_more_restrictive_stands_in_any_order():
    allowed = replace(SPOKEN, preferences={USE: Preference.ALLOWED})
    for said in ([SPOKEN, allowed], [allowed, SPOKEN]):
        assert decide(said, USE).preference is Preference.RESERVED


def test_what_was_withdrawn_says_nothing():
    assert decide([replace(SPOKEN, state=State.WITHDRAWN)], USE).preference is Preference.UNKNOWN


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "WORK"},
        {"preferences": {}},
        {"match": {"kind": "nonsense", "certain": True}},
        {"label": None},
    ],
    ids=str,
)
def test_a_statement_outside_the_vocabulary_is_refused(wrong):
    with pytest.raises(RegistryAnswerError):
        Statement.from_wire({**SPOKEN.to_wire(), **wrong})
