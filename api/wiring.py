"""The application, wired: its rooms, its state, and what becomes of errors."""

import os
from collections.abc import Callable
from datetime import datetime

from flask import Flask

from api import feed, health, log, mirroring, problems, spawning_v2, web
from api.settings import Settings, settings_from
from api.state import attach
from api.v1 import (
    changes,
    countersigning,
    evidence,
    grants,
    imports,
    lookup,
    marks,
    moments,
    parameters,
    published,
    ranges,
    receipts,
    reservations,
    snapshots,
    subscriptions,
)

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, now: Callable[[], datetime] | None = None) -> Flask:
    """Make the application, as :func:`api.create_app` says."""
    settings = settings or settings_from(os.environ)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # Sorting the members of every answer costs more than it tells.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    attach(app, settings, now)
    problems.register_handlers(app)
    web.attach(app, settings)
    if settings.mirror:
        mirroring.guard(app)
    for room in (
        lookup,
        marks,
        ranges,
        reservations,
        imports,
        grants,
        evidence,
        moments,
        receipts,
        countersigning,
        published,
        changes,
        parameters,
        snapshots,
        subscriptions,
        feed,
        spawning_v2,
        log,
        health,
    ):
        app.register_blueprint(room.blueprint)
    app.register_blueprint(published.badge)
    return app
