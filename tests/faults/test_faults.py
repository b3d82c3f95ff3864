"""The short form of the fault suite (``make faults``): the same code, fewer faults, seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import kills, syscalls
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
