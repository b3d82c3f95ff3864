import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.jsontext import canonical_json, strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_canonical_to_the_letter(value):
    assert canonical_json(value) == rfc8785.dumps(value)
    assert strict_json(canonical_json(value)) == value


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a"],
        ["\N{DIGIT ONE}", "a", "\N{LATIN SMALL LETTER E WITH ACUTE}"],
        # In UTF-16, as the RFC sorts, the pair of halves comes before the private use area.
        ["\ufb33", "\U0001f600"],
        ["\x7f", "\x80", "\r", "</script>"],
    ],
    ids=["ascii", "latin", "beyond-bmp", "controls"],
)
def test_names_stand_in_the_order_of_the_rfc(names):
    value = {name: at for at, name in enumerate(names)}
    assert canonical_json(value) == rfc8785.dumps(value)


def test_half_of_a_surrogate_pair_is_no_text():
    with pytest.raises(UnicodeEncodeError):
        canonical_json({"title": "\ud800"})


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 2}', b"NaN", b"\xff", b"{", b"[" * 100_000])
def test_what_readers_would_read_differently_is_refused(text):
    with pytest.raises(InputError):
        strict_json(text)
