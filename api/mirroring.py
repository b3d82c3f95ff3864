"""What is different when this registry is a mirror: it answers only while it keeps up with its upstream."""

import time

from flask import Flask, request

from api.state import state
from registry.mirror import require_fresh

__all__ = ["guard"]

_ALWAYS = frozenset(
    {"health.livez", "health.document", "log.checkpoint", "log.tile", "evidence.of_log", "web.static_file"}
)
"""Routes whose answers are right however old they are: they say themselves what they cover."""


def guard(app: Flask) -> None:
    """Refuse every answer of ``app`` that could be older than the bound."""

    @app.before_request
    def _fresh() -> None:
        if request.endpoint in _ALWAYS or request.endpoint is None:
            return
        with state().store.read() as connection:
            require_fresh(connection, time.time(), state().settings.mirror_max_lag)
