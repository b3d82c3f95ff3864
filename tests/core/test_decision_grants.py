"""What a grant does to the statements that are marked with it, and to no others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.decision import decide, effective
from registry.preference import Action, Mode, Preference, State, Use
from registry.statement import Match, Quality, Signal, Speaker, Statement

USE = Use.GENAI_TRAIN
RESERVED, CONDITIONAL, ALLOWED, UNKNOWN = (
    Preference.RESERVED,
    Preference.CONDITIONAL,
    Preference.ALLOWED,
    Preference.UNKNOWN,
)
G, H = "g" * 26, "h" * 26
SURE, COPY = Match("sha256"), Match("pdq", False, 40, "full", "full")
EMBEDDED = Signal("iptc", "1", "xmp", Speaker.EMBEDDED, Quality.EXACT, "DMI-PROHIBITED", "0" * 64)


def said(value=RESERVED, grant=G, level=0, match=SURE, **other):
    return Statement({USE: value}, match, evidence_level=level, grant=grant, label="Ada", **other)


NONE = said(grant="")
TABLE = {
    # what was said, which grants are held: preference, and what happens in eu-art4 and in strict
    "no grant": ([said(grant="")], [G], RESERVED, "remove", "remove"),
    "marked, not held": ([said()], [], RESERVED, "remove", "remove"),
    "marked with another": ([said(grant=H)], [G], RESERVED, "remove", "remove"),
    "held": ([said()], [G], UNKNOWN, "keep", "remove"),
    "held, a condition": ([said(CONDITIONAL)], [G], UNKNOWN, "keep", "remove"),
    "held, verified": ([said(level=3)], [G], ALLOWED, "keep", "keep"),
    "held, a condition, verified": ([said(CONDITIONAL, level=3)], [G], ALLOWED, "keep", "keep"),
    "held, not quite verified": ([said(level=2)], [G], UNKNOWN, "keep", "remove"),
    "two that are held": ([said(), said(CONDITIONAL, H)], [G, H], UNKNOWN, "keep", "remove"),
    "one of two": ([said(), said(grant=H)], [G], RESERVED, "remove", "remove"),
    "another registrant": ([said(level=4), NONE], [G], RESERVED, "remove", "remove"),
    "another registrant's condition": (
        [said(), said(CONDITIONAL, "")], [G], CONDITIONAL, "remove", "remove",
    ),
    "another registrant's possible copy": (
        [said(), said(grant="", match=COPY)], [G], UNKNOWN, "review", "remove",
    ),
    "a possible copy": ([said(match=COPY)], [G], UNKNOWN, "keep", "remove"),
    "a possible copy, verified": ([said(match=COPY, level=4)], [G], UNKNOWN, "keep", "remove"),
    "the picture itself reserves": (
        [said(), said(grant="", match=Match("iptc"), signal=EMBEDDED)], [G], RESERVED, "remove", "remove",
    ),
    "a signal that is marked": (
        [said(match=Match("iptc"), signal=EMBEDDED)], [G], RESERVED, "remove", "remove",
    ),
    "a permission of nobody verified": ([said(ALLOWED)], [G], UNKNOWN, "keep", "remove"),
    "a word of unknown, verified": ([said(UNKNOWN, level=4)], [G], UNKNOWN, "keep", "remove"),
    "withdrawn": ([said(state=State.WITHDRAWN)], [G], UNKNOWN, "keep", "remove"),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "held", "preference", "kept", "strict"), TABLE.values(), ids=TABLE)
def test_what_follows(statements, held, preference, kept, strict):
    granted = frozenset(held)
    usual = decide(statements, USE, granted=granted)
    assert (usual.preference, usual.action) == (preference, kept)
    assert decide(statements, USE, Mode.STRICT, granted=granted).action == strict
    assert decide(statements, USE, Mode.RESEARCH_ART3, granted=granted).action is Action.KEEP


SENTENCES = {
    "lifted": (
        [said()], Mode.EU_ART4,
        f"Reserved for genai-train by “Ada”: the registered file, byte for byte; permitted by grant {G}.",
    ),
    "lifted, in strict mode": (
        [said()], Mode.STRICT,
        f"Reserved for genai-train by “Ada”: the registered file, byte for byte; permitted by grant {G}; "
        "its evidence permits nothing by itself, and strict mode leaves it out.",
    ),
    "a condition": (
        [said(CONDITIONAL, terms="CC BY")], Mode.EU_ART4,
        f"Conditional for genai-train by “Ada”: the registered file, byte for byte; permitted by grant {G}.",
    ),
    "verified": (
        [said(level=3)], Mode.STRICT,
        f"Allowed for genai-train by “Ada”: the registered file, byte for byte; permitted by grant {G}.",
    ),
    "another stands": (
        [said(), replace(NONE, label="Ben")], Mode.EU_ART4,
        "Reserved for genai-train by “Ben”: the registered file, byte for byte.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "mode", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_the_sentence_names_the_grant(statements, mode, sentence):
    decision = decide(statements, USE, mode, granted=frozenset([G]))
    assert decision.reason == sentence
    assert decision.lifted == (statements[0],)
    assert not decision.disputed


def test_what_a_grant_lifted_contradicts_no_other_permission():
    both = [said(level=3), replace(said(ALLOWED, "", 3), label="Ben")]
    decision = decide(both, USE, granted=frozenset([G]))
    assert (decision.preference, decision.disputed) == (ALLOWED, False)
    assert decide(both, USE).disputed


def test_a_registry_s_own_answer_heeds_no_grant():
    assert effective([said()], USE) == [said()]
    assert decide([said()], USE).preference is RESERVED


statements = st.lists(
    st.builds(
        said,
        st.sampled_from(list(Preference)),
        st.sampled_from(["", G, H]),
        st.integers(0, 4),
        st.sampled_from([SURE, COPY, Match("url"), Match("domain")]),
        state=st.sampled_from([State.ASSERTED, State.VERIFIED, State.WITHDRAWN]),
        principal=st.sampled_from(["", "ada", "ben"]),
        seq=st.integers(1, 5),
    ),
    max_size=5,
)
SEVERITY = {Action.KEEP: 0, Action.REVIEW: 1, Action.REMOVE: 2}


@given(statements, st.sampled_from([Mode.EU_ART4, Mode.STRICT]))
def test_a_grant_that_marks_nothing_changes_nothing(found, mode):
    plain = [replace(one, grant="") for one in found]
    assert decide(plain, USE, mode, granted=frozenset([G])) == decide(plain, USE, mode)
    assert decide(found, USE, mode, granted=frozenset(["z" * 26])) == decide(found, USE, mode)


@given(statements, st.sampled_from([Mode.EU_ART4, Mode.STRICT]))
def test_it_is_never_freer_than_if_its_reservation_were_withdrawn_and_its_owner_allowed_it(found, mode):
    """A grant does to a statement what ``allowed`` in its place would do, and touches nothing else."""
    instead = [
        replace(one, preferences={USE: ALLOWED})
        if one.grant == G and one.preferences[USE] in (RESERVED, CONDITIONAL)
        else one
        for one in found
    ]
    granted = decide(found, USE, mode, granted=frozenset([G]))
    assert granted.action is decide(instead, USE, mode).action
    assert granted.preference is decide(instead, USE, mode).preference
    assert SEVERITY[granted.action] <= SEVERITY[decide(found, USE, mode).action]


@given(statements)
def test_while_anybody_else_reserves_it_goes(found):
    decision = decide([*found, replace(NONE, principal="eve")], USE, granted=frozenset([G, H]))
    assert (decision.preference, decision.action) == (RESERVED, Action.REMOVE)
