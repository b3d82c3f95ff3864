"""What one process of the service holds: its store, read model, registrar and settings."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from flask import Flask, current_app

from api.settings import Settings
from registry.index_folder import IndexFolder
from registry.lookup import Lookup
from registry.registrar import Registrar
from registry.store import Store

__all__ = ["State", "attach", "state"]

_NAME = "caveat"


@dataclass(frozen=True, slots=True)
class State:
    """Wired together once, when the application is made."""

    settings: Settings
    store: Store
    lookup: Lookup
    registrar: Registrar


def attach(app: Flask, settings: Settings, now: Callable[[], datetime] | None = None) -> None:
    """Open the store of ``settings`` and hang everything on ``app``; connects at the first request."""
    store = Store.open(settings.database)
    clock = now or (lambda: datetime.now(UTC))
    folder = None if settings.index is None else IndexFolder(settings.index)
    app.extensions[_NAME] = State(settings, store, Lookup(store, folder), Registrar(store, clock))


def state() -> State:
    """Return the state of the application that serves this request."""
    return cast(State, current_app.extensions[_NAME])
