"""Erasing what was said between two records, when one of them is erased."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from registry.store import Transaction, events, payloads

__all__ = ["forget_mentions"]

_NOTHING: dict[str, Any] = {"version": None, "works": [], "rules": []}


def forget_mentions(tx: Transaction, rows: Iterable[Row[Any]], at: int) -> None:
    """Destroy these mentions, an event each that follows that of ``tx``; ``at`` in seconds since 1970."""
    for row in rows:
        following = tx.following()
        payloads.erase(following, row.id)
        said = payloads.insert(following, row.id, _NOTHING)
        events.commit_to(following, "erase", row.id, said, at)
