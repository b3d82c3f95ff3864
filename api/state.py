"""What one process of the service holds: its store, read model, registrar and settings."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from flask import Flask, current_app

from api.settings import Settings
from registry.calibration import OWN_IDS, Calibration, load_calibration, shipped_calibration
from registry.errors import NotFoundError, SettingsError, StorageError
from registry.fetch import WEBHOOK, Policy
from registry.granting import Granter
from registry.imports import Importer
from registry.index_folder import IndexFolder
from registry.log_folder import LogFolder
from registry.lookup import Lookup
from registry.receipting import Receipting
from registry.registrar import Registrar
from registry.store import Store
from registry.subscribing import Budget, Subscribing

__all__ = ["State", "attach", "last_checkpoint", "published_log", "state", "webhook_policy"]

_NAME = "caveat"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """Wired together once, when the application is made."""

    settings: Settings
    store: Store
    lookup: Lookup
    registrar: Registrar
    importer: Importer
    granter: Granter
    receipting: Receipting
    subscribing: Subscribing
    webhooks: Policy
    """Under which webhooks are sent."""
    log: LogFolder | None
    calibration: Calibration
    now: Callable[[], float]
    """Seconds since 1970."""


def attach(app: Flask, settings: Settings, now: Callable[[], datetime] | None = None) -> None:
    """Open the store of ``settings`` and hang everything on ``app``; connects at the first request.

    Raises :class:`SettingsError` when the calibration cannot be read.
    """
    store = Store.open(settings.database, settings.mirror)
    clock = now or (lambda: datetime.now(UTC))
    folder = None if settings.index is None else IndexFolder(settings.index)
    calibration = shipped_calibration() if settings.calibration is None else _own(settings.calibration)
    registrar = Registrar(store, clock, calibration)
    importer = Importer(store, clock, calibration, folder)
    log = None if settings.log is None else LogFolder(settings.log)
    lookup = Lookup(store, folder, settings.index_check_seconds)
    app.extensions[_NAME] = State(
        settings=settings,
        store=store,
        lookup=lookup,
        registrar=registrar,
        importer=importer,
        granter=Granter(registrar),
        receipting=Receipting(registrar),
        subscribing=Subscribing(store, lambda: clock().timestamp(), _budget(settings)),
        webhooks=webhook_policy(settings),
        log=log,
        calibration=calibration,
        now=lambda: clock().timestamp(),
    )


def _budget(settings: Settings) -> Budget:
    return Budget(settings.max_subscriptions, settings.max_watched_items)


def webhook_policy(settings: Settings) -> Policy:
    """Return under which policy webhooks are sent."""
    return replace(WEBHOOK, loopback=settings.webhook_loopback)


def state() -> State:
    """Return the state of the application that serves this request."""
    return cast(State, current_app.extensions[_NAME])


def published_log() -> LogFolder:
    """Return the folder of the log. Raises :class:`NotFoundError` when this registry publishes none."""
    log = state().log
    if log is None:
        raise NotFoundError("this registry publishes no log")
    return log


def last_checkpoint() -> str | None:
    """Return the last checkpoint of the log; None when there is none, or none that can be read.

    An answer is right without it: the log is derived, and its folder must not take the look-ups down.
    """
    log = state().log
    try:
        return None if log is None else log.checkpoint()
    except StorageError as error:
        _LOG.error("%s", error.message)
        return None


def _own(path: Path) -> Calibration:
    """Read an operator's calibration, whose number must not be one of the shipped ones."""
    try:
        found = load_calibration(path.read_bytes())
        if found.id not in OWN_IDS:
            raise SettingsError(f"number {found.id}; an operator's own is {OWN_IDS[0]} to {OWN_IDS[-1]}")
    except (OSError, SettingsError) as error:
        raise SettingsError(
            f"CAVEAT_CALIBRATION: {path}: {error}", hint="Name another file, or none for the shipped one."
        ) from error
    return found
