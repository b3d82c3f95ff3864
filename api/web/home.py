"""``/``: what this is, for whom, and how much is in it."""

from flask import Response
from pydantic import BaseModel

from api.web.pages import shown
from api.web.room import room

__all__ = ["HomeAnswer", "home"]


class HomeAnswer(BaseModel):
    """How much is in the registry as of an event; ``log_size`` is what its last signed checkpoint covers."""

    reservations: int
    works: int
    rules: int
    as_of_seq: int
    log_size: int | None
    datasets: list[str]


def home() -> Response:
    """Say what this is, with the figures."""
    datasets = [one.name for one in room().indexes]
    return shown("home.html", {**room().counting.counted().to_wire(), "datasets": datasets})
