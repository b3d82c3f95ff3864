"""What ``caveat db watch`` does: holds what is watched for against what is new, and sends webhooks."""

import logging
import random
import threading
import time
from collections.abc import Callable

import click

from api.answers import Answering
from api.commands.common import LOOK_AGAIN_SECONDS
from api.settings import Settings
from api.state import webhook_policy
from registry.delivering import Deliverer
from registry.errors import CaveatError
from registry.fetch import Fetcher
from registry.index_folder import IndexFolder
from registry.lookup import Lookup
from registry.preference import Mode, Use
from registry.store import Store
from registry.store.leading import Leading
from registry.watching import Watcher

__all__ = ["LEADER", "Watch", "watch_beside"]

log = logging.getLogger(__name__)

LEADER = ("watch", 0x0CA7EA8)
"""Name and number of the work in which one process leads."""


class Watch:
    """The work on the subscriptions of ``store``, by whichever process leads; ``lookup`` may be shared."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        lookup: Lookup | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        folder = None if settings.index is None else IndexFolder(settings.index)
        lookup = lookup or Lookup(store, folder, settings.index_check_seconds)
        self._leading = Leading(store, *LEADER)
        self._watcher = Watcher(store, lookup, _answers, now)
        chance = random.SystemRandom().random
        self._deliverer = Deliverer(store, Fetcher(webhook_policy(settings)), now, chance)
        self._pause, self._held_at = settings.subscription_seconds, float("-inf")

    def step(self) -> bool:
        """Hold the items against what is new, if it is time, and send what is due; False if another leads.

        Raises :class:`CaveatError`; what is due is sent all the same.
        """
        if not self._leading.leads():
            return False
        try:
            if time.monotonic() - self._held_at >= self._pause:
                self._watcher.step()
                self._held_at = time.monotonic()
        finally:
            self._deliverer.step()
        return True

    def close(self) -> None:
        """Let another process lead."""
        self._leading.close()


def watch_beside(work: Watch, ended: threading.Event) -> threading.Thread:
    """Do the work in a thread of this process until ``ended``, where no process is started for it."""

    def go_on() -> None:
        while not ended.wait(min(LOOK_AGAIN_SECONDS, 1)):
            try:
                work.step()
            except CaveatError as error:
                click.echo(f"subscriptions not looked at: {error.message}; trying again", err=True)
            except Exception:  # Else nobody would be told of anything until a restart.
                log.exception("subscriptions not looked at; trying again")
        work.close()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    return thread


def _answers(use: Use, mode: Mode) -> Answering:
    # As anybody is told: a feed is read without a key.
    return Answering(use, mode, detail=False)
