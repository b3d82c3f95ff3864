"""The addresses of the pages, each with its JSON twin, and of the files that belong to them."""

from flask import Blueprint, Response

from api.operations import Operation, operation
from api.web.assets import asset_named
from api.web.check import WorkAnswer, by_address, by_picture
from api.web.home import HomeAnswer, home
from api.web.pages import BLUEPRINT

__all__ = ["blueprint"]

blueprint = Blueprint(BLUEPRINT, __name__)

_HTML = "text/html"
_ASKED = ("q", "use")
_FORM = "A form with the file ``picture``, and ``use``."
_FOR_A_YEAR = "public, max-age=31536000, immutable"


@blueprint.get("/")
@operation(Operation("The first page: what this is, with its figures", errors=(503,), media=_HTML))
def first_page() -> Response:
    """Show the first page."""
    return home()


@blueprint.get("/index.json")
@operation(Operation("The figures of the first page", answer=HomeAnswer, errors=(503,)))
def first_page_json() -> Response:
    """Give its figures."""
    return home()


@blueprint.get("/check")
@operation(
    Operation(
        "A page: what is said of an address or a domain, and in which datasets it is",
        scope="optional",
        errors=(401, 422, 503),
        query=_ASKED,
        media=_HTML,
    )
)
def check_page() -> Response:
    """Show the forms, and the answer."""
    return by_address()


@blueprint.get("/check.json")
@operation(
    Operation(
        "What is said of an address or a domain, and in which datasets it is",
        answer=WorkAnswer,
        scope="optional",
        errors=(401, 422, 503),
        query=_ASKED,
    )
)
def check_json() -> Response:
    """Give the answer."""
    return by_address()


@blueprint.post("/check")
@operation(
    Operation(
        "A page: what is said of a picture, and in which datasets it is",
        body=_FORM,
        scope="optional",
        errors=(400, 401, 413, 415, 422, 503),
        media=_HTML,
        kinds=("multipart/form-data",),
    )
)
def check_picture_page() -> Response:
    """Hash the picture, forget it, and show the answer."""
    return by_picture()


@blueprint.post("/check.json")
@operation(
    Operation(
        "What is said of a picture, and in which datasets it is",
        answer=WorkAnswer,
        body=_FORM,
        scope="optional",
        errors=(400, 401, 413, 415, 422, 503),
        kinds=("multipart/form-data",),
    )
)
def check_picture_json() -> Response:
    """Hash the picture, forget it, and give the answer."""
    return by_picture()


@blueprint.get("/static/<name>")
@operation(Operation("A file of the pages, under a name of its contents", errors=(404,), media="text/css"))
def static_file(name: str) -> Response:
    """Give a file, to be kept for a year: another one has another name."""
    data, content_type = asset_named(name)
    return Response(data, content_type=content_type, headers={"Cache-Control": _FOR_A_YEAR})
