import pytest

from registry.preference import ALLOWING_LEVEL, Action, Mode, Preference, Scope, State, Status, Use


def test_preferences_are_ordered_by_restriction():
    ordered = sorted(Preference, key=lambda one: one.restriction, reverse=True)
    assert ordered == ["reserved", "conditional", "allowed", "unknown"]
    assert [one.restriction for one in ordered] == [3, 2, 1, 0]
    assert ALLOWING_LEVEL == 3


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (Use, ["tdm", "train", "genai-train", "ai-input", "ai-index", "search"]),
        (Status, ["ok", "error", "malformed", "not_checked"]),
        (Mode, ["eu-art4", "strict", "research-art3"]),
        (State, ["asserted", "verified", "disputed", "quarantined", "withdrawn"]),
    ],
    ids=["uses", "statuses", "modes", "states"],
)
def test_the_lists_are_closed(words, known):
    assert list(words) == known
    with pytest.raises(ValueError, match="is not a valid"):
        words(known[0].upper())


def test_only_kept_and_reviewed_samples_stay():
    assert [action for action in Action if action.stays] == [Action.KEEP, Action.REVIEW]


def test_scopes_are_ordered_from_narrow_to_wide():
    assert sorted(Scope) == [Scope.WORK, Scope.PREFIX, Scope.HOST, Scope.DOMAIN]
