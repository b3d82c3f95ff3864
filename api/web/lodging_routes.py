"""The addresses of the pages on which somebody without a key lodges works and looks after them."""

from flask import Response, jsonify

from api.operations import Operation, operation
from api.v1.reservations import Acknowledgement
from api.web.assets import module_named
from api.web.manage import (
    add,
    export_file,
    manage_page,
    open_manage,
    open_records,
    records_page,
    take_back,
)
from api.web.pages import FOR_A_YEAR
from api.web.register import BatchBody, forget_code, lodge, lodge_batch, register_form
from api.web.routes import blueprint

__all__ = ["blueprint"]

_HTML = "text/html"
_FORM = "application/x-www-form-urlencoded"
_SHEET = "multipart/form-data"
_WRITING = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 507)
_CODE = "A form with ``code``."
_SURE = "A form with ``sure``."
_WORKS = "A form with ``addresses``, the file ``list``, and ``pictures`` with ``upload``"


@blueprint.get("/register")
@operation(Operation("A page: lodge works without a key", errors=(503,), media=_HTML))
def register_page() -> Response:
    """Show the form."""
    return register_form()


@blueprint.post("/register")
@operation(
    Operation(
        "A page: what was lodged, and the recovery code for it",
        body=f"{_WORKS}; uses by their names, ``label``, ``terms``, ``contact``, ``public``, ``website``.",
        status=201,
        also=(200,),
        errors=_WRITING,
        media=_HTML,
        kinds=(_SHEET,),
    )
)
def registered_page() -> Response:
    """Lodge what was filled in."""
    return lodge()


@blueprint.post("/register/batch")
@operation(
    Operation(
        "Lodge up to 25 works under a recovery code",
        answer=Acknowledgement,
        body=BatchBody,
        status=201,
        scope="optional",
        errors=_WRITING,
        headers=("Idempotency-Key", "Caveat-Form"),
    )
)
def register_batch() -> tuple[Response, int]:
    """Lodge a batch: the works are acknowledged together."""
    wire, status = lodge_batch()
    return jsonify(wire), status


@blueprint.post("/register/forget")
@operation(
    Operation(
        "A page: this browser has forgotten its recovery code",
        body="A form.",
        errors=(400, 403, 413, 503),
        media=_HTML,
        kinds=(_FORM,),
    )
)
def forgotten_page() -> Response:
    """Have the browser forget the code."""
    return forget_code()


@blueprint.get("/records")
@operation(Operation("A page: what was lodged under one's recovery code", errors=(401, 503), media=_HTML))
def own_records_page() -> Response:
    """Show the own records, or ask for the code."""
    return records_page()


@blueprint.post("/records")
@operation(
    Operation(
        "A page: what was lodged under the code that is sent",
        body=_CODE,
        errors=(400, 401, 403, 413, 429, 503),
        media=_HTML,
        kinds=(_FORM,),
    )
)
def opened_records_page() -> Response:
    """Take the code, and show the own records."""
    return open_records()


@blueprint.get("/record/<id_>/manage")
@operation(Operation("A page: what can be done with an own record", errors=(401, 404, 503), media=_HTML))
def own_record_page(id_: str) -> Response:
    """Show the own record, or ask for the code."""
    return manage_page(id_)


@blueprint.post("/record/<id_>/manage")
@operation(
    Operation(
        "A page: what can be done with an own record, by the code that is sent",
        body=_CODE,
        errors=(400, 401, 403, 404, 413, 429, 503),
        media=_HTML,
        kinds=(_FORM,),
    )
)
def opened_record_page(id_: str) -> Response:
    """Take the code, and show the own record."""
    return open_manage(id_)


@blueprint.post("/record/<id_>/add")
@operation(
    Operation(
        "A page: works were added to an own record",
        body=f"{_WORKS}.",
        errors=_WRITING,
        media=_HTML,
        kinds=(_SHEET,),
    )
)
def added_page(id_: str) -> Response:
    """Add works."""
    return add(id_)


@blueprint.post("/record/<id_>/withdraw")
@operation(
    Operation("A page: an own record is withdrawn", body=_SURE, errors=_WRITING, media=_HTML, kinds=(_FORM,))
)
def withdrawn_page(id_: str) -> Response:
    """Withdraw."""
    return take_back(id_, "withdraw")


@blueprint.post("/record/<id_>/erase")
@operation(
    Operation("A page: an own record is erased", body=_SURE, errors=_WRITING, media=_HTML, kinds=(_FORM,))
)
def erased_page(id_: str) -> Response:
    """Erase."""
    return take_back(id_, "erase")


@blueprint.get("/record/<id_>/export.json")
@operation(Operation("All that is held of an own record, as a file", errors=(401, 404, 503)))
def export_page(id_: str) -> Response:
    """Give the file."""
    return export_file(id_)


@blueprint.get("/static/<folder>/<path:name>")
@operation(Operation("A script of the pages that loads others", errors=(404,), media="text/javascript"))
def module_file(folder: str, name: str) -> Response:
    """Give a script, or what it loads, to be kept for a year."""
    data, content_type = module_named(folder, name)
    return Response(data, content_type=content_type, headers={"Cache-Control": FOR_A_YEAR})
