"""What the tests of the readers share: the short form in which the vectors tell what was read."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from registry.preference import Use
from registry.signals.observation import Reading
from registry.statement import Statement


def _told(one: Statement, fields: set[str]) -> dict[str, Any]:
    assert one.signal is not None
    every = {str(use): str(value) for use, value in one.preferences.items()}
    values = set(every.values())
    short = {"*": values.pop()} if len(every) == len(Use) and len(values) == 1 else every
    rest = {
        "quality": str(one.signal.quality),
        "terms": one.terms,
        "label": one.label,
        "contact": one.contact,
    }
    signal = {key: getattr(one.signal, key) for key in ("protocol", "version", "carrier", "speaker", "said")}
    whole = {**rest, **{key: str(value) for key, value in signal.items()}, "scope": one.scope.name.lower()}
    return {**short, **{key: whole[key] for key in fields & set(whole)}}


@pytest.fixture(scope="session")
def check_reading() -> Callable[[Reading, dict[str, Any]], None]:
    """Compare a reading with a case: of a statement the preferences (``*`` for every use) and what it names.

    ``expect`` lists statements in their order, ``faults`` the status and the words of the message of each.
    """

    def check(reading: Reading, case: dict[str, Any]) -> None:
        expected = [{"quality": "exact", **one} for one in case["expect"]]
        fields = expected + [{"quality": ""}] * (len(reading.statements) - len(expected))
        told = [_told(one, set(has)) for one, has in zip(reading.statements, fields, strict=False)]
        assert told == expected
        faults = case.get("faults", [])
        assert [str(one.status) for one in reading.faults] == [one["status"] for one in faults]
        for one, wanted in zip(reading.faults, faults, strict=True):
            assert wanted["says"] in one.message

    return check


@pytest.fixture(scope="session")
def timed() -> Callable[[float], AbstractContextManager[None]]:
    """Hold a block to so many seconds: many times what it takes, and far less than squared time takes."""

    @contextmanager
    def within(seconds: float) -> Iterator[None]:
        begun = time.process_time()
        yield
        assert time.process_time() - begun < seconds

    return within
