"""The figures of the first page: what stands now, counted from the rows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store
from registry.store.figures import Figures, count_all
from registry.urls import canonicalize_url, url_rule

from .test_imports import Partner, importer, make_partner, now, partner

__all__ = ["importer", "make_partner", "now", "partner"]

RESERVED = {Use.TDM: Preference.RESERVED}


def counted(store: Store) -> Figures:
    with store.read() as connection:
        return count_all(connection)


@pytest.fixture
def registrar(store: Store) -> Registrar:
    return Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))


def draft(works: int, rules: int = 0) -> Draft:
    urls = [canonicalize_url(f"https://a.example/{n}") for n in range(works)]
    kinds = [url_rule("exact", f"https://a.example/rule/{n}") for n in range(rules)]
    return Draft(RESERVED, [WorkDraft(url=url) for url in urls], kinds)


def test_works_and_rules_count_until_their_reservation_is_withdrawn_or_erased(
    store: Store, registrar: Registrar, make_key: Callable[..., Any]
) -> None:
    assert counted(store) == (0, 0, 0)
    caller = make_key().caller
    first = registrar.register(caller, draft(3, 2)).id
    second = registrar.register(caller, draft(1)).id
    assert counted(store) == (2, 4, 2)
    registrar.add_works(caller, second, draft(2).works)
    assert counted(store) == (2, 6, 2)
    registrar.withdraw(caller, first)
    assert counted(store) == (1, 3, 0)
    registrar.erase(caller, second)
    assert counted(store) == (0, 0, 0)


def test_works_of_an_import_count_once_it_is_complete(store: Store, partner: Partner) -> None:
    one = partner.open()
    one.put(1, [1, 2])
    one.put(2, [3])
    assert counted(store) == (0, 0, 0)
    one.complete()
    assert counted(store) == (1, 3, 0)
    one.importer.withdraw_works(one.caller, one.id, [(1, 0)])
    assert counted(store) == (1, 2, 0)
    one.importer.roll_back(one.caller, one.id)
    assert counted(store) == (0, 0, 0)
