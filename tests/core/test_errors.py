import inspect
import pickle
import re

import pytest

from registry import errors
from registry.errors import CaveatError

ALL = [getattr(errors, name) for name in errors.__all__]


def drawn_tree():
    """Each class of the docstring's drawing with its parent, by depth of the branch."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path = [*path[:depth], match[2]]
            parents[match[2]] = path[-2] if depth else "Exception"
    return parents


def test_the_tree_is_the_one_that_is_drawn():
    assert drawn_tree() == {error.__name__: error.__base__.__name__ for error in ALL}


def test_the_drawing_is_read_to_its_leaves():
    assert drawn_tree()["PictureTooLargeError"] == "PictureError"
    assert drawn_tree()["CaveatError"] == "Exception"
    assert len(drawn_tree()) == len(errors.__all__) >= 24


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_has_message_hint_and_docstring_and_survives_pickling(error):
    made = error("got 3, expected 4", hint="Send 4.")
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
    for one in (made, again):
        assert type(one) is error
        assert (str(one), one.message, one.hint) == ("got 3, expected 4", "got 3, expected 4", "Send 4.")
    assert inspect.getdoc(error)
    assert "__doc__" in vars(error)


def test_the_hint_is_empty_when_there_is_nothing_to_say():
    assert CaveatError("x").hint == ""


def test_the_hint_is_given_by_name():
    with pytest.raises(TypeError):
        CaveatError("x", "y")
