"""Recovery codes, and how often a network may begin or guess one."""

import re
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.codes import begin_code, caller_by_code, code_sha256, new_code, read_code
from api.rates import Rate
from registry.errors import TooManyRequestsError
from registry.registrar import Caller
from registry.store import Store, principals


class TestCodes:
    def test_a_code_is_128_random_bits_with_a_checksum_in_groups(self) -> None:
        code = new_code()
        assert re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){7}", code)
        assert len({new_code() for _ in range(100)}) == 100
        assert code_sha256(code) == code_sha256(read_code(code) or "")

    @given(st.integers(0, 31), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
    def test_one_wrong_letter_is_noticed(self, place: int, letter: str) -> None:
        code = new_code()
        plain = code.replace("-", "")
        wrong = plain[:place] + letter + plain[place + 1 :]
        assert read_code(wrong) == (code if wrong == plain else None)

    @pytest.mark.parametrize(
        "spell",
        [
            str.lower,
            lambda c: c.replace("-", ""),
            lambda c: f"  {c.replace('-', ' ')}\n",
            lambda c: c.replace("O", "0"),
        ],
        ids=["small", "without hyphens", "with spaces", "with zeros"],
    )
    def test_it_is_read_however_it_is_spelled(self, spell: Callable[[str], str]) -> None:
        codes = [new_code() for _ in range(20)]
        assert [read_code(spell(code)) for code in codes] == codes

    @pytest.mark.parametrize(
        "text", ["", "-", "ABCD", "ABCD-" * 7 + "ABCE", "é" * 32, "=" * 32, "A" * 33, "A" * 31, "\0"]
    )
    def test_what_is_no_code_is_none(self, text: str) -> None:
        assert read_code(text) is None

    def test_only_the_hash_is_stored_and_beginning_twice_begins_once(self, store: Store) -> None:
        code = new_code()
        assert caller_by_code(store, code) is None
        first, second = begin_code(store, code, 5), begin_code(store, code, 6)
        assert first == second
        assert (first.scopes, first.evidence_level) == (frozenset({"register"}), 0)
        with store.read() as connection:
            [row] = principals.list_credentials(connection)
        assert bytes(row.sha256) == code_sha256(code)
        assert code not in repr(row)


def test_a_code_that_is_begun_by_several_at_once_is_of_one(store: Store) -> None:
    code, found = new_code(), list[Caller]()
    threads = [threading.Thread(target=lambda: found.append(begin_code(store, code, 5))) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 6
    assert len(set(found)) == 1


class TestRates:
    def test_so_many_in_so_long_and_then_one_after_the_other(self) -> None:
        now = [0.0]
        rate = Rate(3, 60, "things", lambda: now[0])
        for _ in range(3):
            rate.take("a")
        with pytest.raises(TooManyRequestsError):
            rate.take("a")
        with pytest.raises(TooManyRequestsError):
            rate.require("a")
        rate.take("b")
        now[0] = 20.0
        rate.require("a")
        rate.take("a")
        with pytest.raises(TooManyRequestsError):
            rate.take("a")

    def test_none_is_none(self) -> None:
        with pytest.raises(TooManyRequestsError):
            Rate(0, 60, "things", lambda: 0.0).take("a")
