"""The service: HTTP in front of the registry.

:func:`create_app` makes it; gunicorn calls it once a worker, ``gunicorn 'api:create_app()'``.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.settings import Settings

__all__ = ["create_app"]


def create_app(settings: "Settings | None" = None, now: Callable[[], datetime] | None = None) -> "Flask":
    """Make the application; without ``settings`` they are read from the environment.

    Raises :class:`registry.errors.SettingsError`.
    """
    # Loaded here: the operator's commands stand in this package too, and need none of it.
    from api import wiring

    return wiring.create_app(settings, now)
