"""What follows from statements: the table of vectors, then laws that hold for any statements."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.decision import decide, effective
from registry.preference import Action, Mode, Preference, Scope, State, Use
from registry.statement import Match, Quality, Signal, Speaker, Statement
from tests.core.matches import RECORD_MATCHES

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "decisions.json").read_text("utf-8"))
USE = Use.GENAI_TRAIN
TERMS = "https://ada.example/licence"
SEVERITY = {Action.KEEP: 0, Action.REVIEW: 1, Action.REMOVE: 2}
RESTRICTING = (Preference.RESERVED, Preference.CONDITIONAL)


def read(given_by_case):
    wire = {**VECTORS["defaults"], **given_by_case}
    return replace(Statement.from_wire(wire), principal=wire["principal"])


CASES = [(case, mode) for case in VECTORS["cases"] for mode in case["expect"]]


@pytest.mark.parametrize(
    ("case", "mode"), CASES, ids=[f"{case['row']}: {case['name']} [{mode}]" for case, mode in CASES]
)
def test_what_was_said_leads_to_the_decision(case, mode):
    expect = case["expect"][mode]
    said = [read(one) for one in case["statements"]]
    decision = decide(said, Use(case["use"]), Mode(mode), frozenset(case["met"]))
    assert (decision.preference, decision.action) == (expect["preference"], expect["action"])
    assert decision.statements == tuple(said[at] for at in expect["deciding"])
    assert decision.reason == expect["sentence"]
    first = decision.statements[0] if decision.statements else None
    assert decision.matched_by == (first.match.kind if first else None)
    assert decision.disputed == case["disputed"]
    assert decision.state == (State.DISPUTED if case["disputed"] else first and first.state)


def test_the_vectors_have_a_case_for_every_rule_in_every_mode():
    assert {case["row"] for case in VECTORS["cases"]} == {2, 3, 4, 5, 6, 7, 9}
    assert all(case["expect"].keys() == set(Mode) for case in VECTORS["cases"])


def test_the_default_mode_is_eu_art4():
    assert decide([], USE).mode is Mode.EU_ART4


def told(protocol, carrier, said, quality=Quality.EXACT, uses=(USE,), preference=Preference.RESERVED):
    signal = Signal(protocol, "1", carrier, Speaker.HOST, quality, said, "0" * 64)
    certain = quality is not Quality.NATURAL_LANGUAGE
    return Statement(dict.fromkeys(uses, preference), Match(protocol, certain), signal=signal)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            told("iptc", "xmp", "DMI-PROHIBITED"),
            "Reserved for genai-train: the picture’s own metadata says so "
            "(IPTC Data Mining, DMI-PROHIBITED).",
        ),
        (
            told("robots", "robots.txt", "GPTBot", Quality.INFERRED),
            "Reserved for genai-train: the site’s robots.txt keeps AI training bots out.",
        ),
        (
            told("robots", "robots.txt", "*", Quality.INFERRED, tuple(Use)),
            "Reserved for genai-train: the site’s robots.txt keeps every bot out.",
        ),
        (
            told(
                "robots",
                "robots.txt",
                "crawl_disallowed: robots.txt gave no answer (status 503)",
                Quality.INFERRED,
                tuple(Use),
            ),
            "Reserved for genai-train: the site’s robots.txt gave no answer, "
            "which counts as keeping every bot out.",
        ),
        (
            told("a protocol", "a carrier", ""),
            "Reserved for genai-train: its a carrier says so (a protocol).",
        ),
        (
            told("iptc", "xmp", "no\x1b[31m\r\nbots\u202e" + "!" * 200),
            "Reserved for genai-train: the picture’s own metadata says so "
            f"(IPTC Data Mining, no [31m bots {'!' * 107}…).",
        ),
        (
            Statement({USE: Preference.RESERVED}, Match("url"), label="Ada\n\x1b[2J"),
            "Reserved for genai-train by “Ada [2J”: the registered address.",
        ),
    ],
    ids=[
        "metadata",
        "training bots",
        "every bot",
        "no answer",
        "what nobody knows",
        "hostile words",
        "hostile label",
    ],
)
def test_a_person_understands_the_sentence(statement, reason):
    assert decide([statement], USE).reason == reason


PREFERENCES = st.dictionaries(st.sampled_from([USE, Use.TDM]), st.sampled_from(Preference), min_size=1)
TERMS_OR_NOT = st.sampled_from(["", TERMS, "https://ben.example/licence"])
RECORDS = st.builds(
    Statement,
    preferences=PREFERENCES,
    match=RECORD_MATCHES,
    scope=st.sampled_from(Scope),
    evidence_level=st.integers(0, 4),
    state=st.sampled_from(State),
    seq=st.integers(0, 2**53 - 2),
    label=st.text(max_size=3),
    terms=TERMS_OR_NOT,
    principal=st.sampled_from(["", "ada", "ben"]),
)


@st.composite
def signalled(draw):
    protocol, carrier = draw(
        st.sampled_from([("iptc", "xmp"), ("robots", "robots.txt"), ("new", "elsewhere")])
    )
    quality = draw(st.sampled_from(Quality))
    signal = Signal(
        protocol, "1", carrier, draw(st.sampled_from(Speaker)), quality, draw(st.text(max_size=4)), "0" * 64
    )
    match = Match(protocol, certain=quality is not Quality.NATURAL_LANGUAGE)
    # A signal has no number in the registry, so it cannot share one with a record.
    return Statement(
        draw(PREFERENCES), match, draw(st.sampled_from(Scope)), terms=draw(TERMS_OR_NOT), signal=signal
    )


# One event of the registry makes one statement, so two records never share a sequence number.
SAID = st.builds(
    lambda records, signals: [*records, *signals],
    st.lists(RECORDS, max_size=5, unique_by=lambda statement: statement.seq),
    st.lists(signalled(), max_size=4),
).flatmap(st.permutations)
MODES = st.sampled_from(Mode)
MET = st.sampled_from([frozenset(), frozenset({TERMS}), frozenset({TERMS, ""})])


def is_hint(statement):
    return statement.signal is not None and statement.signal.quality is Quality.HINT


@given(SAID)
def test_what_counts_still_counts_when_it_is_asked_again_without_names(said):
    counted = effective(said, USE)
    assert effective(counted, USE) == counted
    unnamed = [replace(one, principal="") for one in counted]
    assert effective(unnamed, USE) == unnamed
    assert all(one in said for one in counted)


@given(SAID, MODES, MET)
def test_the_registrys_selection_decides_as_all_statements_do(said, mode, met):
    everything, selected = decide(said, USE, mode, met), decide(effective(said, USE), USE, mode, met)
    # What does not count is not sent, so it can only be missing from the sentence about silence.
    assert replace(everything, reason="") == replace(selected, reason="")
    assert everything.reason == selected.reason or not everything.statements


@given(SAID, MODES, st.integers(1, 5))
def test_a_list_cut_at_its_end_leads_to_no_milder_action(said, mode, kept):
    cut = decide(effective(said, USE)[:kept], USE, mode)
    assert SEVERITY[cut.action] >= SEVERITY[decide(said, USE, mode).action]


@given(SAID, MODES, MET, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(said, mode, met, random):
    shuffled = [*said, *said[:2]]
    random.shuffle(shuffled)
    one, other = decide(said, USE, mode, met), decide(shuffled, USE, mode, met)
    assert (one.preference, one.action, one.disputed) == (other.preference, other.action, other.disputed)
    assert set(map(repr, one.statements)) == set(map(repr, other.statements))


@given(SAID, RECORDS, signalled(), MODES, MET)
def test_one_more_restriction_never_makes_it_milder(said, record, signal, mode, met):
    restricting = [
        replace(record, seq=2**53 - 1, state=State.ASSERTED, terms=""),
        replace(signal, terms=""),
    ]
    before = decide(said, USE, mode, met)
    for more, word in itertools.product(restricting, RESTRICTING):
        preferences = {USE: word}
        if more.principal and word is Preference.CONDITIONAL:
            continue  # One's own reservation may give way to one's own condition: that is rule 1.
        after = decide([*said, replace(more, preferences=preferences)], USE, mode, met)
        assert after.preference.restriction >= before.preference.restriction
        assert SEVERITY[after.action] >= SEVERITY[before.action]


@given(SAID, RECORDS, MODES)
def test_a_reservation_by_somebody_else_always_reserves(said, more, mode):
    certain = replace(more.match, certain=True)
    preferences = {USE: Preference.RESERVED}
    more = replace(more, preferences=preferences, match=certain, principal="cy", state=State.ASSERTED)
    decision = decide([*said, more], USE, mode)
    assert decision.preference is Preference.RESERVED
    assert decision.action is (Action.KEEP if mode is Mode.RESEARCH_ART3 else Action.REMOVE)


@given(SAID, signalled(), MODES)
def test_a_signal_that_reserves_for_certain_always_reserves(said, more, mode):
    if is_hint(more) or not more.match.certain:
        return
    decision = decide([*said, replace(more, preferences={USE: Preference.RESERVED})], USE, mode)
    assert decision.preference is Preference.RESERVED


@given(SAID, signalled(), MODES)
def test_one_more_permission_never_makes_it_stricter(said, more, mode):
    permitting = replace(more, preferences={USE: Preference.ALLOWED})
    before, after = decide(said, USE, mode), decide([*said, permitting], USE, mode)
    assert SEVERITY[after.action] <= SEVERITY[before.action]
    assert after.preference in (before.preference, Preference.ALLOWED)
    if before.preference is not Preference.UNKNOWN:
        assert after.preference is before.preference


@given(SAID, SAID, MODES)
def test_together_is_at_least_as_restrictive_as_apart(some, others, mode):
    # Without names: only one's own words lift one's own.
    some, others = ([replace(one, principal="") for one in part] for part in (some, others))
    together = decide([*some, *others], USE, mode).preference
    apart = [decide(part, USE, mode).preference for part in (some, others)]
    assert together.restriction >= max(one.restriction for one in apart)


@given(SAID, MODES, MET)
def test_meeting_a_condition_never_makes_it_stricter_and_opens_no_reservation(said, mode, met):
    before, after = decide(said, USE, mode), decide(said, USE, mode, met)
    assert SEVERITY[after.action] <= SEVERITY[before.action]
    if before.preference is not Preference.CONDITIONAL and before.preference in RESTRICTING:
        assert replace(after, reason="") == replace(before, reason="")


@given(SAID, MET)
def test_the_modes_are_ordered_and_research_removes_nothing(said, met):
    eu, strict, research = (decide(said, USE, mode, met) for mode in Mode)
    assert SEVERITY[strict.action] >= SEVERITY[eu.action]
    assert research.action is Action.KEEP
    assert eu.preference is research.preference
    assert eu.statements == research.statements


@given(SAID)
def test_without_hints_the_modes_differ_in_what_they_do_and_not_in_what_they_find(said):
    eu, strict, research = (decide([s for s in said if not is_hint(s)], USE, mode) for mode in Mode)
    assert eu.preference is strict.preference is research.preference
    assert eu.statements == strict.statements == research.statements


@given(SAID)
def test_hints_count_in_strict_mode_only(said):
    without = [s for s in said if not is_hint(s)]
    for mode in (Mode.EU_ART4, Mode.RESEARCH_ART3):
        assert replace(decide(said, USE, mode), reason="") == replace(decide(without, USE, mode), reason="")


def may_permit(statement):
    if statement.signal is None:
        return statement.evidence_level >= 3
    heard = statement.signal.speaker in (Speaker.SIGNED, Speaker.HOST)
    return heard and statement.signal.quality is Quality.EXACT


@given(SAID, MODES, MET)
def test_allowed_comes_only_from_those_who_may_permit(said, mode, met):
    words = (Preference.ALLOWED, Preference.CONDITIONAL) if met else (Preference.ALLOWED,)
    if decide(said, USE, mode, met).preference is Preference.ALLOWED:
        assert any(may_permit(s) and s.match.certain and s.preferences.get(USE) in words for s in said)
    unheard = [one for one in said if not may_permit(one)]
    assert decide(unheard, USE, mode, met).preference is not Preference.ALLOWED


@given(SAID, MODES, MET)
def test_the_reason_is_one_sentence_about_the_use(said, mode, met):
    reason = decide(said, USE, mode, met).reason
    assert reason.isprintable()
    assert reason[0].isupper()
    assert reason.endswith(".")
    assert f" {USE}" in reason


@given(SAID, MODES, MET)
def test_a_dispute_has_two_verified_sides_and_reserves(said, mode, met):
    decision = decide(said, USE, mode, met)
    sides = {s.preferences[USE] for s in decision.statements if s.signal is None and s.evidence_level >= 3}
    if decision.disputed:
        assert decision.preference is Preference.RESERVED
        assert sides >= {Preference.RESERVED, Preference.ALLOWED}
        assert "disputed" in decision.reason
    else:
        assert decision.preference not in RESTRICTING or Preference.ALLOWED not in sides


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
