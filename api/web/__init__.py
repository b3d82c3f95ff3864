"""The pages: for people as HTML, for machines as JSON under the same names.

Plain HTML made here that works without a script, one style sheet, nothing from another host. What a page says
comes from the same functions as the API.
"""

from flask import Flask

from api.settings import Settings
from api.web.holder import attach_rates
from api.web.lodging_routes import blueprint
from api.web.pages import prepare
from api.web.room import furnish

__all__ = ["attach", "blueprint"]


def attach(app: Flask, settings: Settings) -> None:
    """Make ``app`` ready for the pages. Raises :class:`SettingsError`."""
    prepare(app)
    furnish(app, settings)
    attach_rates(app, settings)
    app.register_blueprint(blueprint)
