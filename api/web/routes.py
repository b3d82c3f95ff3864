"""The addresses of the pages, each with its JSON twin, and of the files that belong to them."""

from flask import Blueprint, Response

from api.operations import Operation, operation
from api.web.assets import asset_named
from api.web.check import WorkAnswer, by_address, by_picture
from api.web.grant import GrantPageAnswer, grant_page
from api.web.home import HomeAnswer, home
from api.web.pages import BLUEPRINT, FOR_A_YEAR
from api.web.receipt import CheckedAnswer, ReceiptPageAnswer, bundle_file, receipt_page
from api.web.record import RecordAnswer, record_page
from api.web.verify import check_receipt_page, receipt_form

__all__ = ["blueprint"]

blueprint = Blueprint(BLUEPRINT, __name__)

_HTML = "text/html"
_ASKED = ("q", "use")
_FORM = "A form with the file ``picture``, and ``use``."
_RECEIPT_FORM = "A form with the file ``file`` or the text ``receipt``, and ``key``, ``tensor_hash``."
_CHECKING = (400, 413, 415, 422, 503)


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


@blueprint.get("/receipt")
@operation(Operation("A page: check a receipt that one has", errors=(503,), media=_HTML))
def receipt_form_page() -> Response:
    """Show the form."""
    return receipt_form()


@blueprint.post("/receipt")
@operation(
    Operation(
        "A page: what holds of a receipt, or of a model with one in it",
        body=_RECEIPT_FORM,
        errors=_CHECKING,
        media=_HTML,
        kinds=("multipart/form-data",),
    )
)
def receipt_checked_page() -> Response:
    """Check it, forget it, and show what holds."""
    return check_receipt_page()


@blueprint.post("/receipt.json")
@operation(
    Operation(
        "What holds of a receipt, or of a model with one in it",
        answer=CheckedAnswer,
        body=_RECEIPT_FORM,
        errors=_CHECKING,
        kinds=("multipart/form-data",),
    )
)
def receipt_checked_json() -> Response:
    """Check it, forget it, and say what holds."""
    return check_receipt_page()


@blueprint.get("/receipt/<id_>")
@operation(Operation("A page: a published receipt, checked", errors=(404, 503), media=_HTML))
def receipt_of(id_: str) -> Response:
    """Show a published receipt."""
    return receipt_page(id_)


@blueprint.get("/receipt/<id_>.json")
@operation(Operation("A published receipt, checked", answer=ReceiptPageAnswer, errors=(404, 503)))
def receipt_of_json(id_: str) -> Response:
    """Give a published receipt."""
    return receipt_page(id_)


@blueprint.get("/receipt/<id_>/receipt.bundle.json")
@operation(Operation("A published receipt and its countersignature, as a file", errors=(404, 503)))
def receipt_file(id_: str) -> Response:
    """Give the file as it is checked everywhere."""
    return bundle_file(id_)


@blueprint.get("/record/<id_>")
@operation(
    Operation(
        "A page: what somebody said of their works, and who heeded it",
        scope="optional",
        errors=(401, 404, 503),
        media=_HTML,
    )
)
def record_of(id_: str) -> Response:
    """Show a record to whoever knows its identifier."""
    return record_page(id_)


@blueprint.get("/record/<id_>.json")
@operation(
    Operation(
        "What somebody said of their works, and who heeded it",
        answer=RecordAnswer,
        scope="optional",
        errors=(401, 404, 503),
    )
)
def record_of_json(id_: str) -> Response:
    """Give a record to whoever knows its identifier."""
    return record_page(id_)


@blueprint.get("/grant/<id_>")
@operation(Operation("A page: a grant, and how it stands", errors=(404, 503), media=_HTML))
def grant_of(id_: str) -> Response:
    """Show a grant to whoever knows its identifier."""
    return grant_page(id_)


@blueprint.get("/grant/<id_>.json")
@operation(Operation("A grant, and how it stands", answer=GrantPageAnswer, errors=(404, 503)))
def grant_of_json(id_: str) -> Response:
    """Give a grant to whoever knows its identifier."""
    return grant_page(id_)


@blueprint.get("/static/<name>")
@operation(Operation("A file of the pages, under a name of its contents", errors=(404,), media="text/css"))
def static_file(name: str) -> Response:
    """Give a file, to be kept for a year: another one has another name."""
    data, content_type = asset_named(name)
    return Response(data, content_type=content_type, headers={"Cache-Control": FOR_A_YEAR})
