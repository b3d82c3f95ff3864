import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client.collecting import rarely_collected
from registry.client.formats.ahead import ahead
from registry.client.formats.base import Cells


@given(st.lists(st.integers(), max_size=20))
def test_all_values_come_in_their_order(values):
    with ahead(iter(values)) as read:
        assert list(read) == values


def test_the_next_value_is_made_while_one_is_in_use():
    begun = threading.Event()

    def values():
        yield 1
        begun.set()
        yield 2

    with ahead(values()) as read:
        assert next(read) == 1
        assert begun.wait(10)
        assert next(read) == 2


def test_what_goes_wrong_is_raised_where_the_value_is_taken():
    def values():
        yield 1
        raise OSError("gone")

    with ahead(values()) as read:
        assert next(read) == 1
        with pytest.raises(OSError, match="gone"):
            next(read)


def test_leaving_early_leaves_no_thread():
    before = threading.active_count()
    with ahead(iter(range(1000))) as read:
        assert next(read) == 0
    assert threading.active_count() == before


@pytest.mark.parametrize("first", [0, 700, 10**6], ids=["off", "usual", "rare"])
def test_the_collector_is_as_it_was_before(first):
    before = gc.get_threshold()
    gc.set_threshold(first, 10, 10)
    try:
        with rarely_collected():
            assert gc.get_threshold() == ({0: 0, 700: 100_000}.get(first, first), 10, 10)
        assert gc.get_threshold() == (first, 10, 10)
    finally:
        gc.set_threshold(*before)


@given(st.lists(st.integers(0, 9), max_size=20), st.sets(st.integers(0, 12)))
def test_cells_are_found_by_row(of, rows):
    cells = Cells([str(at) for at in range(len(of))], np.array(of, np.int64))
    expected = {row: [str(at) for at, one in enumerate(of) if one == row] for row in rows & set(of)}
    assert cells.by_row(rows) == expected
