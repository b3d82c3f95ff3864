from hypothesis import given
from hypothesis import strategies as st

from registry.keys import KeySet


def filled(*pairs):
    keys = KeySet()
    for key, record in pairs:
        keys.add(key, record)
    return keys


def test_an_empty_set_knows_nothing():
    keys = KeySet()
    assert len(keys) == 0
    assert list(keys.query(b"a")) == []
    assert list(keys.range(b"")) == []


def test_a_key_of_many_records_gives_them_in_the_order_in_which_they_came():
    keys = filled((b"a" * 16, 7), (b"b" * 16, 1), (b"a" * 16, 3), (b"a" * 16, 5))
    assert list(keys.query(b"a" * 16)) == [7, 3, 5]
    assert list(keys.query(b"b" * 16)) == [1]
    assert list(keys.query(b"a" * 15)) == []
    assert len(keys) == 2


def test_a_range_holds_the_keys_with_the_prefix_in_order_and_no_neighbour():
    keys = filled(*((bytes.fromhex(key), 0) for key in ("0aff", "0b00", "0b01", "0bff", "0c00", "0bff")))
    assert [key.hex() for key in keys.range(b"\x0b")] == ["0b00", "0b01", "0bff"]
    assert [key.hex() for key in keys.range(b"\x0b\xff")] == ["0bff"]
    assert list(keys.range(b"\x0d")) == []


def test_the_prefix_of_highest_bytes_ends_at_the_end():
    keys = filled((b"\xff\xff", 1), (b"\xfe\xff", 2), (b"\xff\x00", 3))
    assert list(keys.range(b"\xff")) == [b"\xff\x00", b"\xff\xff"]


def test_a_range_sees_what_was_added_after_another_range():
    keys = filled((b"ab", 1))
    assert list(keys.range(b"a")) == [b"ab"]
    keys.add(b"aa", 2)
    assert list(keys.range(b"a")) == [b"aa", b"ab"]


KEYS = st.one_of(st.binary(min_size=1, max_size=3), st.sampled_from([b"\0" * 16, b"\xff" * 16, b"\xff" * 32]))


@given(st.lists(st.tuples(KEYS, st.integers(0, 9))), st.lists(st.one_of(KEYS, st.just(b""))))
def test_it_answers_like_a_list_searched_from_end_to_end(pairs, asked):
    keys = KeySet()
    for at, (key, record) in enumerate(pairs):
        keys.add(key, record)
        if at % 3 == 0:
            assert list(keys.range(b"")) == sorted({k for k, _ in pairs[: at + 1]})
    assert len(keys) == len({key for key, _ in pairs})
    for one in [*asked, *(key for key, _ in pairs)]:
        assert list(keys.query(one)) == [record for key, record in pairs if key == one]
        assert list(keys.range(one)) == sorted({key for key, _ in pairs if key.startswith(one)})
