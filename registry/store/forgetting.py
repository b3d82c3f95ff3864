"""Erasing what was said between two records, when one of them is erased."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from registry.store import Transaction, events, mentions

__all__ = ["forget_mentions"]

_NOTHING: dict[str, Any] = {"version": None, "works": [], "rules": []}


def forget_mentions(tx: Transaction, rows: Iterable[Row[Any]], at: int) -> None:
    """Destroy these mentions, an event each that follows that of ``tx``; ``at`` in seconds since 1970."""
    for row in rows:
        following = tx.following()
        # No other rows have this identifier, so the other tables need not be asked, a thousand times over.
        mentions.erase(following, row.id)
        events.destroy_salts(following, row.id)
        events.commit_to(following, "erase", row.id, _NOTHING, at)
