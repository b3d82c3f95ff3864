"""Sending webhooks: each until it has arrived, or for three days.

A delivery that was answered with 2xx is done. One that was not is sent again, after a pause that doubles each
time, up to six hours, and is a third longer or shorter by chance, so that a receiver who was away is not
met by all at once. Who answers 410 is sent nothing any more. What was sent just before this process ended may
be sent again: ``webhook-id`` stays the same.

Of one subscription one delivery is under way at a time, of all of them ``_AT_ONCE``: who answers slowly makes
others wait a while, and not for ever.
"""

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import registry
from registry.errors import FetchError
from registry.fetch import Fetcher
from registry.oneline import one_line
from registry.store import Store, notices, subscriptions
from registry.store.notices import Due
from registry.webhook import signed_headers

__all__ = ["GIVEN_UP_AFTER", "Deliverer", "body_of", "pause_after"]

GIVEN_UP_AFTER = 3 * 86_400
"""Seconds after which a webhook that did not arrive is given up."""
_FIRST_PAUSE, _LONGEST_PAUSE = 5, 6 * 3_600
_GONE = 410
_AGENT = f"caveat/{registry.__version__} (webhook)"
_AT_ONCE = 16
_A_STEP = 64

log = logging.getLogger(__name__)


def pause_after(tries: int, chance: float) -> float:
    """Return the seconds to wait after ``tries`` attempts (≥ 1); ``chance`` is from 0 to 1."""
    usual: float = min(_FIRST_PAUSE * 2 ** min(tries - 1, 30), _LONGEST_PAUSE)
    return usual * (2 + 2 * chance) / 3


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends what is due in ``store`` with ``fetcher``, whose policy says where to.

    ``now`` is in seconds since 1970, ``chance`` from 0 to 1.
    """

    store: Store
    fetcher: Fetcher
    now: Callable[[], float]
    chance: Callable[[], float]

    def step(self) -> int:
        """Send what is due, once each; return how many were. Raises :class:`StorageError`."""
        with self.store.read() as connection:
            due = notices.due(connection, self.now(), _A_STEP)
        if due:
            with ThreadPoolExecutor(min(_AT_ONCE, len(due))) as threads:
                list(threads.map(self._deliver, due))
        return len(due)

    def _deliver(self, one: Due) -> None:
        try:
            status, fault = self._send(one), ""
        except FetchError as error:
            status, fault = 0, error.message
        with self.store.administer() as connection:
            if 200 <= status < 300:
                done = {"state": notices.DONE, "tries": one.tries + 1, "fault": ""}
                notices.settle(connection, one.id, done)
            elif status == _GONE:
                subscriptions.end_hook(connection, one.subscription)
                notices.give_up(connection, one.subscription, "it answered 410: nothing is sent there now")
            else:
                notices.settle(connection, one.id, self._later(one, fault or f"it answered {status}"))

    def _send(self, one: Due) -> int:
        with self.store.read() as connection:
            rows = notices.between(connection, one.subscription, one.first, one.last)
        if not rows:
            return 200  # It was deleted meanwhile.
        body, now = body_of(one, rows), int(self.now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _AGENT,
            **signed_headers(one.secret, one.id, now, body),
        }
        return self.fetcher.post(one.webhook, body, headers)

    def _later(self, one: Due, fault: str) -> dict[str, Any]:
        tries = one.tries + 1
        again = self.now() + pause_after(tries, self.chance())
        changes = {"tries": tries, "due_at": int(again), "fault": one_line(fault)[:500]}
        if again > one.begun_at + GIVEN_UP_AFTER:
            log.warning("webhook %s of subscription %s given up: %s", one.id, one.subscription, fault)
            return {**changes, "state": notices.FAILED}
        return changes


def body_of(one: Due, rows: Sequence[Any]) -> bytes:
    """Return the body that tells of the notices ``rows``, all of one kind: the same each time."""
    first = rows[0]
    told = {
        "type": f"item.{first.kind}",
        "timestamp": datetime.fromtimestamp(first.at, UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "subscription": one.subscription,
            "label": one.label,
            "as_of_seq": first.seq,
            "results": [json.loads(row.result) for row in rows],
        },
    }
    return json.dumps(told, ensure_ascii=False).encode()
