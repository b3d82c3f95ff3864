"""The pages: for people as HTML, for machines as JSON under the same names.

Plain HTML made here, one style sheet, no script, nothing from another host. What a page says comes from the
same functions as the API.
"""

from flask import Flask

from api.settings import Settings
from api.web.pages import prepare
from api.web.room import furnish
from api.web.routes import blueprint

__all__ = ["attach", "blueprint"]


def attach(app: Flask, settings: Settings) -> None:
    """Make ``app`` ready for the pages. Raises :class:`SettingsError`."""
    prepare(app)
    furnish(app, settings)
    app.register_blueprint(blueprint)
