"""Having a run countersigned by the registry that it asked: its tickets, sent with its receipt.

    book = client.keep_tickets()
    …                               look-ups, from any number of threads
    bundle = countersign(client, book, receipt)

The run does not depend on it: what fails here leaves the receipt as it is, and says why there is no
countersignature.
"""

from registry.client.http import RegistryClient
from registry.client.ticket_book import TicketBook
from registry.client.transport import wrong_answer
from registry.countersignature import Bundle, open_countersignature
from registry.dsse import Envelope
from registry.errors import ProofError
from registry.model_receipt import open_receipt
from registry.note import Verifier

__all__ = ["countersign"]


def countersign(client: RegistryClient, book: TicketBook, receipt: bytes) -> Bundle:
    """Have the registry say what it answered to a run; return the receipt with its countersignature.

    Raises :class:`ProofError` when the tickets do not prove the run, and :class:`RegistryError`.
    """
    envelope = Envelope.from_json(receipt)
    signed = open_receipt(receipt, [])
    _fill(client, book)
    body = {"receipt": envelope.to_wire(), "tickets": book.whole()}
    answer = client.tell_receipts(body)
    try:
        bundle = Bundle.from_wire(answer.get("bundle"))
        if bundle.receipt != envelope or not bundle.countersignatures:
            raise ProofError("another receipt than was sent, or no countersignature")
        keys = [Verifier.parse(one) for one in client.log_keys()["keys"]]
        for one in bundle.countersignatures:
            open_countersignature(one, signed, keys)
    except (ProofError, KeyError, TypeError) as error:
        raise wrong_answer(client.url, f"a countersignature that does not hold ({error})") from error
    return bundle


def _fill(client: RegistryClient, book: TicketBook) -> None:
    """Ask about nothing under the numbers of requests that failed, so that the run has no gap."""
    for _ in book.missing():
        client.ask_nothing()
