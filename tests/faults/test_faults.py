"""The short form of the fault suite (``make faults``): the same code, fewer faults, seconds."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults import (
    answers,
    bodies,
    damage,
    disk,
    erasures,
    filters,
    importing,
    kills,
    mapped,
    syscalls,
    tampering,
)
from tests.faults.outcome import CannotRunError, Outcome
from tests.faults.service import Place, end_all

pytestmark = pytest.mark.xdist_group("faults")

_KILL, _ERROR = ("signal=KILL",), ("error=EIO", "error=ENOSPC")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    end_all()


def kept(inject: Callable[[], Outcome]) -> Outcome:
    """Run a fault, which must have been injected and must have broken nothing."""
    try:
        outcome = inject()
    except CannotRunError as error:
        pytest.skip(str(error))
    assert outcome.is_kept, "\n".join([str(outcome), *outcome.remarks()])
    return outcome


def test_kills_of_any_process_lose_nothing(tmp_path: Path) -> None:
    outcome = kept(lambda: kills.kill_loop(Place.make(tmp_path / "registry"), 12, writers=2, big=0))
    assert outcome.acknowledged > 0


def test_a_registration_is_whole_or_absent_whatever_call_fails(tmp_path: Path) -> None:
    kept(lambda: syscalls.strike_registration(tmp_path, _ERROR[:1], most=8))


@pytest.mark.parametrize("faults", [_ERROR[1:], _KILL], ids=["full", "killed"])
def test_the_log_and_the_index_are_whole_or_absent(tmp_path: Path, faults: tuple[str, ...]) -> None:
    kept(lambda: syscalls.strike_log(tmp_path / "log", faults, most=4))
    kept(lambda: syscalls.strike_index(tmp_path / "index", faults, most=4))


@pytest.mark.parametrize("flip", [damage.flip_index, damage.flip_log])
def test_one_bit_turned_on_the_disk_hides_nothing(
    tmp_path: Path, flip: Callable[[Path, int], Outcome]
) -> None:
    kept(lambda: flip(tmp_path, 24))


def test_a_bit_that_turns_in_a_mapped_file_is_found_in_its_time(tmp_path: Path) -> None:
    kept(lambda: mapped.flip_mapped(tmp_path, 3))


def test_rows_that_are_changed_behind_the_registry_are_found(tmp_path: Path) -> None:
    kept(lambda: tampering.tamper(tmp_path))


@pytest.mark.parametrize(
    "strike",
    [importing.strike_import, erasures.strike_erasure, partial(filters.strike_filter, formats=("shards",))],
    ids=["an import", "an erasure", "a filter run"],
)
def test_what_is_killed_is_whole_or_absent(tmp_path: Path, strike: Callable[..., Outcome]) -> None:
    kept(lambda: strike(tmp_path, _KILL, most=2))


def test_a_full_disk_takes_nothing_and_gives_answers(tmp_path: Path) -> None:
    kept(lambda: disk.full_disk(tmp_path, 1, 4))


def test_bodies_that_break_on_their_way_leave_no_rows(tmp_path: Path) -> None:
    kept(lambda: bodies.broken_bodies(Place.make(tmp_path / "registry"), 16))


def test_a_registry_that_lies_gets_nothing_kept(tmp_path: Path) -> None:
    kept(lambda: answers.lying_registry(tmp_path))


def test_a_worker_that_stood_still_tells_nothing_stale(tmp_path: Path) -> None:
    kept(lambda: kills.pauses(Place.make(tmp_path / "registry"), 5))
