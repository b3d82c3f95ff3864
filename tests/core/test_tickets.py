"""Tickets: what the registry wrote and nobody else, merged along the way, always to the same hashes."""

import re
from dataclasses import replace

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError, ProofError
from registry.tickets import (
    MAX_TICKETS,
    Ticket,
    format_run,
    issue,
    merge,
    merge_runs,
    message_hash,
    open_ticket,
    parse_run,
    root_of_runs,
    ticket_key,
)

RUN, KEY = bytes(range(16)), ticket_key(bytes(32))


def ticket(number, run=RUN):
    asked, answered = (message_hash(run, f"{what} {number}".encode()) for what in ("asked", "answered"))
    return Ticket(
        run=run, begin=number, end=number + 1, items=10 + number, as_of_seq=100 - number % 7,
        first=1000 + number, last=1000 + number, asked=asked, answered=answered,
    )  # fmt: skip


def tickets(count, begin=0):
    return [ticket(number) for number in range(begin, begin + count)]


LINE = issue(ticket(3), KEY)


def test_a_ticket_is_read_as_it_was_written():
    assert open_ticket(LINE, [ticket_key(bytes([1] * 32)), KEY]) == ticket(3)
    assert LINE.startswith(f"1.{RUN.hex()}.3.4.13.97.1003.1003.")
    assert len(LINE) < 300


@pytest.mark.parametrize("place", range(11))
def test_no_part_of_it_can_be_another(place):
    parts = LINE.split(".")
    parts[place] = str(int(parts[place]) + 1) if place in range(2, 8) else "0" * len(parts[place])
    with pytest.raises(ProofError, match=r"not a ticket|did not write"):
        open_ticket(".".join(parts), [KEY])


NOT_TICKETS = {
    "nothing": "",
    "a word": "ticket",
    "a newline after it": LINE + "\n",
    "a space before it": " " + LINE,
    "capital digits": LINE.upper(),
    "a number with a zero before it": LINE.replace(".3.4.", ".03.4."),
    "a number with a sign": LINE.replace(".3.4.", ".+3.4."),
    "digits of another script": LINE.replace(".3.4.", ".٣.4."),
    "without its MAC": LINE.rpartition(".")[0],
    "a MAC that is no ASCII": LINE[:-1] + "ä",
    "one part more": LINE + ".0",
}


@pytest.mark.parametrize("case", NOT_TICKETS)
def test_what_is_no_ticket_is_refused(case):
    with pytest.raises(ProofError, match=r"not a ticket|did not write"):
        open_ticket(NOT_TICKETS[case], [KEY])


def test_a_ticket_of_another_registry_is_refused():
    for keys in ([], [ticket_key(bytes([1] * 32))]):
        with pytest.raises(ProofError, match="did not write, for the requests from 3 on"):
            open_ticket(LINE, keys)


def test_the_key_is_not_that_of_the_log():
    assert ticket_key(bytes(32)) not in (bytes(32), ticket_key(bytes([1] * 32)))


RUNS = {
    "none": "",
    "no number": RUN.hex(),
    "short": RUN.hex()[:-1] + "/0",
    "capitals": RUN.hex().upper() + "/0",
    "a number below 0": RUN.hex() + "/-1",
    "a number with a zero before it": RUN.hex() + "/00",
    "too large": RUN.hex() + "/1000000000000000",
    "a newline": RUN.hex() + "/0\n",
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_cannot_be_read_is_refused(case):
    with pytest.raises(InputError, match="Caveat-Run: expected 32 hexadecimal digits"):
        parse_run(RUNS[case])


@given(st.binary(min_size=16, max_size=16), st.integers(0, 10**15 - 1))
def test_a_run_is_read_as_it_is_written(run, number):
    assert parse_run(format_run(run, number)) == (run, number)


def root(leaves):
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return tree.get_root()


@pytest.mark.parametrize("count", [*range(1, 18), 33])
def test_the_hashes_are_those_of_another_s_tree(count):
    whole = merge(tickets(count))
    assert whole.asked == root([RUN + f"asked {n}".encode() for n in range(count)])
    assert whole.answered == root([RUN + f"answered {n}".encode() for n in range(count)])
    assert (whole.begin, whole.end, whole.items) == (0, count, sum(range(10, 10 + count)))
    assert (whole.first, whole.last) == (1000, 999 + count)
    assert whole.as_of_seq == 100 - min(count - 1, 6)


@given(st.integers(1, 300), st.sampled_from([1, 2, 4, 16, 64]), st.sampled_from([1, 2, 8]))
def test_whatever_is_merged_on_the_way_the_whole_is_the_same(count, size, more):
    singles = tickets(count)
    once = [merge(singles[at : at + size]) for at in range(0, count, size)]
    twice = [merge(once[at : at + more]) for at in range(0, len(once), more)]
    assert merge(twice) == merge(once) == merge(singles)


NOT_MERGED = {
    "none": ([], "0 tickets; expected 1 to 10,000"),
    "too many": ([ticket(0)] * (MAX_TICKETS + 1), "10001 tickets; expected 1 to 10,000"),
    "of two runs": ([ticket(0), ticket(1, bytes(16))], "tickets of two runs"),
    "one that is missing": ([ticket(0), ticket(2)], "after the requests up to 1 come those from 2 on"),
    "one twice": ([ticket(0), ticket(0)], "after the requests up to 1 come those from 0 on"),
    "in another order": ([ticket(1), ticket(0)], "after the requests up to 2 come those from 0 on"),
    "an odd one in the middle": (
        [merge(tickets(3)), ticket(3)], "3 requests in a ticket that is not the last",
    ),
    "at an odd place": (tickets(2, 1), "2 requests from 1 on are no part of the tree"),
    "a part at an odd place": (
        [ticket(0), replace(ticket(1), end=3)], "2 requests from 1 on are no part of the tree",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_MERGED)
def test_what_does_not_follow_is_not_merged(case):
    given_, said = NOT_MERGED[case]
    with pytest.raises(ProofError, match=said):
        merge(given_)


def test_a_request_cannot_be_guessed_without_its_run():
    assert message_hash(RUN, b"GET /api/v1/range/rule/12345\n") != message_hash(
        bytes(16), b"GET /api/v1/range/rule/12345\n"
    )


RUNS_OF = [bytes([number] * 16) for number in range(5)]


@given(st.permutations(RUNS_OF), st.lists(st.integers(1, 9), min_size=5, max_size=5))
def test_the_tickets_of_several_runs_become_one_a_run(order, sizes):
    singles = [[ticket(n, run) for n in range(size)] for run, size in zip(order, sizes, strict=True)]
    whole = merge_runs([one for some in singles for one in some])
    assert whole == [merge(some) for some in singles]
    assert merge_runs(whole) == whole


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_root_over_runs_is_that_of_another_s_tree(count):
    assert root_of_runs(RUNS_OF[:count]) == root(RUNS_OF[:count])


A, B = [ticket(n, RUNS_OF[0]) for n in range(4)], [ticket(n, RUNS_OF[1]) for n in range(4)]
NOT_RUNS = {
    "none": ([], "0 tickets; expected 1 to 10,000"),
    "too many": ([*[ticket(0)] * MAX_TICKETS, *A], "10004 tickets; expected 1 to 10,000"),
    "a run twice": ([*A, *B, *A], "do not stand side by side, or a run stands there twice"),
    "a run in two parts": ([*A[:2], *B, *A[2:]], "do not stand side by side"),
    "without its beginning": ([*A, *B[2:]], "the tickets begin with request 2; a run begins with 0"),
    "with a gap": ([*A[:1], *A[2:], *B], "after the requests up to 1 come those from 2 on"),
}


@pytest.mark.parametrize("case", NOT_RUNS)
def test_what_are_no_whole_runs_is_refused(case):
    given_, said = NOT_RUNS[case]
    with pytest.raises(ProofError, match=re.escape(said)):
        merge_runs(given_)
