"""What the pages of a process hold beside the state of the service."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from api.datasets import ServedIndex, served_indexes
from api.settings import Settings
from api.web.figures import Counting

__all__ = ["Room", "furnish", "room"]

_NAME = "caveat-web"


@dataclass(frozen=True, slots=True)
class Room:
    """The datasets that are searched, and what counts the figures."""

    indexes: tuple[ServedIndex, ...]
    counting: Counting


def furnish(app: Flask, settings: Settings) -> None:
    """Hang a room on ``app``."""
    indexes = served_indexes(settings.dataset_indexes, settings.index_check_seconds)
    app.extensions[_NAME] = Room(indexes, Counting())


def room() -> Room:
    """Return the room of the application that serves this request."""
    return cast(Room, current_app.extensions[_NAME])
