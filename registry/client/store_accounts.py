"""The receipt of a run at an object store, as what is read on this machine.

with at_hand(Address("s3://bucket/clean")) as path:
    find_bundle(path)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.client.countersigning import BUNDLE
from registry.client.making import account_folder
from registry.client.receipts import OUTPUT_SUMS, RECEIPT
from registry.client.store_making import RUN
from registry.client.stores import Address, Found, fetch, listed
from registry.client.workplace import Workplace
from registry.errors import ProofError

__all__ = ["at_hand"]

_WANTED = (RECEIPT, BUNDLE, OUTPUT_SUMS)
_LARGEST = 64 * 1024 * 1024


@contextmanager
def at_hand(place: Path | Address, *, decisions: bool = False) -> Iterator[Path]:
    """Yield a path at which the receipt of ``place`` is: that itself where it is on this machine.

    An address is that of a receipt or a bundle, of an account, or of the output of a run with the account
    beside it. Fetched are the receipt and what came with it, and with ``decisions`` these too, for as long as
    the block goes on. Raises :class:`ProofError` where there is no receipt, or its run has not ended, and
    :class:`registry.errors.StoreError`.
    """
    if isinstance(place, Path):
        yield place
        return
    work = Workplace()
    yield _fetched(place, work.path, decisions=decisions)
    del work


def _fetched(place: Address, work: Path, *, decisions: bool) -> Path:
    account, found = _account(place)
    to = work / account.name
    if "" in found:
        _fetch(account, found[""], to)
        return to
    for name, one in found.items():
        if name in _WANTED:
            _fetch(account, one, to / name)
        elif decisions and name.startswith("decisions"):
            fetch(account, one, to / name)
    return to


def _account(place: Address) -> tuple[Address, dict[str, Found]]:
    """Return where a receipt lies, and all that lies there: an account, or as ``""`` one object."""
    places = [place] if place.is_bucket else [account_folder(place), place]
    for one in places:
        found = listed(one)
        if "" in found:
            return one, found
        if RECEIPT in found:
            if RUN not in found:
                raise ProofError(
                    f"{one} is of a run that has not ended: {RUN} is not there",
                    hint="Run the same command of caveat filter again; it goes on from there.",
                )
            return one, found
    raise ProofError(
        f"no receipt at {place}",
        hint=f"Give {RECEIPT}, the prefix it lies under, or the output of a run with its account beside it.",
    )


def _fetch(account: Address, one: Found, to: Path) -> None:
    if one.size > _LARGEST and one.name != OUTPUT_SUMS:
        raise ProofError(f"{account}/{one.name} is larger than {_LARGEST >> 20} MiB, and no receipt")
    fetch(account, one, to)
