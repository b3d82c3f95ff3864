"""Receipts that are published and name records, for the tests of what is made of them."""

from typing import Any

from flask.testing import FlaskClient

from registry.receipt import Receipt
from registry.tickets import format_run
from tests.api.receipts import envelope_of

PATH = "/api/v1/receipts"


def lodged(client: FlaskClient, headers: dict[str, str], **other: Any) -> str:
    """Lodge a reservation; returns its identifier."""
    body = {"preferences": {"genai-train": "reserved"}, "works": [{"url": "https://ada.test/1.jpg"}], **other}
    answer = client.post("/api/v1/reservations", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def granted(client: FlaskClient, headers: dict[str, str], reservation: str, until: int) -> str:
    """Grant a reservation to Acme; returns the identifier of the grant."""
    body = {"reservation": reservation, "uses": ["genai-train"], "licensee": {"name": "Acme"}}
    answer = client.post("/api/v1/grants", json=body | {"valid_until": until}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def ticket_of(client: FlaskClient, number: int = 1) -> str:
    """The ticket of a run of one look-up, as of now."""
    named = {"Caveat-Run": format_run(bytes([number] * 16), 0)}
    return client.post("/api/v1/lookup", json={"items": []}, headers=named).headers["Caveat-Ticket"]


def sent(client: FlaskClient, run: Receipt, headers: dict[str, str], ticket: str = "", **other: Any) -> Any:
    """Have a run of one look-up countersigned and published."""
    body = {"receipt": envelope_of(run), "tickets": [ticket or ticket_of(client)], "publish": True}
    return client.post(PATH, json=body | other, headers=headers)
